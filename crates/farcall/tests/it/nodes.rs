//! Nodes that come, drain and go, as subscribers of other nodes hear of it.

use std::time::Duration;

use farcall::cluster::{Lagged, NodeDown, NodeEvent, NodeEvents, NodeFilter};
use farcall::prelude::*;

use crate::fixture::{
    Add, PhoneBook, Sleep, Total, builder, eventually, named, nodes, nodes_with, pair, target,
};

/// The next event, in short words.
async fn next(events: &mut NodeEvents) -> String {
    let next = tokio::time::timeout(Duration::from_secs(5), events.next()).await;
    match next.expect("nothing happened within five seconds").expect("the node lives").unwrap() {
        NodeEvent::Up(peer) => format!("{} up", peer.name.short()),
        NodeEvent::Draining(peer) => format!("{} draining", peer.name.short()),
        NodeEvent::Down(peer, reason) => format!("{} down {}", peer.name.short(), reason.reason()),
    }
}

/// Nothing was told that was not taken.
fn is_silent(events: &mut NodeEvents) -> bool {
    use futures::FutureExt as _;
    events.next().now_or_never().is_none()
}

#[actix::test]
async fn both_ends_of_a_connection_hear_once_that_the_other_is_up() {
    let (alpha, beta_node, beta) = pair().await;
    let (mut at_alpha, mut at_beta) =
        (alpha.subscribe_nodes(NodeFilter::Visible), beta_node.subscribe_nodes(NodeFilter::Visible));
    let peer = alpha.connect(&beta).await.unwrap();
    assert_eq!((&peer.name, peer.incarnation), (beta_node.name(), beta_node.incarnation()));
    assert_eq!(next(&mut at_alpha).await, "n1 up");
    assert_eq!(next(&mut at_beta).await, "n0 up");
    // The other way is a second connection, and no news.
    beta_node.call(&target(&alpha), "counter", Total).await.unwrap();
    let keyed = Target::keyed(beta.node().as_str(), "a key").unwrap();
    alpha.call(&keyed, "counter", Total).await.unwrap();
    assert!(is_silent(&mut at_alpha) && is_silent(&mut at_beta));
    assert_eq!(beta_node.peer(alpha.name()).unwrap().incarnation, alpha.incarnation());
}

#[actix::test]
async fn whoever_subscribes_late_begins_with_those_who_are_there() {
    let all = nodes(3).await;
    for peer in &all[1..] {
        all[0].connect(&target(peer)).await.unwrap();
    }
    let mut events = all[0].subscribe_nodes(NodeFilter::Visible);
    assert_eq!([next(&mut events).await, next(&mut events).await], ["n1 up", "n2 up"]);
}

#[actix::test]
async fn a_node_that_shuts_down_is_draining_and_then_down_for_those_who_ask_it_and_those_it_asks() {
    let all = nodes(3).await;
    let (asks, leaves, asked) = (&all[0], &all[1], &all[2]);
    asks.connect(&target(leaves)).await.unwrap();
    leaves.connect(&target(asked)).await.unwrap();
    let mut at = [asks.subscribe_nodes(NodeFilter::Visible), asked.subscribe_nodes(NodeFilter::Visible)];
    assert!(leaves.shutdown().await);
    for events in &mut at {
        assert_eq!(next(events).await, "n1 up");
        assert_eq!(next(events).await, "n1 draining");
        assert_eq!(next(events).await, "n1 down shutdown");
    }
}

#[actix::test]
async fn who_subscribes_late_is_told_of_a_node_that_drains_already() {
    let (alpha, beta_node, beta) = pair().await;
    // It drains as long as this call runs.
    let running = alpha.async_call(&beta, "counter", Sleep { ms: 300 });
    eventually("it runs", || beta_node.inspect().links.iter().any(|link| link.in_flight > 0)).await;
    let ending = actix_rt::spawn(async move { beta_node.shutdown().await });
    let mut early = alpha.subscribe_nodes(NodeFilter::Visible);
    assert_eq!([next(&mut early).await, next(&mut early).await], ["n1 up", "n1 draining"]);
    let mut late = alpha.subscribe_nodes(NodeFilter::Visible);
    assert_eq!([next(&mut late).await, next(&mut late).await], ["n1 up", "n1 draining"]);
    running.await.unwrap();
    assert!(ending.await.unwrap());
    assert_eq!(next(&mut late).await, "n1 down shutdown");
}

#[actix::test]
async fn a_restarted_node_is_down_before_it_is_up_again() {
    let book = PhoneBook::default();
    let alpha = builder("alpha").discovery(book.clone()).start().await.unwrap();
    let first = builder("beta").start().await.unwrap();
    book.enter(&first);
    let beta = target(&first);
    alpha.connect(&beta).await.unwrap();
    let mut events = alpha.subscribe_nodes(NodeFilter::Visible);
    // It ends without a word: its connections are cut, and its name is another process's from now on.
    let second = builder("beta").discovery(book.clone()).start().await.unwrap();
    book.enter(&second);
    book.enter(&alpha);
    first.kill_acceptors(alpha.name());
    assert_eq!([next(&mut events).await, next(&mut events).await], ["beta up", "beta down closed"]);
    assert_eq!(alpha.connect(&beta).await.unwrap().incarnation, second.incarnation());
    assert_eq!(next(&mut events).await, "beta up");
    first.shutdown().await;
}

