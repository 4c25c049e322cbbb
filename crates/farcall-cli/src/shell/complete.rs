//! What may stand at the cursor: commands, options, nodes, actors, messages, and the fields of a message.
//!
//! Everything comes from what is known already: nobody waits for a node while a line is typed. What a node lets others
//! call is asked for when its connection is opened.

use std::collections::{BTreeMap, BTreeSet};

use clap::CommandFactory;
use farcall::NodeDescription;
use postcard_schema::schema::owned::{OwnedDataModelType, OwnedNamedType};

use crate::args::Args;
use crate::dynamic;

/// What is known of nodes and of what they let others call.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// The node of lines that name none.
    pub(super) default: Option<String>,
    pub(super) nodes: BTreeSet<String>,
    described: BTreeMap<String, NodeDescription>,
}

/// One suggestion, and the byte of the line from which on it stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Found {
    pub(super) text: String,
    pub(super) from: usize,
    /// What it is, in a few words.
    pub(super) about: String,
    /// Another word may follow.
    pub(super) ends: bool,
}

/// Whose next words are an actor and a message.
const WITH_MESSAGE: [&str; 8] =
    ["call", "cast", "stream", "async", "multicall", "abcast", "sbcast", "describe"];
/// Whose next word is an actor.
const WITH_ACTOR: [&str; 1] = ["monitor"];

impl Known {
    /// A node was described.
    pub(super) fn learn(&mut self, told: NodeDescription) {
        self.nodes.insert(told.node.clone());
        self.described.insert(told.node.clone(), told);
    }

    /// What may stand at the end of this text.
    pub(super) fn complete(&self, line: &str, commands: &[&str]) -> Vec<Found> {
        let start = line.rfind(char::is_whitespace).map_or(0, |at| at + 1);
        let (before, word) = line.split_at(start);
        let mut words: Vec<&str> = before.split_whitespace().filter(|word| *word != "farcall").collect();
        if words.is_empty() {
            return pick(commands.iter().map(|command| (*command, "")), word, start, true);
        }
        let command = words.remove(0);
        if word.starts_with('-') {
            return options(command, word, start);
        }
        if let Some(brace) = line.find('{') {
            return self.fields(command, line, brace);
        }
        words.retain(|word| !word.starts_with('-'));
        let node = words.first().filter(|word| word.contains('@')).copied();
        let places = words.len() - usize::from(node.is_some());
        let of = node.map(|nodes| nodes.split(',').next().unwrap_or(nodes)).or(self.default.as_deref());
        let actors = of.and_then(|node| self.described.get(node)).map_or(&[][..], |told| &told.actors);
        let mut found = Vec::new();
        if places == 0 {
            if node.is_none() {
                found.extend(self.nodes_at(word, start));
            }
            if WITH_MESSAGE.contains(&command) || WITH_ACTOR.contains(&command) {
                found.extend(pick(
                    actors.iter().map(|actor| (actor.name.as_str(), "actor")),
                    word,
                    start,
                    true,
                ));
            }
            if command == "config" {
                found.extend(keys_at(word, start));
            }
        } else if places == 1 && WITH_MESSAGE.contains(&command) && command != "describe" {
            let name = words.last().copied().unwrap_or_default();
            let messages = actors.iter().filter(|actor| actor.name == name).flat_map(|actor| &actor.messages);
            let examples: Vec<_> =
                messages.map(|message| (message.name.as_str(), dynamic::example(&message.request))).collect();
            found.extend(pick(
                examples.iter().map(|(name, example)| (*name, example.as_str())),
                word,
                start,
                true,
            ));
        } else if places == 2 && word.is_empty() {
            found.extend(self.example(&words, of, start));
        }
        found
    }

    /// The last of several nodes with commas between them, too.
    fn nodes_at(&self, word: &str, start: usize) -> Vec<Found> {
        let from = word.rfind(',').map_or(0, |at| at + 1);
        let last = word.get(from..).unwrap_or_default();
        pick(self.nodes.iter().map(|node| (node.as_str(), "node")), last, start + from, from == 0)
    }

    fn message(&self, words: &[&str], of: Option<&str>) -> Option<&OwnedNamedType> {
        let [.., actor, message] = words else { return None };
        let told = self.described.get(of?)?;
        let actor = told.actors.iter().find(|known| known.name == *actor)?;
        actor.messages.iter().find(|known| known.name == *message).map(|known| &*known.request)
    }

    /// The content as a whole, to be changed.
    fn example(&self, words: &[&str], of: Option<&str>, start: usize) -> Option<Found> {
        let example = dynamic::example(self.message(words, of)?);
        if matches!(example.as_str(), "null" | "{}") {
            return None;
        }
        Some(Found { text: example, from: start, about: "an example".to_owned(), ends: false })
    }

    /// The names of fields inside of the content, which begins with a brace at this byte.
    fn fields(&self, command: &str, line: &str, brace: usize) -> Vec<Found> {
        let (before, content) = line.split_at(brace);
        let mut words: Vec<&str> = before.split_whitespace().filter(|word| *word != "farcall").collect();
        words.retain(|word| !word.starts_with('-') && *word != command);
        let of = words.first().filter(|word| word.contains('@')).copied().or(self.default.as_deref());
        // A name is being typed behind a brace or a comma; the quote may be there already.
        let at = content.rfind(['{', ',']).map_or(0, |at| at + 1);
        let typed = content.get(at..).unwrap_or_default();
        if typed.contains(':') || content.matches('{').count() != 1 + content.matches('}').count() {
            return Vec::new();
        }
        let from = brace + at + (typed.len() - typed.trim_start().len());
        let typed = typed.trim_start().trim_start_matches('"');
        let Some(OwnedDataModelType::Struct(fields)) = self.message(&words, of).map(|layout| &layout.ty)
        else {
            return Vec::new();
        };
        let fields = fields.iter().filter(|field| field.name.starts_with(typed));
        let unused = fields.filter(|field| !content.contains(&format!("\"{}\":", field.name)));
        let found = |field: &postcard_schema::schema::owned::OwnedNamedValue| Found {
            text: format!("\"{}\": ", field.name),
            from,
            about: dynamic::inline(&field.ty),
            ends: false,
        };
        unused.map(found).collect()
    }
}

