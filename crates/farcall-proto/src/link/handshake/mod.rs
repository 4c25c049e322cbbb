//! How two nodes prove to each other that they hold the same cookie, before anything else is said.
//!
//! ```text
//! initiator (client)                                        responder (acceptor)
//!   Hello { versions, nonce, own name, wanted name, params } ─────▶
//!   ◀───── Challenge { version, nonce }              and nothing else about itself yet
//!   Proof ────────────────────────────────────────────────────────▶  verified
//!   ◀───── Accept { own name, incarnation, params, proof }   or  Decline { reason, proof }
//!   verified   Ready ─────────────────────────────────────────────▶  verified: up
//! ```
//!
//! Every message is `u32` little-endian length, a kind byte, a postcard body, and for the last four a proof of
//! 32 bytes at the end. One rule covers them all: **a proof is the HMAC of every byte of the conversation before
//! it**, of both directions and including the frame it closes, and of the [`ChannelBinding`]; under a key that
//! only its sender's role uses, and with a label that only its message uses. So nothing can be reflected, replayed on
//! another connection, relayed between two TLS sessions, or changed on the way, the version choice included.
//!
//! The initiator proves first, so a stranger learns of a node only which protocol versions it speaks: everything
//! that goes wrong before the initiator's proof is one generic refusal on the wire and a precise
//! [`HandshakeError`] for the local log. There is no fallback of any kind.
//!
//! A state is consumed by the message it waits for; after an error there is no state left to go on with.

mod cookie;
mod error;
mod framer;
mod initiator;
mod keys;
mod messages;
mod params;
mod responder;

use std::ops::RangeInclusive;

pub use cookie::{Cookie, CookieError, KeyId, Keyring, KeyringError};
pub use error::{HandshakeError, KeyIds, NAME_IN_USE};
pub use framer::{PreAuthFramer, PreAuthLimits};
pub use initiator::Initiator;
pub use keys::ChannelBinding;
pub use messages::DeclineReason;
pub use params::{ExtensionError, Extensions, PeerParams};
pub use responder::Responder;

use crate::peer::{Incarnation, NodeName};

/// What this node says of itself in a handshake.
#[derive(Debug, Clone)]
pub struct Local {
    /// Its name; the peer refuses it if it dialled another.
    pub name: NodeName,
    /// Which start of the node this is.
    pub incarnation: Incarnation,
    /// Its limits and abilities.
    pub params: PeerParams,
    /// The cluster it belongs to. It never goes on the wire: it is mixed into the keys, so nodes of two clusters
    /// do not meet even if someone gave them the same cookie.
    pub cluster: String,
    /// The protocol versions it speaks.
    pub versions: RangeInclusive<u8>,
}

/// What a finished handshake has proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Established {
    /// The peer's name. For an initiator it is the name it dialled.
    pub peer: NodeName,
    /// Which start of the peer this is.
    pub incarnation: Incarnation,
    /// The protocol version of this connection: the highest both speak.
    pub version: u8,
    /// What the peer announced, as it said it: proved to come from it, not proved to be sensible.
    pub params: PeerParams,
    /// The cookie that both used, for logs and to watch a rotation.
    pub key_id: KeyId,
}

/// What a message led to.
#[derive(Debug)]
pub enum Step<S> {
    /// The next message is awaited by this state.
    Continue(S),
    /// The peer is proved; bytes behind this message belong to the link.
    Done(Established),
}

/// Whether a responder takes a peer that has proved itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Admission {
    /// It does.
    #[default]
    Open,
    /// Not now: it has as many connections as it may have.
    Busy,
    /// Never again: it is shutting down.
    Draining,
}
