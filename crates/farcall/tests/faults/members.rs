//! Nodes and actors that are watched, while processes die and freeze.

use std::time::{Duration, Instant};

use farcall::cluster::{DownReason, NodeDown, NodeEvent, NodeEvents, NodeFilter};

use crate::actors::{Fell, Raise, Total};
use crate::fixture::{QUICK, SLACK, TICK, TICK_GIVE, Times, eventually, node, node_with};
use crate::process::Peer;

/// How long it takes until a process that was killed is down; a tenth of a second is promised.
const KILLED_IS_DOWN: Duration = Duration::from_millis(100);

async fn next(events: &mut NodeEvents) -> NodeEvent {
    let next = tokio::time::timeout(Duration::from_secs(10), events.next()).await;
    next.expect("nothing happened within ten seconds").unwrap().unwrap()
}

#[actix::test]
async fn a_killed_peer_is_down_in_a_tenth_of_a_second_for_subscribers_and_monitors() {
    let mut peer = Peer::start("mortal");
    let alpha = node("alpha", &[&peer]).await;
    let mut events = alpha.subscribe_nodes(NodeFilter::Visible);
    let mut times = Times::default();
    for _ in 0..3 {
        let watched: Vec<_> = (0..100).map(|_| alpha.monitor(&peer.target, "counter").unwrap()).collect();
        alpha.connect(&peer.target).await.unwrap();
        assert!(matches!(next(&mut events).await, NodeEvent::Up(_)));
        let killed = peer.kill();
        let NodeEvent::Down(_, reason) = next(&mut events).await else { panic!("it is down") };
        times.note(killed.elapsed());
        assert!(matches!(reason, NodeDown::Closed | NodeDown::ConnectionLost), "{reason}");
        for monitor in watched {
            assert_eq!(monitor.await.reason, DownReason::NoConnection);
        }
        times.note(killed.elapsed());
        assert!(alpha.peer(peer.target.node()).is_none());
        peer.restart();
        tokio::time::sleep(alpha.config().backoff_max).await;
    }
    let all = times.into_all();
    assert!(all.iter().min().unwrap() < &KILLED_IS_DOWN, "{all:?}");
    assert!(all.iter().max().unwrap() < &(KILLED_IS_DOWN + SLACK), "{all:?}");
}

#[actix::test]
async fn a_frozen_peer_is_down_after_its_tick_once_and_its_next_connection_is_up_again() {
    let peer = Peer::start("frozen");
    let alpha = node("alpha", &[&peer]).await;
    let mut events = alpha.subscribe_nodes(NodeFilter::Visible);
    alpha.connect(&peer.target).await.unwrap();
    let NodeEvent::Up(before) = next(&mut events).await else { panic!("it is up") };
    let watched = alpha.monitor(&peer.target, "counter").unwrap();
    let frozen = peer.freeze();
    let NodeEvent::Down(_, reason) = next(&mut events).await else { panic!("it is down") };
    let after = frozen.elapsed();
    assert_eq!(reason, NodeDown::TickTimeout);
    assert!(after > TICK - TICK_GIVE, "given up too early, after {after:?}");
    assert!(after < TICK + TICK_GIVE + Duration::from_millis(500), "given up after {after:?}");
    assert_eq!(watched.await.reason, DownReason::NoConnection);
    peer.thaw();
    eventually("it is called again", async || alpha.call(&peer.target, "counter", Total).await.is_ok()).await;
    let NodeEvent::Up(after) = next(&mut events).await else { panic!("it is up again") };
    assert_eq!(before, after);
}

#[actix::test]
async fn a_hundred_thousand_watched_actors_that_die_at_once_are_told_once_each_and_nothing_else_suffers() {
    let settings = format!("{QUICK}\nnames_max = 200000\ncall_timeout = \"60s\"");
    let peer = Peer::start_with("doomed", &settings);
    let patient = |builder: farcall::NodeBuilder| {
        builder.configure(|config| config.call_timeout = Duration::from_secs(60))
    };
    let alpha = node_with("alpha", &[&peer], patient).await;
    let count = 100_000;
    assert_eq!(alpha.call(&peer.target, "raise", Raise { count }).await.unwrap(), count);
    let mut watched: Vec<_> =
        (0..count).map(|n| alpha.monitor(&peer.target, &format!("m{n}")).unwrap()).collect();
    let placed = async || {
        let health = crate::fixture::health(&alpha, &peer).await;
        health.monitors == count
    };
    eventually_within(Duration::from_secs(60), "all are placed", placed).await;
    let epoch = alpha.epoch(&peer.target);
    let begun = Instant::now();
    let felling = alpha.async_call(&peer.target, "fell", Fell);
    let mut pings = Times::default();
    let told = async {
        for monitor in watched.drain(..) {
            assert_eq!(monitor.await.reason, DownReason::Stopped);
        }
        begun.elapsed()
    };
    tokio::pin!(told);
    let took = loop {
        tokio::select! {
            took = &mut told => break took,
            ping = alpha.ping(&peer.target) => pings.note(ping.unwrap()),
        }
    };
    assert_eq!(felling.await.unwrap(), count);
    assert_eq!(alpha.epoch(&peer.target), epoch, "the connection is the same");
    assert_eq!(alpha.monitors().0, 0);
    assert!(took < Duration::from_secs(30), "it took {took:?}");
    // Its arbiter drops a hundred thousand actors meanwhile; ticks are sent in spite of that.
    assert!(pings.count() > 0);
}

async fn eventually_within<F: Future<Output = bool>>(
    limit: Duration,
    what: &str,
    mut holds: impl FnMut() -> F,
) {
    let deadline = Instant::now() + limit;
    while !holds().await {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
