//! What everyone else gets: one generic refusal, whatever they tried.

use farcall_proto::identity::{self, CertificateNames};
use farcall_proto::link::handshake::{Admission, ChannelBinding, Initiator, Keyring, Responder, Step};

use crate::by_hand;
use crate::fixture::*;

/// Kind 6, without a reason.
const REFUSAL: [u8; 6] = [2, 0, 0, 0, 6, 0];

fn challenged(responder: Responder, hello: &[u8]) -> (Responder, Vec<u8>) {
    let mut challenge = Vec::new();
    match responder.handle(body(hello), &mut challenge) {
        Ok(Step::Continue(responder)) => (responder, challenge),
        other => panic!("{other:?}"),
    }
}

fn proving(initiator: Initiator, challenge: &[u8]) -> (Initiator, Vec<u8>) {
    let mut proof = Vec::new();
    match initiator.handle(body(challenge), &mut proof) {
        Ok(Step::Continue(initiator)) => (initiator, proof),
        other => panic!("{other:?}"),
    }
}

/// The responder refuses this frame and tells nothing.
fn refuses(responder: Responder, wire: &[u8], reason: &str) {
    let mut out = Vec::new();
    let error = responder.handle(body(wire), &mut out).unwrap_err();
    assert_eq!((error.reason(), &out[..]), (reason, &REFUSAL[..]));
}

#[test]
fn a_peer_with_another_cookie_is_refused_and_learns_nothing_of_this_node() {
    let mut stranger = alpha();
    stranger.keyring = Keyring::new(cookie(b"not the cookie of these nodes"));
    let outcome = converse(&stranger, &beta());
    assert_eq!(outcome.responder.reason(), "auth_failed");
    assert_eq!(outcome.initiator.reason(), "refused");

    let told = outcome.from_responder.concat();
    let challenge = [&[34, 0, 0, 0, 2, 1][..], &[0xb2; 32]].concat();
    assert_eq!(told, [&challenge[..], &REFUSAL].concat(), "a version, a nonce and a refusal, no more");

    let logs = format!("{} {}", outcome.responder.error(), outcome.initiator.error());
    assert!(logs.contains(&beta().keyring.primary().key_id().to_string()), "{logs}");
    assert!(logs.contains(&stranger.keyring.primary().key_id().to_string()), "{logs}");
}

#[test]
fn a_server_that_cannot_prove_the_cookie_is_refused() {
    // It takes alpha for proved, whatever alpha sent, and proves itself as well as it can.
    for (secret, reason) in [(COOKIE, None), (b"not the cookie of these nodes", Some("auth_failed"))] {
        let mut hello = Vec::new();
        let initiator = alpha().start(&mut hello);
        let (_, challenge) = challenged(beta().respond(), &hello);
        let (initiator, proof) = proving(initiator, &challenge);
        let mut said = [hello, challenge, proof].concat();
        let accept = by_hand::accept(&mut said, &beta(), secret);
        let mut told = Vec::new();
        let result = initiator.handle(body(&accept), &mut told);
        assert_eq!(result.as_ref().err().map(|error| error.reason()), reason);
        assert_eq!(told == REFUSAL, reason.is_some());
    }
}

#[test]
fn a_decline_without_proof_is_not_believed() {
    let outcome = converse_over(&alpha(), &beta(), |number, wire| match number {
        3 => [&[34, 0, 0, 0, 7, 2][..], &[0; 32]].concat(),
        _ => wire,
    });
    assert_eq!(outcome.initiator.reason(), "auth_failed");
}

#[test]
fn nodes_of_another_cluster_do_not_meet_even_with_the_same_cookie() {
    let mut other = beta();
    other.local.cluster = "production".to_owned();
    let outcome = converse(&alpha(), &other);
    assert_eq!(outcome.responder.reason(), "auth_failed");
    outcome.assert_nobody_is_up();
}

#[test]
fn a_recorded_session_is_worth_nothing_to_a_false_client() {
    let recorded = converse(&alpha(), &beta());
    let mut later = beta();
    later.nonce = [0xb3; 32];
    let (responder, _) = challenged(later.respond(), &recorded.from_initiator[0]);
    refuses(responder, &recorded.from_initiator[1], "auth_failed");
}

#[test]
fn a_recorded_session_is_worth_nothing_to_a_false_server() {
    let recorded = converse(&alpha(), &beta());
    let mut later = alpha();
    later.nonce = [0xa2; 32];
    let initiator = later.start(&mut Vec::new());
    let (initiator, _) = proving(initiator, &recorded.from_responder[0]);
    let error = initiator.handle(body(&recorded.from_responder[1]), &mut Vec::new()).unwrap_err();
    assert_eq!(error.reason(), "auth_failed");
}

