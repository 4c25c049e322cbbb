//! The asking half of a connection.
//!
//! ```text
//!  Opening ──handle_connected──► Up ──begin_close / Goodbye──► Closing
//!     └──────────── handle_lost ──┴──────────────┴──────────► Lost
//! ```
//! Requests may be submitted while `Opening`: they are queued, bounded, and go out after the handshake. Each one
//! submitted comes back exactly once, also when the connection is lost.

use std::time::Instant;

use bytes::{Buf, Bytes, BytesMut};
use hashbrown::HashMap;

use super::frame::{self, Frame, Goodbye, HEAD_BYTES_MAX, Head, Kind, RequestId};
use super::handshake::PeerParams;
use super::inbox::{Inbox, parse_reassembled};
use super::liveness::{IoState, Liveness};
use super::loan::{Loan, Memory};
use super::loss::Lost;
use super::outbox::{Body, Lane, Outbox, Oversized, Place, Reassembly};
use super::outgoing::Outgoing;
use super::requests::{Answer, Origin, Outcome, Pending, Requests, Ticket};
use super::room::{Room, RoomTicket};
use super::routes::{NoRoute, RouteKey, RouteTable};
use super::submit::{Submit, SubmitKind, left_ms};
use super::traffic::Traffic;
use super::{Agreed, Limits, LossCause, ProtocolError};
use crate::failure::{Failed, Failure, Fault, Limit, NotSent, Unknown};

mod take;

/// How the link stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// The connection is being made.
    Opening,
    /// Requests go out.
    Up,
    /// Nothing new; what is in flight finishes.
    Closing(&'static str),
    /// The connection is gone.
    Lost,
}

/// A cast that was accepted for sending: can be asked about later.
#[derive(Debug, Clone, Copy)]
pub struct Casted {
    route: u32,
    actor: u32,
    nth: u64,
    place: Place,
}

/// The asking half of a connection, generic over the caller's token.
#[derive(Debug)]
pub struct ClientLink<T> {
    phase: Phase,
    limits: Limits,
    message_bytes_max: usize,
    routes_max: usize,
    inbox: Inbox,
    outbox: Outbox,
    requests: Requests<T>,
    routes: RouteTable,
    liveness: Liveness,
    /// Waiting for room in the queue or in the table.
    room: Room<T>,
    woken: Vec<T>,
    traffic: Traffic,
    lost: Option<Lost>,
}

/// Before the handshake nobody knows how large a frame the peer takes: at least this.
pub const FRAGMENT_BYTES_OPENING: usize = 64 * 1024;

impl<T> ClientLink<T> {
    /// A link that is being opened.
    pub fn new(limits: Limits, now: Instant) -> Self {
        let reassembly =
            Reassembly { bytes_max: limits.reassembly_bytes_max, streams_max: limits.streams_max };
        Self {
            phase: Phase::Opening,
            message_bytes_max: limits.message_bytes_max,
            routes_max: limits.routes_max,
            inbox: Inbox::new(&limits),
            outbox: Outbox::new(limits.fragment_bytes.min(FRAGMENT_BYTES_OPENING), reassembly),
            requests: Requests::new(limits.in_flight_max),
            routes: RouteTable::default(),
            liveness: Liveness::new(
                limits.tick,
                limits.tick_intensity,
                limits.tick,
                limits.write_stall_timeout,
                now,
            )
            .in_step(limits.ticks_from),
            room: Room::new(),
            woken: Vec::new(),
            traffic: Traffic::default(),
            lost: None,
            limits,
        }
    }

    /// How the link stands.
    pub fn phase(&self) -> &Phase {
        &self.phase
    }

