//! Crowds of strangers: connections by the thousand that prove nothing, beside a peer that has proved itself.

use std::collections::VecDeque;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use farcall::prelude::*;
use socket2::{Domain, Socket, Type};

use crate::actors::{Add, Total};
use crate::fixture::{QUICK, Times, health, node};
use crate::process::Peer;

const MIB: u64 = 1 << 20;

/// What the scheduler may add to a time that is compared: two cores run the flood, both nodes and other tests, and a
/// process that wants one of them may have to wait for several others to use theirs up.
const SCHEDULING: Duration = Duration::from_millis(15);

/// What strangers begin with.
const GARBAGE: &[u8] = b"\xff\xff\xff\xff no protocol of ours, and no TLS either \x16\x03";
/// The head of a ClientHello of 512 bytes and a part of it: the rest never comes.
const HALF_A_HELLO: &[u8] = &[22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7];

/// A connection from there, if there is room for it.
fn from(source: Ipv4Addr, to: SocketAddr) -> Option<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).ok()?;
    socket.bind(&SocketAddr::from((source, 0)).into()).ok()?;
    socket.connect(&to.into()).ok()?;
    Some(socket.into())
}

/// A part of a crowd, on a thread of its own.
#[derive(Clone, Copy)]
struct Crowd {
    to: SocketAddr,
    /// The third byte of its addresses, and how many of the fourth.
    network: u8,
    sources: u64,
    /// Between two connections.
    pace: Duration,
    /// What they begin with, in turn.
    says: &'static [&'static [u8]],
}

impl Crowd {
    /// Connects at an even pace; each of the last few stays open.
    fn come(self, go_on: impl Fn(u64) -> bool + Send + 'static) -> JoinHandle<()> {
        std::thread::spawn(move || {
            let (begun, mut held) = (Instant::now(), VecDeque::new());
            for nth in (0..).take_while(|nth| go_on(*nth)) {
                let last = u8::try_from(nth % self.sources).unwrap() + 1;
                if let Some(mut stream) = from(Ipv4Addr::new(127, 9, self.network, last), self.to) {
                    let said = self.says[usize::try_from(nth).unwrap() % self.says.len()];
                    // It may be closed already.
                    let _ = stream.write_all(said);
                    held.push_back(stream);
                }
                if held.len() > HELD {
                    held.pop_front();
                }
                let next = begun + self.pace * u32::try_from(nth + 1).unwrap();
                std::thread::sleep(next.saturating_duration_since(Instant::now()));
            }
        })
    }
}

/// So many connections each thread of a crowd keeps open.
const HELD: usize = 64;

