//! What peers get that mean well: agreement, or a refusal that says what is wrong.

use farcall_proto::link::handshake::{
    Admission, ChannelBinding, DeclineReason, HandshakeError, Keyring, Step,
};
use farcall_proto::peer::Incarnation;

use crate::by_hand;
use crate::fixture::*;

#[test]
fn both_sides_learn_the_proved_name_incarnation_params_and_key_of_the_other() {
    let outcome = converse(&alpha(), &beta());
    let (initiator, responder) = (outcome.initiator.established(), outcome.responder.established());
    for (told, other) in [(&initiator, beta()), (&responder, alpha())] {
        assert_eq!(told.peer, other.local.name);
        assert_eq!(told.incarnation, other.local.incarnation);
        assert_eq!(told.params, other.local.params);
        assert_eq!(told.version, 1);
        assert_eq!(told.key_id, other.keyring.primary().key_id());
    }
}

#[test]
fn messages_may_arrive_split_at_every_byte() {
    let whole = converse(&alpha(), &beta()).from_initiator.concat();
    let (hello, rest) = whole.split_at(converse(&alpha(), &beta()).from_initiator[0].len());
    for cut in 0..rest.len() {
        // The responder reads the first part of what follows the greeting together with the greeting.
        let outcome = converse_over(&alpha(), &beta(), |number, wire| match number {
            0 => [hello, &rest[..cut]].concat(),
            2 => rest[cut..].to_vec(),
            4 => Vec::new(),
            _ => wire,
        });
        assert!(outcome.responder.is_done(), "cut at {cut}");
    }
}

#[test]
fn requests_right_behind_the_last_message_are_left_for_the_link() {
    let requests = vec![0x5a; 64 * 1024];
    let outcome = converse_over(&alpha(), &beta(), |number, mut wire| {
        if number == MESSAGES - 1 {
            wire.extend_from_slice(&requests);
        }
        wire
    });
    assert!(outcome.responder.is_done());
    assert!(outcome.rests.0.is_empty());
    assert_eq!(outcome.rests.1, requests);
}

#[test]
fn the_highest_common_version_is_chosen() {
    for (ours, theirs, chosen) in [(1..=3, 2..=5, 3), (2..=5, 1..=3, 3), (1..=9, 4..=4, 4), (7..=7, 7..=9, 7)]
    {
        let (mut dialler, mut acceptor) = (alpha(), beta());
        dialler.local.versions = ours;
        acceptor.local.versions = theirs;
        let outcome = converse(&dialler, &acceptor);
        assert_eq!(outcome.initiator.established().version, chosen);
        assert_eq!(outcome.responder.established().version, chosen);
    }
}

#[test]
fn without_a_common_version_both_sides_know_what_the_other_speaks_and_nothing_else() {
    for (ours, theirs) in [(1..=2, 3..=4), (3..=4, 1..=2)] {
        let (mut dialler, mut acceptor) = (alpha(), beta());
        dialler.local.versions = ours.clone();
        acceptor.local.versions = theirs.clone();
        let outcome = converse(&dialler, &acceptor);
        let told = |ours: &std::ops::RangeInclusive<u8>, theirs: &std::ops::RangeInclusive<u8>| {
            HandshakeError::NoCommonVersion { ours: ours.clone(), theirs: theirs.clone() }
        };
        assert_eq!(outcome.initiator.error(), &told(&ours, &theirs));
        assert_eq!(outcome.responder.error(), &told(&theirs, &ours));
        assert_eq!(outcome.from_responder, [[4, 0, 0, 0, 6, 1, *theirs.start(), *theirs.end()]]);
        assert_eq!(outcome.from_initiator.len(), 1, "nothing answers a refusal");
    }
}

#[test]
fn a_newer_hello_with_another_layout_still_gets_a_version_answer() {
    let outcome = converse_over(&alpha(), &beta(), |number, wire| match number {
        0 => [&[11, 0, 0, 0, 1][..], b"FARC", &[200, 201], b"new!"].concat(),
        _ => wire,
    });
    assert_eq!(outcome.responder.reason(), "no_common_version");
    assert_eq!(outcome.from_responder, [[4, 0, 0, 0, 6, 1, 1, 1]]);
}

#[test]
fn a_responder_that_chooses_a_version_that_was_not_offered_is_refused() {
    let mut out = Vec::new();
    let initiator = alpha().start(&mut out);
    let challenge = [&[2, 9][..], &[0; 32]].concat();
    out.clear();
    let error = initiator.handle(&challenge, &mut out).unwrap_err();
    assert_eq!(error, HandshakeError::VersionNotOffered { chosen: 9, offered: 1..=1 });
    assert_eq!(out, [2, 0, 0, 0, 6, 0], "and is told no more than that");
}

