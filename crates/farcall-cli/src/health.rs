//! `farcall health`: does the node that is configured here answer? For containers, services and orchestrators.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use farcall::config::Listen;
use farcall::{Address, CertificateNames, Config, Driver, NodeName, TlsMaterial};
use serde::Serialize;

use crate::args::{Health, Options};
use crate::call::word;
use crate::cert::place;
use crate::identity::tls_report;
use crate::output::Output;
use crate::report::Report;
use crate::session::{self, Session};

/// Whom to ask, and as whom.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) node: NodeName,
    pub(crate) options: Options,
}

/// What is configured here, as the node itself reads it.
pub(crate) fn find(health: &Health) -> Result<Asked, Report> {
    let config = session::read(health.options.config.as_deref())?;
    let Some(node) = config.name.clone() else {
        let remedy =
            "run it with the configuration of the node: its farcall.toml, or its FARCALL_* variables";
        return Err(Report::here("config", "the configuration names no node: name is not set", remedy));
    };
    let mut options = health.options.clone();
    if options.at.is_none() {
        options.at = own_address(&config)?;
    }
    let over_tls = options.at.as_ref().and_then(Address::driver).unwrap_or(config.driver) == Driver::Tls;
    let named = options.name.is_some() || options.certificate.is_some();
    match over_tls && config.tls.auth.needs_certificate() {
        true if !named => show_certificate(&config, &node, &mut options)?,
        false if options.name.is_none() => options.name = Some(checker(&node, std::process::id())?),
        _ => {}
    }
    Ok(Asked { node, options })
}

/// Pings it.
pub(crate) async fn ping(session: &Session, output: &mut Output) -> Result<(), Report> {
    #[derive(Serialize)]
    struct Healthy<'a> {
        node: &'a str,
        answered_us: u128,
    }
    let took = session.node.ping_within(&session.target, session.left()).await?;
    let node = session.target.node().as_str();
    match output.is_json() {
        true => output.document(&Healthy { node, answered_us: took.as_micros() }),
        false => output.line(&format!("{node} answers, connected in {:.1} ms", shown(took))),
    }
}

fn shown(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// Where the node listens; nothing if its name says so.
fn own_address(config: &Config) -> Result<Option<Address>, Report> {
    let (first, second) = match config.driver {
        Driver::Tls => ((&config.tls.listen, Driver::Tls), (&config.tcp.listen, Driver::Tcp)),
        Driver::Tcp => ((&config.tcp.listen, Driver::Tcp), (&config.tls.listen, Driver::Tls)),
    };
    for (listen, driver) in [first, second] {
        let Listen::On(sockets) = listen else {
            if *listen == Listen::Auto && driver == config.driver {
                return Ok(None);
            }
            continue;
        };
        if let Some(socket) = sockets.first() {
            let address = format!("{driver}://{}", reachable(*socket));
            let wrong = |error| Report::here("config", format!("{address}: {error}"), "name it with --at");
            return address.parse().map(Some).map_err(wrong);
        }
    }
    Err(Report::here(
        "config",
        "the node listens nowhere",
        "it is healthy as long as its process runs: look at that",
    ))
}

/// An address that can be dialled, of one that says "all of this host".
fn reachable(socket: SocketAddr) -> SocketAddr {
    let ip = match socket.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, socket.port())
}

/// The name of a check that nobody else has.
fn checker(node: &NodeName, process: u32) -> Result<NodeName, Report> {
    named(&format!("health-{process}"), node)
}

fn named(name: &str, node: &NodeName) -> Result<NodeName, Report> {
    let host = farcall_proto::identity::host_without_port(node);
    let name = format!("{name}@{host}");
    name.parse().map_err(|error: farcall::NameError| Report::here("start", format!("{name}: {error}"), ""))
}

/// Over TLS a name is what a certificate says: the node's own, if it is for all of its host, or one for checks beside it.
fn show_certificate(config: &Config, node: &NodeName, options: &mut Options) -> Result<(), Report> {
    let report = |error| tls_report(&error, &config.tls, None);
    let names: CertificateNames =
        TlsMaterial::from_files(&config.tls).map_err(report)?.names().map_err(report)?;
    let own = checker(node, std::process::id())?;
    if names.vouches_for(&config.cluster, &own) {
        options.name = Some(own);
        return Ok(());
    }
    let health = named("health", node)?;
    let beside =
        config.tls.certificate.as_ref().map(|path| path.with_file_name(place::certificate_file(&health)));
    match beside.filter(|path| path.exists()) {
        Some(path) => {
            options.certificate = Some(path);
            Ok(())
        }
        None => Err(Report::here(
            "tls",
            format!("the certificate of {node} is for that node alone, and the check is a node of its own"),
            format!(
                "make one for it, and put both files beside that of the node: farcall cert node {}",
                word(health.as_str())
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        Config::from_toml(text).unwrap()
    }

    #[test]
    fn a_node_is_asked_where_it_listens() {
        let at = |text: &str| own_address(&config(text)).unwrap().map(|address| address.to_string());
        assert_eq!(at("name = \"a@h\""), None, "its name says it");
        assert_eq!(at("[tcp]\nlisten = [\"0.0.0.0:7\"]").unwrap(), "tcp://127.0.0.1:7");
        assert_eq!(at("[tcp]\nlisten = [\"[::]:7\"]").unwrap(), "tcp://[::1]:7");
        assert_eq!(at("[tcp]\nlisten = [\"10.0.0.1:7\", \"0.0.0.0:8\"]").unwrap(), "tcp://10.0.0.1:7");
        assert_eq!(at("driver = \"tls\"\n[tls]\nlisten = [\"0.0.0.0:7\"]").unwrap(), "tls://127.0.0.1:7");
        assert_eq!(
            at("[tcp]\nlisten = \"off\"\n[tls]\nlisten = [\"0.0.0.0:7\"]").unwrap(),
            "tls://127.0.0.1:7"
        );
        let nowhere = own_address(&config("[tcp]\nlisten = \"off\"")).unwrap_err();
        assert!(nowhere.message.contains("nowhere"), "{nowhere:?}");
    }

    #[test]
    fn the_check_has_the_host_of_its_node_without_a_port() {
        assert_eq!(checker(&"a@h:7".parse().unwrap(), 9).unwrap().as_str(), "health-9@h");
    }
}
