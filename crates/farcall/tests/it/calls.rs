//! `call`: values, errors in their four classes, deadlines, and requests that were given up.

use std::time::{Duration, Instant};

use actix::prelude::*;
use farcall::error::{Failed, Failure, NotSent, Rejected, Unknown};
use farcall::prelude::*;
use tokio::net::TcpListener;

use crate::actors::{
    AddPair, Divide, Forget, Give, PanicLater, PassGate, StopYourself, Trouble, WhoAreYou, gate, serve_who,
};
use crate::fixture::{
    Add, Block, Counter, Echo, Panic, PhoneBook, Sleep, Total, builder, eventually, nodes, pair, pair_with,
    target,
};

#[actix::test]
async fn a_served_function_is_called_and_its_value_comes_back() {
    let (alpha, beta_node, beta) = pair().await;
    beta_node.serve("math.add", |pair: AddPair| async move { pair.left + pair.right }).unwrap();
    assert_eq!(alpha.call(&beta, "math.add", AddPair { left: 2, right: 3 }).await.unwrap(), 5);
}

#[actix::test]
async fn the_node_that_answers_is_the_one_that_was_called() {
    let nodes = nodes(4).await;
    nodes.iter().for_each(serve_who);
    for node in &nodes[1..] {
        let answer = nodes[0].call(&target(node), "who", WhoAreYou).await.unwrap();
        assert_eq!(answer, node.name().to_string());
    }
    let names: Vec<_> = nodes[1..].iter().map(|node| node.name().clone()).collect();
    assert_eq!(nodes[0].nodes(), names);
}

#[actix::test]
async fn a_call_to_an_unknown_name_or_of_an_unknown_message_is_rejected_with_the_reason() {
    let (alpha, _beta, beta) = pair().await;
    let error = alpha.call(&beta, "nobody", Total).await.unwrap_err();
    assert_eq!(*error.failure(), Failure::Rejected(Rejected::NoSuchActor));
    let error = alpha.call(&beta, "counter", WhoAreYou).await.unwrap_err();
    assert_eq!(*error.failure(), Failure::Rejected(Rejected::NoSuchMessage));
    assert!(!error.may_have_run());
    assert_eq!(alpha.call(&beta, "counter", Add { amount: 1 }).await.unwrap(), 1);
}

#[actix::test]
async fn a_handlers_own_error_is_a_value() {
    let (alpha, beta_node, beta) = pair().await;
    beta_node.register("trouble", Trouble.start()).unwrap().keep();
    let whole = alpha.call(&beta, "trouble", Divide { dividend: 6, divisor: 3 }).await.unwrap();
    assert_eq!(whole, Ok(2));
    let refused = alpha.call(&beta, "trouble", Divide { dividend: 6, divisor: 0 }).await.unwrap();
    assert_eq!(refused, Err("division by zero".to_owned()));
}

#[actix::test]
async fn an_actor_that_stops_while_it_handles_a_call_fails_that_call_at_once() {
    let (alpha, beta_node, beta) = pair().await;
    beta_node.register("trouble", Trouble.start()).unwrap().keep();
    let begun = Instant::now();
    let error = alpha.call(&beta, "trouble", Forget).await.unwrap_err();
    assert_eq!(*error.failure(), Failure::Failed(Failed::ActorStopped));
    assert!(error.may_have_run());
    assert!(begun.elapsed() < Duration::from_secs(5));
    let error = alpha.call(&beta, "trouble", Give { bytes: 1 }).await.unwrap_err();
    assert_eq!(*error.failure(), Failure::Rejected(Rejected::NoSuchActor));
}

#[actix::test]
async fn requests_behind_one_that_stopped_the_actor_are_surely_not_run() {
    let (alpha, beta_node, beta) = pair().await;
    beta_node.register("trouble", Trouble.start()).unwrap().keep();
    alpha.ping(&beta).await.unwrap();
    // Both travel in one write, and so reach the actor in one batch.
    let _stops = alpha.async_call(&beta, "trouble", StopYourself);
    let behind = alpha.async_call(&beta, "trouble", Divide { dividend: 6, divisor: 3 });
    let error = behind.await.unwrap_err();
    assert_eq!(*error.failure(), Failure::Rejected(Rejected::ActorStopped));
}

