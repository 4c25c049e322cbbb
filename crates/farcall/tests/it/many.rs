//! Verbs to many nodes: multicall, abcast, sbcast, eval_everywhere.

use std::time::{Duration, Instant};

use actix::prelude::*;
use farcall::error::{Failure, Rejected};
use farcall::prelude::*;
use tokio::sync::mpsc;

use crate::actors::{AddPair, Divide, Trouble, WhoAreYou, serve_who};
use crate::fixture::{Add, Panic, Sleep, Total, eventually, nodes, target};

/// A node nobody knows.
fn nowhere() -> Target {
    "nowhere@127.0.0.1".parse().unwrap()
}

/// The targets of nodes, with those that `more` adds.
fn targets(nodes: &[Node], more: &[Target]) -> Vec<Target> {
    nodes.iter().map(target).chain(more.iter().cloned()).collect()
}

/// Serves `pong` on a node: tells the test that it ran, with the node's name.
fn serve_pong(node: &Node, sender: &mpsc::UnboundedSender<String>) {
    let (name, sender) = (node.name().to_string(), sender.clone());
    node.serve("pong", move |_: AddPair| {
        sender.send(name.clone()).unwrap();
        std::future::ready(0)
    })
    .unwrap();
}

async fn pongs(receiver: &mut mpsc::UnboundedReceiver<String>, count: usize) -> Vec<String> {
    let mut pongs = Vec::new();
    while pongs.len() < count {
        let pong = tokio::time::timeout(Duration::from_secs(5), receiver.recv()).await;
        pongs.push(pong.expect("a pong is missing").unwrap());
    }
    pongs.sort();
    pongs
}

const PING: AddPair = AddPair { left: 0, right: 0 };

#[actix::test]
async fn nobody_is_called_when_the_list_is_empty() {
    let nodes = nodes(1).await;
    let none: Vec<Target> = Vec::new();
    assert!(nodes[0].multicall(&none, "counter", Total).await.is_empty());
    assert!(nodes[0].abcast(&none, "counter", Add { amount: 1 }).queued.is_empty());
    let report = nodes[0].sbcast(&none, "counter", Add { amount: 1 }).await;
    assert!(report.delivered.is_empty() && report.failed.is_empty());
    assert!(nodes[0].eval_everywhere(&none, "math.add", PING).queued.is_empty());
    assert_eq!(nodes[0].call(&target(&nodes[0]), "counter", Total).await.unwrap(), 0);
}

#[actix::test]
async fn a_function_really_runs_everywhere_and_twice_where_it_was_asked_twice() {
    let nodes = nodes(3).await;
    let (sender, mut receiver) = mpsc::unbounded_channel();
    nodes.iter().for_each(|node| serve_pong(node, &sender));
    let (beta, gamma) = (target(&nodes[1]), target(&nodes[2]));
    nodes[0].eval_everywhere([beta.clone()], "pong", PING);
    assert_eq!(pongs(&mut receiver, 1).await, ["n1@127.0.0.1"]);
    nodes[0].eval_everywhere([beta.clone(), beta.clone()], "pong", PING);
    assert_eq!(pongs(&mut receiver, 2).await, ["n1@127.0.0.1", "n1@127.0.0.1"]);
    nodes[0].eval_everywhere([beta.with_key(1), beta, gamma], "pong", PING);
    assert_eq!(pongs(&mut receiver, 3).await, ["n1@127.0.0.1", "n1@127.0.0.1", "n2@127.0.0.1"]);
}

#[actix::test]
async fn a_function_that_panics_everywhere_harms_nobody() {
    let nodes = nodes(3).await;
    for node in &nodes {
        node.serve("fatal", |_: AddPair| async move { panic!("on purpose") }).unwrap();
    }
    let report = nodes[0].eval_everywhere(targets(&nodes, &[]), "fatal", PING);
    assert_eq!((report.queued.len(), report.not_queued.len()), (3, 0));
    let answers = nodes[0].multicall(targets(&nodes, &[]), "counter", Total).await;
    assert!(answers.iter().all(|(_, answer)| *answer.as_ref().unwrap() == 0));
}

