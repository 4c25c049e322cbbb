//! The checkers that run after every scenario (C1, C2, C3, C6 and C7 of the fault catalogue).
//!
//! | checker | wants |
//! |---|---|
//! | C1 | what an actor got from a sender is in order, nothing twice; of each connection a prefix of what was sent on it |
//! | C2 | a lost connection ends its calls before anything is answered on the next one; nodes come, drain and go in this order and once each, and a monitor is told once |
//! | C3 | every call ends within its deadline and 50 ms; its handler ran as often as its class says |
//! | C6 | memory, files and threads are back where they were |
//! | C7 | no cookie and no key stands in a log |

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use farcall_integration::control::Status;
use farcall_integration::journal::{Call, Life, Line};

use crate::fault::{Result, failed, unless};
use crate::lab::Lab;
use crate::shell::eventually;

/// What a call may take beyond its deadline.
const LATE_US: u64 = 50_000;

/// What a machine with more to do than cores may add to that, in microseconds. What it took away from a node as a whole is
/// in that node's journal, and counted apart.
const SCHEDULING_US: u64 = 200_000;

/// How long a healed cluster may take to give back what it had taken.
const BACK_WITHIN: Duration = Duration::from_secs(10);

/// What memory may differ by, beside 5 %: an allocator keeps some of what it had.
const MEMORY_GIVE: u64 = 8 << 20;

/// What a cluster did in one scenario.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    /// Calls, by class.
    pub(crate) calls: BTreeMap<String, u64>,
    pub(crate) sent: u64,
    pub(crate) got: u64,
}

impl std::fmt::Display for Sums {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let calls: Vec<String> = self.calls.iter().map(|(class, count)| format!("{count} {class}")).collect();
        let calls =
            if calls.is_empty() { "no calls".to_owned() } else { format!("calls: {}", calls.join(", ")) };
        write!(f, "{calls}; casts: {} of {} arrived", self.got, self.sent)
    }
}

/// Judges everything that all nodes have written down; gives what they did since then.
pub(crate) fn journals(all: &BTreeMap<usize, Vec<Life>>, since: u64) -> Result<Sums> {
    let lives: Vec<&Life> = all.values().flatten().filter(|life| !life.who.is_empty()).collect();
    prefixes(all, &lives)?;
    lives.iter().try_for_each(|life| losses_first(life))?;
    lives.iter().try_for_each(|life| told_once(life))?;
    outcomes(&lives)?;
    Ok(sums(&lives, since))
}

fn sums(lives: &[&Life], since: u64) -> Sums {
    let mut sums = Sums::default();
    for life in lives {
        let ended = life.lines.iter().filter_map(|line| match line {
            Line::Call(call) if call.ended >= since => Some(call.class.clone()),
            _ => None,
        });
        for class in ended {
            *sums.calls.entry(class).or_default() += 1;
        }
        sums.sent += life.lines.iter().filter(|line| matches!(line, Line::Sent { .. })).count() as u64;
        sums.got += life.lines.iter().filter(|line| matches!(line, Line::Got { .. })).count() as u64;
    }
    sums
}

/// C1.
fn prefixes(all: &BTreeMap<usize, Vec<Life>>, lives: &[&Life]) -> Result<()> {
    // Of each sender and receiver, what was sent by connection, in order.
    let mut sent: HashMap<(&str, &str), BTreeMap<u64, Vec<u64>>> = HashMap::new();
    for life in lives {
        for line in &life.lines {
            if let Line::Sent { peer, epoch, seq } = line {
                sent.entry((&life.who, peer)).or_default().entry(*epoch).or_default().push(*seq);
            }
        }
    }
    // A place has one life after the other. Two places may have one name: each gets what is in order.
    let mut got: HashMap<(&str, &str), HashSet<u64>> = HashMap::new();
    for lives in all.values() {
        let mut last: HashMap<&str, u64> = HashMap::new();
        for (life, line) in lives.iter().flat_map(|life| life.lines.iter().map(move |line| (life, line))) {
            let Line::Got { from, seq } = line else { continue };
            let last = last.entry(from).or_default();
            unless(*last < *seq, || format!("C1: {} got number {seq} of {from} after {last}", life.who))?;
            *last = *seq;
            got.entry((from, &life.node)).or_default().insert(*seq);
        }
    }
    for ((from, to), got) in got {
        for (epoch, sent) in sent.get(&(from, to)).into_iter().flatten() {
            let missing = sent.iter().position(|seq| !got.contains(seq)).unwrap_or(sent.len());
            let later = sent.iter().skip(missing).find(|seq| got.contains(seq));
            unless(later.is_none(), || {
                let first = sent.get(missing).copied().unwrap_or_default();
                format!(
                    "C1: {from} to {to}: {later:?} came over connection {epoch}, and {first} before it did not"
                )
            })?;
        }
    }
    Ok(())
}

/// C2.
fn losses_first(life: &Life) -> Result<()> {
    // Lines stand in the order in which callers were told.
    let mut newest: HashMap<&str, u64> = HashMap::new();
    for line in &life.lines {
        let Line::Call(Call { peer, epoch, id, class, reason, .. }) = line else { continue };
        let newest = newest.entry(peer).or_default();
        if class == "ok" {
            *newest = (*newest).max(*epoch);
        }
        if reason == "link_lost" && *epoch != 0 && *epoch < *newest {
            return failed(format!(
                "C2: {} was told that call {id} to {peer} was lost with connection {epoch} after an answer over \
                 connection {newest}",
                life.who
            ));
        }
    }
    Ok(())
}

