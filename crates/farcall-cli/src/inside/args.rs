//! What can be asked of a node about its inside.

use std::net::SocketAddr;

use farcall::NodeName;

use crate::args::Options;
use crate::report::Report;

/// A command that looks inside a node, or operates it.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Inside {
    /// List the nodes that a node is connected with, in either direction
    Nodes(Of),
    /// List the connections of a node: state, age, round trip, what went through, what waits
    ///
    /// The time of the round trip is that of a ping, which is sent when somebody looks: the first look may not have it
    /// yet. WAITING are requests without an answer; MISSED are ticks of the peer that are overdue.
    #[command(verbatim_doc_comment)]
    Links(Of),
    /// List the actors of a node: what waits for them, what they handled, how long that took, what went wrong
    Actors(Of),
    /// List the groups that a node knows of, with their members
    Groups(Of),
    /// List the services that a node knows of, with who offers them
    Services(Of),
    /// List the counters, gauges and limits of a node
    Limits(Of),
    /// List what happened lately on a node, the latest last
    Events(Of),
    /// List the configuration that a node runs with, or all that can be set
    ///
    /// DEFAULT is there where the value is another one. It is what the node was started with, by its file, its environment and its
    /// program, and the access list that holds now. No secret is shown: of files there are the names.
    #[command(verbatim_doc_comment)]
    Config(Settings),
    /// Print the metrics of a node as Prometheus reads them, or serve them
    ///
    /// With --listen it goes on: Prometheus reads them at /metrics, and the node is asked anew each time.
    #[command(verbatim_doc_comment)]
    Metrics(Metrics),
    /// Change what a node logs, while it runs
    ///
    /// Its `access.operate` has to list this command, and its program has to have a `farcall::LogSwitch`.
    #[command(verbatim_doc_comment)]
    Log(Log),
    /// Have a node shut down in good order: nothing new, and what was accepted is finished
    ///
    /// Its `access.operate` has to list this command.
    #[command(verbatim_doc_comment)]
    Drain(Of),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Of {
    /// The node, as name@host
    pub(crate) node: NodeName,
    #[command(flatten)]
    pub(crate) options: Options,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Metrics {
    /// The node, as name@host
    pub(crate) node: NodeName,
    /// Serve them there until it is ended; without encryption and without a password
    #[arg(long, value_name = "IP:PORT")]
    pub(crate) listen: Option<SocketAddr>,
    #[command(flatten)]
    pub(crate) options: Options,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Settings {
    /// The node, as name@host
    #[arg(value_name = "NODE", value_parser = node_or_key, required_unless_present = "keys")]
    pub(crate) of: Option<NodeOrKey>,
    /// Only this key, like tcp.port, or this table, like tcp
    #[arg(value_name = "KEY")]
    pub(crate) only: Option<String>,
    /// Only what is not the default
    #[arg(long, conflicts_with = "keys")]
    pub(crate) changed: bool,
    /// List all keys with how they are written, their default, and what they do; no node is asked
    #[arg(long)]
    pub(crate) keys: bool,
    #[command(flatten)]
    pub(crate) options: Options,
}

/// What stands first: no node is needed where none is asked.
#[derive(Debug, Clone)]
pub(crate) enum NodeOrKey {
    Node(NodeName),
    Key(String),
}

fn node_or_key(text: &str) -> Result<NodeOrKey, String> {
    match text.contains('@') {
        true => text.parse().map(NodeOrKey::Node).map_err(|error: farcall::NameError| error.to_string()),
        false => Ok(NodeOrKey::Key(text.to_owned())),
    }
}

impl Settings {
    /// The key or the table that is asked for.
    pub(crate) fn key(&self) -> Option<&str> {
        match &self.of {
            Some(NodeOrKey::Key(key)) => Some(key),
            _ => self.only.as_deref(),
        }
    }

    fn node(&self) -> Result<&NodeName, Report> {
        match &self.of {
            Some(NodeOrKey::Node(node)) => Ok(node),
            _ => {
                let remedy = "name a node, as name@host, before the key; `farcall config --keys` needs none";
                Err(Report { exit: 2, ..Report::here("usage", "whose configuration?", remedy) })
            }
        }
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct Log {
    /// The node, as name@host
    pub(crate) node: NodeName,
    /// off, error, warn, info, debug or trace
    #[arg(value_parser = ["off", "error", "warn", "info", "debug", "trace"])]
    pub(crate) level: String,
    /// The module, like farcall; default: all
    pub(crate) module: Option<String>,
    #[command(flatten)]
    pub(crate) options: Options,
}

impl Inside {
    /// The node, and how to get there; an error if none is named.
    pub(crate) fn peer(&self) -> Result<(&NodeName, &Options), Report> {
        Ok(match self {
            Self::Nodes(of)
            | Self::Links(of)
            | Self::Actors(of)
            | Self::Groups(of)
            | Self::Services(of)
            | Self::Limits(of)
            | Self::Events(of)
            | Self::Drain(of) => (&of.node, &of.options),
            Self::Metrics(metrics) => (&metrics.node, &metrics.options),
            Self::Log(log) => (&log.node, &log.options),
            Self::Config(settings) => (settings.node()?, &settings.options),
        })
    }
}
