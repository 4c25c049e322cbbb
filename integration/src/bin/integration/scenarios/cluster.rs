//! What nodes know of each other while hosts die and networks split: events, monitors, groups, services.

use std::time::Duration;

use farcall_integration::control::Ask;
use farcall_integration::journal::{Life, Line, now_us};
use nix::sys::signal::Signal;

use super::network::{cut, heal};
use super::processes::{GIVEN_UP, TOLD_WITHIN, ms};
use crate::fault::{Result, failed, unless};
use crate::lab::Lab;
use crate::shell::eventually;

/// Monitors of each node on the victim.
const MONITORS: u64 = 1000;

/// How soon a change of a group is seen by all that can see it.
const SEEN_WITHIN: Duration = Duration::from_secs(15);

/// Calls a second in the restart of services.
const SERVICE_CALLS_PER_S: u32 = 1000;

/// The lives of a node, oldest first.
fn lives(lab: &Lab, node: usize) -> Result<Vec<Life>> {
    Ok(lab.journals()?.remove(&node).unwrap_or_default())
}

/// When and how a peer was told to be down at a node, since then.
fn downs(lab: &Lab, node: usize, peer: usize, since: u64) -> Result<Vec<(u64, String)>> {
    let name = lab.name(peer);
    let told = |line: &Line| match line {
        Line::Peer { peer, at, what } if *at >= since && !matches!(what.as_str(), "up" | "draining") => {
            peer.starts_with(&format!("{name}/")).then(|| (*at, what.clone()))
        }
        _ => None,
    };
    Ok(lives(lab, node)?.iter().flat_map(|life| &life.lines).filter_map(told).collect())
}

/// Nobody was told that anybody is down, since then.
pub(super) fn no_downs(lab: &Lab, since: u64) -> Result<()> {
    for node in 0..lab.count() {
        for peer in lab.others(&[node]) {
            let told = downs(lab, node, peer, since)?;
            unless(told.is_empty(), || {
                format!("{} was told that {} is down: {told:?}", lab.name(node), lab.name(peer))
            })?;
        }
    }
    Ok(())
}

/// A silent peer was told to be down at a node, once since then and in its time; gives when.
pub(super) fn given_up_at(lab: &Lab, node: usize, peer: usize, since: u64) -> Result<u64> {
    match downs(lab, node, peer, since)?.as_slice() {
        [(at, _)] if GIVEN_UP.contains(&Duration::from_micros(at - since)) => Ok(at - since),
        told => failed(format!("{} was told of {} {told:?}, after {since}", lab.name(node), lab.name(peer))),
    }
}

/// Each node that is not the victim watches it, and knows that all its monitors are placed.
fn watch(lab: &Lab, victim: usize) -> Result<()> {
    for other in lab.others(&[victim]) {
        lab.ask(other, &Ask::Watch { peer: lab.name(victim), count: MONITORS })?;
    }
    let wanted = MONITORS * lab.others(&[victim]).len() as u64;
    eventually("all monitors are placed", Duration::from_secs(10), || {
        let placed = lab.status(victim)?.monitors;
        unless(placed >= wanted, || format!("{placed} of {wanted}"))
    })
}

/// Every monitor was told once since then, for this reason; gives when the last one was.
fn told(lab: &Lab, victim: usize, since: u64, wanted: &str) -> Result<u64> {
    let mut last = since;
    for other in lab.others(&[victim]) {
        eventually("every monitor is told", Duration::from_secs(10), || {
            let mut count = 0;
            for line in lives(lab, other)?.iter().flat_map(|life| &life.lines) {
                let Line::Down { at, reason, .. } = line else { continue };
                if *at < since {
                    continue;
                }
                if reason != wanted {
                    return failed(format!("{} was told {reason}, and not {wanted}", lab.name(other)));
                }
                count += 1;
                last = last.max(*at);
            }
            unless(count == MONITORS, || format!("{count} of {MONITORS} at {}", lab.name(other)))
        })?;
    }
    Ok(last)
}

/// When the first and the last one was told that the victim is down, each once.
fn down_at(lab: &Lab, victim: usize, since: u64) -> Result<(u64, u64)> {
    let (mut first, mut last) = (u64::MAX, 0);
    for other in lab.others(&[victim]) {
        let at = eventually("it is down", Duration::from_secs(10), || {
            match downs(lab, other, victim, since)?.as_slice() {
                [(at, _)] => Ok(*at),
                told => failed(format!("{} was told {told:?}", lab.name(other))),
            }
        })?;
        (first, last) = (first.min(at - since), last.max(at - since));
    }
    Ok((first, last))
}

pub(super) fn watched(lab: &mut Lab) -> Result<String> {
    let victim = lab.count() - 1;
    watch(lab, victim)?;
    let killed = lab.kill(victim)?;
    let (_, down) = down_at(lab, victim, killed)?;
    unless(Duration::from_micros(down) < TOLD_WITHIN, || format!("down after {}", ms(down)))?;
    let told_after = told(lab, victim, killed, "NoConnection")? - killed;
    lab.start(victim)?;
    lab.ready()?;

    watch(lab, victim)?;
    let stopped = now_us();
    lab.hosts.signal(victim, Signal::SIGTERM)?;
    let code = lab.wait_ended(victim, Duration::from_secs(12))?;
    unless(code == 0, || format!("it ended with {code}"))?;
    told(lab, victim, stopped, "NodeShutdown")?;
    for other in lab.others(&[victim]) {
        let told = downs(lab, other, victim, stopped)?;
        unless(matches!(told.as_slice(), [(_, what)] if what == "shutdown"), || {
            format!("{} was told {told:?}", lab.name(other))
        })?;
    }
    lab.start(victim)?;
    lab.ready()?;
    Ok(format!(
        "killed: down everywhere within {}, {} monitors told once each within {}; stopped: NodeShutdown, once each",
        ms(down),
        MONITORS * lab.others(&[victim]).len() as u64,
        ms(told_after)
    ))
}

