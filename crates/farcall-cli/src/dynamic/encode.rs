//! JSON to bytes.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use postcard_schema::schema::owned::{
    OwnedDataModelType as Ty, OwnedNamedType, OwnedNamedValue, OwnedNamedVariant,
};
use serde_json::{Map, Value};

use super::path::{At, Problem};
use super::{Content, integer, is_bytes, is_word, varint};

/// The bytes of a JSON value in this layout.
pub(crate) fn encode(layout: &OwnedNamedType, json: &Value) -> Result<Vec<u8>, Problem> {
    let mut out = Vec::new();
    value(layout, json, &At::TOP, &mut out)?;
    Ok(out)
}

fn value(named: &OwnedNamedType, json: &Value, at: &At<'_>, out: &mut Vec<u8>) -> Result<(), Problem> {
    if let Some((name, bits, signed)) = integer(&named.ty) {
        return number(name, bits, signed, json, at, out);
    }
    if let (true, Value::String(text)) = (is_bytes(&named.ty), json) {
        let Ok(bytes) = STANDARD.decode(text) else {
            return Err(at.problem("expected bytes as base64 or as a list of numbers, found another string"));
        };
        varint::write(bytes.len() as u128, out);
        out.extend_from_slice(&bytes);
        return Ok(());
    }
    match (&named.ty, json) {
        (Ty::Bool, Value::Bool(value)) => out.push(u8::from(*value)),
        (Ty::F32 | Ty::F64, json) => float(named.ty == Ty::F32, json, at, out)?,
        (Ty::Char, Value::String(value)) if value.chars().count() == 1 => text(value, out),
        (Ty::String, Value::String(value)) => text(value, out),
        (Ty::ByteArray, Value::Array(items)) => {
            varint::write(items.len() as u128, out);
            for (index, item) in items.iter().enumerate() {
                number("u8", 8, false, item, &at.index(index)?, out)?;
            }
        }
        (Ty::Option(_), Value::Null) => out.push(0),
        (Ty::Option(inner), json) => {
            out.push(1);
            value(inner, json, &at.within()?, out)?;
        }
        (Ty::Unit | Ty::UnitStruct, Value::Null) => {}
        (Ty::NewtypeStruct(inner), json) => value(inner, json, &at.within()?, out)?,
        (Ty::Seq(element), Value::Array(items)) => {
            varint::write(items.len() as u128, out);
            for (index, item) in items.iter().enumerate() {
                value(element, item, &at.index(index)?, out)?;
            }
        }
        (Ty::Tuple(types) | Ty::TupleStruct(types), json) => tuple(types, json, at, out)?,
        (Ty::Map { key, val }, json) => map(key, val, json, at, out)?,
        (Ty::Struct(fields), json) => structure(fields, json, at, out)?,
        (Ty::Enum(variants), json) => enumeration(named, variants, json, at, out)?,
        (Ty::Schema, _) => {
            let why = "is opaque: its layout is not described, so it can only be sent by a program";
            return Err(at.problem(format!("the type {} {why}", named.name)));
        }
        (ty, json) => return Err(mismatch(expected(ty), json, at)),
    }
    Ok(())
}

/// What a value of this kind looks like in JSON.
fn expected(ty: &Ty) -> &'static str {
    match ty {
        Ty::Bool => "bool",
        Ty::Char => "a string of one character",
        Ty::String => "string",
        Ty::Unit | Ty::UnitStruct => "null",
        Ty::ByteArray => "bytes as base64 or as a list of numbers",
        Ty::Seq(element) if element.ty == Ty::U8 => "bytes as base64 or as a list of numbers",
        _ => "array",
    }
}

fn mismatch(expected: impl std::fmt::Display, json: &Value, at: &At<'_>) -> Problem {
    let found = match json {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => format!("{value}"),
        Value::Number(number) => format!("number {}", shortened(number.as_str())),
        Value::String(_) => "string".to_owned(),
        Value::Array(items) => format!("array of {}", items.len()),
        Value::Object(_) => "object".to_owned(),
    };
    at.problem(format!("expected {expected}, found {found}"))
}

