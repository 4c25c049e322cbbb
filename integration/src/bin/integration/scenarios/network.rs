//! Networks that lose, delay, cut and lie.

use std::time::Duration;

use farcall_integration::control::{self, Answer, Ask, Load};
use farcall_integration::journal::{Call, now_us};

use super::cluster::{given_up_at, no_downs};
use super::processes::{calls_to, count, given_up, lost, ms, patient};
use crate::fault::{Fault, Result, failed, unless};
use crate::hosts::network::{self, Rule};
use crate::lab::Lab;
use crate::plan::TICK;
use crate::shell::eventually;

/// How soon two nodes find each other again after a fault: the longest backoff, and a busy machine.
const FOUND_WITHIN: Duration = Duration::from_secs(10);

/// Nothing of one comes in at the other, nor the other way round.
pub(super) fn cut(lab: &Lab, one: usize, other: usize) -> Result<()> {
    network::add(lab.hosts.as_ref(), one, other, Rule::Drop)?;
    network::add(lab.hosts.as_ref(), other, one, Rule::Drop)
}

pub(super) fn heal(lab: &Lab, nodes: &[usize]) -> Result<()> {
    nodes.iter().try_for_each(|node| network::heal(lab.hosts.as_ref(), *node))
}

/// All of these pairs reach each other again; gives how long that took.
fn found_again(lab: &Lab, pairs: &[(usize, usize)]) -> Result<u64> {
    let begun = now_us();
    for (one, other) in pairs {
        eventually("they find each other again", FOUND_WITHIN, || lab.reaches(*one, *other))?;
        eventually("they find each other again", FOUND_WITHIN, || lab.reaches(*other, *one))?;
    }
    Ok(now_us() - begun)
}

/// The calls of one node to another that ended since then.
fn calls_between(lab: &Lab, from: usize, to: usize, since: u64) -> Result<Vec<Call>> {
    let name = lab.name(to);
    Ok(lab.calls(from, since)?.into_iter().filter(|call| call.peer == name).collect())
}

pub(super) fn unplug(lab: &mut Lab) -> Result<String> {
    let victim = lab.count() - 1;
    lab.load(&lab.others(&[]), patient(lab))?;
    lab.wait(Duration::from_secs(2))?;
    lab.hosts.unplug(victim)?;
    let begun = now_us();
    lab.wait(TICK + TICK / 4 + Duration::from_secs(2))?;
    let outside = given_up(&calls_to(lab, victim, begun)?, begun)?;
    let inside = given_up(&lab.calls(victim, begun)?, begun)?;
    for other in lab.others(&[victim]) {
        given_up_at(lab, other, victim, begun)?;
        given_up_at(lab, victim, other, begun)?;
    }
    lab.hosts.plug(victim)?;
    let pairs: Vec<_> = lab.others(&[victim]).into_iter().map(|other| (other, victim)).collect();
    let found = found_again(lab, &pairs)?;
    lab.quiet()?;
    Ok(format!(
        "given up after {} outside and {} inside; found again after {}",
        ms(outside),
        ms(inside),
        ms(found)
    ))
}

pub(super) fn partition(lab: &mut Lab) -> Result<String> {
    let all = lab.others(&[]);
    let (left, right) = all.split_at(lab.count() / 2);
    let pairs: Vec<_> = left.iter().flat_map(|one| right.iter().map(|other| (*one, *other))).collect();
    lab.load(&all, patient(lab))?;
    lab.wait(Duration::from_secs(2))?;
    for (one, other) in &pairs {
        cut(lab, *one, *other)?;
    }
    let begun = now_us();
    // Those inside of a half have to feel nothing, whatever the others wait for.
    lab.wait(Duration::from_secs(10))?;
    let mut told = 0;
    for (one, other) in &pairs {
        told = told.max(given_up(&calls_between(lab, *one, *other, begun)?, begun)?);
        told = told.max(given_up(&calls_between(lab, *other, *one, begun)?, begun)?);
    }
    let mut inside = 0;
    for half in [left, right] {
        for one in half {
            for other in half.iter().filter(|other| *other != one) {
                let calls = calls_between(lab, *one, *other, begun)?;
                let bad = calls.iter().find(|call| call.class != "ok");
                unless(bad.is_none(), || format!("within a half, a call failed: {bad:?}"))?;
                inside += calls.len();
            }
        }
    }
    heal(lab, &all)?;
    let found = found_again(lab, &pairs)?;
    lab.quiet()?;
    Ok(format!(
        "{} against {}: given up after {} at most; {inside} calls inside the halves, all answered; found again after {}",
        left.len(),
        right.len(),
        ms(told),
        ms(found)
    ))
}

