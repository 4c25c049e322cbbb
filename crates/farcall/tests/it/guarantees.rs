//! The ten guarantees, each with a test that carries its number.

use std::time::{Duration, Instant};

use actix::prelude::*;
use farcall::error::{Failed, Failure, NotSent, Rejected, Unknown};
use farcall::prelude::*;
use futures::StreamExt;

use crate::actors::{Diary, Give, Note, Notes, PassGate, Trouble, gate};
use crate::fixture::{
    Add, Block, Count, Counter, Echo, Panic, PhoneBook, Sleep, Total, builder, eventually, pair, pair_with,
    target,
};
use crate::proxy::Proxy;

/// Two nodes with a proxy between them.
async fn pair_through_proxy() -> (Node, Node, Target, Proxy) {
    let phone_book = PhoneBook::default();
    let beta_node = builder("beta").discovery(phone_book.clone()).start().await.unwrap();
    beta_node.register("counter", Counter::default().start()).unwrap().keep();
    let proxy = Proxy::to(beta_node.listening_on()[0]).await;
    phone_book.put(beta_node.name().clone(), proxy.address());
    let alpha = builder("alpha").discovery(phone_book).start().await.unwrap();
    let beta = target(&beta_node);
    (alpha, beta_node, beta, proxy)
}

#[actix::test]
async fn g1_one_way_messages_to_an_actor_arrive_in_the_order_sent() {
    let (alpha, beta_node, beta) = pair().await;
    beta_node.register("diary", Diary::default().start()).unwrap().keep();
    // Small and large, casts and calls and promises, all from one sender to one actor.
    let mut promises = Vec::new();
    for nth in 0..2_000 {
        match nth % 3 {
            0 => drop(alpha.cast(&beta, "diary", Note { from: 0, nth }).unwrap()),
            1 => promises.push(alpha.async_call(&beta, "diary", Note { from: 0, nth })),
            _ => drop(alpha.abcast([beta.clone()], "diary", Note { from: 0, nth })),
        }
    }
    for promise in promises {
        promise.await.unwrap();
    }
    let notes = alpha.call(&beta, "diary", Notes).await.unwrap();
    assert_eq!(notes, (0..2_000).map(|nth| (0, nth)).collect::<Vec<_>>());
}

#[actix::test]
async fn g2_what_arrives_over_a_connection_that_was_cut_is_a_prefix_and_nothing_comes_twice() {
    let (alpha, beta_node, beta, proxy) = pair_through_proxy().await;
    beta_node.register("diary", Diary::default().start()).unwrap().keep();
    alpha.ping(&beta).await.unwrap();
    for nth in 0..5_000 {
        // Some of these are written, some are not, when the wire is cut.
        alpha.cast(&beta, "diary", Note { from: 0, nth }).unwrap();
        if nth % 500 == 0 {
            tokio::task::yield_now().await;
        }
        if nth == 3_000 {
            proxy.cut_all();
        }
    }
    eventually("the loss is noticed", || alpha.metrics().clients_lost == 1).await;
    alpha.cast(&beta, "diary", Note { from: 1, nth: 0 }).acked().await.unwrap();
    let notes = alpha.call(&beta, "diary", Notes).await.unwrap();
    let came: Vec<_> = notes.iter().filter(|(from, _)| *from == 0).map(|(_, nth)| *nth).collect();
    assert!(came.is_sorted_by(|a, b| a < b), "in order, and none twice");
    // One run over the connection that was cut, from the first on; one over the next, up to the last.
    let runs: Vec<_> = came.chunk_by(|a, b| a + 1 == *b).collect();
    assert!(!runs.is_empty() && runs.len() <= 2, "{} runs", runs.len());
    assert_eq!(runs[0][0], 0);
    assert!(runs.len() == 1 || runs[1].last() == Some(&4_999));
    assert_eq!(notes.last(), Some(&(1, 0)), "what the next connection brings comes after all of it");
}