#[actix::test]
async fn a_multicall_to_all_asks_the_own_node_and_those_that_are_connected() {
    let nodes = nodes(3).await;
    nodes.iter().for_each(serve_who);
    let answers = nodes[0].multicall(All, "who", WhoAreYou).await;
    assert_eq!(answers.len(), 1);
    assert_eq!(answers[0].1.as_ref().unwrap(), "n0@127.0.0.1");
    assert!(nodes[0].nodes().is_empty(), "the own node is no peer");
    for node in &nodes[1..] {
        nodes[0].ping(&target(node)).await.unwrap();
    }
    let answers = nodes[0].multicall(All, "who", WhoAreYou).await;
    let values: Vec<_> = answers.into_iter().map(|(_, answer)| answer.unwrap()).collect();
    assert_eq!(values, ["n0@127.0.0.1", "n1@127.0.0.1", "n2@127.0.0.1"]);
}

#[actix::test]
async fn a_multicall_gives_each_targets_answer_or_reason_in_the_order_asked() {
    let nodes = nodes(3).await;
    nodes.iter().for_each(serve_who);
    nodes[2].unregister("who");
    let mut asked = targets(&nodes[1..], &[nowhere()]);
    asked.push(target(&nodes[1]).with_key("again"));
    let answers = nodes[0].multicall(&asked, "who", WhoAreYou).await;
    let named: Vec<_> = answers.iter().map(|(target, _)| target.clone()).collect();
    assert_eq!(named, asked);
    assert_eq!(answers[0].1.as_ref().unwrap(), "n1@127.0.0.1");
    let error = answers[1].1.as_ref().unwrap_err();
    assert_eq!(*error.failure(), Failure::Rejected(Rejected::NoSuchActor));
    assert_eq!(error.target(), &asked[1]);
    assert_eq!(answers[2].1.as_ref().unwrap_err().class(), Class::NotSent);
    assert_eq!(answers[3].1.as_ref().unwrap(), "n1@127.0.0.1");
    assert!(!nodes[0].nodes().contains(nowhere().node()));
}

#[actix::test]
async fn a_value_that_looks_like_a_failure_is_still_a_value() {
    let nodes = nodes(2).await;
    nodes[1].register("trouble", Trouble.start()).unwrap().keep();
    let asked = [target(&nodes[1])];
    let answers = nodes[0].multicall(&asked, "trouble", Divide { dividend: 1, divisor: 0 }).await;
    assert_eq!(*answers[0].1.as_ref().unwrap(), Err("division by zero".to_owned()));
}

#[actix::test]
async fn a_multicall_has_one_deadline_for_all_and_those_in_time_count() {
    let nodes = nodes(4).await;
    let asked = targets(&nodes[1..], &[]);
    let answers =
        nodes[0].multicall(&asked, "counter", Sleep { ms: 50 }).timeout(Duration::from_secs(5)).await;
    assert!(answers.iter().all(|(_, answer)| answer.is_ok()));
    let begun = Instant::now();
    let slow = nodes[0].multicall(&asked, "counter", Sleep { ms: 5_000 });
    let answers = slow.timeout(Duration::from_millis(200)).await;
    assert!(answers.iter().all(|(_, answer)| answer.as_ref().unwrap_err().class() == Class::Unknown));
    assert!(begun.elapsed() < Duration::from_millis(500), "{:?}", begun.elapsed());
}

#[actix::test]
async fn a_multicall_with_a_required_version_reaches_those_that_have_it() {
    let nodes = nodes(3).await;
    for (node, version) in nodes[1..].iter().zip(["1.4.2", "2.0.0"]) {
        node.unregister("counter");
        let counter = crate::fixture::Counter::default().start();
        node.register("counter", counter).unwrap().version(version).unwrap().keep();
    }
    let asked = targets(&nodes[1..], &[]);
    let answers = nodes[0].multicall(&asked, "counter", Total).require_version("^1.4").await;
    assert!(answers[0].1.is_ok());
    let error = answers[1].1.as_ref().unwrap_err();
    assert!(matches!(error.failure(), Failure::Rejected(Rejected::WrongVersion { .. })), "{error}");
    let answers = nodes[0].multicall(&asked, "counter", Total).require_version("^9").await;
    assert!(answers.iter().all(|(_, answer)| answer.is_err()));
    let answers = nodes[0].multicall(&asked, "counter", Total).require_version(">=1").await;
    assert!(answers.iter().all(|(_, answer)| answer.is_ok()));
}

