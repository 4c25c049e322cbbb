//! A long run with random faults: the same seed gives the same schedule.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use farcall_integration::control::{self, Answer, Ask, Load};
use farcall_integration::journal::{Line, now_us};
use nix::sys::signal::Signal;

use crate::check;
use crate::fault::{Fault, Result};
use crate::hosts::network::{self, Rule};
use crate::lab::Lab;
use crate::plot::{self, Band, Panel};
use crate::shell::check_interrupted;

/// What is done to the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nemesis {
    Kill,
    Stop,
    Freeze,
    Unplug,
    Cut,
    OneWay,
    Lose,
    SlowDown,
    Burn,
}

const NEMESES: [Nemesis; 9] = [
    Nemesis::Kill,
    Nemesis::Stop,
    Nemesis::Freeze,
    Nemesis::Unplug,
    Nemesis::Cut,
    Nemesis::OneWay,
    Nemesis::Lose,
    Nemesis::SlowDown,
    Nemesis::Burn,
];

impl Nemesis {
    fn word(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Stop => "stop",
            Self::Freeze => "freeze",
            Self::Unplug => "unplug",
            Self::Cut => "cut",
            Self::OneWay => "one-way",
            Self::Lose => "lose 10 %",
            Self::SlowDown => "2 Mbit/s",
            Self::Burn => "no cpu",
        }
    }
}

/// One fault of a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    /// From the beginning of the soak.
    pub(crate) at: Duration,
    pub(crate) lasts: Duration,
    pub(crate) what: Nemesis,
    pub(crate) node: usize,
    /// The other end, for faults between two.
    pub(crate) other: usize,
}

/// Numbers that look random and follow from a seed (splitmix64, after Steele, Lea and Flood, 2014).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end.max(1) as u64).unwrap_or(0)
    }

    fn between(&mut self, from_ms: usize, to_ms: usize) -> Duration {
        Duration::from_millis((from_ms + self.below(to_ms - from_ms)) as u64)
    }
}

/// The faults of a soak, in order, with calm between them and at the end.
pub(crate) fn schedule(seed: u64, length: Duration, nodes: usize) -> Vec<Step> {
    let (mut dice, mut at, mut steps) = (Dice(seed), Duration::from_secs(5), Vec::new());
    loop {
        let what = NEMESES.get(dice.below(NEMESES.len())).copied().unwrap_or(Nemesis::Kill);
        let lasts = dice.between(500, 9000);
        let node = dice.below(nodes);
        let other = (node + 1 + dice.below(nodes - 1)) % nodes;
        let calm = dice.between(2000, 6000);
        if at + lasts + CALM_AT_END > length {
            return steps;
        }
        steps.push(Step { at, lasts, what, node, other });
        at += lasts + calm;
    }
}

/// Without faults, at the end of a soak.
const CALM_AT_END: Duration = Duration::from_secs(8);

/// What was measured while it ran.
#[derive(Default)]
struct Samples {
    last: Option<Instant>,
    /// Per node: seconds since the beginning, and MiB.
    memory: BTreeMap<String, Vec<(f64, f64)>>,
}