#[test]
fn a_client_that_hears_its_own_messages_does_not_believe_itself() {
    let mut out = Vec::new();
    let initiator = alpha().start(&mut out);
    let error = initiator.handle(body(&out), &mut Vec::new()).unwrap_err();
    assert_eq!(error.reason(), "unexpected");

    // The echo answers with alpha's nonce as its challenge and alpha's proof as its own.
    let challenge = [&[34, 0, 0, 0, 2, 1][..], &[0xa1; 32]].concat();
    let (initiator, proof) = proving(alpha().start(&mut Vec::new()), &challenge);
    let mut accept = converse(&alpha(), &beta()).from_responder[1].clone();
    let end = accept.len();
    accept[end - 32..].copy_from_slice(&proof[5..]);
    assert_eq!(initiator.handle(body(&accept), &mut Vec::new()).unwrap_err().reason(), "auth_failed");
}

#[test]
fn a_dialling_node_is_no_oracle_for_a_second_connection_to_itself() {
    // Alpha dials who it takes for beta. The false beta opens a connection to alpha and plays alpha's own words.
    let mut at_home = alpha();
    at_home.nonce = [0xa7; 32];
    let mut hello = Vec::new();
    let dialling = alpha().start(&mut hello);
    let (answering, challenge) = challenged(at_home.respond(), &hello);
    let (dialling, proof) = proving(dialling, &challenge);
    let mut told = Vec::new();
    // The proof is good, but it says whom alpha meant.
    let error = answering.handle(body(&proof), &mut told).unwrap_err();
    assert_eq!(error.reason(), "wrong_node");
    assert_eq!(dialling.handle(body(&told), &mut Vec::new()).unwrap_err().reason(), "declined");

    // Changing whom it meant spoils the proof.
    let mut hello = Vec::new();
    let dialling = alpha().start(&mut hello);
    let mut to_itself = alpha();
    to_itself.want = name(ALPHA);
    let mut forged = Vec::new();
    to_itself.start(&mut forged);
    let (answering, challenge) = challenged(at_home.respond(), &forged);
    let (_, proof) = proving(dialling, &challenge);
    refuses(answering, &proof, "auth_failed");
}

#[test]
fn an_answering_node_is_no_oracle_for_another_connection() {
    // What beta proved to alpha on one connection is shown to beta's twin as a client's proof on another.
    let recorded = converse(&alpha(), &beta());
    let accept = &recorded.from_responder[1];
    let (responder, _) = challenged(beta().respond(), &recorded.from_initiator[0]);
    let forged = [&[33, 0, 0, 0, 3][..], &accept[accept.len() - 32..]].concat();
    refuses(responder, &forged, "auth_failed");
}

#[test]
fn no_proof_serves_in_the_place_of_another() {
    // Same connection, same nonces, right cookie: only role or label differ from the proof that is due.
    let recorded = converse(&alpha(), &beta());
    let said = [&recorded.from_initiator[0][..], &recorded.from_responder[0]].concat();
    for (role, label, good) in [
        ("farcall initiator", "farcall proof", true),
        ("farcall initiator", "farcall ready", false),
        ("farcall initiator", "farcall accept", false),
        ("farcall responder", "farcall proof", false),
        ("farcall responder", "farcall accept", false),
    ] {
        let proof =
            by_hand::proved(&mut said.clone(), 3, &[], &by_hand::role_key(COOKIE, "tests", role), label);
        let (responder, _) = challenged(beta().respond(), &recorded.from_initiator[0]);
        if good {
            assert!(responder.handle(body(&proof), &mut Vec::new()).is_ok());
        } else {
            refuses(responder, &proof, "auth_failed");
        }
    }
}

#[test]
fn a_proof_of_any_other_length_is_refused_at_every_place() {
    let good = converse(&alpha(), &beta());
    let fit = |wire: &[u8], bytes: usize| {
        let mut body = body(wire)[..body(wire).len() - 32].to_vec();
        body.extend(wire[wire.len() - 32..].iter().cycle().take(bytes));
        body
    };
    for bytes in [0, 1, 16, 31, 33, 64, 1000] {
        let mut out = Vec::new();
        let (responder, challenge) = challenged(beta().respond(), &good.from_initiator[0]);
        assert!(responder.handle(&fit(&good.from_initiator[1], bytes), &mut out).is_err());
        assert_eq!(out, REFUSAL, "proof of {bytes} bytes");

        let (initiator, _) = proving(alpha().start(&mut Vec::new()), &challenge);
        out.clear();
        assert!(initiator.handle(&fit(&good.from_responder[1], bytes), &mut out).is_err());
        assert_eq!(out, REFUSAL, "accept with a proof of {bytes} bytes");

        let (responder, _) = challenged(beta().respond(), &good.from_initiator[0]);
        let Ok(Step::Continue(responder)) = responder.handle(body(&good.from_initiator[1]), &mut Vec::new())
        else {
            panic!("the proof is a good one");
        };
        out.clear();
        assert!(responder.handle(&fit(&good.from_initiator[2], bytes), &mut out).is_err());
        assert_eq!(out, REFUSAL, "ready with a proof of {bytes} bytes");
    }
}

