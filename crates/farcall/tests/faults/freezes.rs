//! A peer stands still for a while, as a stopped process or a suspended machine does.

use std::time::{Duration, Instant};

use farcall::error::{Failure, NotSent, Unknown};
use farcall::prelude::*;

use crate::actors::{Add, Echo, Nth, Offer, Series, Sleep, Total};
use crate::fixture::{QUICK, SLACK, TICK, TICK_GIVE, Times, eventually, failure, node, node_with};
use crate::process::Peer;

/// A cast takes microseconds; a sender that is descheduled on a busy machine takes longer, one that waits for the
/// peer takes as long as that is frozen.
const NEVER_BLOCKED: Duration = Duration::from_millis(100);

#[actix::test]
async fn a_frozen_peer_is_given_up_after_its_tick_while_senders_and_other_peers_notice_nothing() {
    let (frozen, lively) = (Peer::start("frozen"), Peer::start("lively"));
    let alpha = node("alpha", &[&frozen, &lively]).await;
    let limit = alpha.config().unsent_bytes_max;
    let waiting = alpha.async_call(&frozen.target, "counter", Sleep { ms: 60_000 });
    tokio::pin!(waiting);
    alpha.ping(&frozen.target).await.unwrap();
    alpha.ping(&lively.target).await.unwrap();
    let mut quiet = Times::default();
    let mut beside = Times::default();
    for _ in 0..500 {
        quiet.note(one_call(&alpha, &lively.target).await);
    }

    let begun = frozen.freeze();
    let (mut casts, mut held_most) = (Times::default(), 0);
    let lost = loop {
        for _ in 0..20 {
            let sent = Instant::now();
            // What does not fit any more is told, not waited for.
            let _ = alpha.cast(&frozen.target, "counter", Echo { bytes: vec![1; 20_000] });
            casts.note(sent.elapsed());
        }
        beside.note(one_call(&alpha, &lively.target).await);
        held_most = held_most.max(alpha.load(frozen.target.node()).1);
        if let Some(outcome) = waiting.nb_yield(Duration::ZERO).await {
            break failure(outcome);
        }
    };
    let after = begun.elapsed();
    assert!(matches!(lost, Failure::Unknown(Unknown::LinkLost(_))), "{lost}");
    assert!(after > TICK - TICK_GIVE, "given up too early, after {after:?}");
    assert!(after < TICK + TICK_GIVE + Duration::from_millis(500), "given up after {after:?}");
    assert!(!alpha.nodes().contains(frozen.target.node()), "it is down");
    assert!(held_most <= limit, "{held_most} bytes queued, {limit} allowed");
    assert!(casts.percentile(99) < NEVER_BLOCKED, "a cast took {:?}", casts.percentile(99));
    // Each of these calls also waits for 20 casts of 20 kB to be encoded before it, on the same thread.
    let (before, during) = (quiet.percentile(99), beside.percentile(99));
    assert!(during < 2 * before + Duration::from_millis(20), "p99 {before:?}, then {during:?}");
    assert!(beside.count() > 50, "only {} calls beside", beside.count());
}

async fn one_call(node: &Node, to: &Target) -> Duration {
    let begun = Instant::now();
    node.call(to, "counter", Add { amount: 1 }).await.unwrap();
    begun.elapsed()
}

#[actix::test]
async fn what_was_sent_to_a_frozen_peer_that_was_given_up_is_not_delivered_when_it_goes_on() {
    // At once: in the very moment in which its caller gives up; and long after.
    for pause in [Duration::ZERO, TICK] {
        let peer = Peer::start("beta");
        let alpha = node("alpha", &[&peer]).await;
        let beta = &peer.target;
        assert_eq!(alpha.call(beta, "counter", Add { amount: 1 }).await.unwrap(), 1);
        peer.freeze();
        let calls: Vec<_> = (0..100).map(|_| alpha.async_call(beta, "counter", Add { amount: 1 })).collect();
        for _ in 0..100 {
            alpha.cast(beta, "counter", Add { amount: 1 }).unwrap();
        }
        for call in calls {
            let told = failure(call.await);
            assert!(matches!(told, Failure::Unknown(Unknown::LinkLost(_))), "{told}");
        }
        tokio::time::sleep(pause).await;
        peer.thaw();
        eventually("it is reached again", || async { alpha.call(beta, "counter", Total).await.is_ok() })
            .await;
        // What the resumed process may still do with old bytes, it has done when its old connection is gone.
        eventually("the old connection is gone", || async {
            crate::fixture::health(&alpha, &peer).await.inbound == 1
        })
        .await;
        assert_eq!(alpha.call(beta, "counter", Total).await.unwrap(), 1, "after {pause:?}");
        assert!(alpha.metrics().dials >= 2);
    }
}

