//! The messages of the handshake as bytes: the protocol reference of everything before a link is up.
//!
//! A frame is its length (`u32`, little-endian, at most [`FRAME_BYTES_MAX`]), a [`Kind`] byte, the message in
//! postcard, and, for messages under proof, the proof as the last [`PROOF_BYTES`] bytes. Nothing may stand behind a
//! message; what later versions add goes into [`Extensions`](super::Extensions).

use std::fmt;
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::error::{HandshakeError, KeyIds};
use super::keys::{Label, PROOF_BYTES, RoleKey, Transcript};
use super::params::PeerParams;
use crate::peer::{Incarnation, NodeName};

/// The longest frame behind its length. Two names of 255 bytes and all extensions need 2.7 KiB.
pub(super) const FRAME_BYTES_MAX: usize = 4096;

/// The first byte of every frame. Version negotiation depends on `Hello` and `Refuse`, so those two stay forever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Hello = 1,
    Challenge = 2,
    Proof = 3,
    Accept = 4,
    Ready = 5,
    Refuse = 6,
    Decline = 7,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Hello, Self::Challenge, Self::Proof, Self::Accept, Self::Ready, Self::Refuse, Self::Decline]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Hello => "hello",
            Self::Challenge => "challenge",
            Self::Proof => "proof",
            Self::Accept => "accept",
            Self::Ready => "ready",
            Self::Refuse => "refuse",
            Self::Decline => "decline",
        }
    }
}

/// Kind 1, initiator: who it is, whom it means, and the versions it speaks. Its first six bytes (magic, lowest and
/// highest version) never change, so any two versions can tell each other that they do not match.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Hello {
    magic: [u8; 4],
    version_min: u8,
    version_max: u8,
    nonce: [u8; 32],
    pub(super) name: NodeName,
    pub(super) incarnation: Incarnation,
    pub(super) want: NodeName,
    pub(super) params: PeerParams,
}

impl Hello {
    const MAGIC: [u8; 4] = *b"FARC";

    pub(super) fn new(local: &super::Local, want: &NodeName, nonce: [u8; 32]) -> Self {
        Self {
            magic: Self::MAGIC,
            version_min: *local.versions.start(),
            version_max: *local.versions.end(),
            nonce,
            name: local.name.clone(),
            incarnation: local.incarnation,
            want: want.clone(),
            params: local.params.clone(),
        }
    }

    /// The versions that a hello of any version offers, before anything else of it is read.
    pub(super) fn versions(body: &[u8]) -> Result<RangeInclusive<u8>, HandshakeError> {
        match body {
            [b'F', b'A', b'R', b'C', min, max, ..] if min <= max => Ok(*min..=*max),
            [b'F', b'A', b'R', b'C', ..] => Err(HandshakeError::Malformed { message: Kind::Hello.name() }),
            _ => Err(HandshakeError::NotFarcall),
        }
    }
}

/// Kind 2, responder: the version of this connection, and nothing that tells who it is.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Challenge {
    pub(super) version: u8,
    pub(super) nonce: [u8; 32],
}

/// Kinds 3 and 5, initiator: nothing but a proof; the second one says that the responder's proof was good.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Empty;

/// Kind 4, responder, under proof: who it is.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Accept {
    pub(super) name: NodeName,
    pub(super) incarnation: Incarnation,
    pub(super) params: PeerParams,
}

/// Kind 6, either side, without proof: all that is told to a stranger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Refuse {
    Generic,
    /// The versions a responder speaks; they are no secret, and the peer's operator needs them.
    Version {
        min: u8,
        max: u8,
    },
}

/// Kind 7, responder, under proof: why it does not take an initiator that has proved itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeclineReason {
    /// It is not the node that the initiator wants.
    WrongNode,
    /// It has as many connections as it may have; try again later.
    Busy,
    /// It is shutting down; do not try again.
    Draining,
    /// The initiator's certificate is not for the name it gave.
    WrongCertificate,
    /// Another process has the initiator's name, and lives.
    NameInUse,
}

impl fmt::Display for DeclineReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WrongNode => "it is not the node that was dialled",
            Self::Busy => "busy",
            Self::Draining => "draining",
            Self::WrongCertificate => "the certificate is not for the name of the node that showed it",
            Self::NameInUse => "another live process has the same name",
        })
    }
}

/// Writes a message and takes it into the transcript.
pub(super) fn write(out: &mut Vec<u8>, transcript: &mut Transcript, kind: Kind, message: &impl Serialize) {
    let frame = frame(kind, message, 0);
    transcript.append(&frame);
    out.extend_from_slice(&frame);
}

/// Writes a message and behind it the proof of the whole conversation up to there.
pub(super) fn write_proved(
    out: &mut Vec<u8>,
    transcript: &mut Transcript,
    kind: Kind,
    message: &impl Serialize,
    (key, label): (&RoleKey, Label),
) {
    let frame = frame(kind, message, PROOF_BYTES);
    transcript.append(&frame);
    let proof = key.prove(label, transcript);
    transcript.append(&proof);
    out.extend_from_slice(&frame);
    out.extend_from_slice(&proof);
}

