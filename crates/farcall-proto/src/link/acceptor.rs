//! The answering half of a connection.
//!
//! Frames are handed on in slices: so many at a time that handlers run and answers go out while more come in.
//! What a slice holds is in the order of the wire, and each request in it is answered exactly once.

use bytes::{Bytes, BytesMut};
use hashbrown::HashMap;

use super::frame::{self, Definition, Frame, Goodbye, Head, RequestId};
use super::handshake::PeerParams;
use super::inbox::{Inbox, parse_reassembled};
use super::liveness::{IoState, Liveness};
use super::loan::{Loan, Memory};
use super::outbox::{Body, Lane, Outbox};
use super::outgoing::Outgoing;
use super::requests::credit_cost;
use super::routes::check_definition;
use super::traffic::Traffic;
use super::{Agreed, Limits, LossCause, ProtocolError};
use crate::failure::{Failed, Fault, Rejected};
use crate::trace::{TRACE_BYTES, TraceContext};

/// What one read brought, cut into frames.
#[derive(Debug, Default)]
pub struct Slice {
    /// The bytes that payloads of small requests point into.
    pub chunk: Bytes,
    /// In the order of the wire.
    pub items: Vec<Inbound>,
}

/// One thing a caller wants.
#[derive(Debug)]
pub enum Inbound {
    /// A route number and what it stands for.
    Define {
        /// The number, dense from 0.
        route: u32,
        /// What it stands for.
        definition: Box<Definition>,
    },
    /// Run something.
    Request(Request),
    /// No longer wanted.
    Cancel(RequestId),
    /// Was the n-th cast of this route accepted?
    Confirm {
        /// To be answered.
        id: RequestId,
        /// The cast's route.
        route: u32,
        /// Which one.
        cast: u64,
    },
}

/// A request or a cast.
#[derive(Debug)]
pub struct Request {
    /// What kind of answer is wanted.
    pub kind: RequestKind,
    /// Which request; meaningless for a cast.
    pub id: RequestId,
    /// Actor and message, defined before.
    pub route: u32,
    /// Milliseconds left, [`frame::NO_DEADLINE`] for none.
    pub deadline_ms: u32,
    /// Whether the payload is compressed.
    pub compressed: bool,
    /// The trace it belongs to. Most have none, so it has a place of its own.
    pub trace: Option<Box<TraceContext>>,
    /// The encoded message.
    pub payload: Payload,
}

/// What kind of answer a request wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestKind {
    /// One value.
    Call,
    /// None; the n-th of its route.
    Cast {
        /// Its number.
        nth: u64,
    },
    /// A receipt when it is in the mailbox.
    Deliver,
    /// Items, with this first credit in bytes.
    Open {
        /// The first credit.
        window: u32,
    },
}

/// Where the bytes of a message are.
#[derive(Debug)]
pub enum Payload {
    /// In the slice's chunk.
    Chunk {
        /// First byte.
        start: u32,
        /// One behind the last.
        end: u32,
    },
    /// By themselves, put together from fragments.
    Whole(Bytes),
}

/// The answering half of a connection, generic over the token of whoever waits for credit.
#[derive(Debug)]
pub struct AcceptorLink<T> {
    limits: Limits,
    reply_bytes_max: usize,
    inbox: Inbox,
    outbox: Outbox,
    liveness: Liveness,
    /// Casts seen per route; its length is the number of routes.
    casts: Vec<u64>,
    in_flight: usize,
    streams: HashMap<u32, OutStream<T>, ahash::RandomState>,
    /// Streams that have credit and wait until earlier answers are written, by slot.
    crowded: Vec<u32>,
    lost: bool,
    goodbye: Option<Goodbye>,
    /// The caller has said that it shuts down.
    peer_drains: bool,
    woken: Vec<T>,
    traffic: Traffic,
}

#[derive(Debug)]
struct OutStream<T> {
    generation: u32,
    credit: i64,
    waiting: Option<T>,
    /// Stands among the crowded.
    crowded: bool,
}

/// Whether a stream may send its next item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credit {
    /// It may.
    Ready,
    /// Not before the caller took something, or earlier answers are written; the token was kept.
    Wait,
    /// The caller gave it up.
    Cancelled,
}

