//! `farcall shell`: the commands that talk to nodes, one a line, over connections that stay open between them.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::pin::pin;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use farcall::NodeName;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::args::{Args, Call, Cast, Command, Options, Remote, Shell};
use crate::line::{self, Input, Words};
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
nodes, links, actors [NODE]           list its nodes, connections, actors
groups, services [NODE]               list the groups and services it knows of
limits, events, metrics [NODE]        list its counters and limits, what happened lately
log [NODE] LEVEL [MODULE]             change what it logs
drain [NODE]                          have it shut down in good order
help [COMMAND]                        this, or all that a command takes
exit                                  end the console

Without NODE it is the node that the console was opened on. JSON stands last and needs no quotes around it. Options follow
as on the command line, and count for their line: call counter Total --raw. Lines that begin with # are comments.";

const COMMANDS: [&str; 15] = [
    "call", "cast", "ping", "names", "describe", "nodes", "links", "actors", "groups", "services", "limits",
    "events", "metrics", "log", "drain",
];

/// More than the largest message as JSON by default; what is larger comes from a file, with `farcall call`.
const LINE_BYTES_MAX: usize = 64 << 20;

/// A connection that is open, and what it was opened with.
struct Open {
    options: Options,
    session: Session,
    /// The last line had its answer.
    answers: bool,
}

type Sessions = HashMap<NodeName, Open>;

/// Reads and follows lines until their end. The exit code is that of the first that failed, for scripts; people have seen it.
pub(crate) async fn shell(shell: &Shell, output: &mut Output) -> u8 {
    let at_terminal = io::stdin().is_terminal();
    // A script ends by Ctrl-C; a person ends what runs too long, and goes on.
    let mut interrupts = at_terminal.then(|| signal(SignalKind::interrupt()).ok()).flatten();
    let mut sessions = Sessions::new();
    let (json, mut code) = (output.is_json(), 0);
    while !output.is_closed() {
        let done = match next_line(at_terminal, &mut interrupts).await {
            Ok(Input::End) => break,
            Ok(Input::Unreadable(why)) => Err(usage(why)),
            Ok(Input::Line(line)) => match Words::of(&line, takes_value) {
                Err(why) => Err(usage(why)),
                Ok(words) if words.command.is_empty() => continue,
                Ok(words) if matches!(words.command.as_str(), "exit" | "quit") => break,
                Ok(words) => tokio::select! {
                    done = follow(shell, words, &mut sessions, output) => done,
                    () = interrupt(&mut interrupts) => Err(interrupted()),
                },
            },
            Err(error) => {
                output.tell(&Report::here("input", format!("the next line cannot be read: {error}"), ""));
                code = if code == 0 { 1 } else { code };
                break;
            }
        };
        if let Err(report) = done {
            output.tell(&report);
            code = if code == 0 { report.exit } else { code };
        }
        output.set_json(json);
    }
    // All at once, and as elsewhere nobody waits for a node that gave no answer.
    let close = sessions.into_values().map(|open| open.session.close(open.answers));
    tokio::select! {
        _ = futures::future::join_all(close) => {}
        () = interrupt(&mut interrupts) => {}
    }
    if at_terminal { 0 } else { code }
}

/// What is typed next, without keeping anything else from its turn.
async fn next_line(at_terminal: bool, interrupts: &mut Option<Signal>) -> io::Result<Input> {
    let prompts = at_terminal && io::stderr().is_terminal();
    let prompt = |text: &str| {
        if prompts {
            // A prompt that cannot be shown is not missed.
            let _ = write!(io::stderr(), "{text}").and_then(|()| io::stderr().flush());
        }
    };
    prompt("farcall> ");
    let read = || line::read(&mut io::stdin().lock(), LINE_BYTES_MAX);
    let mut reading = pin!(tokio::task::spawn_blocking(read));
    loop {
        tokio::select! {
            read = &mut reading => {
                let read = read.map_err(io::Error::other)?;
                if matches!(read, Ok(Input::End)) {
                    prompt("\n");
                }
                return read;
            }
            // What was typed is gone: the terminal saw to that.
            () = interrupt(interrupts) => prompt("\nfarcall> "),
        }
    }
}

/// Never, without somebody who could press it.
async fn interrupt(interrupts: &mut Option<Signal>) {
    if let Some(interrupts) = interrupts
        && interrupts.recv().await.is_some()
    {
        return;
    }
    std::future::pending().await
}

