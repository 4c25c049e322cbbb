//! What can be asked for on the command line.

mod many;

use std::ffi::OsString;
use std::io::Read;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};
use farcall::{Address, NodeName};
use serde_json::Value;

pub(crate) use self::many::{Many, Monitor};
use crate::cert::args::Cert;
use crate::inside::args::Inside;
use crate::report::Report;
use crate::top::{INTERVAL_MIN, Page};

/// Look into a farcall cluster, call its actors, and make the certificates of its nodes.
///
/// The command joins the cluster as a node of its own that nobody can call: it needs the cookie file of the cluster,
/// over TLS a certificate, and a way to the node it is to talk to, nothing else. Messages are written as JSON; what
/// they look like, the node itself tells: `farcall describe NODE`. `farcall cert` needs neither cookie nor node.
#[derive(Debug, Parser)]
#[command(name = "farcall", version, verbatim_doc_comment, args_override_self = true, after_help = EXAMPLES, after_long_help = LONG_EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) general: General,
}

const EXAMPLES: &str = "\
Examples:
  farcall names beta@127.0.0.1
  farcall describe beta@127.0.0.1 counter
  farcall call beta@127.0.0.1 counter Add '{\"amount\":1}'

`farcall --help` shows more of them, and the exit codes.";

const LONG_EXAMPLES: &str = "\
Examples:
  What runs there, and what can be sent to it:
    farcall names beta@127.0.0.1
    farcall describe beta@127.0.0.1 counter

  Call an actor and print its answer; a message without fields needs no JSON; `-` reads it from standard input:
    farcall call beta@127.0.0.1 counter Add '{\"amount\":1}'
    farcall call beta@127.0.0.1 counter Total
    farcall call beta@127.0.0.1 store Put - < item.json

  What goes on inside it: its connections, the actors with what waits for them, what happened lately:
    farcall links beta@127.0.0.1
    farcall actors beta@127.0.0.1
    farcall events beta@127.0.0.1

  Which nodes are on a host, by its port mapper (theirs, or epmd):
    farcall names 127.0.0.1

  Send one way, and know that the actor has it:
    farcall cast beta@127.0.0.1 counter Add '{\"amount\":1}'

  Several commands over one connection, typed or from a pipe:
    farcall shell beta@127.0.0.1
    echo 'call counter Add {\"amount\": 1}' | farcall shell beta@127.0.0.1

  Is the node well that is configured here? For containers and services:
    farcall health

  A node that is not where its name says, or not on the usual port:
    farcall ping beta@cluster --at 127.0.0.1:7000 --count 5

  Certificates: an authority, one for a node, and one for this command, with which it calls over TLS:
    farcall cert ca
    farcall cert node beta@10.0.0.2
    farcall cert node ops@10.0.0.1
    farcall names beta@10.0.0.2 --certificate ~/.config/farcall/tls/ops@10.0.0.1.pem

Exit codes:
  0  done
  1  something here: the cookie file, the configuration, the JSON, a certificate or its key, the output
  2  wrong usage
  3  not sent: it surely did not run
  4  rejected by the node: it surely did not run
  5  failed: it began to run and gave no answer
  6  unknown: it may have run; no answer in time, or the connection was lost";

/// What every command takes.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct General {
    /// One JSON document a line, errors too, on standard output
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// Log to standard error; twice for more, three times for all
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