#[actix::test]
async fn a_function_that_panics_fails_its_call_and_stays() {
    let (alpha, beta_node, beta) = pair().await;
    beta_node
        .serve("panics", |message: PanicLater| async move {
            tokio::task::yield_now().await;
            assert_ne!(message.at, 0, "on purpose");
            message.at
        })
        .unwrap();
    let error = alpha.call(&beta, "panics", PanicLater { at: 0 }).await.unwrap_err();
    assert_eq!(*error.failure(), Failure::Failed(Failed::Panicked));
    assert_eq!(alpha.call(&beta, "panics", PanicLater { at: 1 }).await.unwrap(), 1);
}

#[actix::test]
async fn no_answer_in_time_is_an_unknown_outcome_and_the_late_answer_is_dropped() {
    let (alpha, beta_node, beta) = pair().await;
    let gate = gate(&beta_node);
    alpha.ping(&beta).await.unwrap();
    let begun = Instant::now();
    let late = alpha.call(&beta, "gate", PassGate { number: 1 }).timeout(Duration::from_millis(100)).await;
    let error = late.unwrap_err();
    assert_eq!(*error.failure(), Failure::Unknown(Unknown::Timeout));
    assert!(error.may_have_run());
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    gate.let_through(2);
    assert_eq!(alpha.call(&beta, "gate", PassGate { number: 2 }).await.unwrap(), 2);
    assert_eq!(alpha.call(&beta, "counter", Add { amount: 3 }).await.unwrap(), 3);
}

#[actix::test]
async fn three_calls_at_once_each_get_their_own_answer_as_they_finish() {
    let (alpha, _beta, beta) = pair().await;
    let finished = std::cell::RefCell::new(Vec::new());
    let call = |ms: u64, limit_ms: u64| {
        let (alpha, beta, finished) = (&alpha, &beta, &finished);
        async move {
            let limit = Duration::from_millis(limit_ms);
            let answer = alpha.call(beta, "counter", Sleep { ms }).timeout(limit).await;
            finished.borrow_mut().push(ms);
            answer
        }
    };
    let (slow, late, quick) = futures::join!(call(250, 5_000), call(10_000, 100), call(5, 5_000));
    assert_eq!((slow.unwrap(), quick.unwrap()), (250, 5));
    assert_eq!(late.unwrap_err().class(), Class::Unknown);
    assert_eq!(*finished.borrow(), [5, 10_000, 250]);
}

#[actix::test]
async fn a_node_that_refuses_connections_and_one_without_address_are_told_apart() {
    let phone_book = PhoneBook::default();
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    phone_book.put("gone@127.0.0.1".parse().unwrap(), closed);
    let alpha = builder("alpha").discovery(phone_book).start().await.unwrap();
    let error = alpha.call(&"gone@127.0.0.1".parse().unwrap(), "counter", Total).await.unwrap_err();
    assert!(matches!(error.failure(), Failure::NotSent(NotSent::ConnectFailed(_))), "{error}");
    let error = alpha.call(&"unknown@127.0.0.1".parse().unwrap(), "counter", Total).await.unwrap_err();
    assert!(matches!(error.failure(), Failure::NotSent(NotSent::NoAddress(_))), "{error}");
    assert!(alpha.nodes().is_empty());
}