/// Runs it; gives the verdict in a sentence. The report and the plot stand in `folder`.
pub(crate) fn soak(lab: &mut Lab, seed: u64, length: Duration, folder: &Path, head: &str) -> Result<String> {
    let steps = schedule(seed, length, lab.count());
    println!("seed {seed}, {} faults in {} s", steps.len(), length.as_secs());
    lab.ready()?;
    let load = Load { limit_ms: 3000, ..lab.usual() };
    let load = Load {
        calls_per_s: (load.calls_per_s / 2).max(1),
        casts_per_s: (load.casts_per_s / 2).max(1),
        ..load
    };
    let all = lab.others(&[]);
    lab.load(&all, load)?;
    lab.wait(Duration::from_secs(1))?;
    lab.quiet()?;
    let baseline: Vec<_> = all.iter().map(|node| lab.status(*node)).collect::<Result<_>>()?;
    lab.load(&all, load)?;
    lab.since = now_us();
    let (begun, mut samples, mut done) = (Instant::now(), Samples::default(), Vec::new());
    for step in &steps {
        until(lab, begun, step.at, &mut samples)?;
        let from = begun.elapsed();
        let outcome = strike(lab, step).and_then(|()| {
            until(lab, begun, step.at + step.lasts, &mut samples)?;
            lab.heal()?;
            // A node that was started anew knows nothing of its load.
            lab.load(&all, load)
        });
        let (node, other) = (lab.hosts.plan().host(step.node), lab.hosts.plan().host(step.other));
        let told = match &outcome {
            Ok(()) => "healed".to_owned(),
            Err(Fault::Skipped(why)) => format!("skipped: {why}"),
            Err(fault) => return Err(fault.clone()),
        };
        println!(
            "{:>6.1} s  {:<10} {node:<4} {other:<4} for {:>4.1} s  {told}",
            from.as_secs_f64(),
            step.what.word(),
            step.lasts.as_secs_f64()
        );
        done.push((*step, from, begun.elapsed(), told));
    }
    until(lab, begun, length, &mut samples)?;
    lab.quiet()?;
    let lives = lab.journals()?;
    let verdict = check::journals(&lives, lab.since)
        .and_then(|sums| check::baseline(lab, &baseline).map(|()| sums))
        .and_then(|sums| check::secrets(lab).map(|()| sums));
    let per_second = by_second(lab)?;
    fs::create_dir_all(folder)?;
    fs::write(folder.join("plot.svg"), picture(head, seed, &per_second, &samples, &done))?;
    let judged = match &verdict {
        Ok(sums) => format!("passed: {sums}"),
        Err(fault) => format!("FAILED: {fault}"),
    };
    fs::write(folder.join("report.md"), report(head, seed, &judged, &per_second, &done))?;
    println!("report and plot are in {}", folder.display());
    verdict.map(|sums| format!("{} faults; {sums}", done.len()))
}

/// Waits until then, and looks at the memory of all nodes once a second.
fn until(lab: &Lab, begun: Instant, at: Duration, samples: &mut Samples) -> Result<()> {
    while begun.elapsed() < at {
        check_interrupted()?;
        if samples.last.is_none_or(|last| last.elapsed() >= Duration::from_secs(1)) {
            samples.last = Some(Instant::now());
            for node in 0..lab.count() {
                let folder = lab.hosts.plan().node_folder(node);
                // One that stands still or is dead has nothing to say.
                let told = control::ask(&folder, &Ask::Status, Duration::from_millis(100));
                if let Ok(Answer::Status(status)) = told {
                    #[allow(clippy::cast_precision_loss, reason = "a picture")]
                    let mib = status.resident_bytes as f64 / f64::from(1 << 20);
                    let line = samples.memory.entry(lab.hosts.plan().host(node)).or_default();
                    line.push((begun.elapsed().as_secs_f64(), mib));
                }
            }
        }
        std::thread::sleep(Duration::from_millis(20).min(at.saturating_sub(begun.elapsed())));
    }
    Ok(())
}

fn strike(lab: &mut Lab, step: &Step) -> Result<()> {
    let Step { node, other, lasts, .. } = *step;
    let hosts = lab.hosts.as_mut();
    match step.what {
        Nemesis::Kill => lab.kill(node).map(drop),
        Nemesis::Stop => {
            hosts.signal(node, Signal::SIGTERM)?;
            lab.wait_ended(node, Duration::from_secs(12)).map(drop)
        }
        Nemesis::Freeze => hosts.freeze(node),
        Nemesis::Unplug => hosts.unplug(node),
        Nemesis::Cut => {
            network::add(hosts, node, other, Rule::Drop)?;
            network::add(hosts, other, node, Rule::Drop)
        }
        Nemesis::OneWay => network::add(hosts, node, other, Rule::Drop),
        Nemesis::Lose => network::add(hosts, node, other, Rule::Lose(100)),
        Nemesis::SlowDown => network::slow_down(hosts, node, "2mbit"),
        Nemesis::Burn => {
            let ms = u64::try_from(lasts.as_millis()).unwrap_or(0);
            lab.ask(node, &Ask::Burn { threads: 8, ms }).map(drop)
        }
    }
}