#[test]
fn during_a_rotation_old_and_new_cookies_meet_and_after_it_the_old_one_is_refused() {
    let (old, new) = (cookie(b"the old cookie, still good"), cookie(b"the new cookie, not yet known"));
    let only_old = Keyring::new(old.clone());
    let old_first = Keyring::new(old.clone()).accepting(new.clone()).unwrap();
    let new_first = Keyring::new(new.clone()).accepting(old.clone()).unwrap();
    let only_new = Keyring::new(new.clone());
    // Neighbouring rounds of a rotation meet in both directions.
    for (one, other) in [(&only_old, &old_first), (&old_first, &new_first), (&new_first, &only_new)] {
        for (dials, answers) in [(one, other), (other, one)] {
            let (mut dialler, mut acceptor) = (alpha(), beta());
            dialler.keyring = dials.clone();
            acceptor.keyring = answers.clone();
            let outcome = converse(&dialler, &acceptor);
            let used = dials.primary().key_id();
            assert_eq!(outcome.initiator.established().key_id, used);
            assert_eq!(outcome.responder.established().key_id, used);
        }
    }
    let (mut dialler, mut acceptor) = (alpha(), beta());
    dialler.keyring = old_first;
    acceptor.keyring = only_new;
    let outcome = converse(&dialler, &acceptor);
    assert_eq!(outcome.responder.reason(), "auth_failed");
    outcome.assert_nobody_is_up();
}

#[test]
fn a_node_that_was_not_meant_says_so_to_a_peer_that_has_proved_itself() {
    let mut dialler = alpha();
    dialler.want = name("gamma@10.0.0.3");
    let outcome = converse(&dialler, &beta());
    assert_eq!(outcome.initiator.error(), &HandshakeError::Declined { reason: DeclineReason::WrongNode });
    let (peer, wanted, own) = (name(ALPHA), name("gamma@10.0.0.3"), name(BETA));
    assert_eq!(outcome.responder.error(), &HandshakeError::WrongNode { peer, wanted, own });
    assert!(!contains(&outcome.from_responder.concat(), BETA.as_bytes()), "not even then its own name");
}

#[test]
fn a_node_that_answers_under_another_name_than_the_dialled_one_is_refused() {
    // It holds the cookie and proves it, but it is beta: a node of ours gone wrong, written out by hand.
    let mut dialler = alpha();
    dialler.want = name("gamma@10.0.0.3");
    let outcome = converse(&dialler, &beta());
    let challenge = &outcome.from_responder[0];
    let mut said = [&outcome.from_initiator[0][..], challenge, &outcome.from_initiator[1]].concat();
    let accept = by_hand::accept(&mut said, &beta(), COOKIE);

    let (mut out, mut told) = (Vec::new(), Vec::new());
    let Ok(Step::Continue(initiator)) = dialler.start(&mut out).handle(body(challenge), &mut out) else {
        panic!("the challenge is a good one");
    };
    let error = initiator.handle(body(&accept), &mut told).unwrap_err();
    let (dialled, answered) = (name("gamma@10.0.0.3"), name(BETA));
    assert_eq!(error, HandshakeError::WrongName { dialled, answered });
    assert_eq!(told, [2, 0, 0, 0, 6, 0]);
}

#[test]
fn a_busy_or_draining_node_says_so_under_proof() {
    for (admission, reason) in
        [(Admission::Busy, DeclineReason::Busy), (Admission::Draining, DeclineReason::Draining)]
    {
        let mut acceptor = beta();
        acceptor.admission = admission;
        let outcome = converse(&alpha(), &acceptor);
        assert_eq!(outcome.initiator.error(), &HandshakeError::Declined { reason });
        assert_eq!(outcome.responder.error(), &HandshakeError::NotAdmitted { peer: name(ALPHA), reason });
    }
}

#[test]
fn a_process_whose_name_an_older_one_has_is_told_so_under_proof_and_another_of_that_name_is_not() {
    let (dialler, mut acceptor) = (alpha(), beta());
    acceptor.namesakes = vec![(name(ALPHA), dialler.local.incarnation)];
    let outcome = converse(&dialler, &acceptor);
    let reason = DeclineReason::NameInUse;
    assert_eq!(outcome.initiator.error(), &HandshakeError::Declined { reason });
    assert_eq!(outcome.responder.error(), &HandshakeError::NotAdmitted { peer: name(ALPHA), reason });
    for error in [outcome.initiator.error(), outcome.responder.error()] {
        assert_eq!(error.reason(), "name_in_use");
    }
    acceptor.namesakes = vec![(name(ALPHA), Incarnation(7)), (name(BETA), dialler.local.incarnation)];
    assert!(converse(&dialler, &acceptor).responder.is_done());
}

#[test]
fn the_same_tls_session_at_both_ends_binds() {
    let (mut dialler, mut acceptor) = (alpha(), beta());
    dialler.binding = ChannelBinding::Exporter([3; 32]);
    acceptor.binding = ChannelBinding::Exporter([3; 32]);
    let outcome = converse(&dialler, &acceptor);
    assert!(outcome.initiator.is_done() && outcome.responder.is_done());
}
