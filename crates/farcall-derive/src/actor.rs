//! `#[derive(RemoteActor)]`: which messages peers may send to an actor.

use std::collections::BTreeSet;

use proc_macro2::TokenStream;
use quote::quote;
use syn::{DeriveInput, Token, Type, punctuated::Punctuated};

use crate::written;

pub(crate) fn expand(item: TokenStream) -> TokenStream {
    try_expand(item).unwrap_or_else(syn::Error::into_compile_error)
}

fn try_expand(item: TokenStream) -> syn::Result<TokenStream> {
    let item: DeriveInput = syn::parse2(item)?;
    let actor = &item.ident;
    if !item.generics.params.is_empty() {
        let text = "RemoteActor is not supported on generic types: a name on the wire stands for one actor type; \
                    implement it on a type of its own that contains the generic one";
        return Err(syn::Error::new_spanned(&item.generics, text));
    }
    let messages = messages(&item)?;
    Ok(quote! {
        #[automatically_derived]
        impl ::farcall::RemoteActor for #actor {
            fn entries() -> &'static [::farcall::Entry<Self>] {
                use ::farcall::__private::Otherwise as _;
                const ENTRIES: &[::farcall::Entry<#actor>] =
                    &[#(::farcall::__private::Choose::<#actor, #messages>::ENTRY),*];
                ENTRIES
            }
        }

        #[automatically_derived]
        impl ::farcall::__private::actix::Handler<::farcall::Batch> for #actor {
            type Result = ();

            fn handle(&mut self, batch: ::farcall::Batch, ctx: &mut Self::Context) {
                batch.run(self, ctx)
            }
        }
    })
}

/// The types in all `#[remote(..)]` of the actor.
fn messages(item: &DeriveInput) -> syn::Result<Vec<Type>> {
    let mut messages = Vec::new();
    let mut seen = BTreeSet::new();
    for attr in item.attrs.iter().filter(|attr| attr.path().is_ident("remote")) {
        for message in attr.parse_args_with(Punctuated::<Type, Token![,]>::parse_terminated)? {
            let written = written::as_written(&message);
            if !seen.insert(written.clone()) {
                let text = format!("{written} is in #[remote(..)] twice");
                return Err(syn::Error::new_spanned(message, text));
            }
            messages.push(message);
        }
    }
    if messages.is_empty() {
        let text = "which messages may peers send? List them: #[remote(Add, Total)]";
        return Err(syn::Error::new_spanned(&item.ident, text));
    }
    Ok(messages)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(item: TokenStream) -> String {
        try_expand(item).unwrap_err().to_string()
    }

    #[test]
    fn the_list_becomes_entries_and_a_handler_of_batches() {
        let expected = quote! {
            #[automatically_derived]
            impl ::farcall::RemoteActor for Counter {
                fn entries() -> &'static [::farcall::Entry<Self>] {
                    use ::farcall::__private::Otherwise as _;
                    const ENTRIES: &[::farcall::Entry<Counter>] = &[
                        ::farcall::__private::Choose::<Counter, Add>::ENTRY,
                        ::farcall::__private::Choose::<Counter, messages::Total>::ENTRY
                    ];
                    ENTRIES
                }
            }

            #[automatically_derived]
            impl ::farcall::__private::actix::Handler<::farcall::Batch> for Counter {
                type Result = ();

                fn handle(&mut self, batch: ::farcall::Batch, ctx: &mut Self::Context) {
                    batch.run(self, ctx)
                }
            }
        };
        let one_list = quote!(
            #[remote(Add, messages::Total)]
            struct Counter {
                total: u64,
            }
        );
        assert_eq!(try_expand(one_list).unwrap().to_string(), expected.to_string());
        let two_lists = quote!(
            #[remote(Add)]
            #[remote(messages::Total)]
            enum Counter {
                A,
                B,
            }
        );
        assert_eq!(try_expand(two_lists).unwrap().to_string(), expected.to_string());
    }

    #[test]
    fn a_list_is_required() {
        let text = "which messages may peers send? List them: #[remote(Add, Total)]";
        assert_eq!(
            refusal(quote!(
                struct Counter;
            )),
            text
        );
        assert_eq!(
            refusal(quote!(
                #[remote()]
                struct Counter;
            )),
            text
        );
    }

    #[test]
    fn a_message_is_listed_once() {
        let text = "my::Add is in #[remote(..)] twice";
        assert_eq!(
            refusal(quote!(
                #[remote(my::Add, Total, my::Add)]
                struct Counter;
            )),
            text
        );
        assert_eq!(
            refusal(quote!(
                #[remote(my::Add)]
                #[remote(my::Add)]
                struct Counter;
            )),
            text
        );
    }

    #[test]
    fn generic_actors_are_refused() {
        let error = refusal(quote!(
            #[remote(Add)]
            struct Counter<T>(T);
        ));
        assert!(error.starts_with("RemoteActor is not supported on generic types"), "{error}");
    }
}
