//! Held against the postcard crate, and against payloads that lie.

use std::{
    cell::Cell,
    collections::{BTreeMap, HashMap, HashSet},
};

use proptest::prelude::*;
use serde::{
    Deserialize,
    de::{MapAccess, SeqAccess, Visitor},
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

/// As [`Hinted`], of a map.
#[derive(Debug, PartialEq)]
struct HintedMap;

impl<'de> Deserialize<'de> for HintedMap {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = HintedMap;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<HintedMap, A::Error> {
                HINT.set(map.size_hint());
                while map.next_entry::<u8, u8>()?.is_some() {}
                Ok(HintedMap)
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

#[test]
fn a_map_reserves_no_more_entries_than_bytes_are_left() {
    assert_eq!(decode_value::<HintedMap>(&[2, 1, 1, 2, 2]), Ok(HintedMap));
    assert_eq!(HINT.get(), Some(2));
    assert_eq!(decode_value::<HintedMap>(&HUGE), Err(DecodeError::Short));
    assert_eq!(HINT.get(), None);
}

/// Everything that serde knows.
#[derive(Debug, Clone, PartialEq, Serialize, serde::Deserialize)]
enum Any {
    Unit,
    Numbers(u8, u16, u32, u64, u128, usize),
    Signed { a: i8, b: i16, c: i32, d: i64, e: i128, f: isize },
    Text(String, char, Option<char>),
    Floats(f32, f64, bool),
    Bytes(#[serde(with = "super::super::bytes")] Vec<u8>),
    List(Vec<Any>),
    Map(BTreeMap<String, i32>),
    Nested(Box<Wrapped>, (), (u8, bool)),
}

#[derive(Debug, Clone, PartialEq, Serialize, serde::Deserialize)]
struct Wrapped(Option<Any>);

/// Numbers of every length, not only long ones.
fn number() -> impl Strategy<Value = u128> {
    (any::<u128>(), 0_u32..128).prop_map(|(value, shift)| value >> shift)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "any number will do")]
fn any_value() -> impl Strategy<Value = Any> {
    let leaf = prop_oneof![
        Just(Any::Unit),
        [number(), number(), number(), number(), number(), number()].prop_map(|[a, b, c, d, e, f]| {
            Any::Numbers(a as u8, b as u16, c as u32, d as u64, e, f as usize)
        }),
        [number(), number(), number(), number(), number(), number()].prop_map(|[a, b, c, d, e, f]| {
            Any::Signed { a: a as i8, b: b as i16, c: c as i32, d: d as i64, e: e as i128, f: f as isize }
        }),
        (any::<String>(), any::<char>(), any::<Option<char>>()).prop_map(|(a, b, c)| Any::Text(a, b, c)),
        (any::<f32>(), any::<f64>(), any::<bool>())
            .prop_filter("not a number is not equal to itself", |(a, b, _)| !a.is_nan() && !b.is_nan())
            .prop_map(|(a, b, c)| Any::Floats(a, b, c)),
        prop::collection::vec(any::<u8>(), 0..200).prop_map(Any::Bytes),
        prop::collection::btree_map(any::<String>(), any::<i32>(), 0..4).prop_map(Any::Map),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Any::List),
            prop::option::of(inner).prop_map(|any| Any::Nested(Box::new(Wrapped(any)), (), (7, true))),
        ]
    })
}

/// What the postcard crate says to a payload.
fn theirs(payload: &[u8]) -> Result<Any, DecodeError> {
    use postcard::Error;
    match postcard::take_from_bytes::<Any>(payload) {
        Ok((value, [])) => Ok(value),
        Ok((_, rest)) => Err(DecodeError::Trailing { bytes: rest.len() }),
        Err(error) => Err(match error {
            Error::DeserializeUnexpectedEnd => DecodeError::Short,
            Error::DeserializeBadVarint => DecodeError::Malformed("an integer that is too long for its type"),
            Error::DeserializeBadBool => DecodeError::Malformed("a bool that is neither 0 nor 1"),
            Error::DeserializeBadChar => DecodeError::Malformed("a char that is not one"),
            Error::DeserializeBadUtf8 => DecodeError::Malformed("text that is not UTF-8"),
            Error::DeserializeBadOption => DecodeError::Malformed("an option that is neither 0 nor 1"),
            Error::SerdeDeCustom => DecodeError::Refused,
            other => panic!("an error that was not thought of: {other:?}"),
        }),
    }
}

#[test]
fn integers_at_every_boundary_are_written_and_read_as_postcard_does() {
    for shift in 0..64 {
        for value in [1_u64 << shift, (1 << shift) - 1, u64::MAX >> shift] {
            assert_eq!(encoded(&value), postcard::to_stdvec(&value).unwrap(), "{value:#x}");
            assert_eq!(decode_value::<u64>(&encoded(&value)), Ok(value));
            // With more behind it, which is read another way.
            let pair = (value, [0xFF_u8; 10]);
            assert_eq!(decode_value::<(u64, [u8; 10])>(&encoded(&pair)), Ok(pair));
            let wide = u128::from(value) << 64 | u128::from(value);
            assert_eq!(encoded(&wide), postcard::to_stdvec(&wide).unwrap(), "{wide:#x}");
        }
    }
    let wide: Vec<i128> = vec![0, -1, 1, i128::MIN, i128::MAX];
    assert_eq!(encoded(&wide), postcard::to_stdvec(&wide).unwrap());
    assert_eq!(decode_value::<Vec<i128>>(&encoded(&wide)), Ok(wide));
}

proptest! {
    #[test]
    fn any_value_has_the_bytes_that_postcard_gives_it(value in any_value()) {
        let payload = encoded(&value);
        prop_assert_eq!(&payload, &postcard::to_stdvec(&value).unwrap());
        prop_assert_eq!(decode_value::<Any>(&payload), Ok(value));
    }

    #[test]
    fn a_damaged_payload_is_read_as_postcard_reads_it(
        value in any_value(),
        cut in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut payload = encoded(&value);
        let index = at.index(payload.len());
        payload[index] = byte;
        let same = |ours: Result<Any, DecodeError>, theirs: Result<Any, DecodeError>| {
            // Numbers that are none are not equal, not even to themselves.
            format!("{ours:?}") == format!("{theirs:?}")
        };
        prop_assert!(same(decode_value(&payload), theirs(&payload)), "{:?}", payload);
        let cut = &payload[..cut.index(payload.len())];
        prop_assert!(same(decode_value(cut), theirs(cut)), "{:?}", cut);
    }

    #[test]
    fn any_bytes_are_the_integers_that_postcard_takes_them_for(bytes in prop::collection::vec(prop_oneof![any::<u8>(), 0x80_u8..=0xFF], 0..24)) {
        macro_rules! agree {
            ($($int:ty)*) => {$(
                let ours = { let mut reader = Reader(&bytes); <$int>::deserialize(&mut reader).ok().map(|value| (value, reader.0)) };
                prop_assert_eq!(ours, postcard::take_from_bytes::<$int>(&bytes).ok());
            )*};
        }
        agree! { u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize }
    }
}
