//! Reads values in postcard's format off the front of a payload.

use std::fmt::Display;

use serde::de::value::U32Deserializer;
use serde::de::{self, DeserializeSeed, IntoDeserializer, Visitor};

use super::{DecodeError, varint};

/// A serde deserializer; holds what is left of the payload.
pub(super) struct Reader<'de>(pub(super) &'de [u8]);

impl de::Error for DecodeError {
    fn custom<T: Display>(_: T) -> Self {
        Self::Refused
    }
}

type Read<T> = Result<T, DecodeError>;

impl<'de> Reader<'de> {
    #[inline]
    fn take(&mut self, len: usize) -> Read<&'de [u8]> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(DecodeError::Short)?;
        self.0 = rest;
        Ok(taken)
    }

    #[inline]
    fn chunk<const N: usize>(&mut self) -> Read<[u8; N]> {
        let (chunk, rest) = self.0.split_first_chunk().ok_or(DecodeError::Short)?;
        self.0 = rest;
        Ok(*chunk)
    }

    #[inline]
    fn byte(&mut self) -> Read<u8> {
        self.chunk::<1>().map(|[byte]| byte)
    }

    #[inline]
    fn u64(&mut self) -> Read<u64> {
        varint::read::<10, 1>(&mut self.0)
    }

    #[inline]
    fn u32(&mut self) -> Read<u32> {
        // No more than five bytes of which the last has four bits: 32 bits.
        varint::read::<5, 0x0F>(&mut self.0).map(|value| u32::try_from(value).unwrap_or(u32::MAX))
    }

    #[inline]
    fn u16(&mut self) -> Read<u16> {
        varint::read::<3, 0x03>(&mut self.0).map(|value| u16::try_from(value).unwrap_or(u16::MAX))
    }

    fn u128(&mut self) -> Read<u128> {
        varint::read_wide(&mut self.0, 19, 0x03)
    }

    /// A length; one that no payload of this program can have ends with the payload.
    #[inline]
    fn len(&mut self) -> Read<usize> {
        self.u64().map(|len| usize::try_from(len).unwrap_or(usize::MAX))
    }

    #[inline]
    fn block(&mut self) -> Read<&'de [u8]> {
        let len = self.len()?;
        self.take(len)
    }

    #[inline]
    fn text(&mut self) -> Read<&'de str> {
        std::str::from_utf8(self.block()?).map_err(|_| DecodeError::Malformed("text that is not UTF-8"))
    }

    /// A character is a text of one to four bytes.
    fn character(&mut self) -> Read<char> {
        const BAD: DecodeError = DecodeError::Malformed("a char that is not one");
        let len = self.len()?;
        if len > 4 {
            return Err(BAD);
        }
        std::str::from_utf8(self.take(len)?).ok().and_then(|text| text.chars().next()).ok_or(BAD)
    }
}

/// Numbers of all widths.
macro_rules! numbers {
    ($($method:ident $visit:ident: $reader:ident => $value:expr;)*) => {$(
        #[inline]
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
            let $reader = self;
            visitor.$visit($value)
        }
    )*};
}

/// What says of itself what it is; this format does not.
macro_rules! unsupported {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, _: V) -> Read<V::Value> {
            Err(DecodeError::Unsupported)
        }
    )*};
}

