//! What the tests of TLS go through: nodes that find each other by an address book, and an actor to talk to.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use actix::prelude::*;
use farcall::error::{Failure, NotSent, Rejected};
use farcall::prelude::*;
use farcall::{Address, Cookie, Discovery, DiscoveryError, Driver, NodeBuilder, StartError, TlsMaterial};
use futures::future::BoxFuture;

use crate::log_lines;
use crate::pki::authority;

/// Adds and tells the total.
#[farcall::message(result = u64)]
#[derive(Debug)]
pub struct Add {
    pub amount: u64,
}

/// Tells the total.
#[farcall::message(result = u64)]
#[derive(Debug)]
pub struct Total;

/// Comes back as it is.
#[farcall::message(result = Vec<u8>)]
#[derive(Debug)]
pub struct Echo {
    pub bytes: Vec<u8>,
}

/// Answers after a while.
#[farcall::message(result = u64)]
#[derive(Debug)]
pub struct Sleep {
    pub ms: u64,
}

#[derive(Default, RemoteActor)]
#[remote(Add, Total, Echo, Sleep)]
pub struct Counter {
    total: u64,
}

impl Actor for Counter {
    type Context = Context<Self>;
}

impl Handler<Add> for Counter {
    type Result = u64;
    fn handle(&mut self, add: Add, _: &mut Context<Self>) -> u64 {
        self.total += add.amount;
        self.total
    }
}

impl Handler<Total> for Counter {
    type Result = u64;
    fn handle(&mut self, _: Total, _: &mut Context<Self>) -> u64 {
        self.total
    }
}

impl Handler<Echo> for Counter {
    type Result = Vec<u8>;
    fn handle(&mut self, echo: Echo, _: &mut Context<Self>) -> Vec<u8> {
        echo.bytes
    }
}

impl Handler<Sleep> for Counter {
    type Result = ResponseFuture<u64>;
    fn handle(&mut self, sleep: Sleep, _: &mut Context<Self>) -> Self::Result {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(sleep.ms)).await;
            sleep.ms
        })
    }
}

/// The cookie of all nodes that are not given another.
pub fn cookie() -> Cookie {
    Cookie::new(b"a cookie for tests only, 32 bytes").unwrap()
}

pub fn other_cookie() -> Cookie {
    Cookie::new(b"another cookie, also 32 bytes...").unwrap()
}

/// Any free port of 127.0.0.1.
pub fn any_port() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

/// A node of this whole name that listens nowhere, with the cookie and nothing else. Its backoff is short.
pub fn bare(name: &str) -> NodeBuilder {
    log_lines::keep();
    Node::builder(name).no_listener().cookie(cookie()).configure(|config| {
        (config.backoff_min, config.backoff_max) = (Duration::from_millis(1), Duration::from_millis(1));
    })
}

/// A node of this whole name with a certificate of the authority of this run; it dials with TLS and does not listen.
pub fn dialling(name: &str) -> NodeBuilder {
    bare(name).driver(Driver::Tls).tls(authority().material(name))
}

/// As [`dialling`], and it listens for TLS.
pub fn secure(name: &str) -> NodeBuilder {
    dialling(name).listen_tls([any_port()])
}

/// As [`secure`], with this in place of its own certificate and the authority of this run.
pub fn secure_with(name: &str, material: TlsMaterial) -> NodeBuilder {
    bare(name).driver(Driver::Tls).tls(material).listen_tls([any_port()])
}

/// Starts a node, gives it a counter, and enters it in the book.
pub async fn started(builder: NodeBuilder, book: &Book) -> Node {
    let node = builder.discovery(book.clone()).start().await.unwrap();
    node.register("counter", Counter::default().start()).unwrap().keep();
    book.enter(&node);
    node
}

/// Why a node does not start.
pub async fn start_error(builder: NodeBuilder) -> StartError {
    match builder.start().await {
        Ok(node) => panic!("{node:?} has started"),
        Err(error) => error,
    }
}

/// The target of a node.
pub fn target(node: &Node) -> Target {
    node.name().into()
}

/// Whether one gets an answer of the other.
pub async fn meets(asks: &Node, answers: &Node) -> bool {
    asks.call(&target(answers), "counter", Total).await.is_ok()
}

/// Has a link, as soon as the pause behind a lost one is over and there is a token for it.
pub async fn connects(asks: &Node, answers: &Node) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !meets(asks, answers).await {
        assert!(Instant::now() < deadline, "{asks:?} does not connect to {answers:?}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Why a call to this node was not even sent, because the handshake was refused.
pub async fn handshake_failure(asks: &Node, name: &str) -> String {
    let error = asks.call(&name.parse().unwrap(), "counter", Total).await.unwrap_err();
    match error.failure() {
        Failure::NotSent(NotSent::HandshakeFailed(why)) => why.to_string(),
        other => panic!("the handshake was not refused: {other:?}"),
    }
}

pub fn unauthorized(error: &CallError) -> bool {
    *error.failure() == Failure::Rejected(Rejected::Unauthorized)
}

/// Where the nodes of a test are, with the driver to dial them with.
#[derive(Clone, Default)]
pub struct Book(Arc<Mutex<HashMap<NodeName, Address>>>);

impl Book {
    /// Notes where a node listens: for TLS, if it does.
    pub fn enter(&self, node: &Node) {
        for driver in [Driver::Tcp, Driver::Tls] {
            if let Some(address) = node.listening_with(driver).first() {
                self.put(node.name().as_str(), &format!("{driver}://{address}"));
            }
        }
    }

    /// Notes where a node is said to be.
    pub fn put(&self, node: &str, address: &str) {
        self.0.lock().unwrap().insert(node.parse().unwrap(), address.parse().unwrap());
    }

    /// Notes that a node is said to be at a socket that speaks TLS.
    pub fn put_tls(&self, node: &str, socket: SocketAddr) {
        self.put(node, &format!("tls://{socket}"));
    }
}

impl Discovery for Book {
    fn addresses<'a>(&'a self, node: &'a NodeName) -> BoxFuture<'a, Result<Vec<Address>, DiscoveryError>> {
        let found = self.0.lock().unwrap().get(node).cloned();
        let found = found.map(|address| vec![address]);
        Box::pin(std::future::ready(found.ok_or_else(|| DiscoveryError::not_found(node, "the book"))))
    }
}

/// Waits until something holds, for ten seconds at most; says what it waited for.
pub async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Waits until a node has said this in its log; gives the line.
pub async fn says(node: &Node, what: &str) -> String {
    says_as(node.name().as_str(), what).await
}

/// As [`says`], of a node by its name.
pub async fn says_as(name: &str, what: &str) -> String {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let lines = log_lines::of(name);
        if let Some(line) = lines.iter().find(|line| line.contains(what)) {
            return line.clone();
        }
        assert!(Instant::now() < deadline, "{name} has not said {what:?}, but {lines:#?}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
