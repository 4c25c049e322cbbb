//! Every frame of the protocol, as it stands on the wire. This file is the protocol reference.
//!
//! ```text
//!  0       4      5       6          8
//!  +-------+------+-------+----------+----------------- - -
//!  | len   | kind | flags | reserved | body of the kind
//!  +-------+------+-------+----------+----------------- - -
//! ```
//!
//! `len` counts what follows it. All numbers are little-endian. `reserved` is sent as zero and ignored. Nothing
//! longer than `fragment_bytes` plus [`HEAD_BYTES_MAX`] travels in one frame: larger ones are cut into
//! [`Frame::Fragment`]s, so that small frames pass between them. An unknown kind ends the connection; unknown
//! flags are ignored.

use serde::{Deserialize, Serialize};

use super::ProtocolError;
use crate::failure::Fault;
use crate::trace::{TRACE_BYTES, TraceContext};
use reader::Reader;

mod reader;

/// The bytes before the body: length, kind, flags, reserved.
pub const HEAD_BYTES: usize = 8;

/// The most bytes a frame has besides its payload.
pub const HEAD_BYTES_MAX: usize = 28 + TRACE_BYTES;

/// The payload is compressed.
pub const FLAG_COMPRESSED: u8 = 1;
/// The payload of a reply is a [`Fault`] in postcard.
pub const FLAG_FAULT: u8 = 2;
/// This fragment begins a stream and announces its total; this item only opens a stream of items.
pub const FLAG_FIRST: u8 = 4;
/// The sender gives the fragmented frame up.
pub const FLAG_ABORT: u8 = 8;
/// Before the payload stands a [`TraceContext`], [`TRACE_BYTES`] long and never compressed.
pub const FLAG_TRACED: u8 = 16;

/// What a frame is. The numbers are the wire's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// See [`Frame::Request`].
    Request = 1,
    /// See [`Frame::Cast`].
    Cast = 2,
    /// See [`Frame::Deliver`].
    Deliver = 3,
    /// See [`Frame::Open`].
    Open = 4,
    /// See [`Frame::Reply`].
    Reply = 5,
    /// See [`Frame::Item`].
    Item = 6,
    /// See [`Frame::Credit`].
    Credit = 7,
    /// See [`Frame::Cancel`].
    Cancel = 8,
    /// See [`Frame::Define`].
    Define = 9,
    /// See [`Frame::Confirm`].
    Confirm = 10,
    /// See [`Frame::Ping`].
    Ping = 11,
    /// See [`Frame::Pong`].
    Pong = 12,
    /// See [`Frame::Goodbye`].
    Goodbye = 13,
    /// See [`Frame::Fragment`].
    Fragment = 14,
    /// See [`Frame::Void`].
    Void = 15,
}

impl Kind {
    fn parse(byte: u8) -> Result<Self, ProtocolError> {
        const KINDS: [Kind; 15] = [
            Kind::Request,
            Kind::Cast,
            Kind::Deliver,
            Kind::Open,
            Kind::Reply,
            Kind::Item,
            Kind::Credit,
            Kind::Cancel,
            Kind::Define,
            Kind::Confirm,
            Kind::Ping,
            Kind::Pong,
            Kind::Goodbye,
            Kind::Fragment,
            Kind::Void,
        ];
        usize::from(byte)
            .checked_sub(1)
            .and_then(|index| KINDS.get(index).copied())
            .ok_or(ProtocolError::UnknownKind(byte))
    }
}

/// Names one request of a connection: a slot of the caller's table, and how often that slot was used.
///
/// A late reply carries the generation of its own request and so never reaches the slot's next user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId {
    /// Index into the caller's table.
    pub slot: u32,
    /// Which use of that slot.
    pub generation: u32,
}

/// No deadline, in a frame's `deadline_ms`.
pub const NO_DEADLINE: u32 = u32::MAX;

/// What a route stands for: sent once per connection, afterwards its number is enough.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Definition {
    /// The registered name of the actor.
    pub actor: String,
    /// The wire name of the message.
    pub message: String,
    /// The version of the message's layout.
    pub version: u16,
    /// The fingerprint of request and result schemas.
    pub fingerprint: u64,
    /// The actor version the caller requires, as a semver requirement; empty for any.
    pub requirement: String,
}

/// Why a peer says goodbye.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goodbye {
    /// Nothing was asked for a while; the caller may close when its last answer is in.
    Idle,
    /// The node shuts down.
    Draining,
    /// A newer connection of the same node took over.
    Superseded,
    /// Any other reason, by number.
    Other(u8),
}