/// Writes a refusal; no transcript goes on after one.
pub(super) fn write_refusal(out: &mut Vec<u8>, refuse: Refuse) {
    out.extend_from_slice(&frame(Kind::Refuse, &refuse, 0));
}

fn frame(kind: Kind, message: &impl Serialize, proof_bytes: usize) -> Vec<u8> {
    let body =
        postcard::to_allocvec(message).expect("handshake messages have nothing that postcard cannot write");
    let mut frame = length_prefix(1 + body.len() + proof_bytes).to_vec();
    frame.push(kind as u8);
    frame.extend_from_slice(&body);
    frame
}

fn length_prefix(bytes: usize) -> [u8; 4] {
    debug_assert!(bytes <= FRAME_BYTES_MAX, "names, extensions and received frames are bounded: {bytes}");
    u32::try_from(bytes).unwrap_or(u32::MAX).to_le_bytes()
}

/// A received frame, its kind known and nothing else.
pub(super) struct Received<'a> {
    frame: &'a [u8],
    body: &'a [u8],
    pub(super) kind: Kind,
}

impl<'a> Received<'a> {
    /// Looks at a frame without its length, for a state that waits for `expected`.
    pub(super) fn new(frame: &'a [u8], expected: Kind) -> Result<Self, HandshakeError> {
        if frame.len() > FRAME_BYTES_MAX {
            let bytes = frame.len();
            return Err(HandshakeError::FrameTooLarge { bytes, limit_bytes: FRAME_BYTES_MAX });
        }
        let Some((&byte, body)) = frame.split_first() else {
            return Err(HandshakeError::Malformed { message: "frame" });
        };
        let Some(kind) = Kind::from_byte(byte) else {
            return Err(HandshakeError::Unexpected { expected: expected.name(), kind: byte });
        };
        Ok(Self { frame, body, kind })
    }

    /// The error of a state that waits for something else.
    pub(super) fn unexpected(&self, expected: Kind) -> HandshakeError {
        HandshakeError::Unexpected { expected: expected.name(), kind: self.kind as u8 }
    }

    /// The postcard body and what may stand behind it.
    pub(super) fn body(&self) -> &'a [u8] {
        self.body
    }

    /// The whole message, taken into the transcript.
    pub(super) fn read<M: Deserialize<'a>>(&self, transcript: &mut Transcript) -> Result<M, HandshakeError> {
        let message = self.decode(self.body)?;
        transcript.append(&length_prefix(self.frame.len()));
        transcript.append(self.frame);
        Ok(message)
    }

    /// The message before its proof, taken into the transcript, and the key that verifies the proof.
    ///
    /// Every key is tried, also behind one that fits, and nothing of the message is read before one did: how long
    /// it takes tells a stranger nothing.
    pub(super) fn read_proved<'k, M: Deserialize<'a>, K>(
        &self,
        transcript: &mut Transcript,
        label: Label,
        keys: impl IntoIterator<Item = (K, &'k RoleKey)>,
    ) -> Result<Option<(M, K)>, HandshakeError> {
        let malformed = || HandshakeError::Malformed { message: self.kind.name() };
        let (message, proof) = self.body.split_last_chunk::<PROOF_BYTES>().ok_or_else(malformed)?;
        let (head, _) = self.frame.split_last_chunk::<PROOF_BYTES>().ok_or_else(malformed)?;
        transcript.append(&length_prefix(self.frame.len()));
        transcript.append(head);
        let mut fitting = None;
        for (name, key) in keys {
            let fits = key.verify(label, transcript, proof);
            if fits && fitting.is_none() {
                fitting = Some(name);
            }
        }
        transcript.append(proof);
        match fitting {
            None => Ok(None),
            Some(name) => Ok(Some((self.decode(message)?, name))),
        }
    }

    /// The refusal that this frame is, as the error it means for this side.
    pub(super) fn read_refusal(
        &self,
        ours: &RangeInclusive<u8>,
        key_ids: KeyIds,
    ) -> Result<HandshakeError, HandshakeError> {
        Ok(match self.decode(self.body)? {
            Refuse::Generic => HandshakeError::Refused { key_ids },
            Refuse::Version { min, max } => {
                HandshakeError::NoCommonVersion { ours: ours.clone(), theirs: min..=max }
            }
        })
    }

    fn decode<M: Deserialize<'a>>(&self, bytes: &'a [u8]) -> Result<M, HandshakeError> {
        match postcard::take_from_bytes(bytes) {
            Ok((message, [])) => Ok(message),
            _ => Err(HandshakeError::Malformed { message: self.kind.name() }),
        }
    }
}
