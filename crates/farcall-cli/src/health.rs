//! `farcall health`: does the node that is configured here answer? For containers, services and orchestrators.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

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
    let mut config = session::read(health.options.config.as_deref())?;
    let Some(node) = config.name.clone() else {
        let remedy =
            "run it with the configuration of the node: its farcall.toml, or its FARCALL_* variables";
        return Err(Report::here("config", "the configuration names no node: name is not set", remedy));
    };
    let mut options = health.options.clone();
    let of_node = config.driver;
    session::lay_over(&options, &mut config);
    if options.at.is_none() {
        options.at = Some(own_address(&config, &node, of_node)?);
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

/// Asks it; who waits asks until it answers or the time is over.
pub(crate) async fn check(mut asked: Asked, wait: bool, output: &mut Output) -> Result<(), Report> {
    let deadline = Instant::now() + asked.options.timeout;
    loop {
        let answered = ask(&asked).await;
        let left = deadline.saturating_duration_since(Instant::now());
        match answered {
            // What was not sent may be next time; and the first start of a node makes its cookie.
            Err(report)
                if wait && left > PAUSE && (report.class == "not_sent" || report.reason == "cookie_file") =>
            {
                log::debug!("not yet: {}", report.message);
                tokio::time::sleep(PAUSE).await;
                asked.options.timeout = left - PAUSE;
            }
            answered => return show(asked.node.as_str(), answered?, output),
        }
    }
}

/// Between two attempts: no load on a machine that starts something, and not long for who waits.
const PAUSE: Duration = Duration::from_millis(100);

async fn ask(asked: &Asked) -> Result<Duration, Report> {
    let session = Session::open(&asked.options, &asked.node).await?;
    let answered = session.node.ping_within(&session.target, session.left()).await;
    let answered = answered.map_err(|error| session.explain(ran_nothing(error.into(), &session)));
    session.close(answered.is_ok()).await;
    answered
}

/// A question without an answer is no call that may have run: there is nothing to make good.
fn ran_nothing(report: Report, session: &Session) -> Report {
    if report.class != "unknown" {
        return report;
    }
    let message = match session.left().is_zero() {
        true => format!("{} did not answer within {:?}", session.target.node(), session.timeout),
        false => report.message,
    };
    let remedy =
        "is it frozen, or its machine overloaded? Its log says more; --timeout gives it longer".to_owned();
    Report { class: "not_sent", may_have_run: false, exit: 3, message, remedy, ..report }
}

fn show(node: &str, took: Duration, output: &mut Output) -> Result<(), Report> {
    #[derive(Serialize)]
    struct Healthy<'a> {
        node: &'a str,
        answered_us: u128,
    }
    match output.is_json() {
        true => output.document(&Healthy { node, answered_us: took.as_micros() }),
        false => {
            let ms = took.as_secs_f64() * 1000.0;
            output.line(&format!("{node} answers, connected in {ms:.1} ms"))
        }
    }
}

/// Where the node listens, by itself: what the others are told, `nodes` or a file, may lead through something else.
/// `config` has the driver of the check, and `of_node` is the one that the node is configured with.
fn own_address(config: &Config, node: &NodeName, of_node: Driver) -> Result<Address, Report> {
    let wrong = |what: String| Report::here("config", what, "say where it listens with --at");
    let mut any_port = false;
    let drivers = match config.driver {
        Driver::Tls => [Driver::Tls, Driver::Tcp],
        Driver::Tcp => [Driver::Tcp, Driver::Tls],
    };
    for driver in drivers {
        let listen = match driver {
            Driver::Tls => &config.tls.listen,
            Driver::Tcp => &config.tcp.listen,
        };
        match listen {
            Listen::Auto if driver == of_node => {
                let address = Address::of_node(node, config.port(driver));
                return address
                    .map(|address| address.with_driver(driver))
                    .map_err(|error| wrong(format!("the name {node}: {error}")));
            }
            Listen::Auto | Listen::Off => {}
            Listen::On(sockets) => match sockets.iter().find(|socket| socket.port() != 0) {
                Some(socket) => {
                    let socket = reachable(*socket, config.tcp.v6_only, has_ipv6);
                    let address = Address::try_from(socket);
                    return address
                        .map(|address| address.with_driver(driver))
                        .map_err(|error| wrong(error.to_string()));
                }
                None => any_port = true,
            },
        }
    }
    if any_port {
        return Err(wrong(
            "the node listens on any free port, which its configuration does not tell".to_owned(),
        ));
    }
    Err(Report::here(
        "config",
        "the node listens nowhere",
        "it is healthy as long as its process runs: look at that",
    ))
}

/// An address that can be dialled, of one that says "all of this host". Where IPv6 is turned off, as in many containers,
/// `[::]` can be listened on and takes IPv4 alone.
fn reachable(socket: SocketAddr, v6_only: bool, has_ipv6: impl Fn() -> bool) -> SocketAddr {
    let ip = match socket.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() && (v6_only || has_ipv6()) => Ipv6Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        _ => return socket,
    };
    SocketAddr::new(ip, socket.port())
}

/// Whether this host has `::1`.
fn has_ipv6() -> bool {
    UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
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
        let node = "a@h:70".parse().unwrap();
        let find = |text: &str| {
            let config = config(text);
            own_address(&config, &node, config.driver)
        };
        let at = |text: &str| find(text).unwrap().to_string();
        assert_eq!(at(""), "tcp://h:70");
        assert_eq!(at("driver = \"tls\"\n[nodes]\n\"a@h:70\" = \"proxy:1\""), "tls://h:70");
        assert_eq!(at("[tcp]\nlisten = [\"0.0.0.0:7\"]"), "tcp://127.0.0.1:7");
        assert_eq!(at("[tcp]\nlisten = [\"10.0.0.1:0\", \"10.0.0.1:7\", \"0.0.0.0:8\"]"), "tcp://10.0.0.1:7");
        assert_eq!(at("driver = \"tls\"\n[tls]\nlisten = [\"0.0.0.0:7\"]"), "tls://127.0.0.1:7");
        assert_eq!(at("[tcp]\nlisten = \"off\"\n[tls]\nlisten = [\"0.0.0.0:7\"]"), "tls://127.0.0.1:7");
        let nowhere = find("[tcp]\nlisten = \"off\"").unwrap_err();
        assert!(nowhere.message.contains("nowhere"), "{nowhere:?}");
    }

    #[test]
    fn all_of_a_host_is_asked_over_the_family_that_the_host_has() {
        let at = |text: &str, v6_only, has_ipv6| {
            reachable(text.parse().unwrap(), v6_only, || has_ipv6).to_string()
        };
        assert_eq!(at("[::]:7", false, true), "[::1]:7");
        assert_eq!(at("[::]:7", false, false), "127.0.0.1:7");
        assert_eq!(at("[::]:7", true, false), "[::1]:7", "nothing else would answer");
        assert_eq!(at("0.0.0.0:7", false, true), "127.0.0.1:7");
        assert_eq!(at("[fe80::1%3]:7", false, false), "[fe80::1%3]:7", "with its scope");
    }

    #[test]
    fn the_check_has_the_host_of_its_node_without_a_port() {
        assert_eq!(checker(&"a@h:7".parse().unwrap(), 9).unwrap().as_str(), "health-9@h");
    }
}