impl Goodbye {
    fn to_byte(self) -> u8 {
        match self {
            Self::Idle => 1,
            Self::Draining => 2,
            Self::Superseded => 3,
            Self::Other(byte) => byte,
        }
    }

    fn from_byte(byte: u8) -> Self {
        match byte {
            1 => Self::Idle,
            2 => Self::Draining,
            3 => Self::Superseded,
            other => Self::Other(other),
        }
    }
}

/// One frame, borrowed from the bytes it was read from.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// Caller → acceptor: run this and answer with one [`Frame::Reply`].
    /// Body: slot u32, generation u32, route u32, deadline u32 (ms left, [`NO_DEADLINE`]), payload.
    Request {
        /// Which request.
        id: RequestId,
        /// Actor and message.
        route: u32,
        /// Milliseconds left when it was sent.
        deadline_ms: u32,
        /// Whether the payload is compressed.
        compressed: bool,
        /// The trace it belongs to, with [`FLAG_TRACED`].
        trace: Option<&'a [u8; TRACE_BYTES]>,
        /// The encoded message.
        payload: &'a [u8],
    },
    /// Caller → acceptor: run this, no answer. Body: route u32, payload.
    Cast {
        /// Actor and message.
        route: u32,
        /// Whether the payload is compressed.
        compressed: bool,
        /// The trace it belongs to, with [`FLAG_TRACED`].
        trace: Option<&'a [u8; TRACE_BYTES]>,
        /// The encoded message.
        payload: &'a [u8],
    },
    /// Caller → acceptor: put this into the actor's mailbox and answer when it is there (sbcast).
    /// Body as [`Frame::Request`].
    Deliver {
        /// Which request.
        id: RequestId,
        /// Actor and message.
        route: u32,
        /// Milliseconds left when it was sent.
        deadline_ms: u32,
        /// Whether the payload is compressed.
        compressed: bool,
        /// The trace it belongs to, with [`FLAG_TRACED`].
        trace: Option<&'a [u8; TRACE_BYTES]>,
        /// The encoded message.
        payload: &'a [u8],
    },
    /// Caller → acceptor: run this and answer with [`Frame::Item`]s, ended by one [`Frame::Reply`].
    /// Body: slot u32, generation u32, route u32, deadline u32, window u32 (bytes of items), payload.
    Open {
        /// Which request.
        id: RequestId,
        /// Actor and message.
        route: u32,
        /// Milliseconds left when it was sent.
        deadline_ms: u32,
        /// The first credit, in bytes of items.
        window: u32,
        /// Whether the payload is compressed.
        compressed: bool,
        /// The trace it belongs to, with [`FLAG_TRACED`].
        trace: Option<&'a [u8; TRACE_BYTES]>,
        /// The encoded message.
        payload: &'a [u8],
    },
    /// Acceptor → caller: the one end of a request. Body: slot u32, generation u32, payload
    /// (a value, or with [`FLAG_FAULT`] a [`Fault`]; empty for [`Frame::Deliver`], [`Frame::Confirm`] and the end of items).
    Reply {
        /// Which request.
        id: RequestId,
        /// Whether the payload is a fault.
        fault: bool,
        /// Whether the payload is compressed.
        compressed: bool,
        /// The encoded value.
        payload: &'a [u8],
    },
    /// Acceptor → caller: one of many answers. Body: slot u32, generation u32, payload.
    /// With [`FLAG_FIRST`] it carries no answer: the handler has accepted the request and items may follow.
    Item {
        /// Which request.
        id: RequestId,
        /// Whether it only says that the stream is open.
        opened: bool,
        /// Whether the payload is compressed.
        compressed: bool,
        /// The encoded item.
        payload: &'a [u8],
    },
    /// Caller → acceptor: the application took this many bytes of items. Body: slot u32, generation u32, bytes u32.
    Credit {
        /// Which request.
        id: RequestId,
        /// Bytes taken.
        bytes: u32,
    },
    /// Caller → acceptor: no longer wanted; what has not started is not started. Body: slot u32, generation u32.
    Cancel {
        /// Which request.
        id: RequestId,
    },
    /// Caller → acceptor: what a route number stands for, numbered from 0 without gaps.
    /// Body: route u32, [`Definition`] in postcard; bytes behind it are ignored (room for optional fields).
    Define {
        /// The number.
        route: u32,
        /// What it stands for.
        definition: Definition,
    },
    /// Caller → acceptor: was the n-th cast of this route accepted by the mailbox? Answered by [`Frame::Reply`].
    /// Body: slot u32, generation u32, route u32, cast u64 (counted from 0 per route).
    Confirm {
        /// Which request.
        id: RequestId,
        /// The cast's route.
        route: u32,
        /// Which cast of that route.
        cast: u64,
    },
    /// Either side: alive. Body: token u64; token 0 is a tick and wants no answer.
    Ping {
        /// Echoed by [`Frame::Pong`].
        token: u64,
    },
    /// Either side: answers a ping. Body: token u64.
    Pong {
        /// The ping's token.
        token: u64,
    },
    /// Either side: asks for an orderly end; nothing new is started on this connection. Body: reason u8.
    Goodbye {
        /// Why.
        reason: Goodbye,
    },
    /// Either side: a piece of a frame too large to travel whole. Body: stream u32,
    /// with [`FLAG_FIRST`] total u32 (bytes of the whole frame without its `len`), data.
    Fragment {
        /// Which stream; numbers may be used again after the end.
        stream: u32,
        /// The announced total, in the first fragment.
        total: Option<u32>,
        /// Whether the sender gives up.
        abort: bool,
        /// The piece.
        data: &'a [u8],
    },
    /// A request withdrawn before it was written: ignored.
    Void,
}

