//! The checkers find what they are for.

use std::collections::BTreeMap;

use super::*;

fn sent(seq: u64, epoch: u64) -> Line {
    Line::Sent { peer: "b@b".into(), epoch, seq }
}

fn got(seq: u64) -> Line {
    Line::Got { from: "a@a/1".into(), seq }
}

fn call(id: u64, class: &str) -> Call {
    Call {
        peer: "b@b".into(),
        epoch: 1,
        id,
        began: 1_000_000,
        ended: 1_100_000,
        limit: 2_000_000,
        class: class.into(),
        reason: "-".into(),
    }
}

fn ran(id: u64) -> Line {
    Line::Ran { from: "a@a/1".into(), id }
}

/// What a cluster of two has written down: a calls, b answers.
fn judged(a: Vec<Line>, b: Vec<Line>) -> Result<Sums> {
    let life = |node: &str, incarnation: &str, lines| Life {
        node: node.into(),
        who: format!("{node}/{incarnation}"),
        began: 1,
        lines,
    };
    journals(&BTreeMap::from([(0, vec![life("a@a", "1", a)]), (1, vec![life("b@b", "2", b)])]), 0)
}

fn refused(judged: Result<Sums>, checker: &str) {
    let told = judged.unwrap_err().to_string();
    assert!(told.starts_with(checker), "{told}");
}

#[test]
fn what_came_in_order_and_was_cut_off_by_a_loss_is_well() {
    let sums = judged(
        vec![sent(1, 7), sent(2, 7), sent(3, 7), sent(4, 9), sent(5, 9)],
        vec![got(1), got(2), got(4)],
    )
    .unwrap();
    assert_eq!((sums.sent, sums.got), (5, 3));
}

#[test]
fn a_hole_within_a_connection_a_repetition_and_a_wrong_order_are_found() {
    refused(judged(vec![sent(1, 7), sent(2, 7)], vec![got(2)]), "C1");
    refused(judged(vec![sent(1, 7)], vec![got(1), got(1)]), "C1");
    refused(judged(vec![sent(1, 7), sent(2, 7)], vec![got(2), got(1)]), "C1");
}

#[test]
fn an_answer_of_the_next_connection_before_the_loss_of_the_last_is_told_is_found() {
    let lost = Call { reason: "link_lost".into(), ..call(1, "unknown") };
    let next = Call { epoch: 2, ..call(2, "ok") };
    let well = vec![Line::Call(lost.clone()), Line::Call(next.clone())];
    assert!(judged(well, vec![ran(2)]).is_ok());
    refused(judged(vec![Line::Call(next), Line::Call(lost)], vec![ran(2)]), "C2");
}

#[test]
fn a_handler_that_ran_more_or_less_often_than_its_caller_was_told_is_found() {
    for class in ["unknown", "failed"] {
        assert!(judged(vec![Line::Call(call(1, class))], vec![]).is_ok());
        assert!(judged(vec![Line::Call(call(1, class))], vec![ran(1)]).is_ok());
    }
    for class in ["not_sent", "rejected"] {
        assert!(judged(vec![Line::Call(call(1, class))], vec![]).is_ok());
        refused(judged(vec![Line::Call(call(1, class))], vec![ran(1)]), "C3");
    }
    assert!(judged(vec![Line::Call(call(1, "ok"))], vec![ran(1)]).is_ok());
    refused(judged(vec![Line::Call(call(1, "ok"))], vec![]), "C3");
    refused(judged(vec![Line::Call(call(1, "ok"))], vec![ran(1), ran(1)]), "C3");
    refused(judged(vec![Line::Call(call(1, "?"))], vec![ran(1)]), "C3");
}

#[test]
fn a_call_that_ends_long_after_its_deadline_is_found_unless_its_caller_stood_still() {
    let late = Call { ended: 3_400_000, ..call(1, "unknown") };
    refused(judged(vec![Line::Call(late.clone())], vec![]), "C3");
    assert!(judged(vec![Line::Call(late), Line::Gap { from: 2_000_000, to: 2_500_000 }], vec![]).is_ok());
}

#[test]
fn a_secret_is_found_wherever_it_stands() {
    assert!(contains(b"the cookie is 00ff", b"00ff"));
    assert!(!contains(b"the cookie is secret", b"00ff"));
    assert_eq!((hex(&[0, 255]), base64(&[0, 255])), ("00ff".to_owned(), b"AP8=".to_vec()));
}

fn peer(incarnation: u64, what: &str) -> Line {
    Line::Peer { peer: format!("b@b/{incarnation}"), at: 1, what: what.into() }
}

#[test]
fn c2_finds_nodes_that_are_told_twice_or_out_of_order_and_monitors_that_are_told_twice() {
    let watch = || Line::Watch { number: 1, peer: "b@b".into() };
    let down = || Line::Down { number: 1, at: 1, reason: "NoConnection".into() };
    let right = [peer(1, "up"), peer(1, "draining"), peer(1, "shutdown"), peer(2, "up"), watch(), down()];
    assert!(judged(right.into(), vec![]).is_ok());
    for wrong in [
        vec![peer(1, "up"), peer(1, "up")],
        vec![peer(1, "up"), peer(2, "up")],
        vec![peer(1, "closed")],
        vec![peer(1, "up"), peer(1, "closed"), peer(1, "closed")],
        vec![peer(1, "draining")],
        vec![peer(1, "up"), peer(1, "draining"), peer(1, "closed")],
        vec![watch(), down(), down()],
        vec![down()],
    ] {
        let fault = judged(wrong.clone(), vec![]).unwrap_err().to_string();
        assert!(fault.starts_with("C2: a@a/1 was told"), "{wrong:?}: {fault}");
    }
}