/// One that is no trace, for an id of it is all zeros, is left out.
fn boxed(trace: Option<&[u8; TRACE_BYTES]>) -> Option<Box<TraceContext>> {
    trace.and_then(TraceContext::from_bytes).map(Box::new)
}

impl<T> AcceptorLink<T> {
    /// A link whose handshake is done.
    pub fn new(limits: Limits, peer: &PeerParams, now: std::time::Instant) -> Self {
        let agreed = Agreed::new(&limits, peer);
        Self {
            reply_bytes_max: agreed.message_bytes_max,
            inbox: Inbox::new(&limits),
            outbox: Outbox::new(agreed.fragment_bytes, agreed.reassembly),
            liveness: Liveness::new(
                limits.tick,
                limits.tick_intensity,
                agreed.peer_tick,
                limits.write_stall_timeout,
                now,
            )
            .hearing(agreed.peer_intensity)
            .in_step(limits.ticks_from),
            casts: Vec::new(),
            in_flight: 0,
            streams: HashMap::default(),
            crowded: Vec::new(),
            lost: false,
            goodbye: None,
            peer_drains: false,
            woken: Vec::new(),
            traffic: Traffic::default(),
            limits,
        }
    }

    /// Takes bytes in: at most `frames_max` frames, about `bytes_max` bytes, into `slice`. Whether whole frames
    /// were left in `buffer` shows in its being called again with nothing new: an empty slice.
    ///
    /// # Errors
    /// [`ProtocolError`] when the peer breaks the protocol; the connection has to be closed.
    pub fn handle_data(
        &mut self,
        buffer: &mut BytesMut,
        frames_max: usize,
        bytes_max: usize,
        slice: &mut Slice,
    ) -> Result<(), ProtocolError> {
        slice.items.clear();
        if self.lost {
            slice.chunk = Bytes::new();
            buffer.clear();
            return Ok(());
        }
        if let Some(whole) = self.inbox.take_settled() {
            self.handle_whole(&whole, &mut slice.items)?;
        }
        slice.chunk = self.inbox.cut(buffer, frames_max, bytes_max)?;
        let chunk = slice.chunk.clone();
        let mut at = 0;
        while let Some(len) = self.inbox.next_frame_bytes(chunk.get(at..).unwrap_or_default())? {
            let bytes = chunk.get(at + 4..at + len).unwrap_or_default();
            at += len;
            match Frame::parse(bytes)? {
                Frame::Fragment { stream, total, abort, data } => {
                    if let Some(whole) = self.inbox.fragment(stream, total, abort, data)? {
                        self.handle_whole(&whole, &mut slice.items)?;
                    }
                }
                frame => {
                    let end = at;
                    // A chunk is bounded by the read buffer, far below 4 GiB.
                    let locate = |payload: &[u8]| Payload::Chunk {
                        start: u32::try_from(end - payload.len()).unwrap_or(u32::MAX),
                        end: u32::try_from(end).unwrap_or(u32::MAX),
                    };
                    self.handle_frame(frame, locate, &mut slice.items)?;
                }
            }
        }
        Ok(())
    }

    fn handle_whole(&mut self, whole: &Bytes, items: &mut Vec<Inbound>) -> Result<(), ProtocolError> {
        let locate = |payload: &[u8]| Payload::Whole(whole.slice_ref(payload));
        self.handle_frame(parse_reassembled(whole)?, locate, items)
    }

    /// Uses other memory for large frames.
    pub fn use_memory(&mut self, memory: Memory) {
        self.inbox.use_memory(memory);
    }

    /// Lends the place of what is missing of a large frame; see [`Inbox::lend`].
    ///
    /// # Errors
    /// As [`AcceptorLink::handle_data`].
    pub fn lend(&mut self, buffer: &mut BytesMut) -> Result<Option<Loan>, ProtocolError> {
        if self.lost { Ok(None) } else { self.inbox.lend(buffer) }
    }

    /// Takes back what was lent; [`AcceptorLink::handle_data`] goes on with it.
    pub fn settle(&mut self, loan: Loan) {
        if !self.lost {
            self.inbox.settle(loan);
        }
    }

    /// Bytes came in.
    pub fn received(&mut self, now: std::time::Instant) {
        self.liveness.received(now);
    }

