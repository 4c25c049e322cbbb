//! What one source may have, and that it takes nothing from the others. Each address of 127.0.0.0/8 is a source here.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use farcall::config::StrangersConfig;
use farcall::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::by_hand::SOON;
use crate::fixture::{Book, eventually, meets, says, secure, started};

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

/// A connection from there that fails at once, and has done so when this returns.
async fn fails(node: &Node, last: u8) {
    let before = node.metrics().handshakes_failed;
    let mut stream = from(last, node.listening_on()[0]).await;
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    ends(stream).await;
    eventually("it has failed", || node.metrics().handshakes_failed > before).await;
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
    while node.metrics().inbound_refused == 0 {
        assert!(begun.elapsed() < SOON, "it is never refused");
        let mut stream = from(2, node.listening_on()[0]).await;
        let _ = stream.write_all(b"no TLS at all, and long enough").await;
        ends(stream).await;
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
    while node.metrics().inbound_refused == 0 {
        assert!(begun.elapsed() < SOON, "they are never refused");
        let mut stream = from(source, node.listening_on()[0]).await;
        let _ = stream.write_all(b"no TLS at all, and long enough").await;
        ends(stream).await;
        source = source % 250 + 2;
    }
    says(&node, "more connections than the 6 a second that accept_rate allows").await;
    // Whoever proves itself gives back what it took: however many, they all get in.
    let book = Book::default();
    book.enter(&node);
    let alpha = started(secure("alpha@127.0.0.1"), &book).await;
    while !meets(&alpha, &node).await {
        assert!(begun.elapsed() < SOON, "no token comes back");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for _ in 0..3 * RATE {
        assert!(meets(&alpha, &node).await);
        node.kill_acceptors(alpha.name());
        eventually("it is gone", || alpha.nodes().is_empty()).await;
    }
}

/// How long after a failure a connection from there is let in.
async fn delay_after_failure(node: &Node, last: u8) -> Duration {
    fails(node, last).await;
    let begun = Instant::now();
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
    let grace = Duration::from_millis(30);
    for least in [shortest, 2 * shortest, longest] {
        let waited = delay_after_failure(&node, 2).await;
        assert!(waited + grace >= least, "{waited:?}, and it should be {least:?}");
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
    let shortest = Duration::from_millis(100);
    let node = limiting("forgiven@127.0.0.1", |config| {
        (config.strangers.delay_min, config.strangers.delay_max) = (shortest, Duration::from_secs(60));
        config.strangers.accept_rate_per_source = 1000;
    })
    .await;
    let book = Book::default();
    book.enter(&node);
    let alpha = started(secure("alpha@127.0.0.1"), &book).await;
    // A node of this host dials from 127.0.0.1, as whoever fails here.
    for _ in 0..2 {
        for least in [shortest, 2 * shortest, 4 * shortest] {
            let waited = delay_after_failure(&node, 1).await;
            assert!(waited + Duration::from_millis(30) >= least, "{waited:?}, and it should be {least:?}");
            // After a fourth one it would be 800 ms: forgiven, it begins with 100 again.
            assert!(waited < least + Duration::from_millis(350), "{waited:?}, and it should be {least:?}");
        }
        assert!(meets(&alpha, &node).await);
        node.kill_acceptors(alpha.name());
        eventually("it is gone", || alpha.nodes().is_empty()).await;
    }
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
