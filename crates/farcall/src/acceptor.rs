//! Acceptors: one actor per inbound connection. It owns the connection's life; its task moves the bytes.
//!
//! The connection has proved itself at the [door](crate::door). When the actor stops, its task is aborted; when the
//! task ends, the actor stops. Either way the port is closed and the table has one entry less.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use actix::{Actor, ActorContext, Addr, AsyncContext, Context as ActorCtx, Handler, Message};
use bytes::BytesMut;
use farcall_proto::cluster::members::{LinkId, NodeDown, Peer};
use farcall_proto::link::handshake::Established;
use farcall_proto::link::{AcceptorLink, LossCause};
use farcall_proto::peer::{Incarnation, NodeName};
use futures::future::LocalBoxFuture;
use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;

use crate::context::Context;
use crate::dispatch::Dispatch;
use crate::driver::Driver;
use crate::flow::Up;
use crate::logging::limited;
use crate::namesakes::Namesakes;
use crate::port::AnswerPort;
use crate::transport::{Ended, Pump};
use crate::wire::Detached;

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
    /// Connections on their way from the door to their seat.
    arriving: AtomicUsize,
    table: Mutex<HashMap<u64, Entry, ahash::RandomState>>,
    /// Who may have a name that this node asks.
    pub(crate) namesakes: Arc<Namesakes>,
}

#[derive(Debug, Clone)]
struct Entry {
    port: Arc<AnswerPort>,
    incarnation: Incarnation,
    actor: Addr<Acceptor>,
}

impl Acceptors {
    pub(crate) fn len(&self) -> usize {
        self.table.lock().len()
    }

    /// Those that are up, and those that are about to be: an arbiter may be too busy to seat them.
    pub(crate) fn taken(&self) -> usize {
        self.len() + self.arriving.load(Ordering::Relaxed)
    }

    /// Counts a connection that is on its way to its seat.
    pub(crate) fn expect_one(self: &Arc<Self>) -> Arriving {
        self.arriving.fetch_add(1, Ordering::Relaxed);
        Arriving(self.clone())
    }

    /// The peers that are connected, one entry per connection.
    pub(crate) fn peers(&self) -> Vec<NodeName> {
        self.table.lock().values().map(|entry| entry.port.peer().clone()).collect()
    }

    /// Every port, to say goodbye on.
    pub(crate) fn ports(&self) -> Vec<Arc<AnswerPort>> {
        self.table.lock().values().map(|entry| entry.port.clone()).collect()
    }

    /// Every port, by its number, which a later one has not.
    pub(crate) fn numbered(&self) -> Vec<(u64, Arc<AnswerPort>)> {
        let table = self.table.lock();
        let mut all: Vec<_> = table.iter().map(|(id, entry)| (*id, entry.port.clone())).collect();
        drop(table);
        all.sort_by(|(a, one), (b, other)| (one.peer(), a).cmp(&(other.peer(), b)));
        all
    }

    /// Ends the connections of one process.
    pub(crate) fn turn_away(&self, peer: &NodeName, incarnation: Incarnation) {
        let entries: Vec<_> = self.table.lock().values().cloned().collect();
        let its = |entry: &&Entry| entry.incarnation == incarnation && entry.port.peer() == peer;
        entries.iter().filter(its).for_each(|entry| entry.actor.do_send(Stop));
    }

    /// Ends the connections of one peer, or all; gives how many.
    pub(crate) fn stop(&self, peer: Option<&NodeName>) -> usize {
        let entries: Vec<_> = self.table.lock().values().cloned().collect();
        let chosen = entries.iter().filter(|entry| peer.is_none_or(|peer| entry.port.peer() == peer));
        chosen.map(|entry| entry.actor.do_send(Stop)).count()
    }
}

/// A connection that has proved itself and has no seat yet, counted while it lives.
pub(crate) struct Arriving(Arc<Acceptors>);