impl<'a> Frame<'a> {
    /// Reads a frame from everything behind its `len`.
    ///
    /// # Errors
    /// [`ProtocolError`] if it is no frame of this protocol.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ProtocolError> {
        let mut reader = Reader(bytes);
        let kind = Kind::parse(reader.u8()?)?;
        let flags = reader.u8()?;
        reader.take::<2>()?;
        let compressed = flags & FLAG_COMPRESSED != 0;
        Ok(match kind {
            Kind::Request => {
                let (id, route, deadline_ms) = (reader.id()?, reader.u32()?, reader.u32()?);
                let trace = reader.trace(flags)?;
                Self::Request { id, route, deadline_ms, compressed, trace, payload: reader.0 }
            }
            Kind::Deliver => {
                let (id, route, deadline_ms) = (reader.id()?, reader.u32()?, reader.u32()?);
                let trace = reader.trace(flags)?;
                Self::Deliver { id, route, deadline_ms, compressed, trace, payload: reader.0 }
            }
            Kind::Open => {
                let (id, route, deadline_ms) = (reader.id()?, reader.u32()?, reader.u32()?);
                let (window, trace) = (reader.u32()?, reader.trace(flags)?);
                Self::Open { id, route, deadline_ms, window, compressed, trace, payload: reader.0 }
            }
            Kind::Cast => {
                let (route, trace) = (reader.u32()?, reader.trace(flags)?);
                Self::Cast { route, compressed, trace, payload: reader.0 }
            }
            Kind::Reply => {
                let fault = flags & FLAG_FAULT != 0;
                Self::Reply { id: reader.id()?, fault, compressed, payload: reader.0 }
            }
            Kind::Item => {
                let opened = flags & FLAG_FIRST != 0;
                Self::Item { id: reader.id()?, opened, compressed, payload: reader.0 }
            }
            Kind::Credit => Self::Credit { id: reader.id()?, bytes: reader.u32()? },
            Kind::Cancel => Self::Cancel { id: reader.id()? },
            Kind::Define => Self::Define { route: reader.u32()?, definition: reader.definition()? },
            Kind::Confirm => Self::Confirm { id: reader.id()?, route: reader.u32()?, cast: reader.u64()? },
            Kind::Ping => Self::Ping { token: reader.u64()? },
            Kind::Pong => Self::Pong { token: reader.u64()? },
            Kind::Goodbye => Self::Goodbye { reason: Goodbye::from_byte(reader.u8()?) },
            Kind::Fragment => Self::Fragment {
                stream: reader.u32()?,
                total: if flags & FLAG_FIRST != 0 { Some(reader.u32()?) } else { None },
                abort: flags & FLAG_ABORT != 0,
                data: reader.0,
            },
            Kind::Void => Self::Void,
        })
    }
}

/// The bytes in front of a payload, made on the stack: `len` is filled in when the payload's size is known.
#[derive(Debug, Clone, Copy)]
pub struct Head {
    bytes: [u8; HEAD_BYTES_MAX],
    len: usize,
}

