//! Clients: one per target in use. The actor owns the connection's life; callers talk to the shared [`Conn`].
//!
//! ```text
//!        first request                    up                      ended
//!  Idle ──────────────► Opening ────────────────► Up ───────────────────► Idle
//!                          │ failed                                        ▲
//!                          └───────► Backoff (callers are told at once) ───┘ when it is over
//! ```
//! The actor resolves, dials, shakes hands and starts the pump, one attempt per message [`Dial`]. If it dies, its
//! connection is lost like any other, and the dispatcher starts another actor for the next attempt.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::{Actor, ActorContext, Context as ActorCtx, Handler, Message};
use bytes::BytesMut;
use farcall_proto::cluster::members::{LinkId, NodeDown, Peer};
use farcall_proto::failure::NotSent;
use farcall_proto::link::handshake::{Established, NAME_IN_USE, PeerParams};
use farcall_proto::link::{LossCause, PEER_DRAINING};
use farcall_proto::namesake::Namesake;
use farcall_proto::peer::NodeName;
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::acceptor::{self, Acceptors, Stop};
use crate::backoff::Backoff;
use crate::conn::{Asking, Conn};
use crate::context::Context;
use crate::discovery::Address;
use crate::driver::Driver;
use crate::flow::Up;
use crate::handshaking::{self, Proven};
use crate::logging::limited;
use crate::members::Linked;
use crate::namesakes::Held;
use crate::socket;
use crate::transport::{Ended, Pump};

/// Which connection to a node: the common one, or one of those that keys share.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ConnKey {
    pub(crate) node: NodeName,
    /// 0 is the common one.
    pub(crate) lane: u32,
}

/// One target in use, as callers see it.
#[derive(Debug)]
pub(crate) struct Client {
    key: ConnKey,
    context: Arc<Context>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    conn: Option<Arc<Conn>>,
    /// Take nothing new and still finish what they have.
    older: Vec<Arc<Conn>>,
    backoff: Backoff,
    /// What the last attempt ended with, told to callers until the backoff is over, and to whoever looks until one ends well.
    failure: NotSent,
}

impl State {
    fn forget(&mut self, conn: &Arc<Conn>) {
        if self.conn.as_ref().is_some_and(|current| Arc::ptr_eq(current, conn)) {
            self.conn = None;
        }
        self.older.retain(|older| !Arc::ptr_eq(older, conn));
    }
}

/// What a caller gets that wants to send now.
pub(crate) enum Way {
    /// Use this.
    Conn(Arc<Conn>),
    /// Use this, and have it dialled: its life begins, and if nobody takes that on, its callers are told.
    Fresh(Arc<Conn>, Life),
    /// Nothing for now.
    Closed(NotSent),
}

impl Client {
    pub(crate) fn new(key: ConnKey, context: Arc<Context>) -> Self {
        let backoff = Backoff::new(context.config.backoff_min, context.config.backoff_max);
        let failure = NotSent::ConnectFailed("never tried".into());
        Self { key, context, state: Mutex::new(State { conn: None, older: Vec::new(), backoff, failure }) }
    }

    pub(crate) fn node(&self) -> &NodeName {
        &self.key.node
    }

    /// The connection to use now; a fresh one has to be dialled.
    pub(crate) fn way(self: &Arc<Self>, now: Instant) -> Way {
        let mut state = self.state.lock();
        if let Some(conn) = &state.conn {
            if !conn.is_retired() {
                return Way::Conn(conn.clone());
            }
            if conn.closing() == Some(PEER_DRAINING) {
                return Way::Closed(NotSent::Draining(self.key.node.as_str().into()));
            }
        }
        if self.context.is_draining() {
            return Way::Closed(NotSent::Draining(self.context.name.as_str().into()));
        }
        // A caller's time may be a little behind; nobody is refused for that.
        if state.backoff.holds(now) && state.backoff.holds(Instant::now()) {
            return Way::Closed(state.failure.clone());
        }
        let limits = if self.is_own() { self.context.own_limits() } else { self.context.limits() };
        let conn = Arc::new(Conn::new(self.context.next_epoch(), limits, now));
        let older = state.conn.replace(conn.clone());
        state.older.extend(older);
        let client = self.clone();
        Way::Fresh(conn.clone(), Life { client, conn, up_since: None, held: None, linked: None, done: false })
    }