#[actix::test]
async fn a_call_that_never_left_before_its_deadline_was_not_sent() {
    // Accepts, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let phone_book = PhoneBook::default();
    phone_book.put("silent@127.0.0.1".parse().unwrap(), silent.local_addr().unwrap());
    let alpha = builder("alpha").discovery(phone_book).start().await.unwrap();
    let begun = Instant::now();
    let silent: Target = "silent@127.0.0.1".parse().unwrap();
    let error = alpha.call(&silent, "counter", Total).timeout(Duration::from_millis(100)).await.unwrap_err();
    assert_eq!(*error.failure(), Failure::NotSent(NotSent::DeadlineBeforeWrite));
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[actix::test]
async fn an_error_names_message_actor_and_node() {
    let (alpha, _beta, beta) = pair().await;
    let error = alpha.call(&beta, "nobody", Add { amount: 77_777 }).await.unwrap_err();
    let expected = "Add to nobody on n1@127.0.0.1: rejected: no actor of that name is registered there";
    assert_eq!(error.to_string(), expected);
    assert_eq!((error.actor(), error.message(), error.target()), ("nobody", "Add", &beta));
}

#[actix::test]
async fn a_request_that_cannot_be_is_refused_here() {
    let (alpha, _beta, beta) = pair().await;
    let long = "x".repeat(256);
    for actor in ["", long.as_str()] {
        let error = alpha.call(&beta, actor, Total).await.unwrap_err();
        assert!(matches!(error.failure(), Failure::NotSent(NotSent::BadRequest(_))), "{error}");
    }
    let error = alpha.call(&beta, "counter", Total).require_version("one and a bit").await.unwrap_err();
    assert!(matches!(error.failure(), Failure::NotSent(NotSent::BadRequest(_))), "{error}");
    assert!(alpha.nodes().is_empty(), "nothing was dialled for it");
}

#[actix::test]
async fn a_message_and_a_reply_over_the_limit_are_refused_with_their_size() {
    let (alpha, beta_node, beta) = pair_with(|builder| {
        builder.configure(|config| {
            config.message_bytes_max = 128 * 1024;
            config.fragment_bytes = 16 * 1024;
        })
    })
    .await;
    beta_node.register("trouble", Trouble.start()).unwrap().keep();
    alpha.ping(&beta).await.unwrap();
    let error = alpha.call(&beta, "counter", Echo { bytes: vec![0; 200_000] }).await.unwrap_err();
    let Failure::NotSent(NotSent::TooLarge { bytes, limit }) = error.failure() else { panic!("{error}") };
    assert!(*bytes > 200_000 && *limit == 128 * 1024);
    let error = alpha.call(&beta, "trouble", Give { bytes: 200_000 }).await.unwrap_err();
    let Failure::Failed(Failed::ReplyTooLarge { bytes, .. }) = error.failure() else { panic!("{error}") };
    assert!(*bytes > 200_000);
    assert_eq!(alpha.call(&beta, "trouble", Give { bytes: 100_000 }).await.unwrap().len(), 100_000);
}

#[actix::test]
async fn a_call_given_up_in_the_peers_mailbox_is_not_started() {
    let (alpha, beta_node, beta) = pair().await;
    let arbiter = Arbiter::new();
    let slow = Counter::start_in_arbiter(&arbiter.handle(), |_| Counter::default());
    beta_node.register("slow", slow).unwrap().keep();
    let blocks = alpha.async_call(&beta, "slow", Block { ms: 200 });
    // The block has reached the actor, so what comes next waits in the mailbox.
    alpha.call(&beta, "counter", Total).await.unwrap();
    drop(alpha.async_call(&beta, "slow", Add { amount: 1 }));
    let kept = alpha.async_call(&beta, "slow", Add { amount: 10 });
    let expired = alpha.call(&beta, "slow", Add { amount: 100 }).timeout(Duration::from_millis(20)).await;
    assert_eq!(expired.unwrap_err().class(), Class::Unknown);
    blocks.await.unwrap();
    assert_eq!(kept.await.unwrap(), 10, "neither the dropped nor the expired one ran");
}

#[actix::test]
async fn a_call_dropped_before_the_connection_is_up_never_reaches_the_peer() {
    let (alpha, beta_node, beta) = pair().await;
    drop(alpha.async_call(&beta, "counter", Add { amount: 1 }));
    assert_eq!(alpha.call(&beta, "counter", Add { amount: 10 }).await.unwrap(), 10);
    assert_eq!(alpha.load(beta.node()), (0, 0));
    assert_eq!(beta_node.metrics().delivered, 1);
}

#[actix::test]
async fn a_panic_in_an_actor_tells_its_caller_and_takes_the_name_out() {
    let (alpha, beta_node, beta) = pair().await;
    let error = alpha.call(&beta, "counter", Panic).await.unwrap_err();
    assert_eq!(*error.failure(), Failure::Failed(Failed::Panicked));
    eventually("the name is free", || beta_node.names().is_empty()).await;
    beta_node.register("counter", Counter::default().start()).unwrap().keep();
    assert_eq!(alpha.call(&beta, "counter", Add { amount: 1 }).await.unwrap(), 1);
}

#[actix::test]
async fn a_peer_that_does_not_answer_the_dial_costs_no_more_than_connect_timeout() {
    // An address of TEST-NET-1: no packet to it is ever answered, wherever the test runs.
    let alpha = builder("alpha")
        .node("nowhere@192.0.2.1", "192.0.2.1:5369")
        .configure(|config| config.connect_timeout = Duration::from_millis(200))
        .start()
        .await
        .unwrap();
    let nowhere: Target = "nowhere@192.0.2.1".parse().unwrap();
    let begun = Instant::now();
    let error = alpha.call(&nowhere, "counter", Total).await.unwrap_err();
    assert!(matches!(error.failure(), Failure::NotSent(NotSent::ConnectFailed(_))), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(2));
    assert!(alpha.nodes().is_empty());
    assert_eq!(alpha.metrics().clients_up, 0);
}
