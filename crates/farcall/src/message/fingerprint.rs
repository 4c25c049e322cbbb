//! One number for the layouts of a message, computed while compiling.
//!
//! FNV-1a over a prefix-free description: kinds, field names, variant names, their order and nesting. The names
//! of types are left out, because renaming a type changes nothing on the wire. Only an opaque type
//! (`#[remote(opaque)]`) is its name, for want of anything better. The tags below are part of the protocol: a
//! changed tag makes every node of the older release look incompatible.

use postcard_schema::schema::{DataModelType, DataModelVariant, NamedType, NamedValue, NamedVariant};

/// The fingerprint of a message that is answered by one value.
#[must_use]
pub const fn fingerprint(request: &'static NamedType, result: &'static NamedType) -> u64 {
    named_type(named_type(BASIS, request), result)
}

/// The fingerprint of a message that is answered by a stream of items; never that of a single answer.
#[must_use]
pub const fn stream_fingerprint(request: &'static NamedType, item: &'static NamedType) -> u64 {
    byte(fingerprint(request, item), STREAM)
}

const fn named_type(state: u64, named: &NamedType) -> u64 {
    match named.ty {
        DataModelType::Schema => text(byte(state, 28), named.name),
        ty => data_model_type(state, ty),
    }
}

const fn data_model_type(state: u64, ty: &DataModelType) -> u64 {
    match ty {
        DataModelType::Option(inner) => named_type(byte(state, 18), inner),
        DataModelType::NewtypeStruct(inner) => named_type(byte(state, 21), inner),
        DataModelType::Seq(element) => named_type(byte(state, 22), element),
        DataModelType::Tuple(types) => named_types(byte(state, 23), types),
        DataModelType::TupleStruct(types) => named_types(byte(state, 24), types),
        DataModelType::Map { key, val } => named_type(named_type(byte(state, 25), key), val),
        DataModelType::Struct(fields) => named_values(byte(state, 26), fields),
        DataModelType::Enum(variants) => named_variants(byte(state, 27), variants),
        scalar => byte(state, scalar_tag(scalar)),
    }
}

const fn scalar_tag(ty: &DataModelType) -> u8 {
    match ty {
        DataModelType::Bool => 0,
        DataModelType::I8 => 1,
        DataModelType::U8 => 2,
        DataModelType::I16 => 3,
        DataModelType::I32 => 4,
        DataModelType::I64 => 5,
        DataModelType::I128 => 6,
        DataModelType::U16 => 7,
        DataModelType::U32 => 8,
        DataModelType::U64 => 9,
        DataModelType::U128 => 10,
        DataModelType::Usize => 11,
        DataModelType::Isize => 12,
        DataModelType::F32 => 13,
        DataModelType::F64 => 14,
        DataModelType::Char => 15,
        DataModelType::String => 16,
        DataModelType::ByteArray => 17,
        DataModelType::Unit => 19,
        DataModelType::UnitStruct => 20,
        // The compound kinds, each tagged by its own arm in `data_model_type` or `named_type`.
        DataModelType::Option(_)
        | DataModelType::NewtypeStruct(_)
        | DataModelType::Seq(_)
        | DataModelType::Tuple(_)
        | DataModelType::TupleStruct(_)
        | DataModelType::Map { .. }
        | DataModelType::Struct(_)
        | DataModelType::Enum(_)
        | DataModelType::Schema => unreachable!(),
    }
}

const fn named_types(state: u64, mut types: &[&NamedType]) -> u64 {
    let mut state = count(state, types.len());
    while let [first, rest @ ..] = types {
        state = named_type(state, first);
        types = rest;
    }
    state
}

const fn named_values(state: u64, mut fields: &[&NamedValue]) -> u64 {
    let mut state = count(state, fields.len());
    while let [first, rest @ ..] = fields {
        state = named_type(text(state, first.name), first.ty);
        fields = rest;
    }
    state
}

const fn named_variants(state: u64, mut variants: &[&NamedVariant]) -> u64 {
    let mut state = count(state, variants.len());
    while let [first, rest @ ..] = variants {
        state = text(state, first.name);
        state = match first.ty {
            DataModelVariant::UnitVariant => byte(state, 32),
            DataModelVariant::NewtypeVariant(inner) => named_type(byte(state, 33), inner),
            DataModelVariant::TupleVariant(types) => named_types(byte(state, 34), types),
            DataModelVariant::StructVariant(fields) => named_values(byte(state, 35), fields),
        };
        variants = rest;
    }
    state
}

// Lengths go in front of names and lists, so that no two descriptions run into each other.
const fn text(state: u64, text: &str) -> u64 {
    bytes(count(state, text.len()), text.as_bytes())
}

const fn count(state: u64, count: usize) -> u64 {
    bytes(state, &(count as u64).to_le_bytes())
}

const fn bytes(mut state: u64, mut bytes: &[u8]) -> u64 {
    while let [first, rest @ ..] = bytes {
        state = byte(state, *first);
        bytes = rest;
    }
    state
}

