//! Proofs that are none, and payloads that announce more than they are: told to a running node by hand.

use std::io::{Read, Write};
use std::task::Waker;
use std::time::Instant;

use bytes::BytesMut;
use farcall::RemoteMessage;
use farcall::error::{Failure, Rejected};
use farcall_proto::link::handshake::{Initiator, Keyring, PreAuthFramer, Step};
use farcall_proto::link::outbox::Body;
use farcall_proto::link::{ClientLink, Limits, Outcome, RouteKey, Submit, SubmitKind, Ticket};

use crate::actors::{Echo, Total};
use crate::by_hand::{Connection, Socket, authenticated, secured, stranger};
use crate::fixture::{cookie, eventually, health, node, speaks_for};
use crate::process::Peer;

const MIB: u64 = 1 << 20;

/// The next frame of a handshake, with its length in front; nothing if the node hung up.
fn frame(socket: &mut dyn Connection, framer: &mut PreAuthFramer) -> Option<Vec<u8>> {
    loop {
        if let Some(frame) = framer.next_frame().unwrap() {
            return Some(frame.to_vec());
        }
        let mut chunk = [0; 512];
        match socket.read(&mut chunk) {
            Ok(bytes @ 1..) => framer.feed(&chunk[..bytes]),
            _ => return None,
        }
    }
}

fn with_length(body: &[u8]) -> Vec<u8> {
    [&u32::try_from(body.len()).unwrap().to_le_bytes(), body].concat()
}

/// Greets the node and gives it what `lie` makes of the true proof; whether it went on after that.
fn is_believed(peer: &Peer, lie: impl FnOnce(&[u8], &[u8]) -> Vec<u8>) -> bool {
    let (mut socket, binding) = secured(stranger(peer), "eve");
    let (mut framer, mut hello, mut proof) = (PreAuthFramer::new(), Vec::new(), Vec::new());
    let (local, keyring) = (speaks_for("eve@127.0.0.1"), Keyring::new(cookie()));
    let want = peer.target.node().clone();
    let party = Initiator::start(local, want, &keyring, binding, [9; 32], &mut hello);
    socket.write_all(&hello).unwrap();
    let challenge = frame(&mut *socket, &mut framer).unwrap();
    let Ok(Step::Continue(_)) = party.handle(&challenge, &mut proof) else { panic!("the challenge is good") };
    let told = lie(&proof[4..], &challenge);
    // The node may have hung up before all of it was written.
    let _ = socket.write_all(&with_length(&told));
    const ACCEPT: u8 = 4;
    frame(&mut *socket, &mut framer).is_some_and(|answer| answer.first() == Some(&ACCEPT))
}

/// What is told in place of the true proof, out of that and the node's challenge.
type Lie = fn(&[u8], &[u8]) -> Vec<u8>;

#[actix::test]
async fn f63_f64_a_proof_that_is_empty_short_long_forged_or_thrown_back_is_refused() {
    let peer = Peer::start("beta");
    let alpha = node("alpha", &[&peer]).await;
    assert!(is_believed(&peer, |proof, _| proof.to_vec()), "the true one is");
    let before = health(&alpha, &peer).await;
    let lies: [(&str, Lie); 7] = [
        ("empty", |proof, _| proof[..1].to_vec()),
        ("one byte short", |proof, _| proof[..proof.len() - 1].to_vec()),
        ("one byte long", |proof, _| [proof, &[0]].concat()),
        ("twice", |proof, _| [proof, &proof[1..]].concat()),
        ("forged", |proof, _| {
            let mut forged = proof.to_vec();
            *forged.last_mut().unwrap() ^= 1;
            forged
        }),
        ("nothing but zeros", |proof, _| [&proof[..1], &[0; 32]].concat()),
        ("the node's own words", |_, challenge| challenge.to_vec()),
    ];
    let count = lies.len() as u64;
    for (what, lie) in lies {
        assert!(!is_believed(&peer, lie), "a proof that is {what} was believed");
    }
    let failed = async || health(&alpha, &peer).await.handshakes_failed - before.handshakes_failed;
    eventually("they are counted", || async { failed().await == count }).await;
    assert_eq!(alpha.call(&peer.target, "counter", Total).await.unwrap(), 0);
}