impl<'de> de::Deserializer<'de> for &mut Reader<'de> {
    type Error = DecodeError;

    fn is_human_readable(&self) -> bool {
        false
    }

    unsupported! { deserialize_any deserialize_identifier deserialize_ignored_any }

    numbers! {
        deserialize_i8 visit_i8: reader => reader.byte()?.cast_signed();
        deserialize_u8 visit_u8: reader => reader.byte()?;
        deserialize_u16 visit_u16: reader => reader.u16()?;
        deserialize_u32 visit_u32: reader => reader.u32()?;
        deserialize_u64 visit_u64: reader => reader.u64()?;
        deserialize_u128 visit_u128: reader => reader.u128()?;
        deserialize_i64 visit_i64: reader => varint::unzigzag(reader.u64()?);
        deserialize_i128 visit_i128: reader => varint::unzigzag_wide(reader.u128()?);
        deserialize_f32 visit_f32: reader => f32::from_le_bytes(reader.chunk()?);
        deserialize_f64 visit_f64: reader => f64::from_le_bytes(reader.chunk()?);
        deserialize_char visit_char: reader => reader.character()?;
        deserialize_str visit_borrowed_str: reader => reader.text()?;
        deserialize_string visit_borrowed_str: reader => reader.text()?;
        deserialize_bytes visit_borrowed_bytes: reader => reader.block()?;
        deserialize_byte_buf visit_borrowed_bytes: reader => reader.block()?;
    }

    #[inline]
    fn deserialize_i16<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        // What was read has 16 bits, so its signed form has as many.
        let value = varint::unzigzag(self.u16()?.into());
        visitor.visit_i16(i16::try_from(value).unwrap_or_default())
    }

    #[inline]
    fn deserialize_i32<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        let value = varint::unzigzag(self.u32()?.into());
        visitor.visit_i32(i32::try_from(value).unwrap_or_default())
    }

    #[inline]
    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        match self.byte()? {
            0 => visitor.visit_bool(false),
            1 => visitor.visit_bool(true),
            _ => Err(DecodeError::Malformed("a bool that is neither 0 nor 1")),
        }
    }

    #[inline]
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        match self.byte()? {
            0 => visitor.visit_none(),
            1 => visitor.visit_some(self),
            _ => Err(DecodeError::Malformed("an option that is neither 0 nor 1")),
        }
    }

    #[inline]
    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        visitor.visit_unit()
    }

    #[inline]
    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Read<V::Value> {
        visitor.visit_unit()
    }

    #[inline]
    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Read<V::Value> {
        visitor.visit_newtype_struct(self)
    }

    #[inline]
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        let left = self.len()?;
        visitor.visit_seq(Parts { reader: self, left })
    }

    #[inline]
    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Read<V::Value> {
        visitor.visit_seq(Parts { reader: self, left: len })
    }

    #[inline]
    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        len: usize,
        visitor: V,
    ) -> Read<V::Value> {
        self.deserialize_tuple(len, visitor)
    }

    #[inline]
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        let left = self.len()?;
        visitor.visit_map(Parts { reader: self, left })
    }

    #[inline]
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Read<V::Value> {
        self.deserialize_tuple(fields.len(), visitor)
    }

    #[inline]
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Read<V::Value> {
        visitor.visit_enum(self)
    }
}

/// The elements of a sequence, the fields of a struct, or the entries of a map.
struct Parts<'a, 'de> {
    reader: &'a mut Reader<'de>,
    left: usize,
}

impl Parts<'_, '_> {
    /// How much a collection may reserve: its length is its sender's word, but no element is shorter than a byte.
    fn reserve(&self) -> Option<usize> {
        (self.left <= self.reader.0.len()).then_some(self.left)
    }
}

impl<'de> de::SeqAccess<'de> for Parts<'_, 'de> {
    type Error = DecodeError;

    #[inline]
    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Read<Option<T::Value>> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        seed.deserialize(&mut *self.reader).map(Some)
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        self.reserve()
    }
}

impl<'de> de::MapAccess<'de> for Parts<'_, 'de> {
    type Error = DecodeError;

    #[inline]
    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Read<Option<K::Value>> {
        de::SeqAccess::next_element_seed(self, seed)
    }

    #[inline]
    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Read<T::Value> {
        seed.deserialize(&mut *self.reader)
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        self.reserve()
    }
}

impl<'de> de::EnumAccess<'de> for &mut Reader<'de> {
    type Error = DecodeError;
    type Variant = Self;

    #[inline]
    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Read<(T::Value, Self)> {
        let index: U32Deserializer<DecodeError> = self.u32()?.into_deserializer();
        Ok((seed.deserialize(index)?, self))
    }
}

impl<'de> de::VariantAccess<'de> for &mut Reader<'de> {
    type Error = DecodeError;

    #[inline]
    fn unit_variant(self) -> Read<()> {
        Ok(())
    }

    #[inline]
    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Read<T::Value> {
        seed.deserialize(self)
    }

    #[inline]
    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Read<V::Value> {
        de::Deserializer::deserialize_tuple(self, len, visitor)
    }

    #[inline]
    fn struct_variant<V: Visitor<'de>>(self, fields: &'static [&'static str], visitor: V) -> Read<V::Value> {
        de::Deserializer::deserialize_tuple(self, fields.len(), visitor)
    }
}
