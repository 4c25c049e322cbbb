//! What can become of a request: the four classes, and the reasons in each.
//!
//! The classes answer the only questions a caller has: did it run, and may I try again?
//!
//! | class | did the handler run? | try again? |
//! |---|---|---|
//! | [`NotSent`] | surely not: nothing of it left this node | yes |
//! | [`Rejected`] | surely not: the peer refused before running it | when the reason is gone |
//! | [`Failed`] | it started | only if it is idempotent |
//! | [`Unknown`] | nobody can say | only if it is idempotent |

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Nothing of the request was written: the handler surely did not run.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NotSent {
    /// Discovery knows no address of the node, or failed.
    #[error("no address: {0}")]
    NoAddress(Arc<str>),
    /// No connection could be made in time, or the last attempt failed a moment ago and its backoff still runs.
    #[error("connect failed: {0}")]
    ConnectFailed(Arc<str>),
    /// The peer and this node did not accept each other.
    #[error("handshake failed: {0}")]
    HandshakeFailed(Arc<str>),
    /// The connection's queue is at its limit: the peer reads more slowly than this node sends.
    #[error("the queue to this target is full ({limit}); slow down, or wait with call or acked")]
    QueueFull {
        /// The name and the value of the limit that was met.
        limit: Limit,
    },
    /// The deadline passed while the request still waited to be written.
    #[error("the deadline passed before the request was written")]
    DeadlineBeforeWrite,
    /// The encoded message is larger than both sides agreed on.
    #[error("message of {bytes} bytes is larger than message_bytes_max = {limit}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit, the smaller one of both sides.
        limit: usize,
    },
    /// The message's own `Serialize` failed.
    #[error("the message could not be encoded: {0}")]
    Encode(Arc<str>),
    /// This node or the peer is shutting down.
    #[error("draining: {0} takes no new work")]
    Draining(Arc<str>),
    /// The connection ended before a byte of the request was written.
    #[error("the connection ended before the request was written: {0}")]
    Disconnected(Arc<str>),
    /// The request names something that cannot be: an empty actor name, a malformed version requirement.
    #[error("bad request: {0}")]
    BadRequest(Arc<str>),
    /// The answer of this promise was taken before.
    #[error("the answer was already taken")]
    AlreadyTaken,
}

/// A limit that has a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// The name of the setting.
    pub name: &'static str,
    /// Its value.
    pub value: usize,
}

impl std::fmt::Display for Limit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} = {}", self.name, self.value)
    }
}

/// The peer refused the request before running it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Error)]
#[non_exhaustive]
pub enum Rejected {
    /// No actor of this name is registered there (any more).
    #[error("no actor of that name is registered there")]
    NoSuchActor,
    /// The actor does not accept this message.
    #[error("the actor does not accept this message")]
    NoSuchMessage,
    /// Both sides know the message by this name and version, but laid out differently.
    #[error("incompatible message: {0}")]
    Incompatible(String),
    /// The peer's access list does not permit the actor to this node.
    #[error("access to the actor is not permitted there")]
    Unauthorized,
    /// The actor's version does not meet the requirement.
    #[error("the actor's version is {have}, which does not meet {want}")]
    WrongVersion {
        /// The registered version, or `none`.
        have: String,
        /// The requirement.
        want: String,
    },
    /// The actor's mailbox, or the connection's table of running requests, is full and does not move.
    #[error("busy: {0} is at its limit there")]
    Busy(String),
    /// The deadline passed before the peer started it.
    #[error("the deadline passed before the peer started it")]
    Expired,
    /// The payload is no message of this type.
    #[error("the peer could not decode the message: {0}")]
    Decode(String),
    /// The peer is shutting down.
    #[error("the peer is draining and takes no new work")]
    Draining,
    /// The caller gave the request up before the peer started it.
    #[error("cancelled before the peer started it")]
    Cancelled,
    /// The actor stopped or panicked while the request still waited in its mailbox.
    #[error("the actor stopped before it started this request")]
    ActorStopped,
}

