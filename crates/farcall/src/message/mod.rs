//! What a message is on the wire: its name, its version, its layout and its bytes.
//!
//! ```
//! use farcall::RemoteMessage;
//!
//! /// How version 1 looked.
//! #[farcall::data]
//! struct AddV1 {
//!     amount: u32,
//! }
//!
//! #[farcall::message(result = u64, name = "demo.add", version = 2, from(1 = AddV1))]
//! #[derive(Debug, PartialEq)]
//! struct Add {
//!     amount: u64,
//! }
//!
//! impl From<AddV1> for Add {
//!     fn from(old: AddV1) -> Self {
//!         Self { amount: old.amount.into() }
//!     }
//! }
//!
//! let mut payload = Vec::new();
//! Add { amount: 7 }.encode(&mut payload)?;
//! assert_eq!(Add::decode(2, &payload)?, Add { amount: 7 });
//! assert_eq!(Add::decode(1, &[9])?, Add { amount: 9 });
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Two nodes mean the same message when name, version and [fingerprint](MessageInfo::fingerprint) agree. The
//! fingerprint is there because postcard reads swapped or missing fields without complaint.

use postcard_schema::schema::NamedType;
use serde::{Serialize, de::DeserializeOwned};

mod wire;

mod fingerprint;

mod bounds;

pub mod bytes;

#[cfg(test)]
mod tests;

pub use bounds::bounded;
pub use fingerprint::{fingerprint, stream_fingerprint};
pub use postcard_schema::{Schema, schema};
pub use wire::{DecodeError, EncodeError, decode_value, encode_value};

/// What a message is on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageInfo {
    /// The name peers know it by: 1 to 64 bytes of `A-Z a-z 0-9 . _ -`.
    pub name: &'static str,
    /// The layout this binary writes, counted by its author from 1.
    pub version: u16,
    /// Hash of the request and result layouts; two nodes with equal versions must have equal fingerprints.
    pub fingerprint: u64,
    /// The layout of the request.
    pub request: &'static NamedType,
    /// The layout of the result, or of one item when the answer is a stream.
    pub result: &'static NamedType,
    /// Whether the answer is a stream of items.
    pub stream: bool,
    /// The layouts of lower versions that this binary still reads.
    pub older: &'static [OlderLayout],
}

impl MessageInfo {
    /// The fingerprint a sender of `version` must have, or `None` if this binary does not read that version.
    #[must_use]
    pub fn fingerprint_of(&self, version: u16) -> Option<u64> {
        if version == self.version {
            return Some(self.fingerprint);
        }
        self.older.iter().find(|layout| layout.version == version).map(|layout| layout.fingerprint)
    }

    /// The versions this binary reads, its own first.
    pub fn versions(&self) -> impl Iterator<Item = u16> + '_ {
        std::iter::once(self.version).chain(self.older.iter().map(|layout| layout.version))
    }
}

/// A layout that a message had in a lower version and that is still read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OlderLayout {
    /// The version that had this layout.
    pub version: u16,
    /// The fingerprint of this request layout together with today's result.
    pub fingerprint: u64,
    /// The layout of the request.
    pub request: &'static NamedType,
}

/// An actix message that can cross between nodes.
///
/// [`#[farcall::message]`](macro@crate::message) writes the implementation.
pub trait RemoteMessage: actix::Message<Result: Answer> + Serialize + Send + Sized + 'static {
    /// Name, version and layouts.
    const INFO: &'static MessageInfo;

    /// Reads a payload that a sender of `version` wrote, in its own or an older layout.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if the version is not known here, or the payload is not exactly one value of that layout.
    fn decode(version: u16, payload: &[u8]) -> Result<Self, DecodeError>;

    /// Appends the payload to `out`, in the layout of [`MessageInfo::version`].
    ///
    /// # Errors
    ///
    /// [`EncodeError`] if the value cannot be written; `out` is then as it was before.
    fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        encode_value(self, out)
    }
}

/// A plain value that can cross between nodes: everything that serde reads and writes, and that is `Send`.
pub trait Value: Serialize + DeserializeOwned + Send + 'static {}

impl<T: Serialize + DeserializeOwned + Send + 'static> Value for T {}

/// What a handler may answer: a plain [`Value`], or a stream of items. Not implemented outside this crate.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the answer of a remote message",
    note = "a plain value needs serde's Serialize and DeserializeOwned, and Send: put #[farcall::data] on its type",
    note = "for an answer of many items, write #[farcall::message(stream = T)]"
)]
pub trait Answer: 'static {
    /// Whether the answer is many items instead of one value.
    const STREAM: bool;

    /// What travels: the value itself, or one item of the stream.
    type Item: Value;

    /// Hands the answer to whoever carries it to the caller.
    #[doc(hidden)]
    fn give(self, to: &mut dyn Answering);
}

/// Carries an answer to its caller.
#[doc(hidden)]
pub trait Answering {
    /// The answer is one value.
    fn value(&mut self, encode: &mut dyn FnMut(&mut Vec<u8>) -> Result<(), EncodeError>);

    /// The answer is many items.
    fn items(&mut self, items: EncodedItems);
}

/// Items that are encoded as they are taken.
#[doc(hidden)]
pub type EncodedItems = std::pin::Pin<Box<dyn futures::Stream<Item = Result<Vec<u8>, EncodeError>> + Send>>;

impl<T: Value> Answer for T {
    const STREAM: bool = false;
    type Item = T;

    fn give(self, to: &mut dyn Answering) {
        to.value(&mut |out| encode_value(&self, out));
    }
}
