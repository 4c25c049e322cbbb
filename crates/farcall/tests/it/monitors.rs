//! Monitors and links between actors of two nodes, and of one.

use std::sync::{Arc, Mutex};

use actix::prelude::*;
use farcall::cluster::{Down, DownReason, Exit, LinkError, Monitor};
use farcall::prelude::*;

use crate::fixture::{
    Add, Counter, Panic, PhoneBook, Total, builder, eventually, nodes_with, pair, pair_with, target,
};

/// Stops itself when it is asked for the total.
#[derive(RemoteActor)]
#[remote(Total)]
struct Stops;

impl Actor for Stops {
    type Context = Context<Self>;
}

impl Handler<Total> for Stops {
    type Result = u64;
    fn handle(&mut self, _: Total, ctx: &mut Context<Self>) -> u64 {
        ctx.stop();
        1
    }
}

/// Keeps what it is told.
#[derive(Default)]
struct Keeps {
    downs: Arc<Mutex<Vec<Down>>>,
    exits: Arc<Mutex<Vec<Exit>>>,
}

impl Actor for Keeps {
    type Context = Context<Self>;
}

impl Handler<Down> for Keeps {
    type Result = ();
    fn handle(&mut self, down: Down, _: &mut Context<Self>) {
        self.downs.lock().unwrap().push(down);
    }
}

impl Handler<Exit> for Keeps {
    type Result = ();
    fn handle(&mut self, exit: Exit, _: &mut Context<Self>) {
        self.exits.lock().unwrap().push(exit);
    }
}

async fn told(monitor: Monitor) -> DownReason {
    let told = tokio::time::timeout(std::time::Duration::from_secs(5), monitor).await;
    told.expect("told within five seconds").reason
}

/// Its node keeps a monitor for it.
async fn placed(node: &Node, count: usize) {
    eventually("the monitors are placed", || node.monitors().1 == count).await;
}

#[actix::test]
async fn a_watcher_is_told_how_an_actor_of_another_node_ended() {
    let (alpha, beta_node, beta) = pair().await;
    beta_node.register("stops", Stops.start()).unwrap().keep();
    let guard = beta_node.register("leaves", Counter::default().start()).unwrap();
    let [panics, stops, leaves] =
        ["counter", "stops", "leaves"].map(|name| alpha.monitor(&beta, name).unwrap());
    placed(&beta_node, 3).await;
    alpha.call(&beta, "counter", Panic).await.unwrap_err();
    alpha.call(&beta, "stops", Total).await.unwrap();
    drop(guard);
    let down = panics.await;
    assert_eq!((&down.node, down.actor.as_str()), (beta.node(), "counter"));
    assert_eq!(down.reason, DownReason::Panicked);
    assert_eq!(told(stops).await, DownReason::Stopped);
    assert_eq!(told(leaves).await, DownReason::Normal);
    assert_eq!((alpha.monitors(), beta_node.monitors()), ((0, 0), (0, 0)));
}

#[actix::test]
async fn whoever_is_not_there_is_down_at_once() {
    let (alpha, beta_node, beta) = pair().await;
    assert_eq!(told(alpha.monitor(&beta, "nobody").unwrap()).await, DownReason::NoSuchActor);
    let own = target(&alpha);
    assert_eq!(told(alpha.monitor(&own, "nobody").unwrap()).await, DownReason::NoSuchActor);
    let nowhere: Target = "nowhere@127.0.0.1".parse().unwrap();
    assert_eq!(told(alpha.monitor(&nowhere, "counter").unwrap()).await, DownReason::NoConnection);
    // What the access list hides is not there.
    beta_node.set_access(farcall::AccessList::deny(["counter"]).unwrap());
    assert_eq!(told(alpha.monitor(&beta, "counter").unwrap()).await, DownReason::NoSuchActor);
}

