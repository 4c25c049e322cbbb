//! `farcall shell`: the commands that talk to nodes, one a line, over connections that stay open between them.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::{self, BufRead, IsTerminal, Write};

use clap::Parser;
use farcall::NodeName;

use crate::args::{Args, Command, Options, Shell};
use crate::output::Output;
use crate::report::Report;
use crate::session::Session;

/// What can be typed.
const HELP: &str = "\
call [NODE] ACTOR MESSAGE [JSON]      call an actor and print its answer
cast [NODE] ACTOR MESSAGE [JSON]      send one way
ping [NODE]                           measure the way to a node and back
names [NODE]                          list the actors of a node
describe [NODE] [ACTOR]               show the messages of its actors
exit                                  end the console

Without NODE it is the node that the console was opened on. JSON stands last and needs no quotes around it. Options follow
as on the command line: call counter Total --raw";

/// Reads and follows lines until their end. The exit code is that of the first that failed, for scripts; people have seen it.
pub(crate) async fn shell(shell: &Shell, output: &mut Output) -> u8 {
    let at_terminal = io::stdin().is_terminal();
    let mut sessions = HashMap::new();
    let mut code = 0;
    while !output.is_closed() {
        let Some(line) = next_line(at_terminal).await else { break };
        let words = words(&line);
        let done = match words.first().map(String::as_str) {
            None => continue,
            Some("exit" | "quit") => break,
            Some("help") => output.line(HELP),
            Some(_) => follow(shell, words, &mut sessions, output).await,
        };
        if let Err(report) = done {
            output.tell(&report);
            code = if code == 0 { report.exit } else { code };
        }
    }
    for (_, session) in sessions {
        session.close(true).await;
    }
    if at_terminal { 0 } else { code }
}

/// What is typed next, without keeping anything else from its turn; nothing at the end.
async fn next_line(at_terminal: bool) -> Option<String> {
    let read = move || {
        if at_terminal {
            // A prompt that cannot be shown is not missed.
            let _ = write!(io::stderr(), "farcall> ").and_then(|()| io::stderr().flush());
        }
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line).ok().filter(|bytes| *bytes > 0)?;
        Some(line)
    };
    tokio::task::spawn_blocking(read).await.ok().flatten()
}

async fn follow(
    shell: &Shell,
    mut words: Vec<String>,
    sessions: &mut HashMap<NodeName, Session>,
    output: &mut Output,
) -> Result<(), Report> {
    let names_one = words.get(1).is_some_and(|word| word.contains('@'));
    if let (false, Some(node)) = (names_one, &shell.node) {
        words.insert(1, node.to_string());
    }
    let remote = parse(&shell.options, &words)?;
    let ready = remote.begin()?;
    let (node, options) = remote.peer()?;
    let mut options = options.clone();
    if shell.node.as_ref() != Some(node) {
        // Where the one is, the others are not.
        options.at = None;
    }
    let session = match sessions.get_mut(node) {
        Some(session) => {
            session.begin(options.timeout);
            session
        }
        None => sessions.entry(node.clone()).or_insert(Session::open(&options, node).await?),
    };
    let done = crate::perform(session, ready, output).await;
    done.map_err(|report| session.explain(report))
}

/// The command of a line, with the options of the console before its own.
fn parse(options: &Options, words: &[String]) -> Result<crate::args::Remote, Report> {
    let (command, rest) =
        words.split_first().map_or(("", [].as_slice()), |(first, rest)| (first.as_str(), rest));
    let line = [OsString::from("farcall"), command.into()].into_iter();
    let line = line.chain(options.words()).chain(rest.iter().map(OsString::from));
    match Args::try_parse_from(line) {
        Ok(Args { command: Command::Remote(remote), .. }) => Ok(remote),
        Ok(_) => Err(usage(format!("{command} is no command of the console"))),
        Err(error) => Err(usage(error.render().to_string().trim().trim_start_matches("error: ").to_owned())),
    }
}

fn usage(message: String) -> Report {
    Report { exit: 2, ..Report::here("usage", message, "`help` lists the commands") }
}

/// Splits a line: words end at spaces, unless they are quoted, and JSON is one word to the end of the line.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut rest) = (Vec::new(), line.trim());
    while !rest.is_empty() {
        // What is JSON stands behind a command, an actor and a message.
        if words.len() > 2 && rest.starts_with(['{', '[', '"']) {
            let (json, more) = json_at_start(rest);
            words.push(json.to_owned());
            rest = more.trim_start();
            continue;
        }
        let (word, more) = match rest.strip_prefix('\'') {
            Some(quoted) => quoted.split_once('\'').unwrap_or((quoted, "")),
            None => rest.split_once(char::is_whitespace).unwrap_or((rest, "")),
        };
        words.push(word.to_owned());
        rest = more.trim_start();
    }
    words
}

/// The JSON that a text begins with, and what stands behind it; all of it, if it is none.
fn json_at_start(text: &str) -> (&str, &str) {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<serde_json::Value>();
    match values.next() {
        Some(Ok(_)) => text.split_at(values.byte_offset()),
        _ => (text, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_needs_no_quotes_and_options_may_follow_it() {
        assert_eq!(words("  names  "), ["names"]);
        assert_eq!(words("call counter Add {\"a\": 1}"), ["call", "counter", "Add", "{\"a\": 1}"]);
        assert_eq!(
            words("call b@h counter Add [1, \"two words\"] --timeout 1s"),
            ["call", "b@h", "counter", "Add", "[1, \"two words\"]", "--timeout", "1s"]
        );
        assert_eq!(words("call c Add '{\"a\": 1}' --raw"), ["call", "c", "Add", "{\"a\": 1}", "--raw"]);
        assert_eq!(words("call c Add {no json"), ["call", "c", "Add", "{no json"]);
        assert!(words(" \n").is_empty());
    }
}
