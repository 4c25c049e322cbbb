//! Types as their authors wrote them; a macro sees nothing else of a type.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote, quote_spanned};
use syn::{
    GenericArgument, PathArguments, Type, TypePath, parse_quote_spanned,
    spanned::Spanned,
    visit_mut::{VisitMut, visit_type_mut},
};

/// Whether this is written `Vec<u8>`, `std::vec::Vec<u8>` or `alloc::vec::Vec<u8>`.
pub(crate) fn is_byte_vec(ty: &Type) -> bool {
    let Type::Path(TypePath { qself: None, path }) = inner(ty) else { return false };
    let Some(last) = path.segments.last() else { return false };
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return false };
    let mut arguments = arguments.args.iter();
    let (Some(GenericArgument::Type(element)), None) = (arguments.next(), arguments.next()) else {
        return false;
    };
    let Type::Path(element) = inner(element) else { return false };
    let names: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    element.path.is_ident("u8") && matches!(names.as_slice(), ["Vec"] | ["std" | "alloc", "vec", "Vec"])
}

/// The type whose schema this one has: `Bytes` of the crate of that name, which has none of its own, is sent as
/// `Vec<u8>` is, wherever in the type it stands. Also the places where `Bytes` was written, so that the compiler can
/// be asked whether it is that one.
pub(crate) fn in_schema(ty: &Type) -> (Type, Vec<Type>) {
    struct Exchange(Vec<Type>);

    impl VisitMut for Exchange {
        fn visit_type_mut(&mut self, ty: &mut Type) {
            if is_bytes(ty) {
                let vec = parse_quote_spanned!(ty.span()=> ::farcall::__private::Vec<u8>);
                self.0.push(std::mem::replace(ty, vec));
            } else {
                visit_type_mut(self, ty);
            }
        }
    }

    let (mut ty, mut exchange) = (ty.clone(), Exchange(Vec::new()));
    exchange.visit_type_mut(&mut ty);
    (ty, exchange.0)
}

/// Fails to compile where a `Bytes` is somebody else's, whose schema would not be that of `Vec<u8>`.
pub(crate) fn check_bytes(found: &[Type]) -> TokenStream {
    let checks = found.iter().map(|ty| {
        let span = ty.span();
        quote_spanned!(span=> const _: fn(#ty) -> ::farcall::__private::Bytes = |bytes| bytes;)
    });
    quote!(#(#checks)*)
}

/// Whether this is written `Bytes` or `bytes::Bytes`.
fn is_bytes(ty: &Type) -> bool {
    let Type::Path(TypePath { qself: None, path }) = inner(ty) else { return false };
    let plain = path.segments.iter().all(|segment| segment.arguments.is_none());
    let names: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    plain && matches!(names.as_slice(), ["Bytes"] | ["bytes", "Bytes"])
}

/// The type as text. Only the words and signs count: how the compiler spaces them may change with its version,
/// and this text enters fingerprints.
pub(crate) fn as_written(ty: &Type) -> String {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut text = String::new();
    let mut gap = false;
    for c in inner(ty).to_token_stream().to_string().chars() {
        if c.is_whitespace() {
            gap = true;
            continue;
        }
        if gap && is_word(c) && text.ends_with(is_word) {
            text.push(' ');
        }
        gap = false;
        text.push(c);
    }
    text
}

/// Takes off the invisible group that a type passed through `macro_rules!` comes in.
fn inner(ty: &Type) -> &Type {
    match ty {
        Type::Group(group) => inner(&group.elem),
        Type::Paren(paren) => inner(&paren.elem),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use proc_macro2::Span;
    use syn::{TypeGroup, parse_quote, token::Group};

    use super::*;

    #[test]
    fn a_vec_of_bytes_is_known_by_how_it_is_written() {
        let yes: [Type; 5] = [
            parse_quote!(Vec<u8>),
            parse_quote!(std::vec::Vec<u8>),
            parse_quote!(::alloc::vec::Vec<u8>),
            parse_quote!((Vec<u8>)),
            Type::Group(TypeGroup {
                group_token: Group { span: Span::call_site() },
                elem: parse_quote!(Vec<u8>),
            }),
        ];
        for ty in &yes {
            assert!(is_byte_vec(ty), "{}", as_written(ty));
        }
        let no: [Type; 7] = [
            parse_quote!(Vec<u16>),
            parse_quote!(Option<Vec<u8>>),
            parse_quote!(Vec<Vec<u8>>),
            parse_quote!(my::Vec<u8>),
            parse_quote!(Vec<u8, Global>),
            parse_quote!([u8; 4]),
            parse_quote!(Bytes),
        ];
        for ty in &no {
            assert!(!is_byte_vec(ty), "{}", as_written(ty));
        }
    }

    #[test]
    fn bytes_have_the_schema_of_a_vec_wherever_they_stand() {
        let exchanged = |ty: Type| {
            let (ty, found) = in_schema(&ty);
            (as_written(&ty), found.len())
        };
        let vec = "::farcall::__private::Vec<u8>";
        assert_eq!(exchanged(parse_quote!(Bytes)), (vec.to_owned(), 1));
        assert_eq!(exchanged(parse_quote!(::bytes::Bytes)), (vec.to_owned(), 1));
        assert_eq!(
            exchanged(parse_quote!(Result<Option<bytes::Bytes>, (Bytes, String)>)),
            (format!("Result<Option<{vec}>,({vec},String)>"), 2)
        );
        for other in ["my::Bytes", "self::Bytes", "Bytes<u8>", "Vec<u8>", "Option<BytesMut>"] {
            let ty: Type = syn::parse_str(other).unwrap();
            assert_eq!(exchanged(ty), (other.to_owned(), 0));
        }
    }

    #[test]
    fn the_compiler_is_asked_whose_bytes_they_are() {
        let expected = quote!(
            const _: fn(Bytes) -> ::farcall::__private::Bytes = |bytes| bytes;
        );
        assert_eq!(check_bytes(&[parse_quote!(Bytes)]).to_string(), expected.to_string());
        assert!(check_bytes(&[]).is_empty());
    }

    #[test]
    fn spaces_stay_only_between_words() {
        let written = |ty: Type| as_written(&ty);
        assert_eq!(written(parse_quote!(a::B<C, [u8; 4]>)), "a::B<C,[u8;4]>");
        assert_eq!(written(parse_quote!(Box<dyn Any + Send>)), "Box<dyn Any+Send>");
        assert_eq!(written(parse_quote!(&'static mut str)), "&'static mut str");
    }
}