impl Drop for Arriving {
    fn drop(&mut self) {
        self.0.arriving.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A connection in the table, until it is dropped.
struct Seat {
    acceptors: Arc<Acceptors>,
    context: Arc<Context>,
    port: Arc<AnswerPort>,
    id: u64,
    /// Why it ends, once that is known.
    cause: NodeDown,
}

impl Seat {
    fn take(
        acceptors: &Arc<Acceptors>,
        context: &Arc<Context>,
        port: Arc<AnswerPort>,
        incarnation: Incarnation,
        actor: Addr<Acceptor>,
    ) -> Self {
        let id = acceptors.next.fetch_add(1, Ordering::Relaxed);
        acceptors.table.lock().insert(id, Entry { port: port.clone(), incarnation, actor });
        context.metrics.acceptors.up();
        let cause = NodeDown::ConnectionLost;
        Self { acceptors: acceptors.clone(), context: context.clone(), port, id, cause }
    }
}

impl Seat {
    /// It counts as a sign that this peer is there.
    fn counts_for(&self, peer: Peer) {
        self.port.set_linked(self.context.members.link_up(LinkId::In(self.id), peer));
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.port.close();
        if let Some(linked) = self.port.linked() {
            linked.ended(self.cause);
        }
        self.acceptors.table.lock().remove(&self.id);
        self.context.metrics.acceptors.down();
    }
}

/// A connection that has proved itself at the door.
pub(crate) struct Arrived {
    pub(crate) wire: Detached,
    pub(crate) from: SocketAddr,
    pub(crate) driver: Driver,
    pub(crate) established: Established,
    /// What came behind the handshake.
    pub(crate) rest: BytesMut,
    pub(crate) arriving: Arriving,
}

/// Takes a connection from the door: its actor begins, on this arbiter.
pub(crate) fn accept(arrived: Arrived, context: &Arc<Context>, acceptors: &Arc<Acceptors>) {
    let (context, acceptors) = (context.clone(), acceptors.clone());
    Acceptor::create(|ctx| {
        let own = ctx.address();
        let work = async move {
            let Arrived { wire, from, driver, established, rest, arriving } = arrived;
            let Established { peer, params, incarnation, .. } = established;
            let wire = match wire.attach() {
                Ok(wire) => wire,
                Err(error) => {
                    let (node, logs) = (&context.name, &context.logs);
                    limited!(
                        logs, Instant::now(), "attach", log::Level::Error, node:% = node, peer:% = peer;
                        "lost a connection that had just come in: {error}"
                    );
                    return;
                }
            };
            if !acceptors.namesakes.came_in(&peer, incarnation, from) {
                // Known since it was at the door; it is told there when it comes again.
                return;
            }
            let (now, pulse) = (Instant::now(), context.heart.follow(wire.beats()));
            let link = AcceptorLink::new(context.limits(), &params, now);
            let member = Peer { name: peer.clone(), incarnation, hidden: params.is_hidden() };
            let port = AnswerPort::new(link, peer, params.compress, context.clone(), now);
            let spin = context.config.idle_spin;
            let pump = |dispatch| Pump::new(wire, dispatch, rest, Some(pulse)).spinning(spin);
            port.flow().begin(Up { since: now, at: Some((from, driver)) });
            // Commands come and go; what they say of themselves would push out what matters.
            if !member.hidden {
                context.logs.recent.note(
                    log::Level::Info,
                    "accepted",
                    &member.name,
                    format_args!("from {driver}://{from}"),
                );
            }
            let seat = Seat::take(&acceptors, &context, port, incarnation, own);
            seat.counts_for(member);
            drop(arriving);
            serve(pump, seat, Some(from)).await;
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
            let own_self = context.incarnation;
            port.flow().begin(Up { since: now, at: None });
            serve(pump, Seat::take(&acceptors, &context, port, own_self, own), None).await;
        };
        Acceptor { work: Some(Box::pin(work)), task: None }
    });
}

/// Serves a connection to its end. `from` is where it came from; nothing for this node's own.
async fn serve<I>(pump: impl FnOnce(Dispatch) -> Pump<I, Dispatch>, mut seat: Seat, from: Option<SocketAddr>)
where
    I: AsyncRead + AsyncWrite + Unpin,
{
    let now = Instant::now();
    let (context, port) = (&seat.context, seat.port.clone());
    let late = context.is_draining();
    if late {
        // The node began to drain while the handshake ran.
        port.goodbye(farcall_proto::link::frame::Goodbye::Draining);
    }
    let dispatch = Dispatch::new(context.clone(), port, from.is_none(), now);
    let pump = pump(dispatch);
    let Ended { cause, .. } = if late {
        // Nobody may be left to stop it.
        let ended = tokio::time::timeout(context.config.drain_timeout, pump).await;
        ended.unwrap_or(Ended { cause: LossCause::Ended("this node is draining"), written: 0 })
    } else {
        pump.await
    };
    seat.cause = NodeDown::from(&cause);
    let (context, peer) = (&seat.context, seat.port.peer());
    if let LossCause::Protocol(_) = cause {
        context.metrics.protocol_errors.up();
        let now = Instant::now();
        if let Some(from) = from {
            // Whoever proved itself and speaks nonsense waits before it is let in again.
            context.gate.lock().blame(from.ip(), now);
        }
        limited!(
            context.logs, now, cause.reason(), log::Level::Error, node:% = context.name, peer:% = peer;
            "closed an inbound connection: {cause}"
        );
    } else {
        let is_seen = seat.port.linked().is_some_and(|linked| !linked.peer().hidden);
        if is_seen {
            let text = format_args!("inbound connection ended: {cause}");
            context.logs.recent.note(log::Level::Info, cause.reason(), peer, text);
        }
        log::debug!(
            target: "farcall", node:% = context.name, peer:% = peer, reason = cause.reason();
            "inbound connection ended: {cause}"
        );
    }
}
