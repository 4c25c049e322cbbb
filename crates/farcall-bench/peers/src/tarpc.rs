//! tarpc over TCP, with its bincode format and with postcard.
//!
//! One connection, a current-thread runtime on both sides, Nagle's delay off. A request's handler is spawned, as
//! tarpc's own examples do. The limit of requests in flight is raised to what the workloads keep outstanding.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::{Pin, pin};
use std::rc::Rc;

use anyhow::Result;
use bytes::{Bytes, BytesMut};
use farcall_bench::child::ServerSeat;
use farcall_bench::drive;
use farcall_bench::meter::{ClientSample, Meter};
use farcall_bench::side::Side;
use farcall_bench::workload::{Blob, Echo, Record, Workload};
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use tarpc::server::{BaseChannel, Channel};
use tarpc::{client, context, serde_transport};
use tokio::net::{TcpListener, TcpStream};
use tokio_serde::formats::Bincode;
use tokio_serde::{Deserializer, Serializer};
use tokio_util::codec::{Framed, LengthDelimitedCodec};

use crate::{block_on, only_calls};

/// As it comes.
pub(crate) const BINCODE: Side = Side {
    name: "tarpc",
    about: "tarpc over TCP, bincode, one connection, a spawned task per request",
    version: env!("VERSION_tarpc"),
    supports: only_calls,
    server: |seat, _| serve(seat, Format::Bincode),
    client: |addresses, workload, meter| call(addresses, workload, meter, Format::Bincode),
};

/// With the format that farcall uses.
pub(crate) const POSTCARD: Side = Side {
    name: "tarpc-postcard",
    about: "the same with a postcard codec",
    version: env!("VERSION_tarpc"),
    supports: only_calls,
    server: |seat, _| serve(seat, Format::Postcard),
    client: |addresses, workload, meter| call(addresses, workload, meter, Format::Postcard),
};

#[tarpc::service]
trait Bench {
    async fn echo(echo: Echo) -> Echo;
    async fn later(echo: Echo) -> Echo;
    async fn record(record: Record) -> Record;
    async fn bytes(bytes: Blob) -> Blob;
}

#[derive(Clone)]
struct Answerer;

impl Bench for Answerer {
    async fn echo(self, _: context::Context, echo: Echo) -> Echo {
        echo
    }

    async fn later(self, _: context::Context, echo: Echo) -> Echo {
        tokio::task::yield_now().await;
        echo
    }

    async fn record(self, _: context::Context, record: Record) -> Record {
        record
    }

    async fn bytes(self, _: context::Context, bytes: Blob) -> Blob {
        bytes
    }
}

/// How messages become bytes.
#[derive(Clone, Copy)]
enum Format {
    Bincode,
    Postcard,
}

impl<Item: Serialize> Serializer<Item> for Format {
    type Error = io::Error;

    fn serialize(self: Pin<&mut Self>, item: &Item) -> io::Result<Bytes> {
        match *self {
            Self::Bincode => pin!(Bincode::<Item, Item>::default()).serialize(item),
            Self::Postcard => postcard::to_stdvec(item).map(Bytes::from).map_err(io::Error::other),
        }
    }
}

impl<Item: for<'a> Deserialize<'a>> Deserializer<Item> for Format {
    type Error = io::Error;

    fn deserialize(self: Pin<&mut Self>, bytes: &BytesMut) -> io::Result<Item> {
        match *self {
            Self::Bincode => pin!(Bincode::<Item, Item>::default()).deserialize(bytes),
            Self::Postcard => postcard::from_bytes(bytes).map_err(io::Error::other),
        }
    }
}

fn framed(stream: TcpStream) -> io::Result<Framed<TcpStream, LengthDelimitedCodec>> {
    stream.set_nodelay(true)?;
    Ok(Framed::new(stream, LengthDelimitedCodec::new()))
}

fn serve(seat: &ServerSeat, format: Format) -> Result<Infallible> {
    block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        seat.listening([listener.local_addr()?])?;
        loop {
            let (stream, _) = listener.accept().await?;
            let channel = BaseChannel::with_defaults(serde_transport::new(framed(stream)?, format));
            tokio::spawn(channel.execute(Answerer.serve()).for_each(|answering| async {
                tokio::spawn(answering);
            }));
        }
    })
}

fn call(
    addresses: &[SocketAddr],
    workload: &Workload,
    meter: Rc<Meter>,
    format: Format,
) -> Result<ClientSample> {
    block_on(async {
        let stream = TcpStream::connect(addresses).await?;
        let mut config = client::Config::default();
        config.max_in_flight_requests = OUTSTANDING_MAX;
        config.pending_request_buffer = OUTSTANDING_MAX;
        let client = BenchClient::new(config, serde_transport::new(framed(stream)?, format)).spawn();
        drive::run(Caller(client), workload, meter).await
    })
}

/// What the workloads keep outstanding, and some room.
const OUTSTANDING_MAX: usize = 2048;

#[derive(Clone)]
struct Caller(BenchClient);

impl drive::Client for Caller {
    async fn echo(&self, echo: Echo) -> Result<Echo> {
        Ok(self.0.echo(context::current(), echo).await?)
    }

    async fn record(&self, record: Record) -> Result<Record> {
        Ok(self.0.record(context::current(), record).await?)
    }

    async fn later(&self, echo: Echo) -> Result<Echo> {
        Ok(self.0.later(context::current(), echo).await?)
    }

    async fn bytes(&self, bytes: Vec<u8>) -> Result<Vec<u8>> {
        Ok(self.0.bytes(context::current(), Blob(bytes)).await?.0)
    }
}
