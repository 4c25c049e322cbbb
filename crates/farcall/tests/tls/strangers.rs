//! Peers before they have proved themselves: how much they may send, for how long, and that it harms nobody.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use farcall::config::StrangersConfig;
use farcall::prelude::*;
use farcall::{Driver, Keyring, NodeBuilder};
use farcall_proto::link::handshake::PreAuthLimits;
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::by_hand::{Manner, SOON, binding, client_config, greeting, introduce, session_to};
use crate::fixture::{
    Book, Total, bare, cookie, dialling, eventually, handshake_failure, meets, other_cookie, says, secure,
    started, target,
};
use crate::pki::authority;

/// What a busy machine may add.
const GRACE: Duration = Duration::from_secs(2);

fn with_limits(name: &str, change: impl FnOnce(&mut StrangersConfig)) -> NodeBuilder {
    // Failures cost these tests nothing: that they do is shown elsewhere.
    secure(name).configure(|config| change(&mut config.strangers))
}

/// TLS is done, and nothing was said inside it.
async fn silent_session(node: &Node) -> TlsStream<TcpStream> {
    let config = client_config(Some(&authority().identity("eve@127.0.0.1")), &Manner::default());
    session_to(node.listening_with(Driver::Tls)[0], config).await.unwrap()
}

/// Waits until the node ends it; how long that took.
async fn ends(stream: &mut (impl AsyncReadExt + Unpin)) -> Duration {
    let (begun, mut said) = (Instant::now(), Vec::new());
    // An end, an alert or a reset, whichever comes.
    let _ = tokio::time::timeout(SOON, stream.read_to_end(&mut said)).await.expect("the node ends it");
    begun.elapsed()
}

#[actix::test]
async fn a_frame_over_the_limit_is_refused_by_its_length_alone() {
    let least = PreAuthLimits::LEAST.frame_bytes_max;
    let node =
        started(with_limits("frame@127.0.0.1", |limits| limits.frame_bytes_max = least), &Book::default())
            .await;
    for (bytes, refused) in
        [(u32::try_from(least).unwrap() + 1, true), (u32::MAX, true), (i32::MAX as u32, true)]
    {
        let before = node.metrics().handshakes_failed;
        let mut session = silent_session(&node).await;
        session.write_all(&bytes.to_le_bytes()).await.unwrap();
        // Nothing of the frame itself was ever sent.
        assert!(ends(&mut session).await < GRACE);
        eventually("it has failed", || node.metrics().handshakes_failed == before + u64::from(refused)).await;
    }
    let said = says(&node, "peer announced a handshake frame of").await;
    assert!(said.contains(&format!("the limit is {least}")), "{said}");
    // The longest that is allowed is waited for: the same node takes those who have something to say.
    let mut session = silent_session(&node).await;
    session.write_all(&u32::try_from(least).unwrap().to_le_bytes()).await.unwrap();
    eventually("it is in", || node.metrics().half_open == 1).await;
    let before = node.metrics().handshakes_failed;
    assert!(tokio::time::timeout(Duration::from_millis(50), session.read(&mut [0])).await.is_err());
    assert_eq!(node.metrics().handshakes_failed, before);
}

#[actix::test]
async fn a_stranger_says_only_so_much_inside_tls_before_it_has_proved_itself() {
    let least = PreAuthLimits::LEAST;
    let builder = with_limits("bytes@127.0.0.1", |limits| {
        (limits.frame_bytes_max, limits.bytes_max) = (least.frame_bytes_max, least.total_bytes_max);
    });
    let book = Book::default();
    let node = started(builder, &book).await;
    let alpha = started(dialling("alpha@127.0.0.1"), &book).await;
    assert!(meets(&alpha, &node).await, "what an honest node says is not too much");
    // A good greeting, and behind it a frame that is not too long, and too much together with it.
    let mut session = silent_session(&node).await;
    let (keyring, bound) = (Keyring::new(cookie()), binding(&session));
    let greeting = greeting("eve@127.0.0.1", "bytes@127.0.0.1", (&keyring, bound));
    let next = least.total_bytes_max - greeting.len() + 1;
    assert!(next < least.frame_bytes_max, "a greeting of {} bytes", greeting.len());
    session
        .write_all(&[greeting, u32::try_from(next).unwrap().to_le_bytes().to_vec()].concat())
        .await
        .unwrap();
    assert!(ends(&mut session).await < GRACE);
    let limit = least.total_bytes_max;
    says(&node, &format!("peer sent more than {limit} bytes before it had proved itself")).await;
    assert_eq!((node.inbound(), node.metrics().handshakes_failed), (vec![alpha.name().clone()], 1));
}

