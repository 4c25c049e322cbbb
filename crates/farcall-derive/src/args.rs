//! What is written in `#[farcall::message(..)]`.

use std::collections::BTreeSet;

use syn::{
    Ident, LitInt, LitStr, Token, Type,
    ext::IdentExt,
    parenthesized,
    parse::{Parse, ParseStream},
    parse_quote,
};

pub(crate) struct MessageArgs {
    pub(crate) name: Option<LitStr>,
    pub(crate) version: u16,
    pub(crate) answer: AnswerType,
    pub(crate) older: Vec<Older>,
}

pub(crate) enum AnswerType {
    Value(Type),
    Stream(Type),
}

/// `1 = AddV1` in `from(..)`.
pub(crate) struct Older {
    pub(crate) version: u16,
    pub(crate) ty: Type,
    literal: LitInt,
}

impl Parse for MessageArgs {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let mut args =
            Self { name: None, version: 1, answer: AnswerType::Value(parse_quote!(())), older: Vec::new() };
        let mut seen = BTreeSet::new();
        while !input.is_empty() {
            let option = Ident::parse_any(input)?;
            let key = option.to_string();
            // One answer, said in one way.
            let slot = if key == "stream" { "result".to_owned() } else { key.clone() };
            if !seen.insert(slot) {
                return Err(syn::Error::new(option.span(), said_twice(&key)));
            }
            args.parse_option(&option, &key, input)?;
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        args.check_older()?;
        Ok(args)
    }
}

impl MessageArgs {
    fn parse_option(&mut self, option: &Ident, key: &str, input: ParseStream<'_>) -> syn::Result<()> {
        match key {
            "result" => {
                input.parse::<Token![=]>()?;
                self.answer = AnswerType::Value(input.parse()?);
            }
            "stream" => {
                input.parse::<Token![=]>()?;
                self.answer = AnswerType::Stream(input.parse()?);
            }
            "name" => {
                input.parse::<Token![=]>()?;
                let name: LitStr = input.parse()?;
                check_name(&name.value()).map_err(|problem| syn::Error::new(name.span(), problem))?;
                self.name = Some(name);
            }
            "version" => {
                input.parse::<Token![=]>()?;
                self.version = parse_version(&input.parse()?)?;
            }
            "from" => {
                let list;
                parenthesized!(list in input);
                self.older = list.parse_terminated(Older::parse, Token![,])?.into_iter().collect();
            }
            _ => {
                let text = format!(
                    "unknown option `{key}`; a message has result = T, stream = T, name = \"..\", version = 2, \
                     from(1 = OldType)"
                );
                return Err(syn::Error::new(option.span(), text));
            }
        }
        Ok(())
    }

    fn check_older(&self) -> syn::Result<()> {
        let mut seen = BTreeSet::new();
        for older in &self.older {
            let Older { version, literal, .. } = older;
            if *version >= self.version {
                let text = format!(
                    "from({version} = ..) must be a lower version than the message's own, which is {}",
                    self.version
                );
                return Err(syn::Error::new(literal.span(), text));
            }
            if !seen.insert(*version) {
                let text = format!("version {version} is in from(..) twice");
                return Err(syn::Error::new(literal.span(), text));
            }
        }
        Ok(())
    }
}

impl Parse for Older {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let literal: LitInt = input.parse()?;
        input.parse::<Token![=]>()?;
        Ok(Self { version: parse_version(&literal)?, ty: input.parse()?, literal })
    }
}

fn parse_version(literal: &LitInt) -> syn::Result<u16> {
    match literal.base10_parse() {
        Ok(version) if version > 0 => Ok(version),
        _ => Err(syn::Error::new(literal.span(), "a version is a whole number from 1 to 65535")),
    }
}

fn said_twice(key: &str) -> String {
    match key {
        "result" | "stream" => "a message has one answer: either result = T or stream = T, once".to_owned(),
        _ => format!("`{key}` is given twice"),
    }
}

/// Checks a wire name, and says what is wrong with it.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return Err(format!("a name has 1 to {NAME_BYTES_MAX} bytes, this one has {}", name.len()));
    }
    match name.chars().find(|&c| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))) {
        Some(other) => Err(format!("a name has only A-Z a-z 0-9 . _ -, not {other:?}")),
        None => Ok(()),
    }
}

const NAME_BYTES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use quote::{ToTokens, quote};

    use super::*;

    fn refusal(args: proc_macro2::TokenStream) -> String {
        match syn::parse2::<MessageArgs>(args) {
            Ok(_) => panic!("accepted"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn everything_has_a_default() {
        let args: MessageArgs = parse_quote!();
        assert!(args.name.is_none() && args.older.is_empty());
        assert_eq!(args.version, 1);
        let AnswerType::Value(ty) = args.answer else { panic!("not a value") };
        assert_eq!(ty.to_token_stream().to_string(), "()");
    }

    #[test]
    fn all_options_are_read_in_any_order() {
        let args: MessageArgs = parse_quote!(
            from(1 = old::AddV1, 2 = AddV2,),
            version = 3,
            name = "a-Z_0.9",
            result = Result<Vec<u8>, (u8, String)>,
        );
        assert_eq!(args.name.unwrap().value(), "a-Z_0.9");
        assert_eq!(args.version, 3);
        assert_eq!(args.older.iter().map(|older| older.version).collect::<Vec<_>>(), [1, 2]);
        let AnswerType::Value(ty) = args.answer else { panic!("not a value") };
        assert_eq!(ty.to_token_stream().to_string(), quote!(Result<Vec<u8>, (u8, String)>).to_string());
    }

    #[test]
    fn names_are_checked_where_they_are_written() {
        assert_eq!(refusal(quote!(name = "")), "a name has 1 to 64 bytes, this one has 0");
        let long = "x".repeat(65);
        assert_eq!(refusal(quote!(name = #long)), "a name has 1 to 64 bytes, this one has 65");
        assert_eq!(refusal(quote!(name = "a b")), "a name has only A-Z a-z 0-9 . _ -, not ' '");
        assert_eq!(refusal(quote!(name = "a/b")), "a name has only A-Z a-z 0-9 . _ -, not '/'");
        assert_eq!(refusal(quote!(name = 7)), "expected string literal");
        assert!(check_name(&"x".repeat(64)).is_ok());
    }

    #[test]
    fn versions_are_checked() {
        for version in [quote!(0), quote!(65536), quote!(1.5)] {
            let error = refusal(quote!(version = #version));
            assert!(
                error == "a version is a whole number from 1 to 65535" || error == "expected integer literal"
            );
        }
        let lower = |version: u16| {
            format!("from({version} = ..) must be a lower version than the message's own, which is 2")
        };
        assert_eq!(refusal(quote!(version = 2, from(2 = Same))), lower(2));
        assert_eq!(refusal(quote!(from(3 = Newer), version = 2)), lower(3));
        assert_eq!(refusal(quote!(version = 3, from(1 = A, 1 = B))), "version 1 is in from(..) twice");
    }

    #[test]
    fn options_are_known_and_given_once() {
        let unknown = "unknown option `reply`; a message has result = T, stream = T, name = \"..\", version = 2, \
                       from(1 = OldType)";
        assert_eq!(refusal(quote!(reply = u64)), unknown);
        assert_eq!(refusal(quote!(version = 1, version = 2)), "`version` is given twice");
        let one = "a message has one answer: either result = T or stream = T, once";
        assert_eq!(refusal(quote!(result = u8, stream = u8)), one);
        assert_eq!(refusal(quote!(stream = u8, stream = u8)), one);
    }
}
