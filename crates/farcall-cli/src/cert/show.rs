//! `farcall cert show`: what is in files of certificates and revocation lists.

use std::path::Path;

use serde::Serialize;

use super::args::Show;
use super::certificate::Certificate;
use super::date::{Date, Standing};
use super::pem::{self, Section};
use super::revocations::Revocations;
use crate::output::Output;
use crate::report::Report;

/// All files in order, each section of each.
pub(crate) fn show(show: &Show, output: &mut Output) -> Result<(), Report> {
    let now = Date::now();
    for (index, path) in show.files.iter().enumerate() {
        let sections = pem::sections(path)?;
        if !output.is_json() {
            let gap = if index > 0 { "\n" } else { "" };
            output.line(&format!("{gap}{}", path.display()))?;
        }
        for section in &sections {
            match (section, output.is_json()) {
                (Section::Certificate(one), true) => {
                    output.document(&CertificateShown::new(path, one, now))?
                }
                (Section::Certificate(one), false) => certificate(one, now, output)?,
                (Section::Revocations(list), true) => {
                    output.document(&RevocationsShown::new(path, list, now))?
                }
                (Section::Revocations(list), false) => revocations(list, now, output)?,
                (Section::Key, true) => output.document(&KeyShown::new(path))?,
                (Section::Key, false) => output.line("  a private key, which is not shown")?,
            }
        }
    }
    Ok(())
}

fn certificate(one: &Certificate, now: Date, output: &mut Output) -> Result<(), Report> {
    let what = if one.is_authority { "certificate authority" } else { "certificate" };
    output.line(&format!("  {what}"))?;
    let mut row = |name: &str, value: &str| output.line(&format!("    {name:11}  {value}"));
    row("subject", &one.subject)?;
    row("issuer", &one.issuer)?;
    if let Some(cluster) = one.cluster() {
        row("cluster", cluster)?;
    }
    let mut names_a_node = false;
    for (cluster, node) in one.names.nodes() {
        names_a_node = true;
        row("node", &format!("{node} of cluster {cluster}"))?;
    }
    let hosts = hosts(one);
    if !hosts.is_empty() {
        let for_whom = match names_a_node {
            true => " (for other programs; nodes go by the name above)",
            false => " (every node there, of any cluster)",
        };
        row("hosts", &format!("{}{for_whom}", hosts.join(", ")))?;
    }
    row("valid", &one.standing(now))?;
    if !one.is_authority {
        row("usable as", usable(one))?;
    }
    row("key", &one.key_kind)?;
    row("serial", &one.serial())?;
    row("SHA-256", &one.fingerprint())
}

fn hosts(one: &Certificate) -> Vec<String> {
    one.names.dns.iter().cloned().chain(one.names.ips.iter().map(ToString::to_string)).collect()
}

fn usable(one: &Certificate) -> &'static str {
    match (one.usable_as_server, one.usable_as_client) {
        (true, true) => "server and client",
        (true, false) => "server only",
        (false, true) => "client only",
        (false, false) => "neither server nor client",
    }
}

fn revocations(list: &Revocations, now: Date, output: &mut Output) -> Result<(), Report> {
    output.line("  list of revoked certificates")?;
    let mut row = |name: &str, value: &str| output.line(&format!("    {name:11}  {value}"));
    row("issuer", &list.issuer)?;
    row("number", list.number().as_deref().unwrap_or("none"))?;
    row("made", &list.made.to_string())?;
    match (list.next, list.is_fresh(now)) {
        (None, _) => row("next update", "not told")?,
        (Some(next), true) => row("next update", &next.to_string())?,
        (Some(next), false) => row("next update", &format!("{next}: OVERDUE"))?,
    }
    row("revoked", &list.revoked.len().to_string())?;
    for entry in &list.revoked {
        row("", &format!("{} on {}", entry.serial(), entry.on))?;
    }
    Ok(())
}

/// A certificate for programs.
#[derive(Serialize)]
struct CertificateShown<'a> {
    file: String,
    kind: &'static str,
    subject: &'a str,
    issuer: &'a str,
    authority: bool,
    /// The cluster that an authority is for.
    cluster: Option<&'a str>,
    nodes: Vec<NodeShown>,
    hosts: Vec<String>,
    not_before: Date,
    not_after: Date,
    standing: Standing,
    /// Negative once it has expired.
    days_left: i64,
    server: bool,
    client: bool,
    key: &'a str,
    serial: String,
    fingerprint: String,
}

#[derive(Serialize)]
struct NodeShown {
    cluster: String,
    name: String,
}

impl<'a> CertificateShown<'a> {
    fn new(path: &Path, one: &'a Certificate, now: Date) -> Self {
        let node =
            |(cluster, name): (String, farcall::NodeName)| NodeShown { cluster, name: name.to_string() };
        Self {
            file: path.display().to_string(),
            kind: "certificate",
            subject: &one.subject,
            issuer: &one.issuer,
            authority: one.is_authority,
            cluster: one.cluster(),
            nodes: one.names.nodes().map(node).collect(),
            hosts: hosts(one),
            not_before: one.validity.from,
            not_after: one.validity.until,
            standing: one.validity.standing(now),
            days_left: one.validity.until.days_since(now),
            server: one.usable_as_server,
            client: one.usable_as_client,
            key: &one.key_kind,
            serial: one.serial(),
            fingerprint: one.fingerprint(),
        }
    }
}

/// A list of revoked certificates for programs.
#[derive(Serialize)]
struct RevocationsShown<'a> {
    file: String,
    kind: &'static str,
    issuer: &'a str,
    number: Option<String>,
    made: Date,
    next_update: Option<Date>,
    overdue: bool,
    revoked: Vec<RevokedShown>,
}

#[derive(Serialize)]
struct RevokedShown {
    serial: String,
    on: Date,
}

impl<'a> RevocationsShown<'a> {
    fn new(path: &Path, list: &'a Revocations, now: Date) -> Self {
        Self {
            file: path.display().to_string(),
            kind: "crl",
            issuer: &list.issuer,
            number: list.number(),
            made: list.made,
            next_update: list.next,
            overdue: !list.is_fresh(now),
            revoked: list
                .revoked
                .iter()
                .map(|entry| RevokedShown { serial: entry.serial(), on: entry.on })
                .collect(),
        }
    }
}

/// That there is a key, and nothing of it.
#[derive(Serialize)]
struct KeyShown {
    file: String,
    kind: &'static str,
}

impl KeyShown {
    fn new(path: &Path) -> Self {
        Self { file: path.display().to_string(), kind: "private_key" }
    }
}
