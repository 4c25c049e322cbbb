//! The bytes: what each message looks like, and that nothing but those bytes goes through.

use farcall_proto::identity::CertificateNames;
use farcall_proto::link::handshake::{Admission, Extensions, PreAuthFramer, PreAuthLimits, Step};
use farcall_proto::peer::{Incarnation, NodeName};
use proptest::prelude::*;

use crate::fixture::*;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn every_message_has_these_bytes() {
    let outcome = converse(&alpha(), &beta());
    let written: Vec<String> = outcome.writes().iter().map(|wire| hex(wire)).collect();
    assert_eq!(written, GOLDEN);
}

#[test]
fn a_decline_has_these_bytes() {
    let mut dialler = alpha();
    dialler.want = name("gamma@10.0.0.3");
    let outcome = converse(&dialler, &beta());
    assert_eq!(hex(&outcome.from_responder[1]), GOLDEN_DECLINE);
}

#[test]
fn every_reason_to_decline_has_its_byte() {
    let declined = |change: &dyn Fn(&mut Side)| {
        let mut acceptor = beta();
        change(&mut acceptor);
        let outcome = converse(&alpha(), &acceptor);
        let wire = &outcome.from_responder[1];
        (wire[..4].to_vec(), wire[4], wire[5], outcome.initiator.reason())
    };
    let bytes = |reason: u8, word| (vec![34, 0, 0, 0], 7, reason, word);
    assert_eq!(declined(&|side| side.local.name = name("gamma@10.0.0.3")), bytes(0, "declined"));
    assert_eq!(declined(&|side| side.admission = Admission::Busy), bytes(1, "declined"));
    assert_eq!(declined(&|side| side.admission = Admission::Draining), bytes(2, "declined"));
    assert_eq!(declined(&|side| side.certificate = Some(CertificateNames::default())), bytes(3, "declined"));
    let twin = (name(ALPHA), alpha().local.incarnation);
    assert_eq!(declined(&|side| side.namesakes = vec![twin.clone()]), bytes(4, "name_in_use"));
}

#[test]
fn a_decline_because_of_the_name_has_these_bytes() {
    let mut acceptor = beta();
    acceptor.namesakes = vec![(name(ALPHA), alpha().local.incarnation)];
    assert_eq!(hex(&converse(&alpha(), &acceptor).from_responder[1]), GOLDEN_NAME_IN_USE);
}

#[test]
fn one_flipped_bit_anywhere_in_any_message_keeps_its_receiver_down() {
    for message in 0..MESSAGES {
        let length = converse(&alpha(), &beta()).writes()[message].len();
        for bit in 0..length * 8 {
            let outcome = converse_over(&alpha(), &beta(), |number, mut wire| {
                if number == message {
                    wire[bit / 8] ^= 1 << (bit % 8);
                }
                wire
            });
            assert!(!outcome.responder.is_done(), "message {message}, bit {bit}");
            // The initiator is up when it has sent the last message; its link dies with the responder's refusal.
            assert_eq!(outcome.initiator.is_done(), message == MESSAGES - 1, "message {message}, bit {bit}");
        }
    }
}

#[test]
fn every_truncation_of_every_message_is_refused_and_none_that_is_only_late() {
    for message in 0..MESSAGES {
        let whole = converse(&alpha(), &beta()).writes()[message].clone();
        for kept in 0..whole.len() {
            // Cut short on the line: the receiver waits (until its deadline) and believes nothing.
            let outcome = converse_over(&alpha(), &beta(), |number, mut wire| {
                if number == message {
                    wire.truncate(kept);
                }
                wire
            });
            assert!(!outcome.responder.is_done(), "message {message} cut to {kept}");
            // Cut short and sent as if it were whole: refused.
            let outcome = converse_over(&alpha(), &beta(), |number, wire| {
                if number != message {
                    return wire;
                }
                let body = &wire[4..kept.max(4)];
                [&u32::try_from(body.len()).unwrap().to_le_bytes(), body].concat()
            });
            assert!(!outcome.responder.is_done(), "message {message} shortened to {kept}");
            let (receiver, who) = match message % 2 {
                0 => (outcome.responder.reason(), "responder"),
                _ => (outcome.initiator.reason(), "initiator"),
            };
            assert!(
                ["malformed", "not_farcall", "auth_failed"].contains(&receiver),
                "{who}, message {message} shortened to {kept}: {receiver}"
            );
        }
    }
}

#[test]
fn one_byte_behind_any_message_is_refused() {
    for message in 0..MESSAGES {
        let outcome = converse_over(&alpha(), &beta(), |number, mut wire| {
            if number == message {
                wire.push(0);
                let length = u32::try_from(wire.len() - 4).unwrap();
                wire[..4].copy_from_slice(&length.to_le_bytes());
            }
            wire
        });
        assert!(!outcome.responder.is_done(), "message {message}");
        let reason = if message % 2 == 0 { outcome.responder.reason() } else { outcome.initiator.reason() };
        // Behind a proof it moves the proof; elsewhere it must be noticed for itself.
        assert_eq!(reason, if message < 2 { "malformed" } else { "auth_failed" }, "message {message}");
    }
}

#[test]
fn a_message_in_the_place_of_another_is_refused() {
    let good = converse(&alpha(), &beta()).writes();
    for due in 0..MESSAGES {
        for (came, wire) in good.iter().enumerate().filter(|(came, _)| *came != due) {
            let outcome =
                converse_over(
                    &alpha(),
                    &beta(),
                    |number, due_wire| {
                        if number == due { wire.clone() } else { due_wire }
                    },
                );
            let reason = if due % 2 == 0 { outcome.responder.reason() } else { outcome.initiator.reason() };
            assert_eq!(reason, "unexpected", "message {came} in the place of {due}");
        }
    }
}