#[test]
fn a_relay_between_two_tls_sessions_is_refused_and_so_is_one_that_strips_tls() {
    let exporter = |byte| ChannelBinding::Exporter([byte; 32]);
    for (ours, theirs) in
        [(exporter(1), exporter(2)), (exporter(1), ChannelBinding::None), (ChannelBinding::None, exporter(1))]
    {
        let (mut dialler, mut acceptor) = (alpha(), beta());
        dialler.binding = ours;
        acceptor.binding = theirs;
        let outcome = converse(&dialler, &acceptor);
        assert_eq!(outcome.responder.reason(), "auth_failed");
        assert_eq!(outcome.initiator.reason(), "refused");
    }
}

#[test]
fn a_version_lowered_on_the_way_is_noticed() {
    let (mut dialler, mut acceptor) = (alpha(), beta());
    dialler.local.versions = 1..=2;
    acceptor.local.versions = 1..=2;
    let outcome = converse_over(&dialler, &acceptor, |number, mut wire| {
        if number == 0 {
            wire[10] = 1; // the highest version that alpha offers
        }
        wire
    });
    assert_eq!(outcome.responder.reason(), "auth_failed");
    let outcome = converse_over(&dialler, &acceptor, |number, mut wire| {
        if number == 1 {
            wire[5] = 1; // the version that beta chose
        }
        wire
    });
    assert_eq!(outcome.responder.reason(), "auth_failed");
}

#[test]
fn another_protocol_on_this_port_is_named_in_the_log_and_gets_the_generic_refusal() {
    for body in [&b"\x01GET / HTTP/1.1"[..], b"\x01", b"\x01FARC", b"\x01FARC\x02\x01"] {
        let mut out = Vec::new();
        let error = beta().respond().handle(body, &mut out).unwrap_err();
        assert!(["not_farcall", "malformed"].contains(&error.reason()), "{error}");
        assert_eq!(out, REFUSAL);
    }
}

#[test]
fn a_session_never_shows_a_cookie_or_a_key() {
    let all = converse(&alpha(), &beta()).writes().concat();
    let keys =
        ["farcall initiator", "farcall responder"].map(|role| by_hand::role_key(COOKIE, "tests", role));
    for secret in [COOKIE, &keys[0], &keys[1]] {
        assert!(secret.windows(8).all(|part| !contains(&all, part)));
    }
    assert!(contains(&all, BETA.as_bytes()), "the search would find what is there");
}

#[test]
fn a_name_that_the_certificate_is_not_for_is_declined_whatever_else_is_right() {
    let shown = |uri: String| CertificateNames { uris: vec![uri], ..Default::default() };
    for (certificate, refused) in [
        (shown(identity::uri("tests", &name(ALPHA))), false),
        (shown(identity::uri("tests", &name(BETA))), true),
        (shown(identity::uri("production", &name(ALPHA))), true),
        (CertificateNames { ips: vec!["10.0.0.1".parse().unwrap()], ..Default::default() }, false),
        (CertificateNames { ips: vec!["10.0.0.9".parse().unwrap()], ..Default::default() }, true),
        (CertificateNames::default(), true),
    ] {
        let (mut answering, names) = (beta(), certificate.to_string());
        answering.certificate = Some(certificate);
        // Also a node that takes nobody tells an impostor no more than this.
        for admission in [Admission::Open, Admission::Draining] {
            answering.admission = admission;
            let outcome = converse(&alpha(), &answering);
            if !refused {
                assert_eq!(outcome.responder.is_done(), admission == Admission::Open, "{names}");
                continue;
            }
            outcome.assert_nobody_is_up();
            assert_eq!(outcome.responder.reason(), "wrong_certificate");
            let logged = outcome.responder.error().to_string();
            assert!(logged.contains(ALPHA) && logged.contains(&names), "{logged}");
            assert!(outcome.initiator.error().to_string().contains("certificate"), "{names}");
        }
    }
}
