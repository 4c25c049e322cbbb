//! Processes that are killed or stand still.

use std::time::Duration;

use farcall_integration::control::Load;
use farcall_integration::journal::{Call, Line, now_us};

use crate::fault::{Result, failed, unless};
use crate::lab::Lab;
use crate::plan::TICK;

/// How soon callers learn of a loss that the kernel reports, and what a busy machine may add.
pub(super) const TOLD_WITHIN: Duration = Duration::from_millis(100 + 250);

/// In which time a silent peer is given up, seen from outside: T and a quarter of it either way, and half a second.
pub(super) const GIVEN_UP: std::ops::Range<Duration> =
    Duration::from_millis(2750)..Duration::from_millis(5750);

/// Calls that are never ended by their own deadline while a scenario looks.
pub(super) fn patient(lab: &Lab) -> Load {
    Load { limit_ms: 12_000, ..lab.usual() }
}

pub(super) fn ms(us: u64) -> String {
    format!("{} ms", us / 1000)
}

/// Calls of all others to this node that ended since then.
pub(super) fn calls_to(lab: &Lab, node: usize, since: u64) -> Result<Vec<Call>> {
    let name = lab.name(node);
    let mut calls = Vec::new();
    for other in lab.others(&[node]) {
        calls.extend(lab.calls(other, since)?.into_iter().filter(|call| call.peer == name));
    }
    Ok(calls)
}

pub(super) fn count(calls: &[Call], class: &str) -> usize {
    calls.iter().filter(|call| call.class == class).count()
}

pub(super) fn kill(lab: &mut Lab) -> Result<String> {
    let victim = lab.count() - 1;
    lab.load_all()?;
    lab.wait(Duration::from_secs(2))?;
    let killed = lab.kill(victim)?;
    lab.wait(Duration::from_secs(1))?;
    let calls = calls_to(lab, victim, killed)?;
    let before: Vec<_> = calls.iter().filter(|call| call.began < killed).collect();
    let told = before.iter().map(|call| call.ended - killed).max().unwrap_or(0);
    unless(Duration::from_micros(told) < TOLD_WITHIN, || format!("a caller was told after {}", ms(told)))?;
    unless(count(&calls, "not_sent") > 0, || "nobody was told that it was not sent".to_owned())?;

    let up = now_us();
    lab.start(victim)?;
    for other in lab.others(&[victim]) {
        let reached = || lab.reaches(other, victim);
        crate::shell::eventually("it serves again", Duration::from_secs(5), reached)?;
    }
    let back = now_us() - up;
    lab.quiet()?;
    Ok(format!(
        "{} waiting calls were told within {}; {} unknown, {} not sent; it served {} after its start",
        before.len(),
        ms(told),
        count(&calls, "unknown"),
        count(&calls, "not_sent"),
        ms(back)
    ))
}

pub(super) fn freeze_short(lab: &mut Lab) -> Result<String> {
    let victim = lab.count() - 1;
    let before = lost(lab)?;
    lab.load(&lab.others(&[]), patient(lab))?;
    for _ in 0..3 {
        lab.wait(Duration::from_millis(700))?;
        lab.hosts.freeze(victim)?;
        lab.wait(Duration::from_secs(2))?;
        lab.hosts.thaw(victim)?;
    }
    lab.wait(Duration::from_millis(500))?;
    lab.quiet()?;
    let calls = calls_to(lab, victim, lab.since)?;
    let bad: Vec<_> = calls.iter().filter(|call| call.class != "ok").collect();
    unless(bad.is_empty(), || format!("{} calls came to something else: {:?}", bad.len(), bad.first()))?;
    unless(lost(lab)? == before, || "a connection was lost".to_owned())?;
    all_casts_came(lab)?;
    Ok(format!("still three times for 2 s: {} calls to it, all answered; no connection lost", calls.len()))
}

/// Connections that were lost, of all nodes.
pub(super) fn lost(lab: &Lab) -> Result<Vec<u64>> {
    (0..lab.count()).map(|node| Ok(lab.status(node)?.lost)).collect()
}

/// Where no connection was lost, each one-way message came.
pub(super) fn all_casts_came(lab: &Lab) -> Result<()> {
    crate::shell::eventually("every one-way message came", Duration::from_secs(5), || {
        let all = lab.journals()?;
        let lives: Vec<_> = all.values().filter_map(|lives| lives.last()).collect();
        for life in &lives {
            for other in &lives {
                let sent = life.lines.iter().filter_map(|line| match line {
                    Line::Sent { peer, seq, .. } if *peer == other.node => Some(*seq),
                    _ => None,
                });
                let got = other.lines.iter().filter_map(|line| match line {
                    Line::Got { from, seq } if *from == life.who => Some(*seq),
                    _ => None,
                });
                let (sent, got) = (sent.max(), got.max());
                unless(sent == got, || {
                    format!("{} sent {sent:?} to {}, which has {got:?}", life.who, other.node)
                })?;
            }
        }
        Ok(())
    })
}

