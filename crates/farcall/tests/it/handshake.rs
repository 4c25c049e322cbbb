//! Who may connect: the cookie on either side, its rotation, wrong nodes, silent and foreign peers.

use std::time::{Duration, Instant};

use farcall::error::{Failure, NotSent};
use farcall::prelude::*;
use farcall::{Cookie, CookieFileError, Driver, Keyring};
use farcall_proto::identity;
use rcgen::SanType;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::fixture::{
    Add, PhoneBook, Total, any_port, builder, cookie, driver, eventually, nodes, pair, target,
};
use crate::pki::authority;
use crate::proxy::Proxy;

fn other_cookie() -> Cookie {
    Cookie::new(b"another cookie, also 32 bytes...").unwrap()
}

/// A node with a counter that uses these cookies.
async fn node_with(name: &str, keyring: Keyring, phone_book: &PhoneBook) -> Node {
    let node = builder(name).keyring(keyring).discovery(phone_book.clone()).start().await.unwrap();
    node.register("counter", actix::Actor::start(crate::fixture::Counter::default())).unwrap().keep();
    phone_book.enter(&node);
    node
}

fn refused_in_the_handshake(error: &CallError) -> bool {
    matches!(error.failure(), Failure::NotSent(NotSent::HandshakeFailed(_)))
}

#[actix::test]
async fn a_wrong_cookie_on_either_side_is_refused_and_nothing_runs() {
    let phone_book = PhoneBook::default();
    let right = node_with("right", Keyring::new(cookie()), &phone_book).await;
    let wrong = node_with("wrong", Keyring::new(other_cookie()), &phone_book).await;
    for (asks, answers) in [(&wrong, &right), (&right, &wrong)] {
        for target in [target(answers), target(answers).with_key("key")] {
            asks.cast(&target, "counter", Add { amount: 1 }).unwrap();
            let error = asks.call(&target, "counter", Add { amount: 1 }).await.unwrap_err();
            assert!(refused_in_the_handshake(&error), "{error}");
            assert!(!error.to_string().contains("cookie for tests"), "{error}");
        }
        assert_eq!(answers.call(&target(answers), "counter", Total).await.unwrap(), 0);
        assert!(asks.nodes().is_empty());
        // Whoever is refused may know it before it is counted.
        eventually("both failures are counted", || answers.metrics().handshakes_failed >= 2).await;
    }
}

#[actix::test]
async fn a_cookie_is_rotated_while_everything_runs() {
    let phone_book = PhoneBook::default();
    let alpha = node_with("alpha", Keyring::new(cookie()), &phone_book).await;
    let beta = node_with("beta", Keyring::new(cookie()), &phone_book).await;
    let (old, new) = (cookie(), other_cookie());
    let call = async |expected_dials: u64| {
        assert!(alpha.call(&target(&beta), "counter", Total).await.is_ok());
        assert_eq!(alpha.metrics().dials, expected_dials);
    };
    call(1).await;
    // First everybody accepts the new one, then everybody proves with it, then nobody accepts the old one.
    for node in [&alpha, &beta] {
        node.set_keyring(Keyring::new(old.clone()).accepting(new.clone()).unwrap());
    }
    call(1).await;
    alpha.set_keyring(Keyring::new(new.clone()).accepting(old.clone()).unwrap());
    reconnect(&alpha, &beta).await;
    call(2).await;
    beta.set_keyring(Keyring::new(new.clone()));
    reconnect(&alpha, &beta).await;
    call(3).await;
    alpha.set_keyring(Keyring::new(old));
    reconnect(&alpha, &beta).await;
    let error = alpha.call(&target(&beta), "counter", Total).await.unwrap_err();
    assert!(refused_in_the_handshake(&error), "{error}");
}