impl Head {
    fn new(kind: Kind, flags: u8) -> Self {
        let mut bytes = [0; HEAD_BYTES_MAX];
        let [_, _, _, _, kind_byte, flags_byte, ..] = &mut bytes;
        *kind_byte = kind as u8;
        *flags_byte = flags;
        Self { bytes, len: HEAD_BYTES }
    }

    fn with<const N: usize>(mut self, field: [u8; N]) -> Self {
        if let Some(place) = self.bytes.get_mut(self.len..self.len + N) {
            place.copy_from_slice(&field);
            self.len += N;
        }
        self
    }

    fn id(self, id: RequestId) -> Self {
        self.with(id.slot.to_le_bytes()).with(id.generation.to_le_bytes())
    }

    /// The head of a [`Frame::Void`].
    pub fn void() -> Self {
        Self::new(Kind::Void, 0).sealed(0)
    }

    /// A head that is only the `len` of a frame encoded elsewhere, whose rest goes as the body.
    pub fn raw() -> Self {
        Self { bytes: [0; HEAD_BYTES_MAX], len: 4 }
    }

    /// The head of a [`Frame::Request`], or of a [`Frame::Deliver`].
    pub fn request(kind: Kind, id: RequestId, route: u32, deadline_ms: u32, compressed: bool) -> Self {
        Self::new(kind, flag(compressed, FLAG_COMPRESSED))
            .id(id)
            .with(route.to_le_bytes())
            .with(deadline_ms.to_le_bytes())
    }

    /// The head of a [`Frame::Open`].
    pub fn open(id: RequestId, route: u32, deadline_ms: u32, window: u32, compressed: bool) -> Self {
        Self::request(Kind::Open, id, route, deadline_ms, compressed).with(window.to_le_bytes())
    }

    /// This head of a request or a cast, with the trace that it belongs to: the last thing before the payload.
    pub fn traced(mut self, trace: Option<&TraceContext>) -> Self {
        let Some(trace) = trace else { return self };
        let [_, _, _, _, _, flags, ..] = &mut self.bytes;
        *flags |= FLAG_TRACED;
        self.with(trace.to_bytes())
    }

    /// The head of a [`Frame::Cast`].
    pub fn cast(route: u32, compressed: bool) -> Self {
        Self::new(Kind::Cast, flag(compressed, FLAG_COMPRESSED)).with(route.to_le_bytes())
    }

    /// The head of a [`Frame::Reply`].
    pub fn reply(id: RequestId, fault: bool, compressed: bool) -> Self {
        Self::new(Kind::Reply, flag(compressed, FLAG_COMPRESSED) | flag(fault, FLAG_FAULT)).id(id)
    }

    /// The head of a [`Frame::Item`].
    pub fn item(id: RequestId, compressed: bool) -> Self {
        Self::new(Kind::Item, flag(compressed, FLAG_COMPRESSED)).id(id)
    }

    /// The head of a [`Frame::Item`] that opens a stream, without a payload.
    pub fn opened(id: RequestId) -> Self {
        Self::new(Kind::Item, FLAG_FIRST).id(id)
    }

    /// The head of a [`Frame::Fragment`]; `total` stands in the first one.
    pub fn fragment(stream: u32, total: Option<u32>) -> Self {
        let flags = if total.is_some() { FLAG_FIRST } else { 0 };
        let head = Self::new(Kind::Fragment, flags).with(stream.to_le_bytes());
        match total {
            Some(total) => head.with(total.to_le_bytes()),
            None => head,
        }
    }

    /// The route of a [`Frame::Cast`]; none for any other.
    pub fn cast_route(&self) -> Option<u32> {
        let [_, _, _, _, kind, _, _, _, a, b, c, d, ..] = self.bytes;
        (kind == Kind::Cast as u8 && self.len > 4).then(|| u32::from_le_bytes([a, b, c, d]))
    }

    /// The route and the number that a [`Frame::Confirm`] asks about; none for any other.
    pub fn confirmed(&self) -> Option<(u32, u64)> {
        let (_, fields) = self.bytes.split_first_chunk::<CONFIRM_ROUTE_AT>()?;
        let (route, nth) = fields.split_first_chunk::<4>()?;
        let (nth, _) = nth.split_first_chunk::<8>()?;
        let confirms = self.bytes.get(4) == Some(&(Kind::Confirm as u8)) && self.len > 4;
        confirms.then(|| (u32::from_le_bytes(*route), u64::from_le_bytes(*nth)))
    }

