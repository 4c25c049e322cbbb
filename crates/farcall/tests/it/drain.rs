//! Shutting down: what is in flight finishes, what is new is refused, and peers are told.

use std::time::{Duration, Instant};

use farcall::error::{Failure, NotSent, Rejected};
use farcall::prelude::*;
use futures::StreamExt;

use crate::actors::{PassGate, gate};
use crate::fixture::{
    Add, Count, PhoneBook, Total, builder, eventually, named, nodes_with, on, pair, pair_with, target,
};

#[actix::test]
async fn calls_in_flight_finish_and_new_ones_are_refused_as_draining() {
    let (alpha, beta_node, beta) = pair().await;
    let gate = gate(&beta_node);
    let running = alpha.async_call(&beta, "gate", PassGate { number: 1 });
    eventually("the handler runs", || gate.entered() == 1).await;
    let meanwhile = async {
        beta_node.draining().await;
        assert!(beta_node.is_draining());
        eventually("alpha heard of it", || alpha.nodes().is_empty()).await;
        let error = alpha.call(&beta, "counter", Add { amount: 1 }).await.unwrap_err();
        assert!(!error.may_have_run(), "{error}");
        let draining = matches!(
            error.failure(),
            Failure::NotSent(NotSent::Draining(_)) | Failure::Rejected(Rejected::Draining)
        );
        assert!(draining, "{error}");
        gate.let_through(1);
    };
    let (finished, ()) = futures::join!(beta_node.shutdown(), meanwhile);
    assert!(finished);
    assert_eq!(running.await.unwrap(), 1);
    eventually("its connections are closed", || beta_node.inbound().is_empty()).await;
}

#[actix::test]
async fn a_draining_node_sends_nothing_new_itself() {
    let (alpha, beta_node, beta) = pair().await;
    alpha.call(&beta, "counter", Total).await.unwrap();
    assert!(alpha.shutdown().await);
    for target in [&beta, &beta.with_key("key")] {
        let error = alpha.call(target, "counter", Total).await.unwrap_err();
        assert!(matches!(error.failure(), Failure::NotSent(NotSent::Draining(_))), "{error}");
        let error = alpha.cast(target, "counter", Add { amount: 1 }).unwrap_err();
        assert!(matches!(error.failure(), Failure::NotSent(NotSent::Draining(_))), "{error}");
    }
    assert_eq!(beta_node.metrics().delivered, 1);
}

#[actix::test]
async fn casts_queued_before_the_shutdown_of_their_sender_arrive() {
    let (alpha, beta_node, beta) = pair().await;
    alpha.ping(&beta).await.unwrap();
    for _ in 0..1_000 {
        alpha.cast(&beta, "counter", Add { amount: 1 }).unwrap();
    }
    assert!(alpha.shutdown().await);
    assert_eq!(beta_node.call(&beta, "counter", Total).await.unwrap(), 1_000);
}

#[actix::test]
async fn a_drain_gives_up_after_its_timeout_and_the_caller_is_told() {
    let (alpha, beta_node, beta) =
        pair_with(|builder| builder.configure(|config| config.drain_timeout = Duration::from_millis(200)))
            .await;
    let gate = gate(&beta_node);
    let stuck = alpha.async_call(&beta, "gate", PassGate { number: 1 });
    eventually("the handler runs", || gate.entered() == 1).await;
    let begun = Instant::now();
    assert!(!beta_node.shutdown().await, "not all of it was finished");
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(stuck.await.unwrap_err().class(), Class::Unknown);
}

#[actix::test]
async fn a_stream_is_in_flight_until_its_last_item() {
    let (alpha, beta_node, beta) =
        pair_with(|builder| builder.configure(|config| config.stream_window_bytes = 4 * 1024)).await;
    let mut items = alpha.stream(&beta, "counter", Count { to: 5_000 }).await.unwrap();
    items.next().await.unwrap().unwrap();
    let read = async { items.map(Result::unwrap).count().await };
    let (finished, rest) = futures::join!(beta_node.shutdown(), read);
    assert!(finished);
    assert_eq!(rest, 4_999);
}

#[actix::test]
async fn the_port_of_a_node_that_was_shut_down_is_free_for_its_successor() {
    let phone_book = PhoneBook::default();
    let nodes = nodes_with(1, |builder| builder.discovery(phone_book.clone())).await;
    let first = builder("beta").start().await.unwrap();
    phone_book.enter(&first);
    let beta = target(&first);
    nodes[0].ping(&beta).await.unwrap();
    let address = first.listening_on()[0];
    assert!(first.shutdown().await);
    let second = loop {
        match on(named("beta@127.0.0.1"), [address]).start().await {
            Ok(node) => break node,
            // The listener closes a moment after the shutdown.
            Err(error) => assert!(error.to_string().contains("is another node running there?"), "{error}"),
        }
        tokio::task::yield_now().await;
    };
    assert_ne!(first.incarnation(), second.incarnation());
    let deadline = Instant::now() + Duration::from_secs(5);
    while nodes[0].ping(&beta).await.is_err() {
        assert!(Instant::now() < deadline, "the successor is not found");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[actix::test]
async fn a_node_that_is_shut_down_twice_is_shut_down() {
    let (alpha, ..) = pair().await;
    assert!(alpha.shutdown().await);
    assert!(alpha.shutdown().await);
    assert!(alpha.listening_on().is_empty());
}

#[test]
fn a_node_whose_system_ends_without_a_shutdown_leaves_its_port() {
    let address = actix::System::new().block_on(async {
        let node = builder("beta").start().await.unwrap();
        node.listening_on()[0]
    });
    let deadline = Instant::now() + Duration::from_secs(5);
    while std::net::TcpListener::bind(address).is_err() {
        assert!(Instant::now() < deadline, "something still listens on {address}");
        std::thread::yield_now();
    }
}
