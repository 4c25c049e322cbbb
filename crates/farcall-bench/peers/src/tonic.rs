//! tonic: gRPC over HTTP/2, messages by prost.
//!
//! One channel, which is one connection; a current-thread runtime on both sides. The windows and the limit of
//! streams are raised to what the workloads need: with HTTP/2's 64 KiB a payload of 500 KiB would be measured in
//! window updates. Payloads are `Bytes`, which prost takes out of the received buffer without a copy.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;

use anyhow::{Context, Result};
use bytes::Bytes;
use farcall_bench::child::ServerSeat;
use farcall_bench::drive;
use farcall_bench::meter::{ClientSample, Meter};
use farcall_bench::side::Side;
use farcall_bench::workload::{Echo, Point, Record, Workload};
use tokio::net::TcpListener;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status};

use crate::{block_on, only_calls};

mod service {
    #![allow(missing_docs, unused_qualifications, clippy::all, reason = "written by tonic-build")]
    include!(concat!(env!("OUT_DIR"), "/farcall.bench.Bench.rs"));
}
use service::bench_client::BenchClient;
use service::bench_server::{Bench, BenchServer};

/// The entry in the table of implementations.
pub(crate) const SIDE: Side = Side {
    name: "tonic",
    about: "gRPC over HTTP/2 without TLS, messages by prost, one channel, windows of 8 MiB",
    version: env!("VERSION_tonic"),
    supports: only_calls,
    server: |seat, _| serve(seat),
    client: call,
};

/// [`Echo`] as a protobuf message: fixed-size integers, which are the cheapest for large values.
#[derive(Clone, PartialEq, ::prost::Message)]
pub(crate) struct Numbers {
    #[prost(fixed64, tag = "1")]
    a: u64,
    #[prost(fixed64, tag = "2")]
    b: u64,
    #[prost(fixed64, tag = "3")]
    c: u64,
    #[prost(fixed64, tag = "4")]
    d: u64,
    #[prost(fixed64, tag = "5")]
    e: u64,
    #[prost(fixed64, tag = "6")]
    f: u64,
    #[prost(fixed32, tag = "7")]
    g: u32,
    #[prost(fixed32, tag = "8")]
    h: u32,
}

impl From<Echo> for Numbers {
    fn from(Echo { a, b, c, d, e, f, g, h }: Echo) -> Self {
        Self { a, b, c, d, e, f, g, h }
    }
}

impl From<Numbers> for Echo {
    fn from(Numbers { a, b, c, d, e, f, g, h }: Numbers) -> Self {
        Self { a, b, c, d, e, f, g, h }
    }
}

/// [`Record`] as a protobuf message.
#[derive(Clone, PartialEq, ::prost::Message)]
pub(crate) struct Entry {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(string, repeated, tag = "3")]
    tags: Vec<String>,
    #[prost(message, repeated, tag = "4")]
    points: Vec<Spot>,
    #[prost(btree_map = "string, string", tag = "5")]
    attributes: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, ::prost::Message)]
pub(crate) struct Spot {
    #[prost(sint32, tag = "1")]
    x: i32,
    #[prost(sint32, tag = "2")]
    y: i32,
    #[prost(uint32, tag = "3")]
    weight: u32,
}

impl From<Record> for Entry {
    fn from(Record { id, name, tags, points, attributes }: Record) -> Self {
        let spot = |Point { x, y, weight }| Spot { x, y, weight: u32::from(weight) };
        Self { id, name, tags, points: points.into_iter().map(spot).collect(), attributes }
    }
}

impl TryFrom<Entry> for Record {
    type Error = anyhow::Error;

    fn try_from(Entry { id, name, tags, points, attributes }: Entry) -> Result<Self> {
        let point = |Spot { x, y, weight }| {
            Ok(Point { x, y, weight: u16::try_from(weight).context("a weight beyond 16 bits")? })
        };
        Ok(Self { id, name, tags, points: points.into_iter().map(point).collect::<Result<_>>()?, attributes })
    }
}

/// Bytes as a protobuf message.
#[derive(Clone, PartialEq, ::prost::Message)]
pub(crate) struct Payload {
    #[prost(bytes = "bytes", tag = "1")]
    bytes: Bytes,
}

struct Answerer;

#[tonic::async_trait]
impl Bench for Answerer {
    async fn echo(&self, numbers: Request<Numbers>) -> Result<Response<Numbers>, Status> {
        Ok(Response::new(numbers.into_inner()))
    }

    async fn later(&self, numbers: Request<Numbers>) -> Result<Response<Numbers>, Status> {
        tokio::task::yield_now().await;
        Ok(Response::new(numbers.into_inner()))
    }

    async fn record(&self, entry: Request<Entry>) -> Result<Response<Entry>, Status> {
        Ok(Response::new(entry.into_inner()))
    }

    async fn bytes(&self, payload: Request<Payload>) -> Result<Response<Payload>, Status> {
        Ok(Response::new(payload.into_inner()))
    }
}

const WINDOW: u32 = 8 << 20;
const STREAMS: u32 = 2048;

fn serve(seat: &ServerSeat) -> Result<Infallible> {
    block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        seat.listening([listener.local_addr()?])?;
        Server::builder()
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .max_concurrent_streams(STREAMS)
            .add_service(BenchServer::new(Answerer))
            .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)))
            .await?;
        anyhow::bail!("tonic's server has ended")
    })
}

fn call(addresses: &[SocketAddr], workload: &Workload, meter: Rc<Meter>) -> Result<ClientSample> {
    block_on(async {
        let address = addresses.first().context("no server")?;
        let channel = Endpoint::try_from(format!("http://{address}"))?
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .tcp_nodelay(true)
            .connect()
            .await?;
        drive::run(Caller(BenchClient::new(channel)), workload, meter).await
    })
}

#[derive(Clone)]
struct Caller(BenchClient<Channel>);

impl drive::Client for Caller {
    async fn echo(&self, echo: Echo) -> Result<Echo> {
        Ok(self.0.clone().echo(Numbers::from(echo)).await?.into_inner().into())
    }

    async fn record(&self, record: Record) -> Result<Record> {
        self.0.clone().record(Entry::from(record)).await?.into_inner().try_into()
    }

    async fn later(&self, echo: Echo) -> Result<Echo> {
        Ok(self.0.clone().later(Numbers::from(echo)).await?.into_inner().into())
    }

    async fn bytes(&self, bytes: Vec<u8>) -> Result<Vec<u8>> {
        let payload = self.0.clone().bytes(Payload { bytes: bytes.into() }).await?.into_inner();
        Ok(payload.bytes.into())
    }
}
