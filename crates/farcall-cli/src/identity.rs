//! Who the command is to the node it talks to, and what to do when TLS or the node does not take it.
//!
//! Over TLS a name is what a certificate says, so the command has the name in its certificate. It never has that of the
//! node it talks to: a call to the own name does not leave the process.

use std::path::PathBuf;

use farcall::config::TlsConfig;
use farcall::{CertificateNames, Config, Driver, NodeName, StartError, TlsError, TlsMaterial};

use crate::args::Options;
use crate::call::word;
use crate::report::Report;
use crate::session::chain;

/// The name of the command as a node, its peer, and what it shows over TLS.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) name: NodeName,
    peer: NodeName,
    /// None over plain TCP.
    tls: Option<TlsConfig>,
    /// The port that nodes have, where nothing says which one this peer has.
    usual_port: Option<u16>,
}

impl Identity {
    /// What was asked for, else what the certificate says, else a name that nobody else has.
    pub(crate) fn choose(
        options: &Options,
        config: &Config,
        peer: &NodeName,
        material: Option<&TlsMaterial>,
    ) -> Result<Self, Report> {
        let tls = (config.driver == Driver::Tls).then(|| config.tls.clone());
        // Where cookies alone count, names are not looked for in certificates.
        let named = material.filter(|_| config.tls.auth.needs_certificate()).map(TlsMaterial::names);
        let names =
            named.transpose().map_err(|error| tls_report(&error, &config.tls, None))?.unwrap_or_default();
        let name = match &options.name {
            Some(name) => name.clone(),
            None => name_in(&names, &config.cluster).map_or_else(|| own_name(&names), Ok)?,
        };
        if name == *peer {
            return Err(own_call(options, peer, &config.tls));
        }
        Ok(Self { name, peer: peer.clone(), tls, usual_port: usual_port(config, peer) })
    }

    /// Of a node that runs.
    pub(crate) fn of(node: &farcall::Node, peer: &NodeName) -> Self {
        let config = node.config();
        let tls = (config.driver == Driver::Tls).then(|| config.tls.clone());
        let usual_port = usual_port(config, peer);
        Self { name: node.name().clone(), peer: peer.clone(), tls, usual_port }
    }

    /// Why the node of the command does not start.
    pub(crate) fn no_start(&self, error: &StartError) -> Report {
        match (error, &self.tls) {
            (StartError::Tls(error), Some(tls)) => tls_report(error, tls, Some(&self.name)),
            _ => Report::here("start", chain(error), ""),
        }
    }

    /// The same error with a remedy for what this command goes by.
    pub(crate) fn explain(&self, report: Report) -> Report {
        let remedy = match (report.reason, &self.tls) {
            ("timeout", _) if report.message.contains(TO_THE_NODE) => BLOCKED.to_owned(),
            ("handshake_failed", _) if report.message.contains("said nothing useful") => SILENT.to_owned(),
            ("handshake_failed", Some(tls)) => self.refused(&report.message, tls),
            ("handshake_failed", None) if report.message.contains("the peer speaks TLS here") => {
                "does the node speak TLS there? Then name a certificate with --certificate".to_owned()
            }
            ("connect_failed", _) if report.message.contains("would leave this host") => {
                "call it over TLS, with --certificate; or set FARCALL_ALLOW_PLAINTEXT=true if the network is trusted"
                    .to_owned()
            }
            ("connect_failed", None) if self.tried_usual_port(&report.message).is_none() => {
                format!("{} A node that speaks TLS is called with --certificate", report.remedy)
            }
            ("connect_failed", _) => match self.tried_usual_port(&report.message) {
                Some(port) => format!(
                    "is the node running? Its name has no port, so {port} was tried: if it listens on another one, write \
                     {}:PORT, or add --at HOST:PORT",
                    self.peer
                ),
                None => return report,
            },
            _ => return report,
        };
        Report { remedy, ..report }
    }

    /// The port that was dialled only because nodes usually have it, if that is what failed.
    fn tried_usual_port(&self, message: &str) -> Option<u16> {
        let ends = |port: &u16| self.peer.as_str().ends_with(&format!(":{port}"));
        self.usual_port.filter(|port| message.contains(&format!(":{port}:")) && !ends(port))
    }

    /// What to do about a handshake that failed with these words.
    fn refused(&self, message: &str, tls: &TlsConfig) -> String {
        let peer = &self.peer;
        let has = |words: &str| message.contains(words);
        if has("no authority of tls.ca gave it out") {
            format!("name the authority that made the certificate of {peer} with --ca; {SHOW}")
        } else if has("the peer's certificate is not believed: it is for") {
            format!(
                "call the node by the name in its certificate, or make one for it: farcall cert node {}",
                word(peer.as_str())
            )
        } else if has("the peer's certificate is not believed") {
            format!(
                "it is the certificate of {peer}: make a new one, farcall cert node {} --force, give it to the node, \
                 and send the node a SIGHUP or start it again",
                word(peer.as_str())
            )
        } else if has("no authority that it believes gave out our certificate") {
            let ours = tls.certificate.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
            format!("tls.ca of {peer} must name the authority that made {ours}; {SHOW}")
        } else if has("our certificate") {
            check(tls, Some(&self.name))
        } else if has("it wants a certificate and we have none") {
            OWN_CERTIFICATE.to_owned()
        } else if has("TLS: ") {
            format!(
                "does {peer} listen for TLS there? The port is {} unless its name or --at says another; plain TCP is \
                 --at tcp://HOST:PORT",
                tls.port
            )
        } else {
            "do both sides use the same cookie file, cluster name and tls.auth, and is the node's whole name as it was \
             dialled? The log of that node says what it refused"
                .to_owned()
        }
    }
}