    /// Whether it leads to this node itself.
    fn is_own(&self) -> bool {
        self.key.node == self.context.name
    }

    /// Which connection to which node.
    pub(crate) fn key(&self) -> &ConnKey {
        &self.key
    }

    /// How long nobody dials (perhaps no longer), and what the last attempt ended with, if it failed.
    pub(crate) fn backing_off(&self, now: Instant) -> Option<(Duration, NotSent)> {
        let state = self.state.lock();
        state.backoff.left(now).map(|left| (left, state.failure.clone()))
    }

    /// Its connections in any state: one at most takes something new.
    pub(crate) fn conns(&self) -> Vec<Arc<Conn>> {
        let state = self.state.lock();
        state.conn.iter().chain(&state.older).cloned().collect()
    }

    /// The number of the connection, in any state, that takes what is sent now.
    pub(crate) fn epoch(&self) -> Option<u64> {
        self.state.lock().conn.as_ref().map(|conn| conn.epoch())
    }

    /// Whether its connection is up.
    pub(crate) fn is_up(&self) -> bool {
        self.state.lock().conn.as_ref().is_some_and(|conn| conn.is_up())
    }

    /// Nothing depends on it: no connection, no backoff to remember.
    pub(crate) fn is_idle(&self, now: Instant) -> bool {
        let state = self.state.lock();
        state.conn.is_none() && state.older.is_empty() && !state.backoff.holds(now)
    }

    fn attempt_failed(&self, conn: &Arc<Conn>, failed: Failed) {
        let Failed { failure, reason } = failed;
        let now = Instant::now();
        let mut state = self.state.lock();
        state.forget(conn);
        state.failure = failure.clone();
        let pause = state.backoff.failed(now, jitter());
        drop(state);
        let lost = conn.lost(failure.clone(), LossCause::Ended("never connected"), 0);
        self.note_lost_casts(lost.casts);
        self.context.metrics.dials_failed.up();
        limited!(
            self.context.logs, now, reason, log::Level::Warn,
            node:% = self.context.name, peer:% = self.key.node, retry_ms = pause.as_millis();
            "{failure}"
        );
    }

    fn note_lost_casts(&self, casts: u64) {
        if casts > 0 {
            self.context.metrics.casts_lost.add(casts);
        }
    }

    fn connected(&self, conn: &Conn, params: &PeerParams) {
        conn.connected(params, Instant::now());
        self.context.metrics.clients_up.up();
        let (node, lane) = (&self.key.node, self.key.lane);
        self.context.logs.recent.note(
            log::Level::Info,
            "connected",
            node,
            format_args!("connected, lane {lane}"),
        );
        log::info!(target: "farcall", node:% = self.context.name, peer:% = node, lane = lane; "connected");
    }