#[actix::test]
async fn g3_a_lost_connection_ends_every_waiting_call_at_once_with_a_true_class() {
    let (alpha, beta_node, beta, proxy) = pair_through_proxy().await;
    let gate = gate(&beta_node);
    let waiting: Vec<_> =
        (0..100).map(|number| alpha.async_call(&beta, "gate", PassGate { number })).collect();
    eventually("all of them run", || gate.entered() == 100).await;
    proxy.hold();
    // These are accepted here and can never arrive.
    let held: Vec<_> = (0..10).map(|_| alpha.async_call(&beta, "counter", Add { amount: 1 })).collect();
    proxy.cut_all();
    let begun = Instant::now();
    for call in waiting {
        let error = call.await.unwrap_err();
        assert!(matches!(error.failure(), Failure::Unknown(Unknown::LinkLost(_))), "{error}");
    }
    let mut not_sent = 0;
    for call in held {
        // Unknown if it was written, not sent if it surely was not: never anything else.
        let error = call.await.unwrap_err();
        not_sent += u64::from(error.class() == Class::NotSent);
        assert!(matches!(error.class(), Class::Unknown | Class::NotSent), "{error}");
    }
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    proxy.resume();
    let total = alpha.call(&beta, "counter", Total).await.unwrap();
    assert!(total <= 10 - not_sent, "what was told as not sent did not run");
}

#[actix::test]
async fn g3_answers_that_came_before_the_loss_are_delivered() {
    let (alpha, beta_node, beta) = pair().await;
    let answered: Vec<_> = (0..50).map(|_| alpha.async_call(&beta, "counter", Add { amount: 1 })).collect();
    assert_eq!(alpha.call(&beta, "counter", Total).await.unwrap(), 50);
    beta_node.kill_acceptors(alpha.name());
    eventually("the loss is noticed", || alpha.nodes().is_empty()).await;
    for (nth, answer) in (1..).zip(answered) {
        assert_eq!(answer.await.unwrap(), nth);
    }
}

#[actix::test]
async fn g4_a_full_queue_is_an_error_for_casts_and_a_wait_for_calls_and_never_blocks_the_thread() {
    let phone_book = PhoneBook::default();
    let small = |name: &str| {
        builder(name).discovery(phone_book.clone()).configure(|config| {
            config.message_bytes_max = 64 * 1024;
            config.fragment_bytes = 16 * 1024;
            config.unsent_bytes_max = 256 * 1024;
            config.reassembly_bytes_max = 256 * 1024;
            config.tcp.send_buffer_bytes = Some(32 * 1024);
        })
    };
    let beta_node = small("beta").start().await.unwrap();
    beta_node.register("counter", Counter::default().start()).unwrap().keep();
    let proxy = Proxy::to(beta_node.listening_on()[0]).await;
    phone_book.put(beta_node.name().clone(), proxy.address());
    let alpha = small("alpha").start().await.unwrap();
    let beta = target(&beta_node);
    alpha.ping(&beta).await.unwrap();
    proxy.hold();
    let begun = Instant::now();
    let mut sent = 0;
    let error = loop {
        match alpha.cast(&beta, "counter", Echo { bytes: vec![0; 16 * 1024] }) {
            Ok(_) => sent += 1,
            Err(error) => break error,
        }
        assert!(sent < 10_000, "the queue has no end");
    };
    let Failure::NotSent(NotSent::QueueFull { limit }) = error.failure() else { panic!("{error}") };
    assert_eq!((limit.name, limit.value), ("unsent_bytes_max", 256 * 1024));
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert!(alpha.load(beta.node()).1 <= 256 * 1024);
    // A call waits for room instead, as long as its deadline permits, and gets it when the peer reads on.
    let waiting = alpha.call(&beta, "counter", Add { amount: 1 }).into_future();
    let (answer, ()) = futures::join!(waiting, async { proxy.resume() });
    assert_eq!(answer.unwrap(), 1);
}

