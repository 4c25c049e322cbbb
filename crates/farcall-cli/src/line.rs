//! A line of the console: how it is read, and how it becomes words.
//!
//! ```text
//! call --timeout 1s [NODE] counter Add {"amount": 1} --raw
//!                 │    │               └ the content: JSON as it is, to its end
//!                 │    └ the first word that is neither an option nor the value of one
//!                 └ the value of an option
//! ```
//! Words end at spaces. Quotes keep them together, as in a shell: `'...'` as it stands, `"..."` with backslashes.

use std::io::{self, BufRead, Read};

/// What was read where a line was expected.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Input {
    Line(String),
    /// A line that is none, and why. What follows it can be read.
    Unreadable(String),
    End,
}

/// Reads to the end of a line, and keeps no more than so many bytes of it. A comment is an empty line.
pub(crate) fn read(from: &mut impl BufRead, bytes_max: usize) -> io::Result<Input> {
    let mut line = Vec::new();
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    if from.by_ref().take(limit).read_until(b'\n', &mut line)? == 0 {
        return Ok(Input::End);
    }
    if line.len() > bytes_max && !line.ends_with(b"\n") {
        from.skip_until(b'\n')?;
        return Ok(Input::Unreadable(format!("the line is longer than {bytes_max} bytes")));
    }
    if line.trim_ascii_start().starts_with(b"#") {
        return Ok(Input::Line(String::new()));
    }
    Ok(String::from_utf8(line).map_or_else(
        |error| {
            let byte = error.utf8_error().valid_up_to() + 1;
            Input::Unreadable(format!("the line is no UTF-8 text: see its byte {byte}"))
        },
        Input::Line,
    ))
}

/// Commands with a message, whose content is JSON.
const WITH_CONTENT: [&str; 7] = ["call", "cast", "stream", "async", "multicall", "abcast", "sbcast"];

/// A command, and the words behind it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Words {
    pub(crate) command: String,
    pub(crate) rest: Vec<String>,
    /// Which of the rest are neither options nor their values.
    places: Vec<usize>,
    only_places: bool,
}

impl Words {
    /// Splits a line. `takes_value` knows the options of each command.
    ///
    /// # Errors
    /// What is wrong with the line.
    pub(crate) fn of(line: &str, takes_value: impl Fn(&str, &str) -> bool) -> Result<Self, String> {
        let (mut words, mut rest, mut of_option) = (Self::default(), line.trim(), false);
        while !rest.is_empty() {
            let is_json = !of_option && words.content_is_next() && rest.starts_with(['{', '[', '"']);
            let (word, more) = if is_json { json_at_start(rest) } else { word_at_start(rest)? };
            rest = more.trim_start();
            match words.command.as_str() {
                // As a line begins that was copied from what the commands print.
                "" if word == "farcall" => {}
                "" => words.command = word,
                command => {
                    let option = !of_option && !words.only_places && is_option(&word);
                    let value_follows = option && takes_value(command, &word);
                    words.push(word, option || of_option);
                    of_option = value_follows;
                }
            }
        }
        Ok(words)
    }

    /// The node that the line names, if it names one: what stands where a node may stand, and looks like one.
    pub(crate) fn node(&self) -> Option<&str> {
        self.rest.get(*self.places.first()?).map(String::as_str).filter(|word| word.contains('@'))
    }

    /// Whether the line has this option.
    pub(crate) fn has(&self, option: &str) -> bool {
        let is = |word: &String| {
            word.strip_prefix(option).is_some_and(|more| more.is_empty() || more.starts_with('='))
        };
        self.rest.iter().enumerate().any(|(place, word)| is(word) && !self.places.contains(&place))
    }

    fn push(&mut self, word: String, of_options: bool) {
        if !of_options {
            self.places.push(self.rest.len());
        } else if word == "--" {
            self.only_places = true;
        }
        self.rest.push(word);
    }

    /// An actor and a message stand before the content.
    fn content_is_next(&self) -> bool {
        let before = if self.node().is_some() { 3 } else { 2 };
        WITH_CONTENT.contains(&self.command.as_str()) && self.places.len() == before
    }
}

/// Whether it would be taken for one: `-` alone and a negative number are none.
fn is_option(word: &str) -> bool {
    word.strip_prefix('-').is_some_and(|name| name.starts_with(|first: char| !first.is_ascii_digit()))
}

/// The JSON that a text begins with, and what stands behind it; all of it, if it is none.
fn json_at_start(text: &str) -> (String, &str) {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<serde::de::IgnoredAny>();
    let (json, more) = match values.next() {
        Some(Ok(_)) => text.split_at_checked(values.byte_offset()).unwrap_or((text, "")),
        _ => (text, ""),
    };
    (json.to_owned(), more)
}

