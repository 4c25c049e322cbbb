//! `cast`: one way, in order, never waiting; `acked` tells what became of it.

use std::time::{Duration, Instant};

use actix::prelude::*;
use farcall::error::{Failure, NotSent, Rejected};
use farcall::prelude::*;

use crate::actors::{AddPair, Diary, Note, Notes, StopYourself, Trouble, WhoAreYou};
use crate::fixture::{Add, Counter, Echo, Panic, PhoneBook, Total, builder, eventually, pair, pair_with};

#[actix::test]
async fn ten_thousand_casts_arrive_all_and_in_order_although_the_first_had_to_connect() {
    let (alpha, beta_node, beta) = pair().await;
    beta_node.register("diary", Diary::default().start()).unwrap().keep();
    for nth in 0..10_001 {
        alpha.cast(&beta, "diary", Note { from: 0, nth }).unwrap();
    }
    let notes = alpha.call(&beta, "diary", Notes).await.unwrap();
    assert_eq!(notes, (0..10_001).map(|nth| (0, nth)).collect::<Vec<_>>());
    assert_eq!(alpha.metrics().casts_lost, 0);
}

#[actix::test]
async fn a_cast_to_a_served_function_runs_it() {
    let (alpha, beta_node, beta) = pair().await;
    let (sender, mut sums) = tokio::sync::mpsc::unbounded_channel();
    beta_node
        .serve("math.add", move |pair: AddPair| {
            sender.send(pair.left + pair.right).unwrap();
            std::future::ready(0)
        })
        .unwrap();
    alpha.cast(&beta, "math.add", AddPair { left: 2, right: 3 }).unwrap();
    let sum = tokio::time::timeout(Duration::from_secs(5), sums.recv()).await.unwrap();
    assert_eq!(sum, Some(5));
}

#[actix::test]
async fn a_cast_that_is_refused_there_disturbs_nobody_and_is_counted() {
    let (alpha, beta_node, beta) = pair().await;
    alpha.cast(&beta, "nobody", Add { amount: 1 }).unwrap();
    alpha.cast(&beta, "counter", WhoAreYou).unwrap();
    assert_eq!(alpha.call(&beta, "counter", Add { amount: 1 }).await.unwrap(), 1);
    assert_eq!(beta_node.metrics().casts_refused, 2);
}

#[actix::test]
async fn a_cast_whose_handler_panics_or_stops_its_actor_leaves_the_sender_unharmed() {
    let (alpha, beta_node, beta) = pair().await;
    beta_node.register("trouble", Trouble.start()).unwrap().keep();
    beta_node.register("other", Counter::default().start()).unwrap().keep();
    alpha.cast(&beta, "counter", Panic).unwrap();
    alpha.cast(&beta, "trouble", StopYourself).unwrap();
    assert_eq!(alpha.call(&beta, "other", Add { amount: 1 }).await.unwrap(), 1);
    eventually("both names are free", || beta_node.names() == ["other"]).await;
    assert_eq!(alpha.nodes(), [beta.node().clone()]);
}

#[actix::test]
async fn a_cast_to_an_unreachable_node_returns_at_once_and_its_loss_is_counted() {
    let alpha = builder("alpha").discovery(PhoneBook::default()).start().await.unwrap();
    let nowhere: Target = "nowhere@127.0.0.1".parse().unwrap();
    let begun = Instant::now();
    alpha.cast(&nowhere, "counter", Add { amount: 1 }).unwrap();
    alpha.cast(&nowhere, "counter", Add { amount: 2 }).unwrap();
    assert!(begun.elapsed() < Duration::from_millis(500));
    eventually("both losses are counted", || alpha.metrics().casts_lost == 2).await;
    // The next one is told at once, while the backoff lasts.
    let error = alpha.cast(&nowhere, "counter", Add { amount: 3 }).unwrap_err();
    assert!(matches!(error.failure(), Failure::NotSent(NotSent::NoAddress(_))), "{error}");
    assert_eq!(alpha.metrics().casts_lost, 2, "an error is no loss");
}

#[actix::test]
async fn an_acked_cast_to_an_unreachable_node_says_that_it_was_not_sent() {
    let alpha = builder("alpha").discovery(PhoneBook::default()).start().await.unwrap();
    let nowhere: Target = "nowhere@127.0.0.1".parse().unwrap();
    let error = alpha.cast(&nowhere, "counter", Add { amount: 1 }).acked().await.unwrap_err();
    assert_eq!(error.class(), Class::NotSent);
}

#[actix::test]
async fn an_acked_cast_names_the_reason_of_a_refusal_and_accepts_what_panics_later() {
    let (alpha, _beta, beta) = pair().await;
    let error = alpha.cast(&beta, "nobody", Add { amount: 1 }).acked().await.unwrap_err();
    assert_eq!(*error.failure(), Failure::Rejected(Rejected::NoSuchActor));
    let error = alpha.cast(&beta, "counter", WhoAreYou).acked().await.unwrap_err();
    assert_eq!(*error.failure(), Failure::Rejected(Rejected::NoSuchMessage));
    // The mailbox had it: that is all that acked tells.
    alpha.cast(&beta, "counter", Panic).acked().await.unwrap();
}

#[actix::test]
async fn a_full_queue_refuses_a_cast_at_once_and_lets_a_call_wait() {
    let (alpha, _beta, beta) = pair_with(|builder| {
        builder.configure(|config| {
            config.message_bytes_max = 64 * 1024;
            config.fragment_bytes = 16 * 1024;
            config.unsent_bytes_max = 256 * 1024;
            config.reassembly_bytes_max = 256 * 1024;
        })
    })
    .await;
    let error = (0..64)
        .find_map(|_| alpha.cast(&beta, "counter", Echo { bytes: vec![1; 32 * 1024] }).err())
        .expect("nothing is written before this task gives way, so 2 MiB do not fit");
    assert!(matches!(error.failure(), Failure::NotSent(NotSent::QueueFull { .. })), "{error}");
    assert_eq!(alpha.metrics().casts_not_queued, 1);
    let echo = alpha.call(&beta, "counter", Echo { bytes: vec![2; 32 * 1024] }).await.unwrap();
    assert_eq!(echo.len(), 32 * 1024);
    assert_eq!(alpha.call(&beta, "counter", Total).await.unwrap(), 0);
}

#[actix::test]
async fn a_call_waits_for_room_no_longer_than_send_timeout() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let phone_book = PhoneBook::default();
    phone_book.put("silent@127.0.0.1".parse().unwrap(), listener.local_addr().unwrap());
    let alpha = builder("alpha").discovery(phone_book).configure(|config| config.in_flight_max = 16);
    let alpha = alpha.start().await.unwrap();
    let silent: Target = "silent@127.0.0.1".parse().unwrap();
    let _waiting: Vec<_> = (0..16).map(|_| alpha.async_call(&silent, "counter", Total)).collect();
    let begun = Instant::now();
    let call = alpha.call(&silent, "counter", Total).send_timeout(Duration::from_millis(100));
    let error = call.await.unwrap_err();
    let Failure::NotSent(NotSent::QueueFull { limit }) = error.failure() else { panic!("{error}") };
    assert_eq!((limit.name, limit.value), ("in_flight_max", 16));
    let waited = begun.elapsed();
    assert!(waited >= Duration::from_millis(100) && waited < Duration::from_secs(2), "{waited:?}");
}
