//! Something dies: a process, a handler, a client, an acceptor.

use std::time::{Duration, Instant};

use farcall::error::{Failed, Failure, NotSent, Unknown};
use farcall::prelude::*;
use futures::future::join_all;

use crate::actors::{Abort, Add, Echo, Panic, Sever, Sleep, Total};
use crate::fixture::{SLACK, Times, eventually, failure, node, node_with};
use crate::process::Peer;

/// A loss that the kernel reports is told to callers within this (S F01).
const TOLD_WITHIN: Duration = Duration::from_millis(100);

#[actix::test]
async fn when_a_peer_is_killed_what_was_written_is_unknown_and_what_was_not_is_not_sent() {
    let mut peer = Peer::start("beta");
    let alpha = node_with("alpha", &[&peer], |builder| {
        builder.configure(|config| {
            config.backoff_min = Duration::from_millis(400);
            config.backoff_max = Duration::from_millis(400);
        })
    })
    .await;
    let beta = peer.target.clone();
    let mut calls: Vec<_> =
        (0..100).map(|_| alpha.async_call(&beta, "counter", Sleep { ms: 60_000 })).collect();
    // Answered behind them: they have arrived.
    alpha.call(&beta, "counter", Total).await.unwrap();
    // A peer that stands still takes only what fits into the buffers of the kernel; the rest stays queued.
    peer.freeze();
    let bytes = vec![7; 60_000];
    calls.extend((0..500).map(|_| {
        alpha.cast(&beta, "counter", Add { amount: 1 }).unwrap();
        alpha.async_call(&beta, "other", Sleep { ms: 60_000 })
    }));
    let large: Vec<_> =
        (0..400).map(|_| alpha.async_call(&beta, "counter", Echo { bytes: bytes.clone() })).collect();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(alpha.load(beta.node()).1 > 1_000_000, "nothing was left unsent");

    let killed = peer.kill();
    let (outcomes, echoes) = futures::future::join(join_all(calls), join_all(large)).await;
    let told = killed.elapsed();
    assert!(told < TOLD_WITHIN + SLACK, "told after {told:?}");
    for outcome in &outcomes[..100] {
        let error = outcome.as_ref().unwrap_err();
        assert!(matches!(error.failure(), Failure::Unknown(Unknown::LinkLost(_))), "{error}");
    }
    let classes: Vec<_> = outcomes
        .iter()
        .map(|outcome| outcome.as_ref().unwrap_err())
        .chain(echoes.iter().map(|outcome| outcome.as_ref().unwrap_err()))
        .map(CallError::class)
        .collect();
    let unknown = classes.iter().take_while(|class| **class == Class::Unknown).count();
    assert!(unknown < classes.len(), "the last call cannot have been written");
    let unsent = classes[unknown..].iter().all(|class| *class == Class::NotSent);
    assert!(unsent, "what was written is a prefix of what was sent: {classes:?}");

    nothing_waits_during_backoff(&alpha, &beta).await;
    peer.restart();
    works_again(&alpha, &beta).await;
    assert_eq!(alpha.call(&beta, "counter", Total).await.unwrap(), 0, "nothing old reaches the new process");
}

/// The first call may dial and find nobody; those behind it are told at once.
async fn nothing_waits_during_backoff(alpha: &Node, beta: &Target) {
    let first = failure(alpha.call(beta, "counter", Total).await);
    assert!(matches!(first, Failure::NotSent(NotSent::ConnectFailed(_))), "{first}");
    let (mut times, dials) = (Times::default(), alpha.metrics().dials);
    for _ in 0..100 {
        let begun = Instant::now();
        let refused = failure(alpha.call(beta, "counter", Total).await);
        times.note(begun.elapsed());
        assert!(matches!(refused, Failure::NotSent(NotSent::ConnectFailed(_))), "{refused}");
    }
    assert!(times.percentile(50) < Duration::from_millis(1), "{:?}", times.percentile(50));
    assert_eq!(alpha.metrics().dials, dials, "nobody dials during the backoff");
}

async fn works_again(alpha: &Node, beta: &Target) {
    eventually("calls work again", || async { alpha.call(beta, "counter", Total).await.is_ok() }).await;
}

