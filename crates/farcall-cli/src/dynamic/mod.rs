//! Messages of types that this program does not have: JSON to postcard and back, as a described layout says.
//!
//! ```text
//! {"amount":1}  --encode(layout)-->  01          JSON looks as serde_json would write the type, except:
//! 07            --write(layout)--->  7           bytes are base64, NaN and infinities are strings,
//!                                                maps whose keys are no words are lists of pairs
//! ```
//! The layouts come from a peer, the JSON from a person: neither can make this panic, recurse without end, or
//! allocate more than a multiple of what was given.

mod decode;
mod encode;
mod example;
mod layout;
mod path;
#[cfg(test)]
mod tests;
mod varint;

pub(crate) use decode::{Look, WriteError, check, write};
pub(crate) use encode::encode;
pub(crate) use example::example;
pub(crate) use layout::{definitions, inline, opaque};

use postcard_schema::schema::owned::{
    OwnedDataModelType, OwnedDataModelVariant, OwnedNamedType, OwnedNamedValue, OwnedNamedVariant,
};

/// How deep types may nest; as deep as serde_json reads.
const DEPTH_MAX: usize = 128;

/// Whether keys of this type can be the names of a JSON object.
fn is_word(key: &OwnedNamedType) -> bool {
    use OwnedDataModelType as Ty;
    let mut ty = &key.ty;
    while let Ty::NewtypeStruct(inner) = ty {
        ty = &inner.ty;
    }
    match ty {
        Ty::String | Ty::Char | Ty::Bool => true,
        Ty::Enum(variants) => variants.iter().all(|variant| variant.ty == OwnedDataModelVariant::UnitVariant),
        ty => integer(ty).is_some(),
    }
}

/// An integer's name, its size, and whether it has a sign.
fn integer(ty: &OwnedDataModelType) -> Option<(&'static str, u32, bool)> {
    use OwnedDataModelType as Ty;
    Some(match ty {
        Ty::U8 => ("u8", 8, false),
        Ty::U16 => ("u16", 16, false),
        Ty::U32 => ("u32", 32, false),
        Ty::U64 => ("u64", 64, false),
        Ty::U128 => ("u128", 128, false),
        Ty::Usize => ("usize", 64, false),
        Ty::I8 => ("i8", 8, true),
        Ty::I16 => ("i16", 16, true),
        Ty::I32 => ("i32", 32, true),
        Ty::I64 => ("i64", 64, true),
        Ty::I128 => ("i128", 128, true),
        Ty::Isize => ("isize", 64, true),
        _ => return None,
    })
}

/// Whether it is a list of bytes, which JSON shows as base64.
fn is_bytes(ty: &OwnedDataModelType) -> bool {
    match ty {
        OwnedDataModelType::ByteArray => true,
        OwnedDataModelType::Seq(element) => element.ty == OwnedDataModelType::U8,
        _ => false,
    }
}

/// What a variant holds.
#[derive(Debug, Clone, Copy)]
enum Content<'a> {
    Nothing,
    One(&'a OwnedNamedType),
    Many(&'a [OwnedNamedType]),
    Fields(&'a [OwnedNamedValue]),
}

impl<'a> Content<'a> {
    fn of(enumeration: &OwnedNamedType, variant: &'a OwnedNamedVariant) -> Self {
        match &variant.ty {
            OwnedDataModelVariant::UnitVariant => Self::Nothing,
            OwnedDataModelVariant::NewtypeVariant(inner) => Self::One(inner),
            OwnedDataModelVariant::TupleVariant(types) => match types.as_slice() {
                // Described as a tuple of one, which serde does not write it as.
                [inner] if is_result(enumeration) => Self::One(inner),
                types => Self::Many(types),
            },
            OwnedDataModelVariant::StructVariant(fields) => Self::Fields(fields),
        }
    }
}

/// Whether it is the standard `Result`.
fn is_result(named: &OwnedNamedType) -> bool {
    named.name == "Result<T, E>"
}
