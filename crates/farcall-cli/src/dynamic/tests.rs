//! The measure is serde: what it writes as JSON and as postcard for a real type, the layout alone must give too.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use farcall::message::{Schema, decode_value, encode_value};
use postcard_schema::schema::owned::{OwnedDataModelType, OwnedNamedType, OwnedNamedValue};
use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::*;

fn layout<T: Schema>() -> OwnedNamedType {
    T::SCHEMA.into()
}

fn bytes_of<T: Schema>(json: &str) -> Result<Vec<u8>, String> {
    let json: Value = serde_json::from_str(json).unwrap();
    encode(&layout::<T>(), &json).map_err(|problem| problem.to_string())
}

fn json_of(layout: &OwnedNamedType, payload: &[u8]) -> Result<String, String> {
    let mut out = Vec::new();
    match write(layout, payload, Look::Compact, &mut out) {
        Ok(()) => Ok(String::from_utf8(out).unwrap()),
        Err(WriteError::Malformed(why)) => Err(why),
        Err(WriteError::Output(error)) => panic!("{error}"),
    }
}

fn postcard_of<T: Serialize + 'static>(value: &T) -> Vec<u8> {
    let mut out = Vec::new();
    encode_value(value, &mut out).unwrap();
    out
}

/// What serde says of this value is what the layout says.
fn agrees<T: Schema + Serialize + 'static>(value: &T) -> Result<(), TestCaseError> {
    let (json, payload) = (serde_json::to_string(value).unwrap(), postcard_of(value));
    prop_assert_eq!(bytes_of::<T>(&json), Ok(payload.clone()), "{}", &json);
    prop_assert_eq!(json_of(&layout::<T>(), &payload), Ok(json));
    prop_assert_eq!(check(&layout::<T>(), &payload), Ok(()));
    Ok(())
}

/// What is shown can be sent again and is then the same value.
fn returns<T: Schema + Serialize + DeserializeOwned + PartialEq + Debug + 'static>(
    value: &T,
) -> Result<(), TestCaseError> {
    let payload = postcard_of(value);
    let json = json_of(&layout::<T>(), &payload).unwrap();
    let again = bytes_of::<T>(&json).unwrap();
    prop_assert_eq!(&decode_value::<T>(&again).unwrap(), value, "{}", json);
    Ok(())
}

#[farcall::data]
#[derive(Debug, Clone, PartialEq)]
struct Order {
    number: u64,
    weight: f32,
    exact: f64,
    label: String,
    initial: char,
    urgent: bool,
    note: Option<String>,
    lines: Vec<Line>,
    by_name: BTreeMap<String, i16>,
    by_number: BTreeMap<u32, Shape>,
    corner: (i8, u8, i64),
    huge: (u128, i128),
    nothing: (),
    #[serde(rename = "type")]
    kind: Shape,
    wrapped: Meters,
    pair: Pair,
    unit: Marker,
    either: Result<u8, Shape>,
}

#[farcall::data]
#[derive(Debug, Clone, PartialEq)]
struct Line {
    item: u16,
    codes: [u32; 3],
}

#[farcall::data]
#[derive(Debug, Clone, PartialEq)]
enum Shape {
    Nothing,
    Square(u32),
    Rect(u32, i32),
    Circle { radius: f64, name: Option<String> },
}

#[farcall::data]
#[derive(Debug, Clone, PartialEq)]
struct Meters(i32);

#[farcall::data]
#[derive(Debug, Clone, PartialEq)]
struct Pair(u8, String);

#[farcall::data]
#[derive(Debug, Clone, PartialEq)]
struct Marker;

#[farcall::data]
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Color {
    Red,
    Green,
}

#[farcall::data]
#[derive(Debug, Clone, PartialEq)]
struct Blob {
    whole: Vec<u8>,
    parts: Vec<Vec<u8>>,
    maybe: Option<Vec<u8>>,
    odd: BTreeMap<(u8, bool), Color>,
    colors: BTreeMap<Color, u8>,
    flags: BTreeMap<bool, char>,
    set: BTreeSet<i32>,
    either: Result<u8, String>,
}

#[farcall::data]
#[derive(Debug, PartialEq)]
struct Secret {
    before: u8,
    #[remote(opaque)]
    id: std::num::NonZeroU8,
}

