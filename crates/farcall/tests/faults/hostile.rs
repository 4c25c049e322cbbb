//! Peers that do not keep to the protocol, before and after they proved who they are.

use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use farcall::Driver;
use farcall_proto::link::frame::{Head, RequestId};

use crate::actors::{Add, Sleep, Total};
use crate::by_hand::{Socket, authenticated, stranger};
use crate::fixture::{SLACK, Times, driver, eventually, health, node};
use crate::process::Peer;

const MIB: u64 = 1 << 20;

/// Waits until the peer closes the connection; gives how long that took.
fn closed(mut socket: impl Read) -> Duration {
    let (begun, mut chunk) = (Instant::now(), [0; 4096]);
    loop {
        match socket.read(&mut chunk) {
            Ok(0) => return begun.elapsed(),
            Ok(_) => {}
            // Over TLS, an end without a farewell is told apart from one with it.
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof) => {
                return begun.elapsed();
            }
            Err(error) => panic!("the peer keeps the connection: {error}"),
        }
    }
}

/// Bytes that are no protocol, always the same ones.
fn garbage(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    let step = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..bytes).map(step).collect()
}

#[actix::test]
async fn garbage_before_the_handshake_closes_its_connection_at_once_and_nothing_else() {
    let peer = Peer::start("beta");
    let alpha = node("alpha", &[&peer]).await;
    let running = alpha.async_call(&peer.target, "counter", Sleep { ms: 400 });
    let before = health(&alpha, &peer).await;
    let huge = [&u32::MAX.to_le_bytes()[..], &garbage(1000)].concat();
    for bytes in [garbage(100_000), b"GET / HTTP/1.1\r\nHost: beta\r\n\r\n".to_vec(), huge, vec![0; 64]] {
        let mut socket = stranger(&peer);
        // The peer may close before all of it is written.
        let _ = socket.write_all(&bytes);
        let after = closed(socket);
        assert!(after < SLACK, "closed after {after:?}");
    }
    // A moment after they are closed.
    let failed = async || health(&alpha, &peer).await.handshakes_failed - before.handshakes_failed;
    eventually("they are counted", || async { failed().await >= 4 }).await;
    let after = health(&alpha, &peer).await;
    assert_eq!(after.handshakes_failed - before.handshakes_failed, 4);
    let grown = after.resident_bytes.saturating_sub(before.resident_bytes);
    assert!(grown < 4 * MIB, "{grown} bytes for strangers");
    assert_eq!(running.await.unwrap(), 400);
    assert_eq!(alpha.metrics().dials, 1);
}

#[actix::test]
async fn whoever_breaks_the_protocol_after_the_handshake_is_cut_and_nobody_else() {
    let peer = Peer::start("beta");
    let alpha = node("alpha", &[&peer]).await;
    let running = alpha.async_call(&peer.target, "counter", Sleep { ms: 600 });
    let before = health(&alpha, &peer).await;
    let written = |write: &dyn Fn(&mut Vec<u8>)| {
        let mut out = Vec::new();
        write(&mut out);
        out
    };
    let id = RequestId { slot: 0, generation: 0 };
    let fragment = |stream, total| written(&|out| Head::fragment(stream, total).write(b"piece", out));
    let attacks = [
        ("garbage", garbage(50_000)),
        ("a length of 4 GiB", u32::MAX.to_le_bytes().to_vec()),
        ("a fragment of no stream", fragment(3, None)),
        ("a stream opened twice", [fragment(3, Some(1000)), fragment(3, Some(1000))].concat()),
        ("more than was announced", fragment(3, Some(2))),
        ("a message over the limit", fragment(3, Some(512 << 20))),
        ("streams without end", (0..100_000).flat_map(|n| fragment(n, Some(1000))).collect()),
        ("a frame of the other role", written(&|out| Head::reply(id, false, false).write(b"?", out))),
    ];
    let count = attacks.len() as u64;
    for (what, bytes) in attacks {
        let mut socket = authenticated(&peer, "eve");
        let _ = socket.write_all(&bytes);
        let after = closed(socket);
        assert!(after < SLACK, "{what}: closed after {after:?}");
    }
    let after = health(&alpha, &peer).await;
    assert_eq!(after.protocol_errors - before.protocol_errors, count);
    let grown = after.resident_bytes.saturating_sub(before.resident_bytes);
    assert!(grown < 8 * MIB, "{grown} bytes for a hostile peer");
    assert_eq!(after.inbound, 1);
    assert_eq!(running.await.unwrap(), 600);
    assert_eq!((alpha.metrics().dials, alpha.metrics().clients_lost), (1, 0));
}