/// Calls one after the other at an even pace; how long each took.
async fn calls(alpha: &Node, peer: &Peer, mut go_on: impl FnMut(usize) -> bool) -> Times {
    let mut times = Times::default();
    while go_on(times.count()) {
        let begun = Instant::now();
        alpha.call(&peer.target, "counter", Add { amount: 1 }).await.unwrap();
        times.note(begun.elapsed());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    times
}

#[actix::test]
async fn ten_thousand_connections_that_prove_nothing_cost_a_known_peer_little() {
    const THREADS: u8 = 4;
    const EACH: u64 = 2500;
    let settings = QUICK.replace("half_open_max = 16", "half_open_max = 128");
    let peer = Peer::start_with("beta", &settings);
    let alpha = node("alpha", &[&peer]).await;
    // What is done for the first time is not what is compared.
    calls(&alpha, &peer, |count| count < 200).await;
    let quiet = calls(&alpha, &peer, |count| count < 1000).await;
    let before = health(&alpha, &peer).await;

    let running = Arc::new(AtomicU64::new(u64::from(THREADS) * EACH));
    let crowds: Vec<_> = (0..THREADS)
        .map(|thread| {
            let (left, pace) = (running.clone(), Duration::from_millis(2));
            let says = &[GARBAGE, HALF_A_HELLO, b""];
            Crowd { to: peer.address, network: thread, sources: 200, pace, says }.come(move |nth| {
                left.fetch_sub(u64::from(nth > 0), Ordering::Relaxed);
                nth < EACH
            })
        })
        .collect();
    let (mut flooded, mut most_half_open, mut most_bytes) = (Times::default(), 0, 0);
    while running.load(Ordering::Relaxed) > 0 {
        for time in calls(&alpha, &peer, |count| count < 50).await.into_all() {
            flooded.note(time);
        }
        let now = health(&alpha, &peer).await;
        most_half_open = most_half_open.max(now.half_open);
        most_bytes = most_bytes.max(now.resident_bytes);
    }
    crowds.into_iter().for_each(|crowd| crowd.join().unwrap());

    let (quiet_p99, flooded_p99) = (quiet.percentile(99), flooded.percentile(99));
    assert!(flooded.count() > 500, "only {} calls beside it", flooded.count());
    assert!(
        flooded_p99 < 2 * quiet_p99 + SCHEDULING,
        "p99 {flooded_p99:?}, and {quiet_p99:?} when it is quiet"
    );
    assert!((1..=128).contains(&most_half_open), "{most_half_open} were half open");
    let grown = most_bytes.saturating_sub(before.resident_bytes);
    assert!(grown < 24 * MIB, "{grown} bytes for strangers");
    all_are_counted(&alpha, &peer, &before, u64::from(THREADS) * EACH).await;
    assert_eq!((alpha.metrics().dials, alpha.metrics().clients_lost), (1, 0));
    comes_in(&peer).await;
}

/// Waits until every connection of a crowd was refused or has failed.
async fn all_are_counted(alpha: &Node, peer: &Peer, before: &crate::actors::Health, count: u64) {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let now = health(alpha, peer).await;
        let seen = now.refused + now.handshakes_failed - before.refused - before.handshakes_failed;
        if seen == count && now.half_open == 0 {
            return;
        }
        assert!(Instant::now() < deadline && seen <= count, "{seen} of {count} were seen: {now:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A node that was not there before is let in, as soon as the flood has run out.
async fn comes_in(peer: &Peer) {
    let (late, begun) = (node("late", &[peer]).await, Instant::now());
    while let Err(error) = late.call(&peer.target, "counter", Total).await {
        assert!(begun.elapsed() < Duration::from_secs(5), "{error}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// How long each of some new connections takes, until it is answered on.
async fn fresh(alpha: &Node, peer: &Peer, keys: std::ops::Range<u32>) -> Times {
    let mut times = Times::default();
    for key in keys {
        let (target, begun) = (peer.target.clone().with_key(key), Instant::now());
        alpha.call(&target, "counter", Total).await.unwrap();
        times.note(begun.elapsed());
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
    times
}

#[actix::test]
async fn strangers_that_say_nothing_and_garbage_a_thousand_times_a_second_do_not_delay_others() {
    // Each address of the loopback counts as a source, as those of a network do.
    let settings = format!("{QUICK}\nstrangers.limit_loopback = true\nhandshake_timeout = \"5s\"\n");
    let settings = settings.replacen("handshake_timeout = \"500ms\"\n", "", 1);
    let peer = Peer::start_with("beta", &settings);
    let alpha = node("alpha", &[&peer]).await;
    alpha.ping(&peer.target).await.unwrap();
    let quiet = fresh(&alpha, &peer, 0..30).await;
    let silent: Vec<_> = (0..8).map(|_| from(Ipv4Addr::new(127, 0, 0, 66), peer.address).unwrap()).collect();
    let over = Arc::new(AtomicBool::new(false));
    let stop = over.clone();
    let pace = Duration::from_millis(1);
    let crowd = Crowd { to: peer.address, network: 100, sources: 10, pace, says: &[GARBAGE] };
    let crowd = crowd.come(move |_| !stop.load(Ordering::Relaxed));
    let before = health(&alpha, &peer).await;
    let beside = fresh(&alpha, &peer, 30..60).await;
    let after = health(&alpha, &peer).await;
    over.store(true, Ordering::Relaxed);
    crowd.join().unwrap();
    let garbage = after.refused + after.handshakes_failed - before.refused - before.handshakes_failed;
    assert!(garbage > 500, "only {garbage} connections beside them");
    assert!(after.half_open >= 8, "the silent ones are there all the time: {after:?}");
    let (quiet, beside) = (quiet.percentile(90), beside.percentile(90));
    assert!(beside < 2 * quiet + SCHEDULING, "{beside:?}, and {quiet:?} when it is quiet");
    // Its listener is the same one as before: nobody had to connect anew.
    assert_eq!((alpha.metrics().clients_lost, alpha.metrics().dials_failed), (0, 0));
    drop(silent);
}
