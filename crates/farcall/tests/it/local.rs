//! The own node: no socket, the same rules.

use std::time::{Duration, Instant};

use actix::prelude::*;
use farcall::error::{Failed, Failure, NotSent, Rejected, Unknown};
use farcall::prelude::*;
use futures::StreamExt;

use crate::actors::{AddPair, Divide, Forget, PassGate, Trouble, WhoAreYou, gate};
use crate::fixture::{Add, Count, Counter, Echo, Panic, Sleep, Total, builder, eventually, target};

/// A node all by itself, with a counter, and its own target.
async fn alone() -> (Node, Target) {
    let node = builder("alone").no_listener().start().await.unwrap();
    node.register("counter", Counter::default().start()).unwrap().keep();
    let own = target(&node);
    (node, own)
}

#[actix::test]
async fn every_verb_reaches_the_own_actors_without_a_listener() {
    let (node, own) = alone().await;
    node.serve("math.add", |pair: AddPair| async move { pair.left + pair.right }).unwrap();
    assert_eq!(node.call(&own, "math.add", AddPair { left: 1, right: 2 }).await.unwrap(), 3);
    node.cast(&own, "counter", Add { amount: 1 }).unwrap();
    node.cast(&own, "counter", Add { amount: 1 }).acked().await.unwrap();
    assert_eq!(node.async_call(&own, "counter", Total).await.unwrap(), 2);
    assert_eq!(node.multicall(All, "counter", Total).await[0].1.as_ref().unwrap(), &2);
    assert_eq!(node.abcast(All, "counter", Add { amount: 1 }).queued, std::slice::from_ref(&own));
    assert_eq!(node.sbcast(All, "counter", Add { amount: 1 }).await.delivered, std::slice::from_ref(&own));
    node.eval_everywhere(All, "counter", Add { amount: 1 });
    assert_eq!(node.call(&own, "counter", Total).await.unwrap(), 5);
    let items = node.stream(&own, "counter", Count { to: 1_000 }).await.unwrap();
    assert_eq!(items.count().await, 1_000);
    assert!(node.ping(&own).await.is_ok());
    assert!(node.nodes().is_empty() && node.listening_on().is_empty());
}

#[actix::test]
async fn a_call_to_the_own_node_fails_as_one_to_another_would() {
    let (node, own) = alone().await;
    node.register("trouble", Trouble.start()).unwrap().keep();
    let failure = async |call: farcall::rpc::Call<'_, _>| call.await.unwrap_err().failure().clone();
    let unknown = failure(node.call(&own, "nobody", Total)).await;
    assert_eq!(unknown, Failure::Rejected(Rejected::NoSuchActor));
    let wrong = failure(node.call(&own, "trouble", Total)).await;
    assert_eq!(wrong, Failure::Rejected(Rejected::NoSuchMessage));
    let error = node.call(&own, "counter", WhoAreYou).await.unwrap_err();
    assert_eq!(*error.failure(), Failure::Rejected(Rejected::NoSuchMessage));
    let own_error = node.call(&own, "trouble", Divide { dividend: 1, divisor: 0 }).await.unwrap();
    assert!(own_error.is_err(), "a handler's own error is a value");
    let error = node.call(&own, "trouble", Forget).await.unwrap_err();
    assert_eq!(*error.failure(), Failure::Failed(Failed::ActorStopped));
    let error = node.call(&own, "counter", Panic).await.unwrap_err();
    assert_eq!(*error.failure(), Failure::Failed(Failed::Panicked));
}

#[actix::test]
async fn a_deadline_holds_at_home_too() {
    let (node, own) = alone().await;
    let gate = gate(&node);
    let begun = Instant::now();
    let call = node.call(&own, "gate", PassGate { number: 1 }).timeout(Duration::from_millis(50));
    assert_eq!(*call.await.unwrap_err().failure(), Failure::Unknown(Unknown::Timeout));
    assert!(begun.elapsed() < Duration::from_secs(1));
    eventually("it had begun", || gate.entered() == 1).await;
}

#[actix::test]
async fn own_calls_answer_as_they_finish() {
    let (node, own) = alone().await;
    let mut slow = node.async_call(&own, "counter", Sleep { ms: 2_000 });
    assert_eq!(node.call(&own, "counter", Sleep { ms: 5 }).await.unwrap(), 5);
    assert!(slow.nb_yield(Duration::ZERO).await.is_none());
}

#[actix::test]
async fn a_message_over_the_limit_is_refused_at_home_too() {
    let (node, own) = alone().await;
    let limit = node.config().message_bytes_max;
    let error = node.call(&own, "counter", Echo { bytes: vec![0; limit + 1] }).await.unwrap_err();
    assert!(matches!(error.failure(), Failure::NotSent(NotSent::TooLarge { .. })), "{error}");
    let bytes = vec![3; 2_000_000];
    assert_eq!(node.call(&own, "counter", Echo { bytes: bytes.clone() }).await.unwrap(), bytes);
}
