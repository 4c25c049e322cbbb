//! G1 and G2: what one sender sends to one actor arrives in that order, and is cut off only at its end.

use farcall_proto::link::Outcome;
use proptest::prelude::*;

use crate::support::Pair;

const ACTORS: [&str; 4] = ["a", "b", "c", "d"];

/// (actor, bytes, whether it is a call)
type Sent = (usize, usize, bool);

fn sends() -> impl Strategy<Value = Vec<Sent>> {
    let bytes = prop_oneof![3 => 4usize..64, 1 => 900usize..1100, 1 => 1100usize..9000];
    prop::collection::vec((0..ACTORS.len(), bytes, any::<bool>()), 1..60)
}

fn splits() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![Just(vec![1]), Just(vec![usize::MAX]), prop::collection::vec(1usize..3000, 1..8)]
}

fn send(pair: &mut Pair, number: usize, (actor, bytes, call): Sent) -> Vec<u8> {
    let mut payload = u32::try_from(number).unwrap().to_le_bytes().to_vec();
    payload.resize(bytes, number.to_le_bytes()[0]);
    if call {
        pair.call(ACTORS[actor], "echo", &payload);
    } else {
        pair.cast(ACTORS[actor], &payload);
    }
    payload
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn each_actor_receives_exactly_what_was_sent_to_it_in_that_order(
        sends in sends(), up in splits(), down in splits(), every in 1usize..20,
    ) {
        let mut pair = Pair::small();
        (pair.up.splits, pair.down.splits) = (up, down);
        let mut sent = vec![Vec::new(); ACTORS.len()];
        for (number, one) in sends.iter().enumerate() {
            let payload = send(&mut pair, number, *one);
            sent[one.0].push(payload);
            if number % every == 0 {
                pair.run();
            }
        }
        pair.run();
        prop_assert_eq!(&pair.ended, &None);
        for (actor, sent) in ACTORS.iter().zip(&sent) {
            prop_assert_eq!(&pair.server.payloads_of(actor), sent);
        }
        prop_assert_eq!(pair.client.unsent_bytes(), 0);
        prop_assert!(pair.acceptor.is_quiet());
    }

    #[test]
    fn what_arrived_before_a_cut_is_a_prefix_of_what_was_sent_to_each_actor(
        sends in sends(), up in splits(), takes in 0usize..60_000, keep in 0usize..5000,
    ) {
        let mut pair = Pair::small();
        pair.up.splits = up;
        pair.up.takes = takes;
        pair.up.paused = keep % 2 == 0;
        let mut sent = vec![Vec::new(); ACTORS.len()];
        for (number, one) in sends.iter().enumerate() {
            let payload = send(&mut pair, number, *one);
            sent[one.0].push(payload);
        }
        pair.run();
        pair.cut(keep);
        for (actor, sent) in ACTORS.iter().zip(&sent) {
            let received = pair.server.payloads_of(actor);
            prop_assert!(received.len() <= sent.len());
            prop_assert_eq!(&received[..], &sent[..received.len()]);
        }
    }
}

#[test]
fn a_call_to_another_actor_passes_a_large_one_behind_a_bounded_number_of_bytes() {
    let mut pair = Pair::new(farcall_proto::link::Limits::default());
    for _ in 0..2 {
        pair.cast("bulk", &vec![0; 8 << 20]);
    }
    let mut batch = Vec::new();
    pair.client.poll_transmit(&mut batch, pair.now);
    assert!(batch.len() <= 192 << 10, "{} bytes in one batch", batch.len());
    let before = pair.up.wire.len();
    let ticket = pair.call("quick", "echo", b"now");
    pair.client.poll_transmit(&mut batch, pair.now);
    let at = batch.windows(3).position(|bytes| bytes == b"now").unwrap();
    assert!(at < 256, "{at} bytes in front of it");
    assert_eq!(before, 0);
    pair.client.cancel(ticket);
}

#[test]
fn answers_of_any_size_find_their_callers() {
    let mut pair = Pair::small();
    pair.down.splits = vec![7, 1000];
    let sizes = [0, 1, 94, 95, 1000, 1100, 50_000];
    let tickets = sizes.map(|bytes| pair.call("a", "large", &crate::support::server::script(0, bytes)));
    pair.run();
    for (ticket, bytes) in tickets.into_iter().zip(sizes) {
        assert_eq!(pair.answer(ticket), vec![7; bytes as usize]);
    }
    assert_eq!((pair.client.in_flight(), pair.client.reassembly_bytes()), (0, 0));
}

#[test]
fn a_fault_ends_its_own_request_only() {
    let mut pair = Pair::small();
    let (bad, good) = (pair.call("a", "fault", b""), pair.call("a", "echo", b"x"));
    pair.run();
    assert_eq!(pair.failure(bad), farcall_proto::failure::Rejected::NoSuchActor.into());
    assert_eq!(pair.answer(good), b"x");
}

#[test]
fn a_ping_is_answered_and_a_pong_that_nobody_asked_for_does_nothing() {
    let mut pair = Pair::small();
    let ticket = pair.client.ping(None, 99).unwrap();
    pair.run();
    assert_eq!(pair.woken, [99]);
    assert!(matches!(pair.outcome(ticket), Some(Outcome::Answered { .. })));
    let mut pong = bytes::BytesMut::new();
    let mut bytes = Vec::new();
    farcall_proto::link::frame::write_pong(1, &mut bytes);
    pong.extend_from_slice(&bytes);
    assert_eq!(pair.client.handle_data(&mut pong, pair.now), Ok(()));
    pair.run();
    assert_eq!(pair.woken, [99]);
}

#[test]
fn a_confirm_tells_of_its_own_cast_also_when_large_casts_wait_in_lanes() {
    let mut pair = Pair::small();
    let mut casts = Vec::new();
    for number in 0..8u64 {
        let mut payload = number.to_le_bytes().to_vec();
        payload.resize(if number % 3 == 0 { 5000 } else { 8 }, 0);
        casts.push(pair.cast(ACTORS[usize::from(number % 2 == 0)], &payload));
    }
    let tickets: Vec<_> = casts.into_iter().map(|cast| pair.confirm(cast, None).unwrap()).collect();
    pair.run();
    for (number, ticket) in (0u64..).zip(tickets) {
        assert_eq!(pair.answer(ticket), number.to_le_bytes());
    }
}
