//! G4 and G7: full means QueueFull, waiting ends when there is room, and the smaller limits of both sides hold.

use std::time::Duration;

use farcall_proto::failure::{NotSent, Rejected};
use farcall_proto::link::frame::{Frame, Goodbye};
use farcall_proto::link::outbox::Body;
use farcall_proto::link::{Limits, Phase, SubmitKind, Ticket};

use crate::support::{Pair, frames, route};

fn limit_of(refused: Result<Ticket, NotSent>) -> &'static str {
    match refused {
        Err(NotSent::QueueFull { limit }) => limit.name,
        other => panic!("not full: {other:?}"),
    }
}

fn woken(pair: &mut Pair) -> Vec<u32> {
    let mut woken = Vec::new();
    pair.client.poll_woken(&mut woken);
    woken
}

#[test]
fn a_queue_full_of_bytes_refuses_and_wakes_who_waits_when_half_of_it_is_written() {
    let mut pair = Pair::new(Limits { unsent_bytes_max: 10_000, ..Limits::default() });
    pair.up.stalled = true;
    let submit = |pair: &mut Pair| pair.submit(SubmitKind::Call, route("a", "echo"), &[0; 1000], None);
    while submit(&mut pair).is_ok() {}
    assert_eq!(limit_of(submit(&mut pair)), "unsent_bytes_max");
    assert!(pair.client.unsent_bytes() > 9000 - 28 && pair.client.unsent_bytes() <= 10_000);
    pair.client.wait_for_room(100);
    pair.run();
    assert!(pair.woken.is_empty(), "what is in the writer's hands is not written");
    pair.up.stalled = false;
    pair.run();
    assert!(pair.woken.contains(&100));
    assert!(submit(&mut pair).is_ok());
}

#[test]
fn a_message_larger_than_the_whole_queue_goes_when_the_queue_is_empty() {
    let mut pair = Pair::new(Limits { unsent_bytes_max: 10_000, ..Limits::default() });
    pair.call("a", "echo", b"first");
    let large = |pair: &mut Pair| pair.submit(SubmitKind::Call, route("a", "echo"), &[0; 20_000], None);
    assert_eq!(limit_of(large(&mut pair)), "unsent_bytes_max");
    pair.client.wait_for_room(100);
    assert!(woken(&mut pair).is_empty(), "trying again at once would be in vain");
    pair.run();
    assert!(pair.woken.contains(&100));
    let ticket = large(&mut pair).unwrap();
    pair.run();
    assert_eq!(pair.answer(ticket).len(), 20_000);
}

#[test]
fn a_full_table_refuses_every_kind_of_question_and_a_taken_answer_makes_room_for_one() {
    let mut pair = Pair::new(Limits { in_flight_max: 2, ..Limits::default() });
    let cast = pair.cast("a", b"c");
    let first = pair.call("a", "echo", b"1");
    pair.call("a", "never", b"2");
    let full = [
        pair.submit(SubmitKind::Call, route("a", "echo"), b"3", None),
        pair.client.ping(None, 9),
        pair.confirm(cast, None).map_err(|failure| match failure {
            farcall_proto::failure::Failure::NotSent(reason) => reason,
            other => panic!("{other}"),
        }),
    ];
    assert!(full.into_iter().all(|refused| limit_of(refused) == "in_flight_max"));
    for token in [100, 101] {
        pair.client.wait_for_room(token);
    }
    pair.run();
    assert!(!pair.woken.contains(&100), "an answer that was not taken keeps its slot");
    pair.answer(first);
    assert_eq!(woken(&mut pair), [100], "one slot is free, so one is woken");
}

#[test]
fn who_stops_waiting_for_room_gets_its_token_back_and_wakes_the_next_if_it_was_its_turn() {
    let mut pair = Pair::new(Limits { in_flight_max: 1, ..Limits::default() });
    let running = pair.call("a", "never", b"");
    let [first, second, third] = [100, 101, 102].map(|token| pair.client.wait_for_room(token));
    assert_eq!(pair.client.leave_room(second), Some(101));
    assert_eq!(woken(&mut pair), []);
    pair.client.cancel(running);
    assert_eq!(woken(&mut pair), [100]);
    assert_eq!(pair.client.leave_room(first), None);
    assert_eq!(woken(&mut pair), [102]);
    assert_eq!(pair.client.leave_room(third), None);
}