    fn handle_frame(
        &mut self,
        frame: Frame<'_>,
        locate: impl Fn(&[u8]) -> Payload,
        items: &mut Vec<Inbound>,
    ) -> Result<(), ProtocolError> {
        match frame {
            Frame::Request { id, route, deadline_ms, compressed, trace, payload } => {
                let (kind, payload, trace) = (RequestKind::Call, locate(payload), boxed(trace));
                self.request(Request { kind, id, route, deadline_ms, compressed, trace, payload }, items)
            }
            Frame::Cast { route, compressed, trace, payload } => {
                let count = self.casts.get_mut(route as usize).ok_or(ProtocolError::UndefinedRoute)?;
                let kind = RequestKind::Cast { nth: *count };
                *count += 1;
                self.traffic.came();
                let (id, deadline_ms) = (RequestId { slot: 0, generation: 0 }, frame::NO_DEADLINE);
                let (payload, trace) = (locate(payload), boxed(trace));
                let cast = Request { kind, id, route, deadline_ms, compressed, trace, payload };
                items.push(Inbound::Request(cast));
                Ok(())
            }
            Frame::Deliver { id, route, deadline_ms, compressed, trace, payload } => {
                let (kind, payload, trace) = (RequestKind::Deliver, locate(payload), boxed(trace));
                self.request(Request { kind, id, route, deadline_ms, compressed, trace, payload }, items)
            }
            Frame::Open { id, route, deadline_ms, window, compressed, trace, payload } => {
                let (kind, payload, trace) = (RequestKind::Open { window }, locate(payload), boxed(trace));
                self.request(Request { kind, id, route, deadline_ms, compressed, trace, payload }, items)
            }
            Frame::Define { route, definition } => {
                check_definition(route, &definition, self.casts.len(), self.limits.routes_max)?;
                self.casts.push(0);
                items.push(Inbound::Define { route, definition: Box::new(definition) });
                Ok(())
            }
            Frame::Cancel { id } => {
                self.cancel_stream(id);
                items.push(Inbound::Cancel(id));
                Ok(())
            }
            Frame::Confirm { id, route, cast } => {
                if self.admit(id, route)? {
                    items.push(Inbound::Confirm { id, route, cast });
                }
                Ok(())
            }
            Frame::Credit { id, bytes } => {
                self.grant(id, bytes);
                Ok(())
            }
            Frame::Ping { token: 0 } | Frame::Void | Frame::Pong { .. } => Ok(()),
            Frame::Goodbye { reason } => {
                self.peer_drains |= reason == Goodbye::Draining;
                Ok(())
            }
            Frame::Ping { token } => {
                self.outbox.pong(token);
                Ok(())
            }
            Frame::Reply { .. } | Frame::Item { .. } | Frame::Fragment { .. } => {
                Err(ProtocolError::WrongRole)
            }
        }
    }

    fn request(&mut self, request: Request, items: &mut Vec<Inbound>) -> Result<(), ProtocolError> {
        self.traffic.came();
        if self.admit(request.id, request.route)? {
            if self.goodbye == Some(Goodbye::Draining) {
                self.reply_fault(request.id, &Rejected::Draining.into());
            } else {
                items.push(Inbound::Request(request));
            }
        }
        Ok(())
    }

    /// Counts what has to be answered; refuses it at once if that is too much.
    fn admit(&mut self, id: RequestId, route: u32) -> Result<bool, ProtocolError> {
        if route as usize >= self.casts.len() {
            return Err(ProtocolError::UndefinedRoute);
        }
        let max = self.limits.in_flight_max;
        let over = self.in_flight >= max || id.slot as usize >= max;
        self.in_flight += 1;
        if over {
            self.reply_fault(id, &Rejected::Busy("in_flight_max".to_owned()).into());
        }
        Ok(!over)
    }

    /// Appends answers that were encoded outside: whole reply frames, `count` of them, none of them to be cut.
    pub fn push_replies(&mut self, frames: &[u8], count: usize) {
        if !frames.is_empty() && !self.lost {
            self.outbox.append(frames);
        }
        self.traffic.go(count);
        self.in_flight = self.in_flight.saturating_sub(count);
    }

