//! The calling process.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use anyhow::{Result, bail, ensure};
use farcall::prelude::*;

use super::actors::{Large, Later, Tell};
use super::{Setting, actor_name, listening, node, server_name};
use crate::child::{Note, tell};
use crate::drive::{self, Client, spawn};
use crate::meter::{ClientSample, Meter};
use crate::usage::raise_open_files;
use crate::workload::{Echo, Fan, Record, Traffic, Workload};

pub(super) fn run(
    addresses: &[SocketAddr],
    workload: &Workload,
    meter: Rc<Meter>,
    setting: Setting,
) -> Result<ClientSample> {
    raise_open_files()?;
    System::new().block_on(async {
        if workload.traffic == Traffic::Start {
            return start(workload, &meter, setting).await;
        }
        // Several clients of one server are several nodes.
        let mut builder = node(&format!("client{}@127.0.0.1", std::process::id()), workload, setting)?;
        for (number, address) in addresses.iter().enumerate() {
            builder = builder.node(server_name(number), address.to_string());
        }
        let node = builder.start().await?;
        for number in 0..addresses.len() {
            node.wait_for(&server_name(number).parse::<Target>()?, "large").await?;
        }
        let server: Target = server_name(0).parse()?;
        match workload.traffic {
            Traffic::Casts => spawn(cast(node, server)),
            Traffic::Fan { verb, .. } => {
                let targets: Vec<Target> = (0..addresses.len())
                    .map(|number| server_name(number).parse())
                    .collect::<Result<_, _>>()?;
                spawn(fan_out(node, targets, verb, meter.clone()));
            }
            Traffic::Spread { connections, actors, outstanding } => {
                open(&node, &server, connections).await?;
                for number in 0..outstanding {
                    let target = key(&server, number % connections, connections);
                    let (node, meter) = (node.clone(), meter.clone());
                    spawn(spread(node, target, number, actors, meter));
                }
            }
            Traffic::Idle { connections } => {
                meter.base()?;
                open(&node, &server, connections).await?;
            }
            _ => return drive::run(Caller { node, server }, workload, meter).await,
        }
        meter.phases().await
    })
}

#[derive(Clone)]
struct Caller {
    node: Node,
    server: Target,
}

impl Client for Caller {
    async fn echo(&self, echo: Echo) -> Result<Echo> {
        Ok(self.node.call(&self.server, "small", echo).await?)
    }

    async fn record(&self, record: Record) -> Result<Record> {
        Ok(self.node.call(&self.server, "small", record).await?)
    }

    async fn later(&self, echo: Echo) -> Result<Echo> {
        Ok(self.node.call(&self.server, "small", Later { echo }).await?)
    }

    async fn bytes(&self, bytes: Vec<u8>) -> Result<Vec<u8>> {
        Ok(self.node.call(&self.server, "large", Large { bytes }).await?)
    }
}

/// Casts as fast as the queue takes them; every so often waits until the peer's mailbox has them all.
async fn cast(node: Node, server: Target) -> Result<()> {
    let mut number = 0u32;
    loop {
        for _ in 0..CASTS_AT_A_TIME {
            number = number.wrapping_add(1);
            match node.cast(&server, "small", Tell { echo: Echo::numbered(number) }) {
                Ok(_) => {}
                Err(error) if error.class() == Class::NotSent => break,
                Err(error) => return Err(error.into()),
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

/// One fan-out after the other.
async fn fan_out(node: Node, targets: Vec<Target>, verb: Fan, meter: Rc<Meter>) -> Result<()> {
    let mut number = 0u32;
    loop {
        number = number.wrapping_add(1);
        let begun = meter.begin();
        match verb {
            Fan::Multicall => {
                let all = node.multicall(&targets[..], "small", Echo::numbered(number)).await;
                ensure!(all.len() == targets.len(), "{} answers of {}", all.len(), targets.len());
                for (target, answer) in all {
                    let answer = answer?;
                    ensure!(answer == Echo::numbered(number), "a wrong answer of {target}: {answer:?}");
                }
            }
            Fan::Sbcast => {
                let report = node.sbcast(&targets[..], "small", Tell { echo: Echo::numbered(number) }).await;
                ensure!(report.failed.is_empty(), "not everybody has it: {report:?}");
            }
        }
        meter.finish(begun);
    }
}

/// A target whose calls take one of many connections.
fn key(server: &Target, number: u32, connections: u32) -> Target {
    if connections == 1 { server.clone() } else { server.with_key(number) }
}

/// Makes connections: a first call over each, a few at a time.
async fn open(node: &Node, server: &Target, connections: u32) -> Result<()> {
    let up_before = node.metrics().clients_up;
    let mut number = 0;
    // Keys share a connection now and then; what counts is how many there are.
    while node.metrics().clients_up < up_before + u64::from(connections.saturating_sub(1)) {
        ensure!(number < 4 * connections, "{number} keys have not opened {connections} connections");
        let target = key(server, number, connections.max(2));
        node.call(&target, "small", Echo::numbered(number)).await?;
        number += 1;
    }
    Ok(())
}

/// Calls the actors in turn.
async fn spread(node: Node, target: Target, first: u32, actors: u32, meter: Rc<Meter>) -> Result<()> {
    let names: Vec<String> =
        (0..actors.min(NAMES_MAX)).map(|actor| actor_name((first + actor * 7919) % actors)).collect();
    let mut number = first;
    for name in names.iter().cycle() {
        number = number.wrapping_add(1);
        let begun = meter.begin();
        let answer = node.call(&target, name, Echo::numbered(number)).await?;
        ensure!(answer == Echo::numbered(number), "a wrong answer: {answer:?}");
        meter.finish(begun);
    }
    bail!("there are no actors")
}

/// Each caller goes round so many names: 1,024 callers then use no more routes than a connection may have.
const NAMES_MAX: u32 = 60;

/// From nothing to the first answer.
async fn start(workload: &Workload, meter: &Meter, setting: Setting) -> Result<ClientSample> {
    let begun = Instant::now();
    let told = std::sync::Arc::default();
    let (_server, address) = listening(&server_name(0), workload, setting, &told).await?;
    let client = node("client@127.0.0.1", workload, setting)?.node(server_name(0), address.to_string());
    let client = client.start().await?;
    let answer = client.call(&server_name(0).parse::<Target>()?, "small", Echo::numbered(1)).await?;
    let took = begun.elapsed();
    ensure!(answer == Echo::numbered(1), "a wrong answer: {answer:?}");
    tell(&Note::Started(took.as_secs_f64() * 1e3))?;
    tokio::time::sleep(Duration::from_millis(1)).await;
    meter.phases().await
}