pub(super) fn cut_pair(lab: &mut Lab) -> Result<String> {
    lab.needs(3)?;
    lab.load(&lab.others(&[]), patient(lab))?;
    lab.wait(Duration::from_secs(2))?;
    cut(lab, 0, 1)?;
    let begun = now_us();
    lab.wait(TICK + TICK / 4 + Duration::from_secs(2))?;
    let told = given_up(&calls_between(lab, 0, 1, begun)?, begun)?;
    let mut beside = 0;
    for third in lab.others(&[0, 1]) {
        for pair in [(0, third), (third, 0), (1, third), (third, 1)] {
            let calls = calls_between(lab, pair.0, pair.1, begun)?;
            let bad = calls.iter().find(|call| call.class != "ok");
            unless(bad.is_none(), || format!("a call beside it failed: {bad:?}"))?;
            beside += calls.len();
        }
    }
    heal(lab, &[0, 1])?;
    let found = found_again(lab, &[(0, 1)])?;
    lab.quiet()?;
    Ok(format!(
        "given up after {}; {beside} calls with the others, all answered; found again after {}",
        ms(told),
        ms(found)
    ))
}

pub(super) fn one_way(lab: &mut Lab) -> Result<String> {
    let mut seen = Vec::new();
    for (from, to) in [(0, 1), (1, 0)] {
        lab.load(&lab.others(&[]), patient(lab))?;
        lab.wait(Duration::from_secs(2))?;
        let (dials, since) = (lab.status(0)?.dials + lab.status(1)?.dials, now_us());
        network::add(lab.hosts.as_ref(), to, from, Rule::Drop)?;
        lab.wait(TICK + TICK / 4 + Duration::from_secs(2))?;
        let mute = given_up(&calls_between(lab, from, to, since)?, since)?;
        let deaf = given_up(&calls_between(lab, to, from, since)?, since)?;
        given_up_at(lab, 0, 1, since)?;
        given_up_at(lab, 1, 0, since)?;
        let dials = lab.status(0)?.dials + lab.status(1)?.dials - dials;
        // Two connections were lost, and pauses between attempts grow to two seconds.
        unless(dials <= 40, || format!("{dials} dials in a few seconds"))?;
        heal(lab, &[to])?;
        found_again(lab, &[(0, 1)])?;
        lab.quiet()?;
        seen.push(format!("{} and {}", ms(mute), ms(deaf)));
    }
    Ok(format!("each way in turn, given up by the mute and by the deaf side after {}", seen.join("; ")))
}

/// Every node loses so many of a thousand packets of every other.
fn lose(lab: &Lab, of_1000: u32) -> Result<()> {
    for node in 0..lab.count() {
        for peer in lab.others(&[node]) {
            network::add(lab.hosts.as_ref(), node, peer, Rule::Lose(of_1000))?;
        }
    }
    Ok(())
}

pub(super) fn loss(lab: &mut Lab) -> Result<String> {
    let all = lab.others(&[]);
    let (before, begun) = (lost(lab)?, now_us());
    let mut seen = Vec::new();
    for (of_1000, limit_us) in [(10, 450_000), (50, 1_500_000)] {
        lab.load(&all, patient(lab))?;
        lose(lab, of_1000)?;
        let since = now_us();
        lab.wait(Duration::from_secs(10))?;
        lab.quiet()?;
        heal(lab, &all)?;
        let mut times = Vec::new();
        for node in &all {
            let calls = lab.calls(*node, since)?;
            let bad = calls.iter().find(|call| call.class != "ok");
            unless(bad.is_none(), || format!("a call was not answered: {bad:?}"))?;
            times.extend(calls.iter().map(|call| call.ended - call.began));
        }
        times.sort_unstable();
        let p99 = times.get(times.len().saturating_sub(1) * 99 / 100).copied().unwrap_or_default();
        unless(p99 < limit_us, || format!("p99 is {} at {} %", ms(p99), f64::from(of_1000) / 10.0))?;
        seen.push(format!("{} %: {} calls, p99 {}", f64::from(of_1000) / 10.0, times.len(), ms(p99)));
    }
    unless(lost(lab)? == before, || "a connection was lost".to_owned())?;
    no_downs(lab, begun)?;
    Ok(format!("{}; no connection lost", seen.join("; ")))
}

