//! What goes out first, what waits, and what can still be taken back.

use super::*;
use crate::link::frame::{Frame, RequestId};
use proptest::prelude::*;

const WIDE: Reassembly = Reassembly { bytes_max: 1 << 20, streams_max: 8 };

fn kinds(mut bytes: &[u8]) -> Vec<(u8, usize)> {
    let mut kinds = Vec::new();
    while !bytes.is_empty() {
        let len = u32::from_le_bytes(*bytes.first_chunk().unwrap()) as usize;
        kinds.push((bytes[4], len));
        bytes = &bytes[4 + len..];
    }
    kinds
}

fn drain(outbox: &mut Outbox) -> Vec<(u8, usize)> {
    let (mut all, mut buffer) = (Vec::new(), Vec::new());
    loop {
        outbox.poll_transmit(&mut buffer);
        if buffer.is_empty() {
            return all;
        }
        all.extend(kinds(&buffer));
    }
}

#[test]
fn a_small_frame_to_another_actor_passes_a_large_one_and_one_to_the_same_actor_waits() {
    let mut outbox = Outbox::new(1024, WIDE);
    outbox.push(Lane::Actor(1), Head::cast(1, false), Body::Borrowed(&[0; 3000]));
    outbox.push(Lane::Actor(1), Head::cast(2, false), Body::Borrowed(&[1; 10]));
    outbox.push(Lane::Actor(2), Head::cast(3, false), Body::Borrowed(&[2; 10]));
    let order: Vec<u8> = drain(&mut outbox).into_iter().map(|(kind, _)| kind).collect();
    let (cast, fragment) = (Kind::Cast as u8, Kind::Fragment as u8);
    assert_eq!(order, [cast, fragment, fragment, fragment, cast]);
    assert_eq!(outbox.unsent_bytes(), 0);
    assert!(outbox.is_empty());
}

#[test]
fn large_frames_of_two_lanes_take_turns_and_no_more_start_than_the_peer_can_hold() {
    let mut outbox = Outbox::new(1024, Reassembly { bytes_max: 5000, streams_max: 8 });
    for actor in 0..2 {
        outbox.push(Lane::Actor(actor), Head::cast(actor, false), Body::Borrowed(&[0; 3000]));
    }
    let mut buffer = Vec::new();
    outbox.poll_transmit(&mut buffer);
    let mut streams = Vec::new();
    let mut rest = &buffer[..];
    while let Some(len) = rest.first_chunk::<4>() {
        let len = u32::from_le_bytes(*len) as usize;
        if let Frame::Fragment { stream, .. } = Frame::parse(&rest[4..4 + len]).unwrap() {
            streams.push(stream);
        }
        rest = &rest[4 + len..];
    }
    assert_eq!(streams, [0, 0, 0, 1, 1, 1], "6,000 bytes do not fit 5,000 at once");
}

#[test]
fn a_withdrawn_small_frame_travels_as_nothing_and_a_handed_out_one_cannot_be_withdrawn() {
    let mut outbox = Outbox::new(1024, WIDE);
    let id = RequestId { slot: 0, generation: 0 };
    let head = Head::request(Kind::Request, id, 0, 0, false);
    let first = outbox.push(Lane::Actor(1), head, Body::Borrowed(b"a"));
    let second = outbox.push(Lane::Actor(1), head, Body::Borrowed(b"b"));
    assert!(outbox.withdraw(second));
    let mut buffer = Vec::new();
    outbox.poll_transmit(&mut buffer);
    assert_eq!(kinds(&buffer), [(Kind::Request as u8, 21), (Kind::Void as u8, 21)]);
    assert!(!outbox.withdraw(first));
}

/// A tick, two small frames, two large ones with a small one behind; then a frame that is not handed out.
fn half_written(written: usize) -> (Vec<bool>, Outbox) {
    let mut outbox = Outbox::new(1024, WIDE);
    outbox.control(|out| frame::write_ping(0, out));
    let push = |outbox: &mut Outbox, actor, bytes: usize| {
        outbox.push(Lane::Actor(actor), Head::cast(1, false), Body::Borrowed(&vec![0; bytes]))
    };
    let mut places: Vec<Place> =
        [(1, 8), (1, 8), (2, 1500), (3, 1500), (2, 8)].map(|(actor, n)| push(&mut outbox, actor, n)).into();
    let mut buffer = Vec::new();
    outbox.poll_transmit(&mut buffer);
    places.push(push(&mut outbox, 1, 8));
    places.push(push(&mut outbox, 4, 3000));
    assert_eq!(buffer.len(), 16 + 2 * 20 + 2 * (1508 + 16 + 12) + 20);
    let ended = outbox.end(written);
    (places.into_iter().map(|place| ended.includes(place)).collect(), outbox)
}