#[actix::test]
async fn a_cookie_file_is_read_again_on_demand_and_a_broken_one_changes_nothing() {
    let folder = std::env::temp_dir().join(format!("farcall-cookies-{}-{:?}", std::process::id(), driver()));
    let path = folder.join("cookie");
    let plain = |name: &str| Node::builder(name).listen([any_port()]).cookie_file(&path).driver(Driver::Tcp);
    let beta = plain("beta@127.0.0.1").start().await.unwrap();
    beta.register("counter", actix::Actor::start(crate::fixture::Counter::default())).unwrap().keep();
    let at = beta.listening_on()[0].to_string();
    let alpha = plain("alpha@127.0.0.1").node("beta@127.0.0.1", at).start().await.unwrap();
    assert!(alpha.call(&target(&beta), "counter", Total).await.is_ok());
    std::fs::write(&path, "short\n").unwrap();
    let refused = alpha.reload_cookies().await.unwrap_err();
    assert!(matches!(refused, CookieFileError::Line { line: 1, .. }), "{refused}");
    reconnect(&alpha, &beta).await;
    assert!(alpha.call(&target(&beta), "counter", Total).await.is_ok(), "the old one is still in use");
    std::fs::write(&path, "a new cookie of 32 bytes or more\n").unwrap();
    alpha.reload_cookies().await.unwrap();
    assert!(alpha.call(&target(&beta), "counter", Total).await.is_ok(), "what is up stays up");
    reconnect(&alpha, &beta).await;
    let error = alpha.call(&target(&beta), "counter", Total).await.unwrap_err();
    assert!(refused_in_the_handshake(&error), "{error}");
    beta.reload_cookies().await.unwrap();
    let in_time = Instant::now() + Duration::from_secs(5);
    while alpha.call(&target(&beta), "counter", Total).await.is_err() {
        assert!(Instant::now() < in_time, "both have the new one");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    std::fs::remove_dir_all(&folder).unwrap();
    let given = builder("gamma").start().await.unwrap();
    assert!(matches!(given.reload_cookies().await, Err(CookieFileError::NoFile)));
}

async fn reconnect(alpha: &Node, beta: &Node) {
    alpha.disconnect(beta.name());
    eventually("the connection is closed", || alpha.nodes().is_empty()).await;
}

#[actix::test]
async fn an_address_that_leads_to_another_node_is_refused() {
    let phone_book = PhoneBook::default();
    let gamma = node_with("gamma", Keyring::new(cookie()), &phone_book).await;
    phone_book.put("beta@127.0.0.1".parse().unwrap(), gamma.listening_on()[0]);
    let alpha = node_with("alpha", Keyring::new(cookie()), &phone_book).await;
    let beta: Target = "beta@127.0.0.1".parse().unwrap();
    for target in [beta.clone(), beta.with_key("key")] {
        let error = alpha.call(&target, "counter", Add { amount: 1 }).await.unwrap_err();
        assert!(refused_in_the_handshake(&error), "{error}");
        // By its certificate it is found out before anything is said.
        let why = match driver() {
            Driver::Tcp => "it is not the node that was dialled",
            Driver::Tls => "it is for farcall://farcall/gamma@127.0.0.1, and beta@127.0.0.1 was dialled",
        };
        assert!(error.to_string().contains(why), "{error}");
    }
    assert_eq!(gamma.call(&target(&gamma), "counter", Total).await.unwrap(), 0);
    assert!(alpha.nodes().is_empty());
}

#[actix::test]
async fn the_cookie_never_goes_over_the_wire() {
    let phone_book = PhoneBook::default();
    let alpha = node_with("alpha", Keyring::new(cookie()), &phone_book).await;
    let beta = node_with("beta", Keyring::new(cookie()), &phone_book).await;
    let proxy = Proxy::to(beta.listening_on()[0]).await;
    phone_book.put(beta.name().clone(), proxy.address());
    assert!(alpha.call(&target(&beta), "counter", Total).await.is_ok());
    // A wrong one is not shown either: there is nothing to fall back to.
    alpha.set_keyring(Keyring::new(other_cookie()));
    assert!(alpha.call(&target(&beta).with_key(1), "counter", Total).await.is_err());
    let said: Vec<Vec<u8>> = proxy.asked().into_iter().chain(proxy.answered()).collect();
    assert_eq!(proxy.connections(), 2);
    assert!(said.iter().all(|said| said.len() > 32), "each side said something on each connection");
    for secret in [&b"a cookie for tests only, 32 bytes"[..], b"another cookie, also 32 bytes..."] {
        // No eight bytes of it in a row, anywhere.
        let shown = |said: &Vec<u8>| said.windows(8).any(|seen| secret.windows(8).any(|part| part == seen));
        assert!(!said.iter().any(shown));
    }
}

#[actix::test]
async fn a_silent_client_is_closed_after_the_handshake_timeout_and_counted_meanwhile() {
    let node = builder("alpha").configure(|config| config.handshake_timeout = Duration::from_millis(200));
    let node = node.start().await.unwrap();
    let mut silent = TcpStream::connect(node.listening_on()[0]).await.unwrap();
    let begun = Instant::now();
    eventually("it is half open", || node.metrics().half_open == 1).await;
    let mut bytes = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(5), silent.read_to_end(&mut bytes)).await;
    ended.unwrap().unwrap();
    assert!(bytes.is_empty(), "an unproved peer is told nothing");
    assert!(begun.elapsed() >= Duration::from_millis(190), "{:?}", begun.elapsed());
    assert_eq!(node.metrics().half_open, 0);
    assert_eq!((node.metrics().handshakes_failed, node.metrics().acceptors), (1, 0));
}

