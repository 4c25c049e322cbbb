//! What one source may have, and that it takes nothing from the others. Each address of 127.0.0.0/8 is a source here.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use farcall::config::StrangersConfig;
use farcall::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::by_hand::{Manner, SOON, client_config, session_to};
use crate::fixture::{Book, connects, eventually, meets, says, secure, started};
use crate::pki::authority;

/// A node that limits every source as `change` says.
async fn limiting(name: &str, change: impl FnOnce(&mut Config)) -> Node {
    let builder = secure(name).configure(|config| {
        config.strangers = StrangersConfig {
            limit_loopback: true,
            delay_min: Duration::from_millis(1),
            delay_max: Duration::from_millis(1),
            ..StrangersConfig::default()
        };
        change(config);
    });
    started(builder, &Book::default()).await
}

/// A connection from 127.0.0.`last`.
async fn from(last: u8, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::new(127, 0, 0, last), 0).into()).unwrap();
    socket.connect(to).await.unwrap()
}

/// A connection from there that says what is no TLS; whether it was let in, and so has failed by now.
async fn tries(node: &Node, last: u8) -> bool {
    let before = node.metrics();
    let mut stream = from(last, node.listening_on()[0]).await;
    // It may be refused already.
    let _ = stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await;
    ends(stream).await;
    let mut failed = false;
    eventually("it has failed or was refused", || {
        let now = node.metrics();
        failed = now.handshakes_failed > before.handshakes_failed;
        failed || now.inbound_refused > before.inbound_refused
    })
    .await;
    failed
}

/// As [`tries`], and it is let in.
async fn fails(node: &Node, last: u8) {
    assert!(tries(node, last).await, "127.0.0.{last} is not let in");
}

/// Waits until the other side ends a connection.
async fn ends(mut stream: TcpStream) {
    let mut said = Vec::new();
    // An end or a reset, whichever comes.
    let _ = tokio::time::timeout(SOON, stream.read_to_end(&mut said)).await.expect("the node ends it");
}

/// Whether a connection from there is let in now. It says nothing, and is gone again when this returns.
async fn is_let_in(node: &Node, last: u8) -> bool {
    let before = node.metrics();
    let stream = from(last, node.listening_on()[0]).await;
    let mut let_in = false;
    eventually("it is let in or refused", || {
        let now = node.metrics();
        let_in = now.half_open > before.half_open;
        let_in || now.inbound_refused > before.inbound_refused
    })
    .await;
    drop(stream);
    eventually("its place is free", || node.metrics().half_open <= before.half_open).await;
    let_in
}

#[actix::test]
async fn one_source_holds_only_so_many_connections_and_others_have_theirs() {
    let node = limiting("held@127.0.0.1", |config| config.strangers.half_open_per_source_max = 2).await;
    let address = node.listening_on()[0];
    let mut held = vec![from(2, address).await, from(2, address).await];
    eventually("two are in", || node.metrics().half_open == 2).await;
    ends(from(2, address).await).await;
    let said = says(&node, "refused a connection").await;
    assert!(
        said.contains("2 connections of its source") && said.contains("half_open_per_source_max"),
        "{said}"
    );
    assert!(said.contains(" from=127.0.0.2:"), "{said}");
    for other in 3..6 {
        held.push(from(other, address).await);
        held.push(from(other, address).await);
    }
    eventually("all others are in", || node.metrics().half_open == 8).await;
    assert_eq!(node.metrics().inbound_refused, 1);
    // A place that is free again can be had again.
    held.remove(0);
    eventually("one is out", || node.metrics().half_open == 7).await;
    assert!(is_let_in(&node, 2).await);
}