#[actix::test]
async fn actors_of_ones_own_node_are_watched_and_linked_without_a_connection() {
    let (alpha, _, _) = pair().await;
    let own = target(&alpha);
    alpha.register("stops", Stops.start()).unwrap().keep();
    let watched = alpha.monitor(&own, "stops").unwrap();
    alpha.link("counter", &own, "stops").unwrap();
    let linked = alpha.monitor(&own, "counter").unwrap();
    alpha.call(&own, "stops", Total).await.unwrap();
    assert_eq!(told(watched).await, DownReason::Stopped);
    assert_eq!(told(linked).await, DownReason::Stopped);
    assert!(alpha.nodes().is_empty());
}

#[actix::test]
async fn a_lost_connection_ends_each_monitor_once_and_a_node_that_leaves_says_so() {
    let (alpha, beta_node, beta) = pair().await;
    let lost: Vec<_> = (0..100).map(|_| alpha.monitor(&beta, "counter").unwrap()).collect();
    placed(&beta_node, 100).await;
    beta_node.kill_acceptors(alpha.name());
    for monitor in lost {
        assert_eq!(told(monitor).await, DownReason::NoConnection);
    }
    placed(&beta_node, 0).await;
    let left = alpha.monitor(&beta, "counter").unwrap();
    placed(&beta_node, 1).await;
    let (finished, reason) = futures::join!(beta_node.shutdown(), told(left));
    assert!(finished);
    assert_eq!(reason, DownReason::NodeShutdown);
}

#[actix::test]
async fn a_monitor_that_was_dropped_or_taken_back_is_not_kept_anywhere() {
    let (alpha, beta_node, beta) = pair().await;
    let keeps = Keeps::default();
    let downs = keeps.downs.clone();
    let keeps = keeps.start();
    let dropped = alpha.monitor(&beta, "counter").unwrap();
    let taken_back = alpha.monitor_for(&beta, "counter", keeps.clone().recipient()).unwrap();
    alpha.monitor_for(&beta, "counter", keeps.recipient()).unwrap();
    placed(&beta_node, 3).await;
    drop(dropped);
    assert!(alpha.demonitor(taken_back));
    assert!(!alpha.demonitor(taken_back));
    placed(&beta_node, 1).await;
    beta_node.unregister("counter");
    eventually("the last one is told", || !downs.lock().unwrap().is_empty()).await;
    let down = Down { node: beta.node().clone(), actor: "counter".into(), reason: DownReason::Normal };
    assert_eq!(*downs.lock().unwrap(), [down]);
}

#[actix::test]
async fn an_actor_that_nobody_can_reach_any_more_ends_though_it_was_watched() {
    let (alpha, beta_node, beta) = pair().await;
    let actor = Counter::default().start();
    let watched = alpha.monitor(&beta, "brief");
    drop(watched);
    let guard = beta_node.register("brief", actor.clone()).unwrap();
    let watched = alpha.monitor(&beta, "brief").unwrap();
    placed(&beta_node, 1).await;
    let weak = actor.downgrade();
    drop((guard, actor));
    assert_eq!(told(watched).await, DownReason::Normal);
    eventually("the actor has ended", || weak.upgrade().is_none()).await;
}

#[actix::test]
async fn when_a_linked_actor_ends_the_other_one_is_stopped_or_told_if_it_traps_exits() {
    let all = nodes_with(2, |builder| builder).await;
    let [alpha, beta_node] = &all[..] else { panic!() };
    let (own, beta) = (target(alpha), target(beta_node));
    alpha.register("traps", Counter::default().start()).unwrap().keep();
    let keeps = Keeps::default();
    let exits = keeps.exits.clone();
    alpha.trap_exits("traps", keeps.start().recipient()).unwrap();
    for name in ["counter", "traps"] {
        alpha.link(name, &beta, "counter").unwrap();
        alpha.link(name, &beta, "counter").unwrap();
    }
    placed(beta_node, 2).await;
    let stopped = alpha.monitor(&own, "counter").unwrap();
    alpha.call(&beta, "counter", Panic).await.unwrap_err();
    assert_eq!(told(stopped).await, DownReason::Stopped);
    eventually("the one that traps is told", || !exits.lock().unwrap().is_empty()).await;
    let exit = Exit {
        own: "traps".into(),
        node: beta.node().clone(),
        actor: "counter".into(),
        reason: DownReason::Panicked,
    };
    assert_eq!(*exits.lock().unwrap(), [exit]);
    assert_eq!(alpha.call(&own, "traps", Add { amount: 2 }).await.unwrap(), 2);
}

