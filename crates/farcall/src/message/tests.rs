//! The macros as their users meet them.

use std::marker::PhantomData;

use actix::Message;
use postcard_schema::Schema;

use super::{
    schema::{DataModelType, DataModelVariant},
    *,
};

#[farcall::message(result = u64)]
#[derive(Debug, PartialEq)]
struct Add {
    amount: u64,
}

#[farcall::data]
struct ScaleV1(u8);

#[farcall::message(name = "demo.scale", version = 2)]
struct ScaleV2 {
    by: u16,
}

#[farcall::message(name = "demo.scale", version = 3, from(1 = ScaleV1, 2 = ScaleV2))]
#[derive(Debug, PartialEq)]
struct Scale {
    by: u32,
    offset: i32,
}

impl From<ScaleV1> for Scale {
    fn from(old: ScaleV1) -> Self {
        Self { by: old.0.into(), offset: 0 }
    }
}

impl From<ScaleV2> for Scale {
    fn from(old: ScaleV2) -> Self {
        Self { by: old.by.into(), offset: 0 }
    }
}

fn encoded<M: RemoteMessage>(message: &M) -> Vec<u8> {
    let mut out = Vec::new();
    message.encode(&mut out).unwrap();
    out
}

#[test]
fn a_message_needs_one_line() {
    fn result_of<M: Message<Result = u64>>(_: &M) {}
    let add = Add { amount: 300 };
    result_of(&add);
    assert_eq!(encoded(&add), [0xAC, 0x02]);
    assert_eq!(Add::decode(1, &[0xAC, 0x02]), Ok(add));

    let info = Add::INFO;
    assert_eq!((info.name, info.version, info.stream), ("Add", 1, false));
    assert_eq!(info.request, Add::SCHEMA);
    assert_eq!(info.result, u64::SCHEMA);
    assert_eq!(info.fingerprint, fingerprint(Add::SCHEMA, u64::SCHEMA));
    assert!(info.older.is_empty());
}

#[test]
fn older_layouts_are_read_and_described() {
    assert_eq!(Scale::decode(3, &[5, 3]), Ok(Scale { by: 5, offset: -2 }));
    assert_eq!(Scale::decode(2, &[5]), Ok(Scale { by: 5, offset: 0 }));
    assert_eq!(Scale::decode(1, &[255]), Ok(Scale { by: 255, offset: 0 }));

    let versions: Vec<u16> = Scale::INFO.versions().collect();
    assert_eq!(versions, [3, 1, 2]);
    assert_eq!(Scale::INFO.fingerprint_of(2), Some(ScaleV2::INFO.fingerprint));
    assert_eq!(Scale::INFO.fingerprint_of(3), Some(Scale::INFO.fingerprint));
    assert_eq!(Scale::INFO.fingerprint_of(4), None);
    assert_ne!(Scale::INFO.fingerprint, ScaleV2::INFO.fingerprint);
}

#[test]
fn an_unknown_version_names_the_known_ones() {
    let error = Scale::decode(7, &[1]).unwrap_err();
    assert_eq!(error, DecodeError::UnknownVersion { version: 7, info: Scale::INFO });
    assert_eq!(error.to_string(), "message demo.scale has no version 7 here, only 3, 1, 2");
}

#[test]
fn a_payload_must_be_exactly_one_message() {
    assert_eq!(Add::decode(1, &[1, 2]), Err(DecodeError::Trailing { bytes: 1 }));
    assert_eq!(Add::decode(1, &[]), Err(DecodeError::Short));
    assert_eq!(Scale::decode(1, &[1, 2]), Err(DecodeError::Trailing { bytes: 1 }));
}

#[farcall::message(result = Result<Vec<u8>, String>)]
#[derive(Debug, PartialEq, Clone)]
#[serde(rename_all = "camelCase")]
enum Store {
    Flush,
    Blob(Vec<u8>),
    Both(u8, std::vec::Vec<u8>),
    #[serde(rename = "keyed")]
    Put {
        key: String,
        #[serde(rename = "content")]
        value: Vec<u8>,
        #[serde(skip)]
        cached: bool,
    },
}