fn shape() -> impl Strategy<Value = Shape> {
    prop_oneof![
        Just(Shape::Nothing),
        any::<u32>().prop_map(Shape::Square),
        any::<(u32, i32)>().prop_map(|(a, b)| Shape::Rect(a, b)),
        (-1e300..1e300f64, any::<Option<String>>()).prop_map(|(radius, name)| Shape::Circle { radius, name }),
    ]
}

fn line() -> impl Strategy<Value = Line> {
    any::<(u16, [u32; 3])>().prop_map(|(item, codes)| Line { item, codes })
}

fn order() -> impl Strategy<Value = Order> {
    let numbers =
        (any::<u64>(), -1e30..1e30f32, -1e300..1e300f64, any::<(i8, u8, i64)>(), any::<(u128, i128)>());
    let words = any::<(String, char, bool, Option<String>)>();
    let many = (
        prop::collection::vec(line(), 0..4),
        prop::collection::btree_map(any::<String>(), any::<i16>(), 0..4),
        prop::collection::btree_map(any::<u32>(), shape(), 0..4),
    );
    let rest = (shape(), any::<i32>(), any::<(u8, String)>(), any::<bool>());
    (numbers, words, many, rest).prop_map(|(numbers, words, many, rest)| Order {
        number: numbers.0,
        weight: numbers.1,
        exact: numbers.2,
        label: words.0,
        initial: words.1,
        urgent: words.2,
        note: words.3,
        lines: many.0,
        by_name: many.1,
        by_number: many.2,
        corner: numbers.3,
        huge: numbers.4,
        nothing: (),
        kind: rest.0,
        wrapped: Meters(rest.1),
        pair: Pair(rest.2.0, rest.2.1),
        unit: Marker,
        either: if rest.3 { Ok(numbers.3.1) } else { Err(Shape::Square(7)) },
    })
}

