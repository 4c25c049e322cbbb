//! F40 to F47: whatever a peer sends, the link ends or goes on, never panics, and holds no more than its limits.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that panics has failed, as it should"
)]

mod support;

use std::time::Instant;

use bytes::BytesMut;
use farcall_proto::failure::{Failed, NotSent};
use farcall_proto::link::frame::{self, Definition, Head, Kind, NO_DEADLINE, RequestId};
use farcall_proto::link::handshake::{Extensions, PeerParams};
use farcall_proto::link::outbox::Body;
use farcall_proto::link::{AcceptorLink, Limits, ProtocolError, Slice, SubmitKind};
use proptest::prelude::*;
use support::{Pair, fuzz_entries, params, route};

const ID: RequestId = RequestId { slot: 0, generation: 0 };

fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out);
    out
}

fn define(route: u32) -> Vec<u8> {
    let text = |text: &str| text.to_owned();
    let (actor, message, requirement) = (text("a"), text("m"), text(""));
    let definition = Definition { actor, message, version: 1, fingerprint: 1, requirement };
    written(|out| frame::write_define(route, &definition, out))
}

fn first(stream: u32, total: u32, data: &[u8]) -> Vec<u8> {
    written(|out| Head::fragment(stream, Some(total)).write(data, out))
}

fn next(stream: u32, data: &[u8]) -> Vec<u8> {
    written(|out| Head::fragment(stream, None).write(data, out))
}

fn request(id: RequestId, route: u32) -> Vec<u8> {
    written(|out| Head::request(Kind::Request, id, route, NO_DEADLINE, false).write(b"x", out))
}

/// What an acceptor says to these bytes.
fn accept(link: &mut AcceptorLink<u32>, bytes: &[u8]) -> Result<usize, ProtocolError> {
    let (mut buffer, mut slice, mut count) = (BytesMut::from(bytes), Slice::default(), 0);
    loop {
        link.handle_data(&mut buffer, 64, 64 << 10, &mut slice)?;
        count += slice.items.len();
        if slice.chunk.is_empty() {
            return Ok(count);
        }
    }
}

fn acceptor(limits: Limits) -> AcceptorLink<u32> {
    AcceptorLink::new(limits.clone(), &params(&limits), Instant::now())
}

/// Both roles say the same to what neither of them takes.
fn both(bytes: &[u8]) -> ProtocolError {
    let mut pair = Pair::small();
    let client = pair.client.handle_data(&mut BytesMut::from(bytes), pair.now).unwrap_err();
    let acceptor =
        accept(&mut acceptor(Limits { fragment_bytes: 1024, ..Limits::default() }), bytes).unwrap_err();
    assert_eq!(client, acceptor);
    assert!(pair.client.reassembly_bytes() <= 90, "the most that a case announces within the rules");
    client
}

#[test]
fn garbage_ends_the_link_with_a_reason() {
    assert!(matches!(both(b"GET / HTTP/1.1\r\n\r\n"), ProtocolError::FrameTooLarge { .. }));
    assert_eq!(both(&[4, 0, 0, 0, 200, 0, 0, 0]), ProtocolError::UnknownKind(200));
    assert_eq!(both(&[4, 0, 0, 0, Kind::Ping as u8, 0, 0, 0]), ProtocolError::Truncated);
}

#[test]
fn an_oversized_length_is_refused_by_its_four_bytes_before_anything_is_kept() {
    let limit = (64 << 10) + frame::HEAD_BYTES_MAX;
    for len in [u32::MAX, i32::MAX as u32, u32::try_from(limit).unwrap() + 1] {
        assert_eq!(both(&len.to_le_bytes()), ProtocolError::FrameTooLarge { bytes: len as usize, limit });
    }
}

#[test]
fn a_length_that_leaves_no_room_for_a_head_is_refused() {
    for len in 0..4u32 {
        assert_eq!(both(&[&len.to_le_bytes()[..], &[1; 8]].concat()), ProtocolError::Truncated);
    }
}

#[test]
fn a_truncated_frame_waits_and_does_nothing() {
    let whole = [define(0), request(ID, 0)].concat();
    for end in 0..whole.len() {
        let count = accept(&mut acceptor(Limits::default()), &whole[..end]);
        assert_eq!(count, Ok(usize::from(end >= define(0).len())));
    }
}

