//! One attempt at a connection, and if it succeeds the connection: what callers and its pump share.
//!
//! Callers encode outside the lock, append under it, and wake the pump only if it sleeps. A `Conn` is used once: after it
//! ended, the next one starts with empty tables, so nothing meant for the old one can reach the new one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::task::Waker;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use farcall_proto::failure::{Failure, NotSent};
use farcall_proto::link::frame::Goodbye;
use farcall_proto::link::handshake::PeerParams;
use farcall_proto::link::liveness::IoState;
use farcall_proto::link::outbox::Body;
use farcall_proto::link::{
    Arrival, Casted, ClientLink, Limits, Loan, LossCause, NextItem, Outgoing, PEER_DRAINING, Phase,
    RoomTicket, RouteKey, Submit, Ticket,
};
use farcall_proto::trace::TraceContext;
use parking_lot::Mutex;

use crate::flow::{Flow, Load};
use crate::members::Linked;
use crate::spare;
use crate::transport::{Fresh, Progress, Side};

/// A connection, or the attempt at one.
pub(crate) struct Conn {
    /// Its number among all that this node has made.
    epoch: u64,
    inner: Mutex<Inner>,
    /// Set once it takes nothing new; spares the lock when looking for a usable connection.
    retired: AtomicBool,
    /// Which codecs the peer inflates, known after the handshake.
    inflates: AtomicU8,
    /// Another process has the peer's place: its pump ends.
    superseded: AtomicBool,
    flow: Flow,
}

struct Inner {
    link: ClientLink<Waker>,
    /// The pump's waker, while it sleeps with nothing to write.
    sleeping: Option<Waker>,
    /// The pump's waker, also while it waits for the socket to take more.
    pump: Option<Waker>,
    /// When the pump looks at deadlines next: an earlier one has to wake it, also when the socket takes nothing.
    looks_at: Option<Instant>,
    last_used: Instant,
    casts: u64,
}

impl Inner {
    /// The pump, if it has to do something now.
    fn pump_to_wake(&mut self, woken: bool, deadline: Option<Instant>) -> Option<Waker> {
        let earlier = match (deadline, self.looks_at) {
            (Some(deadline), Some(looks_at)) => deadline < looks_at,
            _ => false,
        };
        // It decides about closing, and nothing may be left to write that would wake it.
        let done = matches!(self.link.phase(), Phase::Closing(_)) && self.link.is_quiet();
        if woken || done || self.link.wants_write() {
            let sleeping = self.sleeping.take();
            if sleeping.is_some() {
                return sleeping;
            }
        }
        if !earlier {
            return None;
        }
        self.looks_at = deadline;
        self.pump.clone()
    }
}

impl std::fmt::Debug for Conn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Conn").field("retired", &self.is_retired()).finish_non_exhaustive()
    }
}

impl Conn {
    pub(crate) fn new(epoch: u64, limits: Limits, now: Instant) -> Self {
        let mut link = ClientLink::new(limits, now);
        link.use_memory(spare::MEMORY);
        let inner = Inner { link, sleeping: None, pump: None, looks_at: None, last_used: now, casts: 0 };
        Self {
            epoch,
            inner: Mutex::new(inner),
            retired: AtomicBool::new(false),
            inflates: AtomicU8::new(0),
            superseded: AtomicBool::new(false),
            flow: Flow::default(),
        }
    }

    /// Ends it as lost: another process of the peer's name has come in.
    pub(crate) fn supersede(&self) {
        self.superseded.store(true, Ordering::Release);
        self.retired.store(true, Ordering::Release);
        let mut inner = self.inner.lock();
        let pump = inner.sleeping.take().or_else(|| inner.pump.clone());
        drop(inner);
        if let Some(pump) = pump {
            pump.wake();
        }
    }

