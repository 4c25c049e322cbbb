//! Which layouts let a few bytes announce endless work.
//!
//! A collection starts with its length. Normally every element takes at least one byte, so a false length ends
//! with the payload. Elements that take no bytes, as in `Vec<()>`, never end it: five bytes could keep a thread
//! busy for centuries. Such layouts are refused when the message is compiled, which costs nothing at run time.

use postcard_schema::schema::{DataModelType, DataModelVariant, NamedType, NamedValue, NamedVariant};

/// Hands `schema` back if the payload bounds every collection in it.
///
/// # Panics
///
/// If a collection has elements that take no bytes. The macros call this in a constant, where the panic is a
/// compile error.
#[must_use]
pub const fn bounded(schema: &'static NamedType) -> &'static NamedType {
    assert!(
        is_bounded(schema.ty),
        "this message has a collection whose elements take no bytes, like Vec<()>: a peer could announce any \
         number of them for free; send the count as an integer instead"
    );
    schema
}

const fn is_bounded(ty: &DataModelType) -> bool {
    match ty {
        DataModelType::Seq(element) => !takes_no_bytes(element.ty) && is_bounded(element.ty),
        DataModelType::Map { key, val } => {
            !(takes_no_bytes(key.ty) && takes_no_bytes(val.ty)) && is_bounded(key.ty) && is_bounded(val.ty)
        }
        DataModelType::Option(inner) | DataModelType::NewtypeStruct(inner) => is_bounded(inner.ty),
        DataModelType::Tuple(types) | DataModelType::TupleStruct(types) => are_bounded(types),
        DataModelType::Struct(fields) => fields_are_bounded(fields),
        DataModelType::Enum(variants) => variants_are_bounded(variants),
        // Scalars and text; and opaque types, which are their authors' word.
        _ => true,
    }
}

const fn are_bounded(mut types: &[&NamedType]) -> bool {
    while let [first, rest @ ..] = types {
        if !is_bounded(first.ty) {
            return false;
        }
        types = rest;
    }
    true
}

const fn fields_are_bounded(mut fields: &[&NamedValue]) -> bool {
    while let [first, rest @ ..] = fields {
        if !is_bounded(first.ty.ty) {
            return false;
        }
        fields = rest;
    }
    true
}

const fn variants_are_bounded(mut variants: &[&NamedVariant]) -> bool {
    while let [first, rest @ ..] = variants {
        let bounded = match first.ty {
            DataModelVariant::UnitVariant => true,
            DataModelVariant::NewtypeVariant(inner) => is_bounded(inner.ty),
            DataModelVariant::TupleVariant(types) => are_bounded(types),
            DataModelVariant::StructVariant(fields) => fields_are_bounded(fields),
        };
        if !bounded {
            return false;
        }
        variants = rest;
    }
    true
}

const fn takes_no_bytes(ty: &DataModelType) -> bool {
    match ty {
        DataModelType::Unit | DataModelType::UnitStruct => true,
        DataModelType::NewtypeStruct(inner) => takes_no_bytes(inner.ty),
        DataModelType::Tuple(types) | DataModelType::TupleStruct(types) => {
            let mut types: &[&NamedType] = types;
            while let [first, rest @ ..] = types {
                if !takes_no_bytes(first.ty) {
                    return false;
                }
                types = rest;
            }
            true
        }
        DataModelType::Struct(fields) => {
            let mut fields: &[&NamedValue] = fields;
            while let [first, rest @ ..] = fields {
                if !takes_no_bytes(first.ty.ty) {
                    return false;
                }
                fields = rest;
            }
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use postcard_schema::Schema;

    use super::*;

    fn check<T: Schema>() -> bool {
        is_bounded(T::SCHEMA.ty)
    }

    #[farcall::data]
    struct Empty {}

    #[farcall::data]
    struct Hidden {
        #[serde(skip)]
        _cache: Vec<u64>,
        nothing: (),
    }

    #[farcall::data]
    enum Deep {
        _Quiet,
        _Loud { inner: Option<Vec<Empty>> },
    }

    #[test]
    fn ordinary_layouts_are_bounded() {
        assert!(check::<Vec<u8>>());
        assert!(check::<Vec<Vec<Option<()>>>>());
        assert!(check::<HashMap<String, ()>>());
        assert!(check::<Empty>());
        assert!(check::<Result<Vec<String>, ()>>());
    }

    #[test]
    fn a_collection_of_nothing_is_refused_wherever_it_hides() {
        assert!(!check::<Vec<()>>());
        assert!(!check::<Vec<((), [(); 3])>>());
        assert!(!check::<HashMap<(), ()>>());
        assert!(!check::<Vec<Hidden>>());
        assert!(!check::<Option<Deep>>());
        assert!(!check::<Result<u8, Vec<()>>>());
    }
}