/// The tables of the configuration until one is typed, and then its keys; keys without a table at once.
fn keys_at(word: &str, start: usize) -> Vec<Found> {
    let all = farcall::config::keys();
    let tables: BTreeSet<&str> = all.iter().filter_map(|key| Some(key.key.split_once('.')?.0)).collect();
    let mut found = pick(tables.into_iter().map(|table| (table, "table")), word, start, false);
    let in_reach = all.iter().filter(|key| !key.key.contains('.') || word.contains('.'));
    found.extend(pick(in_reach.map(|key| (key.key, key.doc)), word, start, true));
    found
}

fn pick<'a>(
    all: impl Iterator<Item = (&'a str, &'a str)>,
    word: &str,
    from: usize,
    ends: bool,
) -> Vec<Found> {
    let fits = all.filter(|(text, _)| text.starts_with(word));
    fits.map(|(text, about)| Found { text: text.to_owned(), from, about: about.to_owned(), ends }).collect()
}

fn options(command: &str, word: &str, from: usize) -> Vec<Found> {
    let args = Args::command();
    let Some(command) = args.find_subcommand(command) else { return Vec::new() };
    let options = command.get_opts().filter_map(|option| {
        let help = option.get_help().map(ToString::to_string).unwrap_or_default();
        Some((format!("--{}", option.get_long()?), help))
    });
    let options: Vec<_> = options.collect();
    pick(options.iter().map(|(option, help)| (option.as_str(), help.as_str())), word, from, true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use farcall::{ActorDescription, MessageDescription};

    const COMMANDS: [&str; 4] = ["call", "cast", "describe", "links"];
    const NOTHING: [&str; 0] = [];

    #[farcall::message(result = u64)]
    struct Add {
        amount: u64,
        reason: String,
    }

    fn known() -> Known {
        let info = <Add as farcall::RemoteMessage>::INFO;
        let message =
            |name: &str| MessageDescription { name: name.to_owned(), ..MessageDescription::from(info) };
        let actor = ActorDescription {
            name: "counter".to_owned(),
            version: None,
            messages: vec![message("Add"), message("Total")],
        };
        let mut known = Known { default: Some("beta@h".to_owned()), ..Known::default() };
        known.nodes.insert("alpha@h".to_owned());
        known.learn(NodeDescription {
            node: "beta@h".to_owned(),
            incarnation: 1,
            farcall: "0.1.0".to_owned(),
            actors: vec![actor],
        });
        known
    }

    fn texts(line: &str) -> Vec<String> {
        known().complete(line, &COMMANDS).into_iter().map(|found| found.text).collect()
    }

    #[test]
    fn the_first_word_is_a_command_and_what_follows_is_what_that_takes() {
        assert_eq!(texts("ca"), ["call", "cast"]);
        assert_eq!(texts("farcall de"), ["describe"]);
        assert_eq!(texts("call "), ["alpha@h", "beta@h", "counter"]);
        assert_eq!(texts("call beta@h "), ["counter"]);
        assert_eq!(texts("call beta@h counter T"), ["Total"]);
        assert_eq!(texts("call counter "), ["Add", "Total"]);
        assert_eq!(texts("links b"), ["beta@h"]);
        assert_eq!(texts("links beta@h "), NOTHING);
        assert_eq!(texts("multicall beta@h,al"), ["alpha@h"]);
        assert_eq!(texts("call alpha@h "), NOTHING, "nothing is known of it");
    }

    #[test]
    fn a_key_of_the_configuration_is_completed_table_by_table() {
        let texts = |line| known().complete(line, &["config"]);
        let texts = |line| texts(line).into_iter().map(|found| found.text).collect::<Vec<_>>();
        assert_eq!(texts("config b"), ["beta@h", "backoff_min", "backoff_max"]);
        assert_eq!(texts("config tc"), ["tcp"]);
        assert_eq!(texts("config beta@h mapper."), ["mapper.use", "mapper.port", "mapper.listen"]);
        assert_eq!(texts("config beta@h call"), ["call_timeout"]);
    }

    #[test]
    fn options_are_those_of_the_command_and_count_for_no_word() {
        assert_eq!(texts("call --ra"), ["--raw"]);
        assert_eq!(texts("call --raw counter T"), ["Total"]);
    }

    #[test]
    fn the_content_begins_as_an_example_and_goes_on_with_its_fields() {
        assert_eq!(texts("call counter Add "), [r#"{"amount":0,"reason":"text"}"#]);
        assert_eq!(texts("call counter Add {"), ["\"amount\": ", "\"reason\": "]);
        assert_eq!(texts("call counter Add {\"r"), ["\"reason\": "]);
        assert_eq!(texts("call beta@h counter Add {\"amount\": 1, "), ["\"reason\": "]);
        assert_eq!(texts("call counter Add {\"amount\": "), NOTHING, "a value");
        let found = known().complete("call counter Add {\"r", &COMMANDS);
        assert_eq!(found[0].from, "call counter Add {".len());
        assert_eq!(found[0].about, "String");
    }
}
