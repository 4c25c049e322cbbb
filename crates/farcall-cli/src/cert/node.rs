//! `farcall cert node`: a key and a certificate for each node, and the settings it needs.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use farcall::{Config, NodeName};
use farcall_proto::identity;
use rcgen::SanType;
use serde::Serialize;

use super::args::Node;
use super::authority::{Authority, Issued};
use super::date::Date;
use super::file::{self, Existing, Mode, NewFile};
use super::pem::encode;
use super::place::Place;
use crate::output::Output;
use crate::report::Report;

/// Makes all of them, or none if something is wrong with one.
pub(crate) fn node(node: &Node, output: &mut Output) -> Result<(), Report> {
    let place = Place::find(&node.folder)?;
    let authority = Authority::load(&place)?;
    let cluster = cluster(&authority, node.cluster.as_deref())?;
    let extra: Vec<Host> = node.hosts.iter().map(|host| named(host)).collect::<Result<_, _>>()?;
    let names: BTreeSet<&NodeName> = node.names.iter().collect();
    let mut made = Vec::new();
    for name in names {
        let hosts: BTreeSet<Host> =
            host(identity::host_without_port(name)).into_iter().chain(extra.iter().cloned()).collect();
        let hosts: Vec<SanType> = hosts.into_iter().map(alternative).collect::<Result<_, _>>()?;
        let issued = authority.issue((&cluster, name), &hosts, node.days)?;
        made.push(Made { name, certificate: place.certificate(name), key: place.key(name), issued });
    }
    write(&made, Existing::from(node.force))?;
    for (index, made) in made.iter().enumerate() {
        let settings = settings(made, &cluster, &place);
        match output.is_json() {
            true => output.document(&Document::new(made, &cluster, &place, settings))?,
            false => {
                if index > 0 {
                    output.line("")?;
                }
                output.line(settings.trim_end())?;
            }
        }
    }
    Ok(())
}

struct Made<'a> {
    name: &'a NodeName,
    certificate: PathBuf,
    key: PathBuf,
    issued: Issued,
}

/// The cluster that the authority is for; one that does not say may be used for any.
fn cluster(authority: &Authority, asked: Option<&str>) -> Result<String, Report> {
    match (authority.certificate.cluster(), asked) {
        (Some(own), Some(asked)) if own != asked => {
            let what = format!("the certificate authority is for cluster {own}, not for {asked}");
            let remedy =
                "make one for that cluster in another folder: farcall cert ca --dir DIR --cluster NAME";
            Err(Report::here("cluster", what, remedy))
        }
        (Some(cluster), _) | (None, Some(cluster)) => Ok(cluster.to_owned()),
        (None, None) => Ok(Config::default().cluster),
    }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Host {
    Address(IpAddr),
    Name(String),
}

/// What a certificate can say of a host; nothing if it is neither an address nor a host name.
fn host(text: &str) -> Option<Host> {
    const NAME_BYTES_MAX: usize = 253;
    let address = text.parse().map(Host::Address);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // A last label of digits alone is no host name but a broken address.
    let is_name = text.len() <= NAME_BYTES_MAX
        && text.split('.').all(label)
        && !text.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    address.ok().or_else(|| is_name.then(|| Host::Name(text.to_ascii_lowercase())))
}

fn named(text: &str) -> Result<Host, Report> {
    host(text).ok_or_else(|| {
        let what = format!("--host {text}: neither a host name nor an address");
        Report::here("host", what, "write web.example or 10.0.0.2, without a port; there are no wildcards")
    })
}

fn alternative(host: Host) -> Result<SanType, Report> {
    match host {
        Host::Address(address) => Ok(SanType::IpAddress(address)),
        Host::Name(name) => name.try_into().map(SanType::DnsName).map_err(|error: rcgen::Error| {
            Report::here("host", format!("a host name cannot stand in a certificate: {error}"), "")
        }),
    }
}

fn write(made: &[Made<'_>], existing: Existing) -> Result<(), Report> {
    let texts: Vec<_> = made
        .iter()
        .map(|made| (made.issued.key.pem(), encode("CERTIFICATE", &made.issued.certificate.der)))
        .collect();
    let files: Vec<NewFile<'_>> = made
        .iter()
        .zip(&texts)
        .flat_map(|(made, (key, certificate))| {
            [
                NewFile { path: &made.key, content: key.as_bytes(), mode: Mode::Owner },
                NewFile { path: &made.certificate, content: certificate.as_bytes(), mode: Mode::Everybody },
            ]
        })
        .collect();
    file::place(&files, existing)
}

/// The settings of the node: a configuration file, or the beginning of one.
fn settings(made: &Made<'_>, cluster: &str, place: &Place) -> String {
    let until = made.issued.certificate.validity.until;
    let mut text = format!("# {}, until {until}", made.name);
    if made.issued.shortened {
        text.push_str(": shortened, because its authority ends then");
    }
    text.push('\n');
    text.push_str(&format!("name = {}\n", quoted(made.name.as_str())));
    if cluster != Config::default().cluster {
        text.push_str(&format!("cluster = {}\n", quoted(cluster)));
    }
    text.push_str("driver = \"tls\"\n[tls]\nlisten = \"auto\"\n");
    text.push_str(&format!("certificate = {}\n", quoted_path(&made.certificate)));
    text.push_str(&format!("key = {}\n", quoted_path(&made.key)));
    text.push_str(&format!("ca = [{}]\n", quoted_path(&place.authority())));
    if place.has_revocations() {
        text.push_str(&format!("crl = [{}]\n", quoted_path(&place.revocations())));
    }
    text
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn quoted_path(path: &Path) -> String {
    quoted(&path.to_string_lossy())
}

/// What was made, for programs.
#[derive(Serialize)]
struct Document<'a> {
    node: &'a str,
    cluster: &'a str,
    certificate: String,
    key: String,
    ca: [String; 1],
    not_after: Date,
    shortened: bool,
    serial: String,
    fingerprint: String,
    /// The part of a configuration file.
    settings: String,
}

impl<'a> Document<'a> {
    fn new(made: &'a Made<'_>, cluster: &'a str, place: &Place, settings: String) -> Self {
        let shown = |path: &Path| path.to_string_lossy().into_owned();
        let certificate = &made.issued.certificate;
        Self {
            node: made.name.as_str(),
            cluster,
            certificate: shown(&made.certificate),
            key: shown(&made.key),
            ca: [shown(&place.authority())],
            not_after: certificate.validity.until,
            shortened: made.issued.shortened,
            serial: certificate.serial(),
            fingerprint: certificate.fingerprint(),
            settings,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address_and_nothing_else() {
        assert_eq!(host("10.0.0.2"), Some(Host::Address([10, 0, 0, 2].into())));
        assert_eq!(host("::1"), Some(Host::Address("::1".parse().unwrap())));
        for name in ["web", "WEB.example", "a_b.example", "3com.example", "x-1"] {
            assert_eq!(host(name), Some(Host::Name(name.to_ascii_lowercase())), "{name}");
        }
        let long = format!("{}.example", "x".repeat(64));
        for wrong in
            ["", "*.example", "a..b", "a.", "-a", "a-", "10.0.0.300", "web:5370", "größe", "a b", &long]
        {
            assert_eq!(host(wrong), None, "{wrong}");
        }
    }
}
