//! Every frame as it stands on the wire: golden bytes, and what a reader makes of other ones.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that panics has failed, as it should"
)]

use farcall_proto::failure::{Failed, Fault, Rejected};
use farcall_proto::link::ProtocolError;
use farcall_proto::link::frame::{self, Definition, Frame, Goodbye, Head, Kind, RequestId};
use farcall_proto::trace::{TRACE_BYTES, TraceContext};
use proptest::prelude::*;

/// The example of the recommendation.
const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// It as it travels.
const TRACE: &[u8; TRACE_BYTES] = &[
    0x0a, 0xf7, 0x65, 0x19, 0x16, 0xcd, 0x43, 0xdd, 0x84, 0x48, 0xeb, 0x21, 0x1c, 0x80, 0x31, 0x9c, 0xb7,
    0xad, 0x6b, 0x71, 0x69, 0x20, 0x33, 0x31, 0x01,
];

const ID: RequestId = RequestId { slot: 0x0403_0201, generation: 0x0807_0605 };

fn definition() -> Definition {
    Definition {
        actor: "counter".to_owned(),
        message: "Add".to_owned(),
        version: 2,
        fingerprint: 0x1122_3344_5566_7788,
        requirement: "^1".to_owned(),
    }
}

fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out);
    out
}

/// A frame as it is written, its bytes in hex, and how it reads.
type Golden = (Vec<u8>, &'static str, Frame<'static>);

/// Every kind of frame once.
fn golden() -> Vec<Golden> {
    requests_and_answers().into_iter().chain(with_traces()).chain(the_connection_itself()).collect()
}

/// Every kind that may have a trace, with one.
fn with_traces() -> Vec<Golden> {
    let (id, route, deadline_ms, compressed, payload) = (ID, 9, 5000, false, &b"hi"[..]);
    let (trace, traced) = (Some(TRACE), TRACEPARENT.parse::<TraceContext>().unwrap());
    vec![
        (
            written(|out| {
                Head::request(Kind::Request, ID, 9, 5000, true).traced(Some(&traced)).write(b"hi", out)
            }),
            "2f000000 01 11 0000 01020304 05060708 09000000 88130000 \
             0af7651916cd43dd8448eb211c80319c b7ad6b7169203331 01 6869",
            Frame::Request { id, route, deadline_ms, compressed: true, trace, payload },
        ),
        (
            written(|out| Head::cast(9, false).traced(Some(&traced)).write(b"hi", out)),
            "23000000 02 10 0000 09000000 0af7651916cd43dd8448eb211c80319c b7ad6b7169203331 01 6869",
            Frame::Cast { route, compressed, trace, payload },
        ),
        (
            written(|out| Head::open(ID, 9, 5000, 0x1_0000, false).traced(Some(&traced)).write(b"hi", out)),
            "33000000 04 10 0000 01020304 05060708 09000000 88130000 00000100 \
             0af7651916cd43dd8448eb211c80319c b7ad6b7169203331 01 6869",
            Frame::Open { id, route, deadline_ms, window: 0x1_0000, compressed, trace, payload },
        ),
    ]
}

fn requests_and_answers() -> Vec<Golden> {
    let (id, route, deadline_ms, compressed, payload) = (ID, 9, 5000, false, &b"hi"[..]);
    let trace = None;
    let fault = Fault::Rejected(Rejected::NoSuchActor);
    vec![
        (
            written(|out| Head::request(Kind::Request, ID, 9, 5000, false).write(b"hi", out)),
            "16000000 01 00 0000 01020304 05060708 09000000 88130000 6869",
            Frame::Request { id, route, deadline_ms, compressed, trace, payload },
        ),
        (
            written(|out| Head::cast(9, true).write(b"hi", out)),
            "0a000000 02 01 0000 09000000 6869",
            Frame::Cast { route, compressed: true, trace, payload },
        ),
        (
            written(|out| Head::request(Kind::Deliver, ID, 9, 5000, false).write(b"hi", out)),
            "16000000 03 00 0000 01020304 05060708 09000000 88130000 6869",
            Frame::Deliver { id, route, deadline_ms, compressed, trace, payload },
        ),
        (
            written(|out| Head::open(ID, 9, 5000, 0x1_0000, false).write(b"hi", out)),
            "1a000000 04 00 0000 01020304 05060708 09000000 88130000 00000100 6869",
            Frame::Open { id, route, deadline_ms, window: 0x1_0000, compressed, trace, payload },
        ),
        (
            written(|out| Head::reply(ID, false, true).write(b"hi", out)),
            "0e000000 05 01 0000 01020304 05060708 6869",
            Frame::Reply { id, fault: false, compressed: true, payload },
        ),
        (
            written(|out| frame::write_fault(ID, &fault, out)),
            "0e000000 05 02 0000 01020304 05060708 0000",
            Frame::Reply { id, fault: true, compressed, payload: &[0, 0] },
        ),
        (
            written(|out| Head::item(ID, false).write(b"hi", out)),
            "0e000000 06 00 0000 01020304 05060708 6869",
            Frame::Item { id, opened: false, compressed, payload },
        ),
        (
            written(|out| Head::opened(ID).write(&[], out)),
            "0c000000 06 04 0000 01020304 05060708",
            Frame::Item { id, opened: true, compressed, payload: &[] },
        ),
        (
            written(|out| frame::write_credit(ID, 4096, out)),
            "10000000 07 00 0000 01020304 05060708 00100000",
            Frame::Credit { id, bytes: 4096 },
        ),
        (
            written(|out| frame::write_cancel(ID, out)),
            "0c000000 08 00 0000 01020304 05060708",
            Frame::Cancel { id },
        ),
    ]
}

