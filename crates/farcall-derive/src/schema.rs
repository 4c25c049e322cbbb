//! Writes the `Schema` of a type: what travels, in order, with names.
//!
//! It differs from the derive of `postcard-schema` in what it leaves out (skipped fields) and in what it does not
//! look into (opaque ones).

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{Data, DeriveInput, Field, Fields, GenericParam, parse_quote, spanned::Spanned};

use crate::{attrs, written};

pub(crate) fn implement(item: &DeriveInput) -> syn::Result<TokenStream> {
    let name = attrs::of_item(item)?;
    let layout = match &item.data {
        Data::Struct(data) => struct_layout(&data.fields)?,
        Data::Enum(data) => {
            let mut variants = Vec::new();
            for variant in &data.variants {
                let (name, layout) = (attrs::of_variant(variant)?, variant_layout(&variant.fields)?);
                variants
                    .push(quote!(&::farcall::message::schema::NamedVariant { name: #name, ty: &#layout }));
            }
            quote!(::farcall::message::schema::DataModelType::Enum(&[#(#variants),*]))
        }
        Data::Union(data) => {
            return Err(syn::Error::new_spanned(data.union_token, "a union has no layout that can cross"));
        }
    };
    let mut generics = item.generics.clone();
    for param in &mut generics.params {
        if let GenericParam::Type(param) = param {
            param.bounds.push(parse_quote!(::farcall::message::Schema));
        }
    }
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
    let ident = &item.ident;
    let bytes = if item.generics.params.is_empty() { check_bytes(&item.data)? } else { TokenStream::new() };
    Ok(quote! {
        #bytes

        #[automatically_derived]
        impl #impl_generics ::farcall::message::Schema for #ident #type_generics #where_clause {
            const SCHEMA: &'static ::farcall::message::schema::NamedType =
                &::farcall::message::schema::NamedType { name: #name, ty: &#layout };
        }
    })
}

/// That the `Bytes` of the fields which travel are those that have the schema of `Vec<u8>`.
fn check_bytes(data: &Data) -> syn::Result<TokenStream> {
    let fields: Vec<&Field> = match data {
        Data::Struct(data) => data.fields.iter().collect(),
        Data::Enum(data) => data.variants.iter().flat_map(|variant| &variant.fields).collect(),
        Data::Union(_) => Vec::new(),
    };
    let mut found = Vec::new();
    for field in fields {
        let attrs = attrs::of_field(field)?;
        if !attrs.skipped && attrs.opaque.is_none() {
            found.extend(written::in_schema(&field.ty).1);
        }
    }
    Ok(written::check_bytes(&found))
}

fn struct_layout(fields: &Fields) -> syn::Result<TokenStream> {
    let kind = quote!(::farcall::message::schema::DataModelType);
    Ok(match Layout::of(fields)? {
        Layout::Unit => quote!(#kind::UnitStruct),
        Layout::Newtype(inner) => quote!(#kind::NewtypeStruct(#inner)),
        Layout::Tuple(types) => quote!(#kind::TupleStruct(&[#(#types),*])),
        Layout::Named(fields) => quote!(#kind::Struct(&[#(#fields),*])),
    })
}

fn variant_layout(fields: &Fields) -> syn::Result<TokenStream> {
    let kind = quote!(::farcall::message::schema::DataModelVariant);
    Ok(match Layout::of(fields)? {
        Layout::Unit => quote!(#kind::UnitVariant),
        Layout::Newtype(inner) => quote!(#kind::NewtypeVariant(#inner)),
        Layout::Tuple(types) => quote!(#kind::TupleVariant(&[#(#types),*])),
        Layout::Named(fields) => quote!(#kind::StructVariant(&[#(#fields),*])),
    })
}

/// The four forms that structs and variants share.
enum Layout {
    Unit,
    Newtype(TokenStream),
    Tuple(Vec<TokenStream>),
    Named(Vec<TokenStream>),
}

impl Layout {
    fn of(fields: &Fields) -> syn::Result<Self> {
        let mut layouts = Vec::new();
        for field in fields {
            if let Some(layout) = field_layout(field)? {
                layouts.push(layout);
            }
        }
        match fields {
            Fields::Unit => Ok(Self::Unit),
            Fields::Named(_) => Ok(Self::Named(layouts)),
            Fields::Unnamed(fields) if fields.unnamed.len() == 1 => match layouts.pop() {
                Some(inner) => Ok(Self::Newtype(inner)),
                None => Err(syn::Error::new_spanned(fields, "the only field cannot be skipped")),
            },
            Fields::Unnamed(_) => Ok(Self::Tuple(layouts)),
        }
    }
}

/// One field's entry, or `None` if it does not travel.
fn field_layout(field: &Field) -> syn::Result<Option<TokenStream>> {
    let attrs = attrs::of_field(field)?;
    if attrs.skipped {
        return Ok(None);
    }
    let ty = &field.ty;
    let layout = match attrs.opaque {
        Some(name) => quote! {
            &::farcall::message::schema::NamedType {
                name: #name,
                ty: &::farcall::message::schema::DataModelType::Schema
            }
        },
        // The span makes "has no Schema" point at the type of the field.
        None => {
            let (ty, _) = written::in_schema(ty);
            quote_spanned!(ty.span()=> <#ty as ::farcall::message::Schema>::SCHEMA)
        }
    };
    let Some(ident) = &field.ident else { return Ok(Some(layout)) };
    let name = attrs.rename.unwrap_or_else(|| attrs::plain(ident));
    Ok(Some(quote!(&::farcall::message::schema::NamedValue { name: #name, ty: #layout })))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(item: DeriveInput) -> String {
        implement(&item).unwrap().to_string()
    }

    #[test]
    fn a_struct_lists_its_fields_in_order() {
        let expected = quote! {
            #[automatically_derived]
            impl ::farcall::message::Schema for Put {
                const SCHEMA: &'static ::farcall::message::schema::NamedType =
                    &::farcall::message::schema::NamedType {
                        name: "Put",
                        ty: &::farcall::message::schema::DataModelType::Struct(&[
                            &::farcall::message::schema::NamedValue {
                                name: "type",
                                ty: <u8 as ::farcall::message::Schema>::SCHEMA
                            },
                            &::farcall::message::schema::NamedValue {
                                name: "uuid",
                                ty: &::farcall::message::schema::NamedType {
                                    name: "uuid::Uuid",
                                    ty: &::farcall::message::schema::DataModelType::Schema
                                }
                            }
                        ])
                    };
            }
        };
        let item = parse_quote! {
            struct Put {
                r#type: u8,
                #[serde(skip)]
                cache: Cache,
                #[serde(rename = "uuid")]
                #[remote(opaque)]
                id: uuid::Uuid,
            }
        };
        assert_eq!(schema(item), expected.to_string());
    }

    #[test]
    fn type_parameters_need_a_schema_too() {
        let text = schema(parse_quote!(
            struct Page<T: Clone>(Vec<T>)
            where
                T: Ord;
        ));
        let expected = quote! {
            impl<T: Clone + ::farcall::message::Schema> ::farcall::message::Schema for Page<T> where T: Ord
        };
        assert!(text.contains(&expected.to_string()), "{text}");
    }

    #[test]
    fn a_newtype_cannot_skip_its_field() {
        let error = implement(&parse_quote!(
            struct A(#[serde(skip)] u8);
        ))
        .unwrap_err();
        assert_eq!(error.to_string(), "the only field cannot be skipped");
    }
}