#[actix::test]
async fn a_handler_that_ends_its_process_leaves_its_callers_with_unknown_and_a_new_process_serves() {
    let mut peer = Peer::start("beta");
    let alpha = node("alpha", &[&peer]).await;
    let beta = peer.target.clone();
    let before = alpha.describe(&beta).await.unwrap().incarnation;
    let bystander = alpha.async_call(&beta, "other", Sleep { ms: 60_000 });
    alpha.ping(&beta).await.unwrap();
    let begun = Instant::now();
    let culprit = failure(alpha.call(&beta, "counter", Abort).await);
    let bystander = failure(bystander.await);
    assert!(begun.elapsed() < TOLD_WITHIN + SLACK, "told after {:?}", begun.elapsed());
    assert!(matches!(culprit, Failure::Unknown(Unknown::LinkLost(_))), "{culprit}");
    assert!(matches!(bystander, Failure::Unknown(Unknown::LinkLost(_))), "{bystander}");
    assert!(peer.died());
    peer.restart();
    works_again(&alpha, &beta).await;
    assert_ne!(alpha.describe(&beta).await.unwrap().incarnation, before);
}

#[actix::test]
async fn a_panicking_handler_fails_its_own_callers_and_the_rest_of_the_process_serves_on() {
    let peer = Peer::start("beta");
    let alpha = node("alpha", &[&peer]).await;
    let beta = &peer.target;
    let running = alpha.async_call(beta, "other", Sleep { ms: 200 });
    let panicked = failure(alpha.call(beta, "counter", Panic).await);
    assert!(matches!(panicked, Failure::Failed(Failed::Panicked)), "{panicked}");
    let gone = failure(alpha.call(beta, "counter", Total).await);
    assert!(matches!(gone, Failure::Rejected(_)), "{gone}");
    assert_eq!(alpha.call(beta, "other", Add { amount: 3 }).await.unwrap(), 3);
    assert_eq!(running.await.unwrap(), 200);
    assert_eq!((alpha.metrics().dials, alpha.metrics().clients_lost), (1, 0), "the connection stays");
}

#[actix::test]
async fn a_client_that_dies_ends_its_calls_as_unknown_and_the_next_call_gets_another() {
    let peer = Peer::start("beta");
    let alpha = node("alpha", &[&peer]).await;
    let beta = &peer.target;
    for round in 1..=3 {
        let running = alpha.async_call(beta, "counter", Sleep { ms: 60_000 });
        assert_eq!(alpha.call(beta, "counter", Add { amount: 1 }).await.unwrap(), round);
        alpha.kill_clients(beta.node());
        let lost = failure(running.await);
        assert!(matches!(lost, Failure::Unknown(Unknown::LinkLost(_))), "{lost}");
        assert_eq!(alpha.metrics().dials, round, "one client, one dial");
    }
    assert_eq!(alpha.call(beta, "counter", Total).await.unwrap(), 3);
}

#[actix::test]
async fn an_acceptor_that_dies_takes_its_own_connection_with_it_and_no_other() {
    let peer = Peer::start("beta");
    let alpha = node("alpha", &[&peer]).await;
    let gamma = node("gamma", &[&peer]).await;
    let beta = &peer.target;
    let of_alpha = alpha.async_call(beta, "counter", Sleep { ms: 60_000 });
    let of_gamma = gamma.async_call(beta, "counter", Sleep { ms: 300 });
    alpha.ping(beta).await.unwrap();
    let ended = gamma.call(beta, "sever", Sever { from: alpha.name().to_string() }).await.unwrap();
    assert_eq!(ended, 1);
    let begun = Instant::now();
    let lost = failure(of_alpha.await);
    assert!(begun.elapsed() < TOLD_WITHIN + SLACK, "told after {:?}", begun.elapsed());
    assert!(matches!(lost, Failure::Unknown(Unknown::LinkLost(_))), "{lost}");
    assert_eq!(of_gamma.await.unwrap(), 300);
    assert_eq!((gamma.metrics().dials, gamma.metrics().clients_lost), (1, 0));
    works_again(&alpha, beta).await;
}