/// In the error of a request that a node answers itself, without an actor of its program.
const TO_THE_NODE: &str = " to farcall on ";

const BLOCKED: &str = "the node is connected and does not answer: something blocks the thread that it runs on (a handler that \
                       sleeps, waits for a lock or computes for long), or its process stands still. See what its threads do, \
                       for example with gdb -p PID; what blocks belongs on an arbiter of its own";

const SILENT: &str = "its port is open and nobody answers: its process stands still (stopped, swapping, in a debugger), or \
                      something that is no node listens there. Look at that machine";

/// None if the name is in `nodes`, or came with an address.
fn usual_port(config: &Config, peer: &NodeName) -> Option<u16> {
    (!config.nodes.contains_key(peer)).then(|| config.port(config.driver))
}

/// How a person gets a certificate for the command.
const OWN_CERTIFICATE: &str = "make one for the command, on the machine that has ca-key.pem: farcall cert node \
                               ops@HOST; then name it with --certificate";

/// How a person learns who made a certificate.
const SHOW: &str = "`farcall cert show FILE` tells who made one";

/// The node that the certificate names: of this cluster if there is one, else what is wrong is told at the start.
fn name_in(names: &CertificateNames, cluster: &str) -> Option<NodeName> {
    let own = names.nodes().find(|(of, _)| of == cluster);
    own.or_else(|| names.nodes().next()).map(|(_, name)| name)
}

/// A name that no other command has, on a host for which the certificate speaks.
fn own_name(names: &CertificateNames) -> Result<NodeName, Report> {
    let host = names.dns.first().cloned().or_else(|| names.ips.first().map(ToString::to_string));
    let name = format!("cli-{}@{}", std::process::id(), host.as_deref().unwrap_or("127.0.0.1"));
    name.parse().map_err(|error: farcall::NameError| {
        Report::here("start", format!("{name}: {error}"), "give the command a name with --name")
    })
}

/// The command would talk to itself.
fn own_call(options: &Options, peer: &NodeName, tls: &TlsConfig) -> Report {
    if options.name.is_some() {
        let what =
            format!("--name {peer} is the name of the node to talk to, which the command cannot have too");
        return Report::here("own_name", what, "name another one, or none");
    }
    let path = tls.certificate.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
    let what = format!(
        "the certificate in {path} is that of {peer} itself; the command needs one of its own, for another name"
    );
    Report::here("own_name", what, OWN_CERTIFICATE)
}

/// Something about the certificates that this command goes by.
pub(crate) fn tls_report(error: &TlsError, tls: &TlsConfig, name: Option<&NodeName>) -> Report {
    let path = tls.certificate.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
    let (what, remedy) = match error {
        TlsError::Missing { key: "tls.ca", why } => (
            format!("there is no authority to believe: {why}"),
            "name the ca.pem of the cluster with --ca, or as tls.ca in the configuration".to_owned(),
        ),
        TlsError::Missing { key, why } => {
            (format!("{key} is not set, and {why}"), OWN_CERTIFICATE.to_owned())
        }
        TlsError::Unreadable { .. } => (
            chain(error),
            "name a file that is there and that you may read, with --certificate, --key or --ca, or in the \
             configuration"
                .to_owned(),
        ),
        TlsError::Empty { .. } | TlsError::Malformed { .. } => {
            (error.to_string(), "`farcall cert show FILE` tells what is in a file".to_owned())
        }
        TlsError::NotNow { what, .. } => (
            format!("the certificate in {path} {what}"),
            format!(
                "make a new one on the machine that has ca-key.pem: farcall cert node {} --force",
                name.map_or_else(|| "NAME".to_owned(), |name| word(name.as_str()))
            ),
        ),
        TlsError::WrongName { node, names, .. } => (
            format!("this command is {node}, and the certificate in {path} is for {names}"),
            another_name(node, names),
        ),
        TlsError::KeyOpen { .. } => (error.to_string(), String::new()),
        error => (error.to_string(), check(tls, name)),
    };
    Report::here("tls", what, remedy)
}

fn another_name(node: &NodeName, names: &CertificateNames) -> String {
    match names.nodes().find(|(_, name)| name == node) {
        Some((cluster, _)) => format!(
            "the certificate is for cluster {cluster}: set FARCALL_CLUSTER={}, or cluster in the configuration",
            word(&cluster)
        ),
        None if *names == CertificateNames::default() => OWN_CERTIFICATE.to_owned(),
        None => format!(
            "leave out --name, and the command has the name in the certificate; or make one for it: farcall cert \
             node {}",
            word(node.as_str())
        ),
    }
}

/// The command that tells what is wrong with the certificate of this one.
fn check(tls: &TlsConfig, name: Option<&NodeName>) -> String {
    let path = |path: &PathBuf| word(&path.display().to_string());
    let mut command = "farcall cert check".to_owned();
    command.push_str(&tls.certificate.as_ref().map(|one| format!(" {}", path(one))).unwrap_or_default());
    for (option, files) in [("--key", tls.key.as_slice()), ("--ca", &tls.ca), ("--crl", &tls.crl)] {
        files.iter().for_each(|file| command.push_str(&format!(" {option} {}", path(file))));
    }
    if let Some(name) = name {
        command.push_str(&format!(" --name {}", word(name.as_str())));
    }
    format!("see what is wrong with it: {command}")
}