    /// The handshake is done: the smaller limits of both sides hold.
    pub fn handle_connected(&mut self, peer: &PeerParams, now: Instant) {
        if self.phase == Phase::Opening {
            self.phase = Phase::Up;
        }
        let agreed = Agreed::new(&self.limits, peer);
        self.outbox.limit(agreed.fragment_bytes, agreed.reassembly);
        self.requests.limit(peer.in_flight_max as usize);
        self.routes_max = agreed.routes_max;
        self.message_bytes_max = agreed.message_bytes_max;
        self.liveness.peer_tick(agreed.peer_tick, agreed.peer_intensity, now);
        let waiting = self.requests.waiting();
        self.refuse_oversized(&waiting, now);
        // What waited for the connection has less time left than when it was queued.
        for pending in &waiting {
            if let (Origin::Frame(place), Some(deadline)) = (pending.origin, pending.deadline) {
                self.outbox.restamp(place, left_ms(Some(deadline), now));
            }
        }
    }

    /// What was queued before the peer's limit was known, and is over it, is told so.
    fn refuse_oversized(&mut self, waiting: &[Pending], now: Instant) {
        let limit = self.message_bytes_max;
        let oversized = self.outbox.oversized(limit);
        if oversized.is_empty() {
            return;
        }
        let mut refused: HashMap<Place, usize, ahash::RandomState> = HashMap::default();
        for Oversized { place, bytes, cast } in oversized {
            self.outbox.withdraw(place);
            if let Some((route, behind)) = cast {
                self.routes.refuse_cast(route, behind, bytes);
            }
            refused.insert(place, bytes);
        }
        let routes = &self.routes;
        self.outbox.renumber_confirms(|route, nth| routes.sent_cast(route, nth).ok());
        for Pending { id, origin, .. } in waiting {
            let (Origin::Frame(place) | Origin::Cast(place)) = origin else { continue };
            if let Some(bytes) = refused.get(place) {
                let failure = NotSent::TooLarge { bytes: *bytes, limit };
                self.complete(*id, Outcome::Failure(failure.into()), now);
            }
        }
    }

    /// Queues a request. The token comes back when there is an answer, or none to come.
    ///
    /// # Errors
    /// [`NotSent::QueueFull`] can be waited for with [`ClientLink::wait_for_room`]; after
    /// [`NotSent::Disconnected`] a new link is needed. The token was not taken.
    pub fn submit(&mut self, request: Submit<'_>, token: T, now: Instant) -> Result<Ticket, NotSent> {
        let route = self.admit(&request.route, request.body.as_slice().len(), true)?;
        let id = self.requests.next_id();
        let deadline_ms = left_ms(request.deadline, now);
        let head = match request.kind {
            SubmitKind::Call => {
                Head::request(Kind::Request, id, route.number, deadline_ms, request.compressed)
            }
            SubmitKind::Deliver => {
                Head::request(Kind::Deliver, id, route.number, deadline_ms, request.compressed)
            }
            SubmitKind::Open { window } => {
                Head::open(id, route.number, deadline_ms, window, request.compressed)
            }
        };
        let place = self.outbox.push(Lane::Actor(route.actor), head.traced(request.trace), request.body);
        self.traffic.goes();
        let origin = Origin::Frame(place);
        let id = match request.kind {
            SubmitKind::Open { window } => {
                self.requests.insert_items(origin, request.deadline, window, token)
            }
            SubmitKind::Call | SubmitKind::Deliver => self.requests.insert(origin, request.deadline, token),
        };
        Ok(Ticket(id))
    }

    /// Queues a one-way message.
    ///
    /// # Errors
    /// As [`ClientLink::submit`].
    pub fn cast(
        &mut self,
        route: &RouteKey<'_>,
        body: Body<'_>,
        compressed: bool,
        trace: Option<&crate::trace::TraceContext>,
    ) -> Result<Casted, NotSent> {
        let route = self.admit(route, body.as_slice().len(), false)?;
        let nth = self.routes.count_cast(route.number);
        let head = Head::cast(route.number, compressed);
        let place = self.outbox.push(Lane::Actor(route.actor), head.traced(trace), body);
        self.traffic.goes();
        Ok(Casted { route: route.number, actor: route.actor, nth, place })
    }

