//! Bytes to JSON, without a copy in between: the value is written as it is read.

use std::cell::Cell;
use std::fmt::Display;
use std::io::{self, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use postcard_schema::schema::owned::{
    OwnedDataModelType as Ty, OwnedNamedType, OwnedNamedValue, OwnedNamedVariant,
};
use serde::ser::{Error, SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};

use super::path::{At, Problem};
use super::{Content, integer, is_bytes, is_word, varint};

/// How JSON is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// On one line, for programs.
    Compact,
    /// Over many lines, for people.
    Pretty,
}

/// Why a value was not written.
#[derive(Debug)]
pub(crate) enum WriteError {
    /// The bytes are no value of the layout.
    Malformed(String),
    /// Nobody takes the output.
    Output(io::Error),
}

/// Whether the bytes are exactly one value of this layout.
pub(crate) fn check(layout: &OwnedNamedType, payload: &[u8]) -> Result<(), String> {
    match write(layout, payload, Look::Compact, io::sink()) {
        Ok(()) => Ok(()),
        Err(WriteError::Malformed(why)) => Err(why),
        Err(WriteError::Output(error)) => Err(error.to_string()),
    }
}

/// Writes the value that the bytes are in this layout.
pub(crate) fn write(
    layout: &OwnedNamedType,
    payload: &[u8],
    look: Look,
    out: impl Write,
) -> Result<(), WriteError> {
    let cursor = Cursor { rest: Cell::new(payload), free: Cell::new(FREE_ELEMENTS_MAX) };
    let value = Typed { shape: Shape::Type(layout), cursor: &cursor, at: At::TOP };
    let written = match look {
        Look::Compact => serde_json::to_writer(out, &value),
        Look::Pretty => serde_json::to_writer_pretty(out, &value),
    };
    written.map_err(|error| match error.io_error_kind() {
        Some(kind) => WriteError::Output(kind.into()),
        None => WriteError::Malformed(error.to_string()),
    })?;
    match cursor.rest.get().len() {
        0 => Ok(()),
        left => Err(WriteError::Malformed(format!("{left} bytes are left after the value"))),
    }
}

/// Elements that take no bytes cost their sender nothing, so only so many are shown.
const FREE_ELEMENTS_MAX: usize = 65_536;

/// What is not read yet.
struct Cursor<'p> {
    rest: Cell<&'p [u8]>,
    /// How many more elements may take no bytes.
    free: Cell<usize>,
}

type Read<T> = Result<T, &'static str>;

impl<'p> Cursor<'p> {
    fn number(&self, bits: u32) -> Read<u128> {
        if bits == 8 {
            return self.array::<1>().map(|[byte]| byte.into());
        }
        let (number, rest) = varint::read(self.rest.get(), bits)?;
        self.rest.set(rest);
        Ok(number)
    }

    fn array<const N: usize>(&self) -> Read<[u8; N]> {
        let (first, rest) = self.rest.get().split_first_chunk::<N>().ok_or(varint::ENDS)?;
        self.rest.set(rest);
        Ok(*first)
    }

    fn length(&self) -> Read<usize> {
        usize::try_from(self.number(64)?).map_err(|_| varint::ENDS)
    }

    fn bytes(&self) -> Read<&'p [u8]> {
        let length = self.length()?;
        let (bytes, rest) = self.rest.get().split_at_checked(length).ok_or(varint::ENDS)?;
        self.rest.set(rest);
        Ok(bytes)
    }

    fn text(&self) -> Read<&'p str> {
        std::str::from_utf8(self.bytes()?).map_err(|_| "text that is not UTF-8")
    }

    fn flag(&self, what: &'static str) -> Read<bool> {
        match self.array::<1>()? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(what),
        }
    }

    /// To be told of every element with what was left before it.
    fn counted(&self, left_before: usize) -> Read<()> {
        if self.rest.get().len() < left_before {
            return Ok(());
        }
        let free = self.free.get().checked_sub(1).ok_or("too many elements that take no bytes")?;
        self.free.set(free);
        Ok(())
    }
}