#[test]
fn a_half_written_batch_tells_exactly_which_frames_may_have_left() {
    let mut left = 0;
    // The order on the wire: tick, two small ones, then both large ones in turn; the small one behind goes last.
    let first_bytes = [16, 36, 56, 56 + 1016 + 16, 56 + 2 * (1508 + 28)];
    for (frames, first_byte) in first_bytes.into_iter().enumerate() {
        for written in [first_byte, first_byte + 1] {
            let (includes, _) = half_written(written);
            left = frames + usize::from(written > first_byte);
            assert_eq!(includes.iter().filter(|gone| **gone).count(), left, "{written} bytes were written");
            assert!(includes[..left].iter().all(|gone| *gone));
        }
    }
    assert_eq!(left, 5);
}

#[test]
fn a_writer_that_died_counts_as_having_written_its_whole_batch() {
    let (includes, _) = half_written(usize::MAX);
    assert_eq!(includes, [true, true, true, true, true, false, false]);
}

#[test]
fn an_ended_outbox_keeps_no_bytes_and_gives_none() {
    let (_, mut outbox) = half_written(100);
    assert_eq!((outbox.unsent_bytes(), outbox.held_bytes()), (0, 0));
    assert!(drain(&mut outbox).is_empty());
}

#[test]
fn a_large_frame_given_up_half_way_is_aborted_on_the_wire() {
    let mut outbox = Outbox::new(64 * 1024, WIDE);
    let place = outbox.push(Lane::Actor(1), Head::cast(1, false), Body::Borrowed(&[0; 300_000]));
    let mut buffer = Vec::new();
    outbox.poll_transmit(&mut buffer);
    assert!(!outbox.withdraw(place));
    outbox.poll_transmit(&mut buffer);
    assert_eq!(
        Frame::parse(&buffer[4..]),
        Ok(Frame::Fragment { stream: 0, total: None, abort: true, data: &[] })
    );
    assert_eq!(outbox.unsent_bytes(), buffer.len());
}

#[test]
fn small_frames_withdrawn_behind_a_large_one_leave_eight_bytes_each_and_never_go_out() {
    let mut outbox = Outbox::new(1024, WIDE);
    outbox.push(Lane::Actor(1), Head::cast(1, false), Body::Borrowed(&[0; 3000]));
    let push =
        |outbox: &mut Outbox, n| outbox.push(Lane::Actor(1), Head::cast(n, false), Body::Borrowed(&[0; 100]));
    let places: Vec<Place> = (0..5).map(|n| push(&mut outbox, n)).collect();
    let before = outbox.unsent_bytes();
    for at in [3, 0, 1] {
        assert!(outbox.withdraw(places[at]));
    }
    assert_eq!(before - outbox.unsent_bytes(), 3 * (112 - 8));
    let kinds: Vec<u8> = drain(&mut outbox).into_iter().map(|(kind, _)| kind).collect();
    let (cast, fragment, void) = (Kind::Cast as u8, Kind::Fragment as u8, Kind::Void as u8);
    assert_eq!(kinds, [fragment, fragment, fragment, void, void, cast, void, cast]);
    assert_eq!((outbox.unsent_bytes(), outbox.held_bytes()), (0, 0));
}

#[test]
fn ten_thousand_frames_of_one_lane_are_withdrawn_in_any_order_in_no_time() {
    let mut outbox = Outbox::new(1024, WIDE);
    outbox.push(Lane::Actor(1), Head::cast(1, false), Body::Borrowed(&[0; 3000]));
    let push = |outbox: &mut Outbox| outbox.push(Lane::Actor(1), Head::cast(0, false), Body::Borrowed(&[]));
    let places: Vec<Place> = (0..10_000).map(|_| push(&mut outbox)).collect();
    assert!((0..10_000).all(|n| outbox.withdraw(places[(n * 7919) % 10_000])));
    assert!(outbox.held_bytes() >= 10_000 * 128, "what is kept one by one is counted one by one");
}