fn interrupted() -> Report {
    let message = "interrupted before it was done".to_owned();
    let remedy = "the console is still open: `exit` ends it".to_owned();
    Report { class: "unknown", reason: "interrupted", may_have_run: true, message, remedy, exit: 6 }
}

async fn follow(
    shell: &Shell,
    words: Words,
    sessions: &mut Sessions,
    output: &mut Output,
) -> Result<(), Report> {
    let (remote, json) = match parse(shell, words)? {
        Line::Help(text) => return output.text(&text),
        Line::Remote { remote, json } => (remote, json),
    };
    if reads_input(&remote) {
        let remedy = "write the JSON behind the message, or use `farcall call` for a file";
        let what = "a message cannot come from standard input, from which the console has its lines";
        return Err(Report { remedy: remedy.to_owned(), ..usage(what.to_owned()) });
    }
    let ready = remote.begin()?;
    let (node, options) = remote.peer()?;
    // Out of the table until the line is done: one that was interrupted is not used again.
    let mut open = match sessions.remove(node) {
        Some(open) if open.options == *options => open,
        other => {
            if let Some(other) = other {
                // One at a time: over TLS both would have the name in the certificate.
                other.session.close(other.answers).await;
            }
            Open { options: options.clone(), session: Session::open(options, node).await?, answers: true }
        }
    };
    open.session.begin(options.timeout);
    output.set_json(json || output.is_json());
    let done = crate::perform(&open.session, ready, output).await;
    let done = done.map_err(|report| open.session.explain(report));
    let reason = done.as_ref().map_or_else(|report| report.reason, |()| "");
    if matches!(reason, "connect_failed" | "handshake_failed") {
        // The next line tries again without a pause, and with cookies and certificates as they are then.
        actix_rt::spawn(open.session.close(true));
    } else {
        open.answers = !done.as_ref().is_err_and(|report| report.class == "unknown");
        sessions.insert(node.clone(), open);
    }
    done
}

/// What a line asks for.
enum Line {
    Help(String),
    Remote { remote: Box<Remote>, json: bool },
}

/// The command of a line, with the options of the console before its own.
fn parse(shell: &Shell, mut words: Words) -> Result<Line, Report> {
    if words.command == "help" {
        let Some(about) = words.rest.first() else { return Ok(Line::Help(HELP.to_owned())) };
        words.command = about.clone();
        words.rest = vec!["--help".to_owned()];
    }
    if !COMMANDS.contains(&words.command.as_str()) {
        return Err(usage(format!("{} is no command of the console", words.command)));
    }
    let is_own = words.node().is_none_or(|node| shell.node.as_ref().is_none_or(|own| own.as_str() == node));
    let mut line = vec![OsString::from("farcall"), words.command.clone().into()];
    for (option, value) in shell.options.typed() {
        let is_said = words.has(option) || (option == "--key" && words.has("--certificate"));
        // Where the one node is, the others are not.
        if !is_said && (is_own || option != "--at") {
            line.extend([option.into(), value]);
        }
    }
    if let (None, Some(node)) = (words.node(), &shell.node) {
        line.push(node.as_str().into());
    }
    line.extend(words.rest.iter().map(OsString::from));
    match Args::try_parse_from(line) {
        Ok(Args { general, .. }) if general.verbose > 0 => {
            Err(usage("-v is an option of the console, not of a line".to_owned()))
        }
        Ok(Args { command: Command::Remote(remote), general }) => {
            Ok(Line::Remote { remote: Box::new(remote), json: general.json })
        }
        Ok(_) => Err(usage(format!("{} is no command of the console", words.command))),
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            Ok(Line::Help(error.render().to_string().trim_end().to_owned()))
        }
        Err(error) => Err(usage(error.render().to_string().trim().trim_start_matches("error: ").to_owned())),
    }
}

/// Whether the next word is the value of this option.
fn takes_value(command: &str, option: &str) -> bool {
    let args = Args::command();
    let Some(name) = option.strip_prefix("--") else { return false };
    let found = args.find_subcommand(command);
    let found = found.and_then(|command| command.get_opts().find(|one| one.get_long() == Some(name)));
    found.is_some_and(|option| option.get_action().takes_values())
}

fn reads_input(remote: &Remote) -> bool {
    match remote {
        Remote::Call(Call { message, .. }) | Remote::Cast(Cast { message, .. }) => {
            message.content.as_deref() == Some("-")
        }
        _ => false,
    }
}

fn usage(message: String) -> Report {
    Report { exit: 2, ..Report::here("usage", message, "`help` lists the commands") }
}