/// The word that a text begins with, without its quotes, and what stands behind it.
fn word_at_start(text: &str) -> Result<(String, &str), String> {
    let (mut word, mut quote) = (String::new(), None);
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match (quote, letter) {
            (None, space) if space.is_whitespace() => return Ok((word, text.get(at..).unwrap_or_default())),
            (None, '\'' | '"') => quote = Some(letter),
            (Some(open), close) if open == close => quote = None,
            (None | Some('"'), '\\') => match letters.next() {
                Some((_, escaped)) => word.push(escaped),
                None => return Err("nothing stands behind the last \\".to_owned()),
            },
            _ => word.push(letter),
        }
    }
    match quote {
        None => Ok((word, "")),
        Some(quote) => Err(format!("a quote is not closed: {quote}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Words {
        let takes_value =
            |_: &str, option: &str| ["--at", "--timeout", "--require-version"].contains(&option);
        Words::of(line, takes_value).unwrap()
    }

    fn rest(line: &str) -> Vec<String> {
        words(line).rest
    }

    #[test]
    fn json_needs_no_quotes_and_options_may_follow_it() {
        assert_eq!(words("  names  ").command, "names");
        assert_eq!(rest("call counter Add {\"a\": 1}"), ["counter", "Add", "{\"a\": 1}"]);
        assert_eq!(
            rest("call b@h counter Add [1, \"two words\"] --timeout 1s"),
            ["b@h", "counter", "Add", "[1, \"two words\"]", "--timeout", "1s"]
        );
        assert_eq!(rest("call c Say \"it is \\\"so\\\"\" --raw"), ["c", "Say", r#""it is \"so\"""#, "--raw"]);
        assert_eq!(rest("call c Add '{\"a\": 1}' --raw"), ["c", "Add", "{\"a\": 1}", "--raw"]);
        assert_eq!(rest("call c Add {no json"), ["c", "Add", "{no json"]);
        assert_eq!(words(" \n"), Words::default());
    }

    #[test]
    fn what_is_no_content_is_a_word_however_it_begins() {
        let line = "call --at [::1]:7 --require-version \"^1\" \"an actor\" Add [1, 2] -v";
        assert_eq!(
            rest(line),
            ["--at", "[::1]:7", "--require-version", "^1", "an actor", "Add", "[1, 2]", "-v"]
        );
        assert_eq!(rest("call '' a\\ b'c d'\"e \\\" f\""), ["", "a bc de \" f"]);
        assert_eq!(rest(r"call c Say 'it'\''s'"), ["c", "Say", "it's"]);
        assert_eq!(words("farcall call c Total"), words("call c Total"));
        for open in ["describe 'c", "describe \"c", "describe c\\"] {
            assert!(Words::of(open, |_, _| false).is_err(), "{open}");
        }
    }

    #[test]
    fn a_node_is_found_where_a_node_may_stand() {
        let node = |line: &str| words(line).node().map(str::to_owned);
        assert_eq!(node("call --raw b@h c Total").unwrap(), "b@h");
        assert_eq!(node("names --timeout 1s b@h").unwrap(), "b@h");
        assert_eq!(node("names --timeout=1s -- b@h").unwrap(), "b@h");
        assert_eq!(node("call c Mail {\"to\": \"a@b\"}"), None);
        assert_eq!(node("call c Mail '\"a@b\"'"), None);
        assert_eq!(node("names --at a@b"), None);
    }

    #[test]
    fn options_of_a_line_are_told_from_its_words() {
        assert!(words("names --at x:1").has("--at") && words("names --at=x:1").has("--at"));
        assert!(!words("names --att x:1").has("--at") && !words("call c M -- --at").has("--at"));
        assert_eq!(words("call c Add -5").places, [0, 1, 2]);
    }

    #[test]
    fn a_line_that_cannot_be_read_takes_none_behind_it_along_and_not_much_memory() {
        let mut text: &[u8] = b"1234\n12345\n1234567890\n\xff\n #\xff\n1234";
        let mut next = || read(&mut text, 5).unwrap();
        assert_eq!(next(), Input::Line("1234\n".to_owned()));
        assert_eq!(next(), Input::Line("12345\n".to_owned()));
        assert!(matches!(next(), Input::Unreadable(why) if why.contains("longer than 5 bytes")));
        assert!(matches!(next(), Input::Unreadable(why) if why.contains("UTF-8")));
        assert_eq!(next(), Input::Line(String::new()), "a comment");
        assert_eq!(next(), Input::Line("1234".to_owned()), "the last line may have no end");
        assert_eq!(next(), Input::End);
    }
}
