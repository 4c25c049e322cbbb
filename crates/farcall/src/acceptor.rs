//! Acceptors: one actor per inbound connection. It owns the connection's life; its task moves the bytes.
//!
//! The task runs the handshake, then the pump. When the actor stops, the task is aborted; when the task ends, the
//! actor stops. Either way the port is closed and the table has one entry less.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use actix::{Actor, ActorContext, Addr, AsyncContext, Context as ActorCtx, Handler, Message};
use bytes::BytesMut;
use farcall_proto::link::handshake::{Admission, PeerParams};
use farcall_proto::link::{AcceptorLink, LossCause};
use farcall_proto::peer::NodeName;
use futures::future::LocalBoxFuture;
use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;

use crate::context::Context;
use crate::dispatch::Dispatch;
use crate::handshaking;
use crate::heartbeat::Pulse;
use crate::logging::limited;
use crate::port::AnswerPort;
use crate::transport::{Ended, Pump};

/// The actor of one inbound connection.
pub(crate) struct Acceptor {
    work: Option<LocalBoxFuture<'static, ()>>,
    task: Option<JoinHandle<()>>,
}

impl Actor for Acceptor {
    type Context = ActorCtx<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let Some(work) = self.work.take() else { return ctx.stop() };
        let own = ctx.address();
        // The pump is a task of its own: in an actor's context it would be polled at each of the actor's wakes.
        self.task = Some(actix_rt::spawn(async move {
            work.await;
            own.do_send(Stop);
        }));
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// Ends the connection at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stop;

impl Message for Stop {
    type Result = ();
}

impl Handler<Stop> for Acceptor {
    type Result = ();

    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) {
        ctx.stop();
    }
}

/// All inbound connections that are up.
#[derive(Debug, Default)]
pub(crate) struct Acceptors {
    next: AtomicU64,
    table: Mutex<HashMap<u64, Entry, ahash::RandomState>>,
}

#[derive(Debug, Clone)]
struct Entry {
    port: Arc<AnswerPort>,
    actor: Addr<Acceptor>,
}

impl Acceptors {
    pub(crate) fn len(&self) -> usize {
        self.table.lock().len()
    }

    /// The peers that are connected, one entry per connection.
    pub(crate) fn peers(&self) -> Vec<NodeName> {
        self.table.lock().values().map(|entry| entry.port.peer().clone()).collect()
    }

    /// Every port, to say goodbye on.
    pub(crate) fn ports(&self) -> Vec<Arc<AnswerPort>> {
        self.table.lock().values().map(|entry| entry.port.clone()).collect()
    }

    /// Ends the connections of one peer, or all; gives how many.
    pub(crate) fn stop(&self, peer: Option<&NodeName>) -> usize {
        let entries: Vec<_> = self.table.lock().values().cloned().collect();
        let chosen = entries.iter().filter(|entry| peer.is_none_or(|peer| entry.port.peer() == peer));
        chosen.map(|entry| entry.actor.do_send(Stop)).count()
    }
}

/// A connection in the table, until it is dropped.
struct Seat {
    acceptors: Arc<Acceptors>,
    context: Arc<Context>,
    port: Arc<AnswerPort>,
    id: u64,
}

impl Seat {
    fn take(
        acceptors: &Arc<Acceptors>,
        context: &Arc<Context>,
        port: Arc<AnswerPort>,
        actor: Addr<Acceptor>,
    ) -> Self {
        let id = acceptors.next.fetch_add(1, Ordering::Relaxed);
        acceptors.table.lock().insert(id, Entry { port: port.clone(), actor });
        context.metrics.acceptors.up();
        Self { acceptors: acceptors.clone(), context: context.clone(), port, id }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.port.close();
        self.acceptors.table.lock().remove(&self.id);
        self.context.metrics.acceptors.down();
    }
}

/// Takes a connection from the listener. `half_open` is dropped when the handshake is over.
pub(crate) fn accept<I>(
    io: I,
    from: SocketAddr,
    context: &Arc<Context>,
    acceptors: &Arc<Acceptors>,
    half_open: impl Send + 'static,
    follow: impl FnOnce(&I) -> Option<Arc<Pulse>> + 'static,
) where
    I: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let (context, acceptors) = (context.clone(), acceptors.clone());
    Acceptor::create(|ctx| {
        let own = ctx.address();
        let work = async move {
            if let Some(greeted) = greet(io, from, &context, &acceptors).await {
                drop(half_open);
                let Greeted { io, peer, params, rest } = greeted;
                let (now, pulse) = (Instant::now(), follow(&io));
                let link = AcceptorLink::new(context.limits(), &params, now);
                let port = AnswerPort::new(link, peer, params.compress, context.clone(), now);
                let pump = |dispatch| Pump::new(io, dispatch, rest, pulse);
                serve(pump, port, &context, &acceptors, own).await;
            }
        };
        Acceptor { work: Some(Box::pin(work)), task: None }
    });
}