/// The beginning of a ClientHello of 60 KiB, in records of 16 KiB.
fn endless_hello() -> Vec<u8> {
    let mut hello = vec![1, 0, 0xf0, 0];
    hello.resize(0xf000, 0x5a);
    hello
        .chunks(0x4000)
        .flat_map(|part| {
            let bytes = u16::try_from(part.len()).unwrap().to_be_bytes();
            [&[22, 3, 1, bytes[0], bytes[1]][..], part].concat()
        })
        .collect()
}

#[actix::test]
async fn a_stranger_sends_only_so_much_of_tls_before_the_handshake_of_the_nodes() {
    let node = started(
        with_limits("tls-bytes@127.0.0.1", |limits| limits.tls_bytes_max = 8 << 10),
        &Book::default(),
    )
    .await;
    let mut stream = TcpStream::connect(node.listening_on()[0]).await.unwrap();
    let hello = endless_hello();
    // Less than the limit is waited for.
    stream.write_all(&hello[..7 << 10]).await.unwrap();
    eventually("it is in", || node.metrics().half_open == 1).await;
    assert!(tokio::time::timeout(Duration::from_millis(50), stream.read(&mut [0])).await.is_err());
    let _ = stream.write_all(&hello[7 << 10..]).await;
    assert!(ends(&mut stream).await < GRACE);
    says(&node, "more than 8192 bytes before the end of the handshake (strangers.tls_bytes_max)").await;
}

/// Sends one byte every now and then, from these on, until the node has enough of it; how long that took.
async fn trickle(stream: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin), bytes: &[u8]) -> Duration {
    let begun = Instant::now();
    for byte in bytes.iter().cycle() {
        assert!(begun.elapsed() < SOON, "the node bears it");
        if stream.write_all(&[*byte]).await.is_err() {
            break;
        }
        let _ = stream.flush().await;
        // A read that ends is the end; one that does not is the pause.
        if tokio::time::timeout(Duration::from_millis(20), stream.read(&mut [0; 64])).await.is_ok() {
            break;
        }
    }
    begun.elapsed()
}

#[actix::test]
async fn one_byte_at_a_time_is_cut_at_the_absolute_deadline_before_and_inside_tls() {
    let limit = Duration::from_millis(600);
    let node = secure("slow@127.0.0.1").configure(|config| config.handshake_timeout = limit);
    let node = started(node, &Book::default()).await;
    let mut before_tls = TcpStream::connect(node.listening_on()[0]).await.unwrap();
    let cut = trickle(&mut before_tls, &endless_hello()).await;
    assert!(cut >= limit - Duration::from_millis(50) && cut < limit + GRACE, "cut after {cut:?}");
    // The time for TLS counts too: the deadline is one for all of it.
    let begun = Instant::now();
    let mut inside = silent_session(&node).await;
    trickle(&mut inside, &[200, 0, 0, 0, 1, 1, 1, 1]).await;
    let cut = begun.elapsed();
    assert!(cut >= limit - Duration::from_millis(50) && cut < limit + GRACE, "cut after {cut:?}");
    let said = says(&node, "no handshake within 600ms").await;
    assert!(said.contains(" reason=handshake_timeout "), "{said}");
    assert_eq!((node.metrics().half_open, node.metrics().inbound_refused), (0, 0));
}

#[actix::test]
async fn k5_a_thousand_resets_and_plain_text_on_the_tls_port_leave_the_listener_up() {
    let book = Book::default();
    let node = started(secure("k5@127.0.0.1"), &book).await;
    let address = node.listening_on()[0];
    for nth in 0..1000 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        if nth % 50 == 0 {
            let _ = stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await;
        }
        // Closed with this, a socket sends a reset and no farewell.
        SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
        drop(stream);
    }
    eventually("they are all out", || node.metrics().half_open == 0).await;
    let mut plain = TcpStream::connect(address).await.unwrap();
    plain.write_all(b"plain text\r\n").await.unwrap();
    ends(&mut plain).await;
    let asks = started(dialling("asks@127.0.0.1"), &book).await;
    assert!(meets(&asks, &node).await);
}

