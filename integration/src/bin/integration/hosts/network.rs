//! Faults of the network, made by nftables and tc inside of a node's own network namespace.

use std::net::IpAddr;

use super::Hosts;
use crate::fault::{Fault, Result, skipped};
use crate::shell;

/// The table of all our rules: deleting it heals everything.
const TABLE: &str = "farcall_faults";

/// The interface of every node, until Docker puts in another one in its place.
pub(crate) const INTERFACE: &str = "eth0";

/// What happens to packets of one address on their way in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    /// None comes in.
    Drop,
    /// So many of a thousand are lost.
    Lose(u32),
    /// No connection can be begun, in a way that looks like a network without an end.
    DropSyn,
    /// Whoever sends is told that there is no such connection.
    Reset,
}

impl Rule {
    fn text(self, from: IpAddr) -> String {
        let from = match from {
            IpAddr::V4(from) => format!("ip saddr {from}"),
            IpAddr::V6(from) => format!("ip6 saddr {from}"),
        };
        match self {
            Self::Drop => format!("{from} drop"),
            Self::Lose(of_1000) => format!("{from} numgen random mod 1000 < {of_1000} drop"),
            Self::DropSyn => format!("{from} tcp flags & (syn | ack) == syn drop"),
            Self::Reset => format!("{from} meta l4proto tcp reject with tcp reset"),
        }
    }
}

/// From now on, this happens to what comes in at `at` from `from`.
pub(crate) fn add(hosts: &dyn Hosts, at: usize, from: usize, rule: Rule) -> Result<()> {
    let rule = rule.text(hosts.address(from)?);
    let script = format!(
        "add table inet {TABLE}\n\
         add chain inet {TABLE} in {{ type filter hook input priority 0; policy accept; }}\n\
         add rule inet {TABLE} in {rule}\n"
    );
    inside(hosts, at, "nft", &[&script]).map(drop)
}

/// All rules of a node are gone, and its link is as fast as before.
pub(crate) fn heal(hosts: &dyn Hosts, at: usize) -> Result<()> {
    if !shell::is_there("nft") || hosts.inside(at).is_err() {
        return Ok(());
    }
    inside(hosts, at, "nft", &[&format!("add table inet {TABLE}\ndelete table inet {TABLE}\n")])?;
    if shell::is_there("tc") {
        // There may be none.
        let _ = inside(hosts, at, "tc", &["qdisc", "del", "dev", &interface(hosts, at)?, "root"]);
    }
    Ok(())
}

/// What a node sends leaves it no faster than this.
pub(crate) fn slow_down(hosts: &dyn Hosts, at: usize, rate: &str) -> Result<()> {
    let device = interface(hosts, at)?;
    let arguments = [
        "qdisc",
        "replace",
        "dev",
        device.as_str(),
        "root",
        "tbf",
        "rate",
        rate,
        "burst",
        "32kb",
        "limit",
        "128kb",
    ];
    inside(hosts, at, "tc", &arguments).map(drop)
}

/// What the interface of a node is called now: one that was unplugged and plugged in again has another number.
fn interface(hosts: &dyn Hosts, at: usize) -> Result<String> {
    let links = inside(hosts, at, "ip", &["-o", "link", "show"])?;
    // 7: eth1@if8: <BROADCAST,...
    let names = links.lines().filter_map(|line| line.split(':').nth(1)?.trim().split('@').next());
    let device = names.into_iter().find(|name| name.starts_with("eth")).map(str::to_owned);
    device.ok_or_else(|| Fault::Failed(format!("there is no interface in:\n{links}")))
}

/// Runs a program in the network of a node. What nft is given is one script, not words.
fn inside(hosts: &dyn Hosts, at: usize, program: &str, arguments: &[&str]) -> Result<String> {
    if !shell::is_there(program) {
        return skipped(format!("there is no {program} here"));
    }
    let words = hosts.inside(at)?;
    let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
    words.push(program);
    words.extend(arguments);
    let Some((first, rest)) = words.split_first() else { return Ok(String::new()) };
    shell::run(first, rest)
}