/// C2, of what nodes know of each other.
fn told_once(life: &Life) -> Result<()> {
    let (mut there, mut draining): (HashSet<&str>, HashSet<&str>) = (HashSet::new(), HashSet::new());
    let (mut watched, mut told): (HashSet<u64>, HashSet<u64>) = (HashSet::new(), HashSet::new());
    for line in &life.lines {
        let right = match line {
            Line::Peer { peer, what, .. } if what == "up" => {
                // Of one node there is one start at a time.
                let name = peer.split('/').next().unwrap_or(peer);
                let another = there.iter().any(|known| known.split('/').next() == Some(name));
                !another && there.insert(peer)
            }
            Line::Peer { peer, what, .. } if what == "draining" => {
                there.contains(peer.as_str()) && draining.insert(peer)
            }
            Line::Peer { peer, what, .. } => {
                let drained = draining.remove(peer.as_str());
                there.remove(peer.as_str())
                    && (!drained || matches!(what.as_str(), "shutdown" | "superseded"))
            }
            Line::Watch { number, .. } => watched.insert(*number),
            Line::Down { number, .. } => watched.contains(number) && told.insert(*number),
            _ => true,
        };
        unless(right, || format!("C2: {} was told out of order, or twice: {line:?}", life.who))?;
    }
    Ok(())
}

/// C3.
fn outcomes(lives: &[&Life]) -> Result<()> {
    let mut ran: HashMap<(&str, u64), u64> = HashMap::new();
    for line in lives.iter().flat_map(|life| &life.lines) {
        if let Line::Ran { from, id } = line {
            *ran.entry((from, *id)).or_default() += 1;
        }
    }
    if let Some(((from, id), times)) = ran.iter().find(|(_, times)| **times > 1) {
        return failed(format!("C3: call {id} of {from} ran {times} times"));
    }
    for life in lives {
        let gaps: Vec<(u64, u64)> = life.lines.iter().filter_map(gap).collect();
        for line in &life.lines {
            let Line::Call(call) = line else { continue };
            let times = ran.get(&(life.who.as_str(), call.id)).copied().unwrap_or(0);
            let legal = match call.class.as_str() {
                "ok" => times == 1,
                "not_sent" | "rejected" => times == 0,
                "failed" | "unknown" => true,
                _ => false,
            };
            unless(legal, || format!("C3: a call of {} ran {times} times: {call:?}", life.who))?;
            let took = call.ended.saturating_sub(call.began).saturating_sub(stood_still(&gaps, call));
            let late = took.saturating_sub(call.limit);
            unless(late <= LATE_US + SCHEDULING_US, || {
                format!("C3: a call of {} ended {} ms after its deadline: {call:?}", life.who, late / 1000)
            })?;
        }
    }
    Ok(())
}

fn gap(line: &Line) -> Option<(u64, u64)> {
    match line {
        Line::Gap { from, to } => Some((*from, *to)),
        _ => None,
    }
}

/// How much of a call's time its caller was given no time by the machine.
fn stood_still(gaps: &[(u64, u64)], call: &Call) -> u64 {
    gaps.iter().map(|(from, to)| (*to).min(call.ended).saturating_sub((*from).max(call.began))).sum()
}

/// C6: each node has what it had, give or take.
pub(crate) fn baseline(lab: &Lab, before: &[Status]) -> Result<()> {
    for (node, before) in before.iter().enumerate() {
        eventually(&format!("C6: {} is back where it was", lab.name(node)), BACK_WITHIN, || {
            let now = lab.status(node)?;
            let within = |now: u64, before: u64, give: u64| now <= before + before / 20 + give;
            // Each peer has a connection each way; a health check may be there in this very moment.
            let files = within(now.files, before.files, 3);
            let threads = within(now.threads, before.threads, 2);
            let memory = within(now.resident_bytes, before.resident_bytes, MEMORY_GIVE);
            unless(files && threads && memory, || {
                format!(
                    "files {} -> {}, threads {} -> {}, memory {} -> {} KiB",
                    before.files,
                    now.files,
                    before.threads,
                    now.threads,
                    before.resident_bytes >> 10,
                    now.resident_bytes >> 10
                )
            })
        })?;
    }
    Ok(())
}

/// C7.
pub(crate) fn secrets(lab: &Lab) -> Result<()> {
    let secrets = lab.hosts.plan().secrets()?;
    for node in 0..=lab.count() {
        let log = lab.hosts.log(node)?;
        let told = secrets.iter().any(|secret| contains(log.as_bytes(), secret));
        unless(!told, || {
            format!("C7: a cookie or a key stands in the log of {}", lab.hosts.plan().host(node))
        })?;
    }
    Ok(())
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    !part.is_empty() && text.windows(part.len()).any(|window| window == part)
}

/// Bytes as they could stand in a log.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes as they could stand in a log.
pub(crate) fn base64(bytes: &[u8]) -> Vec<u8> {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes).into_bytes()
}

#[cfg(test)]
mod tests;