#[test]
fn fragments_that_break_the_rules_end_the_link() {
    let cases: [(Vec<u8>, ProtocolError); 8] = [
        (next(1, b"no first"), ProtocolError::FragmentOfNoStream),
        ([first(1, 90, b"x"), first(1, 90, b"x")].concat(), ProtocolError::StreamOpenedTwice),
        ([first(1, 3, b"xx"), next(1, b"xx")].concat(), ProtocolError::FragmentBreaksTotal),
        (first(1, 90, b""), ProtocolError::FragmentBreaksTotal),
        ([first(1, 90, b"x"), next(1, b"")].concat(), ProtocolError::FragmentBreaksTotal),
        ([first(1, 2, b"xx")].concat(), ProtocolError::UnknownKind(b'x')),
        (first(1, 8, &next(2, b"")[4..]), ProtocolError::FragmentOfControl),
        ([first(1, 2, b"\x01\0"), next(1, b"x")].concat(), ProtocolError::Truncated),
    ];
    for (bytes, error) in cases {
        assert_eq!(both(&bytes), error);
    }
    assert_eq!(
        both(&first(1, u32::MAX, b"x")),
        ProtocolError::FrameTooLarge { bytes: u32::MAX as usize, limit: (16 << 20) + frame::HEAD_BYTES_MAX }
    );
}

#[test]
fn interleaved_streams_are_put_together_and_an_abort_frees_its_own_and_may_name_none() {
    let mut link = acceptor(Limits::default());
    accept(&mut link, &define(0)).unwrap();
    let frame = request(ID, 0)[4..].to_vec();
    let total = u32::try_from(frame.len()).unwrap();
    let (head, tail) = frame.split_at(10);
    let abort = |stream| written(|out| frame::write_abort(stream, out));
    let bytes = [first(1, total, head), first(2, total, head), abort(2), abort(77), next(1, tail)].concat();
    assert_eq!(accept(&mut link, &bytes), Ok(1));
    assert_eq!(link.reassembly_bytes(), 0);
    assert_eq!(accept(&mut link, &next(2, tail)), Err(ProtocolError::FragmentOfNoStream));
}

#[test]
fn a_million_open_streams_end_at_the_limit() {
    let limits = Limits { streams_max: 16, ..Limits::default() };
    let mut link = acceptor(limits);
    let opened = (0..1_000_000)
        .find_map(|stream| accept(&mut link, &first(stream, 100, b"x")).err().map(|e| (stream, e)));
    assert_eq!(opened, Some((16, ProtocolError::TooManyStreams)));
    let mut link = acceptor(Limits { reassembly_bytes_max: 1000, ..Limits::default() });
    let opened =
        (0..1_000_000).find_map(|stream| accept(&mut link, &first(stream, 100, b"x")).err().map(|_| stream));
    assert_eq!(opened, Some(10), "announced totals count, not what has come of them");
}

#[test]
fn routes_out_of_order_over_the_limit_undefined_or_with_long_names_end_the_link() {
    let limits = Limits { routes_max: 1, ..Limits::default() };
    let bad = |bytes: &[u8]| accept(&mut acceptor(limits.clone()), bytes);
    assert_eq!(bad(&define(1)), Err(ProtocolError::BadRoute { limit: 1 }));
    assert_eq!(bad(&[define(0), define(1)].concat()), Err(ProtocolError::BadRoute { limit: 1 }));
    assert_eq!(bad(&[define(0), define(0)].concat()), Err(ProtocolError::BadRoute { limit: 1 }));
    assert_eq!(bad(&request(ID, 0)), Err(ProtocolError::UndefinedRoute));
    let cast = written(|out| Head::cast(u32::MAX, false).write(b"", out));
    assert_eq!(bad(&[define(0), cast].concat()), Err(ProtocolError::UndefinedRoute));
    assert_eq!(
        bad(&written(|out| frame::confirm(ID, 3, 0).write(&[], out))),
        Err(ProtocolError::UndefinedRoute)
    );
    let long = Definition {
        actor: "x".repeat(256),
        message: String::new(),
        version: 0,
        fingerprint: 0,
        requirement: String::new(),
    };
    assert_eq!(bad(&written(|out| frame::write_define(0, &long, out))), Err(ProtocolError::BadDefinition));
}