    /// Its number among all that this node has made.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Whether it takes nothing new.
    pub(crate) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }

    /// Which codecs the peer inflates.
    pub(crate) fn inflates(&self) -> u8 {
        self.inflates.load(Ordering::Relaxed)
    }

    /// Runs `act` on the link; afterwards wakes the pump and whoever has something new, outside the lock.
    fn with_link<R>(&self, act: impl FnOnce(&mut Inner) -> R) -> R {
        self.with_link_until(None, act)
    }

    /// As [`Conn::with_link`], for a request with this deadline.
    fn with_link_until<R>(&self, deadline: Option<Instant>, act: impl FnOnce(&mut Inner) -> R) -> R {
        let mut inner = self.inner.lock();
        let result = act(&mut inner);
        let mut woken = Vec::new();
        inner.link.poll_woken(&mut woken);
        let pump = inner.pump_to_wake(!woken.is_empty(), deadline);
        if !matches!(inner.link.phase(), Phase::Opening | Phase::Up) {
            self.retired.store(true, Ordering::Release);
        }
        drop(inner);
        if let Some(pump) = pump {
            pump.wake();
        }
        woken.into_iter().for_each(Waker::wake);
        result
    }

    pub(crate) fn submit(&self, request: Submit<'_>, token: Waker, now: Instant) -> Result<Ticket, NotSent> {
        self.with_link_until(request.deadline, |inner| {
            inner.last_used = now;
            inner.link.submit(request, token, now)
        })
    }

    pub(crate) fn cast(
        &self,
        route: &RouteKey<'_>,
        body: Body<'_>,
        compressed: bool,
        trace: Option<&TraceContext>,
        now: Instant,
    ) -> Result<Casted, NotSent> {
        self.with_link(|inner| {
            let casted = inner.link.cast(route, body, compressed, trace)?;
            inner.last_used = now;
            inner.casts += 1;
            Ok(casted)
        })
    }

    pub(crate) fn confirm(
        &self,
        cast: Casted,
        deadline: Option<Instant>,
        token: Waker,
    ) -> Result<Ticket, Failure> {
        self.with_link_until(deadline, |inner| inner.link.confirm(cast, deadline, token))
    }

    pub(crate) fn ping(&self, deadline: Option<Instant>, token: Waker) -> Result<Ticket, NotSent> {
        self.with_link_until(deadline, |inner| inner.link.ping(deadline, token))
    }

    /// Wakes the token when there is room; dropping the result ends the wait.
    pub(crate) fn wait_for_room(self: &Arc<Self>, token: Waker) -> RoomWait {
        let ticket = self.with_link(|inner| inner.link.wait_for_room(token));
        RoomWait { conn: self.clone(), ticket }
    }

    /// Puts what came in into `arrival`, once; until then the waker is kept.
    pub(crate) fn poll_arrival(&self, ticket: Ticket, arrival: &mut Arrival, waker: &Waker) -> bool {
        // Whatever it replaces is dropped outside the lock: it may be the last reference to anything.
        let mut replaced = None;
        self.with_link(|inner| {
            inner.link.poll_arrival(ticket, arrival, |token| {
                if !token.will_wake(waker) {
                    replaced = Some(std::mem::replace(token, waker.clone()));
                }
            })
        })
    }

    /// The next item of a stream.
    pub(crate) fn poll_item(&self, ticket: Ticket, waker: &Waker) -> NextItem {
        self.with_link(|inner| {
            inner.last_used = Instant::now();
            inner.link.poll_item(ticket, || waker.clone())
        })
    }

    /// Gives a request up.
    pub(crate) fn cancel(&self, ticket: Ticket) {
        // The token is dropped outside the lock: it may hold the last reference to anything.
        drop(self.with_link(|inner| inner.link.cancel(ticket)));
    }

    /// The handshake is done.
    pub(crate) fn connected(&self, peer: &PeerParams, now: Instant) {
        self.inflates.store(peer.compress, Ordering::Relaxed);
        self.with_link(|inner| inner.link.handle_connected(peer, now));
    }

    /// It ended, or was never made. Gives how many casts may have been lost with it.
    pub(crate) fn lost(&self, unsent: NotSent, cause: LossCause, written: usize) -> Lost {
        self.with_link(|inner| {
            let unsent_bytes = inner.link.unsent_bytes();
            inner.link.handle_lost(unsent, cause, written, Instant::now());
            Lost { casts: inner.casts, unsent_bytes }
        })
    }

    /// Takes nothing new; ends when what is in flight is done.
    pub(crate) fn begin_close(&self, why: &'static str) {
        self.with_link(|inner| {
            inner.link.begin_close(why);
            // The pump decides about closing.
            if let Some(pump) = inner.sleeping.take() {
                pump.wake();
            }
        });
    }

    /// As [`Conn::begin_close`], and tells the peer that this node shuts down.
    pub(crate) fn drain(&self, why: &'static str) {
        self.with_link(|inner| {
            inner.link.goodbye(Goodbye::Draining, why);
            if let Some(pump) = inner.sleeping.take() {
                pump.wake();
            }
        });
    }

    /// Ends the requests whose deadline passed while there is no connection; gives when to come again.
    pub(crate) fn expire(&self, now: Instant) -> Option<Instant> {
        self.with_link(|inner| {
            inner.link.expire(now);
            inner.link.poll_deadline()
        })
    }

    /// Whether it is up.
    pub(crate) fn is_up(&self) -> bool {
        matches!(self.inner.lock().link.phase(), Phase::Up)
    }

    /// Why it closes, if it does.
    pub(crate) fn closing(&self) -> Option<&'static str> {
        match self.inner.lock().link.phase() {
            Phase::Closing(why) => Some(why),
            _ => None,
        }
    }

    /// Requests without an answer, bytes not yet written, and what else is known of it now.
    pub(crate) fn load(&self, now: Instant) -> Load {
        let inner = self.inner.lock();
        Load {
            in_flight: inner.link.in_flight(),
            unsent_bytes: inner.link.unsent_bytes(),
            ticks_missed: inner.link.ticks_missed(now),
            traffic: inner.link.traffic(),
        }
    }

    /// Since when it is up, and how much went through.
    pub(crate) fn flow(&self) -> &Flow {
        &self.flow
    }
}

