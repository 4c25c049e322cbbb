//! Every verb once, between two nodes and to the own one.

use std::time::Duration;

use farcall::prelude::*;
use futures::StreamExt;

use crate::fixture::{Add, Count, Echo, Panic, Sleep, Total, nodes, pair, target};

#[actix::test]
async fn a_call_reaches_the_named_actor_and_its_answer_comes_back() {
    let (alpha, _beta, beta) = pair().await;
    assert_eq!(alpha.call(&beta, "counter", Add { amount: 5 }).await.unwrap(), 5);
    assert_eq!(alpha.call(&beta, "counter", Add { amount: 2 }).await.unwrap(), 7);
    assert_eq!(alpha.nodes(), [beta.node().clone()]);
}

#[actix::test]
async fn a_call_to_the_own_node_takes_no_socket() {
    let (alpha, ..) = pair().await;
    let own = target(&alpha);
    assert_eq!(alpha.call(&own, "counter", Add { amount: 5 }).await.unwrap(), 5);
    assert!(alpha.nodes().is_empty());
}

#[actix::test]
async fn a_cast_arrives_and_an_acked_one_says_so() {
    let (alpha, _beta, beta) = pair().await;
    alpha.cast(&beta, "counter", Add { amount: 1 }).unwrap();
    alpha.cast(&beta, "counter", Add { amount: 1 }).acked().await.unwrap();
    assert_eq!(alpha.call(&beta, "counter", Total).await.unwrap(), 2);
    let refused = alpha.cast(&beta, "nobody", Add { amount: 1 }).acked().await.unwrap_err();
    assert_eq!(refused.class(), Class::Rejected);
}

#[actix::test]
async fn a_promise_is_kept() {
    let (alpha, _beta, beta) = pair().await;
    let mut promise = alpha.async_call(&beta, "counter", Sleep { ms: 60 });
    assert!(promise.nb_yield(Duration::ZERO).await.is_none());
    assert_eq!(promise.nb_yield(Duration::from_secs(5)).await.unwrap().unwrap(), 60);
    assert!(promise.nb_yield(Duration::from_secs(5)).await.unwrap().is_err());
    assert_eq!(alpha.async_call(&beta, "counter", Sleep { ms: 5 }).await.unwrap(), 5);
}

#[actix::test]
async fn verbs_to_many_reach_each_target_and_name_those_they_did_not() {
    let nodes = nodes(3).await;
    let mut targets: Vec<Target> = nodes.iter().map(target).collect();
    targets.push("nowhere@127.0.0.1".parse().unwrap());
    let report = nodes[0].sbcast(&targets, "counter", Add { amount: 3 }).await;
    assert_eq!(report.delivered, targets[..3]);
    assert_eq!(report.failed.len(), 1);
    let answers = nodes[0].multicall(&targets, "counter", Total).await;
    let values: Vec<_> = answers[..3].iter().map(|(_, answer)| *answer.as_ref().unwrap()).collect();
    assert_eq!(values, [3, 3, 3]);
    assert!(answers[3].1.is_err());
    let report = nodes[0].abcast(All, "counter", Add { amount: 1 });
    assert_eq!(report.queued.len(), 3);
}

#[actix::test]
async fn a_stream_gives_every_item_in_order_and_ends() {
    let (alpha, _beta, beta) = pair().await;
    let items = alpha.stream(&beta, "counter", Count { to: 10_000 }).await.unwrap();
    let items: Vec<u64> = items.map(Result::unwrap).collect().await;
    assert_eq!(items, (0..10_000).collect::<Vec<_>>());
}

#[actix::test]
async fn a_large_message_travels_in_fragments_and_comes_back_whole() {
    let (alpha, _beta, beta) = pair().await;
    let bytes: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
    assert_eq!(alpha.call(&beta, "counter", Echo { bytes: bytes.clone() }).await.unwrap(), bytes);
}

#[actix::test]
async fn a_handler_that_panics_fails_its_caller_and_nobody_else() {
    let (alpha, beta_node, beta) = pair().await;
    let error = alpha.call(&beta, "counter", Panic).await.unwrap_err();
    assert_eq!(error.class(), Class::Failed);
    let error = alpha.call(&beta, "counter", Total).await.unwrap_err();
    assert_eq!(error.class(), Class::Rejected, "{error}");
    assert_eq!(beta_node.names(), Vec::<String>::new());
}

#[actix::test]
async fn a_ping_is_answered_and_a_node_describes_itself() {
    let (alpha, _beta, beta) = pair().await;
    assert!(alpha.ping(&beta).await.unwrap() < Duration::from_secs(5));
    let description = alpha.describe(&beta).await.unwrap();
    assert_eq!(description.node, beta.node().to_string());
    assert_eq!(description.actors[0].name, "counter");
    assert!(description.actors[0].messages.iter().any(|message| message.name == "Add"));
}

#[actix::test]
async fn a_drained_node_finishes_what_is_in_flight_and_refuses_the_rest() {
    let (alpha, beta_node, beta) = pair().await;
    let slow = alpha.async_call(&beta, "counter", Sleep { ms: 100 });
    alpha.ping(&beta).await.unwrap();
    assert!(beta_node.shutdown().await);
    assert_eq!(slow.await.unwrap(), 100);
    let error = alpha.call(&beta, "counter", Total).await.unwrap_err();
    assert!(!error.may_have_run(), "{error}");
}
