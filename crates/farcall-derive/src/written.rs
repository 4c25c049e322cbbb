//! Types as their authors wrote them; a macro sees nothing else of a type.

use quote::ToTokens;
use syn::{GenericArgument, PathArguments, Type, TypePath};

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
    fn spaces_stay_only_between_words() {
        let written = |ty: Type| as_written(&ty);
        assert_eq!(written(parse_quote!(a::B<C, [u8; 4]>)), "a::B<C,[u8;4]>");
        assert_eq!(written(parse_quote!(Box<dyn Any + Send>)), "Box<dyn Any+Send>");
        assert_eq!(written(parse_quote!(&'static mut str)), "&'static mut str");
    }
}
