//! A node for the time of one command, and the node it talks to.

use std::ffi::OsString;
use std::path::Path;
use std::time::{Duration, Instant};

use farcall::config::{Listen, TlsConfig};
use farcall::{
    Config, CookieFile, CookieFileError, Discovery, Driver, Keyring, Node, NodeName, Target, TlsMaterial,
};

use crate::args::Options;
use crate::cert::place;
use crate::identity::{Identity, tls_report};
use crate::report::Report;

/// This node, its peer, and until when all has to be done.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) node: Node,
    pub(crate) target: Target,
    pub(crate) timeout: Duration,
    deadline: Instant,
    identity: Identity,
    /// The node is not only for this session.
    shared: bool,
}

impl Session {
    /// Starts the node; nothing is connected yet.
    pub(crate) async fn open(options: &Options, peer: &NodeName) -> Result<Self, Report> {
        let deadline = Instant::now() + options.timeout;
        let config = settings(options, peer).await?;
        let material = match config.uses_tls() {
            true => Some(TlsMaterial::from_files(&config.tls)),
            false => None,
        };
        let material = material.transpose().map_err(|error| tls_report(&error, &config.tls, None))?;
        let identity = Identity::choose(options, &config, peer, material.as_ref())?;
        let keyring = match config.needs_cookie() {
            true => Some(keyring(&config)?),
            false => None,
        };
        let mut builder =
            Node::from_config(Config { name: Some(identity.name.clone()), hidden: true, ..config });
        if let Some(keyring) = keyring {
            builder = builder.keyring(keyring);
        }
        if let Some(material) = material {
            builder = builder.tls(material);
        }
        let node = builder.start().await.map_err(|error| identity.no_start(&error))?;
        let target = Target::new(peer.clone());
        Ok(Self { node, target, timeout: options.timeout, deadline, identity, shared: false })
    }

    /// With a node that is there already.
    pub(crate) fn of(node: &Node, options: &Options, peer: &NodeName) -> Self {
        Self {
            node: node.clone(),
            target: Target::new(peer.clone()),
            timeout: options.timeout,
            deadline: Instant::now() + options.timeout,
            identity: Identity::of(node, peer),
            shared: true,
        }
    }

    /// The error, with what to do about it by somebody who typed this command.
    pub(crate) fn explain(&self, report: Report) -> Report {
        self.identity.explain(report)
    }

    /// Another command begins, and has so long.
    pub(crate) fn begin(&mut self, timeout: Duration) {
        (self.timeout, self.deadline) = (timeout, Instant::now() + timeout);
    }

    /// How much of the time is left.
    pub(crate) fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Takes leave of the peer. What was sent one way is written first; after an error there is nothing to wait for.
    pub(crate) async fn close(self, done: bool) {
        if self.shared {
            self.node.disconnect(self.target.node());
        } else if done {
            self.node.shutdown().await;
        }
    }
}

/// The configuration, with what was asked for on top, as far as it matters for this peer.
async fn settings(options: &Options, peer: &NodeName) -> Result<Config, Report> {
    let mut config = read(options.config.as_deref())?;
    // Nobody calls the command. Said before anything is asked of the configuration: a listener has needs of its own.
    (config.tcp.listen, config.tls.listen) = (Listen::Off, Listen::Off);
    // A terminal that is closed ends the command.
    config.tls.reload_on_sighup = false;
    (config.call_timeout, config.drain_timeout) = (options.timeout, options.timeout);
    if let Some(path) = &options.cookie_file {
        config.cookie_file = Some(path.clone());
    }
    lay_over(options, &mut config);
    // What other nodes need is no concern of this command.
    config.nodes.retain(|node, _| node == peer);
    if let Some(address) = &options.at {
        config.nodes.insert(peer.clone(), address.clone());
    }
    match driver(&config, peer).await {
        Some(Driver::Tls) => config.driver = Driver::Tls,
        Some(Driver::Tcp) => (config.driver, config.tls) = (Driver::Tcp, TlsConfig::default()),
        None => {}
    }
    Ok(config)
}

/// The files of TLS that were named, and those that `farcall cert` puts beside them.
pub(crate) fn lay_over(options: &Options, config: &mut Config) {
    let Options { certificate, key, authorities, .. } = options;
    if certificate.is_some() || !authorities.is_empty() {
        config.driver = Driver::Tls;
    }
    if !authorities.is_empty() {
        config.tls.ca = authorities.clone();
    }
    let Some(certificate) = certificate else { return };
    config.tls.certificate = Some(certificate.clone());
    config.tls.key = Some(key.clone().unwrap_or_else(|| place::key_beside(certificate)));
    let authority = place::authority_beside(certificate);
    if config.tls.ca.is_empty() && authority.exists() {
        config.tls.ca.push(authority);
        config.tls.crl.extend(place::revocations_beside(certificate));
    }
}

/// How this peer is dialled: as all its addresses say. If they cannot be found, that is told by whoever dials.
async fn driver(config: &Config, peer: &NodeName) -> Option<Driver> {
    let addresses = config.discovery().addresses(peer).await.ok()?;
    let mut drivers = addresses.iter().map(|address| address.driver().unwrap_or(config.driver));
    let first = drivers.next()?;
    drivers.all(|driver| driver == first).then_some(first)
}

pub(crate) fn read(file: Option<&Path>) -> Result<Config, Report> {
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

/// The cookies of the cluster. Unlike a node, the command makes no cookie file: a fresh cookie would open no door.
pub(crate) fn keyring(config: &Config) -> Result<Keyring, Report> {
    let path = config.cookie_file.clone().map_or_else(CookieFile::default_path, Ok);
    let over_tls = config.driver == Driver::Tls;
    path.and_then(|path| CookieFile::load(&path)).map_err(|error| no_cookie(&error, over_tls))
}

fn no_cookie(error: &CookieFileError, over_tls: bool) -> Report {
    let remedy = match error {
        CookieFileError::Missing { .. } if over_tls => {
            "copy the cookie file of the cluster and name it with --cookie-file; or, if the nodes have tls.auth = \
             \"certificate\", say so here too, in the configuration or as FARCALL_TLS_AUTH=certificate"
        }
        CookieFileError::Missing { .. } => {
            "start a node here, which makes one; or copy the cookie file of the cluster and name it with --cookie-file"
        }
        _ => "the node's own user may read its cookie file; `--cookie-file PATH` names another one",
    };
    Report::here("cookie_file", chain(error), remedy)
}

/// An error with its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
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
