//! `async_call`: answers that are fetched later, once, or never.

use std::time::{Duration, Instant};

use actix::prelude::*;
use farcall::error::{Failed, Failure, NotSent, Rejected, Unknown};
use farcall::prelude::*;

use crate::actors::{AddPair, Divide, Forget, PassGate, Trouble, gate};
use crate::fixture::{Add, Panic, PhoneBook, Sleep, Total, builder, eventually, nodes, pair};

const LONG: Duration = Duration::from_secs(5);

#[actix::test]
async fn promises_run_side_by_side_and_each_gives_its_own_value() {
    let (alpha, beta_node, beta) = pair().await;
    beta_node.serve("math.add", |pair: AddPair| async move { pair.left + pair.right }).unwrap();
    let first = alpha.async_call(&beta, "math.add", AddPair { left: 1, right: 1 });
    let second = alpha.async_call(&beta, "counter", Add { amount: 7 });
    let mut third = alpha.async_call(&beta, "math.add", AddPair { left: 2, right: 2 });
    let mut fourth = alpha.async_call(&beta, "counter", Sleep { ms: 20 });
    assert_eq!(fourth.nb_yield(LONG).await.unwrap().unwrap(), 20);
    assert_eq!(third.nb_yield(LONG).await.unwrap().unwrap(), 4);
    assert_eq!(second.await.unwrap(), 7);
    assert_eq!(first.await.unwrap(), 2);
}

#[actix::test]
async fn looking_too_early_gives_nothing_and_loses_nothing() {
    let (alpha, beta_node, beta) = pair().await;
    let gate = gate(&beta_node);
    let mut promise = alpha.async_call(&beta, "gate", PassGate { number: 4 });
    assert!(promise.nb_yield(Duration::ZERO).await.is_none());
    assert!(promise.nb_yield(Duration::from_millis(5)).await.is_none());
    gate.let_through(1);
    assert_eq!(promise.nb_yield(LONG).await.unwrap().unwrap(), 4);
}

#[actix::test]
async fn an_answer_is_given_once_and_asking_again_is_an_error_at_once() {
    let (alpha, _beta, beta) = pair().await;
    let mut promise = alpha.async_call(&beta, "counter", Total);
    assert_eq!(promise.nb_yield(LONG).await.unwrap().unwrap(), 0);
    let begun = Instant::now();
    let again = promise.nb_yield(LONG).await.unwrap().unwrap_err();
    assert_eq!(*again.failure(), Failure::NotSent(NotSent::AlreadyTaken));
    let again = promise.await.unwrap_err();
    assert_eq!(*again.failure(), Failure::NotSent(NotSent::AlreadyTaken));
    assert!(begun.elapsed() < Duration::from_secs(1));
    assert_eq!(alpha.async_call(&beta, "counter", Total).await.unwrap(), 0, "a fresh promise works");
}

#[actix::test]
async fn a_promise_that_is_awaited_waits_for_a_slow_answer() {
    let (alpha, _beta, beta) = pair().await;
    let (first, mut second) = (
        alpha.async_call(&beta, "counter", Sleep { ms: 200 }),
        alpha.async_call(&beta, "counter", Sleep { ms: 200 }),
    );
    assert_eq!(first.await.unwrap(), 200);
    assert_eq!(second.nb_yield(LONG).await.unwrap().unwrap(), 200);
}

#[actix::test]
async fn every_way_to_fail_comes_through_the_promise_however_it_is_asked() {
    let (alpha, beta_node, beta) = pair().await;
    let unknown = || alpha.async_call(&beta, "nobody", Total);
    let failure = Failure::Rejected(Rejected::NoSuchActor);
    assert_eq!(*unknown().await.unwrap_err().failure(), failure);
    assert_eq!(*unknown().nb_yield(LONG).await.unwrap().unwrap_err().failure(), failure);

    let panics = alpha.async_call(&beta, "counter", Panic).await.unwrap_err();
    assert_eq!(*panics.failure(), Failure::Failed(Failed::Panicked));

    for _ in 0..2 {
        beta_node.register("trouble", Trouble.start()).unwrap().keep();
        let own_error = alpha.async_call(&beta, "trouble", Divide { dividend: 1, divisor: 0 });
        assert_eq!(own_error.await.unwrap(), Err("division by zero".to_owned()));
        let stops = alpha.async_call(&beta, "trouble", Forget).await.unwrap_err();
        assert_eq!(*stops.failure(), Failure::Failed(Failed::ActorStopped));
    }
}

#[actix::test]
async fn a_promise_of_an_unreachable_node_is_not_sent_and_does_not_hang() {
    let alpha = builder("alpha").discovery(PhoneBook::default()).start().await.unwrap();
    let nowhere: Target = "nowhere@127.0.0.1".parse().unwrap();
    let error = alpha.async_call(&nowhere, "counter", Total).await.unwrap_err();
    assert_eq!(error.class(), Class::NotSent);
    let mut promise = alpha.async_call(&nowhere, "counter", Total);
    let error = promise.nb_yield(LONG).await.unwrap().unwrap_err();
    assert_eq!(error.class(), Class::NotSent);
}

#[actix::test]
async fn promises_on_connections_of_their_own_work_as_on_the_common_one() {
    let (alpha, _beta, beta) = pair().await;
    let (red, blue) = (beta.with_key("red"), beta.with_key("blue"));
    let first = alpha.async_call(&red, "counter", Sleep { ms: 30 });
    let mut second = alpha.async_call(&blue, "counter", Sleep { ms: 10 });
    assert_eq!(first.await.unwrap(), 30);
    assert_eq!(second.nb_yield(LONG).await.unwrap().unwrap(), 10);
    let again = second.nb_yield(LONG).await.unwrap().unwrap_err();
    assert_eq!(*again.failure(), Failure::NotSent(NotSent::AlreadyTaken));
    assert_eq!(alpha.connections(beta.node()), 2);
}

#[actix::test]
async fn a_promise_ends_with_its_connection() {
    let (alpha, beta_node, beta) = pair().await;
    let gate = gate(&beta_node);
    let promise = alpha.async_call(&beta, "gate", PassGate { number: 1 });
    eventually("the handler runs", || gate.entered() == 1).await;
    assert_eq!(beta_node.kill_acceptors(alpha.name()), 1);
    let error = promise.await.unwrap_err();
    assert!(matches!(error.failure(), Failure::Unknown(Unknown::LinkLost(_))), "{error}");
}

#[actix::test]
async fn a_promise_may_be_made_here_and_awaited_in_another_task() {
    let nodes = nodes(2).await;
    let beta = crate::fixture::target(&nodes[1]);
    let promise = nodes[0].async_call(&beta, "counter", Add { amount: 5 });
    let arbiter = Arbiter::new();
    let (sender, answer) = tokio::sync::oneshot::channel();
    arbiter.spawn(async move {
        let _ = sender.send(promise.await);
    });
    let answer = tokio::time::timeout(LONG, answer).await.unwrap().unwrap();
    assert_eq!(answer.unwrap(), 5);
}