    /// Asks whether a cast was accepted by the actor's mailbox.
    ///
    /// # Errors
    /// As [`ClientLink::submit`], and the cast's own fate if the connection was lost since.
    pub fn confirm(&mut self, cast: Casted, deadline: Option<Instant>, token: T) -> Result<Ticket, Failure> {
        let limit = self.message_bytes_max;
        let sent = self.routes.sent_cast(cast.route, cast.nth);
        let nth = sent.map_err(|bytes| NotSent::TooLarge { bytes, limit })?;
        if let Some(lost) = &self.lost {
            return Err(lost.fate(cast.place));
        }
        self.check_room(0, true)?;
        let head = frame::confirm(self.requests.next_id(), cast.route, nth);
        self.outbox.push(Lane::Actor(cast.actor), head, Body::Borrowed(&[]));
        Ok(Ticket(self.requests.insert(Origin::Cast(cast.place), deadline, token)))
    }

    /// Asks the peer for a sign of life; answered by an empty answer.
    ///
    /// # Errors
    /// As [`ClientLink::submit`].
    pub fn ping(&mut self, deadline: Option<Instant>, token: T) -> Result<Ticket, NotSent> {
        self.check_open()?;
        self.check_room(0, true)?;
        let id = self.requests.next_id();
        // Token 0 is a tick; a slot and its generation are told apart from it by the lowest bit.
        let ping = (u64::from(id.slot) << 33) | (u64::from(id.generation) << 1) | 1;
        self.outbox.control(|out| frame::write_ping(ping, out));
        Ok(Ticket(self.requests.insert(Origin::Ping, deadline, token)))
    }

    fn check_open(&self) -> Result<(), NotSent> {
        match &self.phase {
            Phase::Opening | Phase::Up => Ok(()),
            Phase::Closing(why) => Err(NotSent::Disconnected((*why).into())),
            Phase::Lost => {
                let unsent = self.lost.as_ref().map(|lost| lost.unsent.clone());
                Err(unsent.unwrap_or_else(|| NotSent::Disconnected("lost".into())))
            }
        }
    }

    fn check_room(&self, bytes: usize, needs_slot: bool) -> Result<(), NotSent> {
        if needs_slot && self.requests.is_full() {
            return Err(NotSent::QueueFull {
                limit: Limit { name: "in_flight_max", value: self.requests.max() },
            });
        }
        let held = self.outbox.held_bytes();
        // Into an empty queue goes any message: one larger than the queue would otherwise wait for ever.
        if held > 0 && held + bytes + HEAD_BYTES_MAX > self.limits.unsent_bytes_max {
            let limit = Limit { name: "unsent_bytes_max", value: self.limits.unsent_bytes_max };
            return Err(NotSent::QueueFull { limit });
        }
        Ok(())
    }

    fn admit(
        &mut self,
        key: &RouteKey<'_>,
        bytes: usize,
        needs_slot: bool,
    ) -> Result<super::routes::Route, NotSent> {
        self.check_open()?;
        if bytes > self.message_bytes_max {
            return Err(NotSent::TooLarge { bytes, limit: self.message_bytes_max });
        }
        self.check_room(bytes, needs_slot)?;
        let (routes, outbox) = (&mut self.routes, &mut self.outbox);
        let defined = routes.route(key, self.routes_max, |number, definition| {
            outbox.control(|out| frame::write_define(number, definition, out));
        });
        match defined {
            Ok(route) => Ok(route),
            Err(NoRoute::NameTooLong) => {
                Err(NotSent::BadRequest("an actor, message or requirement over 255 bytes".into()))
            }
            Err(NoRoute::Full) => {
                // A fresh connection has a fresh table: this one finishes what it has and ends.
                self.begin_close("the table of routes is full");
                Err(NotSent::Disconnected("the table of routes is full".into()))
            }
        }
    }

