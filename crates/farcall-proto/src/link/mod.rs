//! One connection as a value: bytes and instants in, bytes and events out, nothing done.
//!
//! [`ClientLink`] is the asking half, [`AcceptorLink`] the answering one; connections are one-directional in role.
//! Both are made of an [`Outbox`](outbox::Outbox), an [`Inbox`](inbox::Inbox) and a [`Liveness`](liveness::Liveness).
//! Whoever owns the socket feeds `handle_data` and `handle_timeout`, writes what `poll_outgoing` gives and asks
//! `poll_timeout` when to come back. Invariants: every token given with a request comes back exactly once; nothing
//! blocks, panics or allocates beyond its limit on peer data; after the link is lost nothing more comes out.

mod acceptor;
mod client;
pub mod frame;
pub mod handshake;
pub mod inbox;
pub mod liveness;
mod loan;
mod loss;
pub mod outbox;
mod outgoing;
mod requests;
mod room;
mod routes;
mod spin;
mod submit;
mod traffic;

pub use acceptor::{AcceptorLink, Credit, Inbound, Payload, Request, RequestKind, Slice};
pub use client::{Casted, ClientLink, FRAGMENT_BYTES_OPENING, PEER_DRAINING, Phase};
pub use loan::{Loan, Memory};
pub use outgoing::Outgoing;
pub use requests::{Answer, Arrival, InlineBytes, NextItem, Outcome, Ticket};
pub use room::RoomTicket;
pub use routes::RouteKey;
pub use spin::Spin;
pub use submit::{Submit, SubmitKind};
pub use traffic::Traffic;

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

/// What bounds a link: our own settings, and after the handshake the smaller of both sides'.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The largest message.
    pub message_bytes_max: usize,
    /// Frames above this are cut into fragments.
    pub fragment_bytes: usize,
    /// Bytes queued and not yet written, per connection.
    pub unsent_bytes_max: usize,
    /// Requests without an answer, per connection.
    pub in_flight_max: usize,
    /// Sum of the announced totals of fragmented messages being put together.
    pub reassembly_bytes_max: usize,
    /// Fragmented messages being put together at a time.
    pub streams_max: usize,
    /// Routes (actor, message) per connection.
    pub routes_max: usize,
    /// A silent peer is gone after this.
    pub tick: Duration,
    /// Ticks sent per `tick`.
    pub tick_intensity: u8,
    /// Links with the same instant here send their ticks together, each up to an eighth of the interval early; none:
    /// each when it is due.
    pub ticks_from: Option<std::time::Instant>,
    /// A peer that takes nothing for this long is gone.
    pub write_stall_timeout: Duration,
    /// How long an answer nobody fetched is kept; none: until it is fetched or dropped.
    pub promise_ttl: Option<Duration>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes_max: 16 << 20,
            fragment_bytes: 64 << 10,
            unsent_bytes_max: 32 << 20,
            in_flight_max: 65_536,
            reassembly_bytes_max: 64 << 20,
            streams_max: 1024,
            routes_max: 16_384,
            tick: Duration::from_secs(10),
            tick_intensity: 4,
            ticks_from: None,
            write_stall_timeout: Duration::from_secs(30),
            promise_ttl: None,
        }
    }
}

/// What both sides can do: the smaller of two limits, and nothing that makes no sense.
#[derive(Debug)]
struct Agreed {
    fragment_bytes: usize,
    message_bytes_max: usize,
    reassembly: outbox::Reassembly,
    routes_max: usize,
    peer_tick: Duration,
    peer_intensity: u8,
}

/// Numbers of optional values in [`handshake::PeerParams::extensions`].
const STREAMS_MAX: u16 = 1;
const ROUTES_MAX: u16 = 2;

/// An optional limit of the peer; one that does not announce it has none of its own to be broken.
fn announced(peer: &handshake::PeerParams, number: u16) -> usize {
    let value = peer.extensions.find(number).and_then(|value| value.try_into().ok());
    value.map_or(usize::MAX, |value| u32::from_le_bytes(value) as usize)
}

impl Limits {
    /// What this side announces in the handshake; `compress` is the set of codecs it inflates.
    pub fn announce(&self, compress: u8) -> handshake::PeerParams {
        let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
        let mut extensions = handshake::Extensions::default();
        for (key, value) in [(STREAMS_MAX, self.streams_max), (ROUTES_MAX, self.routes_max)] {
            // Two short values with numbers of their own: there is room for them.
            let _ = extensions.insert(key, &number(value).to_le_bytes());
        }
        handshake::PeerParams {
            message_bytes_max: number(self.message_bytes_max),
            fragment_bytes: number(self.fragment_bytes),
            in_flight_max: number(self.in_flight_max),
            reassembly_bytes_max: number(self.reassembly_bytes_max),
            tick_ms: u32::try_from(self.tick.as_millis()).unwrap_or(u32::MAX),
            tick_intensity: self.tick_intensity,
            compress,
            flags: 0,
            extensions,
        }
    }
}