fn the_connection_itself() -> Vec<Golden> {
    let (id, route, payload) = (ID, 9, &b"hi"[..]);
    vec![
        (
            written(|out| frame::write_define(9, &definition(), out)),
            "21000000 09 00 0000 09000000 07636f756e746572 03416464 02 88ef99abc5e88c9111 025e31",
            Frame::Define { route, definition: definition() },
        ),
        (
            written(|out| frame::confirm(ID, 9, 3).write(&[], out)),
            "18000000 0a 00 0000 01020304 05060708 09000000 0300000000000000",
            Frame::Confirm { id, route, cast: 3 },
        ),
        (
            written(|out| frame::write_ping(5, out)),
            "0c000000 0b 00 0000 0500000000000000",
            Frame::Ping { token: 5 },
        ),
        (
            written(|out| frame::write_pong(5, out)),
            "0c000000 0c 00 0000 0500000000000000",
            Frame::Pong { token: 5 },
        ),
        (
            written(|out| frame::write_goodbye(Goodbye::Draining, out)),
            "05000000 0d 00 0000 02",
            Frame::Goodbye { reason: Goodbye::Draining },
        ),
        (
            written(|out| Head::fragment(6, Some(100_000)).write(b"hi", out)),
            "0e000000 0e 04 0000 06000000 a0860100 6869",
            Frame::Fragment { stream: 6, total: Some(100_000), abort: false, data: payload },
        ),
        (
            written(|out| Head::fragment(6, None).write(b"hi", out)),
            "0a000000 0e 00 0000 06000000 6869",
            Frame::Fragment { stream: 6, total: None, abort: false, data: payload },
        ),
        (
            written(|out| frame::write_abort(6, out)),
            "08000000 0e 08 0000 06000000",
            Frame::Fragment { stream: 6, total: None, abort: true, data: &[] },
        ),
        (written(|out| Head::void().write(&[], out)), "04000000 0f 00 0000", Frame::Void),
    ]
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|d| d.to_le_bytes()[0]).collect();
    digits.chunks(2).map(|pair| pair[0] * 16 + pair[1]).collect()
}

#[test]
fn every_frame_has_exactly_these_bytes_and_reads_as_it_was_written() {
    let mut kinds = Vec::new();
    for (bytes, hex, frame) in golden() {
        assert_eq!(bytes, unhex(hex), "{frame:?}");
        assert_eq!(Frame::parse(&bytes[4..]), Ok(frame));
        kinds.push(bytes[4]);
    }
    kinds.sort_unstable();
    kinds.dedup();
    assert_eq!(kinds, (1..=15).collect::<Vec<u8>>(), "every kind is here");
}

#[test]
fn a_frame_cut_inside_its_fields_is_truncated_at_every_length_and_never_read_as_another() {
    for (bytes, _, whole) in golden() {
        for end in 4..bytes.len() {
            match Frame::parse(&bytes[4..end]) {
                Err(ProtocolError::Truncated) => assert!(end < 4 + frame::HEAD_BYTES_MAX),
                Err(error) => assert!(matches!(whole, Frame::Define { .. }), "{error} of {whole:?}"),
                Ok(shorter) => {
                    assert_eq!(std::mem::discriminant(&shorter), std::mem::discriminant(&whole));
                    assert_ne!(shorter, whole, "a payload may be shorter, for only `len` knows its size");
                }
            }
        }
    }
}

