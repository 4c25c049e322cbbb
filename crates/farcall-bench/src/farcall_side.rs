//! farcall: named actors on two nodes, called through the public API with its defaults.
//!
//! Each outstanding call is a task of its own, as in an application; the bare program has no tasks. Small and
//! large messages go to two actors, because order is promised per actor.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use actix::prelude::*;
use anyhow::{Result, anyhow, ensure};
use farcall::prelude::*;
use farcall::{Cookie, Driver, NodeBuilder};

use crate::certificates::material;
use crate::child::ServerSeat;
use crate::meter::{ClientSample, Meter};
use crate::side::Side;
use crate::workload::{Blob, Echo, Traffic, Workload};

/// Over plain TCP.
pub const TCP: Side = Side {
    name: "farcall",
    about: "named actix actors on two nodes, over plain TCP",
    supports: |_| true,
    server: |seat| server(seat, Driver::Tcp),
    client: |address, workload, meter| client(address, workload, meter, Driver::Tcp),
};

/// Over TLS 1.3, both sides with certificates and the cookie.
pub const TLS: Side = Side {
    name: "farcall-tls",
    about: "the same over TLS 1.3, both sides with certificates and the cookie",
    supports: |_| true,
    server: |seat| server(seat, Driver::Tls),
    client: |address, workload, meter| client(address, workload, meter, Driver::Tls),
};

/// One way, counted.
#[farcall::message(name = "bench.Tell")]
struct Tell {
    echo: Echo,
}

/// The same bytes as the yardstick's large message.
#[farcall::message(result = Vec<u8>, name = "bench.Large")]
struct Large {
    bytes: Vec<u8>,
}

#[derive(RemoteActor)]
#[remote(Echo, Tell, Large)]
struct Answerer {
    told: Arc<AtomicU64>,
}

impl Actor for Answerer {
    type Context = Context<Self>;
}

impl Handler<Echo> for Answerer {
    type Result = MessageResult<Echo>;

    fn handle(&mut self, echo: Echo, _: &mut Context<Self>) -> Self::Result {
        MessageResult(echo)
    }
}

impl Handler<Tell> for Answerer {
    type Result = ();

    fn handle(&mut self, _: Tell, _: &mut Context<Self>) {
        self.told.fetch_add(1, Ordering::Relaxed);
    }
}

impl Handler<Large> for Answerer {
    type Result = Vec<u8>;

    fn handle(&mut self, large: Large, _: &mut Context<Self>) -> Vec<u8> {
        large.bytes
    }
}

fn cookie() -> Result<Cookie> {
    Ok(Cookie::new(b"a cookie for benchmarks on loopback only")?)
}

/// A node that does not listen yet, with what the driver needs.
fn node(name: &str, driver: Driver) -> Result<NodeBuilder> {
    let builder = Node::builder(name).no_listener().driver(driver).cookie(cookie()?);
    Ok(match driver {
        Driver::Tcp => builder,
        Driver::Tls => builder.tls(material(name)?),
    })
}

fn server(seat: &ServerSeat, driver: Driver) -> Result<Infallible> {
    System::new().block_on(async {
        let builder = node("server@127.0.0.1", driver)?;
        let any_port = [SocketAddr::from(([127, 0, 0, 1], 0))];
        let builder = match driver {
            Driver::Tcp => builder.listen(any_port),
            Driver::Tls => builder.listen_tls(any_port),
        };
        let node = builder.start().await?;
        for name in ["small", "large"] {
            node.register(name, Answerer { told: seat.counter() }.start())?.keep();
        }
        let address = node.listening_on().first().copied();
        seat.listening(address.ok_or_else(|| anyhow!("not listening"))?)?;
        std::future::pending().await
    })
}

fn client(
    address: SocketAddr,
    workload: &Workload,
    meter: Rc<Meter>,
    driver: Driver,
) -> Result<ClientSample> {
    System::new().block_on(async {
        let node =
            node("client@127.0.0.1", driver)?.node("server@127.0.0.1", address.to_string()).start().await?;
        let server: Target = "server@127.0.0.1".parse()?;
        node.wait_for(&server, "large").await?;
        let (small, large, casts) = match workload.traffic {
            Traffic::Small { outstanding } => (outstanding, 0, false),
            Traffic::Large { outstanding } => (0, outstanding, false),
            Traffic::Mixed { small, large } => (small, large, false),
            Traffic::Casts => (0, 0, true),
        };
        let mixed = small > 0 && large > 0;
        for number in 0..small {
            let call = calls(node.clone(), server.clone(), meter.clone(), number);
            actix_rt::spawn(call);
        }
        for _ in 0..large {
            actix_rt::spawn(large_calls(node.clone(), server.clone(), meter.clone(), mixed));
        }
        if casts {
            actix_rt::spawn(tell(node.clone(), server.clone()));
        }
        meter.phases().await
    })
}

async fn calls(node: Node, server: Target, meter: Rc<Meter>, first: u32) {
    let mut number = first;
    loop {
        number = number.wrapping_add(1024);
        let begun = meter.begin();
        let answer = node.call(&server, "small", Echo::numbered(number)).await;
        if let Err(error) = answer.map_err(anyhow::Error::from).and_then(|answer| {
            ensure!(answer == Echo::numbered(number), "a wrong answer: {answer:?}");
            Ok(())
        }) {
            die(&error);
        }
        meter.finish(begun);
    }
}

async fn large_calls(node: Node, server: Target, meter: Rc<Meter>, mixed: bool) {
    // What an answer brings goes out with the next call: the bare program does not copy its payload either.
    let mut bytes = Blob::full().0;
    let (len, last) = (bytes.len(), bytes.last().copied());
    loop {
        let begun = if mixed { None } else { meter.begin() };
        match node.call(&server, "large", Large { bytes }).await {
            Ok(answer) if answer.len() == len && answer.last().copied() == last => bytes = answer,
            Ok(answer) => die(&anyhow!("a wrong answer of {} bytes", answer.len())),
            Err(error) => die(&error.into()),
        }
        if mixed {
            meter.finish_bulk();
        } else {
            meter.finish(begun);
        }
    }
}

/// Casts as fast as the queue takes them; every so often waits until the peer's mailbox has them all.
async fn tell(node: Node, server: Target) {
    let mut number = 0u32;
    loop {
        for _ in 0..CASTS_AT_A_TIME {
            number = number.wrapping_add(1);
            if let Err(error) = node.cast(&server, "small", Tell { echo: Echo::numbered(number) }) {
                if error.class() != Class::NotSent {
                    die(&error.into());
                }
                break;
            }
        }
        tokio::task::yield_now().await;
        while node.load(server.node()).1 > QUEUE_BYTES {
            tokio::task::yield_now().await;
        }
    }
}

const CASTS_AT_A_TIME: u32 = 1024;

/// More than this is not left in the queue: the cache is kinder to short ones.
const QUEUE_BYTES: usize = 256 * 1024;

/// A benchmark whose calls fail measures nothing.
fn die(error: &anyhow::Error) -> ! {
    eprintln!("farcall-bench: {error:#}");
    std::process::exit(1)
}
