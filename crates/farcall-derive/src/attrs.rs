//! What serde's attributes, and our own, say about the wire form.
//!
//! postcard writes no field names and cannot look ahead, so some of serde's attributes would fail with every
//! message at run time, or make the schema a lie. They are refused while compiling.

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::{
    Attribute, DeriveInput, Expr, ExprLit, Field, Ident, Lit, Meta, Token, Variant, ext::IdentExt,
    punctuated::Punctuated,
};

use crate::written;

/// What a field's attributes say.
#[derive(Default)]
pub(crate) struct FieldAttrs {
    /// `#[serde(rename = "..")]`.
    pub(crate) rename: Option<String>,
    /// `#[serde(skip)]`: it does not travel.
    pub(crate) skipped: bool,
    /// It is written or read by code of the user's.
    pub(crate) has_own_code: bool,
    /// Its layout is only a name: `#[remote(opaque)]`, or written by code of the user's.
    pub(crate) opaque: Option<String>,
}

pub(crate) fn of_field(field: &Field) -> syn::Result<FieldAttrs> {
    let mut found = FieldAttrs { opaque: remote_opaque(field)?, ..FieldAttrs::default() };
    let (mut skip_written, mut skip_read) = (None, None);
    for option in serde_options(&field.attrs)? {
        match name_of(&option).as_str() {
            "rename" => found.rename = text_of(&option),
            "skip" => found.skipped = true,
            "skip_serializing" => skip_written = Some(option),
            "skip_deserializing" => skip_read = Some(option),
            "with" | "serialize_with" => {
                found.has_own_code = true;
                let code = text_of(&option).unwrap_or_default();
                if !writes_a_block(&code, &field.ty) {
                    found
                        .opaque
                        .get_or_insert_with(|| format!("{} with {code}", written::as_written(&field.ty)));
                }
            }
            "deserialize_with" => found.has_own_code = true,
            name @ ("flatten" | "skip_serializing_if") => return Err(cannot_cross(&option, name)),
            _ => {}
        }
    }
    match (skip_written, skip_read) {
        (None, None) => {}
        (Some(_), Some(_)) => found.skipped = true,
        (Some(option), None) | (None, Some(option)) => {
            let text =
                "a field that is only written or only read shifts all fields after it; use #[serde(skip)]";
            return Err(syn::Error::new_spanned(option, text));
        }
    }
    Ok(found)
}

/// The variant's name in the schema.
pub(crate) fn of_variant(variant: &Variant) -> syn::Result<String> {
    refuse_remote(&variant.attrs)?;
    let mut rename = None;
    for option in serde_options(&variant.attrs)? {
        match name_of(&option).as_str() {
            "rename" => rename = text_of(&option),
            "skip" | "skip_serializing" | "skip_deserializing" => {
                let text = "a variant is known by its position on the wire, so none can be skipped";
                return Err(syn::Error::new_spanned(option, text));
            }
            name @ ("untagged" | "with" | "serialize_with" | "deserialize_with") => {
                return Err(cannot_cross(&option, name));
            }
            _ => {}
        }
    }
    Ok(rename.unwrap_or_else(|| plain(&variant.ident)))
}

/// The type's name in the schema.
pub(crate) fn of_item(item: &DeriveInput) -> syn::Result<String> {
    refuse_remote(&item.attrs)?;
    let mut rename = None;
    for option in serde_options(&item.attrs)? {
        match name_of(&option).as_str() {
            "rename" => rename = text_of(&option),
            name @ ("tag" | "content" | "untagged" | "from" | "try_from" | "into" | "remote") => {
                return Err(cannot_cross(&option, name));
            }
            _ => {}
        }
    }
    Ok(rename.unwrap_or_else(|| plain(&item.ident)))
}

/// An identifier without `r#`.
pub(crate) fn plain(ident: &Ident) -> String {
    ident.unraw().to_string()
}

/// These write a `Vec<u8>` exactly as its schema says, only faster.
fn writes_a_block(code: &str, ty: &syn::Type) -> bool {
    let known = ["serde_bytes", "serde_bytes::serialize"].contains(&code)
        || code.ends_with("::message::bytes")
        || code.ends_with("::message::bytes::serialize");
    known && written::is_byte_vec(ty)
}

fn remote_opaque(field: &Field) -> syn::Result<Option<String>> {
    let mut opaque = None;
    for attr in field.attrs.iter().filter(|attr| attr.path().is_ident("remote")) {
        let option: TokenStream = attr.parse_args()?;
        if option.to_string() != "opaque" {
            return Err(syn::Error::new_spanned(attr, "a field has one option: #[remote(opaque)]"));
        }
        opaque = Some(written::as_written(&field.ty));
    }
    Ok(opaque)
}

fn refuse_remote(attrs: &[Attribute]) -> syn::Result<()> {
    match attrs.iter().find(|attr| attr.path().is_ident("remote")) {
        Some(attr) => Err(syn::Error::new_spanned(attr, "#[remote(opaque)] goes on a field")),
        None => Ok(()),
    }
}

