//! Actors that are started on another node: once, watched from the beginning, and not without their parent.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use actix::prelude::*;
use farcall::cluster::{DownReason, SpawnError, SpawnRefused};
use farcall::prelude::*;

use crate::fixture::{Add, Counter, Panic, PhoneBook, Total, builder, eventually, pair, target};
use crate::proxy::Proxy;

/// How much the child has already.
#[farcall::data]
#[derive(Debug)]
struct From {
    total: u64,
}

/// Another layout under the same name of a factory.
#[farcall::data]
#[derive(Debug)]
struct FromText {
    total: String,
}

/// A factory of counters on this node; gives how many it has made.
fn counters(node: &Node) -> Arc<AtomicU64> {
    let made = Arc::new(AtomicU64::new(0));
    let count = made.clone();
    node.factory("counters", move |from: From| {
        count.fetch_add(1, Ordering::Relaxed);
        assert!(from.total < 1_000, "more than the factory takes");
        Counter { total: from.total }.start()
    });
    made
}

fn refused(error: SpawnError) -> SpawnRefused {
    match error {
        SpawnError::Refused { refused, .. } => refused,
        other => panic!("{other}"),
    }
}

#[actix::test]
async fn an_actor_is_started_on_another_node_and_called_by_its_reference() {
    let (alpha, beta_node, beta) = pair().await;
    counters(&beta_node);
    let spawned = alpha.spawn_remote::<Counter, _>(&beta, "counters", From { total: 40 }).await.unwrap();
    assert_eq!(spawned.actor.call(Add { amount: 2 }).await.unwrap(), 42);
    assert!(spawned.actor.name().starts_with("counters#"), "{:?}", spawned.actor);
    let named = alpha.spawn_remote::<Counter, _>(&beta, "counters", From { total: 1 }).name("mine");
    named.await.unwrap();
    assert_eq!(alpha.call(&beta, "mine", Total).await.unwrap(), 1);
    // On one's own node it is the same.
    counters(&alpha);
    let own = target(&alpha);
    let spawned = alpha.spawn_remote::<Counter, _>(&own, "counters", From { total: 3 }).monitor();
    let spawned = spawned.await.unwrap();
    alpha.unregister(spawned.actor.name());
    assert_eq!(spawned.monitor.unwrap().await.reason, DownReason::Normal);
}

#[actix::test]
async fn a_refusal_says_why_and_nothing_is_started() {
    let (alpha, beta_node, beta) = pair().await;
    let spawn = async |factory: &'static str, total, name: &'static str| {
        let asked = alpha.spawn_remote::<Counter, _>(&beta, factory, From { total }).name(name);
        asked.await.map(drop)
    };
    assert_eq!(refused(spawn("counters", 1, "x").await.unwrap_err()), SpawnRefused::NoSuchFactory);
    let made = counters(&beta_node);
    let text = FromText { total: "1".into() };
    let incompatible = alpha.spawn_remote::<Counter, _>(&beta, "counters", text).await.unwrap_err();
    assert_eq!(refused(incompatible), SpawnRefused::Incompatible);
    assert_eq!(made.load(Ordering::Relaxed), 0);
    assert_eq!(refused(spawn("counters", 1_000, "x").await.unwrap_err()), SpawnRefused::Panicked);
    let taken = refused(spawn("counters", 1, "counter").await.unwrap_err());
    assert!(matches!(&taken, SpawnRefused::Register(why) if why.contains("taken")), "{taken:?}");
    let reserved = refused(spawn("counters", 1, "farcall").await.unwrap_err());
    assert!(matches!(reserved, SpawnRefused::Register(_)));
    beta_node.set_access(farcall::AccessList::deny(["counters"]).unwrap());
    assert_eq!(refused(spawn("counters", 1, "x").await.unwrap_err()), SpawnRefused::Unauthorized);
    beta_node.set_access(farcall::AccessList::default());
    assert!(beta_node.remove_factory("counters") && !beta_node.remove_factory("counters"));
    let nowhere: Target = "nowhere@127.0.0.1".parse().unwrap();
    let asked = alpha.spawn_remote::<Counter, _>(&nowhere, "counters", From { total: 1 }).monitor();
    assert!(matches!(asked.await.unwrap_err(), SpawnError::Call(error) if !error.may_have_run()));
}

#[actix::test]
async fn a_child_is_watched_and_linked_from_its_beginning() {
    let (alpha, beta_node, beta) = pair().await;
    counters(&beta_node);
    let asked = alpha.spawn_remote::<Counter, _>(&beta, "counters", From { total: 1 });
    let spawned = asked.monitor().link("counter").await.unwrap();
    let own = alpha.monitor(&target(&alpha), "counter").unwrap();
    eventually("the link is placed", || beta_node.monitors().1 == 2).await;
    spawned.actor.call(Panic).await.unwrap_err();
    assert_eq!(spawned.monitor.unwrap().await.reason, DownReason::Panicked);
    assert_eq!(own.await.reason, DownReason::Stopped);
}

#[actix::test]
async fn children_stop_when_their_parents_node_goes_unless_they_are_detached() {
    let (alpha, beta_node, beta) = pair().await;
    counters(&beta_node);
    let spawn = |name: &'static str| {
        alpha.spawn_remote::<Counter, _>(&beta, "counters", From { total: 1 }).name(name)
    };
    spawn("orphan").await.unwrap();
    spawn("stays").detached().await.unwrap();
    let watched = beta_node.monitor(&beta, "orphan").unwrap();
    alpha.shutdown().await;
    assert_eq!(watched.await.reason, DownReason::Stopped);
    assert_eq!(beta_node.call(&beta, "stays", Total).await.unwrap(), 1);
}

#[actix::test]
async fn a_request_whose_answer_was_lost_with_its_connection_starts_one_actor() {
    let book = PhoneBook::default();
    let beta_node = builder("beta").start().await.unwrap();
    let proxy = Arc::new(Proxy::to(beta_node.listening_on()[0]).await);
    let (made, cuts) = (Arc::new(AtomicU64::new(0)), proxy.clone());
    let count = made.clone();
    beta_node.factory("counters", move |from: From| {
        // Before the answer is written.
        cuts.cut_all();
        count.fetch_add(1, Ordering::Relaxed);
        Counter { total: from.total }.start()
    });
    book.put(beta_node.name().clone(), proxy.address());
    let quick = |config: &mut Config| config.backoff_min = std::time::Duration::from_millis(1);
    let alpha = builder("alpha").discovery(book).configure(quick).start().await.unwrap();
    let beta = target(&beta_node);
    alpha.connect(&beta).await.unwrap();
    // Detached: for the node here its parent goes for a moment.
    let asked = alpha.spawn_remote::<Counter, _>(&beta, "counters", From { total: 7 });
    let spawned = asked.detached().monitor().await.unwrap();
    assert_eq!(proxy.connections(), 2);
    assert_eq!(made.load(Ordering::Relaxed), 1);
    assert_eq!(spawned.actor.call(Total).await.unwrap(), 7);
    beta_node.unregister(spawned.actor.name());
    assert_eq!(spawned.monitor.unwrap().await.reason, DownReason::Normal);
}
