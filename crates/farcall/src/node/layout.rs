//! A layout as it travels in a description: bounded in depth, because reading one nests as deep as it is.
//!
//! A peer may send anything. Its bytes are walked through without recursion first, and only what is no deeper
//! than [`DEPTH_MAX`] is read.

use std::fmt;
use std::ops::Deref;

use postcard_schema::schema::owned::OwnedNamedType;
use postcard_schema::schema::{DataModelType, NamedType};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::message::Schema;

/// The layout of a message or of its answer; reads like the [`OwnedNamedType`] in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout(OwnedNamedType);

/// Layouts nested deeper than this are not read.
const DEPTH_MAX: usize = 256;

impl Deref for Layout {
    type Target = OwnedNamedType;

    fn deref(&self) -> &OwnedNamedType {
        &self.0
    }
}

impl From<&NamedType> for Layout {
    fn from(layout: &NamedType) -> Self {
        Self(layout.into())
    }
}

impl Schema for Layout {
    const SCHEMA: &'static NamedType = &NamedType { name: "Layout", ty: &DataModelType::ByteArray };
}

impl Serialize for Layout {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let bytes = postcard::to_allocvec(&self.0).map_err(serde::ser::Error::custom)?;
        crate::message::bytes::serialize(&bytes, serializer)
    }
}

impl<'de> Deserialize<'de> for Layout {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = crate::message::bytes::deserialize(deserializer)?;
        check_depth(&bytes).map_err(serde::de::Error::custom)?;
        postcard::from_bytes(&bytes).map(Self).map_err(serde::de::Error::custom)
    }
}

/// What is wrong with the bytes of a layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BadLayout {
    TooDeep,
    Malformed,
}

impl fmt::Display for BadLayout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooDeep => write!(f, "a layout nested deeper than {DEPTH_MAX}"),
            Self::Malformed => f.write_str("a layout that cannot be read"),
        }
    }
}

/// What is still to come at one level, and how many of it.
#[derive(Clone, Copy)]
enum Rest {
    /// A name and a type each: types, and the fields of structs are a name before such a pair.
    Types(u64),
    Fields(u64),
    Variants(u64),
}

/// Walks through the bytes with a stack of its own.
fn check_depth(bytes: &[u8]) -> Result<(), BadLayout> {
    let mut reader = Reader(bytes);
    let mut stack = vec![Rest::Types(1)];
    while let Some(rest) = stack.pop() {
        let (Rest::Types(count) | Rest::Fields(count) | Rest::Variants(count)) = rest;
        let Some(left) = count.checked_sub(1) else { continue };
        reader.name()?;
        let below = match rest {
            Rest::Types(_) => {
                stack.push(Rest::Types(left));
                reader.below_type()?
            }
            Rest::Fields(_) => {
                stack.push(Rest::Fields(left));
                Some(Rest::Types(1))
            }
            Rest::Variants(_) => {
                stack.push(Rest::Variants(left));
                reader.below_variant()?
            }
        };
        stack.extend(below);
        if stack.len() > DEPTH_MAX {
            return Err(BadLayout::TooDeep);
        }
    }
    Ok(())
}

/// Reads postcard's numbers and texts off the front.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn number(&mut self) -> Result<u64, BadLayout> {
        let (number, rest) = postcard::take_from_bytes(self.0).map_err(|_| BadLayout::Malformed)?;
        self.0 = rest;
        Ok(number)
    }

    fn name(&mut self) -> Result<(), BadLayout> {
        let len = usize::try_from(self.number()?).map_err(|_| BadLayout::Malformed)?;
        self.0 = self.0.get(len..).ok_or(BadLayout::Malformed)?;
        Ok(())
    }

    /// What follows the kind of a type, numbered as in [`DataModelType`].
    fn below_type(&mut self) -> Result<Option<Rest>, BadLayout> {
        Ok(match self.number()? {
            18 | 21 | 22 => Some(Rest::Types(1)),
            23 | 24 => Some(Rest::Types(self.number()?)),
            25 => Some(Rest::Types(2)),
            26 => Some(Rest::Fields(self.number()?)),
            27 => Some(Rest::Variants(self.number()?)),
            kind if kind <= 28 => None,
            _ => return Err(BadLayout::Malformed),
        })
    }

    /// What follows the kind of a variant.
    fn below_variant(&mut self) -> Result<Option<Rest>, BadLayout> {
        Ok(match self.number()? {
            0 => None,
            1 => Some(Rest::Types(1)),
            2 => Some(Rest::Types(self.number()?)),
            3 => Some(Rest::Fields(self.number()?)),
            _ => return Err(BadLayout::Malformed),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{decode_value, encode_value};

    #[farcall::data]
    enum Everything {
        Nothing,
        One(u8),
        Two(Option<String>, Vec<(u16, bool)>),
        Named { map: std::collections::BTreeMap<String, i128>, unit: (), letter: char },
    }

    #[test]
    fn every_kind_of_layout_travels_and_comes_back_the_same() {
        let layout = Layout::from(<Everything as Schema>::SCHEMA);
        let mut bytes = Vec::new();
        encode_value(&layout, &mut bytes).unwrap();
        assert_eq!(decode_value::<Layout>(&bytes).unwrap(), layout);
    }

    #[test]
    fn a_layout_nested_a_million_deep_is_refused_and_not_followed() {
        // An option of an option of …, each a nameless type of kind 18.
        let mut deep = [0, 18].repeat(1_000_000);
        deep.extend([0, 0]);
        assert_eq!(check_depth(&deep), Err(BadLayout::TooDeep));
        let mut bytes = Vec::new();
        encode_value(&deep, &mut bytes).unwrap();
        assert!(decode_value::<Layout>(&bytes).is_err());
    }

    #[test]
    fn bytes_that_are_no_layout_are_refused_at_every_length() {
        let whole = postcard::to_allocvec(&Layout::from(<Everything as Schema>::SCHEMA).0).unwrap();
        assert_eq!(check_depth(&whole), Ok(()));
        for len in 0..whole.len() {
            assert!(check_depth(&whole[..len]).is_err(), "{len}");
        }
        assert_eq!(check_depth(&[0, 29]), Err(BadLayout::Malformed));
    }
}
