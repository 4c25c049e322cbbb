//! G3: a lost connection ends every waiting call at once, with the class its bytes deserve.

use std::time::Duration;

use farcall_proto::failure::{Failure, NotSent, Unknown};
use farcall_proto::link::frame::Frame;
use farcall_proto::link::{LossCause, NextItem, Phase};

use crate::support::{Pair, frames};

fn unsent() -> Failure {
    NotSent::Disconnected("cut".into()).into()
}

fn unknown() -> Failure {
    Unknown::LinkLost("closed by the peer".into()).into()
}

/// Calls of several sizes; the socket takes `takes` bytes and breaks. How each call ends, and whether any byte of
/// its frame was among them.
fn calls_cut_after(takes: usize) -> Vec<(Failure, bool)> {
    let mut pair = Pair::small();
    pair.up.takes = takes;
    let sizes = [10, 2500, 20, 1500, 1];
    let tickets: Vec<_> = ["a", "b", "c", "d", "a"]
        .into_iter()
        .zip(sizes)
        .map(|(to, n)| pair.call(to, "never", &vec![1; n]))
        .collect();
    pair.run();
    pair.cut(0);
    let failures: Vec<Failure> = tickets.into_iter().map(|ticket| pair.failure(ticket)).collect();
    // The same traffic uncut shows where each frame begins.
    let mut whole = Pair::small();
    for (to, n) in ["a", "b", "c", "d", "a"].into_iter().zip(sizes) {
        whole.call(to, "never", &vec![1; n]);
    }
    whole.run();
    let (mut at, mut small, mut large) = (0, Vec::new(), Vec::new());
    for frame in frames(&whole.up.wire) {
        match frame {
            Frame::Request { .. } => small.push(at),
            Frame::Fragment { total: Some(_), .. } => large.push(at),
            _ => {}
        }
        let len = u32::from_le_bytes(whole.up.wire[at..at + 4].try_into().unwrap());
        at += 4 + len as usize;
    }
    let first_bytes = [small[0], large[0], small[1], large[1], small[2]];
    failures.into_iter().zip(first_bytes.map(|first| takes > first)).collect()
}

#[test]
fn a_call_is_not_sent_exactly_if_no_byte_of_it_was_written() {
    let mut classes = [0, 0];
    for takes in 0..4800 {
        for (failure, began) in calls_cut_after(takes) {
            assert_eq!(failure, if began { unknown() } else { unsent() }, "after {takes} bytes");
            classes[usize::from(began)] += 1;
        }
    }
    assert!(classes.iter().all(|count| *count > 1000));
}

#[test]
fn a_lost_link_takes_nothing_gives_nothing_and_keeps_nothing() {
    let mut pair = Pair::small();
    pair.up.stalled = true;
    pair.cast("a", &[0; 100_000]);
    pair.call("a", "echo", b"x");
    pair.cut(0);
    assert_eq!(*pair.client.phase(), Phase::Lost);
    assert_eq!(pair.woken, [0]);
    assert!(
        pair.client
            .cast(
                &crate::support::route("a", "m"),
                farcall_proto::link::outbox::Body::Borrowed(b""),
                false,
                None
            )
            .is_err()
    );
    assert!(pair.client.ping(None, 7).is_err());
    let mut batch = Vec::new();
    pair.client.poll_transmit(&mut batch, pair.now);
    let io = pair.up.io(&pair.down);
    assert_eq!(pair.client.handle_timeout(pair.now + Duration::from_secs(3600), &io), Ok(()));
    pair.client.poll_transmit(&mut batch, pair.now);
    assert!(batch.is_empty() && !pair.client.wants_write());
    assert_eq!(pair.client.unsent_bytes(), 0);
    pair.client.handle_lost(NotSent::DeadlineBeforeWrite, LossCause::Closed, 0, pair.now);
    pair.client.wait_for_room(8);
    let mut woken = Vec::new();
    pair.client.poll_woken(&mut woken);
    assert_eq!(woken, [8], "who waits for room learns at once");
}

#[test]
fn what_was_answered_before_the_loss_stays_answered() {
    let mut pair = Pair::small();
    let ticket = pair.call("a", "echo", b"x");
    let stream = pair.open(10_000, 3, 10);
    let endless = pair.open(1000, 1000, 10);
    pair.run();
    pair.cut(0);
    assert_eq!(pair.answer(ticket), b"x");
    assert!(matches!(pair.client.poll_item(stream, || 0), NextItem::Opened));
    let mut items = 0;
    while let NextItem::Item { .. } = pair.client.poll_item(stream, || 0) {
        items += 1;
    }
    assert_eq!(items, 3);
    let mut items = 0;
    let end = loop {
        match pair.client.poll_item(endless, || 0) {
            NextItem::Opened => {}
            NextItem::Item { .. } => items += 1,
            other => break other,
        }
    };
    assert!(items > 0 && matches!(end, NextItem::End(farcall_proto::link::Outcome::Failure(_))));
}

#[test]
fn a_confirm_ends_as_its_cast_did_not_as_its_own_frame() {
    let mut pair = Pair::small();
    let gone = pair.cast("a", b"gone");
    pair.run();
    pair.up.stalled = true;
    pair.cast("a", b"in the socket's way");
    pair.run();
    let waits = pair.cast("a", b"waits");
    let asked_gone = pair.confirm(gone, None).unwrap();
    let asked_waits = pair.confirm(waits, None).unwrap();
    pair.cut(0);
    assert_eq!(pair.failure(asked_gone), unknown());
    assert_eq!(pair.failure(asked_waits), unsent());
    assert_eq!(pair.confirm(gone, None), Err(unknown()));
    assert_eq!(pair.confirm(waits, None), Err(unsent()));
}

#[test]
fn a_connection_that_never_came_up_ends_every_request_with_its_reason() {
    let mut pair = Pair::opening(Default::default(), Default::default());
    let (call, large) = (pair.call("a", "echo", b"x"), pair.call("a", "echo", &[0; 100_000]));
    let ping = pair.client.ping(None, 9).unwrap();
    let reason = NotSent::ConnectFailed("refused".into());
    pair.client.handle_lost(reason.clone(), LossCause::Ended("refused"), 0, pair.now);
    for ticket in [call, large, ping] {
        assert_eq!(pair.failure(ticket), reason.clone().into());
    }
}

#[test]
fn whoever_waits_for_credit_on_a_lost_connection_is_woken_and_finds_its_stream_cancelled() {
    let mut pair = Pair::small();
    pair.open(100, 1000, 50);
    pair.run();
    assert_eq!(pair.acceptor.in_flight(), 1);
    pair.acceptor.handle_lost();
    let mut woken = Vec::new();
    pair.acceptor.poll_woken(&mut woken);
    assert_eq!(woken.len(), 1);
    pair.server.stream(&mut pair.acceptor);
    assert!(pair.acceptor.is_quiet(), "its answer is counted and dropped");
}