/// What every command takes that talks to a node.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
#[command(next_help_heading = "Options of the connection")]
pub(crate) struct Options {
    /// How long it may take as a whole; for a stream, until it is open
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = time)]
    pub(crate) timeout: Duration,

    /// The file with the cookie of the cluster; default: as every node on this machine
    #[arg(long, value_name = "PATH")]
    pub(crate) cookie_file: Option<PathBuf>,

    /// The configuration file; default: $FARCALL_CONFIG, or farcall.toml if it is there
    ///
    /// Its addresses, discovery, driver, certificates, cluster name, cookie file and limits count; the node's name and
    /// what it listens on do not. FARCALL_* variables are laid over it, as with every node.
    #[arg(long, value_name = "FILE", verbatim_doc_comment)]
    pub(crate) config: Option<PathBuf>,

    /// Where the node is, when its name does not say; may begin with tls:// or tcp://
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) at: Option<Address>,

    /// The certificate of this command, for TLS; default: that of the configuration
    ///
    /// It is not that of the node: `farcall cert node ops@HOST` makes one. --certificate and --ca mean TLS, unless the
    /// address of the node begins with tcp://.
    #[arg(long, value_name = "PATH", verbatim_doc_comment)]
    pub(crate) certificate: Option<PathBuf>,

    /// Its private key; default: NAME-key.pem beside NAME.pem
    #[arg(long, value_name = "PATH", requires = "certificate")]
    pub(crate) key: Option<PathBuf>,

    /// The authority that made the node's certificate; may be repeated
    ///
    /// Default: those of the configuration, else ca.pem beside the certificate, and then crl.pem too if it is there.
    #[arg(long = "ca", value_name = "PATH", verbatim_doc_comment)]
    pub(crate) authorities: Vec<PathBuf>,

    /// The name this command has as a node; default: that in its certificate, else cli-PID@127.0.0.1
    #[arg(long, value_name = "NAME@HOST")]
    pub(crate) name: Option<NodeName>,
}

impl Options {
    /// Whether both lead to a node in the same way, however long it may take.
    pub(crate) fn are_for_the_way_of(&self, other: &Self) -> bool {
        Self { timeout: other.timeout, ..self.clone() } == *other
    }