#[test]
fn a_request_in_a_slot_over_the_limit_is_refused_and_so_are_too_many_questions_of_any_kind() {
    let mut link = acceptor(Limits { in_flight_max: 3, ..Limits::default() });
    let slot = |slot| RequestId { slot, generation: 0 };
    assert_eq!(
        accept(&mut link, &[define(0), request(slot(3), 0), request(slot(u32::MAX), 0)].concat()),
        Ok(1)
    );
    assert_eq!(link.in_flight(), 0);
    let confirm = written(|out| frame::confirm(slot(1), 0, 0).write(&[], out));
    let flood = [request(slot(0), 0), confirm.repeat(1000)].concat();
    assert_eq!(accept(&mut link, &flood), Ok(3));
    assert_eq!(link.in_flight(), 3);
}

#[test]
fn frames_of_the_other_role_end_the_link() {
    let mut pair = Pair::small();
    for bytes in [request(ID, 0), define(0), written(|out| frame::write_credit(ID, 1, out))] {
        let result = pair.client.handle_data(&mut BytesMut::from(&bytes[..]), pair.now);
        assert_eq!(result, Err(ProtocolError::WrongRole));
    }
    for head in [Head::reply(ID, false, false), Head::item(ID, false)] {
        let bytes = written(|out| head.write(b"", out));
        assert_eq!(accept(&mut acceptor(Limits::default()), &bytes), Err(ProtocolError::WrongRole));
    }
}

#[test]
fn an_item_without_credit_ends_the_link_and_one_for_nobody_is_dropped() {
    let mut pair = Pair::small();
    pair.open(100, 0, 0);
    let item = |id: RequestId| written(|out| Head::item(id, false).write(&[0; 50], out));
    let mut feed = |bytes: Vec<u8>| pair.client.handle_data(&mut BytesMut::from(&bytes[..]), pair.now);
    assert_eq!(feed(item(RequestId { slot: 0, generation: 9 })), Ok(()));
    assert_eq!(feed(item(RequestId { slot: 99, generation: 0 })), Ok(()));
    assert_eq!(feed(item(ID)), Ok(()));
    assert_eq!(feed(item(ID)), Err(ProtocolError::OverCredit));
}

#[test]
fn a_fault_of_no_known_reason_ends_its_request_only() {
    let mut pair = Pair::small();
    let ticket = pair.call("a", "never", b"");
    let bytes = written(|out| Head::reply(ID, true, false).write(&[0, 200, 1, 2, 3], out));
    assert_eq!(pair.client.handle_data(&mut BytesMut::from(&bytes[..]), pair.now), Ok(()));
    let failure = pair.failure(ticket);
    assert!(matches!(failure, farcall_proto::failure::Failure::Failed(Failed::ReplyDecode(_))), "{failure}");
}

#[test]
fn a_flood_of_pings_and_cancels_from_one_who_reads_nothing_is_answered_within_a_bound() {
    let ping = written(|out| frame::write_ping(7, out)).repeat(1000);
    let mut pair = Pair::small();
    let mut link = acceptor(Limits::default());
    for _ in 0..200 {
        pair.client.handle_data(&mut BytesMut::from(&ping[..]), pair.now).unwrap();
        accept(&mut link, &ping).unwrap();
    }
    assert!(pair.client.unsent_bytes() <= (1 << 20) + 64 && link.unsent_bytes() <= (1 << 20) + 64);
    let cancel = written(|out| frame::write_cancel(ID, out)).repeat(1000);
    let before = link.unsent_bytes();
    assert_eq!(accept(&mut link, &cancel), Ok(1000), "handed on, a slice at a time");
    assert_eq!(link.unsent_bytes(), before);
}

#[test]
fn one_who_asks_and_reads_nothing_is_read_no_more() {
    let mut pair = Pair::new(Limits { unsent_bytes_max: 50_000, ..Limits::default() });
    pair.down.stalled = true;
    for _ in 0..1000 {
        pair.call("a", "echo", &[0; 1000]);
        pair.run();
        if !pair.acceptor.wants_read() {
            break;
        }
    }
    assert!(!pair.acceptor.wants_read());
    assert!(pair.acceptor.unsent_bytes() < 52_000);
    assert!(pair.server.received.len() < 60);
}