#[test]
fn a_reassembly_that_makes_no_sense_and_fragments_of_nothing_still_let_frames_through() {
    let mut outbox = Outbox::new(0, Reassembly { bytes_max: 4096, streams_max: 0 });
    outbox.push(Lane::Actor(1), Head::cast(1, false), Body::Borrowed(&[0; 3000]));
    assert_eq!(drain(&mut outbox).len(), 3);
}

#[test]
fn a_long_fault_is_cut_like_any_large_answer() {
    let mut outbox = Outbox::new(1024, WIDE);
    let mut frame = Vec::new();
    let fault = crate::failure::Rejected::Decode("x".repeat(3000)).into();
    frame::write_fault(RequestId { slot: 0, generation: 0 }, &fault, &mut frame);
    outbox.push_encoded(Lane::Answer(0), &frame);
    assert!(drain(&mut outbox).iter().all(|(kind, _)| *kind == Kind::Fragment as u8));
}

#[derive(Debug, Clone)]
enum Step {
    Push { lane: u32, bytes: usize },
    Control,
    Withdraw(usize),
    Transmit,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let bytes = prop_oneof![4 => 0usize..200, 1 => 900usize..5000];
    let step = prop_oneof![
        4 => (0u32..4, bytes).prop_map(|(lane, bytes)| Step::Push { lane, bytes }),
        1 => Just(Step::Control),
        2 => (0usize..50).prop_map(Step::Withdraw),
        2 => Just(Step::Transmit),
    ];
    prop::collection::vec(step, 1..100)
}

#[test]
fn a_batch_of_which_nobody_knows_how_much_was_written_counts_as_written() {
    let mut outbox = Outbox::new(1024, WIDE);
    let mut buffer = Vec::new();
    // The second batch does not begin at offset zero.
    for _ in 0..2 {
        outbox.push(Lane::Actor(1), Head::cast(1, false), Body::Borrowed(&[0; 10]));
        outbox.poll_transmit(&mut buffer);
    }
    let taken = outbox.taken;
    assert_eq!(outbox.end(usize::MAX).small_end, taken);
}

/// Bytes of whole frames that a batch takes out of the queue: not the heads of fragments, but the `len` of each frame
/// that is complete with its last one. `open` has what is still to come of each stream.
fn accounted(batch: &[u8], open: &mut HashMap<u32, usize>) -> usize {
    let (mut rest, mut bytes) = (batch, 0);
    while let Some(len) = rest.first_chunk::<4>() {
        let len = u32::from_le_bytes(*len) as usize;
        bytes += match Frame::parse(&rest[4..4 + len]).unwrap() {
            Frame::Fragment { stream, total, data, abort: false } => {
                let left = open.entry(stream).or_insert_with(|| total.unwrap() as usize);
                *left -= data.len();
                data.len() + if *left == 0 { 4 } else { 0 }
            }
            _ => 4 + len,
        };
        rest = &rest[4 + len..];
    }
    bytes
}

proptest! {
    #[test]
    fn what_counts_as_unsent_is_what_was_queued_and_neither_withdrawn_nor_written(steps in steps()) {
        let mut outbox = Outbox::new(1024, WIDE);
        let (mut places, mut buffer, mut open) = (Vec::new(), Vec::new(), HashMap::new());
        let mut queued = 0;
        for step in steps {
            match step {
                Step::Push { lane, bytes } => {
                    let head = Head::cast(lane, false);
                    places.push(outbox.push(Lane::Actor(lane), head, Body::Borrowed(&vec![0; bytes])));
                    queued += 12 + bytes;
                }
                Step::Control => {
                    outbox.control(|out| frame::write_ping(0, out));
                    queued += 16;
                }
                Step::Withdraw(which) => {
                    if let Some(place) = places.get(which) {
                        let before = outbox.unsent_bytes();
                        outbox.withdraw(*place);
                        // The 12 bytes of an abort may outweigh the end of a frame.
                        prop_assert!(outbox.unsent_bytes() <= before + 8);
                        queued = queued + outbox.unsent_bytes() - before;
                    }
                }
                Step::Transmit => {
                    outbox.poll_transmit(&mut buffer);
                    queued -= accounted(&buffer, &mut open);
                }
            }
            prop_assert_eq!(outbox.unsent_bytes(), queued + buffer.len());
        }
        drain(&mut outbox);
        prop_assert_eq!((outbox.unsent_bytes(), outbox.held_bytes(), outbox.started_bytes), (0, 0, 0));
        prop_assert!(outbox.lanes.is_empty() && outbox.turn.is_empty());
    }
}
