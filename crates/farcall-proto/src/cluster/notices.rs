//! What two nodes say to each other in a session, as bytes.
//!
//! ```text
//!   batch = notice notice ..        notice = kind, length, body        (postcard: varints, texts with their length)
//! ```
//! Every notice says how long it is, so a node skips kinds that it does not know, and what stands behind the fields of those
//! that it does: a later version may add both. What a kind once meant it means for ever.

use serde::{Deserialize, Serialize};

use super::groups::{Change, GroupName, GroupNotice};
use super::signals::{DownReason, Notice};

/// What is said in a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// About what ends.
    Signal(Notice),
    /// About groups.
    Groups(GroupNotice),
}

/// More notices than any node puts into one batch.
pub const NOTICES_MAX: usize = 2048;

/// Why a batch is not believed. Nothing of it was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoticeError {
    /// It ends within a notice.
    #[error("a batch of notices is cut off")]
    Cut,
    /// The fields of a kind that is known are not there.
    #[error("a notice of kind {kind} cannot be read")]
    Malformed {
        /// Which kind.
        kind: u32,
    },
    /// There are more than [`NOTICES_MAX`].
    #[error("more than {NOTICES_MAX} notices at once")]
    TooMany,
}

const MONITOR: u32 = 1;
const DEMONITOR: u32 = 2;
const DOWN: u32 = 3;
const LINK: u32 = 4;
const UNLINK: u32 = 5;
const EXIT: u32 = 6;
const SNAPSHOT: u32 = 16;
const CHANGES: u32 = 17;
const LIMIT: u32 = 18;

/// The bytes of a batch.
///
/// # Errors
/// None that is known: all of it are plain values.
pub fn encode(batch: &[Said]) -> Result<Vec<u8>, postcard::Error> {
    let mut out = Vec::new();
    for said in batch {
        match said {
            Said::Signal(notice) => put_signal(notice, &mut out)?,
            Said::Groups(notice) => put_groups(notice, &mut out)?,
        }
    }
    Ok(out)
}

/// What a batch says, without what this version does not know.
///
/// # Errors
/// [`NoticeError`].
pub fn decode(batch: &[u8]) -> Result<Vec<Said>, NoticeError> {
    let (mut rest, mut said) = (batch, Vec::new());
    while !rest.is_empty() {
        let (notice, behind) = postcard::take_from_bytes(rest).map_err(|_| NoticeError::Cut)?;
        let (kind, body): (u32, &[u8]) = notice;
        rest = behind;
        if let Some(notice) = read(kind, body)? {
            if said.len() >= NOTICES_MAX {
                return Err(NoticeError::TooMany);
            }
            said.push(notice);
        }
    }
    Ok(said)
}

fn put_signal(notice: &Notice, out: &mut Vec<u8>) -> Result<(), postcard::Error> {
    match notice {
        Notice::Monitor { reference, actor } => put(MONITOR, &(reference, actor), out),
        Notice::Demonitor { reference } => put(DEMONITOR, reference, out),
        Notice::Down { reference, reason } => put(DOWN, &(reference, number(*reason)), out),
        Notice::Link { from, to } => put(LINK, &(from, to), out),
        Notice::Unlink { from, to } => put(UNLINK, &(from, to), out),
        Notice::Exit { from, to, reason } => put(EXIT, &(from, to, number(*reason)), out),
    }
}

fn put_groups(notice: &GroupNotice, out: &mut Vec<u8>) -> Result<(), postcard::Error> {
    match notice {
        GroupNotice::Snapshot { version, first, last, members } => {
            put(SNAPSHOT, &(version, first, last, members), out)
        }
        GroupNotice::Changes { from, changes } => put(CHANGES, &(from, changes), out),
        GroupNotice::Limit { members_max } => put(LIMIT, members_max, out),
    }
}

fn put(kind: u32, body: &impl Serialize, out: &mut Vec<u8>) -> Result<(), postcard::Error> {
    let body = postcard::to_allocvec(body)?;
    out.extend(postcard::to_allocvec(&(kind, body.as_slice()))?);
    Ok(())
}

/// What a notice says; nothing if its kind is not known.
fn read(kind: u32, body: &[u8]) -> Result<Option<Said>, NoticeError> {
    let said = match kind {
        MONITOR => {
            let (reference, actor) = fields(kind, body)?;
            Said::Signal(Notice::Monitor { reference, actor })
        }
        DEMONITOR => Said::Signal(Notice::Demonitor { reference: fields(kind, body)? }),
        DOWN => {
            let (reference, reason) = fields(kind, body)?;
            Said::Signal(Notice::Down { reference, reason: reason_of(reason) })
        }
        LINK => {
            let (from, to) = fields(kind, body)?;
            Said::Signal(Notice::Link { from, to })
        }
        UNLINK => {
            let (from, to) = fields(kind, body)?;
            Said::Signal(Notice::Unlink { from, to })
        }
        EXIT => {
            let (from, to, reason) = fields(kind, body)?;
            Said::Signal(Notice::Exit { from, to, reason: reason_of(reason) })
        }
        SNAPSHOT => {
            let (version, first, last, members) =
                fields::<(_, _, _, Vec<(GroupName, String, u32)>)>(kind, body)?;
            Said::Groups(GroupNotice::Snapshot { version, first, last, members })
        }
        CHANGES => {
            let (from, changes) = fields::<(_, Vec<Change>)>(kind, body)?;
            Said::Groups(GroupNotice::Changes { from, changes })
        }
        LIMIT => Said::Groups(GroupNotice::Limit { members_max: fields(kind, body)? }),
        _ => return Ok(None),
    };
    Ok(Some(said))
}

/// The fields at the beginning of a body; what a later version has put behind them is left.
fn fields<'a, T: Deserialize<'a>>(kind: u32, body: &'a [u8]) -> Result<T, NoticeError> {
    postcard::take_from_bytes(body).map(|(fields, _)| fields).map_err(|_| NoticeError::Malformed { kind })
}

fn number(reason: DownReason) -> u32 {
    match reason {
        DownReason::Normal => 0,
        DownReason::Panicked => 1,
        DownReason::Stopped => 2,
        DownReason::NoSuchActor => 3,
        DownReason::NoConnection => 4,
        DownReason::NodeShutdown => 5,
        DownReason::Refused => 6,
        DownReason::Other => OTHER,
    }
}

fn reason_of(number: u32) -> DownReason {
    match number {
        0 => DownReason::Normal,
        1 => DownReason::Panicked,
        2 => DownReason::Stopped,
        3 => DownReason::NoSuchActor,
        4 => DownReason::NoConnection,
        5 => DownReason::NodeShutdown,
        6 => DownReason::Refused,
        _ => DownReason::Other,
    }
}

/// A number that no reason will get.
const OTHER: u32 = u32::MAX;
