//! `#[farcall::data]`: serde and a schema, for a message and for everything inside one.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{
    Attribute, Data, DeriveInput, Field, Fields, Item, Path, Token, parse_quote, punctuated::Punctuated,
};

use crate::{attrs, schema, written};

pub(crate) fn expand(args: TokenStream, item: TokenStream) -> TokenStream {
    try_expand(args, item).unwrap_or_else(syn::Error::into_compile_error)
}

fn try_expand(args: TokenStream, item: TokenStream) -> syn::Result<TokenStream> {
    if !args.is_empty() {
        return Err(syn::Error::new_spanned(args, "#[farcall::data] has no options"));
    }
    let item = parse(item, "#[farcall::data]")?;
    if let Some(lifetime) = item.generics.lifetimes().next() {
        return Err(syn::Error::new_spanned(
            lifetime,
            "data that crosses must own what it contains: no lifetimes",
        ));
    }
    implement(item)
}

/// Reads the item under an attribute, which `attribute` names.
pub(crate) fn parse(item: TokenStream, attribute: &str) -> syn::Result<DeriveInput> {
    let item: Item = syn::parse2(item)?;
    match item {
        Item::Struct(item) => Ok(item.into()),
        Item::Enum(item) => Ok(item.into()),
        other => {
            let text = format!("{attribute} goes on a struct or an enum");
            Err(syn::Error::new_spanned(other, text))
        }
    }
}

/// The item with serde's derives, and its schema.
pub(crate) fn implement(mut item: DeriveInput) -> syn::Result<TokenStream> {
    refuse_own_derives(&item.attrs)?;
    let schema = schema::implement(&item)?;
    prepare_fields(&mut item)?;
    Ok(quote! {
        #[derive(::farcall::__private::serde::Serialize, ::farcall::__private::serde::Deserialize)]
        #[serde(crate = "::farcall::__private::serde")]
        #item
        #schema
    })
}

/// A second derive of the same trait is an error anyway; this one says what to do about it.
fn refuse_own_derives(attrs: &[Attribute]) -> syn::Result<()> {
    for attr in attrs.iter().filter(|attr| attr.path().is_ident("derive")) {
        for path in attr.parse_args_with(Punctuated::<Path, Token![,]>::parse_terminated)? {
            let Some(name) = path.segments.last().map(|segment| segment.ident.to_string()) else { continue };
            if WRITTEN_HERE.contains(&name.as_str()) {
                let text = format!("farcall already implements {name} here; take it out of the derive");
                return Err(syn::Error::new_spanned(path, text));
            }
        }
    }
    Ok(())
}

const WRITTEN_HERE: [&str; 4] = ["Serialize", "Deserialize", "Schema", "Message"];

/// Takes our attributes off the fields and puts serde's on plain bytes.
fn prepare_fields(item: &mut DeriveInput) -> syn::Result<()> {
    let prepare = |fields: &mut Fields| fields.iter_mut().try_for_each(prepare_field);
    match &mut item.data {
        Data::Struct(data) => prepare(&mut data.fields),
        Data::Enum(data) => data.variants.iter_mut().try_for_each(|variant| prepare(&mut variant.fields)),
        Data::Union(_) => Ok(()),
    }
}

fn prepare_field(field: &mut Field) -> syn::Result<()> {
    let attrs = attrs::of_field(field)?;
    field.attrs.retain(|attr| !attr.path().is_ident("remote"));
    if written::is_byte_vec(&field.ty) && !attrs.skipped && !attrs.has_own_code {
        field.attrs.push(parse_quote!(#[serde(with = "::farcall::message::bytes")]));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use quote::ToTokens;

    use super::*;

    fn refusal(item: TokenStream) -> String {
        try_expand(quote!(), item).unwrap_err().to_string()
    }

    fn expanded(item: TokenStream) -> String {
        try_expand(quote!(), item).unwrap().to_string()
    }

    #[test]
    fn serde_is_derived_through_farcall() {
        let text = expanded(quote! {
            #[derive(Debug)]
            pub struct Point { x: i32 }
        });
        let expected = quote! {
            #[derive(::farcall::__private::serde::Serialize, ::farcall::__private::serde::Deserialize)]
            #[serde(crate = "::farcall::__private::serde")]
            #[derive(Debug)]
            pub struct Point { x: i32 }
        };
        assert!(text.starts_with(&expected.to_string()), "{text}");
    }

    #[test]
    fn plain_bytes_become_a_block_and_nothing_else_does() {
        let text = expanded(quote! {
            enum Blob {
                A(Vec<u8>),
                B { bytes: ::std::vec::Vec<u8>, other: Option<Vec<u8>>, words: Vec<u16> },
                C(#[serde(with = "serde_bytes")] Vec<u8>),
                D { #[serde(skip)] cache: Vec<u8>, #[serde(deserialize_with = "f")] checked: Vec<u8> },
            }
        });
        let expected: Item = parse_quote! {
            enum Blob {
                A(#[serde(with = "::farcall::message::bytes")] Vec<u8>),
                B {
                    #[serde(with = "::farcall::message::bytes")] bytes: ::std::vec::Vec<u8>,
                    other: Option<Vec<u8>>, words: Vec<u16>
                },
                C(#[serde(with = "serde_bytes")] Vec<u8>),
                D { #[serde(skip)] cache: Vec<u8>, #[serde(deserialize_with = "f")] checked: Vec<u8> },
            }
        };
        assert!(text.contains(&expected.into_token_stream().to_string()), "{text}");
    }

    #[test]
    fn our_own_attributes_do_not_reach_the_compiler() {
        let text = expanded(quote!(
            struct A {
                #[remote(opaque)]
                #[doc = "kept"]
                x: Foreign,
            }
        ));
        assert!(
            text.contains(
                &quote!(
                    struct A {
                        #[doc = "kept"]
                        x: Foreign,
                    }
                )
                .to_string()
            ),
            "{text}"
        );
    }

    #[test]
    fn derives_that_would_collide_are_named() {
        assert_eq!(
            refusal(quote!(
                #[derive(Debug, serde::Serialize)]
                struct A;
            )),
            "farcall already implements Serialize here; take it out of the derive"
        );
        assert_eq!(
            refusal(quote!(
                #[derive(Message)]
                struct A;
            )),
            "farcall already implements Message here; take it out of the derive"
        );
    }

    #[test]
    fn only_owned_structs_and_enums_without_options() {
        let wrong = "#[farcall::data] goes on a struct or an enum";
        assert_eq!(
            refusal(quote!(
                fn f() {}
            )),
            wrong
        );
        assert_eq!(refusal(quote!(union U { a: u8 })), wrong);
        assert_eq!(
            refusal(quote!(
                struct A<'a>(&'a str);
            )),
            "data that crosses must own what it contains: no lifetimes"
        );
        let error = try_expand(
            quote!(name = "x"),
            quote!(
                struct A;
            ),
        )
        .unwrap_err();
        assert_eq!(error.to_string(), "#[farcall::data] has no options");
    }
}