#[actix::test]
async fn a_silent_server_costs_a_caller_no_more_than_the_handshake_timeout() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let phone_book = PhoneBook::default();
    phone_book.put("silent@127.0.0.1".parse().unwrap(), silent.local_addr().unwrap());
    let alpha = builder("alpha").discovery(phone_book);
    let alpha = alpha.configure(|config| config.handshake_timeout = Duration::from_millis(200));
    let alpha = alpha.start().await.unwrap();
    let begun = Instant::now();
    let error = alpha.call(&"silent@127.0.0.1".parse().unwrap(), "counter", Total).await.unwrap_err();
    assert!(refused_in_the_handshake(&error), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

#[actix::test]
async fn a_peer_of_another_protocol_is_refused_on_either_side() {
    let node = builder("alpha").start().await.unwrap();
    let mut web = TcpStream::connect(node.listening_on()[0]).await.unwrap();
    web.write_all(b"GET / HTTP/1.1\r\nhost: alpha\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(5), web.read_to_end(&mut answer)).await;
    // What it is told is one short refusal; a reset instead of an end is as good.
    assert!(ended.is_ok() && answer.len() < 64, "{answer:?}");
    eventually("it is counted", || node.metrics().handshakes_failed == 1).await;

    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let phone_book = PhoneBook::default();
    phone_book.put("web@127.0.0.1".parse().unwrap(), server.local_addr().unwrap());
    let asking = builder("asking").discovery(phone_book).start().await.unwrap();
    let asked = asking.async_call(&"web@127.0.0.1".parse().unwrap(), "counter", Total);
    let (mut peer, _) = server.accept().await.unwrap();
    peer.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
    let error = asked.await.unwrap_err();
    assert!(refused_in_the_handshake(&error), "{error}");
}

#[actix::test]
async fn a_recorded_session_replayed_to_the_same_node_is_refused() {
    let phone_book = PhoneBook::default();
    let alpha = node_with("alpha", Keyring::new(cookie()), &phone_book).await;
    let beta = node_with("beta", Keyring::new(cookie()), &phone_book).await;
    let proxy = Proxy::to(beta.listening_on()[0]).await;
    phone_book.put(beta.name().clone(), proxy.address());
    assert_eq!(alpha.call(&target(&beta), "counter", Add { amount: 1 }).await.unwrap(), 1);
    let recorded = proxy.asked().remove(0);
    let mut replay = TcpStream::connect(beta.listening_on()[0]).await.unwrap();
    replay.write_all(&recorded).await.unwrap();
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(5), replay.read_to_end(&mut answer)).await.unwrap();
    eventually("it is counted", || beta.metrics().handshakes_failed == 1).await;
    assert_eq!(alpha.call(&target(&beta), "counter", Total).await.unwrap(), 1, "the recorded add ran once");
}

#[actix::test]
async fn nodes_of_another_cluster_do_not_meet_although_they_share_the_cookie() {
    let phone_book = PhoneBook::default();
    let beta = builder("beta").configure(|config| config.cluster = "staging".to_owned());
    let uri = identity::uri("staging", &"beta@127.0.0.1".parse().unwrap());
    let of_staging = authority().identity_with("beta@127.0.0.1", |params| {
        params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
    });
    let beta = match driver() {
        Driver::Tcp => beta,
        Driver::Tls => beta.tls(authority().material_of(&of_staging)),
    };
    let beta = beta.start().await.unwrap();
    phone_book.enter(&beta);
    let alpha = builder("alpha").discovery(phone_book).start().await.unwrap();
    let error = alpha.call(&target(&beta), "counter", Total).await.unwrap_err();
    assert!(refused_in_the_handshake(&error), "{error}");
}

#[actix::test]
async fn more_half_open_connections_than_allowed_are_closed_at_once() {
    let node = builder("alpha").configure(|config| config.half_open_max = 4).start().await.unwrap();
    let address = node.listening_on()[0];
    let mut waiting = Vec::new();
    for _ in 0..4 {
        waiting.push(TcpStream::connect(address).await.unwrap());
    }
    eventually("four are half open", || node.metrics().half_open == 4).await;
    let mut fifth = TcpStream::connect(address).await.unwrap();
    let mut byte = [0];
    let closed = tokio::time::timeout(Duration::from_secs(2), fifth.read(&mut byte)).await.unwrap();
    assert!(matches!(closed, Ok(0) | Err(_)));
    assert_eq!(node.metrics().inbound_refused, 1);
    drop(waiting);
    eventually("their places are free", || node.metrics().half_open == 0).await;
}

#[actix::test]
async fn two_nodes_with_the_same_cookie_prove_it_to_each_other_on_every_connection() {
    let (alpha, beta_node, beta) = pair().await;
    for target in [&beta, &beta.with_key("key")] {
        assert!(alpha.call(target, "counter", Total).await.is_ok());
    }
    assert_eq!(beta_node.inbound(), [alpha.name().clone(), alpha.name().clone()]);
    assert_eq!(beta_node.metrics().handshakes_failed, 0);
    let nodes = nodes(1).await;
    assert!(nodes[0].call(&target(&nodes[0]), "counter", Total).await.is_ok(), "and to itself without");
}
