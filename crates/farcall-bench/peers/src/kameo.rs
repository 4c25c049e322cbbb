//! kameo's remote actors over libp2p: TCP, Noise and yamux, which it does not do without.
//!
//! A swarm of kameo's behaviour alone, without mDNS: it listens on 127.0.0.1 and its client dials that address. A
//! current-thread runtime on both sides; limits of streams are raised to what the workloads keep outstanding.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use farcall_bench::child::ServerSeat;
use farcall_bench::drive;
use farcall_bench::meter::{ClientSample, Meter};
use farcall_bench::side::Side;
use farcall_bench::workload::{Blob, Echo, Record, Traffic, Workload};
use futures::StreamExt;
use kameo::prelude::*;
use libp2p::swarm::SwarmEvent;
use libp2p::{Multiaddr, Swarm, SwarmBuilder, multiaddr::Protocol, noise, tcp, yamux};
use serde::{Deserialize, Serialize};

use crate::{block_on, calls_and_casts};

/// The entry in the table of implementations.
pub(crate) const SIDE: Side = Side {
    name: "kameo",
    about: "kameo's remote actors over libp2p: TCP, Noise (encrypted), yamux; no mDNS",
    version: env!("VERSION_kameo"),
    supports: calls_and_casts,
    server: |seat, _| serve(seat),
    client: call,
};

#[derive(Actor, RemoteActor)]
struct Answerer {
    told: Arc<AtomicU64>,
}

#[derive(Reply, Serialize, Deserialize)]
struct Small(Echo);

#[derive(Reply, Serialize, Deserialize)]
struct Later(Echo);

#[derive(Reply, Serialize, Deserialize)]
struct Entry(Record);

#[derive(Reply, Serialize, Deserialize)]
struct Large(Blob);

#[derive(Serialize, Deserialize)]
struct Tell(Echo);

#[remote_message]
impl Message<Small> for Answerer {
    type Reply = Small;

    async fn handle(&mut self, small: Small, _: &mut Context<Self, Small>) -> Small {
        small
    }
}

#[remote_message]
impl Message<Later> for Answerer {
    type Reply = DelegatedReply<Later>;

    async fn handle(
        &mut self,
        later: Later,
        context: &mut Context<Self, DelegatedReply<Later>>,
    ) -> Self::Reply {
        context.spawn(async move {
            tokio::task::yield_now().await;
            later
        })
    }
}

#[remote_message]
impl Message<Entry> for Answerer {
    type Reply = Entry;

    async fn handle(&mut self, entry: Entry, _: &mut Context<Self, Entry>) -> Entry {
        entry
    }
}

#[remote_message]
impl Message<Large> for Answerer {
    type Reply = Large;

    async fn handle(&mut self, large: Large, _: &mut Context<Self, Large>) -> Large {
        large
    }
}

#[remote_message]
impl Message<Tell> for Answerer {
    type Reply = ();

    async fn handle(&mut self, _: Tell, _: &mut Context<Self, ()>) {
        self.told.fetch_add(1, Ordering::Relaxed);
    }
}

const NAME: &str = "answerer";

/// What the workloads keep outstanding, and some room.
const STREAMS: usize = 4096;

fn swarm() -> Result<Swarm<remote::Behaviour>> {
    let multiplexed = || {
        let mut config = yamux::Config::default();
        config.set_max_num_streams(STREAMS);
        config
    };
    let messaging = remote::messaging::Config::default().with_max_concurrent_streams(STREAMS);
    let swarm = SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, multiplexed)?
        .with_behaviour(|key| remote::Behaviour::new(key.public().to_peer_id(), messaging))?
        .build();
    swarm.behaviour().try_init_global()?;
    Ok(swarm)
}

fn serve(seat: &ServerSeat) -> Result<Infallible> {
    block_on(async {
        let mut swarm = swarm()?;
        swarm.listen_on("/ip4/127.0.0.1/tcp/0".parse()?)?;
        let told = seat.counter();
        tokio::spawn(async move {
            let answerer = Answerer::spawn(Answerer { told });
            if let Err(error) = answerer.register(NAME).await {
                eprintln!("kameo: cannot register: {error}");
                std::process::exit(1);
            }
            std::future::pending::<()>().await;
        });
        loop {
            if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
                seat.listening([socket_address(&address)?])?;
            }
        }
    })
}

fn socket_address(address: &Multiaddr) -> Result<SocketAddr> {
    let parts: Vec<_> = address.iter().collect();
    match parts.as_slice() {
        [Protocol::Ip4(ip), Protocol::Tcp(port), ..] => Ok(SocketAddr::from((*ip, *port))),
        _ => bail!("{address} is not a TCP address"),
    }
}

fn call(addresses: &[SocketAddr], workload: &Workload, meter: Rc<Meter>) -> Result<ClientSample> {
    block_on(async {
        let server = addresses.first().context("no server")?;
        let mut swarm = swarm()?;
        swarm.dial(Multiaddr::from(server.ip()).with(Protocol::Tcp(server.port())))?;
        tokio::spawn(async move {
            loop {
                // What mDNS would do for it: who is there, and where.
                if let SwarmEvent::ConnectionEstablished { peer_id, endpoint, .. } =
                    swarm.select_next_some().await
                {
                    swarm.add_peer_address(peer_id, endpoint.get_remote_address().clone());
                }
            }
        });
        let caller = Caller(find().await?);
        if workload.traffic == Traffic::Casts {
            for number in 0..TELLERS {
                drive::spawn(tell(caller.0.clone(), number));
            }
            return meter.phases().await;
        }
        drive::run(caller, workload, meter).await
    })
}

/// The name is there once the nodes have found each other, which takes a while.
async fn find() -> Result<RemoteActorRef<Answerer>> {
    for _ in 0..400 {
        if let Ok(Some(actor)) = RemoteActorRef::<Answerer>::lookup(NAME).await {
            return Ok(actor);
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    Err(anyhow!("kameo's actor was not found in 10 s"))
}

/// Nothing holds back who tells, so every so often it asks and waits.
async fn tell(actor: RemoteActorRef<Answerer>, first: u32) -> Result<()> {
    let mut number = first;
    loop {
        for _ in 0..UNANSWERED {
            number = number.wrapping_add(TELLERS);
            actor.tell(&Tell(Echo::numbered(number))).send()?;
        }
        actor.ask(&Small(Echo::numbered(number))).await?;
    }
}

const TELLERS: u32 = 4;
const UNANSWERED: u32 = 256;

#[derive(Clone)]
struct Caller(RemoteActorRef<Answerer>);

impl drive::Client for Caller {
    async fn echo(&self, echo: Echo) -> Result<Echo> {
        Ok(self.0.ask(&Small(echo)).await?.0)
    }

    async fn record(&self, record: Record) -> Result<Record> {
        Ok(self.0.ask(&Entry(record)).await?.0)
    }

    async fn later(&self, echo: Echo) -> Result<Echo> {
        Ok(self.0.ask(&Later(echo)).await?.0)
    }

    async fn bytes(&self, bytes: Vec<u8>) -> Result<Vec<u8>> {
        Ok(self.0.ask(&Large(Blob(bytes))).await?.0.0)
    }
}