    /// Makes a [`Frame::Confirm`] ask about another cast of its route.
    pub fn confirm_another(&mut self, nth: u64) {
        if let Some(place) = self.bytes.get_mut(CONFIRM_ROUTE_AT + 4..CONFIRM_ROUTE_AT + 12) {
            place.copy_from_slice(&nth.to_le_bytes());
        }
    }

    /// The bytes, with `len` set for a payload of this size.
    pub fn sealed(mut self, payload_bytes: usize) -> Self {
        // Payloads are bounded by message_bytes_max, far below 4 GiB.
        let len = u32::try_from(self.len - 4 + payload_bytes).unwrap_or(u32::MAX);
        if let Some(place) = self.bytes.first_chunk_mut() {
            *place = len.to_le_bytes();
        }
        self
    }

    /// Writes another `deadline_ms` into it.
    pub fn restamp(&mut self, deadline_ms: u32) {
        restamp(&mut self.bytes, deadline_ms);
    }

    /// The head's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// Appends the whole frame.
    pub fn write(self, payload: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(self.sealed(payload.len()).as_bytes());
        out.extend_from_slice(payload);
    }
}

fn flag(set: bool, flag: u8) -> u8 {
    if set { flag } else { 0 }
}

/// Writes another `deadline_ms` into the beginning of a frame, if it is of a kind that has one.
pub fn restamp(frame: &mut [u8], deadline_ms: u32) {
    let has_deadline =
        |kind: &u8| [Kind::Request, Kind::Deliver, Kind::Open].iter().any(|k| *k as u8 == *kind);
    if frame.get(4).is_some_and(has_deadline)
        && let Some(place) = frame.get_mut(DEADLINE_AT..DEADLINE_AT + 4)
    {
        place.copy_from_slice(&deadline_ms.to_le_bytes());
    }
}

/// Behind the head, the id and the route.
const DEADLINE_AT: usize = HEAD_BYTES + 12;

/// Appends a [`Frame::Reply`] that carries a fault.
pub fn write_fault(id: RequestId, fault: &Fault, out: &mut Vec<u8>) {
    // A fault is a small enum of numbers and short texts; writing it into a Vec cannot fail.
    let payload = postcard::to_allocvec(fault).unwrap_or_default();
    Head::reply(id, true, false).write(&payload, out);
}

/// Appends a [`Frame::Credit`].
pub fn write_credit(id: RequestId, bytes: u32, out: &mut Vec<u8>) {
    Head::new(Kind::Credit, 0).id(id).with(bytes.to_le_bytes()).write(&[], out);
}

/// Appends a [`Frame::Cancel`].
pub fn write_cancel(id: RequestId, out: &mut Vec<u8>) {
    Head::new(Kind::Cancel, 0).id(id).write(&[], out);
}

/// Appends a [`Frame::Define`].
pub fn write_define(route: u32, definition: &Definition, out: &mut Vec<u8>) {
    // Strings and integers into a Vec: cannot fail.
    let payload = postcard::to_allocvec(definition).unwrap_or_default();
    Head::new(Kind::Define, 0).with(route.to_le_bytes()).write(&payload, out);
}

/// The head of a [`Frame::Confirm`], which has no payload.
pub fn confirm(id: RequestId, route: u32, cast: u64) -> Head {
    Head::new(Kind::Confirm, 0).id(id).with(route.to_le_bytes()).with(cast.to_le_bytes())
}

/// Behind the head and the id.
const CONFIRM_ROUTE_AT: usize = HEAD_BYTES + 8;

/// Appends a [`Frame::Ping`].
pub fn write_ping(token: u64, out: &mut Vec<u8>) {
    Head::new(Kind::Ping, 0).with(token.to_le_bytes()).write(&[], out);
}

/// Appends a [`Frame::Pong`].
pub fn write_pong(token: u64, out: &mut Vec<u8>) {
    Head::new(Kind::Pong, 0).with(token.to_le_bytes()).write(&[], out);
}

/// Appends a [`Frame::Goodbye`].
pub fn write_goodbye(reason: Goodbye, out: &mut Vec<u8>) {
    Head::new(Kind::Goodbye, 0).with([reason.to_byte()]).write(&[], out);
}

/// Appends a [`Frame::Fragment`] that gives its stream up.
pub fn write_abort(stream: u32, out: &mut Vec<u8>) {
    Head::new(Kind::Fragment, FLAG_ABORT).with(stream.to_le_bytes()).write(&[], out);
}