#[actix::test]
async fn g5_deadlines_cover_the_whole_path_and_what_is_late_is_not_started() {
    let (alpha, beta_node, beta) = pair().await;
    let arbiter = Arbiter::new();
    let slow = Counter::start_in_arbiter(&arbiter.handle(), |_| Counter::default());
    beta_node.register("slow", slow).unwrap().keep();
    alpha.cast(&beta, "slow", Block { ms: 300 }).acked().await.unwrap();
    let begun = Instant::now();
    let limit = Duration::from_millis(50);
    let late = (0..10).map(|_| alpha.call(&beta, "slow", Add { amount: 1 }).timeout(limit).into_future());
    for answer in futures::future::join_all(late).await {
        assert_eq!(*answer.unwrap_err().failure(), Failure::Unknown(Unknown::Timeout));
    }
    assert!(begun.elapsed() < Duration::from_millis(250), "told in time: {:?}", begun.elapsed());
    assert_eq!(alpha.call(&beta, "slow", Total).await.unwrap(), 0, "none of them ran afterwards");
}

#[actix::test]
async fn g6_a_request_meant_for_a_dead_incarnation_never_reaches_its_successor() {
    let phone_book = PhoneBook::default();
    let first = builder("beta").start().await.unwrap();
    first.register("counter", Counter::default().start()).unwrap().keep();
    let proxy = Proxy::to(first.listening_on()[0]).await;
    phone_book.put(first.name().clone(), proxy.address());
    let alpha = builder("alpha").discovery(phone_book.clone()).start().await.unwrap();
    let beta = target(&first);
    alpha.ping(&beta).await.unwrap();
    proxy.hold();
    let meant_for_the_first: Vec<_> =
        (0..20).map(|_| alpha.async_call(&beta, "counter", Add { amount: 1 })).collect();
    for _ in 0..20 {
        alpha.cast(&beta, "counter", Add { amount: 1 }).unwrap();
    }
    let second = builder("beta").start().await.unwrap();
    second.register("counter", Counter::default().start()).unwrap().keep();
    assert_ne!(first.incarnation(), second.incarnation());
    phone_book.enter(&second);
    proxy.cut_all();
    for request in meant_for_the_first {
        assert!(matches!(request.await.unwrap_err().class(), Class::Unknown | Class::NotSent));
    }
    assert_eq!(alpha.describe(&beta).await.unwrap().incarnation, second.incarnation().0);
    assert_eq!(alpha.call(&beta, "counter", Total).await.unwrap(), 0);
}

#[actix::test]
async fn g7_calls_in_flight_names_and_mailboxes_have_bounds_that_are_kept_and_shown() {
    let (alpha, beta_node, beta) = pair_with(|builder| {
        builder.configure(|config| {
            config.in_flight_max = 64;
            config.names_max = 8;
            config.mailbox_messages_max = 16;
            config.mailbox_patience = Duration::from_millis(5);
        })
    })
    .await;
    let arbiter = Arbiter::new();
    let slow = Counter::start_in_arbiter(&arbiter.handle(), |_| Counter::default());
    beta_node.register("slow", slow).unwrap().keep();
    alpha.cast(&beta, "slow", Block { ms: 400 }).acked().await.unwrap();
    let many: Vec<_> = (0..100).map(|_| alpha.async_call(&beta, "slow", Add { amount: 1 })).collect();
    assert_eq!(alpha.load(beta.node()).0, 64);
    let (mut full, mut busy, mut ran) = (0, 0, 0);
    for call in many {
        match call.await {
            Ok(_) => ran += 1,
            Err(error) => match error.failure() {
                Failure::NotSent(NotSent::QueueFull { .. }) => full += 1,
                Failure::Rejected(Rejected::Busy(_)) => busy += 1,
                _ => panic!("{error}"),
            },
        }
    }
    assert_eq!(full, 100 - 64, "more than in_flight_max were not taken");
    assert!((14..=17).contains(&ran) && ran + busy == 64, "{ran} ran, {busy} found the mailbox full");
    assert_eq!(alpha.call(&beta, "slow", Total).await.unwrap(), ran);
    assert_eq!(beta_node.backlogs()["slow"], 0);

    let names: Vec<_> =
        (0..10).map(|n| beta_node.register(&format!("more{n}"), Counter::default().start())).collect();
    let refused = names.iter().filter(|name| name.is_err()).count();
    assert!(refused >= 2, "{refused}");
    assert!(beta_node.metrics().names <= 8);
}

