//! Who may call what: rules for peers, whose names their certificates prove.

use std::ffi::OsString;
use std::time::Duration;

use actix::prelude::*;
use farcall::error::Class;
use farcall::prelude::*;
use farcall::{AccessList, Keyring};

use crate::by_hand::{Manner, binding, client_config, introduce, session_to};
use crate::fixture::{
    Add, Book, Counter, Total, cookie, eventually, says, secure, started, target, unauthorized,
};
use crate::log_lines;
use crate::pki::authority;

/// May call the counter, the books, and nothing at all.
const PEERS: [&str; 3] = ["web1@127.0.0.1", "books@127.0.0.1", "other@127.0.0.1"];

fn rules() -> AccessList {
    AccessList::off().peer("web*@*", ["counter"]).unwrap().peer("books@*", ["book.*", "counter"]).unwrap()
}

/// A node with a counter and two more actors, and peers that know it.
async fn guarded(access: AccessList) -> (Node, Vec<Node>) {
    let book = Book::default();
    let node = started(secure("guarded@127.0.0.1").access(access), &book).await;
    for name in ["book.one", "admin"] {
        node.register(name, Counter::default().start()).unwrap().keep();
    }
    let mut peers = Vec::new();
    for name in PEERS {
        peers.push(started(secure(name), &book).await);
    }
    (node, peers)
}

/// Which of the actors a peer may call.
async fn may_call(peer: &Node, node: &Node) -> Vec<&'static str> {
    let mut permitted = Vec::new();
    for actor in ["counter", "book.one", "admin"] {
        match peer.call(&target(node), actor, Total).await {
            Ok(_) => permitted.push(actor),
            Err(error) => assert!(unauthorized(&error), "{error}"),
        }
    }
    permitted
}

#[actix::test]
async fn each_peer_calls_what_its_rules_give_it_and_nothing_else() {
    let (node, peers) = guarded(rules()).await;
    let expected: [&[&str]; 3] = [&["counter"], &["counter", "book.one"], &[]];
    for (peer, expected) in peers.iter().zip(expected) {
        assert_eq!(may_call(peer, &node).await, expected, "{peer:?}");
    }
    // Every verb is asked.
    let (other, to) = (&peers[2], target(&node));
    assert!(unauthorized(&other.async_call(&to, "counter", Total).await.unwrap_err()));
    assert!(unauthorized(&other.cast(&to, "counter", Add { amount: 1 }).acked().await.unwrap_err()));
    let answers = other.multicall([to.clone()], "counter", Total).await;
    assert!(unauthorized(answers[0].1.as_ref().unwrap_err()));
    let report = other.sbcast([to.clone()], "counter", Add { amount: 1 }).await;
    assert!(unauthorized(&report.failed[0].1));
    assert_eq!(node.call(&to, "counter", Total).await.unwrap(), 0);
}

#[actix::test]
async fn the_nodes_own_calls_and_its_reserved_actor_are_not_limited_by_rules_for_peers() {
    let (node, peers) = guarded(rules()).await;
    assert_eq!(may_call(&node, &node).await, ["counter", "book.one", "admin"]);
    for (peer, may_call) in peers.iter().zip([true, true, false]) {
        assert!(peer.ping(&target(&node)).await.is_ok());
        assert!(peer.describe(&target(&node)).await.is_ok(), "{peer:?}");
        // It answers everybody, and tells nobody of a name that he may not call.
        let within = Duration::from_millis(if may_call { 10_000 } else { 200 });
        let waited = peer.wait_for_within(&target(&node), "counter", within).await;
        let expected = if may_call { Ok(()) } else { Err("no_such_actor") };
        assert_eq!(waited.map_err(|error| error.reason()), expected);
    }
}

#[actix::test]
async fn each_peer_is_told_of_the_actors_that_it_may_call_and_of_no_other() {
    let (node, peers) = guarded(rules()).await;
    let expected: [&[&str]; 3] = [&["counter"], &["book.one", "counter"], &[]];
    for (peer, expected) in peers.iter().zip(expected) {
        let told = peer.describe(&target(&node)).await.unwrap().actors;
        assert_eq!(told.iter().map(|actor| actor.name.as_str()).collect::<Vec<_>>(), expected, "{peer:?}");
    }
    let own = node.describe(&target(&node)).await.unwrap().actors;
    assert_eq!(own.len(), 3, "{own:?}");
}

