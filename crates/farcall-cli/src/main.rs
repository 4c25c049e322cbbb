//! The `farcall` command: look into a farcall cluster, call its actors, and make the certificates of its nodes, from a
//! shell.
//!
//! ```text
//! main ── args     what was asked
//!      ── session  a node without a listener, and the node it talks to
//!      ── identity who the command is to that node
//!      ── call  many  look  ping   the commands that talk to it
//!      ── inside       what a node tells of itself, and what it is ordered to do
//!      ── hosts        which nodes are on a host
//!      ── health       is the node well that is configured here
//!      ── top  web     a live view of a node, in a terminal and in a browser
//!      ── shell  line  commands from lines
//!      ── dynamic  JSON to messages and back, through the layouts that `describe` tells
//!      ── pages        completions and man pages
//!      ── cert     certificates: needs no node and no cookie
//!      ── table  output  report       what a person or a program gets to read
//! ```

mod args;
mod call;
mod cert;
mod dynamic;
mod health;
mod hosts;
mod identity;
mod inside;
mod line;
mod look;
mod many;
mod output;
mod pages;
mod ping;
mod report;
mod session;
mod shell;
mod table;
mod top;
mod web;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Args, Command, Names, NodeOrHost, Remote};
use crate::inside::args::Inside;
use crate::many::Verb;
use crate::output::Output;
use crate::report::Report;
use crate::session::Session;

fn main() -> ExitCode {
    let args = Args::parse();
    log_to_stderr(args.general.verbose);
    let mut output = Output::new(args.general.json);
    let ended = match &args.command {
        Command::Remote(Remote::Names(Names { of: NodeOrHost::Host(host), port, options })) => {
            system(hosts::names(host, *port, options, &mut output))
        }
        Command::Remote(Remote::Inside(Inside::Config(asked))) if asked.keys => {
            inside::settings::all(asked, &mut output)
        }
        Command::Remote(remote) => remote.begin().and_then(|ready| system(run(remote, ready, &mut output))),
        Command::Health(asked) => {
            health::find(asked).and_then(|found| system(health::check(found, asked.wait, &mut output)))
        }
        Command::Shell(args) => return ExitCode::from(system(shell::shell(args, &mut output))),
        Command::Top(top) => system(top::top(top, &mut output)),
        Command::Web(web) => system(web::web(web, &mut output)),
        Command::Completions { shell } => pages::completions(*shell, &mut output),
        Command::Man { out } => pages::man(out.as_deref(), &mut output),
        Command::Cert(cert) => cert::run(cert, &mut output),
    };
    output.end(ended)
}

/// Runs it to its end and no longer. Whoever drops a runtime waits for its threads, and one that looks up a host may hang
/// for a minute behind the deadline of its command.
fn system<T>(run: impl Future<Output = T>) -> T {
    let system = actix_rt::System::new();
    let ended = system.block_on(run);
    std::mem::forget(system);
    ended
}

/// A command whose arguments are read completely, also those that come from standard input.
enum Ready<'a> {
    Many(Verb, &'a args::Many, Option<serde_json::Value>),
    Stream(&'a args::Call, Option<serde_json::Value>),
    Monitor(&'a args::Monitor),
    Call(&'a args::Call, Option<serde_json::Value>),
    Cast(&'a args::Cast, Option<serde_json::Value>),
    Ping(&'a args::Ping),
    Names,
    Describe(&'a args::Describe),
    Inside(&'a Inside),
}

impl Remote {
    /// Reads the message before anything is connected: what is wrong with it needs no network to be found.
    fn begin(&self) -> Result<Ready<'_>, Report> {
        Ok(match self {
            Self::Call(call) => Ready::Call(call, call.message.read()?),
            Self::Cast(cast) => Ready::Cast(cast, cast.message.read()?),
            Self::Multicall(many) => Ready::Many(Verb::Multicall, many, many.read()?),
            Self::Abcast(many) => Ready::Many(Verb::Abcast, many, many.read()?),
            Self::Sbcast(many) => Ready::Many(Verb::Sbcast, many, many.read()?),
            Self::Stream(call) => Ready::Stream(call, call.message.read()?),
            Self::Monitor(monitor) => Ready::Monitor(monitor),
            Self::Ping(ping) => Ready::Ping(ping),
            Self::Names(_) => Ready::Names,
            Self::Describe(describe) => Ready::Describe(describe),
            Self::Inside(inside) => Ready::Inside(inside),
        })
    }
}

async fn run(remote: &Remote, command: Ready<'_>, output: &mut Output) -> Result<(), Report> {
    let (node, options) = remote.peer()?;
    if let Ready::Many(verb, many, json) = &command {
        let opened =
            many.nodes.0.iter().map(|node| async move { (node.clone(), Session::open(options, node).await) });
        let sessions = futures::future::join_all(opened).await;
        let done = many::run(*verb, &sessions, many, json.as_ref(), output).await;
        let close = sessions.into_iter().filter_map(|(_, session)| Some(session.ok()?.close(true)));
        futures::future::join_all(close).await;
        return done;
    }
    let session = Session::open(options, node).await?;
    let done = perform(&session, command, output).await;
    let done = done.map_err(|report| session.explain(report));
    session.close(done.is_ok()).await;
    done
}

async fn perform(session: &Session, command: Ready<'_>, output: &mut Output) -> Result<(), Report> {
    match command {
        Ready::Call(call, json) => call::call(session, call, json.as_ref(), output).await,
        Ready::Cast(cast, json) => call::cast(session, cast, json.as_ref(), output).await,
        Ready::Stream(call, json) => call::stream(session, call, json.as_ref(), output).await,
        Ready::Monitor(asked) => many::monitor(session, asked, output).await,
        // Has sessions of its own.
        Ready::Many(..) => Ok(()),
        Ready::Ping(ping) => ping::ping(session, ping, output).await,
        Ready::Names => look::names(session, output).await,
        Ready::Describe(describe) => look::describe(session, describe.actor.as_deref(), output).await,
        Ready::Inside(inside) => inside::run(session, inside, output).await,
    }
}

/// Nothing unless asked for: an error is reported once, with all that is known. `RUST_LOG` has its usual meaning.
fn log_to_stderr(verbose: u8) {
    let level = match verbose {
        0 => "off",
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or(level)).init();
}