/// The handler started, and there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Error)]
#[non_exhaustive]
pub enum Failed {
    /// The handler panicked.
    #[error("the handler panicked")]
    Panicked,
    /// The actor stopped, or dropped the answer, while the request ran.
    #[error("the actor stopped or dropped the answer while the request ran")]
    ActorStopped,
    /// The answer is larger than the limit.
    #[error("the reply of {bytes} bytes is larger than {limit}")]
    ReplyTooLarge {
        /// Its size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// The answer could not be encoded there, or not decoded here.
    #[error("the reply could not be read: {0}")]
    ReplyDecode(String),
}

/// Whether the handler ran cannot be known.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Unknown {
    /// No answer before the deadline.
    #[error("no answer before the deadline")]
    Timeout,
    /// The connection was lost after the request had been written, or partly written.
    #[error("the connection was lost before an answer: {0}")]
    LinkLost(Arc<str>),
}

/// Why there is no answer, in one of the four classes.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Failure {
    /// Surely not executed: not sent.
    #[error("not sent: {0}")]
    NotSent(#[from] NotSent),
    /// Surely not executed: refused by the peer.
    #[error("rejected: {0}")]
    Rejected(#[from] Rejected),
    /// Started, without an answer.
    #[error("failed: {0}")]
    Failed(#[from] Failed),
    /// May have been executed.
    #[error("unknown outcome: {0}")]
    Unknown(#[from] Unknown),
}

impl Failure {
    /// A stable word for the reason, like `queue_full`: for metrics, logs and scripts. New reasons get new words; a
    /// word never changes its meaning.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotSent(reason) => reason.reason(),
            Self::Rejected(reason) => reason.reason(),
            Self::Failed(reason) => reason.reason(),
            Self::Unknown(Unknown::Timeout) => "timeout",
            Self::Unknown(Unknown::LinkLost(_)) => "link_lost",
        }
    }
}

impl NotSent {
    /// As [`Failure::reason`].
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NoAddress(_) => "no_address",
            Self::ConnectFailed(_) => "connect_failed",
            Self::HandshakeFailed(_) => "handshake_failed",
            Self::QueueFull { .. } => "queue_full",
            Self::DeadlineBeforeWrite => "deadline_before_write",
            Self::TooLarge { .. } => "too_large",
            Self::Encode(_) => "encode",
            Self::Draining(_) => "draining",
            Self::Disconnected(_) => "disconnected",
            Self::BadRequest(_) => "bad_request",
            Self::AlreadyTaken => "already_taken",
        }
    }
}

impl Rejected {
    /// As [`Failure::reason`].
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NoSuchActor => "no_such_actor",
            Self::NoSuchMessage => "no_such_message",
            Self::Incompatible(_) => "incompatible",
            Self::Unauthorized => "unauthorized",
            Self::WrongVersion { .. } => "wrong_version",
            Self::Busy(_) => "busy",
            Self::Expired => "expired",
            Self::Decode(_) => "undecodable",
            Self::Draining => "draining",
            Self::Cancelled => "cancelled",
            Self::ActorStopped => "actor_stopped",
        }
    }
}

impl Failed {
    fn reason(&self) -> &'static str {
        match self {
            Self::Panicked => "panicked",
            Self::ActorStopped => "actor_stopped",
            Self::ReplyTooLarge { .. } => "reply_too_large",
            Self::ReplyDecode(_) => "reply_decode",
        }
    }
}

/// What a peer answers in place of a result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fault {
    /// Refused before running.
    Rejected(Rejected),
    /// Started, without an answer.
    Failed(Failed),
}

impl Fault {
    /// As [`Failure::reason`].
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Rejected(rejected) => rejected.reason(),
            Self::Failed(failed) => failed.reason(),
        }
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Rejected(rejected) => Self::Rejected(rejected),
            Fault::Failed(failed) => Self::Failed(failed),
        }
    }
}

impl From<Rejected> for Fault {
    fn from(rejected: Rejected) -> Self {
        Self::Rejected(rejected)
    }
}

impl From<Failed> for Fault {
    fn from(failed: Failed) -> Self {
        Self::Failed(failed)
    }
}
