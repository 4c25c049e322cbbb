//! `Vec<u8>` written and read as one block, for `#[serde(with = "farcall::message::bytes")]`.
//!
//! serde writes a `Vec<u8>` byte by byte. This module gives the same bytes on the wire, a length and then the
//! content, in one piece. [`#[farcall::message]`](macro@crate::message) puts it on every field whose
//! type is written `Vec<u8>`; `Option<Vec<u8>>`, `Vec<Vec<u8>>` and the like are left to serde.

use std::fmt;

use serde::{
    Deserializer, Serializer,
    de::{SeqAccess, Visitor},
};

/// Writes `bytes` as one block.
///
/// # Errors
///
/// What the serializer reports.
pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(bytes)
}

/// Reads a block of bytes, or a sequence of single ones in formats that have no blocks.
///
/// # Errors
///
/// What the deserializer reports.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    deserializer.deserialize_byte_buf(BytesVisitor)
}

struct BytesVisitor;

impl<'de> Visitor<'de> for BytesVisitor {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes")
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
        Ok(bytes.to_vec())
    }

    fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
        Ok(bytes)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<u8>, A::Error> {
        // The announced length is the peer's word, so it reserves little; the content decides.
        let mut bytes = Vec::with_capacity(seq.size_hint().unwrap_or(0).min(RESERVED_BYTES_MAX));
        while let Some(byte) = seq.next_element()? {
            bytes.push(byte);
        }
        Ok(bytes)
    }
}

/// What an announced length may reserve before a single byte was read.
const RESERVED_BYTES_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use serde::de::{
        IntoDeserializer,
        value::{Error, SeqDeserializer},
    };

    use super::*;

    #[test]
    fn the_wire_form_is_that_of_a_plain_vec() {
        for len in [0_usize, 1, 127, 128, 20_000] {
            let plain: Vec<u8> = (0..=255).cycle().take(len).collect();
            let mut serializer = postcard::Serializer { output: postcard::ser_flavors::StdVec::new() };
            serialize(&plain, &mut serializer).unwrap();
            let block = postcard::ser_flavors::Flavor::finalize(serializer.output).unwrap();
            assert_eq!(block, postcard::to_stdvec(&plain).unwrap());
            let read = deserialize(&mut postcard::Deserializer::from_bytes(&block)).unwrap();
            assert_eq!(read, plain);
        }
    }

    #[test]
    fn a_format_without_blocks_gives_single_bytes() {
        let seq: SeqDeserializer<_, Error> = vec![1_u8, 2, 3].into_deserializer();
        assert_eq!(seq.deserialize_byte_buf_as_seq(), vec![1, 2, 3]);
    }

    trait AsSeq<'de>: Deserializer<'de> + Sized {
        fn deserialize_byte_buf_as_seq(self) -> Vec<u8>
        where
            Self::Error: fmt::Debug,
        {
            deserialize(self).unwrap()
        }
    }

    impl<'de, D: Deserializer<'de>> AsSeq<'de> for D {}
}