/// A place among those who wait for room.
#[derive(Debug)]
pub(crate) struct RoomWait {
    conn: Arc<Conn>,
    ticket: RoomTicket,
}

impl Drop for RoomWait {
    fn drop(&mut self) {
        let ticket = self.ticket;
        drop(self.conn.with_link(|inner| inner.link.leave_room(ticket)));
    }
}

/// What was lost with a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lost {
    /// Casts given to it in its life.
    pub(crate) casts: u64,
    /// Bytes that were not written.
    pub(crate) unsent_bytes: usize,
}

/// The asking side of a connection, as its pump drives it.
pub(crate) struct Asking {
    conn: Arc<Conn>,
    idle: Option<Duration>,
    woken: Vec<Waker>,
    /// Whom to tell that the peer drains, until it was told.
    linked: Option<Arc<Linked>>,
}

impl Asking {
    pub(crate) fn new(conn: Arc<Conn>, idle: Option<Duration>) -> Self {
        Self { conn, idle, woken: Vec::new(), linked: None }
    }

    /// It counts for a peer that is there.
    pub(crate) fn counting(self, linked: Option<Arc<Linked>>) -> Self {
        Self { linked, ..self }
    }

    fn tell_draining(&mut self) {
        if self.conn.is_retired()
            && self.conn.closing() == Some(PEER_DRAINING)
            && let Some(linked) = self.linked.take()
        {
            linked.draining();
        }
    }

    fn with<R>(&mut self, act: impl FnOnce(&mut Inner) -> R) -> R {
        let mut inner = self.conn.inner.lock();
        let result = act(&mut inner);
        inner.link.poll_woken(&mut self.woken);
        if !matches!(inner.link.phase(), Phase::Opening | Phase::Up) {
            self.conn.retired.store(true, Ordering::Release);
        }
        drop(inner);
        self.woken.drain(..).for_each(Waker::wake);
        result
    }
}

