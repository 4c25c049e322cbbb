//! A node whose arbiter is busy is not dead.

use std::sync::mpsc;
use std::time::Duration;

use actix::prelude::*;
use farcall::prelude::*;

use crate::fixture::{Block, Counter, Total, builder};

fn quick(config: &mut Config) {
    config.tick = Duration::from_millis(400);
    config.write_stall_timeout = Duration::from_secs(2);
}

/// Two nodes on a thread each, and the target of the second.
fn on_two_threads(test: impl AsyncFnOnce(Node, Target) + Send + 'static) {
    on_two_threads_with(quick, test);
}

/// As [`on_two_threads`], both with these settings.
fn on_two_threads_with(quick: fn(&mut Config), test: impl AsyncFnOnce(Node, Target) + Send + 'static) {
    let (sender, receiver) = mpsc::channel();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let beta = std::thread::spawn(move || {
        System::new().block_on(async move {
            let node = builder("beta").configure(quick).start().await.unwrap();
            node.register("counter", Counter::default().start()).unwrap().keep();
            sender.send(node.listening_on()[0]).unwrap();
            let _ = stopped.await;
        });
    });
    let address = receiver.recv().unwrap();
    System::new().block_on(async move {
        let alpha = builder("alpha").configure(quick).node("beta@127.0.0.1", address.to_string());
        let alpha = alpha.start().await.unwrap();
        test(alpha, "beta@127.0.0.1".parse().unwrap()).await;
        let _ = stop.send(());
    });
    beta.join().unwrap();
}

#[test]
fn a_handler_that_keeps_its_arbiter_busy_for_many_ticks_costs_no_connection() {
    on_two_threads(async |alpha, beta| {
        let busy = alpha.async_call(&beta, "counter", Block { ms: 2000 });
        let behind = alpha.async_call(&beta, "counter", Total);
        busy.await.unwrap();
        assert_eq!(behind.await.unwrap(), 0);
        assert_eq!(alpha.metrics().clients_lost, 0);
        assert_eq!(alpha.metrics().dials, 1);
    });
}

#[test]
fn a_caller_whose_own_arbiter_was_busy_for_many_ticks_keeps_its_connection() {
    on_two_threads(async |alpha, beta| {
        alpha.call(&beta, "counter", Total).await.unwrap();
        std::thread::sleep(Duration::from_millis(2000));
        assert_eq!(alpha.call(&beta, "counter", Total).await.unwrap(), 0);
        assert_eq!(alpha.metrics().clients_lost, 0);
        assert_eq!(alpha.metrics().dials, 1);
    });
}

#[test]
fn a_node_whose_arbiter_is_busy_takes_no_more_connections_than_it_may_have() {
    let few = |config: &mut Config| config.acceptors_max = 3;
    on_two_threads_with(few, async |alpha, beta| {
        alpha.call(&beta, "counter", Total).await.unwrap();
        let busy = alpha.async_call(&beta, "counter", Block { ms: 500 });
        // They prove themselves while nobody can seat them, one after the other.
        let (mut taken, mut refused) = (Vec::new(), Vec::new());
        for key in 0..6 {
            let up = alpha.connections(beta.node());
            let mut promise = alpha.async_call(&beta.with_key(key), "counter", Total);
            loop {
                if let Some(told) = promise.nb_yield(Duration::from_millis(1)).await {
                    refused.push(told.unwrap_err().to_string());
                    break;
                }
                if alpha.connections(beta.node()) > up {
                    taken.push(promise);
                    break;
                }
            }
        }
        busy.await.unwrap();
        // Whoever comes in the very moment in which another one is let in may not know of it.
        assert!((2..=3).contains(&taken.len()), "{} taken, {refused:?}", taken.len());
        assert!(refused.iter().all(|told| told.contains("busy")), "{refused:?}");
        for promise in taken {
            assert_eq!(promise.await.unwrap(), 0);
        }
    });
}
