//! Layouts as a person reads them: like Rust, each type once.

use std::fmt::Write;

use postcard_schema::schema::owned::{OwnedDataModelType as Ty, OwnedNamedType, OwnedNamedValue};

use super::{Content, DEPTH_MAX, integer, is_result};

/// The definitions of a type and of all types in it, each as lines of text; none for a type that Rust has by itself.
pub(crate) fn definitions(layout: &OwnedNamedType) -> Vec<String> {
    let mut book = Book::default();
    let mut definitions = Vec::new();
    book.name(layout, DEPTH_MAX);
    // Defining a type may enter others, which then come after it.
    while let Some((named, shown)) = book.entries.get(definitions.len()).cloned() {
        definitions.push(book.define(named, &shown));
    }
    definitions
}

/// A type as one writes it in a field: `Vec<Option<u8>>`, `Point`.
pub(crate) fn inline(layout: &OwnedNamedType) -> String {
    Book::default().name(layout, DEPTH_MAX)
}

/// The name of the first opaque type in a layout: one that only programs can read and write.
pub(crate) fn opaque(layout: &OwnedNamedType) -> Option<&str> {
    opaque_within(layout, DEPTH_MAX)
}

fn opaque_within(named: &OwnedNamedType, depth: usize) -> Option<&str> {
    let depth = depth.checked_sub(1)?;
    match &named.ty {
        Ty::Schema => Some(&named.name),
        Ty::Option(inner) | Ty::NewtypeStruct(inner) | Ty::Seq(inner) => opaque_within(inner, depth),
        Ty::Tuple(types) | Ty::TupleStruct(types) => types.iter().find_map(|ty| opaque_within(ty, depth)),
        Ty::Map { key, val } => opaque_within(key, depth).or_else(|| opaque_within(val, depth)),
        Ty::Struct(fields) => fields.iter().find_map(|field| opaque_within(&field.ty, depth)),
        Ty::Enum(variants) => variants.iter().find_map(|variant| match Content::of(named, variant) {
            Content::Nothing => None,
            Content::One(inner) => opaque_within(inner, depth),
            Content::Many(types) => types.iter().find_map(|ty| opaque_within(ty, depth)),
            Content::Fields(fields) => fields.iter().find_map(|field| opaque_within(&field.ty, depth)),
        }),
        _ => None,
    }
}

/// The types met so far that have definitions of their own, with the names they are shown by.
#[derive(Default)]
struct Book<'a> {
    entries: Vec<(&'a OwnedNamedType, String)>,
}

impl<'a> Book<'a> {
    fn name(&mut self, named: &'a OwnedNamedType, depth: usize) -> String {
        let Some(depth) = depth.checked_sub(1) else { return "..".to_owned() };
        if let Some((name, ..)) = integer(&named.ty) {
            return name.to_owned();
        }
        match &named.ty {
            Ty::Bool => "bool".to_owned(),
            Ty::F32 => "f32".to_owned(),
            Ty::F64 => "f64".to_owned(),
            Ty::Char => "char".to_owned(),
            Ty::String => "String".to_owned(),
            Ty::ByteArray => "Vec<u8>".to_owned(),
            Ty::Unit => "()".to_owned(),
            Ty::Option(inner) => format!("Option<{}>", self.name(inner, depth)),
            Ty::Seq(element) => format!("{}<{}>", container(named, "Vec"), self.name(element, depth)),
            Ty::Map { key, val } => {
                let (key, val) = (self.name(key, depth), self.name(val, depth));
                format!("{}<{key}, {val}>", container(named, "Map"))
            }
            Ty::Tuple(types) => match types.as_slice() {
                [first, .., last] if types.len() > 2 && types.iter().all(|ty| ty == last) => {
                    format!("[{}; {}]", self.name(first, depth), types.len())
                }
                types => format!("({})", self.names(types, depth)),
            },
            Ty::Enum(variants) if is_result(named) => {
                let one = |variant| match Content::of(named, variant) {
                    Content::One(inner) => self.name(inner, depth),
                    _ => "..".to_owned(),
                };
                let both: Vec<String> = variants.iter().map(one).collect();
                format!("Result<{}>", both.join(", "))
            }
            Ty::Schema => format!("opaque {}", named.name),
            _ => self.enter(named),
        }
    }

    fn names(&mut self, types: &'a [OwnedNamedType], depth: usize) -> String {
        types.iter().map(|ty| self.name(ty, depth)).collect::<Vec<_>>().join(", ")
    }

    /// The name of a type with a definition; types of one name that differ are numbered.
    fn enter(&mut self, named: &'a OwnedNamedType) -> String {
        if let Some((_, shown)) = self.entries.iter().find(|(known, _)| *known == named) {
            return shown.clone();
        }
        let shown = match self.entries.iter().filter(|(known, _)| known.name == named.name).count() {
            0 => named.name.clone(),
            others => format!("{}_{}", named.name, others + 1),
        };
        self.entries.push((named, shown.clone()));
        shown
    }

    fn define(&mut self, named: &'a OwnedNamedType, shown: &str) -> String {
        match &named.ty {
            Ty::NewtypeStruct(inner) => format!("struct {shown}({});", self.name(inner, DEPTH_MAX)),
            Ty::TupleStruct(types) => format!("struct {shown}({});", self.names(types, DEPTH_MAX)),
            Ty::Struct(fields) if fields.is_empty() => format!("struct {shown} {{}}"),
            Ty::Struct(fields) => {
                let mut text = format!("struct {shown} {{\n");
                for field in fields {
                    let _ = writeln!(text, "    {}: {},", field.name, self.name(&field.ty, DEPTH_MAX));
                }
                text + "}"
            }
            Ty::Enum(variants) => {
                let mut text = format!("enum {shown} {{\n");
                for variant in variants {
                    let content = match Content::of(named, variant) {
                        Content::Nothing => String::new(),
                        Content::One(inner) => format!("({})", self.name(inner, DEPTH_MAX)),
                        Content::Many(types) => format!("({})", self.names(types, DEPTH_MAX)),
                        Content::Fields(fields) => self.fields_on_one_line(fields),
                    };
                    let _ = writeln!(text, "    {}{content},", variant.name);
                }
                text + "}"
            }
            _ => format!("struct {shown};"),
        }
    }

    fn fields_on_one_line(&mut self, fields: &'a [OwnedNamedValue]) -> String {
        let each =
            |field: &'a OwnedNamedValue| format!("{}: {}", field.name, self.name(&field.ty, DEPTH_MAX));
        format!(" {{ {} }}", fields.iter().map(each).collect::<Vec<_>>().join(", "))
    }
}

/// `BTreeSet` of `BTreeSet<K>`; `otherwise` for a type that is not written so.
fn container<'a>(named: &'a OwnedNamedType, otherwise: &'a str) -> &'a str {
    match named.name.split_once('<') {
        Some((name, _)) if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric()) => name,
        _ => otherwise,
    }
}
