//! A node for the time of one command, and the node it talks to.

use std::ffi::OsString;
use std::path::Path;
use std::time::{Duration, Instant};

use farcall::{Config, CookieFile, CookieFileError, Node, NodeName, Target};

use crate::args::Options;
use crate::report::Report;

/// This node, its peer, and until when all has to be done.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) node: Node,
    pub(crate) target: Target,
    pub(crate) timeout: Duration,
    deadline: Instant,
}

impl Session {
    /// Starts the node; nothing is connected yet.
    pub(crate) async fn open(options: &Options, peer: &NodeName) -> Result<Self, Report> {
        let deadline = Instant::now() + options.timeout;
        let mut config = config(options.config.as_deref())?;
        config.name = Some(match &options.name {
            Some(name) => name.clone(),
            None => own_name()?,
        });
        config.call_timeout = options.timeout;
        config.drain_timeout = options.timeout;
        if let Some(address) = &options.at {
            config.nodes.insert(peer.clone(), address.clone());
        }
        let cookie_file = options.cookie_file.clone().or_else(|| config.cookie_file.clone());
        // Unlike a node, the command makes no cookie file: a fresh cookie would open no door.
        let keyring =
            cookie_file.map_or_else(CookieFile::default_path, Ok).and_then(|path| CookieFile::load(&path));
        let keyring = keyring.map_err(|error| no_cookie(&error))?;
        let builder = Node::from_config(config).keyring(keyring).no_listener();
        let node = builder.start().await.map_err(|error| Report::here("start", chain(&error), ""))?;
        Ok(Self { node, target: Target::new(peer.clone()), timeout: options.timeout, deadline })
    }

    /// How much of the time is left.
    pub(crate) fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Takes leave of the peer. What was sent one way is written first; after an error there is nothing to wait for.
    pub(crate) async fn close(self, done: bool) {
        if done {
            self.node.shutdown().await;
        }
    }
}

fn config(file: Option<&Path>) -> Result<Config, Report> {
    // As every node reads it, except that the file can be named on the command line too.
    let mut variables: Vec<(OsString, OsString)> = std::env::vars_os().collect();
    if let Some(file) = file {
        variables.retain(|(name, _)| name != "FARCALL_CONFIG");
        variables.push(("FARCALL_CONFIG".into(), file.into()));
    }
    let remedy = "mend the configuration file or the FARCALL_* variables; `--config FILE` names another file";
    Config::load_from(variables, Config::FILE_DEFAULT)
        .map_err(|error| Report::here("config", chain(&error), remedy))
}

fn own_name() -> Result<NodeName, Report> {
    let name = format!("cli-{}@127.0.0.1", std::process::id());
    name.parse().map_err(|error: farcall::NameError| Report::here("start", error.to_string(), ""))
}

fn no_cookie(error: &CookieFileError) -> Report {
    let remedy = match error {
        CookieFileError::Missing { .. } => {
            "start a node here, which makes one; or copy the cookie file of the cluster and name it with --cookie-file"
        }
        _ => "the node's own user may read its cookie file; `--cookie-file PATH` names another one",
    };
    Report::here("cookie_file", chain(error), remedy)
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}
