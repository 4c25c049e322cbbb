//! Nodes that are stopped in good order.

use std::time::Duration;

use farcall_integration::control::Load;
use farcall_integration::journal::{Line, now_us};
use nix::sys::signal::Signal;

use super::processes::{calls_to, count, lost, ms};
use crate::fault::{Result, failed, unless};
use crate::lab::Lab;

/// How long a node may take to stop: its drain_timeout, and what a busy machine adds.
const STOPPED_WITHIN: Duration = Duration::from_secs(12);

/// Stops a node; gives how long it took.
fn stop(lab: &mut Lab, node: usize) -> Result<u64> {
    let begun = now_us();
    lab.hosts.signal(node, Signal::SIGTERM)?;
    let code = lab.wait_ended(node, STOPPED_WITHIN)?;
    unless(code == 0, || format!("{} ended with {code}", lab.name(node)))?;
    Ok(now_us() - begun)
}

pub(super) fn stop_idle(lab: &mut Lab) -> Result<String> {
    let victim = lab.count() - 1;
    let others = lab.others(&[victim]);
    let before = lost(lab)?;
    let took = stop(lab, victim)?;
    for other in others {
        let after = lab.status(other)?.lost;
        let was = before.get(other).copied().unwrap_or_default();
        unless(after == was, || format!("{} lost a connection", lab.name(other)))?;
        let told = lab.probe(other, victim, Duration::from_secs(2))?;
        unless(told.class == "not_sent", || format!("a call to it came to {}: {}", told.class, told.text))?;
    }
    Ok(format!("ended with 0 after {}; nobody lost a connection, and calls to it are not sent", ms(took)))
}

pub(super) fn stop_busy(lab: &mut Lab) -> Result<String> {
    let victim = lab.count() - 1;
    lab.load(&lab.others(&[]), Load { limit_ms: 5000, ..lab.usual() })?;
    lab.wait(Duration::from_secs(2))?;
    let begun = now_us();
    let took = stop(lab, victim)?;
    lab.wait(Duration::from_millis(500))?;
    lab.load(&lab.others(&[victim]), Load::default())?;
    let calls = calls_to(lab, victim, begun)?;
    for class in ["unknown", "failed"] {
        let first = calls.iter().find(|call| call.class == class);
        unless(first.is_none(), || format!("{} calls ended as {class}: {first:?}", count(&calls, class)))?;
    }
    let its_own = lab.calls(victim, begun)?;
    let first = its_own.iter().find(|call| call.class == "unknown");
    unless(first.is_none(), || format!("it left a call of its own unanswered: {first:?}"))?;
    let (ok, refused) = (count(&calls, "ok"), calls.len() - count(&calls, "ok"));
    Ok(format!(
        "ended with 0 after {}; {ok} calls answered meanwhile, {refused} surely not run, none unknown",
        ms(took)
    ))
}

pub(super) fn rolling_restart(lab: &mut Lab) -> Result<String> {
    let nodes = u32::try_from(lab.count()).unwrap_or(u32::MAX);
    let load = Load { work_per_s: (600 / nodes).max(20), limit_ms: 5000, ..Load::default() };
    lab.load(&lab.others(&[]), load)?;
    lab.wait(Duration::from_secs(1))?;
    let mut longest = 0;
    for node in 0..lab.count() {
        longest = longest.max(stop(lab, node)?);
        lab.start(node)?;
        lab.ready()?;
        lab.load(&[node], load)?;
        lab.wait(Duration::from_millis(500))?;
    }
    lab.quiet()?;
    let (mut works, mut again) = (0, 0);
    for life in lab.journals()?.values().flatten() {
        for line in &life.lines {
            let Line::Work { id, ended, class, tries } = line else { continue };
            if *ended < lab.since {
                continue;
            }
            if class != "ok" {
                return failed(format!("work {id} of {} came to {class} after {tries} tries", life.who));
            }
            works += 1;
            again += u64::from(*tries > 1);
        }
    }
    unless(works > 100, || format!("only {works} pieces of work were done"))?;
    Ok(format!(
        "{works} pieces of work, none lost, {again} of them done by another node than the first; a stop took {} at most",
        ms(longest)
    ))
}
