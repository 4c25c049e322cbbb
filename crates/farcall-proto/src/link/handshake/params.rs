//! What each side announces of itself inside the handshake: limits, tick, codecs, and room for what comes later.

use std::fmt;

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// What a side can take and what it will do.
///
/// These are the peer's words. What to do with a value that makes no sense (a limit of 0, a tick of 0 ms) is for the
/// link to say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerParams {
    /// The longest message it takes, in bytes.
    pub message_bytes_max: u32,
    /// The largest piece it wants a long message cut into, in bytes.
    pub fragment_bytes: u32,
    /// How many requests it keeps unanswered at once.
    pub in_flight_max: u32,
    /// How many bytes of unfinished messages it keeps.
    pub reassembly_bytes_max: u32,
    /// It is to be given up when nothing came from it for so many milliseconds.
    pub tick_ms: u32,
    /// How many signs of life it sends within that time when it has nothing else to say.
    pub tick_intensity: u8,
    /// The codecs it can inflate, one bit each; unknown bits are ignored.
    pub compress: u8,
    /// Abilities, one bit each; unknown bits are ignored.
    pub flags: u32,
    /// What later versions add; unknown ones are ignored.
    pub extensions: Extensions,
}

impl PeerParams {
    /// In `flags`: the node stays out of what is meant for all nodes, and is not listed among them.
    pub const HIDDEN: u32 = 1;

    /// Whether it stays out of what is meant for all nodes.
    pub fn is_hidden(&self) -> bool {
        self.flags & Self::HIDDEN != 0
    }
}

/// Numbered values that an older node can skip; bounded so that a stranger's greeting stays small.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Extensions(Vec<(u16, Vec<u8>)>);

impl Extensions {
    /// How many there may be.
    pub const COUNT_MAX: usize = 16;
    /// How long each may be, in bytes. All of them and two of the longest names fit into one frame.
    pub const VALUE_BYTES_MAX: usize = 128;

    /// Adds an extension.
    ///
    /// # Errors
    /// [`ExtensionError`] if the value is too long, the number is taken or there are enough already.
    pub fn insert(&mut self, number: u16, value: &[u8]) -> Result<(), ExtensionError> {
        if self.0.len() >= Self::COUNT_MAX {
            return Err(ExtensionError::TooMany);
        }
        if value.len() > Self::VALUE_BYTES_MAX {
            return Err(ExtensionError::TooLong { number, bytes: value.len() });
        }
        if self.find(number).is_some() {
            return Err(ExtensionError::Twice { number });
        }
        self.0.push((number, value.to_vec()));
        Ok(())
    }

    /// The value of this number, if it was announced.
    pub fn find(&self, number: u16) -> Option<&[u8]> {
        self.0.iter().find(|(known, _)| *known == number).map(|(_, value)| value.as_slice())
    }
}

impl fmt::Debug for Extensions {
    /// Numbers and lengths: values may be a stranger's bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.0.iter().map(|(number, value)| (number, value.len()))).finish()
    }
}

impl Serialize for Extensions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Extensions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bounded;
        impl<'de> Visitor<'de> for Bounded {
            type Value = Extensions;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "at most {} extensions", Extensions::COUNT_MAX)
            }

            // Not `Vec`'s own reading: that reserves by the announced count, up to a megabyte for a stranger.
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Extensions, A::Error> {
                let mut extensions = Extensions::default();
                while let Some((number, value)) = seq.next_element::<(u16, &'de [u8])>()? {
                    extensions.insert(number, value).map_err(A::Error::custom)?;
                }
                Ok(extensions)
            }
        }
        deserializer.deserialize_seq(Bounded)
    }
}

/// Why an extension cannot be announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ExtensionError {
    /// There are [`Extensions::COUNT_MAX`] already.
    #[error("more than {} extensions", Extensions::COUNT_MAX)]
    TooMany,
    /// It is longer than [`Extensions::VALUE_BYTES_MAX`].
    #[error(
        "extension {number} of {bytes} bytes is longer than the limit of {}",
        Extensions::VALUE_BYTES_MAX
    )]
    TooLong {
        /// Which one.
        number: u16,
        /// Its length.
        bytes: usize,
    },
    /// Its number is taken.
    #[error("extension {number} is announced twice")]
    Twice {
        /// Which one.
        number: u16,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(list: &[(u16, Vec<u8>)]) -> Result<Extensions, postcard::Error> {
        postcard::from_bytes(&postcard::to_allocvec(list).unwrap())
    }

    #[test]
    fn extensions_are_read_as_they_were_written_and_unknown_ones_do_no_harm() {
        let mut extensions = Extensions::default();
        extensions.insert(65_535, b"later").unwrap();
        extensions.insert(1, &[0; Extensions::VALUE_BYTES_MAX]).unwrap();
        let bytes = postcard::to_allocvec(&extensions).unwrap();
        let again: Extensions = postcard::from_bytes(&bytes).unwrap();
        assert_eq!(again, extensions);
        assert_eq!((again.find(65_535), again.find(2)), (Some(&b"later"[..]), None));
    }

    #[test]
    fn too_many_too_long_and_doubled_extensions_are_refused_when_read() {
        assert!(read(&(0..16).map(|n| (n, Vec::new())).collect::<Vec<_>>()).is_ok());
        assert!(read(&(0..17).map(|n| (n, Vec::new())).collect::<Vec<_>>()).is_err());
        assert!(read(&[(1, vec![0; 129])]).is_err());
        assert!(read(&[(1, vec![]), (1, vec![])]).is_err());
    }

    #[test]
    fn an_announced_count_of_four_billion_reserves_nothing_and_is_refused() {
        let bytes = postcard::to_allocvec(&u32::MAX).unwrap();
        assert!(postcard::from_bytes::<Extensions>(&bytes).is_err());
    }
}
