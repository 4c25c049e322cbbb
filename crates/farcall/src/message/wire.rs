//! Values to bytes and back: postcard, appended to a buffer that is already there.

use std::{any::Any, fmt};

use postcard::{Deserializer, Serializer, de_flavors, ser_flavors};
use serde::{Serialize, de::DeserializeOwned};

use super::{MessageInfo, bytes};

/// Appends `value` to `out`.
///
/// A `Vec<u8>` is copied as one block; its wire form is the same either way.
///
/// # Errors
///
/// [`EncodeError`] if the value cannot be written; `out` is then as it was before.
pub fn encode_value<T: Serialize + 'static>(value: &T, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let start = out.len();
    let mut serializer = Serializer { output: Append(out) };
    // The type is known when this is compiled, so the question costs nothing when it runs.
    let written = match (value as &dyn Any).downcast_ref::<Vec<u8>>() {
        Some(block) => bytes::serialize(block, &mut serializer),
        None => value.serialize(&mut serializer),
    };
    written.map_err(|error| {
        out.truncate(start);
        EncodeError::from(error)
    })
}

/// Reads one value, which must take all of `payload`.
///
/// Allocates in proportion to the payload, whatever lengths it announces: a sequence reserves at most one element
/// per byte that is left, and at most 1 MiB ahead of its content. Only a `HashMap` reserves on the announced
/// length alone (1 MiB of entries, about 3 MiB with its table), and frees that when the entries do not come.
///
/// # Errors
///
/// [`DecodeError`] if the payload is anything but exactly one `T`.
pub fn decode_value<T: DeserializeOwned + 'static>(payload: &[u8]) -> Result<T, DecodeError> {
    let mut deserializer = Deserializer::from_bytes(payload);
    let value = read(&mut deserializer)?;
    match deserializer.finalize()?.len() {
        0 => Ok(value),
        bytes => Err(DecodeError::Trailing { bytes }),
    }
}

fn read<'de, T: DeserializeOwned + 'static>(
    deserializer: &mut Deserializer<'de, de_flavors::Slice<'de>>,
) -> postcard::Result<T> {
    // Filled only if `T` is `Vec<u8>`; that, too, is decided when this is compiled.
    let mut block: Option<T> = None;
    if let Some(block) = (&mut block as &mut dyn Any).downcast_mut::<Option<Vec<u8>>>() {
        *block = Some(bytes::deserialize(&mut *deserializer)?);
    }
    match block {
        Some(value) => Ok(value),
        None => T::deserialize(deserializer),
    }
}

/// postcard writing at the end of a buffer that others began, without a copy in between.
struct Append<'a>(&'a mut Vec<u8>);