#[test]
fn an_oversized_length_is_refused_wherever_it_comes() {
    for message in 0..MESSAGES {
        let outcome = converse_over(&alpha(), &beta(), |number, wire| {
            if number == message { u32::MAX.to_le_bytes().to_vec() } else { wire }
        });
        let reason = if message % 2 == 0 { outcome.responder.reason() } else { outcome.initiator.reason() };
        assert_eq!(reason, "frame_too_large");
    }
    // Also when someone calls without a framer.
    let error = beta().respond().handle(&[1; 4097], &mut Vec::new()).unwrap_err();
    assert_eq!(error.reason(), "frame_too_large");
}

#[test]
fn the_longest_names_and_all_extensions_fit_into_a_frame() {
    let longest = |first: char| name(&format!("{first}@{}", "h".repeat(NodeName::BYTES_MAX - 2)));
    let (mut dialler, mut acceptor) = (alpha(), beta());
    dialler.local.name = longest('a');
    acceptor.local.name = longest('b');
    dialler.want = longest('b');
    for side in [&mut dialler, &mut acceptor] {
        let mut all = Extensions::default();
        for number in 0..Extensions::COUNT_MAX {
            let number = u16::MAX - u16::try_from(number).unwrap();
            all.insert(number, &[0xff; Extensions::VALUE_BYTES_MAX]).unwrap();
        }
        let params = &mut side.local.params;
        params.extensions = all;
        params.message_bytes_max = u32::MAX;
        params.fragment_bytes = u32::MAX;
        params.in_flight_max = u32::MAX;
        params.reassembly_bytes_max = u32::MAX;
        params.tick_ms = u32::MAX;
        params.flags = u32::MAX;
        side.local.incarnation = Incarnation(u64::MAX);
    }
    let outcome = converse(&dialler, &acceptor);
    assert_eq!(outcome.responder.established().params, dialler.local.params);
    assert_eq!(outcome.initiator.established().params, acceptor.local.params);
    let all = outcome.from_initiator.iter().chain(&outcome.from_responder).map(|wire| body(wire).len());
    let total = |writes: &[Vec<u8>]| writes.iter().map(Vec::len).sum::<usize>();
    let measured = PreAuthLimits {
        frame_bytes_max: all.max().unwrap(),
        total_bytes_max: total(&outcome.from_initiator).max(total(&outcome.from_responder)),
    };
    assert_eq!(measured, PreAuthLimits::LEAST);
    let default = PreAuthLimits::default();
    assert!(measured.frame_bytes_max <= default.frame_bytes_max);
    assert!(measured.total_bytes_max <= default.total_bytes_max);
}

proptest! {
    #[test]
    fn random_bytes_are_never_a_peer_and_never_a_panic(
        kind in 0u8..9,
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        stage in 0usize..5,
    ) {
        let garbage = [&[kind][..], &bytes].concat();
        let framed = [&u32::try_from(garbage.len()).unwrap().to_le_bytes()[..], &garbage].concat();
        let outcome = converse_over(&alpha(), &beta(), |number, wire| {
            if number == stage { framed.clone() } else { wire }
        });
        prop_assert!(!outcome.responder.is_done());
    }

    #[test]
    fn random_bodies_behind_a_true_beginning_never_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let hello = [&b"\x01FARC\x01\x01"[..], &[0; 32], &bytes].concat();
        let mut out = Vec::new();
        if let Ok(step) = beta().respond().handle(&hello, &mut out) {
            prop_assert!(matches!(step, Step::Continue(_)));
        }
        prop_assert!(!contains(&out, BETA.as_bytes()));
    }

    #[test]
    fn a_framer_fed_with_random_bytes_yields_small_frames_or_an_error(
        chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..50), 0..50),
    ) {
        let mut framer = PreAuthFramer::new();
        for chunk in &chunks {
            framer.feed(chunk);
            loop {
                match framer.next_frame() {
                    Ok(Some(frame)) => prop_assert!((1..=PreAuthFramer::FRAME_BYTES_MAX).contains(&frame.len())),
                    Ok(None) => break,
                    Err(_) => return Ok(()),
                }
            }
        }
    }
}

/// Hello, Challenge, Proof, Accept, Ready, with the nonces, names and cookie of the fixture.
const GOLDEN: [&str; MESSAGES] = [
    "6c00000001464152430101a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a10e616c7068614031302e302e302e3191a2c48891a2c488110d626574614031302e302e302e3280808008808004e90780808020904e0403808080800801bc05056c61746572",
    "220000000201b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2",
    "210000000333efd0f4836b4697c00e817f15808ad8fd2bb5c9fafca838a2d860151ed200f3",
    "57000000040d626574614031302e302e302e32a2c48891a2c488912280808008808004ea0780808020904e0403808080800801bc05056c617465722ace5a6bb1fe0e5e74a91c00dea7d06218ed5e96d17c262499421ef1f525c99a",
    "2100000005448046fc1bc1e61fdf5904a8bb5a125457000d2c6b7c4de54df22c058645117e",
];
const GOLDEN_DECLINE: &str = "220000000700974aa6fd4a3100c49754341314a2e7f5ab109d28969a5aa5ca9a7928cb6736d5";
const GOLDEN_NAME_IN_USE: &str =
    "22000000070459b47bc440c73a8bcc6444eb34f729f866a6f6ae0d0013c0726757ffec900df9";