    /// A connection that was up has ended. The next one cannot be made before everybody was told of that.
    fn ended(&self, conn: &Arc<Conn>, ended: Ended, since: Instant, linked: Option<&Linked>) {
        let now = Instant::now();
        let Ended { cause, written } = ended;
        let mut state = self.state.lock();
        state.forget(conn);
        let orderly = matches!(cause, LossCause::Ended(_));
        // Where a successor has come in, somebody is there to answer.
        let replaced = matches!(cause, LossCause::Superseded);
        let failure = NotSent::Disconnected(cause.to_string().into());
        if orderly || replaced || now.saturating_duration_since(since) >= STABLE_AFTER {
            state.backoff.reset();
        } else if state.backoff.flapped(now, jitter()).is_some() {
            state.failure = failure.clone();
        }
        let lost = conn.lost(failure, cause.clone(), written);
        if let Some(linked) = linked {
            linked.ended(NodeDown::from(&cause));
        }
        drop(state);
        self.context.metrics.clients_up.down();
        if orderly {
            let (node, text) = (&self.key.node, format_args!("disconnected: {cause}"));
            self.context.logs.recent.note(log::Level::Info, cause.reason(), node, text);
            log::info!(
                target: "farcall", node:% = self.context.name, peer:% = self.key.node,
                reason = cause.reason(); "disconnected: {cause}"
            );
            return;
        }
        if lost.unsent_bytes > 0 {
            // How many of the unwritten bytes were casts is not counted; one at least may be lost.
            self.note_lost_casts(lost.casts.min(1));
        }
        self.context.metrics.clients_lost.up();
        limited!(
            self.context.logs, now, cause.reason(), log::Level::Warn,
            node:% = self.context.name, peer:% = self.key.node, unsent_bytes = lost.unsent_bytes;
            "connection lost: {cause}"
        );
    }
}

/// Where in its range a pause lies: peers do not come back in step.
fn jitter() -> f64 {
    crate::context::random::<2>().map_or(0.5, |bytes| f64::from(u16::from_le_bytes(bytes)) / 65_536.0)
}

/// A connection that lived this long was a good one: the next failure starts with the shortest backoff.
const STABLE_AFTER: Duration = Duration::from_secs(1);

/// The supervised actor of one target.
pub(crate) struct ClientActor {
    acceptors: Arc<Acceptors>,
    /// Of its connections; an older one may still finish its last requests.
    tasks: Vec<JoinHandle<()>>,
}

impl ClientActor {
    pub(crate) fn new(acceptors: Arc<Acceptors>) -> Self {
        Self { acceptors, tasks: Vec::new() }
    }
}

impl Actor for ClientActor {
    type Context = ActorCtx<Self>;

    fn stopped(&mut self, _: &mut Self::Context) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Handler<Stop> for ClientActor {
    type Result = ();

    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) {
        ctx.stop();
    }
}

/// Make this connection. The actor keeps no hold on its client, so that one nobody uses can be forgotten.
#[derive(Debug)]
pub(crate) struct Dial(pub(crate) Life);

impl Message for Dial {
    type Result = ();
}

impl Handler<Dial> for ClientActor {
    type Result = ();

    fn handle(&mut self, Dial(life): Dial, _: &mut Self::Context) {
        self.tasks.retain(|task| !task.is_finished());
        self.tasks.push(actix_rt::spawn(live(life, self.acceptors.clone())));
    }
}

/// One connection's life; however it ends, also before it began, every caller is told.
#[derive(Debug)]
pub(crate) struct Life {
    client: Arc<Client>,
    conn: Arc<Conn>,
    up_since: Option<Instant>,
    /// While it is up, to another process.
    held: Option<Held>,
    /// While it is up, a sign that the node is there.
    linked: Option<Arc<Linked>>,
    done: bool,
}

impl Drop for Life {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        // Nobody took it on, or the task was aborted or panicked: the client died.
        match self.up_since {
            Some(since) => {
                let ended = Ended { cause: LossCause::Io("the client stopped".into()), written: usize::MAX };
                self.client.ended(&self.conn, ended, since, self.linked.as_deref());
            }
            None => {
                let failure = NotSent::ConnectFailed("the client stopped".into());
                self.client.attempt_failed(&self.conn, failure.into());
            }
        }
    }
}

