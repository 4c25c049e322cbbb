//! Nodes that lack something.

use std::time::Duration;

use farcall_integration::control::Ask;

use super::processes::{count, lost, ms, patient};
use crate::fault::{Result, unless};
use crate::lab::Lab;
use crate::shell::eventually;

pub(super) fn no_files(lab: &mut Lab) -> Result<String> {
    lab.needs(3)?;
    const HELD: Duration = Duration::from_secs(6);
    let (poor, steady, comer) = (0, 1, 2);
    lab.load(&[steady], patient(lab))?;
    lab.wait(Duration::from_secs(1))?;
    lab.kill(comer)?;
    let since = farcall_integration::journal::now_us();
    lab.ask(poor, &Ask::HoldFiles { ms: 6000 })?;
    lab.start(comer)?;
    let refused = lab.probe(comer, poor, Duration::from_secs(2))?;
    unless(refused.class == "not_sent", || {
        format!("the newcomer was let in: {}, {}", refused.class, refused.text)
    })?;
    lab.wait(HELD)?;
    eventually("the newcomer is let in", Duration::from_secs(5), || lab.reaches(comer, poor))?;
    let name = lab.name(poor);
    let calls: Vec<_> = lab.calls(steady, since)?.into_iter().filter(|call| call.peer == name).collect();
    let bad = calls.iter().find(|call| call.class != "ok");
    unless(bad.is_none(), || format!("a call over a connection that was there failed: {bad:?}"))?;
    lab.quiet()?;
    Ok(format!(
        "{} calls over the old connection, all answered; the newcomer: not sent, then let in",
        calls.len()
    ))
}

pub(super) fn no_cpu(lab: &mut Lab) -> Result<String> {
    const TIME: Duration = Duration::from_secs(15);
    let all = lab.others(&[]);
    let before = lost(lab)?;
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let each = u32::try_from((4 * cores).div_ceil(all.len())).unwrap_or(u32::MAX);
    lab.load(&all, patient(lab))?;
    let since = farcall_integration::journal::now_us();
    for node in &all {
        lab.ask(*node, &Ask::Burn { threads: each, ms: 15_000 })?;
    }
    lab.wait(TIME)?;
    lab.quiet()?;
    unless(lost(lab)? == before, || "a connection was lost".to_owned())?;
    super::cluster::no_downs(lab, since)?;
    let mut calls = Vec::new();
    for node in &all {
        calls.extend(lab.calls(*node, since)?);
    }
    let ok = count(&calls, "ok");
    unless(ok == calls.len(), || format!("{ok} of {} calls were answered", calls.len()))?;
    let mut times: Vec<_> = calls.iter().map(|call| call.ended - call.began).collect();
    times.sort_unstable();
    let p99 = times.get(times.len().saturating_sub(1) * 99 / 100).copied().unwrap_or_default();
    Ok(format!(
        "{} threads on {cores} cores for 15 s: {ok} calls, all answered, p99 {}; no connection lost",
        each as usize * all.len(),
        ms(p99)
    ))
}
