//! `farcall cert check`: whether a node can work with a certificate, one line for each thing that may be wrong.

use farcall::Config;

use super::args::Check;
use super::certificate::Certificate;
use super::chain::{Chain, Role};
use super::date::{Date, Standing};
use super::finding::{Finding, Verdict};
use super::pem;
use super::revocations::Revocations;
use super::secret::{self, Secret};
use crate::output::Output;
use crate::report::Report;

/// Prints what holds and what does not; an error if anything failed.
pub(crate) fn check(check: &Check, output: &mut Output) -> Result<(), Report> {
    let mut findings = Vec::new();
    match read(check) {
        Err(report) => findings.push(Finding::failed("readable", report.message, report.remedy)),
        Ok(chain) => {
            let what = format!("{} can be read", check.certificate.display());
            findings.push(Finding::ok("readable", what));
            findings.extend(privacy(check));
            findings.push(key(check, &chain.leaf));
            let verified = leads_to_authority(&chain);
            let leads = verified.result == Verdict::Ok;
            findings.push(verified);
            findings.push(validity(&chain.leaf));
            findings.extend(authority(&chain));
            findings.push(usage(&chain, leads));
            findings.extend(revocation(check, &chain, leads));
            findings.push(name(check, &chain));
        }
    }
    for finding in &findings {
        finding.print(output)?;
    }
    match findings.iter().filter(|finding| finding.result == Verdict::Failed).count() {
        0 => Ok(()),
        1 => Err(Report::here("check_failed", "one check failed", "")),
        failed => Err(Report::here("check_failed", format!("{failed} checks failed"), "")),
    }
}

/// The files without which nothing can be checked.
fn read(check: &Check) -> Result<Chain, Report> {
    let (leaf, between) = pem::chain(&check.certificate)?;
    let mut authorities = Vec::new();
    for path in check.authorities() {
        authorities.extend(pem::certificates(&path)?);
    }
    Ok(Chain { leaf, between, authorities })
}

/// Nothing of a key that is not there: that it is missing is told once.
fn privacy(check: &Check) -> Option<Finding> {
    let key = check.key();
    key.symlink_metadata().ok()?;
    Some(match secret::is_private(&key) {
        Ok(()) => Finding::ok("key_file", format!("others cannot use {}", key.display())),
        Err(report) => Finding::failed("key_file", report.message, report.remedy),
    })
}

fn key(check: &Check, leaf: &Certificate) -> Finding {
    match Secret::read(&check.key()) {
        Err(report) => Finding::failed("key", report.message, report.remedy),
        Ok(key) if key.public_key() == leaf.public_key => {
            Finding::ok("key", "the key belongs to the certificate")
        }
        Ok(_) => {
            let what = format!("the key in {} does not belong to the certificate", check.key().display());
            Finding::failed(
                "key",
                what,
                "name the key that was made with it, or make both anew: farcall cert node NAME",
            )
        }
    }
}

fn leads_to_authority(chain: &Chain) -> Finding {
    match chain.verify(Role::Any, &[]) {
        Ok(()) => {
            let authority = chain.authority().map_or(chain.leaf.issuer.as_str(), |one| &one.subject);
            Finding::ok("chain", format!("it leads to the authority {authority}"))
        }
        Err(error) => {
            let (what, remedy) = chain.explain(&error);
            Finding::failed("chain", what, remedy)
        }
    }
}

fn validity(leaf: &Certificate) -> Finding {
    let now = Date::now();
    let what = format!("valid {}", leaf.standing(now));
    let anew = "make a new one: farcall cert node NAME --force";
    match leaf.validity.standing(now) {
        Standing::Valid if leaf.validity.ends_soon(now) => Finding::warning("validity", what, anew),
        Standing::Valid => Finding::ok("validity", what),
        Standing::Expired => Finding::failed("validity", what, anew),
        Standing::NotYetValid => {
            Finding::failed("validity", what, "look at the clock of this machine and of the one that made it")
        }
    }
}

/// A word about the authority itself, if its time is a concern. Nodes do not look at it, other programs do.
fn authority(chain: &Chain) -> Option<Finding> {
    let (authority, now) = (chain.authority()?, Date::now());
    let validity = authority.validity;
    let what = format!("the authority is valid {}", authority.standing(now));
    let remedy = "make a new authority in another folder, give it to the nodes beside the old one, then make new \
                  certificates";
    match validity.standing(now) {
        Standing::Valid if !validity.ends_soon(now) => None,
        _ => Some(Finding::warning("authority", what, remedy)),
    }
}

