//! A request answered by many items, with credit.

use std::time::Duration;

use farcall_proto::link::frame::Frame;
use farcall_proto::link::outbox::Body;
use farcall_proto::link::{Credit, Limits, NextItem, Outcome, SubmitKind, Ticket};
use proptest::prelude::*;

use crate::support::{Pair, frames, route, server};

/// Takes items until there are none, moving bytes between them; gives the first byte of each.
fn take(pair: &mut Pair, ticket: Ticket) -> (Vec<u8>, NextItem) {
    let mut items = Vec::new();
    loop {
        match pair.client.poll_item(ticket, || 77) {
            NextItem::Item { answer, .. } => {
                items.push(answer.as_slice().first().copied().unwrap_or_default())
            }
            NextItem::Opened => assert!(items.is_empty(), "a stream opens before its first item"),
            NextItem::Pending if pair.client.wants_write() || pair.acceptor.wants_write() => pair.run(),
            other => return (items, other),
        }
    }
}

proptest! {
    #[test]
    fn items_of_any_size_under_any_window_arrive_in_order_and_end(
        window in 1u32..20_000, items in 0u32..200, bytes in 1u32..3000,
    ) {
        let mut pair = Pair::small();
        let ticket = pair.open(window, items, bytes);
        pair.run();
        let (taken, end) = take(&mut pair, ticket);
        let expected: Vec<u8> = (0..items).rev().map(|n| n.to_le_bytes()[0]).collect();
        prop_assert_eq!(taken, expected);
        let ended_well = matches!(end, NextItem::End(Outcome::Answered { .. }));
        prop_assert!(ended_well);
        prop_assert_eq!(pair.client.in_flight(), 0);
        prop_assert_eq!(pair.ended, None);
    }
}

#[test]
fn no_more_items_are_sent_than_there_is_credit_for_and_one_over() {
    let mut pair = Pair::small();
    pair.open(1000, 500, 136);
    pair.run();
    let frames = frames(&pair.down.wire);
    let items = frames.iter().filter(|frame| matches!(frame, Frame::Item { opened: false, .. })).count();
    assert_eq!(items, 5, "each costs 200 of 1,000");
}

#[test]
fn a_waiting_reader_is_woken_by_the_item_and_by_the_end() {
    let mut pair = Pair::small();
    pair.down.delay = Duration::from_millis(10);
    let ticket = pair.open(1000, 1, 10);
    pair.run();
    assert!(matches!(pair.client.poll_item(ticket, || 77), NextItem::Pending));
    pair.advance(Duration::from_millis(10));
    assert_eq!(pair.woken, [77]);
    assert!(matches!(pair.client.poll_item(ticket, || 78), NextItem::Opened));
    assert!(matches!(pair.client.poll_item(ticket, || 78), NextItem::Item { .. }));
    assert!(matches!(pair.client.poll_item(ticket, || 78), NextItem::End(_)));
}

#[test]
fn a_cancelled_stream_stops_at_the_peer_too() {
    let mut pair = Pair::small();
    let ticket = pair.open(1000, 500, 136);
    pair.run();
    assert_eq!(pair.acceptor.in_flight(), 1);
    pair.client.cancel(ticket);
    pair.run();
    assert!(pair.acceptor.is_quiet() && pair.client.is_quiet());
    assert!(matches!(pair.client.poll_item(ticket, || 0), NextItem::End(_)));
}

#[test]
fn a_deadline_ends_a_stream_that_has_not_begun_and_none_that_has() {
    let mut pair = Pair::small();
    let timeout = Some(Duration::from_millis(50));
    let kind = SubmitKind::Open { window: 100 };
    let begun = pair.submit(kind, route("s", "items"), &server::script(9, 100), timeout).unwrap();
    pair.run();
    pair.up.stalled = true;
    let silent = pair.submit(kind, route("s", "items"), &server::script(9, 100), timeout).unwrap();
    pair.advance(Duration::from_millis(60));
    assert!(matches!(pair.client.poll_item(silent, || 0), NextItem::End(Outcome::Failure(_))));
    pair.up.stalled = false;
    pair.run();
    let (items, end) = take(&mut pair, begun);
    assert_eq!(items.len(), 9);
    assert!(matches!(end, NextItem::End(Outcome::Answered { .. })));
}

#[test]
fn a_stream_waits_while_answers_pile_up_whatever_credit_it_has() {
    let mut pair = Pair::new(Limits { unsent_bytes_max: 20_000, ..Limits::default() });
    pair.down.stalled = true;
    let ticket = pair.open(u32::MAX, 200, 1000);
    pair.run();
    assert!(pair.acceptor.unsent_bytes() <= 21_100, "{} bytes wait", pair.acceptor.unsent_bytes());
    pair.down.stalled = false;
    pair.run();
    let (items, _) = take(&mut pair, ticket);
    assert_eq!(items.len(), 200, "it goes on when they are read");
}

#[test]
fn a_stream_replaced_by_a_newer_one_of_its_slot_wakes_who_waits_and_is_over() {
    let mut pair = Pair::small();
    let id = |generation| farcall_proto::link::frame::RequestId { slot: 0, generation };
    pair.acceptor.open_stream(id(0), 0);
    assert_eq!(pair.acceptor.poll_credit(id(0), || 5), Credit::Wait);
    pair.acceptor.open_stream(id(1), 100);
    let mut woken = Vec::new();
    pair.acceptor.poll_woken(&mut woken);
    assert_eq!(woken, [5]);
    assert_eq!(pair.acceptor.poll_credit(id(0), || 5), Credit::Cancelled);
    assert!(!pair.acceptor.push_item(id(0), false, Body::Borrowed(b"x")));
    assert_eq!(pair.acceptor.poll_credit(id(1), || 5), Credit::Ready);
}

#[test]
fn an_item_larger_than_the_caller_takes_ends_its_stream_with_a_fault() {
    let client = Limits { message_bytes_max: 2000, ..Limits::default() };
    let mut pair = Pair::opening(client, Limits::default());
    pair.connect();
    let ticket = pair.submit(SubmitKind::Call, route("a", "never"), b"", None).unwrap();
    pair.run();
    let id = pair.server.owed.pop().unwrap();
    pair.acceptor.open_stream(id, 10_000);
    assert!(!pair.acceptor.push_item(id, false, Body::Borrowed(&[0; 2001])));
    assert_eq!(pair.acceptor.poll_credit(id, || 0), Credit::Cancelled);
    pair.run();
    let reason = farcall_proto::failure::Failed::ReplyTooLarge { bytes: 2001, limit: 2000 };
    assert_eq!(pair.failure(ticket), reason.into());
}
