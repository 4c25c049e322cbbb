//! Every token comes back exactly once, whatever becomes of its request.

use std::time::Duration;

use farcall_proto::failure::{Failure, NotSent, Unknown};
use farcall_proto::link::{Outcome, SubmitKind, Ticket};
use proptest::prelude::*;

use crate::support::{Pair, frames, route};
use farcall_proto::link::frame::Frame;

#[derive(Debug, Clone)]
enum Step {
    Call { message: &'static str, bytes: usize, timeout_ms: Option<u64> },
    AskUnclaimed,
    CastAndConfirm { bytes: usize },
    Cancel { which: usize },
    Poll { which: usize },
    Run,
    Advance { ms: u64 },
    Stall { up: bool, on: bool },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let message = prop_oneof![Just("echo"), Just("fault"), Just("never")];
    let bytes = prop_oneof![3 => 8usize..50, 1 => 1000usize..6000];
    let step = prop_oneof![
        6 => (message, bytes.clone(), prop::option::of(0u64..500))
            .prop_map(|(message, bytes, timeout_ms)| Step::Call { message, bytes, timeout_ms }),
        1 => Just(Step::AskUnclaimed),
        1 => bytes.prop_map(|bytes| Step::CastAndConfirm { bytes }),
        2 => (0usize..64).prop_map(|which| Step::Cancel { which }),
        2 => (0usize..64).prop_map(|which| Step::Poll { which }),
        2 => Just(Step::Run),
        2 => (0u64..300).prop_map(|ms| Step::Advance { ms }),
        1 => (any::<bool>(), any::<bool>()).prop_map(|(up, on)| Step::Stall { up, on }),
    ];
    prop::collection::vec(step, 1..80)
}

/// Submits with tokens 0, 1, 2, … and keeps count of what came back through `cancel`.
#[derive(Default)]
struct Callers {
    tickets: Vec<Option<Ticket>>,
    cancelled: Vec<u32>,
}

impl Callers {
    fn step(&mut self, pair: &mut Pair, step: Step) {
        match step {
            Step::Call { message, bytes, timeout_ms } => {
                let timeout = timeout_ms.map(Duration::from_millis);
                let ticket = pair.submit(SubmitKind::Call, route("a", message), &vec![1; bytes], timeout);
                self.tickets.extend(ticket.ok().map(Some));
            }
            Step::AskUnclaimed => {
                let token = u32::try_from(self.tickets.len()).unwrap();
                let cast = pair.cast("a", &[0; 8]);
                assert!(pair.confirm(cast, None).is_ok(), "token {token}");
                // The ticket of a confirm stays unclaimed until the end.
                self.tickets.push(None);
            }
            Step::CastAndConfirm { bytes } => {
                let cast = pair.cast("b", &vec![2; bytes]);
                let ticket = pair.confirm(cast, Some(Duration::from_millis(200))).unwrap();
                self.tickets.push(Some(ticket));
            }
            Step::Cancel { which } => {
                if let Some(ticket) = self.claimed(which).and_then(Option::take) {
                    self.cancelled.extend(pair.client.cancel(ticket));
                }
            }
            Step::Poll { which } => {
                if let Some(ticket) = self.claimed(which)
                    && let Some(known) = *ticket
                    && pair.outcome(known).is_some()
                {
                    *ticket = None;
                }
            }
            Step::Run => pair.run(),
            Step::Advance { ms } => pair.advance(Duration::from_millis(ms)),
            Step::Stall { up: true, on } => pair.up.stalled = on,
            Step::Stall { up: false, on } => pair.down.stalled = on,
        }
    }