#[actix::test]
async fn a_peer_that_is_frozen_in_the_midst_of_its_work_delivers_nothing_stale_either() {
    let peers: Vec<_> = (0..4).map(|n| Peer::start(&format!("n{n}"))).collect();
    let alpha = node("alpha", &peers.iter().collect::<Vec<_>>()).await;
    for peer in &peers {
        alpha.ping(&peer.target).await.unwrap();
    }
    for n in 0..4000 {
        for peer in &peers {
            // Enough work for some milliseconds, and little enough for the buffers of the kernel.
            alpha.cast(&peer.target, "counter", Nth { n, filler: vec![0; 60] }).unwrap();
        }
    }
    tokio::time::sleep(Duration::from_millis(3)).await;
    for peer in &peers {
        peer.freeze();
    }
    let calls: Vec<_> =
        peers.iter().map(|peer| alpha.async_call(&peer.target, "other", Add { amount: 1 })).collect();
    for call in calls {
        assert!(call.await.is_err(), "a frozen peer answers nothing");
    }
    peers.iter().for_each(Peer::thaw);
    for peer in &peers {
        eventually("it is reached again", || async {
            alpha.call(&peer.target, "other", Total).await.is_ok()
        })
        .await;
        eventually("the old connection is gone", || async {
            crate::fixture::health(&alpha, peer).await.inbound == 1
        })
        .await;
        assert_eq!(alpha.call(&peer.target, "other", Total).await.unwrap(), 0);
        let (seen, in_order) = alpha.call(&peer.target, "counter", Series).await.unwrap();
        assert!(in_order, "what did arrive is a prefix: {seen}");
    }
}

#[actix::test]
async fn a_peer_that_stands_still_for_less_than_its_tick_loses_nothing_and_no_connection() {
    let peer = Peer::start("beta");
    let alpha = node("alpha", &[&peer]).await;
    let beta = &peer.target;
    alpha.ping(beta).await.unwrap();
    let mut sent = 0;
    for _ in 0..3 {
        peer.freeze();
        for _ in 0..1000 {
            alpha.cast(beta, "counter", Nth { n: sent, filler: vec![0; 100] }).unwrap();
            sent += 1;
        }
        // Less than T - T/k = 750 ms, with some room for a busy machine.
        tokio::time::sleep(Duration::from_millis(450)).await;
        peer.thaw();
        assert_eq!(alpha.call(beta, "counter", Series).await.unwrap(), (sent, true));
    }
    assert_eq!((alpha.metrics().dials, alpha.metrics().clients_lost), (1, 0));
}

#[actix::test]
async fn a_sender_to_a_peer_that_reads_nothing_keeps_no_more_than_its_limit() {
    const MIB: u64 = 1 << 20;
    // It stays frozen for less than its tick here, so nothing is given up meanwhile.
    let slow = QUICK.replace("tick = \"1s\"", "tick = \"30s\"").replace("\"5s\"", "\"30s\"");
    let frozen = Peer::start_with("frozen", &slow);
    let nodes = format!("{slow}\n[nodes]\n\"frozen@127.0.0.1\" = \"{}\"\n", frozen.address);
    let sender = Peer::start_with("sender", &nodes);
    let alpha = node_with("alpha", &[&sender], |builder| {
        builder.configure(|config| config.write_stall_timeout = Duration::from_secs(30))
    })
    .await;
    let offer = |casts: u64| Offer { to: frozen.target.to_string(), casts, bytes_each: 64 << 10 };
    // Connects, and has the buffers of a first round behind it.
    assert_eq!(alpha.call(&sender.target, "offer", offer(8)).await.unwrap().accepted, 8);
    frozen.freeze();
    let offered = alpha.call(&sender.target, "offer", offer(256 * 16)).await.unwrap();
    assert_eq!(offered.accepted + offered.queue_full, 256 * 16, "{offered:?}");
    assert!(offered.queue_full > 3000, "{offered:?}");
    let limit = alpha.config().unsent_bytes_max as u64;
    // The messages themselves, the allocator's rounding, and one message that is being encoded.
    assert!(offered.grown_bytes < limit + 16 * MIB, "grew by {} MiB", offered.grown_bytes / MIB);
    assert!(Duration::from_micros(offered.longest_us) < NEVER_BLOCKED, "{offered:?}");
    // Asked with patience, a call to the same peer is told when its time is over, not later.
    let begun = Instant::now();
    let beside = alpha.call(&sender.target, "counter", Total).await;
    assert!(beside.is_ok() && begun.elapsed() < SLACK, "{:?}", begun.elapsed());
}

#[actix::test]
async fn a_call_that_waits_for_room_at_a_frozen_peer_is_told_when_its_time_is_over() {
    let peer = Peer::start_with("beta", &QUICK.replace("tick = \"1s\"", "tick = \"5s\""));
    let alpha = node("alpha", &[&peer]).await;
    let beta = &peer.target;
    alpha.ping(beta).await.unwrap();
    peer.freeze();
    let full = loop {
        match alpha.cast(beta, "counter", Echo { bytes: vec![1; 64 << 10] }) {
            Ok(_) => tokio::task::yield_now().await,
            Err(error) => break error,
        }
    };
    assert!(matches!(full.failure(), Failure::NotSent(NotSent::QueueFull { .. })), "{full}");
    for (timeout, send_timeout) in [(300, 5000), (5000, 300)] {
        let begun = Instant::now();
        let call = alpha.call(beta, "counter", Echo { bytes: vec![1; 64 << 10] });
        let (timeout, room) = (Duration::from_millis(timeout), Duration::from_millis(send_timeout));
        let told = failure(call.timeout(timeout).send_timeout(room).await);
        let after = begun.elapsed();
        assert!(matches!(told, Failure::NotSent(_)), "{told}");
        assert!(
            after >= Duration::from_millis(299) && after < Duration::from_millis(300) + SLACK,
            "{after:?}"
        );
    }
}