    /// As they would be typed, each with its value.
    pub(crate) fn typed(&self) -> Vec<(&'static str, OsString)> {
        let Self { timeout, cookie_file, config, at, certificate, key, authorities, name } = self;
        let path = |path: &Option<PathBuf>| path.clone().map(OsString::from);
        let once = [
            ("--timeout", Some(format!("{}us", timeout.as_micros()).into())),
            ("--cookie-file", path(cookie_file)),
            ("--config", path(config)),
            ("--at", at.as_ref().map(|at| at.to_string().into())),
            ("--certificate", path(certificate)),
            ("--key", path(key)),
            ("--name", name.as_ref().map(|name| name.as_str().into())),
        ];
        let once = once.into_iter().filter_map(|(option, value)| Some((option, value?)));
        once.chain(authorities.iter().map(|authority| ("--ca", authority.into()))).collect()
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(flatten)]
    Remote(Remote),
    /// Ask the node that is configured here whether it is well; for health checks
    ///
    /// Run it with the configuration of the node: its farcall.toml, or its FARCALL_* variables. It connects as a peer
    /// does, so what is well is more than a port. The exit code is 0 if the node answers within --timeout, 3 if it does
    /// not, 1 if something is wrong here.
    ///
    /// Over TLS it shows the certificate of the node if that is for its whole host, else health@HOST.pem beside it,
    /// which `farcall cert node health@HOST` makes.
    #[command(verbatim_doc_comment)]
    Health(Health),
    /// Type commands, one a line, over connections that stay open
    ///
    /// Also for scripts: lines from a file or a pipe are followed in turn, and the exit code is that of the first that
    /// failed; `#` begins a comment. `help` lists what can be typed. Options of a line count instead of these.
    #[command(verbatim_doc_comment)]
    Shell(Shell),
    /// Watch a node: its connections, actors, nodes, groups, limits and events, once a second
    ///
    /// It needs a terminal of 80 by 24; `--once` prints one frame for scripts, and with `--json` what one look tells.
    /// tab changes the page, enter looks closer (in the list of nodes: at that node), s sorts, / filters, p pauses, q
    /// quits.
    #[command(verbatim_doc_comment)]
    Top(Top),
    /// Watch a node, and those that it leads to, in a browser
    ///
    /// It serves one page, on this machine only unless --listen says otherwise, which needs nothing from elsewhere. It
    /// is read-only; with --write messages can be sent from it.
    #[command(verbatim_doc_comment)]
    Web(Web),
    /// Print what a shell needs to complete this command
    ///
    /// bash: farcall completions bash > ~/.local/share/bash-completion/completions/farcall (make the folder first)
    #[command(verbatim_doc_comment)]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write the manual pages of this command and all its subcommands
    ///
    /// Read them with: farcall man --out /tmp/man && man /tmp/man/farcall.1
    #[command(verbatim_doc_comment)]
    Man {
        /// The folder to write them to; without it the page of the command itself is printed
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// Make, show, check and revoke the certificates of nodes
    #[command(subcommand)]
    Cert(Cert),
}

// Ended by itself, it says why: a container gives it three seconds (docker/Dockerfile).
#[derive(Debug, clap::Args)]
#[command(mut_arg("timeout", |timeout| timeout.default_value("2s")))]
pub(crate) struct Health {
    /// Try again until it answers or the time is over; for whoever has just started the node
    #[arg(long)]
    pub(crate) wait: bool,
    #[command(flatten)]
    pub(crate) options: Options,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Shell {
    /// The node of lines that name none, as name@host
    pub(crate) node: Option<NodeName>,
    /// Be a node that others see and may call, with an actor named console; needs --name
    ///
    /// Without an address it listens at the host and port of its name.
    #[arg(long, value_name = "IP:PORT", num_args = 0..=1, requires = "name", verbatim_doc_comment)]
    pub(crate) listen: Option<Option<SocketAddr>>,
    #[command(flatten)]
    pub(crate) options: Options,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Top {
    /// The node, as name@host
    pub(crate) node: NodeName,
    /// Print one frame, and end
    #[arg(long)]
    pub(crate) once: bool,
    /// The page to begin with
    #[arg(long, value_enum)]
    pub(crate) page: Option<Page>,
    /// Between two looks
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = interval)]
    pub(crate) interval: Duration,
    #[command(flatten)]
    pub(crate) options: Options,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Web {
    /// The node to begin with, as name@host
    pub(crate) node: NodeName,
    /// Where browsers connect to; without encryption and without a password
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:9465")]
    pub(crate) listen: SocketAddr,
    /// Let messages be sent from the page
    #[arg(long)]
    pub(crate) write: bool,
    #[command(flatten)]
    pub(crate) options: Options,
}

fn interval(text: &str) -> Result<Duration, String> {
    let interval = time(text)?;
    match interval < INTERVAL_MIN {
        true => Err(format!("at least {INTERVAL_MIN:?}")),
        false => Ok(interval),
    }
}

/// A command that talks to a node.
#[derive(Debug, Subcommand)]
pub(crate) enum Remote {
    /// Call an actor and print its answer
    ///
    /// The answer is JSON, bytes in it are base64. A message that is answered by a stream prints one item a line, as
    /// they come.
    #[command(verbatim_doc_comment)]
    Call(Call),
    /// Send one way
    ///
    /// Waits until the actor's mailbox has the message, so that success means something; `--no-ack` only hands it to
    /// the node and learns nothing about what becomes of it there.
    #[command(verbatim_doc_comment)]
    Cast(Cast),
    /// Call an actor on many nodes at once, and list their answers in the order asked
    ///
    /// The exit code is that of the first node that gave no answer.
    #[command(verbatim_doc_comment)]
    Multicall(Many),
    /// Send one way to an actor on many nodes, without waiting
    Abcast(Many),
    /// Send one way to an actor on many nodes, and list whose mailbox has it
    Sbcast(Many),
    /// Call an actor that answers with many items, and print them as they come, one a line
    Stream(Call),
    /// Wait until an actor is gone, and say why
    ///
    /// It resolves at once if there is no such actor. Ctrl-C ends it.
    #[command(verbatim_doc_comment)]
    Monitor(Monitor),
    /// Measure the way to a node and back
    ///
    /// The answer comes from the node's connection, not from an actor. The time to connect is told apart.
    #[command(verbatim_doc_comment)]
    Ping(Ping),
    /// List the actors of a node, with the messages they accept; or the nodes of a host
    ///
    /// A name with an @ is a node. Without one it is a host, whose port mapper is asked, as `epmd -names` does: it needs no
    /// cookie on that host. From another host, a node that serves the mapper wants the cookie proved.
    #[command(verbatim_doc_comment)]
    Names(Names),
    /// Show the messages of a node's actors: layouts, and an example of each to copy
    Describe(Describe),
    #[command(flatten)]
    Inside(Inside),
}

impl Remote {
    /// The node, and how to get there; an error if it is a host that is asked.
    pub(crate) fn peer(&self) -> Result<(&NodeName, &Options), Report> {
        Ok(match self {
            Self::Call(Call { message, options, .. }) | Self::Cast(Cast { message, options, .. }) => {
                (&message.node, options)
            }
            Self::Ping(Ping { node, options, .. })
            | Self::Names(Names { of: NodeOrHost::Node(node), options, .. })
            | Self::Describe(Describe { node, options, .. }) => (node, options),
            Self::Stream(Call { message, options, .. }) => (&message.node, options),
            Self::Monitor(Monitor { node, options, .. }) => (node, options),
            Self::Multicall(many) | Self::Abcast(many) | Self::Sbcast(many) => (many.first()?, &many.options),
            Self::Inside(inside) => inside.peer()?,
            Self::Names(Names { of: NodeOrHost::Host(host), .. }) => {
                let what = format!("{host} is a host and no node");
                let remedy = format!("run `farcall names {host}` outside of the console");
                return Err(Report { exit: 2, ..Report::here("usage", what, remedy) });
            }
        })
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct Call {
    #[command(flatten)]
    pub(crate) message: Message,
    /// Print the answer as base64 of its bytes; for answers that hold opaque types
    #[arg(long)]
    pub(crate) raw: bool,
    /// End a stream after so many items
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) take: Option<u64>,
    #[command(flatten)]
    pub(crate) options: Options,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Cast {
    #[command(flatten)]
    pub(crate) message: Message,
    /// Do not wait until the actor's mailbox has it
    #[arg(long)]
    pub(crate) no_ack: bool,
    #[command(flatten)]
    pub(crate) options: Options,
}

/// A message, and whom it is for.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Message {
    /// The node, as name@host
    pub(crate) node: NodeName,
    /// The name under which the actor is registered
    pub(crate) actor: String,
    /// The name of the message
    pub(crate) message: String,
    /// Its content as JSON; `-` reads it from standard input; needless for a message without fields
    #[arg(value_name = "JSON", allow_negative_numbers = true)]
    pub(crate) content: Option<String>,
    /// The version the actor must have, like ^1.4
    #[arg(long, value_name = "VERSION", default_value = "", hide_default_value = true)]
    pub(crate) require_version: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Ping {
    /// The node, as name@host
    pub(crate) node: NodeName,
    /// How often
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: u64,
    /// The pause between two pings
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = time)]
    pub(crate) interval: Duration,
    #[command(flatten)]
    pub(crate) options: Options,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Names {
    /// The node, as name@host; or a host
    #[arg(value_name = "NODE", value_parser = node_or_host)]
    pub(crate) of: NodeOrHost,
    /// The port of the host's mapper; default: mapper.port of the configuration, which is 4369
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) port: Option<u16>,
    #[command(flatten)]
    pub(crate) options: Options,
}

/// Whose names are asked for.
#[derive(Debug, Clone)]
pub(crate) enum NodeOrHost {
    /// Those of a node's actors.
    Node(NodeName),
    /// Those of a host's nodes.
    Host(String),
}

fn node_or_host(text: &str) -> Result<NodeOrHost, String> {
    match text.contains('@') {
        true => text.parse().map(NodeOrHost::Node).map_err(|error: farcall::NameError| error.to_string()),
        // With any port; what it is dialled on is said apart.
        false => Address::new(text, 1)
            .map(|_| NodeOrHost::Host(text.to_owned()))
            .map_err(|error| error.to_string()),
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct Describe {
    /// The node, as name@host
    pub(crate) node: NodeName,
    /// Only this actor
    pub(crate) actor: Option<String>,
    #[command(flatten)]
    pub(crate) options: Options,
}

/// More JSON than any message can need.
const JSON_BYTES_MAX: u64 = 256 << 20;

impl Message {
    /// The content; what is left out is no fields.
    fn text(&self) -> Result<Option<String>, Report> {
        if self.content.as_deref() != Some("-") {
            return Ok(self.content.clone());
        }
        let mut text = String::new();
        let unreadable =
            |why: String| Report::here("bad_json", format!("standard input cannot be read: {why}"), "");
        let mut input = std::io::stdin().lock().take(JSON_BYTES_MAX + 1);
        input.read_to_string(&mut text).map_err(|error| unreadable(error.to_string()))?;
        if text.len() as u64 > JSON_BYTES_MAX {
            return Err(unreadable(format!("it is longer than {JSON_BYTES_MAX} bytes")));
        }
        Ok(Some(text))
    }

    pub(crate) fn read(&self) -> Result<Option<Value>, Report> {
        let Some(text) = self.text()? else { return Ok(None) };
        serde_json::from_str(&text).map(Some).map_err(|error| {
            let remedy =
                "quote it for your shell, as in '{\"amount\":1}'; `farcall describe` shows an example";
            Report::here("bad_json", format!("the content is no JSON: {error}"), remedy)
        })
    }
}

/// A time as it is written in a configuration: `500ms`, `5s`.
pub(crate) fn time(text: &str) -> Result<Duration, String> {
    const UNITS: [(&str, u64); 5] =
        [("us", 1), ("ms", 1000), ("s", 1_000_000), ("m", 60_000_000), ("h", 3_600_000_000)];
    const MICROS_MAX: u64 = 24 * 3_600_000_000;
    let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let size = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, size)| *size);
    let micros = size.and_then(|size| number.parse::<u64>().ok()?.checked_mul(size));
    match micros {
        Some(micros) if (1000..=MICROS_MAX).contains(&micros) => Ok(Duration::from_micros(micros)),
        _ => Err("write a whole number and a unit (us, ms, s, m, h), from 1ms to 24h: 500ms, 5s".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_hold_together() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_check_ends_before_a_container_ends_it_and_other_commands_have_more_time() {
        let timeout = |command| match Args::try_parse_from(["farcall", command]).unwrap().command {
            Command::Health(health) => health.options.timeout,
            Command::Shell(shell) => shell.options.timeout,
            _ => unreachable!(),
        };
        assert_eq!(timeout("health"), Duration::from_secs(2));
        assert_eq!(timeout("shell"), Duration::from_secs(5));
    }

    #[test]
    fn times_are_written_as_in_a_configuration() {
        assert_eq!(time("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(time("5s"), Ok(Duration::from_secs(5)));
        assert_eq!(time("24h"), Ok(Duration::from_secs(86_400)));
        for wrong in
            ["", "5", "s", "0s", "25h", "1d", "-1s", "1.5s", "99999999999999999999h", "9999999999999999h"]
        {
            assert!(time(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_message_may_be_a_negative_number_and_options_may_follow_it() {
        let args =
            Args::try_parse_from(["farcall", "call", "b@h", "counter", "Add", "-5", "--json"]).unwrap();
        assert!(args.general.json);
        let Command::Remote(Remote::Call(call)) = args.command else { panic!("a call") };
        assert_eq!(call.message.read().unwrap(), Some(Value::from(-5)));
    }
}