pub(super) fn watched_frozen(lab: &mut Lab) -> Result<String> {
    let victim = lab.count() - 1;
    watch(lab, victim)?;
    lab.hosts.freeze(victim)?;
    let frozen = now_us();
    let (first, last) = down_at(lab, victim, frozen)?;
    for after in [first, last] {
        unless(GIVEN_UP.contains(&Duration::from_micros(after)), || format!("down after {}", ms(after)))?;
    }
    told(lab, victim, frozen, "NoConnection")?;
    lab.hosts.thaw(victim)?;
    lab.ready()?;
    Ok(format!("down after {} to {}, every monitor told once", ms(first), ms(last)))
}

/// These nodes see each other in the common group, and nobody else.
fn see_each_other(lab: &Lab, nodes: &[usize]) -> Result<u64> {
    let begun = now_us();
    let mut wanted: Vec<_> = nodes.iter().map(|node| lab.name(*node)).collect();
    wanted.sort();
    for node in nodes {
        eventually("the members are seen", SEEN_WITHIN, || {
            let seen = lab.lines(*node, &Ask::Members)?;
            unless(seen == wanted, || format!("{} sees {seen:?}", lab.name(*node)))
        })?;
    }
    Ok(now_us() - begun)
}

pub(super) fn groups(lab: &mut Lab) -> Result<String> {
    let all = lab.others(&[]);
    let (left, right) = all.split_at(lab.count() / 2);
    see_each_other(lab, &all)?;
    lab.load_all()?;
    for one in left {
        for other in right {
            cut(lab, *one, *other)?;
        }
    }
    let cut_at = now_us();
    see_each_other(lab, left)?;
    see_each_other(lab, right)?;
    let shrunk = now_us() - cut_at;
    heal(lab, &all)?;
    let grown = see_each_other(lab, &all)?;
    lab.quiet()?;
    Ok(format!("each half saw itself after {}, and all again {} after the heal", ms(shrunk), ms(grown)))
}

/// Whether these actors are there; gives when it was so.
fn has(lab: &Lab, node: usize, names: &[&str], within: Duration) -> Result<u64> {
    eventually("its actors are those", within, || {
        let there = lab.lines(node, &Ask::Names)?;
        let children: Vec<_> = there.iter().filter(|name| name.starts_with("child")).collect();
        unless(children == names, || format!("{} has {children:?}", lab.name(node)))?;
        Ok(now_us())
    })
}

pub(super) fn spawned(lab: &mut Lab) -> Result<String> {
    let (host, parent) = (0, lab.count() - 1);
    let spawn = |lab: &Lab, name: &str, detached| {
        let (peer, name) = (lab.name(host), name.to_owned());
        lab.ask(parent, &Ask::Spawn { peer, name, detached }).map(drop)
    };
    for (name, detached) in [("child-1", false), ("child-2", false), ("child-kept", true)] {
        spawn(lab, name, detached)?;
    }
    has(lab, host, &["child-1", "child-2", "child-kept"], Duration::from_secs(1))?;
    let killed = lab.kill(parent)?;
    let orphans = has(lab, host, &["child-kept"], Duration::from_secs(2))? - killed;
    lab.start(parent)?;
    lab.ready()?;
    // Cut off, the host cannot know that it lives.
    spawn(lab, "child-3", false)?;
    has(lab, host, &["child-3", "child-kept"], Duration::from_secs(1))?;
    cut(lab, host, parent)?;
    let cut_at = now_us();
    let cut_off = has(lab, host, &["child-kept"], Duration::from_secs(8))? - cut_at;
    unless(GIVEN_UP.contains(&Duration::from_micros(cut_off)), || format!("stopped after {}", ms(cut_off)))?;
    heal(lab, &[host, parent])?;
    lab.ready()?;
    Ok(format!(
        "stopped {} after their parent was killed, and {} after it was cut off; the detached one stays",
        ms(orphans),
        ms(cut_off)
    ))
}

pub(super) fn services(lab: &mut Lab) -> Result<String> {
    let caller = lab.count() - 1;
    let since = now_us();
    lab.ask(caller, &Ask::CallService { calls_per_s: SERVICE_CALLS_PER_S })?;
    lab.wait(Duration::from_secs(1))?;
    for node in lab.others(&[caller]) {
        lab.hosts.signal(node, Signal::SIGTERM)?;
        let code = lab.wait_ended(node, Duration::from_secs(12))?;
        unless(code == 0, || format!("{} ended with {code}", lab.name(node)))?;
        lab.start(node)?;
        lab.ready()?;
        see_each_other(lab, &lab.others(&[]))?;
        lab.wait(Duration::from_millis(500))?;
    }
    lab.ask(caller, &Ask::CallService { calls_per_s: 0 })?;
    lab.wait(Duration::from_secs(1))?;
    let (mut ok, mut failures) = (0, Vec::new());
    for line in lives(lab, caller)?.iter().flat_map(|life| &life.lines) {
        match line {
            Line::Served { at, class, .. } if *at >= since && class == "ok" => ok += 1,
            Line::Served { at, .. } if *at >= since => failures.push(line.clone()),
            _ => {}
        }
    }
    unless(failures.is_empty(), || {
        format!("{} of {} calls failed: {:?}", failures.len(), ok + failures.len(), failures.first())
    })?;
    unless(ok > 1000, || format!("only {ok} calls were made"))?;
    Ok(format!("{ok} calls of the service while all others were restarted one after the other; none lost"))
}