/// Calls by class that ended in each second.
fn by_second(lab: &Lab) -> Result<BTreeMap<String, BTreeMap<u64, u64>>> {
    let mut counts: BTreeMap<String, BTreeMap<u64, u64>> = BTreeMap::new();
    for life in lab.journals()?.values().flatten() {
        for line in &life.lines {
            if let Line::Call(call) = line
                && let Some(after) = call.ended.checked_sub(lab.since)
            {
                *counts.entry(call.class.clone()).or_default().entry(after / 1_000_000).or_default() += 1;
            }
        }
    }
    Ok(counts)
}

type Done = (Step, Duration, Duration, String);

#[allow(clippy::cast_precision_loss, reason = "a picture")]
fn picture(
    head: &str,
    seed: u64,
    per_second: &BTreeMap<String, BTreeMap<u64, u64>>,
    samples: &Samples,
    done: &[Done],
) -> String {
    let last = per_second.values().flat_map(|line| line.keys()).copied().max().unwrap_or(0);
    let line = |counts: &BTreeMap<u64, u64>| -> Vec<(f64, f64)> {
        // A second without any is a zero, not a gap.
        (0..=last).map(|second| (second as f64, counts.get(&second).copied().unwrap_or(0) as f64)).collect()
    };
    let of = |ok: bool| -> Vec<(String, Vec<(f64, f64)>)> {
        per_second
            .iter()
            .filter(|(class, _)| (*class == "ok") == ok)
            .map(|(class, counts)| (class.clone(), line(counts)))
            .collect()
    };
    let memory = samples.memory.iter().map(|(host, line)| (host.clone(), line.clone())).collect();
    let panels = [
        Panel { title: "calls answered a second", lines: of(true) },
        Panel { title: "calls that ended otherwise, a second", lines: of(false) },
        Panel { title: "memory of each node, MiB", lines: memory },
    ];
    let bands: Vec<Band> = done
        .iter()
        .filter(|(.., told)| told == "healed")
        .map(|(step, from, to, _)| Band {
            from: from.as_secs_f64(),
            to: to.as_secs_f64(),
            text: format!("{} n{}", step.what.word(), step.node + 1),
        })
        .collect();
    plot::svg(&format!("farcall soak: {head}, seed {seed}"), &panels, &bands)
}

fn report(
    head: &str,
    seed: u64,
    judged: &str,
    per_second: &BTreeMap<String, BTreeMap<u64, u64>>,
    done: &[Done],
) -> String {
    let mut text =
        format!("# Soak\n\n{head}, seed {seed}.\n\n**{judged}**\n\n![what happened](plot.svg)\n\n");
    text.push_str("| class | calls |\n|---|---|\n");
    for (class, counts) in per_second {
        text.push_str(&format!("| {class} | {} |\n", counts.values().sum::<u64>()));
    }
    text.push_str("\n| at | fault | node | other | for | then |\n|---|---|---|---|---|---|\n");
    for (step, from, to, told) in done {
        text.push_str(&format!(
            "| {:.1} s | {} | n{} | n{} | {:.1} s | {told} |\n",
            from.as_secs_f64(),
            step.what.word(),
            step.node + 1,
            step.other + 1,
            (*to - *from).as_secs_f64()
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN_MINUTES: Duration = Duration::from_secs(600);

    #[test]
    fn the_same_seed_gives_the_same_schedule_and_another_seed_another() {
        assert_eq!(schedule(7, TEN_MINUTES, 3), schedule(7, TEN_MINUTES, 3));
        assert_ne!(schedule(7, TEN_MINUTES, 3), schedule(8, TEN_MINUTES, 3));
    }

    #[test]
    fn faults_come_one_after_the_other_between_two_nodes_and_leave_calm_at_the_end() {
        for seed in 0..200 {
            let steps = schedule(seed, TEN_MINUTES, 4);
            assert!(steps.len() > 30, "{} faults", steps.len());
            assert!(steps.windows(2).all(|pair| pair[0].at + pair[0].lasts < pair[1].at));
            assert!(steps.iter().all(|step| step.node != step.other && step.node < 4 && step.other < 4));
            assert!(steps.last().is_some_and(|last| last.at + last.lasts + CALM_AT_END <= TEN_MINUTES));
        }
    }
}