pub(super) fn freeze_long(lab: &mut Lab) -> Result<String> {
    let victim = lab.count() - 1;
    lab.load(&lab.others(&[]), patient(lab))?;
    lab.wait(Duration::from_secs(3))?;
    let quiet = p99_beside(lab, victim, lab.since)?;
    lab.hosts.freeze(victim)?;
    let frozen = now_us();
    lab.wait(TICK + TICK / 4 + Duration::from_secs(2))?;
    let calls = calls_to(lab, victim, frozen)?;
    let told = given_up(&calls, frozen)?;
    let beside = p99_beside(lab, victim, frozen)?;
    if let (Some(quiet), Some(beside)) = (quiet, beside) {
        unless(beside < 2 * quiet + 50_000, || {
            format!("p99 beside it: {}, and before {}", ms(beside), ms(quiet))
        })?;
    }
    lab.hosts.thaw(victim)?;
    for other in lab.others(&[victim]) {
        crate::shell::eventually("it is reached again", Duration::from_secs(10), || {
            lab.reaches(other, victim)
        })?;
    }
    lab.quiet()?;
    let stale = stale(lab, victim, &calls, frozen)?;
    unless(stale == 0, || format!("{stale} calls that were given up ran when it woke"))?;
    let beside = match (quiet, beside) {
        (Some(quiet), Some(beside)) => {
            format!("; p99 beside it {} before and {} meanwhile", ms(quiet), ms(beside))
        }
        _ => String::new(),
    };
    Ok(format!("given up after {}; nothing stale ran when it woke{beside}", ms(told)))
}

/// When the first caller was told that the connection was lost, after this moment; in the time it should be.
pub(super) fn given_up(calls: &[Call], since: u64) -> Result<u64> {
    let lost =
        calls.iter().filter(|call| call.reason == "link_lost").map(|call| call.ended.saturating_sub(since));
    let Some(told) = lost.clone().min() else {
        return failed("nobody was told that the connection was lost");
    };
    let last = lost.max().unwrap_or(told);
    for told in [told, last] {
        unless(GIVEN_UP.contains(&Duration::from_micros(told)), || format!("given up after {}", ms(told)))?;
    }
    Ok(told)
}

/// The 99th percentile of answered calls among all others, in microseconds.
fn p99_beside(lab: &Lab, victim: usize, since: u64) -> Result<Option<u64>> {
    let others = lab.others(&[victim]);
    let mut times = Vec::new();
    for node in &others {
        let calls = lab.calls(*node, since)?;
        let beside = calls.iter().filter(|call| call.peer != lab.name(victim) && call.class == "ok");
        times.extend(beside.map(|call| call.ended - call.began));
    }
    times.sort_unstable();
    Ok(times.get(times.len().saturating_sub(1) * 99 / 100).copied())
}

/// Calls begun while the node stood still and given up, that ran nevertheless.
fn stale(lab: &Lab, victim: usize, calls: &[Call], frozen: u64) -> Result<usize> {
    // What was on its way in the very moment may have run before.
    let sent = calls.iter().filter(|call| call.began > frozen + 100_000 && call.class == "unknown");
    let all = lab.journals()?;
    let ran: std::collections::HashSet<(String, u64)> = all
        .get(&victim)
        .into_iter()
        .flatten()
        .flat_map(|life| &life.lines)
        .filter_map(|line| match line {
            Line::Ran { from, id } => Some((from.clone(), *id)),
            _ => None,
        })
        .collect();
    let callers: Vec<_> =
        lab.others(&[victim]).into_iter().filter_map(|node| all.get(&node)?.last()).collect();
    let mut stale = 0;
    for call in sent {
        // Numbers are counted by each caller: this one's stands in its own journal.
        let caller = callers.iter().find(|life| life.lines.contains(&Line::Call(call.clone())));
        stale += usize::from(caller.is_some_and(|life| ran.contains(&(life.who.clone(), call.id))));
    }
    Ok(stale)
}

pub(super) fn freeze_flapping(lab: &mut Lab) -> Result<String> {
    let victim = lab.count() - 1;
    let before = lost(lab)?;
    lab.load(&lab.others(&[]), patient(lab))?;
    const TIMES: usize = 20;
    for _ in 0..TIMES {
        lab.hosts.freeze(victim)?;
        lab.wait(Duration::from_millis(500))?;
        lab.hosts.thaw(victim)?;
        lab.wait(Duration::from_millis(500))?;
    }
    lab.quiet()?;
    let calls = calls_to(lab, victim, lab.since)?;
    let answered = count(&calls, "ok");
    unless(answered == calls.len(), || format!("{} of {} calls were answered", answered, calls.len()))?;
    unless(lost(lab)? == before, || "a connection was lost".to_owned())?;
    Ok(format!("{TIMES} times half a second: {answered} calls to it, all answered; no connection lost"))
}