/// Takes this node's own loopback connection, on which nothing has to be proved.
pub(crate) fn accept_own<I>(io: I, context: &Arc<Context>, acceptors: &Arc<Acceptors>)
where
    I: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let (context, acceptors) = (context.clone(), acceptors.clone());
    Acceptor::create(|ctx| {
        let own = ctx.address();
        let work = async move {
            let (now, params) = (Instant::now(), context.own_params());
            let link = AcceptorLink::new(context.own_limits(), &params, now);
            let port = AnswerPort::new(link, context.name.clone(), params.compress, context.clone(), now);
            let pump = |dispatch| Pump::new(io, dispatch, BytesMut::new(), None);
            serve(pump, port, &context, &acceptors, own).await;
        };
        Acceptor { work: Some(Box::pin(work)), task: None }
    });
}

/// A connection whose peer is known.
struct Greeted<I> {
    io: I,
    peer: NodeName,
    params: PeerParams,
    /// What came behind the handshake.
    rest: BytesMut,
}

async fn greet<I>(mut io: I, from: SocketAddr, context: &Context, acceptors: &Acceptors) -> Option<Greeted<I>>
where
    I: AsyncRead + AsyncWrite + Unpin,
{
    let admission = if context.is_draining() {
        Admission::Draining
    } else if acceptors.len() >= context.config.acceptors_max {
        context.metrics.inbound_refused.up();
        Admission::Busy
    } else {
        Admission::Open
    };
    let handshake = handshaking::respond(&mut io, context, admission);
    let reason = match tokio::time::timeout(context.config.handshake_timeout, handshake).await {
        Ok(Ok((established, rest))) => {
            log::debug!(
                target: "farcall", node:% = context.name, peer:% = established.peer, from:% = from,
                key:% = established.key_id; "accepted"
            );
            let (peer, params) = (established.peer, established.params);
            return Some(Greeted { io, peer, params, rest });
        }
        Ok(Err(error)) => {
            let now = Instant::now();
            limited!(
                context.logs, now, error.reason(), log::Level::Warn, node:% = context.name, from:% = from;
                "refused a connection: {error}"
            );
            None
        }
        Err(_) => {
            let (now, limit) = (Instant::now(), context.config.handshake_timeout);
            limited!(
                context.logs, now, "handshake_timeout", log::Level::Warn, node:% = context.name, from:% = from;
                "refused a connection: no handshake within {limit:?}"
            );
            None
        }
    };
    context.metrics.handshakes_failed.up();
    reason
}

async fn serve<I>(
    pump: impl FnOnce(Dispatch) -> Pump<I, Dispatch>,
    port: Arc<AnswerPort>,
    context: &Arc<Context>,
    acceptors: &Arc<Acceptors>,
    actor: Addr<Acceptor>,
) where
    I: AsyncRead + AsyncWrite + Unpin,
{
    let now = Instant::now();
    let seat = Seat::take(acceptors, context, port.clone(), actor);
    let late = context.is_draining();
    if late {
        // The node began to drain while the handshake ran.
        port.goodbye(farcall_proto::link::frame::Goodbye::Draining);
    }
    let dispatch = Dispatch::new(context.clone(), port, now);
    let pump = pump(dispatch);
    let Ended { cause, .. } = if late {
        // Nobody may be left to stop it.
        let ended = tokio::time::timeout(context.config.drain_timeout, pump).await;
        ended.unwrap_or(Ended { cause: LossCause::Ended("this node is draining"), written: 0 })
    } else {
        pump.await
    };
    let peer = seat.port.peer();
    if let LossCause::Protocol(_) = cause {
        context.metrics.protocol_errors.up();
        let now = Instant::now();
        limited!(
            context.logs, now, cause.reason(), log::Level::Error, node:% = context.name, peer:% = peer;
            "closed an inbound connection: {cause}"
        );
    } else {
        log::debug!(
            target: "farcall", node:% = context.name, peer:% = peer, reason = cause.reason();
            "inbound connection ended: {cause}"
        );
    }
}
