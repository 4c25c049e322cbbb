//! `farcall shell`: the commands that talk to nodes, one a line, over connections that stay open between them.

mod complete;
mod editor;
mod jobs;
mod own;

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use farcall::{Node, NodeName};
use parking_lot::Mutex;
use tokio::signal::unix::{Signal, SignalKind, signal};

use self::complete::Known;
use self::editor::Editor;
use self::jobs::Jobs;
use crate::args::{Args, Call, Cast, Command, Many, Options, Remote, Shell};
use crate::inside::args::Inside;
use crate::line::{self, Input, Words};
use crate::many;
use crate::output::Output;
use crate::report::Report;
use crate::session::Session;

/// What can be typed.
const HELP: &str = "\
call [NODE] ACTOR MESSAGE [JSON]          call an actor and print its answer
cast [NODE] ACTOR MESSAGE [JSON]          send one way
stream [NODE] ACTOR MESSAGE [JSON]        call an actor that answers with many items
async [NODE] ACTOR MESSAGE [JSON]         call, and print a number instead of waiting
yield N, nb_yield N [TIME]                wait for the answer of call N; for so long at most
multicall NODE,NODE ACTOR MESSAGE [JSON]  call on many nodes
abcast, sbcast NODE,NODE ACTOR MESSAGE [JSON]  send one way to many, without waiting, or until the mailboxes have it
monitor [NODE] ACTOR                      wait until an actor is gone
connect NODE, disconnect NODE             open and close a connection
ping [NODE]                               measure the way to a node and back
names [NODE], describe [NODE] [ACTOR]     list its actors, show their messages
nodes, links, actors [NODE]               list its nodes, connections, actors
groups, services [NODE]                   list the groups and services it knows of
limits, events, metrics [NODE]            list its counters and limits, what happened lately
config [NODE] [KEY]                       list its configuration; --changed, what is not the default
log [NODE] LEVEL [MODULE]                 change what it logs
drain [NODE]                              have it shut down in good order
help [COMMAND]                            this, or all that a command takes
exit                                      end the console

Without NODE it is the node that the console was opened on. JSON stands last and needs no quotes around it. Options follow
as on the command line, and count for their line: call counter Total --raw. Lines that begin with # are comments.";

/// Commands that are those of the command line.
const COMMANDS: [&str; 21] = [
    "call",
    "cast",
    "stream",
    "multicall",
    "abcast",
    "sbcast",
    "monitor",
    "ping",
    "names",
    "describe",
    "nodes",
    "links",
    "actors",
    "groups",
    "services",
    "limits",
    "events",
    "metrics",
    "config",
    "log",
    "drain",
];

/// All that can be typed, for completion.
const TYPED: [&str; 29] = [
    "call",
    "cast",
    "stream",
    "multicall",
    "abcast",
    "sbcast",
    "monitor",
    "ping",
    "names",
    "describe",
    "nodes",
    "links",
    "actors",
    "groups",
    "services",
    "limits",
    "events",
    "metrics",
    "config",
    "log",
    "drain",
    "async",
    "yield",
    "nb_yield",
    "connect",
    "disconnect",
    "help",
    "exit",
    "quit",
];

/// More than the largest message as JSON by default; what is larger comes from a file, with `farcall call`.
const LINE_BYTES_MAX: usize = 64 << 20;

/// How long `nb_yield` waits by itself.
const NB_YIELD: Duration = Duration::from_millis(10);

/// A connection that is open, and what it was opened with.
struct Open {
    options: Options,
    session: Session,
    /// The last line had its answer.
    answers: bool,
}

/// The console between two lines.
struct State<'a> {
    shell: &'a Shell,
    /// The node of the console, if it is one that others see.
    own: Option<Node>,
    sessions: HashMap<NodeName, Open>,
    jobs: Jobs,
    known: Arc<Mutex<Known>>,
}