#[actix::test]
async fn one_source_begins_only_so_many_handshakes_a_second_and_others_go_on() {
    const RATE: u32 = 4;
    let node = limiting("rate@127.0.0.1", |config| {
        config.strangers.accept_rate_per_source = RATE;
        config.strangers.half_open_per_source_max = 4;
    })
    .await;
    let begun = Instant::now();
    // Each spends a token of its source; the delay of a millisecond is over before the next one comes.
    while tries(&node, 2).await {
        assert!(begun.elapsed() < SOON, "it is never refused");
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    let failed = node.metrics().handshakes_failed;
    let most = f64::from(RATE) * (1.0 + begun.elapsed().as_secs_f64());
    assert!(failed >= u64::from(RATE), "{failed}");
    #[expect(clippy::cast_precision_loss, reason = "a handful")]
    let begun_handshakes = failed as f64;
    assert!(begun_handshakes <= most, "{failed} handshakes in {:?}", begun.elapsed());
    let said = says(&node, "accept_rate_per_source").await;
    assert!(said.contains(" from=127.0.0.2:"), "{said}");
    for other in 3..9 {
        assert!(is_let_in(&node, other).await, "127.0.0.{other}");
    }
}

#[actix::test]
async fn all_strangers_together_begin_only_so_many_handshakes_a_second() {
    const RATE: u32 = 6;
    let node = limiting("all@127.0.0.1", |config| {
        config.half_open_max = 6;
        config.strangers.accept_rate = RATE;
    })
    .await;
    let begun = Instant::now();
    let mut source = 2;
    while tries(&node, source).await {
        assert!(begun.elapsed() < SOON, "they are never refused");
        source = source % 250 + 2;
    }
    says(&node, "more connections than the 6 a second that accept_rate allows").await;
    // Whoever proves itself gives back what it took: however many, they all get in.
    let book = Book::default();
    book.enter(&node);
    let alpha = started(secure("alpha@127.0.0.1"), &book).await;
    connects(&alpha, &node).await;
    let refused = node.metrics().inbound_refused;
    for _ in 0..3 * RATE {
        node.kill_acceptors(alpha.name());
        eventually("it is gone", || alpha.nodes().is_empty()).await;
        connects(&alpha, &node).await;
    }
    assert_eq!(node.metrics().inbound_refused, refused);
}

/// How long it takes to fail and to be let in again, from there.
async fn delay_after_failure(node: &Node, last: u8) -> Duration {
    let begun = Instant::now();
    fails(node, last).await;
    while !is_let_in(node, last).await {
        assert!(begun.elapsed() < SOON, "it is never let in again");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    begun.elapsed()
}

#[actix::test]
async fn a_source_that_fails_waits_longer_each_time_up_to_the_longest_delay_and_others_do_not_wait() {
    let (shortest, longest) = (Duration::from_millis(200), Duration::from_millis(600));
    let node = limiting("delay@127.0.0.1", |config| {
        (config.strangers.delay_min, config.strangers.delay_max) = (shortest, longest);
        config.strangers.accept_rate_per_source = 1000;
    })
    .await;
    // From above, only the machine bounds it: a busy one looks late.
    for least in [shortest, 2 * shortest, longest] {
        let waited = delay_after_failure(&node, 2).await;
        assert!(waited >= least, "{waited:?}, and it should be {least:?}");
        assert!(waited < least + Duration::from_secs(1), "{waited:?}, and it should be {least:?}");
    }
    fails(&node, 2).await;
    assert!(!is_let_in(&node, 2).await);
    let said = says(&node, "its source failed before, and is refused for another").await;
    assert!(said.contains(" from=127.0.0.2:"), "{said}");
    for other in 3..9 {
        assert!(is_let_in(&node, other).await, "127.0.0.{other}");
    }
}

#[actix::test]
async fn a_source_that_proves_itself_is_forgiven() {
    let shortest = Duration::from_millis(200);
    let node = limiting("forgiven@127.0.0.1", |config| {
        (config.strangers.delay_min, config.strangers.delay_max) = (shortest, Duration::from_secs(60));
        config.strangers.accept_rate_per_source = 1000;
    })
    .await;
    let book = Book::default();
    book.enter(&node);
    let alpha = started(secure("alpha@127.0.0.1"), &book).await;
    // A node of this host dials from 127.0.0.1, as whoever fails here.
    for least in [shortest, 2 * shortest, 4 * shortest] {
        let waited = delay_after_failure(&node, 1).await;
        assert!(waited >= least, "{waited:?}, and it should be {least:?}");
    }
    assert!(meets(&alpha, &node).await);
    // After a fourth failure in a row it would be eight times as long.
    let waited = delay_after_failure(&node, 1).await;
    assert!(waited >= shortest && waited < 7 * shortest, "{waited:?}, and it should be {shortest:?}");
}

#[actix::test]
async fn only_so_many_sources_are_remembered() {
    let node = limiting("sources@127.0.0.1", |config| {
        (config.half_open_max, config.strangers.sources_max) = (4, 4);
        // One that failed is not as good as new before this is over.
        config.strangers.delay_max = Duration::from_secs(60);
    })
    .await;
    for last in 2..40 {
        fails(&node, last).await;
        let sources = node.metrics().stranger_sources;
        assert!((1..=4).contains(&sources), "{sources} are remembered");
    }
    assert_eq!(node.metrics().stranger_sources, 4);
}

#[actix::test]
async fn whoever_closes_at_once_without_a_word_is_no_failure_and_whoever_lingers_is_one() {
    let node = limiting("lingers@127.0.0.1", |config| {
        (config.strangers.delay_min, config.strangers.delay_max) = (SOON, SOON);
        (config.strangers.half_open_per_source_max, config.strangers.accept_rate_per_source) = (2, 2);
    })
    .await;
    for _ in 0..6 {
        assert!(is_let_in(&node, 2).await, "a health check");
    }
    let lingers = from(3, node.listening_on()[0]).await;
    eventually("it is in", || node.metrics().half_open == 1).await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    drop(lingers);
    eventually("it is out", || node.metrics().half_open == 0).await;
    assert!(!is_let_in(&node, 3).await);
    says(&node, "its source failed before, and is refused for another").await;
    assert!(is_let_in(&node, 4).await);
}

#[actix::test]
async fn a_handshake_of_tls_is_not_for_nothing_although_no_word_is_said_inside() {
    let node = limiting("begun@127.0.0.1", |config| {
        (config.strangers.half_open_per_source_max, config.strangers.accept_rate_per_source) = (4, 4);
    })
    .await;
    let (address, begun) = (node.listening_on()[0], Instant::now());
    let config = client_config(Some(&authority().identity("eve@127.0.0.1")), &Manner::default());
    while let Ok(mut session) = session_to(address, config.clone()).await {
        // It takes leave in good order.
        let _ = session.shutdown().await;
        drop(session);
        assert!(begun.elapsed() < SOON, "it may go on for ever");
        eventually("it is out", || node.metrics().half_open == 0).await;
    }
    assert!(node.metrics().inbound_refused > 0);
}

#[actix::test]
async fn without_the_setting_the_loopback_is_no_source() {
    let node = limiting("whole@127.0.0.1", |config| {
        config.strangers.limit_loopback = false;
        config.strangers.half_open_per_source_max = 1;
        (config.strangers.delay_min, config.strangers.delay_max) = (SOON, SOON);
    })
    .await;
    fails(&node, 1).await;
    let address = node.listening_on()[0];
    let held = [from(1, address).await, from(1, address).await, from(1, address).await];
    eventually("all are in", || node.metrics().half_open == 3).await;
    assert_eq!((node.metrics().inbound_refused, node.metrics().stranger_sources), (0, 0));
    drop(held);
}
