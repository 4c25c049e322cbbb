//! What can be asked of a node about its inside.

use std::net::SocketAddr;

use farcall::NodeName;

use crate::args::Options;

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
    /// The node, and how to get there.
    pub(crate) fn peer(&self) -> (&NodeName, &Options) {
        match self {
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
        }
    }
}
