//! ractor with ractor_cluster: an actor in a process group, called from another node.
//!
//! One connection without TLS, a current-thread runtime on both sides, messages as bytes by postcard: ractor wants
//! a conversion to bytes of its user's own.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use farcall_bench::child::ServerSeat;
use farcall_bench::drive;
use farcall_bench::meter::{ClientSample, Meter};
use farcall_bench::side::Side;
use farcall_bench::workload::{Echo, Record, Traffic, Workload};
use ractor::{Actor, ActorProcessingErr, ActorRef, BytesConvertable, RpcReplyPort, pg};
use ractor_cluster::{NodeServer, NodeServerMessage, RactorClusterMessage, client_connect};
use serde::{Serialize, de::DeserializeOwned};

use crate::{block_on, calls_and_casts, free_port};

/// The entry in the table of implementations.
pub(crate) const SIDE: Side = Side {
    name: "ractor",
    about: "ractor_cluster over TCP, an actor in a process group, postcard",
    version: env!("VERSION_ractor_cluster"),
    supports: calls_and_casts,
    server: |seat, _| serve(seat),
    client: call,
};

/// Carried as postcard.
struct Packed<T>(T);

impl<T: Serialize + DeserializeOwned> BytesConvertable for Packed<T> {
    #[expect(clippy::expect_used, reason = "ractor's trait has no errors: it asks for a panic")]
    fn into_bytes(self) -> Vec<u8> {
        postcard::to_stdvec(&self.0).expect("a message that can be encoded")
    }

    #[expect(clippy::expect_used, reason = "ractor's trait has no errors: it asks for a panic")]
    fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(postcard::from_bytes(&bytes).expect("what the peer has encoded"))
    }
}

#[derive(RactorClusterMessage)]
enum Request {
    #[rpc]
    Echo(Packed<Echo>, RpcReplyPort<Packed<Echo>>),
    #[rpc]
    Later(Packed<Echo>, RpcReplyPort<Packed<Echo>>),
    #[rpc]
    Entry(Packed<Record>, RpcReplyPort<Packed<Record>>),
    #[rpc]
    Large(Vec<u8>, RpcReplyPort<Vec<u8>>),
    Tell(Packed<Echo>),
}

struct Answerer;

impl Actor for Answerer {
    type Msg = Request;
    type State = Arc<AtomicU64>;
    type Arguments = Arc<AtomicU64>;

    async fn pre_start(
        &self,
        myself: ActorRef<Request>,
        told: Arc<AtomicU64>,
    ) -> Result<Self::State, ActorProcessingErr> {
        pg::join(GROUP.to_owned(), vec![myself.get_cell()]);
        Ok(told)
    }

    async fn handle(
        &self,
        _: ActorRef<Request>,
        request: Request,
        told: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match request {
            Request::Echo(echo, port) => port.send(echo)?,
            Request::Later(echo, port) => {
                tokio::spawn(async move {
                    tokio::task::yield_now().await;
                    // Whoever does not wait any more needs no answer.
                    let _ = port.send(echo);
                });
            }
            Request::Entry(record, port) => port.send(record)?,
            Request::Large(bytes, port) => port.send(bytes)?,
            Request::Tell(_) => drop(told.fetch_add(1, Ordering::Relaxed)),
        }
        Ok(())
    }
}

const GROUP: &str = "answerers";

async fn node(name: &str, port: u16) -> Result<ActorRef<NodeServerMessage>> {
    let cookie = "a cookie for benchmarks on loopback only".to_owned();
    let server = NodeServer::new(port, cookie, name.to_owned(), "127.0.0.1".to_owned(), None, None)
        .with_listen_addr(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let (server, _) = Actor::spawn(None, server, ()).await.map_err(|error| anyhow!("{error}"))?;
    Ok(server)
}

fn serve(seat: &ServerSeat) -> Result<Infallible> {
    block_on(async {
        let port = free_port()?;
        let told = seat.counter();
        let _answerer = Actor::spawn(None, Answerer, told).await.map_err(|error| anyhow!("{error}"))?;
        let _node = node("server", port).await?;
        seat.listening([SocketAddr::from((Ipv4Addr::LOCALHOST, port))])?;
        std::future::pending().await
    })
}

fn call(addresses: &[SocketAddr], workload: &Workload, meter: Rc<Meter>) -> Result<ClientSample> {
    block_on(async {
        let server = addresses.first().context("no server")?;
        let node = node(&format!("client{}", std::process::id()), 0).await?;
        client_connect(&node, *server).await.map_err(|error| anyhow!("{error}"))?;
        let caller = Caller(find().await?);
        if workload.traffic == Traffic::Casts {
            drive::spawn(tell(caller));
            return meter.phases().await;
        }
        drive::run(caller, workload, meter).await
    })
}

/// The group is there once the nodes have told each other about theirs.
async fn find() -> Result<ActorRef<Request>> {
    for _ in 0..400 {
        if let Some(cell) = pg::get_members(&GROUP.to_owned()).into_iter().next() {
            return Ok(cell.into());
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    Err(anyhow!("ractor's group was not found in 10 s"))
}

/// Nothing holds back who casts, so every so often it calls and waits.
async fn tell(caller: Caller) -> Result<()> {
    let mut number = 0u32;
    loop {
        for _ in 0..UNANSWERED {
            number = number.wrapping_add(1);
            caller.0.cast(Request::Tell(Packed(Echo::numbered(number))))?;
        }
        drive::Client::echo(&caller, Echo::numbered(number)).await?;
    }
}

const UNANSWERED: u32 = 1024;

#[derive(Clone)]
struct Caller(ActorRef<Request>);

impl Caller {
    async fn ask<T: ractor::Message>(&self, request: impl FnOnce(RpcReplyPort<T>) -> Request) -> Result<T> {
        match self.0.call(request, Some(WITHIN)).await? {
            ractor::rpc::CallResult::Success(answer) => Ok(answer),
            ractor::rpc::CallResult::Timeout => Err(anyhow!("no answer within {WITHIN:?}")),
            ractor::rpc::CallResult::SenderError => Err(anyhow!("the call was dropped")),
        }
    }
}

/// A deadline, as every call of farcall has one.
const WITHIN: Duration = Duration::from_secs(10);

impl drive::Client for Caller {
    async fn echo(&self, echo: Echo) -> Result<Echo> {
        Ok(self.ask(|port| Request::Echo(Packed(echo), port)).await?.0)
    }

    async fn record(&self, record: Record) -> Result<Record> {
        Ok(self.ask(|port| Request::Entry(Packed(record), port)).await?.0)
    }

    async fn later(&self, echo: Echo) -> Result<Echo> {
        Ok(self.ask(|port| Request::Later(Packed(echo), port)).await?.0)
    }

    async fn bytes(&self, bytes: Vec<u8>) -> Result<Vec<u8>> {
        self.ask(|port| Request::Large(bytes, port)).await
    }
}