    /// Answers one request with a value; one that is larger than the caller takes becomes a fault.
    pub fn reply(&mut self, id: RequestId, compressed: bool, body: Body<'_>) {
        if let Some(fault) = self.too_large(&body) {
            return self.reply_fault(id, &fault);
        }
        if !self.lost {
            self.outbox.push(Lane::Answer(id.slot), Head::reply(id, false, compressed), body);
        }
        self.traffic.goes();
        self.in_flight = self.in_flight.saturating_sub(1);
        self.forget_stream(id);
    }

    fn too_large(&self, body: &Body<'_>) -> Option<Fault> {
        let (bytes, limit) = (body.as_slice().len(), self.reply_bytes_max);
        (bytes > limit).then(|| Failed::ReplyTooLarge { bytes: bytes as u64, limit: limit as u64 }.into())
    }

    /// Answers one request with a fault.
    pub fn reply_fault(&mut self, id: RequestId, fault: &Fault) {
        if !self.lost {
            let mut frame = Vec::new();
            frame::write_fault(id, fault, &mut frame);
            // Behind the items of a stream, if there are any on their way.
            self.outbox.push_encoded(Lane::Answer(id.slot), &frame);
        }
        self.traffic.goes();
        self.in_flight = self.in_flight.saturating_sub(1);
        self.forget_stream(id);
    }

    /// A stream begins, with this credit; the caller is told. One that still has its slot is over: its caller gave it up.
    pub fn open_stream(&mut self, id: RequestId, window: u32) {
        if self.lost {
            return;
        }
        let (generation, credit) = (id.generation, i64::from(window));
        let stream = OutStream { generation, credit, waiting: None, crowded: false };
        if let Some(before) = self.streams.insert(id.slot, stream) {
            self.woken.extend(before.waiting);
        }
        self.outbox.push(Lane::Answer(id.slot), Head::opened(id), Body::Borrowed(&[]));
    }

    /// Whether the stream may send its next item: not beyond its credit, whatever the caller grants, nor while
    /// answers pile up that the caller does not read.
    pub fn poll_credit(&mut self, id: RequestId, token: impl FnOnce() -> T) -> Credit {
        let crowded = !self.wants_read();
        match self.streams.get_mut(&id.slot) {
            Some(stream) if stream.generation == id.generation => {
                if stream.credit > 0 && !crowded {
                    return Credit::Ready;
                }
                stream.waiting = Some(token());
                if stream.credit > 0 && !std::mem::replace(&mut stream.crowded, true) {
                    self.crowded.push(id.slot);
                }
                Credit::Wait
            }
            _ => Credit::Cancelled,
        }
    }

    fn wake_crowded(&mut self) {
        if self.crowded.is_empty() || self.outbox.held_bytes() > self.limits.unsent_bytes_max / 2 {
            return;
        }
        for slot in self.crowded.drain(..) {
            if let Some(stream) = self.streams.get_mut(&slot) {
                stream.crowded = false;
                self.woken.extend(stream.waiting.take());
            }
        }
    }

    /// Sends an item; `false` if the caller gave the stream up, or the item is larger than the caller takes, which
    /// ends the stream with a fault.
    pub fn push_item(&mut self, id: RequestId, compressed: bool, body: Body<'_>) -> bool {
        let fault = self.too_large(&body);
        match self.streams.get_mut(&id.slot) {
            Some(stream) if stream.generation == id.generation => {
                if let Some(fault) = fault {
                    self.reply_fault(id, &fault);
                    return false;
                }
                stream.credit -= i64::from(credit_cost(body.as_slice().len()));
                self.traffic.goes();
                self.outbox.push(Lane::Answer(id.slot), Head::item(id, compressed), body);
                true
            }
            _ => false,
        }
    }

    fn grant(&mut self, id: RequestId, bytes: u32) {
        if let Some(stream) = self.streams.get_mut(&id.slot)
            && stream.generation == id.generation
        {
            stream.credit = stream.credit.saturating_add(i64::from(bytes));
            if stream.credit > 0 {
                self.woken.extend(stream.waiting.take());
            }
        }
    }