fn blob() -> impl Strategy<Value = Blob> {
    let color = || prop_oneof![Just(Color::Red), Just(Color::Green)];
    let bytes = any::<(Vec<u8>, Vec<Vec<u8>>, Option<Vec<u8>>)>();
    let maps = (
        prop::collection::btree_map(any::<(u8, bool)>(), color(), 0..4),
        prop::collection::btree_map(color(), any::<u8>(), 0..2),
        prop::collection::btree_map(any::<bool>(), any::<char>(), 0..2),
        prop::collection::btree_set(any::<i32>(), 0..4),
    );
    (bytes, maps, any::<Result<u8, String>>()).prop_map(|(bytes, maps, either)| Blob {
        whole: bytes.0,
        parts: bytes.1,
        maybe: bytes.2,
        odd: maps.0,
        colors: maps.1,
        flags: maps.2,
        set: maps.3,
        either,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn json_and_bytes_are_those_that_serde_writes(order in order()) {
        agrees(&order)?;
    }

    #[test]
    fn what_json_cannot_hold_comes_back_all_the_same(blob in blob(), a: f32, b: f64) {
        returns(&blob)?;
        let (a_bytes, b_bytes) = (postcard_of(&a), postcard_of(&b));
        let a_back = bytes_of::<f32>(&json_of(&layout::<f32>(), &a_bytes).unwrap()).unwrap();
        let b_back = bytes_of::<f64>(&json_of(&layout::<f64>(), &b_bytes).unwrap()).unwrap();
        prop_assert!(a.is_nan() || a_back == a_bytes);
        prop_assert!(b.is_nan() || b_back == b_bytes);
    }

    #[test]
    fn damaged_bytes_are_read_or_refused_as_the_type_itself_does(
        order in order(), at: prop::sample::Index, byte: u8, cut: prop::sample::Index,
    ) {
        let mut payload = postcard_of(&order);
        let place = at.index(payload.len());
        payload[place] = byte;
        payload.truncate(cut.index(payload.len()) + 1);
        let theirs = decode_value::<Order>(&payload).is_ok();
        prop_assert_eq!(check(&layout::<Order>(), &payload).is_ok(), theirs);
    }

    #[test]
    fn any_bytes_in_any_layout_are_an_answer_or_an_error(payload in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = check(&layout::<Blob>(), &payload);
        let _ = check(&layout::<Secret>(), &payload);
        let _ = check(&layout::<Vec<()>>(), &payload);
    }
}

#[test]
fn special_floats_are_written_as_words_because_null_would_not_come_back() {
    let floats = vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0];
    let json = json_of(&layout::<Vec<f64>>(), &postcard_of(&floats)).unwrap();
    assert_eq!(json, r#"["NaN","Infinity","-Infinity",-0.0]"#);
    let back: Vec<f64> = decode_value(&bytes_of::<Vec<f64>>(&json).unwrap()).unwrap();
    assert!(back[0].is_nan());
    assert_eq!(back[1..], floats[1..]);
}

#[test]
fn an_error_names_the_place_what_was_expected_and_what_was_found() {
    let order = r#"{"item":1,"codes":[1,2,"x"]}"#;
    assert_eq!(bytes_of::<Line>(order).unwrap_err(), "at .codes[2]: expected u32, found string");
    let problem = |json| bytes_of::<Vec<Line>>(json).unwrap_err();
    assert_eq!(problem("[7]"), "at [0]: expected object, found number 7");
    assert_eq!(
        problem(r#"[{"item":70000,"codes":[]}]"#),
        "at [0].item: expected u16 (0 to 65535), found number 70000"
    );
    assert_eq!(
        problem(r#"[{"item":1.5,"codes":[]}]"#),
        "at [0].item: expected u16 (0 to 65535), found number 1.5"
    );
    assert_eq!(problem(r#"[{"item":1}]"#), "at [0].codes: missing: [u32; 3]");
    assert_eq!(problem(r#"[{"items":1}]"#), "at [0].items: no such field; the fields are item, codes");
    assert_eq!(problem(r#"[{"item":1,"codes":[1]}]"#), "at [0].codes: expected array of 3, found array of 1");
    assert_eq!(bytes_of::<u8>("null").unwrap_err(), "at the top: expected u8, found null");
    assert_eq!(
        bytes_of::<f32>("1e+39").unwrap_err(),
        "at the top: expected a number that f32 can hold, found number 1e+39"
    );
    let map = bytes_of::<BTreeMap<u8, u8>>(r#"{"a":1}"#).unwrap_err();
    assert_eq!(map, r#"at ["a"]: expected u8, found string"#);
    let shape = |json| bytes_of::<Shape>(json).unwrap_err();
    assert_eq!(
        shape("\"Cube\""),
        r#"at the top: no such variant "Cube"; the variants are Nothing, Square, Rect, Circle"#
    );
    assert_eq!(
        shape(r#"{"Circle":{"radius":"wide"}}"#).split(" expected").next(),
        Some("at .Circle.radius:")
    );
    assert_eq!(
        bytes_of::<Vec<u8>>("\"no base64!\"").unwrap_err().split(',').next(),
        Some("at the top: expected bytes as base64 or as a list of numbers")
    );
}

#[test]
fn a_field_that_may_be_none_may_be_left_out() {
    let shown = bytes_of::<Shape>(r#"{"Circle":{"radius":1}}"#).unwrap();
    let shape: Shape = decode_value(&shown).unwrap();
    assert_eq!(shape, Shape::Circle { radius: 1.0, name: None });
}

#[test]
fn bytes_may_be_given_as_base64_or_as_numbers() {
    assert_eq!(bytes_of::<Vec<u8>>("\"AAEC\"").unwrap(), [3, 0, 1, 2]);
    assert_eq!(bytes_of::<Vec<u8>>("[0,1,2]").unwrap(), [3, 0, 1, 2]);
    assert_eq!(json_of(&layout::<Vec<u8>>(), &[3, 0, 1, 2]).unwrap(), "\"AAEC\"");
}

#[test]
fn integers_that_other_json_tools_cannot_write_may_be_strings() {
    let max = u128::MAX;
    assert_eq!(bytes_of::<u128>(&format!("\"{max}\"")).unwrap(), postcard_of(&max));
    assert_eq!(bytes_of::<u128>(&max.to_string()).unwrap(), postcard_of(&max));
    assert!(bytes_of::<u64>("\"1\"").is_err());
}

#[test]
fn an_opaque_type_is_refused_by_name_in_both_directions() {
    let refused = bytes_of::<Secret>(r#"{"before":1,"id":7}"#).unwrap_err();
    assert!(refused.starts_with("at .id: the type std::num::NonZeroU8 is opaque"), "{refused}");
    let refused = json_of(&layout::<Secret>(), &[1, 7]).unwrap_err();
    assert!(refused.starts_with("at .id: the type std::num::NonZeroU8 is opaque"), "{refused}");
    assert_eq!(opaque(&layout::<Vec<Secret>>()), Some("std::num::NonZeroU8"));
    assert_eq!(opaque(&layout::<Order>()), None);
}

#[test]
fn elements_that_take_no_bytes_are_bounded_and_so_is_depth() {
    let huge = postcard_of(&u64::MAX);
    let refused = json_of(&layout::<Vec<()>>(), &huge).unwrap_err();
    assert!(refused.contains("too many elements that take no bytes"), "{refused}");
    let mut deep = layout::<u8>();
    for _ in 0..1000 {
        deep =
            OwnedNamedType { name: "Deep".to_owned(), ty: OwnedDataModelType::NewtypeStruct(Box::new(deep)) };
    }
    assert!(encode(&deep, &Value::from(1)).unwrap_err().to_string().contains("deeper than"));
    assert!(json_of(&deep, &[1]).unwrap_err().contains("deeper than"));
    let _ = (example(&deep), definitions(&deep), inline(&deep), opaque(&deep));
}

#[test]
fn every_example_can_be_sent() {
    fn sendable<T: Schema + DeserializeOwned + 'static>() {
        let example = example(&layout::<T>());
        let payload = bytes_of::<T>(&example).unwrap_or_else(|problem| panic!("{example}: {problem}"));
        assert!(decode_value::<T>(&payload).is_ok(), "{example}");
    }
    sendable::<Order>();
    sendable::<Blob>();
    sendable::<Shape>();
    sendable::<Marker>();
    sendable::<Pair>();
    sendable::<BTreeMap<Meters2, Shape>>();
    assert_eq!(example(&layout::<Line>()), r#"{"item":0,"codes":[0,0,0]}"#);
    assert_eq!(example(&layout::<Secret>()), r#"{"before":0,"id":"<std::num::NonZeroU8>"}"#);
}

#[farcall::data]
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Meters2(i64);

#[test]
fn a_layout_reads_like_rust_and_each_type_comes_once() {
    let shown = definitions(&layout::<Blob>());
    assert_eq!(shown[0].lines().nth(3).unwrap(), "    maybe: Option<Vec<u8>>,");
    assert!(shown[0].contains("odd: BTreeMap<(u8, bool), Color>,"), "{}", shown[0]);
    assert!(shown[0].contains("set: BTreeSet<i32>,"));
    assert!(shown[0].contains("either: Result<u8, String>,"));
    assert_eq!(shown[1], "enum Color {\n    Red,\n    Green,\n}");
    assert_eq!(shown.len(), 2);
    let shown = definitions(&layout::<Shape>());
    assert!(shown[0].contains("    Circle { radius: f64, name: Option<String> },"));
    assert_eq!(definitions(&layout::<Marker>()), ["struct Marker;"]);
    assert_eq!(definitions(&layout::<Meters>()), ["struct Meters(i32);"]);
    assert_eq!(definitions(&layout::<Vec<u64>>()), Vec::<String>::new());
    assert_eq!(inline(&layout::<Vec<Option<[u8; 4]>>>()), "Vec<Option<[u8; 4]>>");
}

#[test]
fn types_of_one_name_that_differ_are_told_apart() {
    let named = |ty| OwnedNamedType { name: "Page".to_owned(), ty };
    let field = |name: &str, ty| OwnedNamedValue { name: name.to_owned(), ty };
    let one = named(OwnedDataModelType::TupleStruct(vec![layout::<u8>()]));
    let other = named(OwnedDataModelType::TupleStruct(vec![layout::<String>()]));
    let both = OwnedDataModelType::Struct(vec![field("a", one.clone()), field("b", other), field("c", one)]);
    let shown = definitions(&OwnedNamedType { name: "Both".to_owned(), ty: both });
    assert_eq!(
        shown,
        [
            "struct Both {\n    a: Page,\n    b: Page_2,\n    c: Page,\n}",
            "struct Page(u8);",
            "struct Page_2(String);",
        ]
    );
}