/// Where lines come from.
enum Lines {
    /// Somebody at a terminal.
    Typed(Editor),
    /// A file or a pipe; at a terminal if only the output is none.
    Read { at_terminal: bool },
}

/// Reads and follows lines until their end. The exit code is that of the first that failed, for scripts; people have seen it.
pub(crate) async fn shell(shell: &Shell, output: &mut Output) -> u8 {
    let at_terminal = io::stdin().is_terminal();
    // A script ends by Ctrl-C; a person ends what runs too long, and goes on.
    let mut interrupts = at_terminal.then(|| signal(SignalKind::interrupt()).ok()).flatten();
    let mut state = State {
        shell,
        own: None,
        sessions: HashMap::new(),
        jobs: Jobs::default(),
        known: Arc::new(Mutex::new(Known::default())),
    };
    let lines = state.lines(at_terminal);
    if let Err(report) = state.begin(&lines, output).await {
        output.tell(&report);
        return report.exit;
    }
    let (json, mut code) = (output.is_json(), 0);
    while !output.is_closed() {
        let done = match lines.next(&mut interrupts).await {
            Ok(Input::End) => break,
            Ok(Input::Unreadable(why)) => Err(usage(why)),
            Ok(Input::Line(line)) => match Words::of(&line, takes_value) {
                Err(why) => Err(usage(why)),
                Ok(words) if words.command.is_empty() => continue,
                Ok(words) if matches!(words.command.as_str(), "exit" | "quit") => break,
                Ok(words) => tokio::select! {
                    done = state.follow(words, output) => done,
                    () = interrupt(&mut interrupts) => Err(interrupted()),
                },
            },
            Err(error) => {
                output.tell(&Report::here("input", format!("the next line cannot be read: {error}"), ""));
                code = if code == 0 { 1 } else { code };
                break;
            }
        };
        let mut failed = output.take_failed();
        if let Err(report) = done {
            output.tell(&report);
            failed = report.exit;
        }
        code = if code == 0 { failed } else { code };
        output.set_json(json);
    }
    tokio::select! {
        () = state.end() => {}
        () = interrupt(&mut interrupts) => {}
    }
    if at_terminal { 0 } else { code }
}

impl Lines {
    async fn next(&self, interrupts: &mut Option<Signal>) -> io::Result<Input> {
        match self {
            Self::Typed(editor) => editor.line().await,
            Self::Read { at_terminal } => next_line(*at_terminal, interrupts).await,
        }
    }
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

impl State<'_> {
    /// An editor for somebody at a terminal; plain lines for everybody else.
    fn lines(&self, at_terminal: bool) -> Lines {
        let prompt = self.shell.node.as_ref().or(self.shell.options.name.as_ref());
        let prompt = prompt.map_or_else(|| "farcall".to_owned(), NodeName::to_string);
        if at_terminal && io::stdout().is_terminal() {
            match Editor::start(self.known.clone(), &TYPED, prompt) {
                Ok(editor) => return Lines::Typed(editor),
                Err(error) => log::warn!("no line editor: {error}"),
            }
        }
        Lines::Read { at_terminal }
    }

    /// Starts the console's own node, if it has one; and learns what its node lets others call.
    async fn begin(&mut self, lines: &Lines, output: &mut Output) -> Result<(), Report> {
        let Shell { node, listen, options } = self.shell;
        if let (Some(listen), Some(name)) = (listen, &options.name) {
            let print: Box<dyn Fn(String)> = match lines {
                Lines::Typed(editor) => {
                    let above = editor.above.clone();
                    Box::new(move |line| above(crate::output::plain(&line).into_owned()))
                }
                Lines::Read { .. } => Box::new(|line| {
                    // Whoever does not read it has ended.
                    let _ = writeln!(io::stdout(), "{}", crate::output::plain(&line));
                }),
            };
            let own = own::start(name, *listen, options, print).await?;
            let on = own.listening_on().iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            output.text(&format!("{name} is up on {on}; others call its actor console"))?;
            self.own = Some(own);
        }
        let default = node.clone().or_else(|| self.own.as_ref().map(|own| own.name().clone()));
        {
            let mut known = self.known.lock();
            known.default = default.as_ref().map(NodeName::to_string);
            known.nodes.extend(default.as_ref().map(NodeName::to_string));
        }
        // At a terminal it is known before somebody has typed so far; a script needs it not.
        if let (Lines::Typed(_), Some(default)) = (lines, default)
            && let Ok(session) = self.open(&default, options).await
        {
            self.learn(&session);
            let open = Open { options: options.clone(), session, answers: true };
            self.sessions.insert(default, open);
        }
        Ok(())
    }

