//! farcall: named actors on nodes, called through the public API.
//!
//! Each outstanding call is a task of its own, as in an application; the bare program has no tasks. Small and
//! large messages go to two actors, because order is promised per actor. Settings are the defaults but for what
//! some workloads are about: many connections to one node, many names, many calls outstanding.

mod actors;
mod client;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use actix::prelude::*;
use anyhow::{Result, anyhow};
use farcall::prelude::*;
use farcall::{Cookie, Driver, NodeBuilder};

use crate::certificates::material;
use crate::child::ServerSeat;
use crate::side::Side;
use crate::usage::raise_open_files;
use crate::workload::{Traffic, Workload};
use actors::Answerer;

/// Over plain TCP.
pub const TCP: Side = Side {
    name: "farcall",
    about: "named actix actors on two nodes, over plain TCP",
    version: "this tree",
    supports: |_| true,
    server: |seat, workload| server(seat, workload, PLAIN),
    client: |addresses, workload, meter| client::run(addresses, workload, meter, PLAIN),
};

/// Over TLS 1.3, both sides with certificates and the cookie.
pub const TLS: Side = Side {
    name: "farcall-tls",
    about: "the same over TLS 1.3, both sides with certificates and the cookie",
    version: "this tree",
    supports: |_| true,
    server: |seat, workload| server(seat, workload, ENCRYPTED),
    client: |addresses, workload, meter| client::run(addresses, workload, meter, ENCRYPTED),
};

/// With the idle spin.
pub const SPIN: Side = Side {
    name: "farcall-spin",
    about: "over plain TCP with idle_spin = 50us on both sides: looks again before it sleeps",
    version: "this tree",
    // Where a core is never idle there is nothing to show, and probes are about something else.
    supports: |workload| !workload.is_probe() && workload.clients == 1,
    server: |seat, workload| server(seat, workload, SPINNING),
    client: |addresses, workload, meter| client::run(addresses, workload, meter, SPINNING),
};

/// What sets the sides apart.
#[derive(Clone, Copy)]
struct Setting {
    driver: Driver,
    idle_spin: Option<Duration>,
}

const PLAIN: Setting = Setting { driver: Driver::Tcp, idle_spin: None };
const ENCRYPTED: Setting = Setting { driver: Driver::Tls, idle_spin: None };
const SPINNING: Setting = Setting { driver: Driver::Tcp, idle_spin: Some(Duration::from_micros(50)) };

fn server_name(number: usize) -> String {
    format!("server{number}@127.0.0.1")
}

fn actor_name(number: u32) -> String {
    format!("actor{number}")
}

/// A node that does not listen.
fn node(name: &str, workload: &Workload, setting: Setting) -> Result<NodeBuilder> {
    let cookie = Cookie::new(b"a cookie for benchmarks on loopback only")?;
    let traffic = workload.traffic;
    let builder =
        Node::builder(name).no_listener().driver(setting.driver).cookie(cookie).configure(move |config| {
            config.idle_spin = setting.idle_spin;
            match traffic {
                Traffic::Spread { outstanding, .. } => {
                    config.connections_per_node_max = 1 << 16;
                    config.in_flight_max = config.in_flight_max.max(2 * outstanding as usize);
                    (config.names_max, config.routes_max) = (1 << 18, 1 << 16);
                }
                Traffic::Idle { .. } => config.connections_per_node_max = 1 << 16,
                Traffic::Calls { outstanding, .. } => {
                    config.in_flight_max = config.in_flight_max.max(2 * outstanding as usize);
                }
                _ => {}
            }
        });
    Ok(match setting.driver {
        Driver::Tcp => builder,
        Driver::Tls => builder.tls(material(name)?),
    })
}

async fn listening(
    name: &str,
    workload: &Workload,
    setting: Setting,
    told: &Arc<AtomicU64>,
) -> Result<(Node, SocketAddr)> {
    let any_port = [SocketAddr::from(([127, 0, 0, 1], 0))];
    let builder = node(name, workload, setting)?;
    let builder = match setting.driver {
        Driver::Tcp => builder.listen(any_port),
        Driver::Tls => builder.listen_tls(any_port),
    };
    let node = builder.start().await?;
    let names = ["small".to_owned(), "large".to_owned()].into_iter();
    let many = match workload.traffic {
        Traffic::Spread { actors, .. } => actors,
        _ => 0,
    };
    for name in names.chain((0..many).map(actor_name)) {
        node.register(&name, Answerer { told: told.clone() }.start())?.keep();
    }
    let address = node.listening_on().first().copied();
    Ok((node, address.ok_or_else(|| anyhow!("not listening"))?))
}

fn server(seat: &ServerSeat, workload: &Workload, setting: Setting) -> Result<Infallible> {
    raise_open_files()?;
    System::new().block_on(async {
        // All nodes of a fan-out share one process and one arbiter: what is measured is the fan-out.
        let count = match workload.traffic {
            Traffic::Fan { nodes, .. } => nodes as usize,
            _ => 1,
        };
        let (mut nodes, mut addresses) = (Vec::new(), Vec::new());
        for number in 0..count {
            let (node, address) = listening(&server_name(number), workload, setting, &seat.counter()).await?;
            nodes.push(node);
            addresses.push(address);
        }
        seat.listening(addresses)?;
        std::future::pending().await
    })
}