#[actix::test]
async fn when_a_node_is_told_to_be_down_its_calls_have_ended_and_it_is_no_longer_listed() {
    let (alpha, beta_node, beta) = pair().await;
    alpha.connect(&beta).await.unwrap();
    let mut events = alpha.subscribe_nodes(NodeFilter::Connected);
    assert_eq!(next(&mut events).await, "n1 up");
    let gate = crate::actors::gate(&beta_node);
    let running = alpha.async_call(&beta, "gate", crate::actors::PassGate { number: 1 });
    eventually("the handler runs", || gate.entered() == 1).await;
    beta_node.kill_acceptors(alpha.name());
    assert_eq!(next(&mut events).await, "n1 down closed");
    assert!(futures::FutureExt::now_or_never(running).expect("told before the node was down").is_err());
    assert!(alpha.nodes_that(NodeFilter::Connected).is_empty());
    assert_eq!(alpha.nodes_that(NodeFilter::Known), [beta_node.name().clone()]);
    gate.let_through(1);
}

#[actix::test]
async fn a_hidden_node_is_reached_by_name_and_left_out_of_what_is_meant_for_all() {
    let hide = |builder: farcall::NodeBuilder| builder.configure(|config| config.hidden = true);
    let book = PhoneBook::default();
    let mut all = Vec::new();
    for (name, hidden) in [("seen", false), ("unseen", true), ("asks", false)] {
        let builder = builder(name).discovery(book.clone());
        let builder = if hidden { hide(builder) } else { builder };
        let node = builder.start().await.unwrap();
        book.enter(&node);
        node.register("counter", actix::Actor::start(crate::fixture::Counter::default())).unwrap().keep();
        all.push(node);
    }
    let [seen, unseen, asks] = &all[..] else { panic!() };
    let mut events = asks.subscribe_nodes(NodeFilter::Visible);
    for node in [unseen, seen] {
        asks.call(&target(node), "counter", Add { amount: 1 }).await.unwrap();
    }
    assert_eq!(next(&mut events).await, "seen up");
    assert_eq!(asks.nodes(), [seen.name().clone()]);
    assert_eq!(asks.nodes_that(NodeFilter::Visible), [seen.name().clone()]);
    assert_eq!(asks.nodes_that(NodeFilter::Hidden), [unseen.name().clone()]);
    assert_eq!(asks.nodes_that(NodeFilter::Connected).len(), 2);
    assert_eq!(asks.nodes_that(NodeFilter::This), [asks.name().clone()]);
    let report = asks.sbcast(All, "counter", Add { amount: 1 }).await;
    assert_eq!(report.delivered, [target(asks), target(seen)], "{report:?}");
}

#[actix::test]
async fn a_watched_node_is_down_once_and_one_that_cannot_be_reached_is_down_at_once() {
    let (alpha, beta_node, beta) = pair().await;
    // Watching connects.
    let watched = alpha.monitor_node(beta.node());
    let watched = actix_rt::spawn(watched);
    eventually("beta knows alpha", || beta_node.peer(alpha.name()).is_some()).await;
    assert!(beta_node.shutdown().await);
    assert_eq!(watched.await.unwrap(), NodeDown::Shutdown);
    let nobody: NodeName = "nobody@127.0.0.1".parse().unwrap();
    assert_eq!(alpha.monitor_node(&nobody).await, NodeDown::Unreachable);
}

#[actix::test]
async fn a_node_without_a_listener_is_a_node_to_those_it_asks() {
    let book = PhoneBook::default();
    let beta = builder("beta").start().await.unwrap();
    book.enter(&beta);
    let tool = named("tool@127.0.0.1").discovery(book).start().await.unwrap();
    let mut events = beta.subscribe_nodes(NodeFilter::Visible);
    tool.connect(&target(&beta)).await.unwrap();
    assert_eq!(next(&mut events).await, "tool up");
    tool.disconnect(beta.name());
    assert_eq!(next(&mut events).await, "tool down closed");
}

#[actix::test]
async fn a_subscriber_that_is_too_far_behind_is_told_how_much_it_missed() {
    let (alpha, beta_node, beta) = pair().await;
    let mut events = alpha.subscribe_nodes(NodeFilter::Visible);
    for _ in 0..520 {
        alpha.connect(&beta).await.unwrap();
        alpha.disconnect(beta_node.name());
        eventually("disconnected", || alpha.peer(beta_node.name()).is_none()).await;
    }
    assert_eq!(events.next().await.unwrap(), Err(Lagged(16)));
    for _ in 0..512 {
        assert_eq!(next(&mut events).await, "n1 up");
        assert_eq!(next(&mut events).await, "n1 down disconnected");
    }
    assert!(is_silent(&mut events));
}

#[actix::test]
async fn disconnected_in_good_order_is_no_loss() {
    let all = nodes_with(2, |builder| builder).await;
    all[0].connect(&target(&all[1])).await.unwrap();
    let watched = all[0].monitor_node(all[1].name());
    all[0].disconnect(all[1].name());
    assert_eq!(watched.await, NodeDown::Disconnected);
}