#[test]
fn pings_and_confirms_do_not_grow_a_queue_that_nobody_reads() {
    let mut pair = Pair::new(Limits { unsent_bytes_max: 10_000, ..Limits::default() });
    pair.up.stalled = true;
    let cast = pair.cast("a", b"c");
    pair.run();
    for _ in 0..10_000 {
        let ping = pair.client.ping(None, 1);
        let confirm = pair.confirm(cast, None);
        for ticket in [ping.ok(), confirm.ok()].into_iter().flatten() {
            pair.client.cancel(ticket);
        }
    }
    assert!(pair.client.unsent_bytes() <= 10_000 + 64);
}

#[test]
fn small_casts_behind_a_large_one_are_counted_with_what_it_takes_to_keep_them() {
    let mut pair = Pair::new(Limits { unsent_bytes_max: 1 << 20, ..Limits::default() });
    pair.up.stalled = true;
    pair.cast("a", &[0; 100_000]);
    let cast =
        |pair: &mut Pair| pair.client.cast(&route("a", "note"), Body::Borrowed(&[]), false, None).is_ok();
    let mut count = 0;
    while cast(&mut pair) {
        count += 1;
    }
    assert!(count < 8000, "{count} casts of 12 bytes were kept within a MiB");
}

#[test]
fn smaller_limits_of_the_peer_hold_for_what_was_queued_before_they_were_known() {
    let acceptor = Limits {
        message_bytes_max: 100_000,
        fragment_bytes: 4096,
        in_flight_max: 6,
        reassembly_bytes_max: 200_000,
        ..Limits::default()
    };
    let mut pair = Pair::opening(Limits::default(), acceptor);
    let small = pair.call("a", "echo", &[1; 60_000]);
    let fits = pair.call("a", "echo", &[2; 90_000]);
    let large = pair.call("a", "echo", &[3; 150_000]);
    let behind = pair.call("a", "echo", &[4; 10]);
    pair.connect();
    pair.run();
    assert_eq!(pair.ended, None);
    let limit = 100_000;
    assert_eq!(pair.failure(large), NotSent::TooLarge { bytes: 150_000, limit }.into());
    for (ticket, bytes) in [(small, 60_000), (fits, 90_000), (behind, 10)] {
        assert_eq!(pair.answer(ticket).len(), bytes);
    }
    let over = pair.submit(SubmitKind::Call, route("a", "echo"), &vec![0; limit + 1], None);
    assert_eq!(over, Err(NotSent::TooLarge { bytes: limit + 1, limit }));
    for _ in 0..6 {
        pair.call("a", "never", b"");
    }
    assert_eq!(limit_of(pair.client.ping(None, 0)), "in_flight_max");
}

#[test]
fn casts_refused_at_the_handshake_do_not_shift_the_numbers_of_the_others() {
    let acceptor = Limits { message_bytes_max: 100_000, ..Limits::default() };
    let mut pair = Pair::opening(Limits::default(), acceptor);
    let sizes = [8, 150_000, 80_000, 8, 200_000, 8];
    let casts: Vec<_> = (0u64..)
        .zip(sizes)
        .map(|(number, bytes)| {
            let mut payload = number.to_le_bytes().to_vec();
            payload.resize(bytes, 0);
            pair.cast("a", &payload)
        })
        .collect();
    let early = pair.confirm(casts[4], None).unwrap();
    pair.connect();
    let limit = 100_000;
    assert_eq!(pair.failure(early), NotSent::TooLarge { bytes: 200_000, limit }.into());
    for ((number, bytes), cast) in (0u64..).zip(sizes).zip(casts) {
        match pair.confirm(cast, None) {
            Ok(ticket) => {
                pair.run();
                assert_eq!(pair.answer(ticket), number.to_le_bytes());
            }
            Err(failure) => assert_eq!(failure, NotSent::TooLarge { bytes, limit }.into()),
        }
    }
    assert_eq!(pair.server.received.len(), 4);
}

#[test]
fn slots_of_requests_queued_before_a_smaller_limit_was_known_are_refused_and_never_used_again() {
    let mut pair = Pair::opening(Limits::default(), Limits { in_flight_max: 2, ..Limits::default() });
    let early: Vec<_> = (0..5).map(|_| pair.call("a", "echo", b"x")).collect();
    pair.connect();
    pair.run();
    let failed = early.into_iter().filter(|ticket| match pair.outcome(*ticket).unwrap() {
        farcall_proto::link::Outcome::Answered { .. } => false,
        farcall_proto::link::Outcome::Failure(failure) => {
            assert_eq!(failure, Rejected::Busy("in_flight_max".to_owned()).into());
            true
        }
    });
    assert_eq!(failed.count(), 3);
    for _ in 0..10 {
        let tickets = [0; 2].map(|_| pair.call("a", "echo", b"y"));
        pair.run();
        for ticket in tickets {
            assert_eq!(pair.answer(ticket), b"y");
        }
    }
}

