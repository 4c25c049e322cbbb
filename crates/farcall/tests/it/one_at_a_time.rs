//! What actix promises a handler holds among the requests of one batch too.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actix::prelude::*;
use farcall::error::{Failure, Rejected};
use farcall::prelude::*;

use crate::fixture::{eventually, pair};

/// Keeps its actor to itself for a while; tells how many others of its kind ran meanwhile.
#[farcall::message(result = u64)]
#[derive(Debug)]
struct Alone {
    ms: u64,
}

/// The order in which requests were started.
#[farcall::message(result = Vec<u64>)]
#[derive(Debug)]
struct Started;

/// Notes its number.
#[farcall::message(result = ())]
#[derive(Debug)]
struct Note {
    number: u64,
}

#[derive(Default, RemoteActor)]
#[remote(Alone, Started, Note)]
struct Careful {
    running: u64,
    started: Vec<u64>,
    /// As many as have begun, for those on other threads.
    begun: Arc<AtomicU64>,
}

impl Actor for Careful {
    type Context = Context<Self>;
}

impl Handler<Alone> for Careful {
    type Result = AtomicResponse<Self, u64>;

    fn handle(&mut self, alone: Alone, _: &mut Context<Self>) -> Self::Result {
        let others = self.running;
        self.running += 1;
        self.started.push(alone.ms);
        self.begun.fetch_add(1, Ordering::SeqCst);
        let wait = tokio::time::sleep(Duration::from_millis(alone.ms));
        AtomicResponse::new(Box::pin(wait.into_actor(self).map(move |(), actor, _| {
            actor.running -= 1;
            others
        })))
    }
}

impl Handler<Started> for Careful {
    type Result = Vec<u64>;

    fn handle(&mut self, _: Started, _: &mut Context<Self>) -> Vec<u64> {
        self.started.clone()
    }
}

impl Handler<Note> for Careful {
    type Result = ();

    fn handle(&mut self, note: Note, _: &mut Context<Self>) {
        self.started.push(note.number);
    }
}

async fn careful() -> (Node, Node, Target) {
    let (alpha, beta_node, beta) = pair().await;
    beta_node.register("careful", Careful::default().start()).unwrap().keep();
    alpha.ping(&beta).await.unwrap();
    (alpha, beta_node, beta)
}

#[actix::test]
async fn a_handler_that_keeps_its_actor_to_itself_is_alone_among_the_requests_of_one_read() {
    let (alpha, _beta_node, beta) = careful().await;
    let calls: Vec<_> = (1..=8).map(|ms| alpha.async_call(&beta, "careful", Alone { ms })).collect();
    for call in calls {
        assert_eq!(call.await.unwrap(), 0);
    }
}

#[actix::test]
async fn requests_behind_one_that_waits_keep_their_order_across_reads() {
    let (alpha, _beta_node, beta) = careful().await;
    let first = alpha.async_call(&beta, "careful", Alone { ms: 30 });
    for number in 1000..1010 {
        alpha.cast(&beta, "careful", Note { number }).unwrap();
    }
    alpha.ping(&beta).await.unwrap();
    // These come with a later read, while the first ones are held back.
    for number in 1010..1020 {
        alpha.cast(&beta, "careful", Note { number }).unwrap();
    }
    let started = alpha.call(&beta, "careful", Started).await.unwrap();
    let expected: Vec<u64> = std::iter::once(30).chain(1000..1020).collect();
    assert_eq!(started, expected);
    assert_eq!(first.await.unwrap(), 0);
}

#[actix::test]
async fn requests_held_back_are_answered_when_their_actor_dies() {
    let (alpha, beta_node, beta) = pair().await;
    let arbiter = Arbiter::new();
    let begun = Arc::new(AtomicU64::new(0));
    let seen = begun.clone();
    let actor =
        Careful::start_in_arbiter(&arbiter.handle(), |_| Careful { begun: seen, ..Careful::default() });
    beta_node.register("careful", actor).unwrap().keep();
    alpha.ping(&beta).await.unwrap();
    let first = alpha.async_call(&beta, "careful", Alone { ms: 600_000 });
    let held = alpha.async_call(&beta, "careful", Started);
    eventually("the first has begun", || begun.load(Ordering::SeqCst) == 1).await;
    arbiter.stop();
    let error = held.await.unwrap_err();
    assert!(matches!(error.failure(), Failure::Rejected(Rejected::ActorStopped)), "{error}");
    assert!(first.await.unwrap_err().may_have_run());
}

#[actix::test]
async fn the_gauge_of_names_follows_those_that_go() {
    let (_alpha, beta_node, _beta) = careful().await;
    let before = beta_node.metrics().names;
    let guard = beta_node.register("short", Careful::default().start()).unwrap();
    assert_eq!(beta_node.metrics().names, before + 1);
    drop(guard);
    eventually("the name is gone", || beta_node.metrics().names == before).await;
}