#[test]
fn every_form_of_variant_crosses_with_plain_bytes_as_a_block() {
    let block = || vec![1, 2, 255];
    for (message, payload) in [
        (Store::Flush, vec![0]),
        (Store::Blob(block()), vec![1, 3, 1, 2, 255]),
        (Store::Both(9, block()), vec![2, 9, 3, 1, 2, 255]),
        (Store::Put { key: "k".to_owned(), value: block(), cached: false }, vec![3, 1, b'k', 3, 1, 2, 255]),
    ] {
        assert_eq!(encoded(&message), payload);
        assert_eq!(Store::decode(1, &payload), Ok(message));
    }
}

#[test]
fn a_schema_follows_renames_and_leaves_skipped_fields_out() {
    let DataModelType::Enum(variants) = Store::SCHEMA.ty else { panic!("not an enum") };
    let names: Vec<_> = variants.iter().map(|variant| variant.name).collect();
    assert_eq!(names, ["Flush", "Blob", "Both", "keyed"]);
    let DataModelVariant::StructVariant(fields) = variants[3].ty else { panic!("not a struct variant") };
    let names: Vec<_> = fields.iter().map(|field| field.name).collect();
    assert_eq!(names, ["key", "content"]);
    assert_eq!(fields[1].ty, <Vec<u8>>::SCHEMA);
}

#[farcall::data]
#[derive(Debug, PartialEq)]
struct Page<T> {
    items: Vec<T>,
    next: Option<u64>,
}

#[farcall::data]
#[derive(Debug, PartialEq)]
struct Unit;

#[farcall::data]
#[derive(Debug, PartialEq)]
struct Pair(u8, Unit);

#[farcall::message(result = Page<Pair>)]
#[derive(Debug, PartialEq)]
struct Merge {
    page: Page<Pair>,
    #[remote(opaque)]
    wrapping: std::num::Wrapping<u16>,
}

#[test]
fn nested_data_may_be_generic_and_foreign_types_opaque() {
    let merge = Merge {
        page: Page { items: vec![Pair(1, Unit), Pair(2, Unit)], next: Some(4) },
        wrapping: std::num::Wrapping(5),
    };
    let payload = encoded(&merge);
    assert_eq!(payload, [2, 1, 2, 1, 4, 5]);
    assert_eq!(Merge::decode(1, &payload), Ok(merge));

    let DataModelType::Struct(fields) = Merge::SCHEMA.ty else { panic!("not a struct") };
    assert_eq!(fields[0].ty, <Page<Pair>>::SCHEMA);
    assert_eq!(fields[1].ty.name, "std::num::Wrapping<u16>");
    assert_eq!(fields[1].ty.ty, &DataModelType::Schema);
    assert_eq!(Unit::SCHEMA.ty, &DataModelType::UnitStruct);
    assert_eq!(Pair::SCHEMA.ty, &DataModelType::TupleStruct(&[u8::SCHEMA, Unit::SCHEMA]));
}