pub(super) fn heavy_loss(lab: &mut Lab) -> Result<String> {
    let all = lab.others(&[]);
    let before: u64 = lost(lab)?.iter().sum();
    lab.load(&all, lab.usual())?;
    lose(lab, 200)?;
    lab.wait(Duration::from_secs(20))?;
    heal(lab, &all)?;
    let pairs: Vec<_> =
        all.iter().flat_map(|one| lab.others(&[*one]).into_iter().map(|other| (*one, other))).collect();
    let begun = now_us();
    for (one, other) in pairs {
        eventually("they find each other again", Duration::from_secs(30), || lab.reaches(one, other))?;
    }
    let found = now_us() - begun;
    let lost = lost(lab)?.iter().sum::<u64>() - before;
    lab.quiet()?;
    Ok(format!("20 s of it: {lost} connections lost; all well {} after its end", ms(found)))
}

pub(super) fn reset(lab: &mut Lab) -> Result<String> {
    const BYTES: u64 = 12 << 20;
    let errors = lab.status(1)?.protocol_errors;
    network::slow_down(lab.hosts.as_ref(), 0, "20mbit")?;
    let since = now_us();
    let (folder, peer) = (lab.hosts.plan().node_folder(0), lab.name(1));
    let limit = Duration::from_secs(30);
    let ask = Ask::Large { peer, bytes: BYTES, limit_ms: 30_000 };
    let call = std::thread::spawn(move || control::ask(&folder, &ask, limit + Duration::from_secs(5)));
    // The whole message takes five seconds at that rate.
    lab.wait(Duration::from_millis(1500))?;
    let unsent = lab.status(0)?.unsent_bytes;
    unless((1..BYTES).contains(&unsent), || {
        format!("it is not in the midst of the message: {unsent} bytes unsent")
    })?;
    network::add(lab.hosts.as_ref(), 1, 0, Rule::Reset)?;
    let begun = now_us();
    let answer = call.join().map_err(|_| Fault::Failed("the caller panicked".to_owned()))??;
    let told = now_us() - begun;
    heal(lab, &[0, 1])?;
    let Answer::Outcome { class, text, .. } = answer else { return failed(format!("{answer:?}")) };
    unless(class == "unknown" && text.starts_with("link_lost"), || format!("it came to {class}: {text}"))?;
    // The next packet to meet the rule is at most a burst of the slow link away.
    unless(told < 600_000, || format!("it was told after {}", ms(told)))?;
    let ran = lab.calls(0, since)?.iter().filter(|call| call.class == "ok").count();
    unless(ran == 0, || "half a message was handed to its actor".to_owned())?;
    let after = lab.status(1)?.protocol_errors;
    unless(after == errors, || "the half of a frame counts as an attack".to_owned())?;
    found_again(lab, &[(0, 1)])?;
    Ok(format!(
        "{} of {} KiB were unsent; its caller was told after {}; no protocol error",
        unsent >> 10,
        BYTES >> 10,
        ms(told)
    ))
}

pub(super) fn black_hole(lab: &mut Lab) -> Result<String> {
    network::add(lab.hosts.as_ref(), 1, 0, Rule::DropSyn)?;
    lab.lines(1, &Ask::KillAcceptors { from: lab.name(0) })?;
    eventually("the connection is gone", Duration::from_secs(2), || {
        let nodes = lab.status(0)?.nodes;
        unless(!nodes.contains(&lab.name(1)), || format!("{nodes:?}"))
    })?;
    let hasty = lab.probe(0, 1, Duration::from_secs(1))?;
    unless(hasty.class == "not_sent", || format!("a hasty call came to {}: {}", hasty.class, hasty.text))?;
    let late = hasty.time.saturating_sub(Duration::from_secs(1));
    unless(late < Duration::from_millis(250), || format!("its deadline was missed by {late:?}"))?;
    let patient = lab.probe(0, 1, Duration::from_secs(12))?;
    unless(patient.class == "not_sent", || {
        format!("a patient call came to {}: {}", patient.class, patient.text)
    })?;
    unless(patient.time < Duration::from_secs(6), || format!("the connect took {:?}", patient.time))?;
    let behind = lab.probe(0, 1, Duration::from_secs(12))?;
    let at_once = behind.class == "not_sent" && behind.time < Duration::from_millis(20);
    unless(at_once, || format!("during the pause a call took {:?}: {}", behind.time, behind.text))?;
    heal(lab, &[1])?;
    let found = found_again(lab, &[(0, 1)])?;
    Ok(format!(
        "a call of 1 s ended after {:.2?}, the connect after {:.2?}, a call behind it after {:.2?}; found again after {}",
        hasty.time,
        patient.time,
        behind.time,
        ms(found)
    ))
}

