//! Processes that say they are the same node, as nodes of one process: what is said of them, and what is spared.

use std::time::Duration;

use actix::Actor;
use farcall::error::{Failure, NotSent};
use farcall::prelude::*;

use crate::actors::{PassGate, gate};
use crate::fixture::{Add, Counter, PhoneBook, Total, builder, eventually, target};
use crate::log_lines;

/// A start of a node of this name. It knows who stands in the book, and does not stand there itself.
async fn start(name: &str, book: &PhoneBook) -> Node {
    let slow = |config: &mut Config| {
        config.backoff_min = Duration::from_secs(60);
        config.backoff_max = config.backoff_min;
    };
    let node = builder(name).discovery(book.clone()).configure(slow).start().await.unwrap();
    node.register("counter", Counter::default().start()).unwrap().keep();
    node
}

/// An asking node that others can call.
async fn asking(name: &str, book: &PhoneBook) -> (Node, Target) {
    let node = start(name, book).await;
    book.enter(&node);
    let to = target(&node);
    (node, to)
}

#[actix::test]
async fn both_sides_say_that_a_name_is_in_use_and_where_the_two_are() {
    log_lines::keep();
    let book = PhoneBook::default();
    let (alpha_node, alpha) = asking("warned", &book).await;
    let older = start("twin", &book).await;
    book.enter(&older);
    let twin = target(&older);
    alpha_node.call(&twin, "counter", Total).await.unwrap();
    let younger = start("twin", &book).await;
    younger.call(&alpha, "counter", Total).await.unwrap();
    alpha_node.call(&twin, "counter", Total).await.unwrap();
    eventually("the younger one is sent away", || alpha_node.inbound().is_empty()).await;

    let line = log_lines::of("warned@127.0.0.1").into_iter().find(|line| line.starts_with("ERROR"));
    let line = line.expect("alpha says that there are two");
    let at = older.listening_on()[0].to_string();
    for expected in ["reason=name_in_use", "peer=twin@127.0.0.1", &at, "which came from 127.0.0.1:"] {
        assert!(line.contains(expected), "{expected:?} is not in {line}");
    }
    let numbers =
        line.split([' ', ',']).filter(|word| word.len() == 16 && u64::from_str_radix(word, 16).is_ok());
    assert_eq!(numbers.count(), 2, "both incarnations: {line}");

    eventually("and has noticed", || younger.nodes().is_empty()).await;
    let refused = younger.call(&alpha, "counter", Total).await.unwrap_err();
    assert!(
        matches!(refused.failure(), Failure::NotSent(NotSent::HandshakeFailed(why)) if why.contains("another live process")),
        "{refused}"
    );
    let lines = log_lines::of("twin@127.0.0.1");
    let told = |line: &String| line.contains("reason=name_in_use") && line.contains("peer=warned@127.0.0.1");
    assert!(lines.iter().any(told), "{lines:#?}");
}

#[actix::test]
async fn a_process_that_was_given_up_and_lives_is_turned_away_and_its_successor_is_asked_on() {
    let book = PhoneBook::default();
    let (alpha_node, alpha) = asking("alpha", &book).await;
    let older = start("beta", &book).await;
    book.enter(&older);
    let beta = target(&older);
    alpha_node.call(&beta, "counter", Add { amount: 1 }).await.unwrap();
    let younger = start("beta", &book).await;
    book.enter(&younger);
    younger.call(&alpha, "counter", Total).await.unwrap();
    assert_eq!(alpha_node.call(&beta, "counter", Total).await.unwrap(), 0, "the younger one is asked");

    let refused = older.call(&alpha, "counter", Total).await.unwrap_err();
    assert!(matches!(refused.failure(), Failure::NotSent(NotSent::HandshakeFailed(_))), "{refused}");
    younger.call(&alpha, "counter", Total).await.unwrap();
    assert_eq!(alpha_node.call(&beta, "counter", Total).await.unwrap(), 0);
    assert_eq!(alpha_node.metrics().clients_lost, 1, "one swap");
}

#[actix::test]
async fn what_a_draining_node_still_works_on_is_not_taken_from_it_by_its_successor() {
    let book = PhoneBook::default();
    let (alpha_node, alpha) = asking("alpha", &book).await;
    let older = start("beta", &book).await;
    book.enter(&older);
    let gate = gate(&older);
    let beta = target(&older);
    let running = alpha_node.async_call(&beta, "gate", PassGate { number: 7 });
    eventually("the handler runs", || gate.entered() == 1).await;
    let meanwhile = async {
        older.draining().await;
        eventually("alpha heard of it", || alpha_node.nodes().is_empty()).await;
        let younger = start("beta", &book).await;
        book.enter(&younger);
        younger.call(&alpha, "counter", Total).await.unwrap();
        gate.let_through(1);
        younger
    };
    let (finished, _younger) = futures::join!(older.shutdown(), meanwhile);
    assert!(finished);
    assert_eq!(running.await.unwrap(), 7);
    assert_eq!(alpha_node.metrics().clients_lost, 0);
    eventually("the connection to it is closed", || alpha_node.load(beta.node()) == (0, 0)).await;
}

#[actix::test]
async fn each_of_many_quick_successors_is_asked_at_once() {
    let book = PhoneBook::default();
    let (alpha_node, alpha) = asking("alpha", &book).await;
    let mut starts = Vec::new();
    for _ in 0..8 {
        let next = start("beta", &book).await;
        book.enter(&next);
        next.call(&alpha, "counter", Total).await.unwrap();
        let (beta, number) = (target(&next), starts.len() as u64);
        for key in [beta.clone(), beta.with_key("a"), beta.with_key("b")] {
            alpha_node.call(&key, "counter", Total).await.unwrap_or_else(|error| panic!("{number}: {error}"));
        }
        assert_eq!(next.call(&beta, "counter", Add { amount: number }).await.unwrap(), number);
        assert_eq!(alpha_node.call(&beta, "counter", Total).await.unwrap(), number, "it is the latest one");
        starts.push(next);
    }
}
