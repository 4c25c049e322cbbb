//! Processes that say they are the same node.

use std::time::Duration;

use farcall_integration::journal::now_us;

use super::processes::{calls_to, count, lost, ms, patient};
use crate::fault::{Result, unless};
use crate::lab::Lab;
use crate::shell::eventually;

pub(super) fn restart_unnoticed(lab: &mut Lab) -> Result<String> {
    // Without its network nobody hears of its end; frozen it does not say anything either.
    let (victim, twin) = (1, lab.count());
    let others = lab.others(&[victim]);
    lab.load(&others, patient(lab))?;
    lab.wait(Duration::from_secs(2))?;
    lab.hosts.unplug(victim)?;
    lab.hosts.freeze(victim)?;
    let cut = now_us();
    lab.hosts.point_to_twin(true)?;
    lab.start_twin()?;
    let up = now_us();
    // It calls the others, which is how they learn of it.
    lab.load(&[twin], patient(lab))?;
    for other in &others {
        eventually("the successor is called", Duration::from_secs(5), || lab.reaches(*other, twin))?;
    }
    let reached = now_us() - up;
    let calls = calls_to(lab, victim, cut)?;
    let told = calls.iter().filter(|call| call.reason == "link_lost").map(|call| call.ended).max();
    let Some(told) = told else {
        return crate::fault::failed("nobody was told that the connection was lost");
    };
    // Before the tick would have said so.
    unless(told - cut < 3_000_000, || format!("callers were told after {}", ms(told - cut)))?;
    let lost = count(&calls, "unknown");
    lab.load(&[twin], farcall_integration::control::Load::default())?;
    Ok(format!(
        "successor up after {}; {lost} waiting calls told {} after the cut; it was called {} after it was up",
        ms(up - cut),
        ms(told - cut),
        ms(reached)
    ))
}

pub(super) fn two_of_one_name(lab: &mut Lab) -> Result<String> {
    let (older, twin) = (1, lab.count());
    let others = lab.others(&[older]);
    let before = lost(lab)?;
    lab.load(&lab.others(&[]), patient(lab))?;
    lab.wait(Duration::from_secs(1))?;
    let said: Vec<usize> =
        others.iter().map(|other| lab.logged(*other, NAME_IN_USE)).collect::<Result<_>>()?;
    lab.start_twin()?;
    lab.load(&[twin], patient(lab))?;
    for (other, before) in others.iter().zip(said) {
        eventually("its peers say so", Duration::from_secs(10), || {
            unless(lab.logged(*other, NAME_IN_USE)? > before, || format!("{} says nothing", lab.name(*other)))
        })?;
    }
    lab.wait(Duration::from_secs(3))?;
    for other in &others {
        lab.reaches(*other, older)?;
        lab.reaches(older, *other)?;
        let now = lab.status(*other)?.lost;
        let was = before.get(*other).copied().unwrap_or_default();
        unless(now <= was + 2, || format!("{} lost {} connections", lab.name(*other), now - was))?;
    }
    let told = lab.probe(twin, 0, Duration::from_secs(3))?;
    unless(told.class == "not_sent", || {
        format!("a call of the younger came to {}: {}", told.class, told.text)
    })?;
    lab.load(&[twin], farcall_integration::control::Load::default())?;
    Ok(format!("both sides say so; the older serves on, the younger is told: {}", told.text))
}

/// The word in the log of whoever notices.
const NAME_IN_USE: &str = "name_in_use";
