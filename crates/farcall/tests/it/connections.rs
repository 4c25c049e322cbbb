//! The life of connections: made when needed, closed when idle, replaced after death, probed while quiet.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use actix::Actor;
use farcall::error::{Failure, NotSent, Unknown};
use farcall::prelude::*;

use crate::actors::{PassGate, gate};
use crate::fixture::{
    Add, PhoneBook, Sleep, Total, builder, eventually, nodes, nodes_with, pair, pair_with, target,
};
use crate::proxy::Proxy;

const IDLE: Duration = Duration::from_millis(150);

#[actix::test]
async fn a_client_that_nobody_uses_closes_and_the_next_call_connects_again() {
    let (alpha, beta_node, beta) =
        pair_with(|builder| builder.configure(|config| config.client_idle = Some(IDLE))).await;
    for target in [&beta, &beta.with_key("key")] {
        assert_eq!(alpha.call(target, "counter", Total).await.unwrap(), 0);
        assert_eq!(alpha.connections(beta.node()), 1);
        eventually("the client closed", || alpha.nodes().is_empty()).await;
        eventually("the acceptor closed too", || beta_node.inbound().is_empty()).await;
    }
    assert_eq!(alpha.metrics().clients_lost, 0, "an idle close is no loss");
    assert_eq!(alpha.call(&beta, "counter", Add { amount: 1 }).await.unwrap(), 1);
}

#[actix::test]
async fn an_acceptor_that_nobody_uses_asks_its_client_to_close() {
    let (alpha, beta_node, beta) =
        pair_with(|builder| builder.configure(|config| config.acceptor_idle = Some(IDLE))).await;
    for target in [&beta, &beta.with_key("key")] {
        alpha.call(target, "counter", Total).await.unwrap();
        eventually("the acceptor closed", || beta_node.inbound().is_empty()).await;
        eventually("the client went too", || alpha.nodes().is_empty()).await;
    }
    assert_eq!(alpha.metrics().clients_lost, 0);
    assert_eq!(alpha.call(&beta, "counter", Add { amount: 1 }).await.unwrap(), 1);
}

#[actix::test]
async fn an_authenticated_peer_that_never_asks_is_closed_too() {
    let (alpha, beta_node, beta) =
        pair_with(|builder| builder.configure(|config| config.acceptor_idle = Some(IDLE))).await;
    // A ping is no request.
    alpha.ping(&beta).await.unwrap();
    eventually("the acceptor closed", || beta_node.inbound().is_empty()).await;
    assert!(alpha.nodes().is_empty());
}

#[actix::test]
async fn acceptors_that_are_killed_take_the_clients_with_them_and_calls_go_on_afterwards() {
    let (alpha, beta_node, beta) = pair().await;
    alpha.call(&beta, "counter", Total).await.unwrap();
    assert_eq!(beta_node.kill_acceptors(alpha.name()), 1);
    eventually("the client noticed", || alpha.nodes().is_empty()).await;
    eventually("no acceptor is left", || beta_node.inbound().is_empty()).await;
    assert_eq!(alpha.metrics().clients_lost, 1);
    assert_eq!(alpha.call(&beta, "counter", Add { amount: 1 }).await.unwrap(), 1);
}

#[actix::test]
async fn in_both_directions_there_are_two_connections_and_each_dies_alone() {
    let (alpha, beta_node, beta) = pair().await;
    let alpha_target = target(&alpha);
    alpha.call(&beta, "counter", Total).await.unwrap();
    beta_node.call(&alpha_target, "counter", Total).await.unwrap();
    assert_eq!((alpha.inbound().len(), beta_node.inbound().len()), (1, 1));
    assert_eq!(alpha.kill_acceptors(beta_node.name()), 1);
    eventually("beta's client is gone", || beta_node.nodes().is_empty()).await;
    assert_eq!(alpha.nodes(), [beta.node().clone()]);
    assert_eq!(alpha.call(&beta, "counter", Add { amount: 1 }).await.unwrap(), 1);
}

#[actix::test]
async fn every_peer_whose_acceptor_is_closed_leaves_the_list_of_nodes() {
    let nodes = nodes(4).await;
    let peers: Vec<_> = nodes[1..].iter().map(target).collect();
    nodes[0].multicall(&peers, "counter", Total).await;
    assert_eq!(nodes[0].nodes().len(), 3);
    for node in &nodes[1..] {
        assert_eq!(node.inbound().len(), 1);
        assert_eq!(node.kill_acceptors(nodes[0].name()), 1);
    }
    eventually("no peer is left", || nodes[0].nodes().is_empty()).await;
}