/// A long number needs not be repeated whole.
fn shortened(number: &str) -> &str {
    const SHOWN: usize = 48;
    number.get(..SHOWN).unwrap_or(number)
}

fn text(value: &str, out: &mut Vec<u8>) {
    varint::write(value.len() as u128, out);
    out.extend_from_slice(value.as_bytes());
}

fn number(
    name: &str,
    bits: u32,
    signed: bool,
    json: &Value,
    at: &At<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Problem> {
    let written = match json {
        Value::Number(number) => number.as_str(),
        // Many JSON tools cannot write integers of this size.
        Value::String(text) if bits == 128 => text,
        other => return Err(mismatch(name, other, at)),
    };
    let shift = 128 - bits;
    if signed {
        let (min, max) = (i128::MIN >> shift, i128::MAX >> shift);
        let number = written.parse().ok().filter(|number| (min..=max).contains(number));
        let number = number.ok_or_else(|| mismatch(format!("{name} ({min} to {max})"), json, at))?;
        match i8::try_from(number) {
            Ok(byte) if bits == 8 => out.push(byte.cast_unsigned()),
            _ => varint::write(varint::zigzag(number), out),
        }
    } else {
        let max = u128::MAX >> shift;
        let number = written.parse().ok().filter(|number| *number <= max);
        let number = number.ok_or_else(|| mismatch(format!("{name} (0 to {max})"), json, at))?;
        match u8::try_from(number) {
            Ok(byte) if bits == 8 => out.push(byte),
            _ => varint::write(number, out),
        }
    }
    Ok(())
}

fn float(short: bool, json: &Value, at: &At<'_>, out: &mut Vec<u8>) -> Result<(), Problem> {
    let name = if short { "f32" } else { "f64" };
    let written = match json {
        Value::Number(number) => number.as_str(),
        Value::String(text) if ["NaN", "Infinity", "-Infinity"].contains(&text.as_str()) => text,
        other => return Err(mismatch(format!("{name}, \"NaN\", \"Infinity\" or \"-Infinity\""), other, at)),
    };
    let named = json.is_string();
    let too_large = || mismatch(format!("a number that {name} can hold"), json, at);
    // Each is read from the text at its own size: rounding twice would not always give the nearest value.
    if short {
        let number: f32 =
            written.parse().ok().filter(|number: &f32| named || number.is_finite()).ok_or_else(too_large)?;
        out.extend_from_slice(&number.to_le_bytes());
    } else {
        let number: f64 =
            written.parse().ok().filter(|number: &f64| named || number.is_finite()).ok_or_else(too_large)?;
        out.extend_from_slice(&number.to_le_bytes());
    }
    Ok(())
}

fn tuple(types: &[OwnedNamedType], json: &Value, at: &At<'_>, out: &mut Vec<u8>) -> Result<(), Problem> {
    let Value::Array(items) = json else {
        return Err(mismatch(format!("array of {}", types.len()), json, at));
    };
    if items.len() != types.len() {
        return Err(mismatch(format!("array of {}", types.len()), json, at));
    }
    for (index, (ty, item)) in types.iter().zip(items).enumerate() {
        value(ty, item, &at.index(index)?, out)?;
    }
    Ok(())
}

fn map(
    key_type: &OwnedNamedType,
    value_type: &OwnedNamedType,
    json: &Value,
    at: &At<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Problem> {
    match json {
        Value::Object(entries) if is_word(key_type) => {
            varint::write(entries.len() as u128, out);
            for (key, item) in entries {
                let at = at.key(key)?;
                value(key_type, &key_value(key_type, key), &at, out)?;
                value(value_type, item, &at, out)?;
            }
        }
        Value::Array(pairs) => {
            varint::write(pairs.len() as u128, out);
            for (index, pair) in pairs.iter().enumerate() {
                let at = at.index(index)?;
                let Some([key, item]) = pair.as_array().map(Vec::as_slice) else {
                    return Err(mismatch("a pair [key, value]", pair, &at));
                };
                value(key_type, key, &at.index(0)?, out)?;
                value(value_type, item, &at.index(1)?, out)?;
            }
        }
        other if is_word(key_type) => return Err(mismatch("object", other, at)),
        other => return Err(mismatch("array of pairs [key, value]", other, at)),
    }
    Ok(())
}

/// A name of a JSON object as the JSON value that it stands for: `{"7": ..}` may have a number as its key.
fn key_value(key_type: &OwnedNamedType, key: &str) -> Value {
    let mut ty = &key_type.ty;
    while let Ty::NewtypeStruct(inner) = ty {
        ty = &inner.ty;
    }
    let is_text = matches!(ty, Ty::String | Ty::Char | Ty::Enum(_));
    let other =
        || serde_json::from_str(key).ok().filter(|value: &Value| value.is_number() || value.is_boolean());
    let read = if is_text { None } else { other() };
    read.unwrap_or_else(|| Value::String(key.to_owned()))
}

fn structure(
    fields: &[OwnedNamedValue],
    json: &Value,
    at: &At<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Problem> {
    let Value::Object(given) = json else { return Err(mismatch("object", json, at)) };
    refuse_unknown(fields, given, at)?;
    for field in fields {
        let here = at.field(&field.name)?;
        match given.get(&field.name) {
            Some(json) => value(&field.ty, json, &here, out)?,
            None if matches!(field.ty.ty, Ty::Option(_)) => out.push(0),
            None => return Err(here.problem(format!("missing: {}", super::inline(&field.ty)))),
        }
    }
    Ok(())
}

fn refuse_unknown(
    fields: &[OwnedNamedValue],
    given: &Map<String, Value>,
    at: &At<'_>,
) -> Result<(), Problem> {
    let known = |name: &String| fields.iter().any(|field| field.name == *name);
    let Some(unknown) = given.keys().find(|name| !known(name)) else { return Ok(()) };
    let names = fields.iter().map(|field| field.name.as_str());
    Err(at.field(unknown)?.problem(format!("no such field; {}", there_are("fields", names))))
}

/// The names there are, the first of them.
fn there_are<'a>(what: &str, names: impl Iterator<Item = &'a str>) -> String {
    const SHOWN: usize = 16;
    let all: Vec<&str> = names.collect();
    let shown = all.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
    match all.len() {
        0 => format!("it has no {what}"),
        count if count > SHOWN => format!("the {what} are {shown}, and {} more", count - SHOWN),
        _ => format!("the {what} are {shown}"),
    }
}

fn enumeration(
    named: &OwnedNamedType,
    variants: &[OwnedNamedVariant],
    json: &Value,
    at: &At<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Problem> {
    let (name, content) = match json {
        Value::String(name) => (name, &Value::Null),
        Value::Object(entries) => match (entries.iter().next(), entries.len()) {
            (Some(entry), 1) => entry,
            _ => return Err(mismatch("an object with one name, that of a variant", json, at)),
        },
        other => return Err(mismatch("the name of a variant, or {\"Variant\": ..}", other, at)),
    };
    let Some((index, variant)) = variants.iter().enumerate().find(|(_, variant)| variant.name == *name)
    else {
        let names = variants.iter().map(|variant| variant.name.as_str());
        return Err(at.problem(format!("no such variant {name:?}; {}", there_are("variants", names))));
    };
    varint::write(index as u128, out);
    let at = at.field(name)?;
    match Content::of(named, variant) {
        Content::Nothing if content.is_null() => Ok(()),
        Content::Nothing => Err(mismatch("nothing: write the variant as a string", content, &at)),
        Content::One(inner) => value(inner, content, &at, out),
        Content::Many(types) => tuple(types, content, &at, out),
        Content::Fields(fields) => structure(fields, content, &at, out),
    }
}