#[actix::test]
async fn g8_a_request_that_goes_wrong_disturbs_no_neighbour() {
    let (alpha, beta_node, beta) = pair_with(|builder| {
        builder.configure(|config| {
            config.message_bytes_max = 128 * 1024;
            config.fragment_bytes = 16 * 1024;
        })
    })
    .await;
    beta_node.register("trouble", Trouble.start()).unwrap().keep();
    beta_node.register("fragile", Counter::default().start()).unwrap().keep();
    let gate = gate(&beta_node);
    let neighbour = alpha.async_call(&beta, "gate", PassGate { number: 8 });
    eventually("the neighbour runs", || gate.entered() == 1).await;

    let unknown = alpha.call(&beta, "nobody", Total).await.unwrap_err();
    assert_eq!(*unknown.failure(), Failure::Rejected(Rejected::NoSuchActor));
    let info = <Add as RemoteMessage>::INFO;
    let garbage = farcall::rpc::RawMessage {
        name: info.name,
        version: info.version,
        fingerprint: info.fingerprint,
        payload: &[0xff; 16],
    };
    let undecodable = alpha.raw(&beta, "counter").call(garbage, Duration::from_secs(5)).await.unwrap_err();
    assert!(matches!(undecodable.failure(), Failure::Rejected(Rejected::Decode(_))), "{undecodable}");
    let panicked = alpha.call(&beta, "fragile", Panic).await.unwrap_err();
    assert_eq!(*panicked.failure(), Failure::Failed(Failed::Panicked));
    let oversized = alpha.call(&beta, "trouble", Give { bytes: 500_000 }).await.unwrap_err();
    assert!(matches!(oversized.failure(), Failure::Failed(Failed::ReplyTooLarge { .. })), "{oversized}");

    assert_eq!(alpha.call(&beta, "counter", Add { amount: 1 }).await.unwrap(), 1);
    gate.let_through(1);
    assert_eq!(neighbour.await.unwrap(), 8);
    assert_eq!((alpha.metrics().dials, alpha.metrics().clients_lost), (1, 0));
}

#[actix::test]
async fn g8_one_full_mailbox_does_not_delay_the_other_actors_of_a_connection_for_long() {
    let (alpha, beta_node, beta) =
        pair_with(|builder| builder.configure(|config| config.mailbox_messages_max = 8)).await;
    let arbiter = Arbiter::new();
    let slow = Counter::start_in_arbiter(&arbiter.handle(), |_| Counter::default());
    beta_node.register("slow", slow).unwrap().keep();
    alpha.cast(&beta, "slow", Block { ms: 1_000 }).acked().await.unwrap();
    let flood: Vec<_> = (0..500).map(|_| alpha.async_call(&beta, "slow", Total)).collect();
    let begun = Instant::now();
    assert_eq!(alpha.call(&beta, "counter", Add { amount: 1 }).await.unwrap(), 1);
    assert!(begun.elapsed() < Duration::from_millis(500), "{:?}", begun.elapsed());
    drop(flood);
}

#[actix::test]
async fn g10_idle_close_never_ends_a_call_or_a_stream_in_flight() {
    let idle = Duration::from_millis(100);
    let (alpha, beta_node, beta) = pair_with(|builder| {
        builder.configure(|config| {
            config.client_idle = Some(idle);
            config.acceptor_idle = Some(idle);
        })
    })
    .await;
    let gate = gate(&beta_node);
    let waiting = alpha.async_call(&beta, "gate", PassGate { number: 1 });
    assert_eq!(alpha.call(&beta.with_key(1), "counter", Sleep { ms: 500 }).await.unwrap(), 500);
    gate.let_through(1);
    assert_eq!(waiting.await.unwrap(), 1);
    // A stream that nobody reads for five idle times is in flight all the same.
    let mut items = alpha.stream(&beta, "counter", Count { to: 200_000 }).await.unwrap();
    items.next().await.unwrap().unwrap();
    alpha.call(&beta.with_key(2), "counter", Sleep { ms: 500 }).await.unwrap();
    assert_eq!(items.map(Result::unwrap).count().await, 199_999);
    assert_eq!(alpha.metrics().clients_lost, 0);
}