/// What is to be read next.
#[derive(Clone, Copy)]
enum Shape<'a> {
    Type(&'a OwnedNamedType),
    Tuple(&'a [OwnedNamedType]),
    Fields(&'a [OwnedNamedValue]),
    Pair(&'a OwnedNamedType, &'a OwnedNamedType),
}

/// A value that is read while it is serialized.
struct Typed<'a, 'p> {
    shape: Shape<'a>,
    cursor: &'a Cursor<'p>,
    at: At<'a>,
}

fn custom<E: Error>(problem: impl Display) -> E {
    E::custom(problem)
}

impl<'p> Typed<'_, 'p> {
    /// A part of this value, one step below it.
    fn part<'b>(&'b self, shape: Shape<'b>, at: Result<At<'b>, Problem>) -> Result<Typed<'b, 'p>, Problem> {
        Ok(Typed { shape, cursor: self.cursor, at: at? })
    }

    /// Names the place of something that cannot be read.
    fn or<T, E: Error>(&self, read: Read<T>) -> Result<T, E> {
        read.map_err(|what| custom(self.at.problem(format!("the answer holds {what}"))))
    }
}

impl Serialize for Typed<'_, '_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.shape {
            Shape::Type(named) => self.named(named, to),
            Shape::Tuple(types) => self.tuple(types, to),
            Shape::Fields(fields) => self.fields(fields, to),
            Shape::Pair(key, value) => {
                let mut pair = to.serialize_seq(Some(2))?;
                pair.serialize_element(&self.part(Shape::Type(key), self.at.index(0)).map_err(custom)?)?;
                pair.serialize_element(&self.part(Shape::Type(value), self.at.index(1)).map_err(custom)?)?;
                pair.end()
            }
        }
    }
}

impl Typed<'_, '_> {
    fn named<S: Serializer>(&self, named: &OwnedNamedType, to: S) -> Result<S::Ok, S::Error> {
        let cursor = self.cursor;
        if let Some((_, bits, signed)) = integer(&named.ty) {
            return self.integer(bits, signed, to);
        }
        if is_bytes(&named.ty) {
            return to.serialize_str(&STANDARD.encode(self.or(cursor.bytes())?));
        }
        match &named.ty {
            Ty::Bool => to.serialize_bool(self.or(cursor.flag("a bool that is neither 0 nor 1"))?),
            Ty::F32 => {
                let number = f32::from_le_bytes(self.or(cursor.array())?);
                if number.is_finite() { to.serialize_f32(number) } else { infinite(number.into(), to) }
            }
            Ty::F64 => {
                let number = f64::from_le_bytes(self.or(cursor.array())?);
                if number.is_finite() { to.serialize_f64(number) } else { infinite(number, to) }
            }
            Ty::Char => {
                let text = self.or(cursor.text())?;
                let mut chars = text.chars();
                match (chars.next(), chars.next()) {
                    (Some(_), None) => to.serialize_str(text),
                    _ => self.or(Err("a char that is not one")),
                }
            }
            Ty::String => to.serialize_str(self.or(cursor.text())?),
            Ty::Option(inner) => match self.or(cursor.flag("an option that is neither 0 nor 1"))? {
                false => to.serialize_unit(),
                true => self.part(Shape::Type(inner), self.at.within()).map_err(custom)?.serialize(to),
            },
            Ty::Unit | Ty::UnitStruct => to.serialize_unit(),
            Ty::NewtypeStruct(inner) => {
                self.part(Shape::Type(inner), self.at.within()).map_err(custom)?.serialize(to)
            }
            Ty::Seq(element) => self.list(Shape::Type(element), to),
            Ty::Tuple(types) | Ty::TupleStruct(types) => self.tuple(types, to),
            Ty::Map { key, val } if is_word(key) => self.map(key, val, to),
            Ty::Map { key, val } => self.list(Shape::Pair(key, val), to),
            Ty::Struct(fields) => self.fields(fields, to),
            Ty::Enum(variants) => self.variant(named, variants, to),
            // All others were handled above.
            _ => Err(custom(self.at.problem(format!(
                "the type {} is opaque: its layout is not described, so it can only be read by a program",
                named.name
            )))),
        }
    }