/// Asks for an echo of these bytes, which are what the message was encoded to.
fn ask(link: &mut ClientLink<Waker>, payload: &[u8], compressed: bool) -> Ticket {
    let info = Echo::INFO;
    let (message, version, fingerprint) = (info.name, info.version, info.fingerprint);
    let route = RouteKey { actor: "counter", message, version, fingerprint, requirement: "", identity: None };
    let body = Body::Borrowed(payload);
    let request = Submit { kind: SubmitKind::Call, route, body, compressed, trace: None, deadline: None };
    link.submit(request, Waker::noop().clone(), Instant::now()).unwrap()
}

/// What becomes of it.
fn outcome(link: &mut ClientLink<Waker>, socket: &mut Socket, ticket: Ticket) -> Outcome {
    let (mut out, mut read) = (Vec::new(), BytesMut::new());
    loop {
        link.poll_transmit(&mut out, Instant::now());
        socket.write_all(&std::mem::take(&mut out)).unwrap();
        if let Some(outcome) = link.poll_outcome(ticket, |_| ()) {
            return outcome;
        }
        let mut chunk = [0; 4096];
        let bytes = socket.read(&mut chunk).unwrap();
        assert!(bytes > 0, "the node ended the connection");
        read.extend_from_slice(&chunk[..bytes]);
        link.handle_data(&mut read, Instant::now()).unwrap();
    }
}

#[actix::test]
async fn f47_f48_a_payload_that_announces_more_than_it_is_costs_its_caller_an_error_and_nobody_memory() {
    let peer = Peer::start("beta");
    let alpha = node("alpha", &[&peer]).await;
    let mut socket = authenticated(&peer, "eve");
    let mut link = ClientLink::new(Limits::default(), Instant::now());
    link.handle_connected(&speaks_for("beta@127.0.0.1").params, Instant::now());
    let good = [2, b'o', b'k'];
    let before = health(&alpha, &peer).await;

    // Codec 2 is zstd; behind it stands what it inflates to, and then the data.
    let zeros = zstd::bulk::compress(&vec![0; 64 << 20], 3).unwrap();
    let inflating_to = |bytes: u32| [&[2], &bytes.to_le_bytes()[..], &zeros].concat();
    let bombs = [
        ("four billion bytes in a list of three", vec![0xff, 0xff, 0xff, 0xff, 0x0f, 1, 2, 3], false),
        ("a length without an end", vec![0xff; 32], false),
        ("four billion bytes when inflated", inflating_to(u32::MAX), true),
        ("64 MiB that call themselves a thousand bytes", inflating_to(1000), true),
        ("64 MiB that say so", inflating_to(64 << 20), true),
        ("no codec", vec![9; 32], true),
    ];
    for (what, payload, compressed) in bombs {
        let ticket = ask(&mut link, &payload, compressed);
        let told = outcome(&mut link, &mut socket, ticket);
        let Outcome::Failure(Failure::Rejected(Rejected::Decode(_))) = told else {
            panic!("{what}: {told:?}")
        };
        let ticket = ask(&mut link, &good, false);
        let told = outcome(&mut link, &mut socket, ticket);
        assert!(matches!(told, Outcome::Answered { .. }), "behind {what}: {told:?}");
    }
    let after = health(&alpha, &peer).await;
    let grown = after.resident_bytes.saturating_sub(before.resident_bytes);
    assert!(grown < 8 * MIB, "{grown} bytes for what was only announced");
    assert_eq!((after.protocol_errors, after.inbound), (before.protocol_errors, before.inbound));
}
