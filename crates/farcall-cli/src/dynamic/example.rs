//! A value to begin with, for every layout: what a person copies, edits and sends.

use postcard_schema::schema::owned::{
    OwnedDataModelType as Ty, OwnedNamedType, OwnedNamedValue, OwnedNamedVariant,
};

use super::{Content, DEPTH_MAX, integer, is_bytes, is_word};

/// JSON on one line that [`encode`](super::encode()) takes; where a type is opaque, its name in angle brackets.
pub(crate) fn example(layout: &OwnedNamedType) -> String {
    let mut out = String::new();
    value(layout, DEPTH_MAX, &mut out);
    out
}

fn value(named: &OwnedNamedType, depth: usize, out: &mut String) {
    let Some(depth) = depth.checked_sub(1) else { return out.push_str("null") };
    if integer(&named.ty).is_some() {
        return out.push('0');
    }
    if is_bytes(&named.ty) {
        return quoted("AAEC", out);
    }
    match &named.ty {
        Ty::Bool => out.push_str("false"),
        Ty::F32 | Ty::F64 => out.push_str("0.5"),
        Ty::Char => quoted("a", out),
        Ty::String => quoted("text", out),
        Ty::NewtypeStruct(inner) => value(inner, depth, out),
        Ty::Seq(element) => {
            out.push('[');
            value(element, depth, out);
            out.push(']');
        }
        Ty::Tuple(types) | Ty::TupleStruct(types) => tuple(types, depth, out),
        Ty::Map { key, val } => map(key, val, depth, out),
        Ty::Struct(fields) => structure(fields, depth, out),
        Ty::Enum(variants) => match variants.first() {
            Some(variant) => first_variant(named, variant, depth, out),
            None => out.push_str("null"),
        },
        Ty::Schema => quoted(&format!("<{}>", named.name), out),
        // An option needs nothing, and a unit is nothing.
        _ => out.push_str("null"),
    }
}

fn first_variant(named: &OwnedNamedType, variant: &OwnedNamedVariant, depth: usize, out: &mut String) {
    let content = Content::of(named, variant);
    if matches!(content, Content::Nothing) {
        return quoted(&variant.name, out);
    }
    out.push('{');
    quoted(&variant.name, out);
    out.push(':');
    match content {
        Content::Nothing => {}
        Content::One(inner) => value(inner, depth, out),
        Content::Many(types) => tuple(types, depth, out),
        Content::Fields(fields) => structure(fields, depth, out),
    }
    out.push('}');
}

fn quoted(text: &str, out: &mut String) {
    out.push_str(&serde_json::Value::from(text).to_string());
}

fn tuple(types: &[OwnedNamedType], depth: usize, out: &mut String) {
    out.push('[');
    for (index, ty) in types.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        value(ty, depth, out);
    }
    out.push(']');
}

fn structure(fields: &[OwnedNamedValue], depth: usize, out: &mut String) {
    out.push('{');
    for (index, field) in fields.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        quoted(&field.name, out);
        out.push(':');
        value(&field.ty, depth, out);
    }
    out.push('}');
}

fn map(key: &OwnedNamedType, val: &OwnedNamedType, depth: usize, out: &mut String) {
    let word = is_word(key);
    out.push_str(if word { "{" } else { "[[" });
    let mut name = String::new();
    value(key, depth, &mut name);
    // The names of an object are strings, also when they stand for numbers.
    match word && !name.starts_with('"') {
        true => quoted(&name, out),
        false => out.push_str(&name),
    }
    out.push(if word { ':' } else { ',' });
    value(val, depth, out);
    out.push_str(if word { "}" } else { "]]" });
}