const fn byte(state: u64, byte: u8) -> u64 {
    (state ^ byte as u64).wrapping_mul(PRIME)
}

const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;
const STREAM: u8 = 48;

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap, HashSet};

    use postcard_schema::Schema;

    use super::*;

    fn of<T: Schema>() -> u64 {
        fingerprint(T::SCHEMA, <()>::SCHEMA)
    }

    mod original {
        #[farcall::data]
        pub(super) struct Point {
            x: i32,
            y: i32,
        }
        #[farcall::data]
        pub(super) struct Line {
            from: Point,
            to: Point,
        }
        #[farcall::data]
        pub(super) enum Shape {
            _Dot(Point),
            _Line { line: Line },
            _None,
        }
    }

    #[test]
    fn the_hash_is_fnv_1a_with_64_bits() {
        // The published test vectors.
        assert_eq!(bytes(BASIS, b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(bytes(BASIS, b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(bytes(BASIS, b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn the_fingerprint_of_a_known_layout_never_changes() {
        // Computed by hand from the description in the module's documentation, not by this code.
        assert_eq!(of::<original::Shape>(), 0xd225_12fb_1304_9bf7);
    }

    #[test]
    fn renaming_types_changes_nothing() {
        #[farcall::data]
        struct Spot {
            x: i32,
            y: i32,
        }
        assert_eq!(of::<Spot>(), of::<original::Point>());
        assert_eq!(of::<HashMap<u8, u8>>(), of::<BTreeMap<u8, u8>>());
        assert_eq!(of::<Box<u8>>(), of::<u8>());
    }

    #[test]
    fn swapped_fields_change_it() {
        #[farcall::data]
        struct Point {
            y: i32,
            x: i32,
        }
        assert_ne!(of::<Point>(), of::<original::Point>());
    }

    #[test]
    fn a_renamed_field_changes_it_and_a_serde_rename_undoes_that() {
        #[farcall::data]
        struct Renamed {
            x: i32,
            z: i32,
        }
        #[farcall::data]
        struct Restored {
            x: i32,
            #[serde(rename = "y")]
            z: i32,
        }
        assert_ne!(of::<Renamed>(), of::<original::Point>());
        assert_eq!(of::<Restored>(), of::<original::Point>());
    }

    #[test]
    fn a_change_deep_inside_changes_it() {
        #[farcall::data]
        struct Point {
            x: i32,
            y: i64,
        }
        #[farcall::data]
        struct Line {
            from: Point,
            to: Point,
        }
        assert_ne!(of::<Line>(), of::<original::Line>());
    }

    #[test]
    fn variants_count_by_name_order_and_form() {
        #[farcall::data]
        enum A {
            _One,
            _Two(u8),
        }
        #[farcall::data]
        enum Swapped {
            _Two(u8),
            _One,
        }
        #[farcall::data]
        enum Renamed {
            _Eins,
            _Two(u8),
        }
        #[farcall::data]
        enum Named {
            _One,
            _Two { value: u8 },
        }
        let all = [of::<A>(), of::<Swapped>(), of::<Renamed>(), of::<Named>()];
        assert_eq!(HashSet::from(all).len(), all.len());
    }

    #[test]
    fn every_kind_has_its_own_fingerprint() {
        let all = [
            of::<bool>(),
            of::<i8>(),
            of::<u8>(),
            of::<i16>(),
            of::<i32>(),
            of::<i64>(),
            of::<i128>(),
            of::<u16>(),
            of::<u32>(),
            of::<u64>(),
            of::<u128>(),
            of::<f32>(),
            of::<f64>(),
            of::<char>(),
            of::<String>(),
            of::<()>(),
            of::<Option<u8>>(),
            of::<Vec<u8>>(),
            of::<(u8,)>(),
            of::<(u8, u8)>(),
            of::<[u8; 3]>(),
            of::<HashMap<u8, u8>>(),
            of::<Result<u8, u8>>(),
        ];
        assert_eq!(HashSet::from(all).len(), all.len());
    }

    #[test]
    fn request_result_and_stream_each_count() {
        let (u8, u64) = (u8::SCHEMA, u64::SCHEMA);
        let all = [
            fingerprint(u8, u64),
            fingerprint(u64, u8),
            fingerprint(u8, u8),
            stream_fingerprint(u8, u64),
            stream_fingerprint(u8, u8),
        ];
        assert_eq!(HashSet::from(all).len(), all.len());
    }

    #[test]
    fn an_opaque_type_is_its_name() {
        #[farcall::data]
        struct A(#[remote(opaque)] std::num::Wrapping<u8>);
        #[farcall::data]
        struct B(#[remote(opaque)] std::num::Wrapping<u8>);
        #[farcall::data]
        struct C(#[remote(opaque)] std::num::Saturating<u8>);
        assert_eq!(of::<A>(), of::<B>());
        assert_ne!(of::<A>(), of::<C>());
    }
}