    fn claimed(&mut self, which: usize) -> Option<&mut Option<Ticket>> {
        let count = self.tickets.len().max(1);
        self.tickets.get_mut(which % count)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn every_token_comes_back_exactly_once(steps in steps(), keep in 0usize..3000) {
        let mut pair = Pair::small();
        let mut callers = Callers::default();
        for step in steps {
            callers.step(&mut pair, step);
        }
        pair.cut(keep);
        let mut back: Vec<u32> = pair.woken.iter().chain(&callers.cancelled).copied().collect();
        back.sort_unstable();
        let all: Vec<u32> = (0..u32::try_from(callers.tickets.len()).unwrap()).collect();
        prop_assert_eq!(back, all);
        for ticket in callers.tickets.into_iter().flatten() {
            prop_assert!(pair.outcome(ticket).is_some(), "every request ends");
        }
        prop_assert_eq!(pair.client.unsent_bytes(), 0);
    }
}

#[test]
fn a_late_reply_is_dropped_and_its_caller_was_already_told() {
    let mut pair = Pair::small();
    pair.down.delay = Duration::from_millis(100);
    let late = pair.call_within("a", "echo", b"late", Duration::from_millis(50));
    pair.run();
    pair.advance(Duration::from_millis(50));
    assert_eq!(pair.failure(late), Unknown::Timeout.into());
    let next = pair.call("a", "echo", b"next");
    pair.run();
    pair.advance(Duration::from_millis(99));
    assert!(pair.outcome(next).is_none(), "the late reply is not the next one's");
    pair.advance(Duration::from_millis(1));
    assert_eq!(pair.answer(next), b"next");
    assert_eq!(pair.woken, [0, 1]);
}

#[test]
fn a_deadline_before_the_write_means_not_sent_and_the_request_never_arrives() {
    let mut pair = Pair::small();
    pair.up.stalled = true;
    pair.call("a", "echo", b"in the socket's way");
    pair.run();
    let waiting = pair.call_within("a", "echo", b"w", Duration::from_millis(10));
    let large = pair.call_within("a", "echo", &[1; 5000], Duration::from_millis(10));
    pair.advance(Duration::from_millis(10));
    for ticket in [waiting, large] {
        assert_eq!(pair.failure(ticket), NotSent::DeadlineBeforeWrite.into());
    }
    pair.up.stalled = false;
    pair.run();
    assert_eq!(pair.server.received.len(), 1);
    assert!(!frames(&pair.up.wire).iter().any(|frame| matches!(frame, Frame::Cancel { .. })));
}

#[test]
fn a_deadline_after_the_write_is_a_timeout_and_the_peer_is_told() {
    let mut pair = Pair::small();
    let ticket = pair.call_within("a", "never", b"", Duration::from_millis(10));
    pair.run();
    pair.advance(Duration::from_millis(10));
    assert_eq!(pair.failure(ticket), Unknown::Timeout.into());
    assert_eq!(pair.server.cancelled.len(), 1);
    assert!(pair.acceptor.is_quiet() && pair.client.is_quiet());
}

#[test]
fn a_confirm_that_times_out_never_says_that_its_cast_was_not_sent() {
    let mut pair = Pair::small();
    let cast = pair.cast("a", b"gone");
    pair.run();
    pair.up.stalled = true;
    pair.cast("a", b"in the socket's way");
    pair.run();
    let ticket = pair.confirm(cast, Some(Duration::from_millis(10))).unwrap();
    pair.advance(Duration::from_millis(10));
    assert_eq!(pair.failure(ticket), Unknown::Timeout.into());
}

#[test]
fn an_answer_is_taken_once() {
    let mut pair = Pair::small();
    let ticket = pair.call("a", "echo", b"x");
    pair.run();
    assert_eq!(pair.answer(ticket), b"x");
    assert_eq!(pair.failure(ticket), NotSent::AlreadyTaken.into());
    assert_eq!(pair.client.cancel(ticket), None);
}

#[test]
fn an_answer_nobody_takes_is_kept_for_its_time_and_then_dropped() {
    let ttl = Duration::from_secs(20);
    let limits = farcall_proto::link::Limits { promise_ttl: Some(ttl), ..Default::default() };
    let mut pair = Pair::new(limits);
    let forgotten = pair.call("a", "echo", b"x");
    let claimed = pair.call("a", "echo", b"y");
    pair.run();
    pair.advance(ttl / 2);
    assert_eq!(pair.client.in_flight(), 0, "an answer that waits to be taken is no request in flight");
    assert!(matches!(pair.outcome(claimed), Some(Outcome::Answered { .. })));
    pair.advance(ttl);
    let outcome = pair.outcome(forgotten);
    assert!(
        matches!(outcome, Some(Outcome::Failure(Failure::NotSent(NotSent::AlreadyTaken)))),
        "{outcome:?}"
    );
}