#[test]
fn announced_numbers_that_make_no_sense_neither_panic_nor_block() {
    for number in [0, 1, u32::MAX] {
        let peer = PeerParams {
            message_bytes_max: number,
            fragment_bytes: number,
            in_flight_max: number,
            reassembly_bytes_max: number,
            tick_ms: number,
            tick_intensity: number.to_le_bytes()[0],
            compress: 0xff,
            flags: number,
            extensions: Extensions::default(),
        };
        let mut pair = Pair::small();
        let mut queued = Pair::opening(Limits::default(), Limits::default());
        let large = queued.call("a", "echo", &[0; 100_000]);
        queued.client.handle_connected(&peer, queued.now);
        queued.run();
        match number {
            u32::MAX => assert_eq!(queued.answer(large).len(), 100_000),
            _ => assert!(matches!(
                queued.failure(large),
                farcall_proto::failure::Failure::NotSent(NotSent::TooLarge { .. })
            )),
        }
        pair.acceptor = AcceptorLink::new(Limits::default(), &peer, pair.now);
        pair.client.handle_connected(&peer, pair.now);
        let empty = pair.submit(SubmitKind::Call, route("a", "echo"), b"", None).unwrap();
        pair.run();
        assert!(pair.answer(empty).is_empty());
        let io = Default::default();
        assert!(pair.client.poll_timeout(&io) > pair.now, "no peer makes this side spin");
        pair.acceptor.open_stream(ID, number);
        pair.acceptor.push_item(ID, false, Body::Borrowed(b"xy"));
    }
}

#[test]
fn credit_without_end_does_not_overflow() {
    let mut link = acceptor(Limits::default());
    link.open_stream(ID, u32::MAX);
    let grant = written(|out| frame::write_credit(ID, u32::MAX, out)).repeat(100_000);
    assert_eq!(accept(&mut link, &grant), Ok(0));
}

/// Valid traffic of both directions, as the corpus has it.
fn traffic() -> (Vec<u8>, Vec<u8>) {
    let mut pair = Pair::new(fuzz_entries::tight());
    pair.call("a", "echo", b"x");
    pair.submit(SubmitKind::Deliver, route("a", "echo"), b"d", None).unwrap();
    pair.open(300, 3, 100);
    let cast = pair.cast("b", &[1; 3000]);
    pair.confirm(cast, None).unwrap();
    pair.client.ping(None, 0).unwrap();
    pair.call("a", "fault", b"");
    pair.run();
    let ticket = pair.call("a", "large", &support::server::script(0, 5000));
    pair.run();
    pair.client.cancel(ticket);
    pair.acceptor.goodbye(frame::Goodbye::Idle);
    pair.run();
    (pair.up.wire, pair.down.wire)
}

fn mutated(wire: &[u8], changes: &[(prop::sample::Index, u8, u8)]) -> Vec<u8> {
    let mut bytes = wire.to_vec();
    for (at, what, value) in changes {
        let at = at.index(bytes.len().max(1));
        match what % 4 {
            0 => bytes[at] = *value,
            1 => bytes[at] ^= 1 << (value % 8),
            2 => bytes.insert(at, *value),
            _ => drop(bytes.drain(at..(at + usize::from(*value)).min(bytes.len() - 1).max(at))),
        }
    }
    bytes
}

/// A monitor, a link, all members, a change and a limit, as they are said in a session.
const SAID: &[u8] = b"\x01\x03\x01\x01a\x04\x04\x01a\x01b\x10\x0b\x01\x01\x01\x01\x01s\x01g\x01a\x02\x11\x09\x02\x01\x01s\x01g\x01a\x00\x12\x01\x04";

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_never_panic_nor_hold_more_than_the_limits(
        bytes in prop::collection::vec(any::<u8>(), 0..2000),
    ) {
        fuzz_entries::frame(&bytes);
        fuzz_entries::notices(&bytes);
        fuzz_entries::link_client(&bytes);
        fuzz_entries::link_acceptor(&bytes);
        fuzz_entries::pre_auth(&bytes);
        fuzz_entries::fragments(&bytes);
    }

    #[test]
    fn mutated_traffic_never_panics_nor_holds_more_than_the_limits(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), any::<u8>()), 0..8),
        split: u8,
    ) {
        fuzz_entries::notices(&mutated(SAID, &changes));
        let (up, down) = traffic();
        let with_split = |wire| [&[split][..], &mutated(wire, &changes)].concat();
        fuzz_entries::link_acceptor(&with_split(&up));
        fuzz_entries::link_client(&with_split(&down));
    }
}