    fn integer<S: Serializer>(&self, bits: u32, signed: bool, to: S) -> Result<S::Ok, S::Error> {
        let number = self.or(self.cursor.number(bits))?;
        if !signed {
            return to.serialize_u128(number);
        }
        if bits == 8 {
            let byte = u8::try_from(number).map_err(custom)?;
            return to.serialize_i8(byte.cast_signed());
        }
        to.serialize_i128(varint::unzigzag(number))
    }

    fn list<S: Serializer>(&self, element: Shape<'_>, to: S) -> Result<S::Ok, S::Error> {
        let length = self.or(self.cursor.length())?;
        let mut list = to.serialize_seq(None)?;
        for index in 0..length {
            let left = self.cursor.rest.get().len();
            list.serialize_element(&self.part(element, self.at.index(index)).map_err(custom)?)?;
            self.or(self.cursor.counted(left))?;
        }
        list.end()
    }

    fn map<S: Serializer>(
        &self,
        key: &OwnedNamedType,
        value: &OwnedNamedType,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        let length = self.or(self.cursor.length())?;
        let mut map = to.serialize_map(None)?;
        for index in 0..length {
            let left = self.cursor.rest.get().len();
            map.serialize_key(&self.part(Shape::Type(key), self.at.index(index)).map_err(custom)?)?;
            map.serialize_value(&self.part(Shape::Type(value), self.at.index(index)).map_err(custom)?)?;
            self.or(self.cursor.counted(left))?;
        }
        map.end()
    }

    fn tuple<S: Serializer>(&self, types: &[OwnedNamedType], to: S) -> Result<S::Ok, S::Error> {
        let mut list = to.serialize_seq(Some(types.len()))?;
        for (index, ty) in types.iter().enumerate() {
            list.serialize_element(&self.part(Shape::Type(ty), self.at.index(index)).map_err(custom)?)?;
        }
        list.end()
    }

    fn fields<S: Serializer>(&self, fields: &[OwnedNamedValue], to: S) -> Result<S::Ok, S::Error> {
        let mut object = to.serialize_map(Some(fields.len()))?;
        for field in fields {
            let part = self.part(Shape::Type(&field.ty), self.at.field(&field.name)).map_err(custom)?;
            object.serialize_entry(&field.name, &part)?;
        }
        object.end()
    }

    fn variant<S: Serializer>(
        &self,
        named: &OwnedNamedType,
        variants: &[OwnedNamedVariant],
        to: S,
    ) -> Result<S::Ok, S::Error> {
        let index = usize::try_from(self.or(self.cursor.number(32))?).map_err(custom)?;
        let Some(variant) = variants.get(index) else {
            return self.or(Err("the number of a variant that there is not"));
        };
        let shape = match Content::of(named, variant) {
            Content::Nothing => return to.serialize_str(&variant.name),
            Content::One(inner) => Shape::Type(inner),
            Content::Many(types) => Shape::Tuple(types),
            Content::Fields(fields) => Shape::Fields(fields),
        };
        let mut object = to.serialize_map(Some(1))?;
        let part = self.part(shape, self.at.field(&variant.name)).map_err(custom)?;
        object.serialize_entry(&variant.name, &part)?;
        object.end()
    }
}

/// JSON has no such numbers; as null they would not come back.
fn infinite<S: Serializer>(number: f64, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(match number {
        number if number.is_nan() => "NaN",
        number if number > 0.0 => "Infinity",
        _ => "-Infinity",
    })
}