    /// Wakes the token when there may be room again; at once if the link ends.
    pub fn wait_for_room(&mut self, token: T) -> RoomTicket {
        let ticket = self.room.enter(token);
        if matches!(self.phase, Phase::Closing(_) | Phase::Lost) {
            self.wake_for_room();
        }
        ticket
    }

    /// Stops waiting for room. None if the token was woken already: then the next one in line is woken instead.
    pub fn leave_room(&mut self, ticket: RoomTicket) -> Option<T> {
        let token = self.room.leave(ticket);
        self.wake_for_room();
        token
    }

    fn wake_for_room(&mut self) {
        if self.room.is_empty() {
            return;
        }
        let count = match self.phase {
            Phase::Closing(_) | Phase::Lost => usize::MAX,
            Phase::Opening | Phase::Up if self.outbox.held_bytes() > self.limits.unsent_bytes_max / 2 => 0,
            Phase::Opening | Phase::Up => self.requests.room(),
        };
        self.room.take(count, &mut self.woken);
    }

    /// Gives a request up: withdrawn if it was not handed out yet, else the peer is told. Gives the token back.
    pub fn cancel(&mut self, ticket: Ticket) -> Option<T> {
        let (origin, token) = self.requests.cancel(ticket)?;
        if let Some(origin) = origin
            && self.lost.is_none()
        {
            self.give_up(ticket.0, origin);
        }
        self.wake_for_room();
        token
    }

    /// Takes a request back, or tells the peer that nobody waits for it; true if it surely never leaves.
    fn give_up(&mut self, id: RequestId, origin: Origin) -> bool {
        match origin {
            Origin::Frame(place) if self.outbox.withdraw(place) => return true,
            Origin::Frame(_) | Origin::Cast(_) => self.outbox.control(|out| frame::write_cancel(id, out)),
            Origin::Ping => {}
        }
        false
    }

    /// Takes bytes in; whole frames are handled and removed from the front of `buffer`.
    ///
    /// # Errors
    /// [`ProtocolError`] when the peer breaks the protocol; the link has to be ended with
    /// [`ClientLink::handle_lost`].
    pub fn handle_data(&mut self, buffer: &mut BytesMut, now: Instant) -> Result<(), ProtocolError> {
        if self.phase == Phase::Lost {
            buffer.clear();
            return Ok(());
        }
        self.liveness.received(now);
        if let Some(whole) = self.inbox.take_settled() {
            self.handle_frame(parse_reassembled(&whole)?, Some(&whole), now)?;
        }
        let mut done = 0;
        loop {
            let rest = buffer.get(done..).unwrap_or_default();
            let Some(len) = self.inbox.next_frame_bytes(rest)? else { break };
            let frame = Frame::parse(rest.get(4..len).unwrap_or_default())?;
            done += len;
            if let Frame::Fragment { stream, total, abort, data } = frame {
                if let Some(whole) = self.inbox.fragment(stream, total, abort, data)? {
                    let frame = parse_reassembled(&whole)?;
                    self.handle_frame(frame, Some(&whole), now)?;
                }
            } else {
                self.handle_frame(frame, None, now)?;
            }
        }
        buffer.advance(done);
        Ok(())
    }

    /// Uses other memory for large frames.
    pub fn use_memory(&mut self, memory: Memory) {
        self.inbox.use_memory(memory);
    }

    /// Lends the place of what is missing of a large frame; see [`Inbox::lend`].
    ///
    /// # Errors
    /// As [`ClientLink::handle_data`].
    pub fn lend(&mut self, buffer: &mut BytesMut) -> Result<Option<Loan>, ProtocolError> {
        if self.phase == Phase::Lost { Ok(None) } else { self.inbox.lend(buffer) }
    }

    /// Takes back what was lent; [`ClientLink::handle_data`] goes on with it.
    pub fn settle(&mut self, loan: Loan) {
        if self.phase != Phase::Lost {
            self.inbox.settle(loan);
        }
    }

