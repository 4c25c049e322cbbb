//! A listener that accepts nobody, one that accepts and says nothing, and one that reads late.

use std::io::{ErrorKind, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use farcall::Address;
use farcall::error::{Failure, NotSent};
use farcall::prelude::*;
use socket2::{Domain, Socket, Type};

use crate::actors::{Add, Echo, Total};
use crate::by_hand::answer;
use crate::fixture::{PhoneBook, SLACK, Times, eventually, failure, node_with};
use crate::process::Peer;

const NOBODY: &str = "nobody@127.0.0.1";

async fn node_beside(peer: &Peer, nobody: SocketAddr, change: impl FnOnce(&mut Config)) -> Node {
    let book = PhoneBook::default();
    book.put(peer.target.node(), peer.address);
    book.put(&NOBODY.parse().unwrap(), nobody);
    node_with("alpha", &[], |builder| builder.discovery(book).configure(change)).await
}

#[actix::test]
async fn a_peer_that_accepts_and_says_nothing_is_given_up_in_time_and_others_do_not_wait_for_it() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = Peer::start("beta");
    let alpha = node_beside(&peer, silent.local_addr().unwrap(), |_| {}).await;
    let (alpha, nobody) = (&alpha, &NOBODY.parse::<Target>().unwrap());
    let limit = alpha.config().handshake_timeout;
    let begun = Instant::now();
    let hopeless = async {
        let told = failure(alpha.call(nobody, "counter", Total).await);
        (told, begun.elapsed())
    };
    let others = async {
        let mut times = Times::default();
        while begun.elapsed() < limit - Duration::from_millis(50) {
            let asked = Instant::now();
            alpha.call(&peer.target, "counter", Add { amount: 1 }).await.unwrap();
            times.note(asked.elapsed());
        }
        times
    };
    let ((told, after), times) = futures::future::join(hopeless, others).await;
    assert!(matches!(told, Failure::NotSent(NotSent::HandshakeFailed(_))), "{told}");
    assert!(after >= limit && after < limit + SLACK, "told after {after:?}");
    // The first one also dials and shakes hands.
    assert!(times.count() > 20, "only {} calls beside", times.count());
    assert!(times.percentile(90) < Duration::from_millis(50), "{:?}", times.percentile(90));
}

#[actix::test]
async fn a_call_to_an_address_that_answers_nothing_ends_at_its_own_deadline_or_that_of_the_connect() {
    // A listener whose queue is full lets the kernel drop what else would connect.
    let full = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    full.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    full.listen(0).unwrap();
    let address = full.local_addr().unwrap().as_socket().unwrap();
    let _filled: Vec<_> =
        (0..4).filter_map(|_| TcpStream::connect_timeout(&address, Duration::from_millis(50)).ok()).collect();
    let peer = Peer::start("beta");
    let alpha = node_beside(&peer, address, |config| {
        config.connect_timeout = Duration::from_millis(700);
        (config.backoff_min, config.backoff_max) = (Duration::from_secs(5), Duration::from_secs(5));
    })
    .await;
    let nobody: &Target = &NOBODY.parse().unwrap();
    let begun = Instant::now();
    let short = alpha.call(nobody, "counter", Total).timeout(Duration::from_millis(200));
    let (short, long) = futures::future::join(async { (failure(short.await), begun.elapsed()) }, async {
        (failure(alpha.call(nobody, "counter", Total).await), begun.elapsed())
    })
    .await;
    let is_about = |time: Duration, ms: u64| {
        time >= Duration::from_millis(ms) && time < Duration::from_millis(ms) + SLACK
    };
    assert!(matches!(short.0, Failure::NotSent(NotSent::DeadlineBeforeWrite)), "{}", short.0);
    assert!(is_about(short.1, 200), "{:?}", short.1);
    assert!(matches!(long.0, Failure::NotSent(NotSent::ConnectFailed(_))), "{}", long.0);
    assert!(is_about(long.1, 700), "{:?}", long.1);
    let begun = Instant::now();
    failure(alpha.call(nobody, "counter", Total).await);
    assert!(begun.elapsed() < Duration::from_millis(5), "during backoff: {:?}", begun.elapsed());
    assert_eq!(alpha.metrics().dials, 1);
}