    /// A connection to a node, by the console's own node if it has one.
    async fn open(&self, node: &NodeName, options: &Options) -> Result<Session, Report> {
        match &self.own {
            Some(own) => Ok(Session::of(own, options, node)),
            None => Session::open(options, node).await,
        }
    }

    /// Asks what a node lets others call, while other things go on.
    fn learn(&self, session: &Session) {
        let (known, session) = (self.known.clone(), session.clone());
        actix_rt::spawn(async move {
            if let Ok(told) = session.node.describe(&session.target).await {
                known.lock().learn(told);
            }
        });
    }

    async fn follow(&mut self, mut words: Words, output: &mut Output) -> Result<(), Report> {
        match (words.command.as_str(), words.rest.as_slice()) {
            ("yield", [number]) => return self.jobs.fetch(number, None, output).await,
            ("nb_yield", [number]) => return self.jobs.fetch(number, Some(NB_YIELD), output).await,
            ("nb_yield", [number, within]) => {
                let within = crate::args::time(within).map_err(usage)?;
                return self.jobs.fetch(number, Some(within), output).await;
            }
            ("yield" | "nb_yield", _) => return Err(usage("yield N, or nb_yield N [TIME]".to_owned())),
            _ => {}
        }
        let typed = words.command.clone();
        words.command = as_on_the_command_line(&typed).to_owned();
        let (remote, json) = match parse(self.shell, self.own.as_ref(), words)? {
            Line::Help(text) => return output.text(&text),
            Line::Remote { remote, json } => (remote, json),
        };
        if reads_input(&remote) {
            let remedy = "write the JSON behind the message, or use `farcall call` for a file";
            let what = "a message cannot come from standard input, from which the console has its lines";
            return Err(Report { remedy: remedy.to_owned(), ..usage(what.to_owned()) });
        }
        output.set_json(json || output.is_json());
        if let Remote::Inside(Inside::Config(asked)) = &*remote
            && asked.keys
        {
            return crate::inside::settings::all(asked, output);
        }
        if typed == "disconnect" {
            return self.disconnect(remote.peer()?.0, output).await;
        }
        if let Remote::Multicall(many) | Remote::Abcast(many) | Remote::Sbcast(many) = &*remote {
            return self.many(&typed, many, output).await;
        }
        self.perform(&typed, &remote, output).await
    }

    /// A line about one node.
    async fn perform(&mut self, typed: &str, remote: &Remote, output: &mut Output) -> Result<(), Report> {
        let ready = remote.begin()?;
        let (node, options) = remote.peer()?;
        // Out of the table until the line is done: one that was interrupted is not used again.
        let mut open = self.take(node, options).await?;
        open.session.begin(options.timeout);
        let done = match (typed, ready) {
            ("async", crate::Ready::Call(call, json)) => {
                self.jobs.begin(open.session.clone(), call.message.clone(), json, output)
            }
            (_, ready) => crate::perform(&open.session, ready, output).await,
        };
        let done = done.map_err(|report| open.session.explain(report));
        let reason = done.as_ref().map_or_else(|report| report.reason, |()| "");
        if matches!(reason, "connect_failed" | "handshake_failed") {
            // The next line tries again without a pause, and with cookies and certificates as they are then.
            actix_rt::spawn(open.session.close(true));
        } else {
            open.answers = !done.as_ref().is_err_and(|report| report.class == "unknown");
            self.sessions.insert(node.clone(), open);
        }
        done
    }