pub(super) fn slow_link(lab: &mut Lab) -> Result<String> {
    const BYTES: u64 = 64 << 10;
    let before = lost(lab)?;
    let memory = lab.status(0)?.resident_bytes;
    network::slow_down(lab.hosts.as_ref(), 0, "1mbit")?;
    let flood = lab.ask(0, &Ask::Flood { peer: lab.name(1), bytes: BYTES, count: 1600 })?;
    let Answer::Flooded { accepted, full, longest_us } = flood else { return failed(format!("{flood:?}")) };
    // The rest of its limit is what the kernel took.
    unless(full > 900, || format!("only {full} of 1600 were refused"))?;
    unless(longest_us < 250_000, || format!("an offer took {}", ms(longest_us)))?;
    let mut most = 0;
    for _ in 0..15 {
        lab.wait(Duration::from_secs(1))?;
        most = most.max(lab.status(0)?.resident_bytes.saturating_sub(memory));
    }
    unless(most < 64 << 20, || format!("its memory grew by {} MiB", most >> 20))?;
    unless(lost(lab)? == before, || "a connection was lost: its ticks came late".to_owned())?;
    heal(lab, &[0])?;
    lab.quiet()?;
    unless(lost(lab)? == before, || "a connection was lost when the link was fast again".to_owned())?;
    Ok(format!(
        "{accepted} of 1600 messages of 64 KiB accepted, {full} refused, none took longer than {}; memory {} MiB more; \
         15 s at 1 Mbit/s without a loss",
        ms(longest_us),
        most >> 20
    ))
}

pub(super) fn flapping_link(lab: &mut Lab) -> Result<String> {
    const TIMES: u64 = 5;
    let before: u64 = lost(lab)?.iter().sum();
    lab.load(&lab.others(&[]), Load { limit_ms: 5000, ..lab.usual() })?;
    for _ in 0..TIMES {
        cut(lab, 0, 1)?;
        lab.wait(Duration::from_secs(2))?;
        heal(lab, &[0, 1])?;
        lab.wait(Duration::from_secs(2))?;
    }
    let found = found_again(lab, &[(0, 1)])?;
    let lost = lost(lab)?.iter().sum::<u64>() - before;
    unless(lost <= 2 * TIMES, || format!("{lost} connections were lost in {TIMES} cuts of two"))?;
    lab.quiet()?;
    let calls = calls_between(lab, 0, 1, lab.since)?;
    Ok(format!(
        "{TIMES} times 2 s: {lost} connections lost; {} of {} calls answered; all well {} after the last",
        count(&calls, "ok"),
        calls.len(),
        ms(found)
    ))
}

pub(super) fn new_address(lab: &mut Lab) -> Result<String> {
    let old = lab.hosts.address(1)?;
    lab.load_all()?;
    lab.wait(Duration::from_secs(1))?;
    lab.kill(1)?;
    lab.hosts.readdress(1)?;
    lab.wait(Duration::from_secs(1))?;
    lab.start(1)?;
    let begun = now_us();
    let pairs: Vec<_> = lab.others(&[1]).into_iter().map(|other| (other, 1)).collect();
    found_again(lab, &pairs)?;
    let found = now_us() - begun;
    let new = lab.hosts.address(1)?;
    unless(new != old, || format!("it is at {old} again"))?;
    lab.quiet()?;
    Ok(format!("from {old} to {new}: found {} after its start", ms(found)))
}