#[actix::test]
async fn a_node_that_dials_thousands_of_dead_targets_forgets_them() {
    let peer = Peer::start("beta");
    let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let book = farcall::discovery::from_fn("a test", move |_: &NodeName| {
        Address::try_from(dead).map(|address| vec![address])
    });
    let alpha = node_with("alpha", &[&peer], |builder| {
        builder.discovery(book).configure(|config| {
            (config.backoff_min, config.backoff_max) = (Duration::from_millis(1), Duration::from_millis(1));
        })
    })
    .await;
    for n in 0..3000 {
        let target: Target = format!("n{n}@127.0.0.1").parse().unwrap();
        failure(alpha.call(&target, "counter", Total).await);
    }
    eventually("they are forgotten", || async {
        let target: Target = "another@127.0.0.1".parse().unwrap();
        failure(alpha.call(&target, "counter", Total).await);
        alpha.metrics().clients < 600
    })
    .await;
}

/// Proves itself to whoever dials, and then hangs up.
fn hang_up(listener: &TcpListener, rounds: &AtomicU64) {
    for socket in listener.incoming() {
        let socket = socket.unwrap();
        rounds.fetch_add(1, Ordering::Relaxed);
        drop(answer(socket, NOBODY));
    }
}

#[actix::test]
async fn a_peer_that_hangs_up_after_every_handshake_is_not_dialled_without_a_pause() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let rounds = Arc::new(AtomicU64::new(0));
    let counted = rounds.clone();
    std::thread::spawn(move || hang_up(&listener, &counted));
    let peer = Peer::start("beta");
    let alpha = node_beside(&peer, address, |config| {
        (config.backoff_min, config.backoff_max) = (Duration::from_millis(200), Duration::from_millis(200));
    })
    .await;
    let nobody: &Target = &NOBODY.parse().unwrap();
    let (begun, mut calls) = (Instant::now(), 0);
    while begun.elapsed() < Duration::from_secs(1) {
        let told = failure(alpha.call(nobody, "counter", Total).await);
        assert!(matches!(told, Failure::NotSent(_) | Failure::Unknown(_)), "{told}");
        calls += 1;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // Three at once, then one for every 100 to 200 ms.
    let rounds = rounds.load(Ordering::Relaxed);
    assert!((4..=15).contains(&rounds), "{calls} calls, {rounds} dials");
    assert!(calls > 100, "only {calls} calls were told in a second");
}

#[actix::test]
async fn what_a_lost_connection_had_not_sent_is_taken_back_and_does_not_come_behind_the_next_one() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (up, is_up) = std::sync::mpsc::channel();
    let (lost, is_lost) = std::sync::mpsc::channel::<()>();
    let reader = std::thread::spawn(move || {
        let mut socket = answer(listener.accept().unwrap().0, NOBODY);
        up.send(()).unwrap();
        is_lost.recv().unwrap();
        let mut chunk = vec![0; 1 << 16];
        loop {
            match socket.read(&mut chunk) {
                Ok(0) => return ErrorKind::UnexpectedEof,
                Ok(_) => {}
                Err(error) => return error.kind(),
            }
        }
    });
    let peer = Peer::start("beta");
    let alpha = node_beside(&peer, address, |_| {}).await;
    let nobody: &Target = &NOBODY.parse().unwrap();
    // More than both kernels take.
    const SENT: usize = 24 << 20;
    let calls: Vec<_> = (0..SENT >> 20)
        .map(|_| alpha.async_call(nobody, "counter", Echo { bytes: vec![7; 1 << 20] }))
        .collect();
    eventually("it is up", || std::future::ready(is_up.try_recv().is_ok())).await;
    let mut before = usize::MAX;
    eventually("the kernel takes no more", || {
        let unsent = alpha.load(nobody.node()).1;
        let full = unsent == std::mem::replace(&mut before, unsent) && unsent < SENT;
        async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            full
        }
    })
    .await;
    alpha.kill_clients(nobody.node());
    for call in calls {
        failure(call.await);
    }
    lost.send(()).unwrap();
    // An end in good order would stand behind all that the kernel had taken.
    assert_eq!(reader.join().unwrap(), ErrorKind::ConnectionReset);
}