#[actix::test]
async fn an_abcast_reaches_the_named_actor_of_all_and_of_those_listed() {
    let nodes = nodes(3).await;
    for node in &nodes[1..] {
        nodes[0].ping(&target(node)).await.unwrap();
    }
    assert_eq!(nodes[0].abcast(All, "counter", Add { amount: 1 }).queued.len(), 3);
    nodes[0].abcast([target(&nodes[2]).with_key("k")], "counter", Add { amount: 10 });
    for (node, total) in nodes.iter().zip([1, 1, 11]) {
        let own = target(node);
        let mut seen = 0;
        let deadline = Instant::now() + Duration::from_secs(5);
        while seen != total && Instant::now() < deadline {
            seen = node.call(&own, "counter", Total).await.unwrap();
        }
        assert_eq!(seen, total);
    }
}

#[actix::test]
async fn an_abcast_reaches_the_good_ones_beside_an_unreachable_and_a_nameless_one() {
    let nodes = nodes(3).await;
    nodes[2].unregister("counter");
    let asked = targets(&nodes[1..], &[nowhere()]);
    nodes[0].abcast(&asked, "counter", Add { amount: 1 });
    assert_eq!(nodes[0].call(&asked[0], "counter", Total).await.unwrap(), 1);
    eventually("the loss is counted here", || nodes[0].metrics().casts_lost == 1).await;
    eventually("the refusal is counted there", || nodes[2].metrics().casts_refused == 1).await;
    // Once the node is known to be away, the report says so at once.
    let report = nodes[0].abcast(&asked, "counter", Add { amount: 1 });
    assert_eq!(report.queued, asked[..2]);
    assert_eq!(report.not_queued[0].0, nowhere());
}

#[actix::test]
async fn ten_thousand_abcasts_are_received_once_each() {
    let nodes = nodes(2).await;
    let asked = [target(&nodes[1])];
    for _ in 0..10_001 {
        let report = nodes[0].abcast(&asked, "counter", Add { amount: 1 });
        assert!(report.not_queued.is_empty());
    }
    assert_eq!(nodes[0].call(&asked[0], "counter", Total).await.unwrap(), 10_001);
}

#[actix::test]
async fn an_sbcast_puts_every_target_in_exactly_one_list_as_it_was_given() {
    let nodes = nodes(3).await;
    nodes[2].unregister("counter");
    let keyed = target(&nodes[1]).with_key("key");
    let asked = [keyed.clone(), target(&nodes[2]), nowhere(), target(&nodes[0])];
    let report = nodes[0].sbcast(&asked, "counter", Add { amount: 1 }).await;
    assert_eq!(report.delivered, [keyed, target(&nodes[0])]);
    let failed: Vec<_> = report.failed.iter().map(|(target, error)| (target, error.class())).collect();
    assert_eq!(failed, [(&asked[1], Class::Rejected), (&asked[2], Class::NotSent)]);
    let report = nodes[0].sbcast(All, "counter", Add { amount: 1 }).await;
    assert_eq!(report.delivered, [target(&nodes[0]), target(&nodes[1])]);
    assert_eq!(report.failed[0].0, target(&nodes[2]));
}

#[actix::test]
async fn an_sbcast_is_delivered_when_the_mailbox_has_it_whatever_the_handler_does_then() {
    let nodes = nodes(2).await;
    let report = nodes[0].sbcast([target(&nodes[1])], "counter", Panic).await;
    assert_eq!(report.delivered, [target(&nodes[1])]);
}

#[actix::test]
async fn a_served_function_is_a_name_like_any_other_for_verbs_to_many() {
    let nodes = nodes(2).await;
    nodes[1].serve("math.add", |pair: AddPair| async move { pair.left + pair.right }).unwrap();
    let answers = nodes[0].multicall([target(&nodes[1])], "math.add", AddPair { left: 4, right: 5 }).await;
    assert_eq!(*answers[0].1.as_ref().unwrap(), 9);
    assert_eq!(nodes[0].sbcast([target(&nodes[1])], "math.add", PING).await.delivered.len(), 1);
}