#[actix::test]
async fn a_link_works_from_the_far_side_and_a_normal_end_stops_nobody() {
    let (alpha, beta_node, beta) = pair().await;
    let gone = beta_node.monitor(&target(&beta_node), "counter").unwrap();
    let guard = alpha.register("gives back", Counter::default().start()).unwrap();
    alpha.link("gives back", &beta, "counter").unwrap();
    placed(&beta_node, 2).await;
    drop(guard);
    placed(&beta_node, 1).await;
    assert_eq!(alpha.call(&beta, "counter", Add { amount: 1 }).await.unwrap(), 1);
    alpha.link("counter", &beta, "counter").unwrap();
    placed(&beta_node, 2).await;
    assert!(alpha.unlink("counter", &beta, "counter"));
    assert!(!alpha.unlink("counter", &beta, "counter"));
    placed(&beta_node, 1).await;
    alpha.link("counter", &beta, "counter").unwrap();
    placed(&beta_node, 2).await;
    // The connection is lost: who is linked over it ends, on both sides.
    let here = alpha.monitor(&target(&alpha), "counter").unwrap();
    alpha.kill_clients(beta.node());
    assert_eq!(told(gone).await, DownReason::Stopped);
    assert_eq!(told(here).await, DownReason::Stopped);
    let nobody = LinkError::NoSuchActor("nobody".into());
    assert_eq!(alpha.link("nobody", &beta, "counter"), Err(nobody));
}

#[actix::test]
async fn a_node_that_cannot_be_dialled_is_watched_over_the_session_that_it_has_begun() {
    let book = PhoneBook::default();
    let beta_node = builder("beta").start().await.unwrap();
    book.enter(&beta_node);
    let tool_node = crate::fixture::named("tool@127.0.0.1").discovery(book).start().await.unwrap();
    tool_node.register("counter", Counter::default().start()).unwrap().keep();
    tool_node.group("g").join("counter").unwrap();
    tool_node.connect(&target(&beta_node)).await.unwrap();
    eventually("beta sees it", || beta_node.group("g").members().len() == 1).await;
    let watched = beta_node.monitor(&target(&tool_node), "counter").unwrap();
    placed(&tool_node, 1).await;
    tool_node.unregister("counter");
    assert_eq!(told(watched).await, DownReason::Normal);
    assert_eq!(beta_node.metrics().dials, 0);
}

#[actix::test]
async fn the_limit_of_monitors_is_named_when_it_is_reached() {
    let few = |builder: farcall::NodeBuilder| builder.configure(|config| config.monitors_max = 2);
    let (alpha, _beta_node, beta) = pair_with(few).await;
    let kept: Vec<_> = (0..2).map(|_| alpha.monitor(&beta, "counter").unwrap()).collect();
    let error = alpha.monitor(&beta, "counter").unwrap_err();
    assert_eq!(error.to_string(), "there are 2 monitors and links, the most that monitors_max allows");
    drop(kept);
    assert!(alpha.monitor(&beta, "counter").is_ok());
}

#[actix::test]
async fn what_was_watched_in_a_dead_start_of_a_node_is_down_before_its_next_start_is_up() {
    let book = PhoneBook::default();
    let alpha = builder("alpha").discovery(book.clone()).start().await.unwrap();
    let start = async || {
        let node = builder("beta").start().await.unwrap();
        node.register("counter", Counter::default().start()).unwrap().keep();
        book.enter(&node);
        node
    };
    let first = start().await;
    let beta = target(&first);
    let watched = alpha.monitor(&beta, "counter").unwrap();
    placed(&first, 1).await;
    let second = start().await;
    first.kill_acceptors(alpha.name());
    assert_eq!(told(watched).await, DownReason::NoConnection);
    let watched = alpha.monitor(&beta, "counter").unwrap();
    placed(&second, 1).await;
    second.unregister("counter");
    assert_eq!(told(watched).await, DownReason::Normal);
    first.shutdown().await;
}
