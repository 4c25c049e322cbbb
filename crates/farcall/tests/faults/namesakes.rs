//! Processes that say they are the same node: a successor that comes before its predecessor was heard to die, and two that live.

use std::time::Instant;

use actix::Actor;
use farcall::Driver;
use farcall::error::{Failure, NotSent, Unknown};
use farcall::prelude::*;

use crate::actors::{Add, Ask, Counter, Echo, Sleep, Total};
use crate::fixture::{PhoneBook, QUICK, SLACK, TICK, driver, eventually, failure, node, node_with};
use crate::process::Peer;

/// A node that listens and can be called, and knows where beta is by this book.
async fn listening(book: &PhoneBook) -> Node {
    let any_port = [([127, 0, 0, 1], 0).into()];
    let alpha = node_with("alpha", &[], |builder| {
        let builder = builder.discovery(book.clone());
        match driver() {
            Driver::Tcp => builder.listen(any_port),
            Driver::Tls => builder.listen_tls(any_port),
        }
    })
    .await;
    alpha.register("counter", Counter::default().start()).unwrap().keep();
    alpha
}

/// A process that is called beta and knows alpha; and somebody who can tell it to dial.
async fn beta_process(alpha: &Node) -> (Peer, Node) {
    let at = alpha.listening_on()[0];
    let beta = Peer::start_with("beta", &format!("{QUICK}\n[nodes]\n\"{}\" = \"{at}\"\n", alpha.name()));
    let gamma = node("gamma", &[&beta]).await;
    gamma.ping(&beta.target).await.unwrap();
    (beta, gamma)
}

/// Has a process call alpha, for which it has to connect; gives what became of that, nothing if it went well.
async fn come_in(gamma: &Node, beta: &Peer, alpha: &Node) -> String {
    gamma.call(&beta.target, "ask", Ask { to: alpha.name().to_string() }).await.unwrap()
}

#[actix::test]
async fn a_successor_that_comes_in_ends_what_waits_for_its_silent_predecessor_and_is_asked_from_then_on() {
    let book = PhoneBook::default();
    let alpha = listening(&book).await;
    let (older, older_told) = beta_process(&alpha).await;
    let beta = older.target.clone();
    book.put(beta.node(), older.address);
    let keyed = beta.with_key("a lane of its own");
    for lane in [&beta, &keyed] {
        alpha.call(lane, "counter", Add { amount: 1 }).await.unwrap();
    }
    let (younger, gamma) = beta_process(&alpha).await;
    book.put(beta.node(), younger.address);

    let frozen = older.freeze();
    let waiting = [&beta, &keyed].map(|lane| alpha.async_call(lane, "counter", Sleep { ms: 60_000 }));
    // More than any socket takes, and something that has to wait behind it.
    let too_much = alpha.async_call(&beta, "other", Echo { bytes: vec![7; 12 << 20] });
    let behind = alpha.async_call(&beta, "other", Total);
    eventually("the socket is full", || {
        let (requests, bytes) = alpha.load(beta.node());
        std::future::ready(requests >= 3 && (1..12 << 20).contains(&bytes))
    })
    .await;
    assert_eq!(come_in(&gamma, &younger, &alpha).await, "");
    for waiting in waiting {
        let told = failure(waiting.await);
        assert!(
            matches!(&told, Failure::Unknown(Unknown::LinkLost(why)) if why.contains("another process")),
            "{told}"
        );
    }
    let told = failure(too_much.await);
    assert!(matches!(told, Failure::Unknown(Unknown::LinkLost(_))), "{told}");
    let told = failure(behind.await);
    assert!(matches!(told, Failure::NotSent(NotSent::Disconnected(_))), "{told}");
    let after = frozen.elapsed();
    assert!(after < TICK / 2 + SLACK / 2, "told after {after:?}");
    for lane in [&beta, &keyed] {
        let total = alpha.call(lane, "counter", Total).await.unwrap();
        assert_eq!(total, 0, "the successor has nothing of its predecessor");
    }

    // Whoever wakes up again finds its place taken.
    older.thaw();
    let refused = come_in(&older_told, &older, &alpha).await;
    assert!(refused.starts_with("NotSent") && refused.contains("another live process"), "{refused}");
    assert_eq!(come_in(&gamma, &younger, &alpha).await, "");
    assert_eq!(alpha.call(&beta, "counter", Total).await.unwrap(), 0);
    assert_eq!(alpha.metrics().clients_lost, 2, "both lanes, once");
}

#[actix::test]
async fn of_two_living_processes_with_one_name_the_younger_is_turned_away_after_one_swap() {
    let book = PhoneBook::default();
    let alpha = listening(&book).await;
    let (older, older_told) = beta_process(&alpha).await;
    let beta = older.target.clone();
    book.put(beta.node(), older.address);
    assert_eq!(alpha.call(&beta, "counter", Add { amount: 1 }).await.unwrap(), 1);
    assert_eq!(come_in(&older_told, &older, &alpha).await, "");
    let (younger, gamma) = beta_process(&alpha).await;

    assert_eq!(come_in(&gamma, &younger, &alpha).await, "");
    eventually("the older one is given up", || std::future::ready(alpha.metrics().clients_lost == 1)).await;
    // It is asked again, and answers: there are two.
    assert_eq!(alpha.call(&beta, "counter", Add { amount: 1 }).await.unwrap(), 2);
    eventually("the younger one is sent away", || std::future::ready(alpha.inbound().len() == 1)).await;
    let refused = alpha.metrics().handshakes_failed;
    let begun = Instant::now();
    while alpha.metrics().handshakes_failed < refused + 3 {
        let told = come_in(&gamma, &younger, &alpha).await;
        // The first time its connection may be breaking just now.
        let refused = told.starts_with("NotSent") && told.contains("another live process");
        assert!(refused || alpha.metrics().handshakes_failed == 0, "{told}");
        assert_eq!(come_in(&older_told, &older, &alpha).await, "", "the older one is served all the time");
        assert!(alpha.call(&beta, "counter", Add { amount: 1 }).await.is_ok(), "and called");
        assert!(begun.elapsed() < 20 * TICK, "it is not refused");
    }
    assert_eq!(alpha.metrics().clients_lost, 1, "one swap, and no more");
    assert_eq!(alpha.inbound().len(), 1);

    // The older one dies: the younger one may have the name.
    drop(older);
    book.put(beta.node(), younger.address);
    eventually("the younger one is asked", || async { alpha.call(&beta, "counter", Total).await.is_ok() })
        .await;
    eventually("and let in", || async { come_in(&gamma, &younger, &alpha).await.is_empty() }).await;
    assert_eq!(alpha.inbound(), [beta.node().clone()]);
}