#[test]
fn a_full_table_of_routes_closes_the_link_when_its_work_is_done() {
    let mut pair = Pair::new(Limits { routes_max: 2, ..Limits::default() });
    let running = pair.call("a", "echo", b"1");
    pair.call("a", "never", b"2");
    let refused = pair.submit(SubmitKind::Call, route("b", "echo"), b"3", None);
    assert!(matches!(refused, Err(NotSent::Disconnected(_))));
    assert!(matches!(pair.client.phase(), Phase::Closing(_)));
    pair.run();
    assert_eq!(pair.answer(running), b"1");
}

#[test]
fn a_name_no_peer_would_take_is_refused_here_and_disturbs_nobody() {
    let mut pair = Pair::small();
    let name = "x".repeat(256);
    for key in [route(&name, "echo"), route("a", &name)] {
        let refused = pair.submit(SubmitKind::Call, key, b"", None);
        assert!(matches!(refused, Err(NotSent::BadRequest(_))));
    }
    let longest = "y".repeat(255);
    let ticket = pair.call(&longest, "echo", b"x");
    pair.run();
    assert_eq!(pair.answer(ticket), b"x");
}

#[test]
fn a_draining_peer_finishes_what_runs_and_refuses_what_is_new() {
    let mut pair = Pair::small();
    let running = pair.call("a", "never", b"");
    let stream = pair.open(64, 2, 64);
    pair.run();
    pair.acceptor.goodbye(Goodbye::Draining);
    pair.acceptor.goodbye(Goodbye::Idle);
    let crossing = pair.call("a", "echo", b"");
    pair.run();
    assert_eq!(pair.failure(crossing), Rejected::Draining.into());
    assert!(matches!(pair.client.phase(), Phase::Closing(why) if *why == farcall_proto::link::PEER_DRAINING));
    assert!(matches!(
        pair.client.cast(&route("a", "m"), Body::Borrowed(b""), false, None),
        Err(NotSent::Disconnected(_))
    ));
    assert_eq!(frames(&pair.down.wire).iter().filter(|f| matches!(f, Frame::Goodbye { .. })).count(), 1);
    let id = pair.server.owed.pop().unwrap();
    pair.acceptor.reply(id, false, Body::Borrowed(b"done"));
    pair.run();
    assert_eq!(pair.answer(running), b"done");
    while !pair.client.is_quiet() {
        let item = pair.client.poll_item(stream, || 0);
        assert!(!matches!(item, farcall_proto::link::NextItem::Pending), "the stream finishes");
        pair.run();
    }
}

#[test]
fn a_closing_link_wakes_who_waits_for_room() {
    let mut pair = Pair::new(Limits { in_flight_max: 1, ..Limits::default() });
    pair.call("a", "never", b"");
    pair.client.wait_for_room(100);
    pair.client.begin_close("idle");
    assert_eq!(woken(&mut pair), [100]);
    pair.client.wait_for_room(101);
    assert_eq!(woken(&mut pair), [101]);
}

#[test]
fn a_request_that_waited_for_the_handshake_carries_only_the_time_it_has_left() {
    let mut pair = Pair::opening(Limits::default(), Limits::default());
    let timeout = Duration::from_secs(5);
    pair.call_within("a", "echo", b"small", timeout);
    pair.call_within("a", "echo", &[0; 100_000], timeout);
    pair.call_within("a", "echo", b"behind", timeout);
    pair.call("a", "echo", b"no deadline");
    pair.now += Duration::from_secs(3);
    pair.connect();
    pair.run();
    let left: Vec<u32> = pair.server.received.iter().map(|received| received.deadline_ms).collect();
    assert_eq!(left, [2000, 2000, 2000, u32::MAX]);
}

#[test]
fn an_answer_larger_than_the_caller_takes_becomes_a_fault_and_holds_nobody_up() {
    let client = Limits { message_bytes_max: 10_000, ..Limits::default() };
    let mut pair = Pair::opening(client, Limits::default());
    pair.connect();
    let large = pair.call("a", "large", &crate::support::server::script(0, 10_001));
    let fits = pair.call("a", "large", &crate::support::server::script(0, 10_000));
    pair.run();
    let reason = farcall_proto::failure::Failed::ReplyTooLarge { bytes: 10_001, limit: 10_000 };
    assert_eq!(pair.failure(large), reason.into());
    assert_eq!(pair.answer(fits).len(), 10_000);
    assert!(pair.acceptor.is_quiet());
}
