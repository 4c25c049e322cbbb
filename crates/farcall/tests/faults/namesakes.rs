//! Processes that say they are the same node: a successor that comes before its predecessor was heard to die, and two that live.

use std::time::Instant;

use farcall::Driver;
use farcall::error::{Failure, Unknown};
use farcall::prelude::*;

use crate::actors::{Add, Offer, Sleep, Total};
use crate::fixture::{PhoneBook, QUICK, SLACK, TICK, driver, eventually, failure, node, node_with};
use crate::process::Peer;

/// A node that listens, and knows where beta is by this book.
async fn listening(book: &PhoneBook) -> Node {
    let any_port = [([127, 0, 0, 1], 0).into()];
    node_with("alpha", &[], |builder| {
        let builder = builder.discovery(book.clone());
        match driver() {
            Driver::Tcp => builder.listen(any_port),
            Driver::Tls => builder.listen_tls(any_port),
        }
    })
    .await
}

/// Another process that is called beta, which knows alpha; and somebody who can tell it to dial.
async fn namesake(alpha: &Node) -> (Peer, Node) {
    let at = alpha.listening_on()[0];
    let younger = Peer::start_with("beta", &format!("{QUICK}\n[nodes]\n\"{}\" = \"{at}\"\n", alpha.name()));
    let gamma = node("gamma", &[&younger]).await;
    gamma.ping(&younger.target).await.unwrap();
    (younger, gamma)
}

/// Has the younger one send something to alpha, for which it has to connect.
async fn come_in(gamma: &Node, younger: &Peer, alpha: &Node) {
    let offer = Offer { to: alpha.name().to_string(), casts: 1, bytes_each: 1 };
    gamma.call(&younger.target, "offer", offer).await.unwrap();
}

#[actix::test]
async fn a_successor_that_comes_in_ends_what_waits_for_its_silent_predecessor_and_is_asked_from_then_on() {
    let (older, book) = (Peer::start("beta"), PhoneBook::default());
    let beta = older.target.clone();
    book.put(beta.node(), older.address);
    let alpha = listening(&book).await;
    assert_eq!(alpha.call(&beta, "counter", Add { amount: 1 }).await.unwrap(), 1);
    let (younger, gamma) = namesake(&alpha).await;
    book.put(beta.node(), younger.address);

    let frozen = older.freeze();
    let waiting = alpha.async_call(&beta, "counter", Sleep { ms: 60_000 });
    come_in(&gamma, &younger, &alpha).await;
    let told = failure(waiting.await);
    assert!(
        matches!(&told, Failure::Unknown(Unknown::LinkLost(why)) if why.contains("another process")),
        "{told}"
    );
    let after = frozen.elapsed();
    assert!(after < TICK / 2 + SLACK / 2, "told after {after:?}");
    assert_eq!(
        alpha.call(&beta, "counter", Total).await.unwrap(),
        0,
        "the successor has nothing of its predecessor"
    );
}

#[actix::test]
async fn of_two_living_processes_with_one_name_the_younger_is_turned_away_after_one_swap() {
    let (older, book) = (Peer::start("beta"), PhoneBook::default());
    let beta = older.target.clone();
    book.put(beta.node(), older.address);
    let alpha = listening(&book).await;
    assert_eq!(alpha.call(&beta, "counter", Add { amount: 1 }).await.unwrap(), 1);
    let (younger, gamma) = namesake(&alpha).await;

    come_in(&gamma, &younger, &alpha).await;
    eventually("the older one is given up", || std::future::ready(alpha.metrics().clients_lost == 1)).await;
    // It is asked again, and answers: there are two.
    assert_eq!(alpha.call(&beta, "counter", Add { amount: 1 }).await.unwrap(), 2);
    eventually("the younger one is sent away", || std::future::ready(alpha.inbound().is_empty())).await;
    let refused = alpha.metrics().handshakes_failed;
    let begun = Instant::now();
    while alpha.metrics().handshakes_failed < refused + 3 {
        come_in(&gamma, &younger, &alpha).await;
        assert!(
            alpha.call(&beta, "counter", Add { amount: 1 }).await.is_ok(),
            "the older one is served all the time"
        );
        assert!(begun.elapsed() < 20 * TICK, "it is not refused");
    }
    assert_eq!(alpha.metrics().clients_lost, 1, "one swap, and no more");
    assert!(alpha.inbound().is_empty());

    // The older one dies: the younger one may have the name.
    drop(older);
    book.put(beta.node(), younger.address);
    eventually("the younger one is asked", || async { alpha.call(&beta, "counter", Total).await.is_ok() })
        .await;
    eventually("and let in", || async {
        come_in(&gamma, &younger, &alpha).await;
        alpha.inbound() == [beta.node().clone()]
    })
    .await;
}