/// No peer gets smaller fragments than this, whatever it announces.
const FRAGMENT_BYTES_MIN: usize = 1024;

/// No peer is expected to tick faster than this, whatever it announces.
const TICK_MIN: Duration = Duration::from_millis(100);

impl Agreed {
    fn new(limits: &Limits, peer: &handshake::PeerParams) -> Self {
        let reassembly_bytes_max = peer.reassembly_bytes_max as usize;
        Self {
            fragment_bytes: limits.fragment_bytes.min(peer.fragment_bytes as usize).max(FRAGMENT_BYTES_MIN),
            message_bytes_max: limits
                .message_bytes_max
                .min(peer.message_bytes_max as usize)
                .min(reassembly_bytes_max.saturating_sub(frame::HEAD_BYTES_MAX)),
            reassembly: outbox::Reassembly {
                bytes_max: reassembly_bytes_max,
                streams_max: limits.streams_max.min(announced(peer, STREAMS_MAX)),
            },
            routes_max: limits.routes_max.min(announced(peer, ROUTES_MAX)),
            peer_tick: Duration::from_millis(u64::from(peer.tick_ms)).max(TICK_MIN),
            peer_intensity: peer.tick_intensity,
        }
    }
}

/// What a peer did that no peer of this protocol does. The connection ends; nothing else is disturbed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// A frame that announces more than the limit.
    #[error("a frame of {bytes} bytes, the limit is {limit}")]
    FrameTooLarge {
        /// The announced size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// A frame shorter than its fields.
    #[error("a frame shorter than its fields")]
    Truncated,
    /// No frame has this kind.
    #[error("unknown frame kind {0}")]
    UnknownKind(u8),
    /// A definition that is none, or with a name over the limit.
    #[error("a definition that cannot be read")]
    BadDefinition,
    /// Routes are numbered from 0 without gaps, up to the limit.
    #[error("a route out of order or over the limit of {limit}")]
    BadRoute {
        /// The limit.
        limit: usize,
    },
    /// A request over a route that was never defined.
    #[error("a request over an undefined route")]
    UndefinedRoute,
    /// A slot number over the agreed number of requests in flight.
    #[error("a request slot over the limit of {limit}")]
    BadSlot {
        /// The limit.
        limit: usize,
    },
    /// A frame that this role never receives.
    #[error("a frame of the other role")]
    WrongRole,
    /// A piece of a stream that was never begun.
    #[error("a fragment of no stream")]
    FragmentOfNoStream,
    /// More bytes than announced, or none.
    #[error("a fragment that breaks the announced total")]
    FragmentBreaksTotal,
    /// A stream begun twice.
    #[error("a stream opened twice")]
    StreamOpenedTwice,
    /// More streams, or more announced bytes, than agreed.
    #[error("more fragmented messages at a time than agreed")]
    TooManyStreams,
    /// Something fragmented that never needs to be.
    #[error("a fragmented control frame")]
    FragmentOfControl,
    /// A stream sent more items than it had credit for.
    #[error("more items than there was credit for")]
    OverCredit,
}

/// Why a connection that was up ended.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LossCause {
    /// The peer closed the connection.
    #[error("closed by the peer")]
    Closed,
    /// The socket failed.
    #[error("{0}")]
    Io(Arc<str>),
    /// Nothing was heard for the peer's whole tick.
    #[error("nothing heard for {for_ms} ms")]
    Silent {
        /// How long.
        for_ms: u128,
    },
    /// The peer took nothing for too long.
    #[error("the peer took nothing for {for_ms} ms")]
    WriteStall {
        /// How long.
        for_ms: u128,
    },
    /// The peer broke the protocol.
    #[error("protocol error: {0}")]
    Protocol(#[from] ProtocolError),
    /// This node itself slept for longer than its peers wait.
    #[error("this node was suspended for {for_ms} ms")]
    Suspended {
        /// How long.
        for_ms: u128,
    },
    /// Another process of the peer's name has come in.
    #[error("another process has taken the peer's place")]
    Superseded,
    /// This side ended it: idle, shut down, or taken over by a newer connection.
    #[error("{0}")]
    Ended(&'static str),
}

impl LossCause {
    /// A short stable word for logs and counters.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Io(_) => "io",
            Self::Silent { .. } => "silent",
            Self::WriteStall { .. } => "write_stall",
            Self::Protocol(_) => "protocol",
            Self::Suspended { .. } => "suspended",
            Self::Superseded => "superseded",
            Self::Ended(_) => "ended",
        }
    }
}
