//! Why a handshake ended, for the local log; the wire says much less.

use std::fmt;
use std::ops::RangeInclusive;

use thiserror::Error;

use super::cookie::KeyId;
use super::messages::DeclineReason;
use crate::identity::CertificateNames;
use crate::peer::NodeName;

/// The [`reason`](HandshakeError::reason) of both sides where another process has the name of the one that dials.
pub const NAME_IN_USE: &str = "name_in_use";

/// Why a handshake ended. No variant carries a secret or bytes that a stranger chose; names are validated ones of
/// peers that have proved themselves.
///
/// Nothing of the connection may be used after one; nothing was delivered on it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum HandshakeError {
    /// The peer announced a frame that no handshake needs. Its fault; nothing was allocated for it.
    #[error("peer announced a handshake frame of {bytes} bytes, the limit is {limit_bytes}")]
    FrameTooLarge {
        /// The announced length.
        bytes: usize,
        /// The most there may be.
        limit_bytes: usize,
    },
    /// The peer sent more than a whole handshake needs. Its fault.
    #[error("peer sent more than {limit_bytes} bytes before it had proved itself")]
    TooManyBytes {
        /// The most there may be.
        limit_bytes: usize,
    },
    /// The peer does not speak farcall: another program has this port, or dials ours.
    #[error("peer does not speak farcall's protocol")]
    NotFarcall,
    /// A message does not read. The peer's fault, or the line's.
    #[error("peer sent a malformed {message}")]
    Malformed {
        /// Which message it should have been.
        message: &'static str,
    },
    /// A message came that this state does not wait for. The peer's fault.
    #[error("peer sent message kind {kind} where a {expected} was due")]
    Unexpected {
        /// What was due.
        expected: &'static str,
        /// What came.
        kind: u8,
    },
    /// The two nodes share no protocol version: one of them is to be updated. What the peer speaks is not proved.
    #[error("no common protocol version: this node speaks {ours:?}, the peer {theirs:?}")]
    NoCommonVersion {
        /// What this node speaks.
        ours: RangeInclusive<u8>,
        /// What the peer says it speaks.
        theirs: RangeInclusive<u8>,
    },
    /// The responder chose a version that was not offered. Its fault.
    #[error("peer chose protocol version {chosen}, offered were {offered:?}")]
    VersionNotOffered {
        /// What it chose.
        chosen: u8,
        /// What this node speaks.
        offered: RangeInclusive<u8>,
    },
    /// The peer's proof is wrong: it holds another cookie or belongs to another cluster, or someone stands between.
    #[error("peer could not prove that it holds our cookie (key id {tried}) in our cluster on this channel")]
    AuthFailed {
        /// The cookies it was tried with.
        tried: KeyIds,
    },
    /// The peer refused without saying why; its log does. Most often the cookies differ.
    #[error("peer refused without a reason, most often because the cookies differ (ours: key id {key_ids})")]
    Refused {
        /// The cookie this node proved with, or those it would have accepted.
        key_ids: KeyIds,
    },
    /// An initiator that proved itself meant another node: an address is stale, or wrong in somebody's configuration.
    #[error("peer {peer} wants node {wanted}, this is {own}")]
    WrongNode {
        /// Who dialled.
        peer: NodeName,
        /// Whom it meant.
        wanted: NodeName,
        /// Who this is.
        own: NodeName,
    },
    /// The node that answered proved itself under another name than the dialled one.
    #[error("dialled {dialled}, but {answered} answered")]
    WrongName {
        /// Whom this node meant.
        dialled: NodeName,
        /// Who answered.
        answered: NodeName,
    },
    /// The peer gave a name that its certificate does not speak for. It was told so.
    #[error("peer says it is {peer}, and its certificate is for {certificate}")]
    WrongCertificate {
        /// Who it says it is.
        peer: NodeName,
        /// Whom its certificate names.
        certificate: CertificateNames,
    },
    /// This node declined a peer that had proved itself. Nobody's fault; the peer was told why.
    #[error("declined {peer}: {reason}")]
    NotAdmitted {
        /// Who dialled.
        peer: NodeName,
        /// Why.
        reason: DeclineReason,
    },
    /// The peer proved itself and declined.
    #[error("peer declined: {reason}")]
    Declined {
        /// Why.
        reason: DeclineReason,
    },
}

impl HandshakeError {
    /// A stable word for counters and for limiting the rate of logs.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::FrameTooLarge { .. } => "frame_too_large",
            Self::TooManyBytes { .. } => "too_many_bytes",
            Self::NotFarcall => "not_farcall",
            Self::Malformed { .. } => "malformed",
            Self::Unexpected { .. } => "unexpected",
            Self::NoCommonVersion { .. } => "no_common_version",
            Self::VersionNotOffered { .. } => "version_not_offered",
            Self::AuthFailed { .. } => "auth_failed",
            Self::Refused { .. } => "refused",
            Self::WrongNode { .. } => "wrong_node",
            Self::WrongName { .. } => "wrong_name",
            Self::WrongCertificate { .. } => "wrong_certificate",
            Self::NotAdmitted { reason: DeclineReason::NameInUse, .. }
            | Self::Declined { reason: DeclineReason::NameInUse } => NAME_IN_USE,
            Self::NotAdmitted { .. } => "not_admitted",
            Self::Declined { .. } => "declined",
        }
    }

    /// Whether the peer is still to be told, and then only that it was refused: not if it refused itself, nor if a
    /// fuller refusal has been written already.
    pub(super) fn is_told_generically(&self) -> bool {
        !matches!(
            self,
            Self::Refused { .. }
                | Self::Declined { .. }
                | Self::NoCommonVersion { .. }
                | Self::WrongNode { .. }
                | Self::WrongCertificate { .. }
                | Self::NotAdmitted { .. }
        )
    }
}

/// The cookies a proof was tried with, as they stand in logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyIds(pub Vec<KeyId>);

impl fmt::Display for KeyIds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, id) in self.0.iter().enumerate() {
            let separator = if position == 0 { "" } else { ", " };
            write!(f, "{separator}{id}")?;
        }
        Ok(())
    }
}