    fn cancel_stream(&mut self, id: RequestId) {
        if self.streams.get(&id.slot).is_some_and(|stream| stream.generation == id.generation)
            && let Some(stream) = self.streams.remove(&id.slot)
        {
            self.woken.extend(stream.waiting);
        }
    }

    fn forget_stream(&mut self, id: RequestId) {
        if !self.streams.is_empty()
            && self.streams.get(&id.slot).is_some_and(|stream| stream.generation == id.generation)
        {
            self.streams.remove(&id.slot);
        }
    }

    /// Asks the caller to end the connection; with [`Goodbye::Draining`] new requests are refused from now on.
    pub fn goodbye(&mut self, reason: Goodbye) {
        // Draining stays so, whatever is said later.
        if self.goodbye != Some(reason) && self.goodbye != Some(Goodbye::Draining) && !self.lost {
            self.goodbye = Some(reason);
            self.outbox.control(|out| frame::write_goodbye(reason, out));
        }
    }

    /// Whether the caller has said that it shuts down.
    pub fn peer_drains(&self) -> bool {
        self.peer_drains
    }

    /// Requests not yet answered.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Nothing to answer and nothing to write.
    pub fn is_quiet(&self) -> bool {
        self.in_flight == 0 && self.outbox.unsent_bytes() == 0
    }

    /// The largest answer the caller takes.
    pub fn reply_bytes_max(&self) -> usize {
        self.reply_bytes_max
    }

    /// Whether more may be read: not while the answers of earlier requests pile up unread.
    pub fn wants_read(&self) -> bool {
        self.outbox.held_bytes() < self.limits.unsent_bytes_max
    }

    /// Bytes queued and not yet written.
    pub fn unsent_bytes(&self) -> usize {
        self.outbox.unsent_bytes()
    }

    /// Whether there is something to write.
    pub fn wants_write(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// The next bytes to write, when the last ones are written in full. Empty: nothing to do now.
    pub fn poll_outgoing(&mut self, out: &mut Outgoing, now: std::time::Instant) {
        self.outbox.poll_outgoing(out);
        if !out.is_empty() {
            self.liveness.sent(now);
        }
        self.wake_crowded();
    }

    /// As [`AcceptorLink::poll_outgoing`], in one piece.
    pub fn poll_transmit(&mut self, buffer: &mut Vec<u8>, now: std::time::Instant) {
        let mut out = Outgoing::from(std::mem::take(buffer));
        self.poll_outgoing(&mut out, now);
        *buffer = out.flatten();
    }

    /// When to call [`AcceptorLink::handle_timeout`] next.
    pub fn poll_timeout(&self, io: &IoState) -> std::time::Instant {
        self.liveness.poll_timeout(io)
    }

    /// Time has passed.
    ///
    /// # Errors
    /// The cause, when the connection has to end.
    pub fn handle_timeout(&mut self, now: std::time::Instant, io: &IoState) -> Result<(), LossCause> {
        if !self.lost && self.liveness.handle_timeout(now, io)? {
            self.outbox.control(|out| frame::write_ping(0, out));
        }
        Ok(())
    }

    /// The connection is gone: whoever waits for credit is woken and finds its stream cancelled. Answers that come
    /// later are counted and dropped.
    pub fn handle_lost(&mut self) {
        self.lost = true;
        self.outbox.end(0);
        self.inbox.reset();
        self.crowded = Vec::new();
        for (_, stream) in self.streams.drain() {
            self.woken.extend(stream.waiting);
        }
    }

    /// Tokens that have something new.
    pub fn poll_woken(&mut self, out: &mut Vec<T>) {
        out.append(&mut self.woken);
    }

    /// What it has carried.
    pub fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// How many ticks of the peer are overdue: at its intensity it counts as gone.
    pub fn ticks_missed(&self, now: std::time::Instant) -> u32 {
        self.liveness.ticks_missed(now)
    }

    /// Bytes announced by the fragmented requests that are being put together.
    pub fn reassembly_bytes(&self) -> usize {
        self.inbox.reassembly_bytes()
    }

    /// How long this node stood still, if its peer may have given it up meanwhile; see [`Liveness::suspended`].
    pub fn suspended(&self, now: std::time::Instant) -> Option<std::time::Duration> {
        self.liveness.suspended(now)
    }
}