    fn handle_frame(
        &mut self,
        frame: Frame<'_>,
        whole: Option<&Bytes>,
        now: Instant,
    ) -> Result<(), ProtocolError> {
        let keep = |payload: &[u8]| match whole {
            Some(whole) => Answer::Shared(whole.slice_ref(payload)),
            None => Answer::copy(payload),
        };
        match frame {
            Frame::Reply { id, fault: false, compressed, payload } if whole.is_none() => {
                self.traffic.came();
                self.woken.extend(self.requests.answer(id, payload, compressed, now));
            }
            Frame::Reply { id, fault, compressed, payload } => {
                self.traffic.came();
                let outcome = if fault {
                    // A newer peer may know reasons that this side does not: no harm to anybody else.
                    let fault = postcard::from_bytes::<Fault>(payload);
                    let unknown = |_| Failed::ReplyDecode("a reason this version does not know".to_owned());
                    Outcome::Failure(fault.unwrap_or_else(|error| unknown(error).into()).into())
                } else {
                    Outcome::Answered { answer: keep(payload), compressed }
                };
                self.complete(id, outcome, now);
            }
            Frame::Item { id, opened: true, .. } => self.woken.extend(self.requests.opened(id)),
            Frame::Item { id, opened: false, compressed, payload } => {
                self.traffic.came();
                let token = self.requests.item(id, keep(payload), compressed);
                self.woken.extend(token.map_err(|_| ProtocolError::OverCredit)?);
            }
            Frame::Pong { token } => {
                let slot = u32::try_from(token >> 33).unwrap_or(u32::MAX);
                let generation = u32::try_from((token >> 1) & u64::from(u32::MAX)).unwrap_or(u32::MAX);
                let id = RequestId { slot, generation };
                self.complete(id, Outcome::Answered { answer: Answer::copy(&[]), compressed: false }, now);
            }
            Frame::Ping { token: 0 } | Frame::Void => {}
            Frame::Ping { token } => self.outbox.pong(token),
            Frame::Goodbye { reason } => self.begin_close(match reason {
                Goodbye::Idle => "the peer closes an idle connection",
                Goodbye::Draining => PEER_DRAINING,
                Goodbye::Superseded => "a newer connection took over",
                Goodbye::Other(_) => "the peer said goodbye",
            }),
            _ => return Err(ProtocolError::WrongRole),
        }
        Ok(())
    }

    fn complete(&mut self, id: RequestId, outcome: Outcome, now: Instant) {
        let token = self.requests.complete(id, outcome, now);
        self.woken.extend(token);
    }

    /// Nothing new from now on; what is in flight finishes.
    pub fn begin_close(&mut self, why: &'static str) {
        if matches!(self.phase, Phase::Opening | Phase::Up) {
            self.phase = Phase::Closing(why);
            self.wake_for_room();
        }
    }

    /// Tells the peer why, and takes nothing new.
    pub fn goodbye(&mut self, reason: Goodbye, why: &'static str) {
        if matches!(self.phase, Phase::Up) {
            self.outbox.control(|out| frame::write_goodbye(reason, out));
        }
        self.begin_close(why);
    }

    /// Nothing in flight and nothing to write: the link can be closed without harm.
    pub fn is_quiet(&self) -> bool {
        self.requests.unanswered() == 0 && self.outbox.unsent_bytes() == 0 && self.room.is_empty()
    }

    /// The connection is gone, or was never made. Every request that waits is told: what was surely not written
    /// ends with `unsent`, the rest with [`Unknown::LinkLost`]. `written` counts the bytes of the last batch that
    /// the socket took.
    pub fn handle_lost(&mut self, unsent: NotSent, cause: LossCause, written: usize, now: Instant) {
        if self.phase == Phase::Lost {
            return;
        }
        let was_up = std::mem::replace(&mut self.phase, Phase::Lost) != Phase::Opening;
        let lost = Lost { unsent, cause: cause.to_string().into(), written: self.outbox.end(written) };
        self.inbox.reset();
        for Pending { id, origin, .. } in self.requests.waiting() {
            let failure = match origin {
                Origin::Frame(place) | Origin::Cast(place) => lost.fate(place),
                // Nothing at all left on a connection that never was.
                Origin::Ping if !was_up => lost.unsent.clone().into(),
                Origin::Ping => Unknown::LinkLost(lost.cause.clone()).into(),
            };
            self.complete(id, Outcome::Failure(failure), now);
        }
        self.lost = Some(lost);
        self.wake_for_room();
    }