fn cannot_cross(option: &Meta, name: &str) -> syn::Error {
    let text =
        format!("#[serde({name})] gives a wire form that cannot cross or that the schema would not show");
    syn::Error::new_spanned(option, text)
}

/// The options in all `#[serde(..)]` of an item, a variant or a field.
fn serde_options(attrs: &[Attribute]) -> syn::Result<Vec<Meta>> {
    let mut options = Vec::new();
    for attr in attrs.iter().filter(|attr| attr.path().is_ident("serde")) {
        options.extend(attr.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated)?);
    }
    Ok(options)
}

fn name_of(option: &Meta) -> String {
    option.path().to_token_stream().to_string()
}

fn text_of(option: &Meta) -> Option<String> {
    match option {
        Meta::NameValue(pair) => match &pair.value {
            Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.value()),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use syn::parse_quote;

    use super::*;

    fn field(tokens: TokenStream) -> syn::Result<FieldAttrs> {
        let item: syn::ItemStruct = parse_quote!(struct A { #tokens });
        of_field(item.fields.iter().next().unwrap())
    }

    fn refusal<T>(result: syn::Result<T>) -> String {
        match result {
            Ok(_) => panic!("accepted"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_field_is_read_from_all_its_attributes() {
        let attrs = field(parse_quote!(#[serde(rename = "b", default)] #[serde(skip)] a: u8)).unwrap();
        assert_eq!(attrs.rename.as_deref(), Some("b"));
        assert!(attrs.skipped && !attrs.has_own_code && attrs.opaque.is_none());
        let attrs = field(parse_quote!(#[serde(skip_serializing, skip_deserializing)] a: u8)).unwrap();
        assert!(attrs.skipped);
    }

    #[test]
    fn code_of_the_users_hides_the_layout() {
        let opaque = |tokens| field(tokens).unwrap().opaque;
        assert_eq!(opaque(parse_quote!(#[remote(opaque)] a: x::Y<u8>)).as_deref(), Some("x::Y<u8>"));
        assert_eq!(
            opaque(parse_quote!(#[serde(with = "hex")] a: [u8; 4])).as_deref(),
            Some("[u8;4] with hex")
        );
        assert_eq!(
            opaque(parse_quote!(#[serde(with = "hex")] #[remote(opaque)] a: u8)).as_deref(),
            Some("u8")
        );
        assert_eq!(opaque(parse_quote!(#[serde(with = "serde_bytes")] a: Vec<u8>)), None);
        assert!(opaque(parse_quote!(#[serde(with = "serde_bytes")] a: [u8; 4])).is_some());
        assert_eq!(opaque(parse_quote!(#[serde(deserialize_with = "checked")] a: u8)), None);
    }

    #[test]
    fn what_postcard_cannot_do_is_refused() {
        let wire = |name: &str| {
            format!("#[serde({name})] gives a wire form that cannot cross or that the schema would not show")
        };
        assert_eq!(refusal(field(parse_quote!(#[serde(flatten)] a: B))), wire("flatten"));
        assert_eq!(
            refusal(field(parse_quote!(#[serde(skip_serializing_if = "f")] a: u8))),
            wire("skip_serializing_if")
        );
        assert_eq!(
            refusal(field(parse_quote!(#[serde(skip_deserializing)] a: u8))),
            "a field that is only written or only read shifts all fields after it; use #[serde(skip)]"
        );
        assert_eq!(
            refusal(of_item(&parse_quote!(
                #[serde(tag = "t")]
                enum A {}
            ))),
            wire("tag")
        );
        assert_eq!(
            refusal(of_item(&parse_quote!(
                #[serde(untagged)]
                enum A {}
            ))),
            wire("untagged")
        );
        assert_eq!(
            refusal(of_item(&parse_quote!(
                #[serde(into = "B")]
                struct A;
            ))),
            wire("into")
        );
        assert_eq!(
            refusal(of_variant(&parse_quote!(
                #[serde(with = "f")]
                A(u8)
            ))),
            wire("with")
        );
        assert_eq!(
            refusal(of_variant(&parse_quote!(
                #[serde(skip)]
                A
            ))),
            "a variant is known by its position on the wire, so none can be skipped"
        );
    }

    #[test]
    fn our_attribute_is_one_word_on_a_field() {
        let text = "a field has one option: #[remote(opaque)]";
        assert_eq!(refusal(field(parse_quote!(#[remote(opaqe)] a: u8))), text);
        assert_eq!(
            refusal(of_item(&parse_quote!(
                #[remote(opaque)]
                struct A;
            ))),
            "#[remote(opaque)] goes on a field"
        );
        assert_eq!(
            refusal(of_variant(&parse_quote!(
                #[remote(opaque)]
                A
            ))),
            "#[remote(opaque)] goes on a field"
        );
    }
}