async fn live(mut life: Life, acceptors: Arc<Acceptors>) {
    let context = life.client.context.clone();
    let idle = context.config.client_idle;
    context.metrics.dials.up();
    if life.client.is_own() {
        // To this node itself: no socket, the same rules.
        let (ours, theirs) = tokio::io::duplex(OWN_LOOPBACK_BYTES);
        acceptor::accept_own(theirs, &context, &acceptors);
        life.client.connected(&life.conn, &context.own_params());
        life.conn.flow().begin(Up { since: Instant::now(), at: None });
        life.up_since = Some(Instant::now());
        let ended = Pump::new(ours, Asking::new(life.conn.clone(), idle), BytesMut::new(), None).await;
        life.end(ended);
        return;
    }
    let opened = tokio::select! {
        opened = open(&context, &life.client.key.node) => opened,
        never = sweep(&life.conn) => match never {},
    };
    match opened {
        Err(failed) => {
            life.done = true;
            life.client.attempt_failed(&life.conn, failed);
        }
        Ok((Proven { wire, established, rest }, at, driver)) => {
            wire.take_back_when_dropped();
            life.client.connected(&life.conn, &established.params);
            life.found(&acceptors, &established, at);
            let now = Instant::now();
            life.conn.flow().begin(Up { since: now, at: Some((at, driver)) });
            life.up_since = Some(now);
            let pulse = Some(context.heart.follow(wire.beats()));
            let asking = Asking::new(life.conn.clone(), idle).counting(life.linked.clone());
            let pump = Pump::new(wire, asking, rest, pulse);
            let ended = pump.spinning(context.config.idle_spin).await;
            life.end(ended);
        }
    }
}

impl Life {
    /// The connection leads to this process of the node, at this address.
    fn found(&mut self, acceptors: &Acceptors, established: &Established, at: SocketAddr) {
        let (node, context) = (&self.client.key.node, &self.client.context);
        let Established { incarnation, params, .. } = established;
        let (incarnation, hidden) = (*incarnation, params.is_hidden());
        let peer = Peer { name: node.clone(), incarnation, hidden };
        let link = LinkId::Out(self.conn.epoch());
        self.linked = Some(Arc::new(context.members.link_up(link, peer)));
        let (held, younger) = acceptors.namesakes.reached(node, incarnation, &self.conn);
        self.held = Some(held);
        let Some(Namesake { incarnation: younger, from }) = younger else { return };
        limited!(
            context.logs, Instant::now(), NAME_IN_USE, log::Level::Error, node:% = context.name, peer:% = node;
            "two processes have this name and live: the older one, {incarnation} at {at}, is asked, and the younger one, \
             {younger}, which came from {from}, is turned away: give one of them another name"
        );
        acceptors.turn_away(node, younger);
    }

    fn end(mut self, ended: Ended) {
        self.done = true;
        let since = self.up_since.unwrap_or_else(Instant::now);
        self.client.ended(&self.conn, ended, since, self.linked.as_deref());
    }
}

/// The buffer of this node's connection to itself, per direction.
const OWN_LOOPBACK_BYTES: usize = 256 * 1024;

/// While there is no connection yet, deadlines still pass.
async fn sweep(conn: &Conn) -> std::convert::Infallible {
    loop {
        let now = Instant::now();
        let next = conn.expire(now).map_or(SWEEP_EVERY, |deadline| deadline.saturating_duration_since(now));
        tokio::time::sleep(next.clamp(Duration::from_millis(1), SWEEP_EVERY)).await;
    }
}

/// A request that comes meanwhile is looked at within this.
const SWEEP_EVERY: Duration = Duration::from_millis(10);

/// Why there is no connection: what callers are told, and the word for the log.
struct Failed {
    failure: NotSent,
    reason: &'static str,
}

impl From<NotSent> for Failed {
    fn from(failure: NotSent) -> Self {
        Self { failure, reason: "connect" }
    }
}

