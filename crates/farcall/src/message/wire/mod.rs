//! Values to bytes and back: postcard's format, appended to a buffer that is already there.
//!
//! It is written and read here, not by the postcard crate, which takes integers byte by byte: for a message of eight
//! integers that was 2,900 of the 7,500 instructions of a whole call. The tests hold both against each other.

use std::{any::Any, fmt};

use serde::{Serialize, de::DeserializeOwned};

use read::Reader;
use write::Writer;

use super::{MessageInfo, bytes};

mod read;
mod varint;
mod write;

/// Appends `value` to `out`.
///
/// A `Vec<u8>` is copied as one block; its wire form is the same either way.
///
/// # Errors
///
/// [`EncodeError`] if the value cannot be written; `out` is then as it was before.
pub fn encode_value<T: Serialize + 'static>(value: &T, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let start = out.len();
    let mut writer = Writer(&mut *out);
    // The type is known when this is compiled, so the question costs nothing when it runs.
    let written = match (value as &dyn Any).downcast_ref::<Vec<u8>>() {
        Some(block) => bytes::serialize(block, &mut writer),
        None => value.serialize(&mut writer),
    };
    if written.is_err() {
        out.truncate(start);
    }
    written
}

/// Reads one value, which must take all of `payload`.
///
/// Allocates in proportion to the payload, whatever lengths it announces: a sequence or a map reserves at most one
/// element per byte that is left, and at most 1 MiB ahead of its content.
///
/// # Errors
///
/// [`DecodeError`] if the payload is anything but exactly one `T`.
pub fn decode_value<T: DeserializeOwned + 'static>(payload: &[u8]) -> Result<T, DecodeError> {
    let mut reader = Reader(payload);
    let value = read(&mut reader)?;
    match reader.0.len() {
        0 => Ok(value),
        bytes => Err(DecodeError::Trailing { bytes }),
    }
}

fn read<T: DeserializeOwned + 'static>(reader: &mut Reader<'_>) -> Result<T, DecodeError> {
    // Filled only if `T` is `Vec<u8>`; that, too, is decided when this is compiled.
    let mut block: Option<T> = None;
    if let Some(block) = (&mut block as &mut dyn Any).downcast_mut::<Option<Vec<u8>>>() {
        *block = Some(bytes::deserialize(&mut *reader)?);
    }
    match block {
        Some(value) => Ok(value),
        None => T::deserialize(reader),
    }
}

/// Why a value could not be written. Nothing was sent, and the same value will fail again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// A sequence or map does not know its length before it is written.
    #[error("a sequence or map does not know its length in advance")]
    LengthUnknown,
    /// The `Serialize` of the value, or of something in it, refused.
    #[error("the value's own Serialize refused it")]
    Refused,
    /// The value uses something of serde that the wire format does not have.
    #[error("the value uses a part of serde's data model that the wire format does not have")]
    Unsupported,
}

/// Why a payload could not be read. No handler has run. It never contains the payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The sender's version is neither this binary's own nor one that it still reads.
    #[error("message {} has no version {version} here, only {}", .info.name, Versions(.info))]
    UnknownVersion {
        /// What the sender wrote.
        version: u16,
        /// What this binary knows of the message.
        info: &'static MessageInfo,
    },
    /// The value was complete before the payload was: the sender has another layout.
    #[error("{bytes} bytes are left after the value")]
    Trailing {
        /// How many bytes were left.
        bytes: usize,
    },
    /// The payload ended before the value was complete.
    #[error("the payload ends before the value does")]
    Short,
    /// A byte cannot be what the layout says it is.
    #[error("the payload holds {0}")]
    Malformed(&'static str),
    /// The `Deserialize` of the type, or of something in it, refused: for example an unknown variant.
    #[error("the type's own Deserialize refused the payload")]
    Refused,
    /// The type wants something of serde that the wire format does not have.
    #[error("the type uses a part of serde's data model that the wire format does not have")]
    Unsupported,
}

/// Prints the versions that are known.
struct Versions<'a>(&'a MessageInfo);

impl fmt::Display for Versions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, version) in self.0.versions().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}{version}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