    /// When to call [`ClientLink::handle_timeout`] next.
    pub fn poll_timeout(&self, io: &IoState) -> Instant {
        let alive = self.liveness.poll_timeout(io);
        self.requests.poll_timeout().map_or(alive, |deadline| deadline.min(alive))
    }

    /// When the earliest deadline passes; for the time while no connection is there.
    pub fn poll_deadline(&self) -> Option<Instant> {
        self.requests.poll_timeout()
    }

    /// Time has passed.
    ///
    /// # Errors
    /// The cause, when the connection has to end.
    pub fn handle_timeout(&mut self, now: Instant, io: &IoState) -> Result<(), LossCause> {
        self.expire(now);
        if self.phase == Phase::Lost {
            return Ok(());
        }
        if self.liveness.handle_timeout(now, io)? {
            self.outbox.control(|out| frame::write_ping(0, out));
        }
        Ok(())
    }

    /// Ends the requests whose deadline has passed.
    pub fn expire(&mut self, now: Instant) {
        let mut expired = Vec::new();
        self.requests.expired(now, &mut expired);
        for Pending { id, origin, .. } in expired {
            let failure = if self.give_up(id, origin) {
                NotSent::DeadlineBeforeWrite.into()
            } else {
                Failure::from(Unknown::Timeout)
            };
            self.complete(id, Outcome::Failure(failure), now);
        }
        if let Some(ttl) = self.limits.promise_ttl {
            self.requests.drop_unclaimed(now, ttl);
        }
        self.wake_for_room();
    }

    /// The next bytes to write, when the last ones are written in full. Empty: nothing to do now.
    pub fn poll_outgoing(&mut self, out: &mut Outgoing, now: Instant) {
        self.outbox.poll_outgoing(out);
        if !out.is_empty() {
            self.liveness.sent(now);
        }
        self.wake_for_room();
    }

    /// As [`ClientLink::poll_outgoing`], in one piece.
    pub fn poll_transmit(&mut self, buffer: &mut Vec<u8>, now: Instant) {
        let mut out = Outgoing::from(std::mem::take(buffer));
        self.poll_outgoing(&mut out, now);
        *buffer = out.flatten();
    }

    /// Whether there is something to write.
    pub fn wants_write(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// Tokens whose request has something new, each exactly once per cause.
    pub fn poll_woken(&mut self, out: &mut Vec<T>) {
        out.append(&mut self.woken);
    }

    /// Requests without an answer.
    pub fn in_flight(&self) -> usize {
        self.requests.unanswered()
    }

    /// Bytes queued and not yet written.
    pub fn unsent_bytes(&self) -> usize {
        self.outbox.unsent_bytes()
    }

    /// What it has carried.
    pub fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// How many ticks of the peer are overdue: at its intensity it counts as gone.
    pub fn ticks_missed(&self, now: Instant) -> u32 {
        self.liveness.ticks_missed(now)
    }

    /// Bytes announced by the fragmented answers that are being put together.
    pub fn reassembly_bytes(&self) -> usize {
        self.inbox.reassembly_bytes()
    }

    /// How long this node stood still, if its peer may have given it up meanwhile; see [`Liveness::suspended`].
    pub fn suspended(&self, now: Instant) -> Option<std::time::Duration> {
        self.liveness.suspended(now)
    }
}

/// Why a link closes whose peer shuts down.
pub const PEER_DRAINING: &str = "the peer is draining";