/// Resolves, dials and shakes hands, each within its time. Gives also where the peer is, and how it is reached.
async fn open(context: &Context, node: &NodeName) -> Result<(Proven, SocketAddr, Driver), Failed> {
    let limit = context.config.connect_timeout;
    let deadline = tokio::time::Instant::now() + limit;
    let busy = || {
        let why = format!("{node}: too many other connections to it were being made within {limit:?}");
        NotSent::ConnectFailed(why.into())
    };
    let _turn = tokio::time::timeout_at(deadline, context.turns.take(node)).await.map_err(|_| busy())?;
    let mut pauses = TURNED_AWAY.into_iter();
    loop {
        let (stream, at, driver) = dial(context, node, deadline).await?;
        let limit = context.config.handshake_timeout;
        let mut reason = "connect";
        let handshake = handshaking::initiate(stream, driver, context, node.clone());
        let why = match tokio::time::timeout(limit, handshake).await {
            Ok(Ok(proven)) => return Ok((proven, at, driver)),
            Ok(Err(error)) => match pauses.next().filter(|_| error.is_silent()) {
                // The door of a node that is crowded was closed before anything was said.
                Some(pause) if tokio::time::Instant::now() + pause < deadline => {
                    tokio::time::sleep(pause).await;
                    continue;
                }
                _ => {
                    // The same word on both sides: whoever is turned away is to know that it is not its peer's fault.
                    if error.reason() == NAME_IN_USE {
                        reason = NAME_IN_USE;
                    }
                    format!("{node}: {error}")
                }
            },
            Err(_) => format!("{node} accepted the connection and said nothing useful for {limit:?}"),
        };
        context.metrics.handshakes_failed.up();
        return Err(Failed { failure: NotSent::HandshakeFailed(why.into()), reason });
    }
}

/// How long to wait until knocking again at a door that was closed without a word.
const TURNED_AWAY: [Duration; 3] =
    [Duration::from_millis(50), Duration::from_millis(100), Duration::from_millis(200)];

/// Tries every address of the node, best first, until one answers or the time is over.
async fn dial(
    context: &Context,
    node: &NodeName,
    deadline: tokio::time::Instant,
) -> Result<(TcpStream, SocketAddr, Driver), NotSent> {
    let mut last = String::new();
    let addresses = addresses(context, node, deadline).await?;
    let count = addresses.len();
    for (nth, address) in addresses.into_iter().enumerate() {
        // Each gets its share of what is left: one that does not answer leaves time for the others.
        let left = u32::try_from(count - nth).unwrap_or(u32::MAX).max(1);
        let share = deadline.saturating_duration_since(tokio::time::Instant::now()) / left;
        let driver = address.driver().unwrap_or(context.config.driver);
        match tokio::time::timeout(share, connect(&address, driver, context)).await {
            Ok(Ok((stream, at))) => return Ok((stream, at, driver)),
            Ok(Err(error)) => last = format!("{node} at {address}: {error}"),
            Err(_) => last = format!("{node} at {address}: no answer within {share:?}"),
        }
    }
    Err(NotSent::ConnectFailed(last.into()))
}

async fn addresses(
    context: &Context,
    node: &NodeName,
    deadline: tokio::time::Instant,
) -> Result<Vec<Address>, NotSent> {
    let limit = context.config.connect_timeout;
    let why = match tokio::time::timeout_at(deadline, context.discovery.addresses(node)).await {
        Ok(Ok(addresses)) if addresses.is_empty() => format!("discovery knows no address of {node}"),
        Ok(Ok(addresses)) => return Ok(addresses),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("discovery gave no answer for {node} within {limit:?}"),
    };
    Err(NotSent::NoAddress(why.into()))
}

/// Connects to the first address of a host that answers. Plain TCP stays on this host unless it may leave.
async fn connect(
    address: &Address,
    driver: Driver,
    context: &Context,
) -> io::Result<(TcpStream, SocketAddr)> {
    let config = &context.config;
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host name has no address");
    for socket in tokio::net::lookup_host((address.host(), address.port())).await? {
        if driver == Driver::Tcp && !config.allow_plaintext && !socket.ip().to_canonical().is_loopback() {
            last = io::Error::other(format!(
                "plain TCP to {socket} would leave this host: use driver = \"tls\", or allow_plaintext = true where \
                 the network is trusted"
            ));
            continue;
        }
        match TcpStream::connect(socket).await {
            Ok(stream) => match socket::configure(&stream, &config.tcp, config.write_stall_timeout) {
                Ok(()) => return Ok((stream, socket)),
                Err(error) => last = io::Error::other(format!("socket options: {error}")),
            },
            Err(error) => last = error,
        }
    }
    Err(last)
}