    /// The connection to a node, opened if need be, and out of the table.
    async fn take(&mut self, node: &NodeName, options: &Options) -> Result<Open, Report> {
        match self.sessions.remove(node) {
            Some(open) if open.options.are_for_the_way_of(options) => return Ok(open),
            // One at a time: over TLS both would have the name in the certificate.
            Some(other) => other.session.close(other.answers).await,
            None => {}
        }
        let session = self.open(node, options).await?;
        self.known.lock().nodes.insert(node.to_string());
        self.learn(&session);
        Ok(Open { options: options.clone(), session, answers: true })
    }

    async fn many(&mut self, typed: &str, many: &Many, output: &mut Output) -> Result<(), Report> {
        let verb = match typed {
            "multicall" => many::Verb::Multicall,
            "abcast" => many::Verb::Abcast,
            _ => many::Verb::Sbcast,
        };
        let json = many.read()?;
        let mut sessions = Vec::new();
        for node in &many.nodes.0 {
            let opened = self.take(node, &many.options).await;
            sessions.push((
                node.clone(),
                opened.map(|open| {
                    let mut session = open.session.clone();
                    session.begin(many.options.timeout);
                    self.sessions.insert(node.clone(), open);
                    session
                }),
            ));
        }
        many::run(verb, &sessions, many, json.as_ref(), output).await
    }

    async fn disconnect(&mut self, node: &NodeName, output: &mut Output) -> Result<(), Report> {
        match self.sessions.remove(node) {
            Some(open) => {
                open.session.close(open.answers).await;
                output.text(&format!("{node} is disconnected"))
            }
            None => output.text(&format!("{node} was not connected")),
        }
    }

    /// All at once, and as elsewhere nobody waits for a node that gave no answer.
    async fn end(&mut self) {
        let sessions = std::mem::take(&mut self.sessions);
        let close = sessions.into_values().map(|open| open.session.close(open.answers));
        futures::future::join_all(close).await;
        if let Some(own) = self.own.take() {
            own.shutdown().await;
        }
    }
}

/// What a line asks for.
enum Line {
    Help(String),
    Remote { remote: Box<Remote>, json: bool },
}

/// The command of a line, with the options of the console before its own.
fn parse(shell: &Shell, own: Option<&Node>, mut words: Words) -> Result<Line, Report> {
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
    let default = shell.node.as_ref().or(own.map(Node::name));
    if let (None, Some(node)) = (words.node(), default) {
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

/// The command that takes the same words as one of the console only.
fn as_on_the_command_line(typed: &str) -> &str {
    match typed {
        "async" => "call",
        "connect" | "disconnect" => "ping",
        typed => typed,
    }
}

/// Whether the next word is the value of this option.
fn takes_value(command: &str, option: &str) -> bool {
    let args = Args::command();
    let Some(name) = option.strip_prefix("--") else { return false };
    let found = args.find_subcommand(as_on_the_command_line(command));
    let found = found.and_then(|command| command.get_opts().find(|one| one.get_long() == Some(name)));
    found.is_some_and(|option| option.get_action().takes_values())
}

fn reads_input(remote: &Remote) -> bool {
    match remote {
        Remote::Call(Call { message, .. })
        | Remote::Stream(Call { message, .. })
        | Remote::Cast(Cast { message, .. }) => message.content.as_deref() == Some("-"),
        Remote::Multicall(many) | Remote::Abcast(many) | Remote::Sbcast(many) => {
            many.content.as_deref() == Some("-")
        }
        _ => false,
    }
}

fn usage(message: String) -> Report {
    Report { exit: 2, ..Report::here("usage", message, "`help` lists the commands") }
}
