//! What the reserved actors of two nodes say to each other about what ends: a session.
//!
//! Whoever asks over a connection opens a session on it: a stream on which the other one tells, and calls in which it tells
//! itself. Both rest on one connection, so a session is an ordered channel that ends with it.

pub(crate) use farcall_proto::cluster::notices::Said;
use farcall_proto::cluster::notices::{self, NOTICES_MAX, NoticeError};

use crate::items::Items;

/// Begins a session on this connection: tell me. Each item is a batch of notices.
#[farcall::message(stream = Told, name = "farcall.Attend")]
#[derive(Debug)]
pub(crate) struct Attend {
    /// Tells this session from others of the same connection.
    pub(crate) session: u64,
}

/// I tell you, in this session. False if there is none: whoever says more has to begin another one.
#[farcall::message(result = bool, name = "farcall.Tell")]
#[derive(Debug)]
pub(crate) struct Tell {
    /// As in [`Attend`].
    pub(crate) session: u64,
    /// What is said.
    pub(crate) told: Told,
}

/// A batch of notices, encoded. What they are is a matter of the cluster, which reads them by itself.
#[farcall::data]
#[derive(Debug, Clone)]
pub(crate) struct Told {
    notices: Vec<u8>,
}

/// So many notices go together: enough to be cheap, few enough for ticks and other messages between.
pub(crate) const NOTICES_PER_BATCH: usize = 1024;

// One of groups goes with them.
const _: () = assert!(NOTICES_PER_BATCH < NOTICES_MAX);

impl Told {
    /// Nothing that a node says of itself is longer than a name or cannot be encoded.
    pub(crate) fn new(notices: &[Said]) -> Option<Self> {
        notices::encode(notices).ok().map(|notices| Self { notices })
    }

    /// What was said, without what this version does not know.
    ///
    /// # Errors
    /// [`NoticeError`]: nothing of it was taken.
    pub(crate) fn notices(&self) -> Result<Vec<Said>, NoticeError> {
        notices::decode(&self.notices)
    }
}

/// What [`Attend`] is answered with.
pub(crate) type Tidings = Items<Told>;