impl ser_flavors::Flavor for Append<'_> {
    type Output = ();

    #[inline]
    fn try_extend(&mut self, data: &[u8]) -> postcard::Result<()> {
        // Most of what arrives here is one short integer; pushing it costs less than calling memcpy for it
        // (4 against 9 ns for a message of three small fields).
        if data.len() <= PUSHED_BYTES_MAX {
            for &byte in data {
                self.0.push(byte);
            }
        } else {
            self.0.extend_from_slice(data);
        }
        Ok(())
    }

    #[inline]
    fn try_push(&mut self, data: u8) -> postcard::Result<()> {
        self.0.push(data);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

/// The longest piece that is pushed byte by byte: an encoded `u32`.
const PUSHED_BYTES_MAX: usize = 5;

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

impl From<postcard::Error> for EncodeError {
    fn from(error: postcard::Error) -> Self {
        match error {
            postcard::Error::SerializeSeqLengthUnknown => Self::LengthUnknown,
            postcard::Error::SerdeSerCustom | postcard::Error::CollectStrError => Self::Refused,
            _ => Self::Unsupported,
        }
    }
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

impl From<postcard::Error> for DecodeError {
    fn from(error: postcard::Error) -> Self {
        use postcard::Error;
        match error {
            Error::DeserializeUnexpectedEnd => Self::Short,
            Error::DeserializeBadVarint => Self::Malformed("an integer that is too long for its type"),
            Error::DeserializeBadBool => Self::Malformed("a bool that is neither 0 nor 1"),
            Error::DeserializeBadChar => Self::Malformed("a char that is not one"),
            Error::DeserializeBadUtf8 => Self::Malformed("text that is not UTF-8"),
            Error::DeserializeBadOption => Self::Malformed("an option that is neither 0 nor 1"),
            Error::DeserializeBadEnum => Self::Malformed("a variant number that is too large"),
            Error::SerdeDeCustom => Self::Refused,
            _ => Self::Unsupported,
        }
    }
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
mod tests {
    use std::{
        cell::Cell,
        collections::{BTreeMap, HashMap, HashSet},
    };

    use serde::{
        Deserialize,
        de::{SeqAccess, Visitor},
    };

    use super::*;

    fn encoded<T: Serialize + 'static>(value: &T) -> Vec<u8> {
        let mut out = Vec::new();
        encode_value(value, &mut out).unwrap();
        out
    }

    #[test]
    fn a_value_is_appended_to_what_is_there() {
        let mut out = vec![0xEE];
        encode_value(&(1_u8, "ab".to_owned(), 300_u16), &mut out).unwrap();
        assert_eq!(out, [0xEE, 1, 2, b'a', b'b', 0xAC, 0x02]);
        let value: (u8, String, u16) = decode_value(&out[1..]).unwrap();
        assert_eq!(value, (1, "ab".to_owned(), 300));
    }

    #[test]
    fn a_plain_vec_of_bytes_takes_the_short_way_to_the_same_bytes() {
        for len in [0_usize, 1, 127, 128, 70_000] {
            let block: Vec<u8> = (0..=255).cycle().take(len).collect();
            let payload = encoded(&block);
            assert_eq!(payload, postcard::to_stdvec(&block).unwrap());
            assert_eq!(decode_value::<Vec<u8>>(&payload).unwrap(), block);
            assert_eq!(postcard::from_bytes::<Vec<u8>>(&payload).unwrap(), block);
        }
    }

    #[test]
    fn the_short_way_refuses_the_same_payloads() {
        assert_eq!(decode_value::<Vec<u8>>(&[]), Err(DecodeError::Short));
        assert_eq!(decode_value::<Vec<u8>>(&[2, 7]), Err(DecodeError::Short));
        assert_eq!(decode_value::<Vec<u8>>(&[1, 7, 8]), Err(DecodeError::Trailing { bytes: 1 }));
    }

    #[test]
    fn bytes_after_the_value_are_an_error() {
        assert_eq!(decode_value::<u8>(&[1, 2, 3]), Err(DecodeError::Trailing { bytes: 2 }));
        assert_eq!(decode_value::<()>(&[0]), Err(DecodeError::Trailing { bytes: 1 }));
        assert_eq!(decode_value::<()>(&[]), Ok(()));
    }

    #[test]
    fn a_failed_encode_leaves_the_buffer_as_it_was() {
        struct Endless;
        impl Serialize for Endless {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_seq(None).map(|_| unreachable!())
            }
        }
        struct Refuses;
        impl Serialize for Refuses {
            fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
                Err(serde::ser::Error::custom("secret"))
            }
        }
        let mut out = vec![9];
        assert_eq!(encode_value(&("half".to_owned(), Endless), &mut out), Err(EncodeError::LengthUnknown));
        assert_eq!(encode_value(&(1_u64, Refuses), &mut out), Err(EncodeError::Refused));
        assert_eq!(out, [9]);
    }

    #[test]
    fn errors_say_what_is_wrong_and_not_what_was_sent() {
        assert_eq!(
            decode_value::<bool>(&[7]).unwrap_err().to_string(),
            "the payload holds a bool that is neither 0 nor 1"
        );
        assert_eq!(
            decode_value::<Option<u8>>(&[7]),
            Err(DecodeError::Malformed("an option that is neither 0 nor 1"))
        );
        assert_eq!(decode_value::<String>(&[1, 0xFF]), Err(DecodeError::Malformed("text that is not UTF-8")));
        assert_eq!(
            decode_value::<u16>(&[0xFF; 9]).unwrap_err().to_string(),
            "the payload holds an integer that is too long for its type"
        );
        assert_eq!(decode_value::<Result<u8, u8>>(&[2, 0]), Err(DecodeError::Refused));
        assert_eq!(decode_value::<u8>(&[1, 2]).unwrap_err().to_string(), "1 bytes are left after the value");
    }

    /// A length of 2^63, in ten bytes.
    const HUGE: [u8; 10] = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01];

    #[test]
    fn a_huge_announced_length_ends_with_the_payload() {
        assert_eq!(decode_value::<Vec<u8>>(&HUGE), Err(DecodeError::Short));
        assert_eq!(decode_value::<Vec<[u64; 32]>>(&HUGE), Err(DecodeError::Short));
        assert_eq!(decode_value::<String>(&HUGE), Err(DecodeError::Short));
        assert_eq!(decode_value::<Vec<String>>(&HUGE), Err(DecodeError::Short));
        assert_eq!(decode_value::<HashMap<u8, [u64; 32]>>(&HUGE), Err(DecodeError::Short));
        assert_eq!(decode_value::<BTreeMap<String, String>>(&HUGE), Err(DecodeError::Short));
        assert_eq!(decode_value::<HashSet<u128>>(&HUGE), Err(DecodeError::Short));
        let nested = [HUGE, HUGE, HUGE].concat();
        assert_eq!(decode_value::<Vec<Vec<Vec<u64>>>>(&nested), Err(DecodeError::Short));
    }

    thread_local! {
        static HINT: Cell<Option<usize>> = const { Cell::new(None) };
    }

    /// Reads a sequence and notes what it was told to reserve.
    #[derive(Debug, PartialEq)]
    struct Hinted;

    impl<'de> Deserialize<'de> for Hinted {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_seq(Hinted)
        }
    }

    impl<'de> Visitor<'de> for Hinted {
        type Value = Hinted;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a sequence")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Hinted, A::Error> {
            HINT.set(seq.size_hint());
            while seq.next_element::<u8>()?.is_some() {}
            Ok(Hinted)
        }
    }

    #[test]
    fn a_sequence_reserves_no_more_elements_than_bytes_are_left() {
        assert_eq!(decode_value::<Hinted>(&[3, 1, 1, 1]), Ok(Hinted));
        assert_eq!(HINT.get(), Some(3));
        assert_eq!(decode_value::<Hinted>(&[4, 1, 1, 1]), Err(DecodeError::Short));
        assert_eq!(HINT.get(), None);
        assert_eq!(decode_value::<Hinted>(&HUGE), Err(DecodeError::Short));
        assert_eq!(HINT.get(), None);
    }
}