/// Writes a number as text.
mod as_text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(number: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(number)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[farcall::message]
#[derive(Debug, PartialEq)]
struct Custom {
    #[serde(with = "as_text")]
    number: u64,
    #[serde(with = "crate::message::bytes")]
    block: Vec<u8>,
}

#[test]
fn a_field_with_its_own_wire_form_works_and_does_not_pretend_to_have_a_schema() {
    let message = Custom { number: 42, block: vec![7] };
    let payload = encoded(&message);
    assert_eq!(payload, [2, b'4', b'2', 1, 7]);
    assert_eq!(Custom::decode(1, &payload), Ok(message));
    assert_eq!(Custom::decode(1, &[1, b'x', 0]), Err(DecodeError::Refused));

    let DataModelType::Struct(fields) = Custom::SCHEMA.ty else { panic!("not a struct") };
    assert_eq!(fields[0].ty.name, "u64 with as_text");
    assert_eq!(fields[0].ty.ty, &DataModelType::Schema);
    assert_eq!(fields[1].ty, <Vec<u8>>::SCHEMA);
}

/// Many items instead of a value; it is not `Serialize`, so it may be an [`Answer`] of its own.
struct ManyOf<T>(PhantomData<T>);

impl<T: Value> Answer for ManyOf<T> {
    const STREAM: bool = true;
    type Item = T;

    fn give(self, to: &mut dyn super::Answering) {
        to.items(Box::pin(futures::stream::empty()));
    }
}

#[test]
fn an_answer_is_a_value_or_a_stream() {
    fn describe<A: Answer<Item = u8>>() -> bool {
        A::STREAM
    }
    assert!(!describe::<u8>());
    assert!(describe::<ManyOf<u8>>());
}

mod blocks {
    use std::collections::BTreeMap;

    use ::bytes::Bytes;

    use super::*;

    mod with_vec {
        #[farcall::message(result = Result<Option<Vec<u8>>, String>, name = "demo.blocks")]
        pub(super) struct Blocks {
            pub(super) one: Vec<u8>,
            pub(super) perhaps: Option<Vec<u8>>,
            pub(super) many: Vec<Vec<u8>>,
            pub(super) named: std::collections::BTreeMap<String, (u8, Vec<u8>)>,
        }
    }

    #[farcall::message(result = Result<Option<::bytes::Bytes>, String>, name = "demo.blocks")]
    #[derive(Debug, PartialEq)]
    struct Blocks {
        one: Bytes,
        perhaps: Option<Bytes>,
        many: Vec<::bytes::Bytes>,
        named: BTreeMap<String, (u8, Bytes)>,
    }

    #[farcall::message(result = Bytes)]
    struct Fetch;

    #[farcall::message(stream = Bytes)]
    struct Follow;

    fn blocks() -> Blocks {
        let block = |len: usize| Bytes::from(vec![0xA5; len]);
        Blocks {
            one: block(300),
            perhaps: Some(block(0)),
            many: vec![block(1), block(2)],
            named: [("x".to_owned(), (7, block(128)))].into(),
        }
    }

    #[test]
    fn bytes_are_on_the_wire_and_in_the_fingerprint_what_a_vec_is() {
        let Blocks { one, perhaps, many, named } = blocks();
        let vec = |bytes: Bytes| bytes.to_vec();
        let other = with_vec::Blocks {
            one: vec(one),
            perhaps: perhaps.map(vec),
            many: many.into_iter().map(vec).collect(),
            named: named.into_iter().map(|(name, (number, bytes))| (name, (number, vec(bytes)))).collect(),
        };
        assert_eq!(encoded(&blocks()), encoded(&other));
        assert_eq!(Blocks::decode(1, &encoded(&other)), Ok(blocks()));
        assert_eq!(Blocks::INFO.fingerprint, with_vec::Blocks::INFO.fingerprint);
        assert_eq!(Blocks::INFO.request, with_vec::Blocks::INFO.request);
        assert_eq!((Fetch::INFO.result, Follow::INFO.result), (Vec::<u8>::SCHEMA, Vec::<u8>::SCHEMA));
    }

    #[test]
    fn a_length_beyond_the_payload_is_an_error_and_reserves_nothing() {
        let mut announced = vec![0xFF, 0xFF, 0xFF, 0xFF, 0x0F];
        announced.extend([1, 2, 3]);
        assert_eq!(decode_value::<Bytes>(&announced), Err(DecodeError::Short));
        assert_eq!(Blocks::decode(1, &announced), Err(DecodeError::Short));
    }

    #[test]
    fn bytes_are_read_with_one_copy_and_written_with_one() {
        let payload = encoded(&with_vec::Blocks {
            one: vec![7; 1 << 20],
            perhaps: None,
            many: Vec::new(),
            named: BTreeMap::new(),
        });
        let read = Blocks::decode(1, &payload).unwrap();
        // A vector that was grown or copied again would have room to spare or be another one.
        let block = read.one.try_into_mut().unwrap();
        assert_eq!((block.len(), block.capacity()), (1 << 20, 1 << 20));
        let mut out = Vec::with_capacity(payload.len());
        let place = out.as_ptr();
        encode_value(&block.freeze(), &mut out).unwrap();
        assert_eq!(out.as_ptr(), place);
    }
}