#[actix::test]
async fn a_client_that_died_tells_its_callers_and_the_next_call_gets_a_new_one() {
    let (alpha, beta_node, beta) = pair().await;
    let gate = gate(&beta_node);
    let waiting = alpha.async_call(&beta, "gate", PassGate { number: 1 });
    eventually("the handler runs", || gate.entered() == 1).await;
    alpha.kill_clients(beta.node());
    let error = waiting.await.unwrap_err();
    assert!(matches!(error.failure(), Failure::Unknown(Unknown::LinkLost(_))), "{error}");
    assert_eq!(alpha.call(&beta, "counter", Add { amount: 1 }).await.unwrap(), 1);
    eventually("only the new connection is left", || beta_node.inbound().len() == 1).await;
}

#[actix::test]
async fn a_client_killed_while_it_dials_tells_its_callers_that_nothing_was_sent() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let phone_book = PhoneBook::default();
    phone_book.put("silent@127.0.0.1".parse().unwrap(), silent.local_addr().unwrap());
    let alpha = builder("alpha").discovery(phone_book).start().await.unwrap();
    let silent_target: Target = "silent@127.0.0.1".parse().unwrap();
    let waiting = alpha.async_call(&silent_target, "counter", Total);
    let (_held, _) = silent.accept().await.unwrap();
    alpha.kill_clients(silent_target.node());
    let error = waiting.await.unwrap_err();
    assert!(matches!(error.failure(), Failure::NotSent(NotSent::ConnectFailed(_))), "{error}");
}

#[actix::test]
async fn a_node_asked_to_disconnect_finishes_what_is_in_flight() {
    let (alpha, beta_node, beta) = pair().await;
    let gate = gate(&beta_node);
    let waiting = alpha.async_call(&beta, "gate", PassGate { number: 1 });
    eventually("the handler runs", || gate.entered() == 1).await;
    alpha.disconnect(beta.node());
    // A new request takes a new connection beside the closing one.
    assert_eq!(alpha.call(&beta, "counter", Total).await.unwrap(), 0);
    assert_eq!(beta_node.inbound().len(), 2);
    gate.let_through(1);
    assert_eq!(waiting.await.unwrap(), 1);
    eventually("the old connection is closed", || beta_node.inbound().len() == 1).await;
}