fn usage(chain: &Chain, leads: bool) -> Finding {
    // What stands above it may restrict it too, which is seen only along a chain that leads somewhere.
    let may = |role, own| if leads { chain.verify(role, &[]).is_ok() } else { own };
    let server = may(Role::Server, chain.leaf.usable_as_server);
    let client = may(Role::Client, chain.leaf.usable_as_client);
    let remedy = "a node is both: make it anew with the extended key usages serverAuth and clientAuth";
    match (server, client) {
        (true, true) => Finding::ok("usage", "it may be used as a server and as a client"),
        (true, false) => Finding::failed("usage", "it may be used as a server only, not as a client", remedy),
        (false, true) => Finding::failed("usage", "it may be used as a client only, not as a server", remedy),
        (false, false) => {
            Finding::failed("usage", "it may be used neither as a server nor as a client", remedy)
        }
    }
}

fn revocation(check: &Check, chain: &Chain, leads: bool) -> Vec<Finding> {
    let paths = check.lists();
    if paths.is_empty() {
        return vec![Finding::skipped("revocation", "whether it is revoked", "name a list with --crl")];
    }
    let (mut findings, mut lists) = (Vec::new(), Vec::new());
    for path in &paths {
        match pem::lists(path) {
            Err(report) => findings.push(Finding::failed("revocation", report.message, report.remedy)),
            Ok(read) => {
                findings.extend(
                    read.iter().filter_map(|list| distrusted(&path.display().to_string(), list, chain)),
                );
                lists.extend(read);
            }
        }
    }
    // A list that is not to be believed says nothing about the certificate.
    if !findings.iter().any(|finding| finding.result == Verdict::Failed) {
        findings.push(revoked(chain, &lists, leads));
    }
    findings
}

/// What is wrong with a list itself.
fn distrusted(path: &str, list: &Revocations, chain: &Chain) -> Option<Finding> {
    let now = Date::now();
    if !chain.authorities.iter().chain(&chain.between).any(|one| list.is_signed_by(one)) {
        let what = format!("{path} is not signed by an authority that was given, it says by {}", list.issuer);
        return Some(Finding::failed(
            "revocation",
            what,
            "name the list of the authority, or the authority with --ca",
        ));
    }
    let next = list.next.filter(|_| !list.is_fresh(now))?;
    let what = format!("{path} is old: the next list was due on {next}");
    Some(Finding::warning("revocation", what, "get the current list from where certificates are made"))
}

fn revoked(chain: &Chain, lists: &[Revocations], leads: bool) -> Finding {
    let leaf = &chain.leaf;
    let entry = lists
        .iter()
        .filter(|list| list.raw_issuer == leaf.raw_issuer)
        .find_map(|list| list.revoked_on(&leaf.serial));
    if let Some(on) = entry {
        let what = format!("REVOKED on {on}");
        return Finding::failed("revocation", what, "make a new one: farcall cert node NAME --force");
    }
    if !leads {
        return Finding::skipped("revocation", "whether it is revoked", "see to the chain first");
    }
    match chain.verify(Role::Any, lists) {
        Ok(()) => Finding::ok("revocation", "not revoked"),
        Err(error) => {
            let (what, remedy) = chain.explain(&error);
            Finding::failed("revocation", what, remedy)
        }
    }
}

fn name(check: &Check, chain: &Chain) -> Finding {
    let names = &chain.leaf.names;
    let Some(node) = &check.name else {
        return Finding::skipped(
            "name",
            format!("whom it must speak for; it speaks for {}", chain.leaf.speaks_for()),
            "name a node with --name",
        );
    };
    let own = chain.authority().and_then(Certificate::cluster).map(str::to_owned);
    let cluster = check.cluster.clone().or(own).unwrap_or_else(|| Config::default().cluster);
    if names.vouches_for(&cluster, node) {
        return Finding::ok("name", format!("it speaks for {node} of cluster {cluster}"));
    }
    let elsewhere = names.nodes().find(|(_, name)| name == node);
    match elsewhere {
        Some((other, _)) => Finding::failed(
            "name",
            format!("it speaks for {node} of cluster {other}, not of cluster {cluster}"),
            "take the authority of that cluster, or give the node the name of the certificate's cluster",
        ),
        None => Finding::failed(
            "name",
            format!("it speaks for {}, not for {node}", chain.leaf.speaks_for()),
            format!(
                "make one for it: farcall cert node {node}; or give the node the name in the certificate"
            ),
        ),
    }
}