#[actix::test]
async fn new_rules_hold_at_once_on_connections_that_are_up() {
    let (node, peers) = guarded(AccessList::off()).await;
    let steps: [(AccessList, [&[&str]; 3]); 4] = [
        (AccessList::off(), [&["counter", "book.one", "admin"]; 3]),
        (rules(), [&["counter"], &["counter", "book.one"], &[]]),
        (
            AccessList::deny(["counter"]).unwrap().peer("*", ["*"]).unwrap(),
            [&["book.one", "admin"], &["book.one", "admin"], &["book.one", "admin"]],
        ),
        (AccessList::off().peer("other@127.0.0.1", ["admin"]).unwrap(), [&[], &[], &["admin"]]),
    ];
    for (access, expected) in steps {
        node.set_access(access);
        for (peer, expected) in peers.iter().zip(expected) {
            assert_eq!(may_call(peer, &node).await, expected, "{peer:?}");
        }
    }
    for peer in &peers {
        assert_eq!(peer.metrics().dials, 1, "all of it on one connection");
    }
}

#[actix::test]
async fn a_name_that_a_rule_favours_is_of_no_use_without_its_certificate() {
    let (node, _peers) = guarded(rules()).await;
    let own = authority().identity("other@127.0.0.1");
    let config = client_config(Some(&own), &Manner::default());
    let mut session = session_to(node.listening_on()[0], config).await.unwrap();
    let (keyring, bound) = (Keyring::new(cookie()), binding(&session));
    let claimed = introduce(&mut session, "books@127.0.0.1", "guarded@127.0.0.1", (&keyring, bound)).await;
    assert!(claimed.is_err() && node.inbound().is_empty());
}

#[actix::test]
async fn a_refusal_is_written_down_with_peer_and_actor_once_a_second_and_on_one_line() {
    let (node, peers) = guarded(rules()).await;
    let (web, to) = (&peers[0], target(&node));
    let begun = std::time::Instant::now();
    for _ in 0..200 {
        assert!(unauthorized(&web.call(&to, "admin", Total).await.unwrap_err()));
    }
    let said = says(&node, "refused Total to admin").await;
    assert!(said.starts_with("WARN ") && said.contains(" peer=web1@127.0.0.1 "), "{said}");
    assert!(said.contains(" reason="), "{said}");
    let lines = log_lines::of("guarded@127.0.0.1");
    let count = lines.iter().filter(|line| line.contains("refused Total to admin")).count();
    assert!(count as u64 <= begun.elapsed().as_secs() + 1, "{count} lines in {:?}", begun.elapsed());
    assert_eq!(node.metrics().refused, 200);
    // The name is the peer's own text, and stays on its line.
    let odd = "admin\u{1b}[31m\nWARN node=guarded@127.0.0.1 all is well";
    let written = async || {
        let error = web.call(&to, odd, Total).await.unwrap_err();
        assert_eq!(error.class(), Class::Rejected, "{error}");
        log_lines::of("guarded@127.0.0.1").into_iter().find(|line| line.contains("all is well"))
    };
    let mut line = None;
    while line.is_none() {
        assert!(begun.elapsed() < crate::by_hand::SOON, "it is never written");
        line = written().await;
    }
    let line = line.unwrap();
    assert!(!line.contains('\n') && !line.contains('\u{1b}'), "{line:?}");
    assert!(line.contains("admin\\u{1b}[31m\\nWARN"), "{line:?}");
}

#[actix::test]
async fn rules_are_written_in_a_file_or_in_a_variable() {
    let text = r#"
        [access]
        deny = ["admin"]
        [access.peers]
        "web*@*" = ["counter"]
        "books@*" = "book.* counter"
    "#;
    let from_file = Config::from_toml(text).unwrap();
    let variables: [(&str, OsString); 2] = [
        ("FARCALL_ACCESS_DENY", "admin".into()),
        ("FARCALL_ACCESS_PEERS", "web*@*=counter, books@*=book.* counter".into()),
    ];
    let from_variables = Config::load_from(variables, "/nonexistent/farcall.toml").unwrap();
    for config in [from_file, from_variables] {
        let (node, peers) = guarded(config.access).await;
        let expected: [&[&str]; 3] = [&["counter"], &["counter", "book.one"], &[]];
        for (peer, expected) in peers.iter().zip(expected) {
            assert_eq!(may_call(peer, &node).await, expected, "{peer:?}");
        }
        node.shutdown().await;
        eventually("nobody is connected", || node.inbound().is_empty()).await;
    }
}
