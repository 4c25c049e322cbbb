//! Many callers at once: of a node that is just met, of one that is dead, and over one connection.

use std::time::{Duration, Instant};

use farcall::error::{Failure, NotSent};
use futures::StreamExt;
use futures::future::join_all;
use futures::stream::FuturesUnordered;

use crate::actors::{Add, Echo, Total};
use crate::fixture::{Times, failure, health, node, node_with};
use crate::process::Peer;

#[actix::test]
async fn a_thousand_simultaneous_first_calls_make_one_connection() {
    let peer = Peer::start("beta");
    let alpha = node("alpha", &[&peer]).await;
    let calls = (0..1000).map(|_| async { alpha.call(&peer.target, "counter", Add { amount: 1 }).await });
    let totals = join_all(calls).await;
    let mut totals: Vec<u64> = totals.into_iter().map(Result::unwrap).collect();
    totals.sort_unstable();
    assert_eq!(totals, (1..=1000).collect::<Vec<_>>());
    assert_eq!(alpha.metrics().dials, 1);
    assert_eq!(health(&alpha, &peer).await.inbound, 1);
}

#[actix::test]
async fn a_storm_of_calls_to_a_dead_node_is_told_at_once_and_dials_once_per_backoff() {
    let mut peer = Peer::start("beta");
    let pause = Duration::from_millis(200);
    let alpha = node_with("alpha", &[&peer], |builder| {
        builder.configure(|config| (config.backoff_min, config.backoff_max) = (pause, pause))
    })
    .await;
    peer.kill();
    let (mut times, begun) = (Times::default(), Instant::now());
    // 10,000 calls in one second, ten in each millisecond.
    for round in 0..1000_u32 {
        let calls = (0..10).map(|_| async {
            let asked = Instant::now();
            let told = failure(alpha.call(&peer.target, "counter", Total).await);
            (asked.elapsed(), told)
        });
        for (time, told) in join_all(calls).await {
            assert!(matches!(told, Failure::NotSent(NotSent::ConnectFailed(_))), "{told}");
            times.note(time);
        }
        tokio::time::sleep_until((begun + Duration::from_millis(1) * round).into()).await;
    }
    assert_eq!(times.count(), 10_000);
    assert!(times.percentile(99) < Duration::from_millis(1), "p99 {:?}", times.percentile(99));
    // Pauses are between half of the backoff and all of it.
    let (dials, rounds) = (alpha.metrics().dials, begun.elapsed().div_duration_f64(pause / 2));
    assert!(dials >= 2, "it tries again");
    #[expect(clippy::cast_precision_loss, reason = "a handful of dials")]
    let dialled = dials as f64;
    assert!(dialled <= rounds + 1.0, "{dials} dials in {:?}", begun.elapsed());
}

#[actix::test]
async fn a_hundred_thousand_concurrent_calls_over_one_connection_are_all_answered_each_with_its_own() {
    const CALLS: u32 = 100_000;
    let peer = Peer::start("beta");
    let alpha = node_with("alpha", &[&peer], |builder| {
        builder.configure(|config| {
            // A debug build on a busy machine takes its time.
            config.call_timeout = Duration::from_secs(60);
            config.send_timeout = Duration::from_secs(60);
        })
    })
    .await;
    let in_flight_max = alpha.config().in_flight_max;
    let (alpha, beta) = (&alpha, &peer.target);
    let mut calls: FuturesUnordered<_> = (0..CALLS)
        .map(|n| async move {
            let bytes = n.to_le_bytes().to_vec();
            (n, alpha.call(beta, "counter", Echo { bytes }).await)
        })
        .collect();
    let (mut answered, mut most) = (0, 0);
    while let Some((n, answer)) = calls.next().await {
        assert_eq!(answer.unwrap(), n.to_le_bytes());
        answered += 1;
        most = most.max(alpha.load(beta.node()).0);
    }
    assert_eq!(answered, CALLS);
    assert!(most <= in_flight_max, "{most} in flight, {in_flight_max} allowed");
    assert!(most > in_flight_max / 4, "they were not concurrent: {most}");
    assert_eq!((alpha.metrics().dials, alpha.load(beta.node())), (1, (0, 0)));
}