#[test]
fn an_unknown_kind_is_an_error_that_names_it() {
    for kind in [0, 16, 17, 128, 255] {
        assert_eq!(Frame::parse(&[kind, 0, 0, 0]), Err(ProtocolError::UnknownKind(kind)));
    }
}

#[test]
fn unknown_flags_and_the_reserved_bytes_are_ignored() {
    for (mut bytes, _, frame) in golden() {
        bytes[5] |= 0xe0;
        (bytes[6], bytes[7]) = (0xff, 0xff);
        assert_eq!(Frame::parse(&bytes[4..]), Ok(frame));
    }
}

#[test]
fn optional_bytes_behind_a_definition_are_skipped() {
    let mut bytes = written(|out| frame::write_define(9, &definition(), out));
    bytes.extend_from_slice(b"what a later version adds");
    assert_eq!(Frame::parse(&bytes[4..]), Ok(Frame::Define { route: 9, definition: definition() }));
}

#[test]
fn a_definition_that_announces_more_than_there_is_reserves_nothing_and_is_refused() {
    let bytes = [&[9, 0, 0, 0, 1, 0, 0, 0][..], &[0xff; 4], &[0x0f]].concat();
    assert_eq!(Frame::parse(&bytes), Err(ProtocolError::BadDefinition));
}

#[test]
fn a_goodbye_with_a_reason_of_a_later_version_is_kept_by_number() {
    let bytes = written(|out| frame::write_goodbye(Goodbye::Other(77), out));
    assert_eq!(Frame::parse(&bytes[4..]), Ok(Frame::Goodbye { reason: Goodbye::Other(77) }));
}

proptest! {
    #[test]
    fn heads_of_any_fields_and_payloads_of_any_bytes_read_as_they_were_written(
        slot: u32, generation: u32, route: u32, deadline_ms: u32, window: u32, compressed: bool,
        trace: Option<[u8; TRACE_BYTES]>,
        payload in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let (id, payload) = (RequestId { slot, generation }, &payload[..]);
        let context = trace.as_ref().and_then(TraceContext::from_bytes);
        let trace = context.map(|context| context.to_bytes());
        let head = Head::open(id, route, deadline_ms, window, compressed).traced(context.as_ref());
        let bytes = written(|out| head.write(payload, out));
        let frame =
            Frame::Open { id, route, deadline_ms, window, compressed, trace: trace.as_ref(), payload };
        prop_assert_eq!(Frame::parse(&bytes[4..]), Ok(frame));
        prop_assert_eq!(u32::from_le_bytes(*bytes.first_chunk().unwrap()) as usize, bytes.len() - 4);
        let bytes = written(|out| Head::reply(id, false, compressed).write(payload, out));
        prop_assert_eq!(Frame::parse(&bytes[4..]), Ok(Frame::Reply { id, fault: false, compressed, payload }));
        let bytes = written(|out| Head::fragment(route, Some(window)).write(payload, out));
        let frame = Frame::Fragment { stream: route, total: Some(window), abort: false, data: payload };
        prop_assert_eq!(Frame::parse(&bytes[4..]), Ok(frame));
    }

    #[test]
    fn definitions_of_any_names_read_as_they_were_written(
        actor: String, message: String, version: u16, fingerprint: u64, requirement: String, route: u32,
    ) {
        let definition = Definition { actor, message, version, fingerprint, requirement };
        let bytes = written(|out| frame::write_define(route, &definition, out));
        prop_assert_eq!(Frame::parse(&bytes[4..]), Ok(Frame::Define { route, definition }));
    }

    #[test]
    fn faults_of_any_text_read_as_they_were_written(text: String, bytes: u64, limit: u64) {
        for fault in [
            Fault::Rejected(Rejected::Incompatible(text.clone())),
            Fault::Rejected(Rejected::WrongVersion { have: text.clone(), want: text.clone() }),
            Fault::Failed(Failed::ReplyTooLarge { bytes, limit }),
        ] {
            let out = written(|out| frame::write_fault(ID, &fault, out));
            let Ok(Frame::Reply { id: ID, fault: true, payload, .. }) = Frame::parse(&out[4..]) else { panic!() };
            prop_assert_eq!(postcard::from_bytes::<Fault>(payload), Ok(fault));
        }
    }
}