#[actix::test]
async fn a_frame_that_never_ends_is_ended_by_silence_and_a_cut_off_one_by_the_close() {
    let peer = Peer::start("beta");
    let alpha = node("alpha", &[&peer]).await;
    alpha.ping(&peer.target).await.unwrap();
    let half = |socket: &mut Socket| socket.write_all(&[200, 0, 0, 0, 1, 2, 3]).unwrap();
    let mut cut = authenticated(&peer, "eve");
    half(&mut cut);
    eventually("it is in", || async { health(&alpha, &peer).await.inbound == 2 }).await;
    drop(cut);
    eventually("it is out", || async { health(&alpha, &peer).await.inbound == 1 }).await;
    assert_eq!(health(&alpha, &peer).await.protocol_errors, 0);
    assert_eq!(alpha.call(&peer.target, "counter", Total).await.unwrap(), 0);
}

#[actix::test]
async fn one_byte_at_a_time_is_cut_when_the_time_for_the_handshake_is_over() {
    let peer = Peer::start("beta");
    let alpha = node("alpha", &[&peer]).await;
    alpha.ping(&peer.target).await.unwrap();
    let limit = alpha.config().handshake_timeout;
    let mut socket = stranger(&peer);
    let begun = Instant::now();
    // The start of a frame or record of 1,000 bytes, then one byte now and then; each write after the cut may still
    // succeed once.
    let head: &[u8] = match driver() {
        Driver::Tcp => &[0xe8, 3, 0, 0],
        Driver::Tls => &[22, 3, 1, 3, 0xe8],
    };
    let _ = socket.write_all(head);
    while begun.elapsed() < Duration::from_secs(5) {
        if socket.write_all(&[1]).is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let after = begun.elapsed();
    assert!(after >= limit && after < limit + SLACK, "cut after {after:?}");
    assert_eq!(health(&alpha, &peer).await.half_open, 0);
}

#[actix::test]
async fn strangers_that_say_nothing_are_few_and_brief_and_known_peers_go_on() {
    let peer = Peer::start("beta");
    let alpha = node("alpha", &[&peer]).await;
    alpha.ping(&peer.target).await.unwrap();
    let held = 16; // half_open_max of these settings
    let silent: Vec<_> = (0..held).map(|_| stranger(&peer)).collect();
    eventually("they are in", || async { health(&alpha, &peer).await.half_open == held }).await;
    for _ in 0..50 {
        let after = closed(stranger(&peer));
        assert!(after < SLACK, "one too many is kept for {after:?}");
    }
    let now = health(&alpha, &peer).await;
    assert!(now.half_open <= held && now.refused >= 50, "{now:?}");
    let mut times = Times::default();
    for _ in 0..200 {
        let begun = Instant::now();
        alpha.call(&peer.target, "counter", Add { amount: 1 }).await.unwrap();
        times.note(begun.elapsed());
    }
    assert!(times.percentile(90) < Duration::from_millis(50), "{:?}", times.percentile(90));
    eventually("they are out", || async { health(&alpha, &peer).await.half_open == 0 }).await;
    let gamma = node("gamma", &[&peer]).await;
    assert!(gamma.ping(&peer.target).await.is_ok(), "there is room again");
    drop(silent);
}

#[actix::test]
async fn a_node_without_free_files_keeps_its_connections_and_accepts_again_later() {
    let peer = Peer::start_with_files_max("beta", 64);
    let alpha = node("alpha", &[&peer]).await;
    alpha.ping(&peer.target).await.unwrap();
    // Past the handshake, so that the limit of half-open ones does not step in first.
    let mut many = Vec::new();
    for n in 0..15 {
        many.push(authenticated(&peer, &format!("n{n}")));
    }
    let strangers: Vec<_> = (0..60).map(|_| stranger(&peer)).collect();
    for _ in 0..100 {
        alpha.call(&peer.target, "counter", Add { amount: 1 }).await.unwrap();
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    drop((many, strangers));
    let gamma = node("gamma", &[&peer]).await;
    eventually("it accepts again", || async { gamma.ping(&peer.target).await.is_ok() }).await;
    assert_eq!(alpha.metrics().dials, 1);
}