impl Side for Asking {
    fn handle_data(&mut self, buffer: &mut BytesMut, now: Instant) -> Result<(), LossCause> {
        let result = self.with(|inner| {
            let before = inner.link.in_flight();
            let result = inner.link.handle_data(buffer, now).map_err(LossCause::Protocol);
            if before > 0 {
                inner.last_used = now;
            }
            result
        });
        self.tell_draining();
        result
    }

    fn came(&mut self, bytes: usize) {
        self.conn.flow.came(bytes);
    }

    fn went(&mut self, bytes: usize) {
        self.conn.flow.went(bytes);
    }

    fn advance(&mut self, _: &mut BytesMut, _: Instant, _: &Waker) -> Result<Progress, LossCause> {
        match self.conn.superseded.load(Ordering::Acquire) {
            true => Err(LossCause::Superseded),
            false => Ok(Progress::Drained),
        }
    }

    fn lend(&mut self, buffer: &mut BytesMut) -> Result<Option<Loan>, LossCause> {
        self.conn.inner.lock().link.lend(buffer).map_err(LossCause::Protocol)
    }

    fn settle(&mut self, loan: Loan) {
        self.conn.inner.lock().link.settle(loan);
    }

    fn transmit(&mut self, out: &mut Outgoing, now: Instant, pump: &Waker) {
        self.with(|inner| {
            inner.link.poll_outgoing(out, now);
            inner.sleeping = out.is_empty().then(|| pump.clone());
            if !inner.pump.as_ref().is_some_and(|known| known.will_wake(pump)) {
                inner.pump = Some(pump.clone());
            }
        });
    }

    fn fresh(&mut self, pump: &Waker) -> Fresh {
        let mut inner = self.conn.inner.lock();
        if inner.link.wants_write() {
            return if inner.link.in_flight() == 1 { Fresh::Lone } else { Fresh::Several };
        }
        inner.sleeping.get_or_insert_with(|| pump.clone());
        Fresh::Nothing
    }

    fn poll_timeout(&mut self, io: &IoState) -> Instant {
        let mut inner = self.conn.inner.lock();
        let mut next = inner.link.poll_timeout(io);
        if let Some(idle) = self.idle
            && *inner.link.phase() == Phase::Up
            && inner.link.is_quiet()
        {
            next = next.min(inner.last_used + idle);
        }
        inner.looks_at = Some(next);
        next
    }

    fn handle_timeout(&mut self, now: Instant, io: &IoState) -> Result<(), LossCause> {
        let idle = self.idle;
        self.with(|inner| {
            inner.link.handle_timeout(now, io)?;
            let unused = idle.is_some_and(|idle| now.saturating_duration_since(inner.last_used) >= idle);
            if unused && inner.link.is_quiet() {
                inner.link.begin_close(IDLE);
            }
            Ok(())
        })
    }

    fn wants_close(&mut self) -> Option<&'static str> {
        let inner = self.conn.inner.lock();
        match inner.link.phase() {
            Phase::Closing(why) if inner.link.is_quiet() => Some(why),
            _ => None,
        }
    }

    fn suspended(&mut self, now: Instant) -> Option<Duration> {
        self.conn.inner.lock().link.suspended(now)
    }
}

/// Why a connection that nobody used is closed.
pub(crate) const IDLE: &str = "idle";

/// An encoded message on its way into a connection: small ones are copied, large ones shared.
#[derive(Debug, Clone)]
pub(crate) enum Encoded<'a> {
    Small(&'a [u8]),
    Large(Bytes),
}

impl Encoded<'_> {
    pub(crate) fn body(&self) -> Body<'_> {
        match self {
            Self::Small(bytes) => Body::Borrowed(bytes),
            Self::Large(bytes) => Body::Shared(bytes.clone()),
        }
    }
}
