//! `#[farcall::message]`: data, and what makes it a message.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{DeriveInput, Ident, Type};

use crate::{
    args::{AnswerType, MessageArgs, check_name},
    data, written,
};

pub(crate) fn expand(args: TokenStream, item: TokenStream) -> TokenStream {
    try_expand(args, item).unwrap_or_else(syn::Error::into_compile_error)
}

fn try_expand(args: TokenStream, item: TokenStream) -> syn::Result<TokenStream> {
    let item = data::parse(item, "#[farcall::message]")?;
    if !item.generics.params.is_empty() {
        return Err(syn::Error::new_spanned(
            &item.generics,
            "a message cannot be generic: its name on the wire stands for one layout; write one message per type, \
             or send a generic #[farcall::data] type inside it",
        ));
    }
    let args: MessageArgs = syn::parse2(args)?;
    let name = wire_name(&args, &item)?;
    let message = &item.ident;
    let message_impls = implement(message, &name, &args);
    let data = data::implement(item.clone())?;
    Ok(quote! { #data #message_impls })
}

fn wire_name(args: &MessageArgs, item: &DeriveInput) -> syn::Result<String> {
    if let Some(name) = &args.name {
        return Ok(name.value());
    }
    let name = item.ident.to_string();
    check_name(&name).map_err(|problem| {
        let text =
            format!("the type's name cannot be the message's name: {problem}; choose one with name = \"..\"");
        syn::Error::new_spanned(&item.ident, text)
    })?;
    Ok(name)
}

fn implement(message: &Ident, name: &str, args: &MessageArgs) -> TokenStream {
    let version = args.version;
    let (answer, sent, stream, fingerprint) = match &args.answer {
        AnswerType::Value(ty) => (quote!(#ty), ty, false, quote!(fingerprint)),
        AnswerType::Stream(ty) => (quote!(::farcall::Items<#ty>), ty, true, quote!(stream_fingerprint)),
    };
    let layout = |ty: &Type| quote!(<#ty as ::farcall::message::Schema>::SCHEMA);
    let request = quote!(<#message as ::farcall::message::Schema>::SCHEMA);
    let (sent, bytes) = written::in_schema(sent);
    let bytes = written::check_bytes(&bytes);
    let result = layout(&sent);
    let older_layouts = args.older.iter().map(|older| {
        let (version, request) = (older.version, layout(&older.ty));
        quote! {
            ::farcall::OlderLayout {
                version: #version,
                fingerprint: ::farcall::message::#fingerprint(#request, #result),
                request: ::farcall::message::bounded(#request),
            }
        }
    });
    let older_arms = args.older.iter().map(|older| {
        let (version, ty) = (older.version, &older.ty);
        quote! {
            #version => ::farcall::message::decode_value::<#ty>(payload).map(::core::convert::Into::into),
        }
    });
    quote! {
        #bytes

        #[automatically_derived]
        impl ::farcall::__private::actix::Message for #message {
            type Result = #answer;
        }

        #[automatically_derived]
        impl ::farcall::RemoteMessage for #message {
            const INFO: &'static ::farcall::MessageInfo = &::farcall::MessageInfo {
                name: #name,
                version: #version,
                fingerprint: ::farcall::message::#fingerprint(#request, #result),
                request: ::farcall::message::bounded(#request),
                result: ::farcall::message::bounded(#result),
                stream: #stream,
                older: &[#(#older_layouts),*],
            };

            fn decode(
                version: u16,
                payload: &[u8],
            ) -> ::core::result::Result<Self, ::farcall::DecodeError> {
                match version {
                    #version => ::farcall::message::decode_value::<Self>(payload),
                    #(#older_arms)*
                    version => ::core::result::Result::Err(::farcall::DecodeError::UnknownVersion {
                        version,
                        info: Self::INFO,
                    }),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(args: TokenStream, item: TokenStream) -> String {
        try_expand(args, item).unwrap_err().to_string()
    }

    #[test]
    fn a_message_is_data_and_two_impls() {
        let expanded = implement(
            &syn::parse_quote!(Add),
            "demo.add",
            &syn::parse_quote!(result = u64, version = 2, from(1 = AddV1)),
        );
        let expected = quote! {
            #[automatically_derived]
            impl ::farcall::__private::actix::Message for Add {
                type Result = u64;
            }

            #[automatically_derived]
            impl ::farcall::RemoteMessage for Add {
                const INFO: &'static ::farcall::MessageInfo = &::farcall::MessageInfo {
                    name: "demo.add",
                    version: 2u16,
                    fingerprint: ::farcall::message::fingerprint(
                        <Add as ::farcall::message::Schema>::SCHEMA,
                        <u64 as ::farcall::message::Schema>::SCHEMA
                    ),
                    request: ::farcall::message::bounded(<Add as ::farcall::message::Schema>::SCHEMA),
                    result: ::farcall::message::bounded(<u64 as ::farcall::message::Schema>::SCHEMA),
                    stream: false,
                    older: &[::farcall::OlderLayout {
                        version: 1u16,
                        fingerprint: ::farcall::message::fingerprint(
                            <AddV1 as ::farcall::message::Schema>::SCHEMA,
                            <u64 as ::farcall::message::Schema>::SCHEMA
                        ),
                        request: ::farcall::message::bounded(<AddV1 as ::farcall::message::Schema>::SCHEMA),
                    }],
                };

                fn decode(
                    version: u16,
                    payload: &[u8],
                ) -> ::core::result::Result<Self, ::farcall::DecodeError> {
                    match version {
                        2u16 => ::farcall::message::decode_value::<Self>(payload),
                        1u16 => ::farcall::message::decode_value::<AddV1>(payload).map(::core::convert::Into::into),
                        version => ::core::result::Result::Err(::farcall::DecodeError::UnknownVersion {
                            version,
                            info: Self::INFO,
                        }),
                    }
                }
            }
        };
        assert_eq!(expanded.to_string(), expected.to_string());
    }

    #[test]
    fn a_stream_answers_with_items_and_has_a_fingerprint_of_its_own() {
        let expanded = implement(&syn::parse_quote!(Watch), "Watch", &syn::parse_quote!(stream = Event));
        let text = expanded.to_string();
        for expected in [
            quote!(
                type Result = ::farcall::Items<Event>;
            ),
            quote!(stream: true),
            quote!(fingerprint: ::farcall::message::stream_fingerprint(
                <Watch as ::farcall::message::Schema>::SCHEMA,
                <Event as ::farcall::message::Schema>::SCHEMA
            )),
            quote!(result: ::farcall::message::bounded(<Event as ::farcall::message::Schema>::SCHEMA)),
        ] {
            assert!(text.contains(&expected.to_string()), "{expected} is not in {text}");
        }
    }

    #[test]
    fn generic_messages_are_refused() {
        for item in [
            quote!(
                struct Put<T> {
                    value: T,
                }
            ),
            quote!(
                struct Put<'a> {
                    value: &'a str,
                }
            ),
            quote!(
                struct Put<const N: usize>;
            ),
        ] {
            assert!(refusal(quote!(), item).starts_with("a message cannot be generic: "));
        }
    }

    #[test]
    fn a_type_name_that_cannot_be_a_wire_name_asks_for_one() {
        let expected = "the type's name cannot be the message's name: a name has only A-Z a-z 0-9 . _ -, not 'é'; \
                        choose one with name = \"..\"";
        assert_eq!(
            refusal(
                quote!(),
                quote!(
                    struct Café;
                )
            ),
            expected
        );
        assert!(
            try_expand(
                quote!(name = "cafe"),
                quote!(
                    struct Café;
                )
            )
            .is_ok()
        );
    }

    #[test]
    fn the_wire_name_defaults_to_the_type() {
        let expanded = expand(
            quote!(),
            quote!(
                struct Add;
            ),
        )
        .to_string();
        assert!(expanded.contains(&quote!(name: "Add", version: 1u16).to_string()));
    }

    #[test]
    fn errors_become_compile_errors() {
        let expanded = expand(
            quote!(colour = 1),
            quote!(
                struct Add;
            ),
        )
        .to_string();
        assert!(expanded.contains("compile_error"));
    }
}