#[actix::test]
async fn k6_idle_connections_to_the_tls_port_do_not_hold_up_another_one() {
    let book = Book::default();
    let node = started(secure("k6@127.0.0.1"), &book).await;
    let address = node.listening_on()[0];
    let idle = idle_connections(address, 20).await;
    eventually("they are in", || node.metrics().half_open == 20).await;
    let asks = started(dialling("asks@127.0.0.1"), &book).await;
    let begun = Instant::now();
    assert!(meets(&asks, &node).await);
    // They are there for five seconds, and nobody waits for that.
    assert!(begun.elapsed() < GRACE, "{:?}", begun.elapsed());
    assert_eq!(node.metrics().half_open, 20);
    drop(idle);
}

async fn idle_connections(address: SocketAddr, count: usize) -> Vec<TcpStream> {
    let connect = || async { TcpStream::connect(address).await.unwrap() };
    futures::future::join_all((0..count).map(|_| connect())).await
}

#[actix::test]
async fn k7_no_more_connections_than_allowed_are_half_open_with_either_driver_together() {
    let builder = dialling("k7@127.0.0.1").configure(|config| config.half_open_max = 4);
    let any = crate::fixture::any_port;
    let node = started(builder.listen([any()]).listen_tls([any()]), &Book::default()).await;
    let (plain, encrypted) = (node.listening_with(Driver::Tcp)[0], node.listening_with(Driver::Tls)[0]);
    let held = (idle_connections(plain, 2).await, idle_connections(encrypted, 2).await);
    eventually("four are in", || node.metrics().half_open == 4).await;
    for address in [plain, encrypted] {
        let mut fifth = TcpStream::connect(address).await.unwrap();
        assert!(ends(&mut fifth).await < GRACE);
    }
    assert_eq!((node.metrics().half_open, node.metrics().inbound_refused), (4, 2));
    says(&node, "the most half_open_max allows").await;
    drop(held);
    eventually("there is room again", || node.metrics().half_open == 0).await;
}

#[actix::test]
async fn k11_whoever_cannot_prove_the_secret_is_refused_and_what_it_says_is_not_used_elsewhere() {
    let book = Book::default();
    let node = started(secure("k11@127.0.0.1"), &book).await;
    // A proof with another secret.
    let mut session = silent_session(&node).await;
    let (wrong, bound) = (Keyring::new(other_cookie()), binding(&session));
    introduce(&mut session, "eve@127.0.0.1", "k11@127.0.0.1", (&wrong, bound)).await.unwrap_err();
    // A good one that belongs to another session, as if it had been taken from there.
    let (right, other) = (Keyring::new(cookie()), silent_session(&node).await);
    let mut session = silent_session(&node).await;
    introduce(&mut session, "eve@127.0.0.1", "k11@127.0.0.1", (&right, binding(&other))).await.unwrap_err();
    says(&node, "peer could not prove that it holds our cookie").await;
    // What the node itself says, thrown back at it.
    let mut session = silent_session(&node).await;
    let (mut sent, mut chunk) = (vec![4, 0, 0, 0, 1, 2, 3, 4], [0; 512]);
    for _ in 0..10 {
        if session.write_all(&sent).await.is_err() {
            break;
        }
        match tokio::time::timeout(SOON, session.read(&mut chunk)).await.unwrap() {
            Ok(bytes @ 1..) => sent = chunk[..bytes].to_vec(),
            _ => break,
        }
    }
    assert!(node.inbound().is_empty());
    // And a server that has another secret is refused by whoever dials it.
    let liar = started(secure("liar@127.0.0.1").cookie(other_cookie()), &book).await;
    let told = handshake_failure(&node, "liar@127.0.0.1").await;
    assert!(told.contains("refused") && node.nodes().is_empty(), "{told}");
    assert_eq!(liar.call(&target(&liar), "counter", Total).await.unwrap(), 0);
    assert!(bare("unused@127.0.0.1").start().await.is_ok());
}
