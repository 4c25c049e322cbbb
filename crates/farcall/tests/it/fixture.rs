//! What every test goes through: a few nodes that know each other, and actors to talk to.

use std::net::SocketAddr;
use std::time::Duration;

use actix::prelude::*;
use farcall::prelude::*;
use farcall::{Cookie, Driver, NodeBuilder};

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

/// Answers after a while, or never.
#[farcall::message(result = u64)]
#[derive(Debug)]
pub struct Sleep {
    pub ms: u64,
}

/// Panics.
#[farcall::message(result = ())]
#[derive(Debug)]
pub struct Panic;

/// Counts from 0, so many numbers; with `endless` it never stops.
#[farcall::message(stream = u64)]
#[derive(Debug)]
pub struct Count {
    pub to: u64,
}

/// Blocks its actor's thread: only for actors on an arbiter of their own.
#[farcall::message(result = ())]
#[derive(Debug)]
pub struct Block {
    pub ms: u64,
}

#[derive(Default, RemoteActor)]
#[remote(Add, Total, Echo, Sleep, Panic, Count, Block)]
pub struct Counter {
    pub total: u64,
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

impl Handler<Panic> for Counter {
    type Result = ();
    fn handle(&mut self, _: Panic, _: &mut Context<Self>) {
        panic!("on purpose");
    }
}

impl Handler<Count> for Counter {
    type Result = MessageResult<Count>;
    fn handle(&mut self, count: Count, _: &mut Context<Self>) -> Self::Result {
        MessageResult(Items::new(futures::stream::iter(0..count.to)))
    }
}

impl Handler<Block> for Counter {
    type Result = ();
    fn handle(&mut self, block: Block, _: &mut Context<Self>) {
        std::thread::sleep(Duration::from_millis(block.ms));
    }
}

/// The cookie of all test nodes.
pub fn cookie() -> Cookie {
    Cookie::new(b"a cookie for tests only, 32 bytes").unwrap()
}

/// Everything in this folder is run with each driver: its name stands in that of the binary.
pub fn driver() -> Driver {
    match env!("CARGO_CRATE_NAME") {
        "it" => Driver::Tcp,
        "it_tls" => Driver::Tls,
        other => panic!("with which driver is {other} run?"),
    }
}

/// A node that does not listen yet, with whatever the driver needs.
pub fn named(name: &str) -> NodeBuilder {
    let builder = Node::builder(name).no_listener().cookie(cookie()).driver(driver());
    match (driver(), name.parse::<NodeName>()) {
        (Driver::Tls, Ok(_)) => builder.tls(authority().material(name)),
        _ => builder,
    }
}

/// A node that listens there, with the driver of this run.
pub fn on(builder: NodeBuilder, addresses: impl IntoIterator<Item = SocketAddr>) -> NodeBuilder {
    match driver() {
        Driver::Tcp => builder.listen(addresses),
        Driver::Tls => builder.listen_tls(addresses),
    }
}

/// A node on a free port of 127.0.0.1.
pub fn builder(name: &str) -> NodeBuilder {
    on(named(&format!("{name}@127.0.0.1")), [any_port()])
}

/// Any free port of 127.0.0.1.
pub fn any_port() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

/// So many nodes that know each other, named n0, n1, …; each has a counter.
pub async fn nodes(count: usize) -> Vec<Node> {
    nodes_with(count, |builder| builder).await
}

/// As [`nodes`], each changed before it starts.
pub async fn nodes_with(count: usize, change: impl Fn(NodeBuilder) -> NodeBuilder) -> Vec<Node> {
    let phone_book = PhoneBook::default();
    let mut nodes = Vec::new();
    for index in 0..count {
        let builder = builder(&format!("n{index}")).discovery(phone_book.clone());
        let node = change(builder).start().await.unwrap();
        phone_book.enter(&node);
        node.register("counter", Counter::default().start()).unwrap().keep();
        nodes.push(node);
    }
    nodes
}

/// Two nodes that know each other, each with a counter, and the target of the second.
pub async fn pair() -> (Node, Node, Target) {
    pair_with(|builder| builder).await
}

/// As [`pair`], each changed before it starts.
pub async fn pair_with(change: impl Fn(NodeBuilder) -> NodeBuilder) -> (Node, Node, Target) {
    let mut nodes = nodes_with(2, change).await;
    let (beta, alpha) = (nodes.pop().unwrap(), nodes.pop().unwrap());
    let target = target(&beta);
    (alpha, beta, target)
}

/// The target of a node.
pub fn target(node: &Node) -> Target {
    node.name().into()
}

/// Where the nodes of a test are; they enter themselves as they start.
#[derive(Clone, Default)]
pub struct PhoneBook(std::sync::Arc<std::sync::Mutex<std::collections::HashMap<NodeName, SocketAddr>>>);

impl PhoneBook {
    /// Notes where a node listens.
    pub fn enter(&self, node: &Node) {
        if let Some(address) = node.listening_on().first() {
            self.put(node.name().clone(), *address);
        }
    }

    /// Notes where a node is said to be.
    pub fn put(&self, node: NodeName, address: SocketAddr) {
        self.0.lock().unwrap().insert(node, address);
    }
}

impl farcall::Discovery for PhoneBook {
    fn addresses<'a>(
        &'a self,
        node: &'a NodeName,
    ) -> futures::future::BoxFuture<'a, Result<Vec<farcall::Address>, farcall::DiscoveryError>> {
        let found = self.0.lock().unwrap().get(node).copied();
        let found = found.and_then(|address| farcall::Address::try_from(address).ok());
        let found = found.map(|address| vec![address]);
        Box::pin(std::future::ready(
            found.ok_or_else(|| farcall::DiscoveryError::not_found(node, "the phone book")),
        ))
    }

    fn nodes(&self) -> futures::future::BoxFuture<'_, Result<Vec<NodeName>, farcall::DiscoveryError>> {
        let names = self.0.lock().unwrap().keys().cloned().collect();
        Box::pin(std::future::ready(Ok(names)))
    }
}

/// Waits until something holds, for five seconds at most; says what it waited for.
pub async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + Duration::from_secs(5);
    while !holds() {
        assert!(std::time::Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
