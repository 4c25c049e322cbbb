//! Traces of requests, from the caller to whoever runs them.

use farcall_proto::link::SubmitKind;
use farcall_proto::link::{Limits, Outcome};
use farcall_proto::trace::TraceContext;

use crate::support::{Pair, route};

fn trace(number: u8) -> Option<TraceContext> {
    Some(TraceContext::new([number; 16], [number; 8], true).unwrap())
}

/// The traces that arrived, in their order.
fn arrived(pair: &Pair) -> Vec<Option<TraceContext>> {
    pair.server.received.iter().map(|received| received.trace).collect()
}

#[test]
fn every_kind_of_request_brings_its_own_trace_and_no_other() {
    let mut pair = Pair::small();
    for number in 1..=3 {
        pair.trace = trace(number);
        let (call, large) = (pair.call("a", "echo", b"x"), pair.call("a", "echo", &[number; 4000]));
        pair.cast("a", b"c");
        pair.submit(SubmitKind::Deliver, route("a", "m"), b"d", None).unwrap();
        pair.trace = None;
        let without = pair.call("a", "echo", b"y");
        pair.run();
        assert_eq!(arrived(&pair), [trace(number), trace(number), trace(number), trace(number), None]);
        assert_eq!(pair.server.received[1].payload, [number; 4000], "put together from fragments");
        assert_eq!(pair.answer(call), b"x");
        assert_eq!(pair.answer(large), [number; 4000]);
        assert_eq!(pair.answer(without), b"y");
        pair.server.received.clear();
    }
    pair.trace = trace(9);
    pair.open(300, 1, 100);
    pair.run();
    assert_eq!(arrived(&pair), [trace(9)]);
}

#[test]
fn a_request_that_waited_for_the_handshake_brings_its_trace_too() {
    let mut pair = Pair::opening(Limits::default(), Limits::default());
    pair.trace = trace(1);
    let ticket = pair.call_within("a", "echo", b"early", std::time::Duration::from_secs(5));
    pair.connect();
    pair.run();
    assert_eq!(arrived(&pair), [trace(1)]);
    assert_eq!(pair.answer(ticket), b"early");
}

#[test]
fn a_message_of_the_largest_size_has_room_for_a_trace() {
    let limits = Limits { message_bytes_max: 5000, ..Limits::default() };
    let mut pair = Pair::opening(limits.clone(), limits);
    pair.trace = trace(1);
    let ticket = pair.call("a", "echo", &[7; 5000]);
    pair.connect();
    pair.run();
    assert!(matches!(pair.outcome(ticket), Some(Outcome::Answered { .. })));
    assert_eq!(arrived(&pair), [trace(1)]);
}
