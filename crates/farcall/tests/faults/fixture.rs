//! What every fault test goes through: nodes of the test's own process, and how times are judged.

use std::collections::HashMap;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use farcall::error::Failure;
use farcall::prelude::*;
use farcall::{Address, Cookie, Discovery, DiscoveryError, Driver, NodeBuilder};
use farcall_proto::link::handshake::{Local, PeerParams};
use farcall_proto::peer::Incarnation;
use futures::future::BoxFuture;

use crate::actors::{Health, HowAreYou};
use crate::pki::authority;
use crate::process::Peer;

/// Settings under which faults are noticed quickly: T = 1 s and k = 4, so a silent peer is gone after 0.75 to 1.25 s.
pub const QUICK: &str = r#"
    tick = "1s"
    tick_intensity = 4
    write_stall_timeout = "5s"
    connect_timeout = "2s"
    handshake_timeout = "500ms"
    backoff_min = "50ms"
    backoff_max = "200ms"
    half_open_max = 16
"#;

/// T of [`QUICK`], and how much earlier or later than that a silent peer may be given up.
pub const TICK: Duration = Duration::from_secs(1);
pub const TICK_GIVE: Duration = Duration::from_millis(250);

/// What a busy machine may add to any time that is bounded from above: tests share two cores with others.
pub const SLACK: Duration = Duration::from_millis(400);

/// The cookie of all nodes. Its text must never be seen anywhere.
pub const COOKIE: &str = "cookie-of-the-fault-tests-0123456789";

pub fn cookie() -> Cookie {
    Cookie::new(COOKIE.as_bytes()).unwrap()
}

/// Everything in this folder is run with each driver: its name stands in that of the binary.
pub fn driver() -> Driver {
    match env!("CARGO_CRATE_NAME") {
        "faults" => Driver::Tcp,
        "faults_tls" => Driver::Tls,
        other => panic!("with which driver is {other} run?"),
    }
}

/// A node of the test's own process, which knows these peers.
pub async fn node(name: &str, peers: &[&Peer]) -> Node {
    node_with(name, peers, |builder| builder).await
}

/// As [`node`], changed before it starts.
pub async fn node_with(name: &str, peers: &[&Peer], change: impl FnOnce(NodeBuilder) -> NodeBuilder) -> Node {
    let mut config = Config::from_toml(QUICK).unwrap();
    config.name = Some(format!("{name}@127.0.0.1").parse().unwrap());
    let book = PhoneBook::default();
    for peer in peers {
        book.put(peer.target.node(), peer.address);
    }
    let builder = Node::from_config(config).no_listener().cookie(cookie()).discovery(book).driver(driver());
    let builder = match driver() {
        Driver::Tcp => builder,
        Driver::Tls => builder.tls(authority().material(&format!("{name}@127.0.0.1"))),
    };
    change(builder).start().await.unwrap()
}

/// Where the peers of a test are.
#[derive(Clone, Default)]
pub struct PhoneBook(Arc<Mutex<HashMap<NodeName, SocketAddr>>>);

impl PhoneBook {
    /// Notes where a node is said to be.
    pub fn put(&self, node: &NodeName, address: SocketAddr) {
        self.0.lock().unwrap().insert(node.clone(), address);
    }
}

impl Discovery for PhoneBook {
    fn addresses<'a>(&'a self, node: &'a NodeName) -> BoxFuture<'a, Result<Vec<Address>, DiscoveryError>> {
        let found = self.0.lock().unwrap().get(node).copied();
        let found = found.and_then(|address| Address::try_from(address).ok());
        let found = found.map(|address| vec![address]);
        Box::pin(std::future::ready(found.ok_or_else(|| DiscoveryError::not_found(node, "the phone book"))))
    }
}

/// What somebody says in a handshake who speaks the protocol by hand.
pub fn speaks_for(name: &str) -> Local {
    Local {
        name: name.parse().unwrap(),
        incarnation: Incarnation(7),
        params: PeerParams {
            message_bytes_max: 16 << 20,
            fragment_bytes: 64 << 10,
            in_flight_max: 1024,
            reassembly_bytes_max: 64 << 20,
            tick_ms: 10_000,
            tick_intensity: 4,
            compress: 0,
            flags: 0,
            extensions: Default::default(),
        },
        cluster: Config::default().cluster,
        versions: 1..=1,
    }
}

/// How a peer is doing.
pub async fn health(node: &Node, peer: &Peer) -> Health {
    node.call(&peer.target, "health", HowAreYou).await.unwrap()
}

/// What went wrong with a call that did not succeed.
pub fn failure<T: std::fmt::Debug>(result: Result<T, CallError>) -> Failure {
    result.unwrap_err().failure().clone()
}

/// Waits until something holds, for five seconds at most; says what it waited for.
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while !holds().await {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Times of many calls, to be compared.
#[derive(Default)]
pub struct Times(Vec<Duration>);

impl Times {
    pub fn note(&mut self, time: Duration) {
        self.0.push(time);
    }

    pub fn into_all(self) -> Vec<Duration> {
        self.0
    }

    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The time that this many of a hundred do not exceed.
    pub fn percentile(&self, percent: usize) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort();
        sorted[(sorted.len() - 1) * percent / 100]
    }
}