#[actix::test]
async fn a_failed_connect_is_tried_again_after_its_backoff_and_not_before() {
    let phone_book = PhoneBook::default();
    let alpha = builder("alpha").discovery(phone_book.clone()).configure(|config| {
        config.backoff_min = Duration::from_millis(200);
        config.backoff_max = Duration::from_millis(200);
    });
    let alpha = alpha.start().await.unwrap();
    let beta: Target = "beta@127.0.0.1".parse().unwrap();
    for _ in 0..50 {
        assert_eq!(alpha.call(&beta, "counter", Total).await.unwrap_err().class(), Class::NotSent);
    }
    assert_eq!(alpha.metrics().dials, 1, "the backoff spares the network");
    let beta_node = builder("beta").start().await.unwrap();
    phone_book.enter(&beta_node);
    let deadline = Instant::now() + Duration::from_secs(5);
    while alpha.ping(&beta).await.is_err() {
        assert!(Instant::now() < deadline, "the node is there and is not found");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(alpha.metrics().dials <= 4, "{}", alpha.metrics().dials);
}

#[actix::test]
async fn a_silent_peer_is_found_by_its_missing_ticks() {
    let phone_book = PhoneBook::default();
    let quick = |name: &str| {
        let builder = builder(name).discovery(phone_book.clone());
        builder.configure(|config| config.tick = Duration::from_millis(400))
    };
    let beta_node = quick("beta").start().await.unwrap();
    let proxy = Proxy::to(beta_node.listening_on()[0]).await;
    phone_book.put(beta_node.name().clone(), proxy.address());
    let alpha = quick("alpha").start().await.unwrap();
    let gate = gate(&beta_node);
    let beta = target(&beta_node);
    let waiting = alpha.async_call(&beta, "gate", PassGate { number: 1 });
    eventually("the handler runs", || gate.entered() == 1).await;
    proxy.hold();
    let begun = Instant::now();
    let error = waiting.await.unwrap_err();
    assert!(matches!(error.failure(), Failure::Unknown(Unknown::LinkLost(_))), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    eventually("the other side noticed as well", || beta_node.inbound().is_empty()).await;
}

#[actix::test]
async fn a_quiet_connection_stays_up_by_its_ticks() {
    let (alpha, beta_node, beta) =
        pair_with(|builder| builder.configure(|config| config.tick = Duration::from_millis(200))).await;
    // Five ticks long nothing is said but ticks.
    assert_eq!(alpha.call(&beta, "counter", Sleep { ms: 1_000 }).await.unwrap(), 1_000);
    assert_eq!(alpha.metrics().clients_lost, 0);
    assert_eq!(alpha.metrics().dials, 1);
    assert_eq!(beta_node.inbound().len(), 1);
}

#[actix::test]
async fn a_node_goes_on_serving_although_every_handle_to_it_is_dropped() {
    let (alpha, beta_node, beta) = pair().await;
    drop(beta_node);
    for target in [&beta, &beta.with_key("later")] {
        assert_eq!(alpha.call(target, "counter", Total).await.unwrap(), 0);
    }
}

/// What the kernel says of a socket of this machine: its two ports, and its timer with the time it has left.
#[derive(Debug)]
struct KernelSocket {
    local: u16,
    remote: u16,
    keepalive_in: Option<Duration>,
}

/// Reads the kernel's table of TCP sockets.
fn kernel_sockets() -> Vec<KernelSocket> {
    const ESTABLISHED: &str = "01";
    const KEEPALIVE_TIMER: &str = "02";
    let port = |address: &str| u16::from_str_radix(address.split(':').next_back().unwrap(), 16).unwrap();
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let rows = table.lines().skip(1).map(|row| row.split_whitespace().collect::<Vec<_>>());
    rows.filter(|row| row[3] == ESTABLISHED)
        .map(|row| {
            let (timer, left) = row[5].split_once(':').unwrap();
            let hundredths = u64::from_str_radix(left, 16).unwrap();
            let keepalive_in = (timer == KEEPALIVE_TIMER).then(|| Duration::from_millis(hundredths * 10));
            KernelSocket { local: port(row[1]), remote: port(row[2]), keepalive_in }
        })
        .collect()
}

/// The keepalive timers of both ends of the one connection to this listener, as soon as nothing else is timed.
pub async fn keepalive_of_both_ends(listening_on: SocketAddr) -> (Duration, Duration) {
    let port = listening_on.port();
    let look = || {
        let sockets = kernel_sockets();
        let asking = sockets.iter().find(|socket| socket.remote == port)?.keepalive_in?;
        let answering = sockets.iter().find(|socket| socket.local == port)?.keepalive_in?;
        Some((asking, answering))
    };
    let mut found = None;
    eventually("both ends have a keepalive timer", || {
        found = look();
        found.is_some()
    })
    .await;
    found.unwrap()
}

#[actix::test]
async fn keepalive_is_set_on_both_ends_as_configured() {
    let nodes = nodes_with(2, |builder| {
        builder.configure(|config| {
            config.tcp.keepalive_idle = Duration::from_secs(100);
            config.tcp.keepalive_interval = Duration::from_secs(7);
        })
    })
    .await;
    nodes[0].ping(&target(&nodes[1])).await.unwrap();
    let (asking, answering) = keepalive_of_both_ends(nodes[1].listening_on()[0]).await;
    for left in [asking, answering] {
        // Far from the kernel's own two hours.
        assert!(left > Duration::from_secs(60) && left <= Duration::from_secs(101), "{left:?}");
    }
}

#[actix::test]
async fn the_number_of_a_connection_stays_while_it_lives_and_grows_with_the_next_one() {
    let (alpha, beta_node, beta) = pair().await;
    assert_eq!(alpha.epoch(&beta), None, "nothing was sent yet");
    alpha.cast(&beta, "counter", Add { amount: 1 }).unwrap();
    let first = alpha.epoch(&beta).expect("it is being made");
    assert_eq!(alpha.call(&beta, "counter", Total).await.unwrap(), 1);
    assert_eq!(alpha.epoch(&beta), Some(first), "it has the same number when it is up");
    let keyed = beta.with_key("key");
    alpha.call(&keyed, "counter", Total).await.unwrap();
    assert_ne!(alpha.epoch(&keyed), Some(first), "a key has a connection of its own");
    assert_eq!(beta_node.kill_acceptors(alpha.name()), 2);
    eventually("the client noticed", || alpha.nodes().is_empty()).await;
    assert_eq!(alpha.epoch(&beta), None, "it has ended");
    alpha.call(&beta, "counter", Total).await.unwrap();
    assert!(alpha.epoch(&beta) > Some(first));
}

#[actix::test]
async fn programs_that_nobody_asks_may_share_a_name() {
    let beta = builder("beta").start().await.unwrap();
    let (name, at) = (beta.name().to_string(), beta.listening_on()[0].to_string());
    let _guard = beta.register("counter", crate::fixture::Counter::default().start()).unwrap();
    let ops = |_| builder("ops").no_listener().node(&name, at.clone()).start();
    let tools = futures::future::try_join_all((0..3).map(ops)).await.unwrap();
    for round in 0..3 {
        for tool in &tools {
            tool.call(&target(&beta), "counter", Add { amount: 1 }).await.unwrap();
            assert_eq!(tool.metrics().dials, 1, "in round {round}");
        }
    }
}
