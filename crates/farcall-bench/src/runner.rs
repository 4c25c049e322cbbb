//! The parent: rounds, children, and what they report.
//!
//! Rounds are interleaved, every implementation once per workload and round, because a shared machine has moods:
//! what is compared must have been measured within seconds. Every sample starts two fresh processes.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::child::{ANSWER_WITHIN, Child, Note, ServerFigures};
use crate::meter::Plan;
use crate::report::{Cell, Report, Sample, rate};
use crate::side::{Side, YARDSTICK};
use crate::usage::allowed_cores;
use crate::workload::{self, Cores, Placement, Workload};

/// What to run.
pub struct Settings {
    /// The implementations.
    pub sides: Vec<&'static Side>,
    /// The workloads.
    pub workloads: Vec<&'static Workload>,
    /// Instead of what each workload states.
    pub placement: Option<Placement>,
    /// How often everything is measured.
    pub rounds: u32,
    /// How long each time.
    pub plan: Plan,
}

/// One implementation under one workload.
struct Job {
    workload: &'static Workload,
    side: &'static Side,
    placement: Placement,
    cores: Cores,
}

/// Measures everything and reports. Ends by itself, early only at the first failure.
pub fn run(settings: &Settings) -> Result<Report> {
    let (jobs, skipped) = jobs(settings, &allowed_cores()?);
    if jobs.is_empty() {
        bail!("nothing to measure: {}", skipped.join("; "));
    }
    let mut cells: Vec<Cell> =
        jobs.iter().map(|job| Cell::new(job.workload, job.placement, job.side.name)).collect();
    let mut progress = Progress::new(jobs.len() * settings.rounds as usize);
    for round in 0..settings.rounds {
        for index in order(&jobs, round) {
            let (Some(job), Some(cell)) = (jobs.get(index), cells.get_mut(index)) else { continue };
            let sample = sample(job, settings.plan)
                .with_context(|| format!("{} of {}", job.workload.name, job.side.name))?;
            progress.step(job, &sample);
            cell.samples.push(sample);
        }
    }
    Ok(Report::new(settings.rounds, settings.plan, cells, skipped))
}

/// Everything that was asked for and can be done, and a line for each thing that cannot.
fn jobs(settings: &Settings, allowed: &[usize]) -> (Vec<Job>, Vec<String>) {
    let mut jobs: Vec<Job> = Vec::new();
    let mut skipped = Vec::new();
    let mut add = |workload: &'static Workload, side: &'static Side| {
        if jobs.iter().any(|job| job.workload.name == workload.name && job.side.name == side.name) {
            return;
        }
        let placement = settings.placement.unwrap_or(workload.placement);
        match placement.cores(allowed) {
            Ok(cores) => jobs.push(Job { workload, side, placement, cores }),
            Err(reason) => skipped.push(format!("{} of {}: {reason}", workload.name, side.name)),
        }
    };
    for workload in &settings.workloads {
        for side in settings.sides.iter().filter(|side| (side.supports)(workload)) {
            add(workload, side);
        }
        // What a workload is compared with is measured beside it even if nobody asked for it.
        let yardstick_asked = settings.workloads.iter().any(|other| other.name == workload.yardstick);
        if let (false, Some(side), Ok(yardstick)) = (
            yardstick_asked,
            settings.sides.iter().find(|side| side.name == YARDSTICK),
            workload::find(workload.yardstick),
        ) {
            add(yardstick, side);
        }
    }
    (jobs, skipped)
}

/// The jobs of a round. Every other round goes backwards, so that nobody always runs on a machine that the same
/// neighbour has just warmed.
fn order(jobs: &[Job], round: u32) -> Vec<usize> {
    let forwards = 0..jobs.len();
    if round.is_multiple_of(2) { forwards.collect() } else { forwards.rev().collect() }
}

/// Starts a server and a client, and collects what both report about the same window.
fn sample(job: &Job, plan: Plan) -> Result<Sample> {
    let mut server = Child::spawn("server", &child_arguments("server", job, job.cores.server))?;
    let Note::Listening(address) = server.note(ANSWER_WITHIN)? else { bail!("the server does not listen") };
    let client = Child::spawn("client", &client_arguments(job, address, plan))?;
    expect(&client, "open", plan.warmup, |note| matches!(note, Note::Open))?;
    let before: ServerFigures = server.figures()?;
    expect(&client, "close", plan.window, |note| matches!(note, Note::Close))?;
    let after = server.figures()?;
    match client.note(ANSWER_WITHIN)? {
        Note::Sample(seen) => Sample::new(job.workload, &seen, before, after),
        other => bail!("the client said {other:?} instead of what it saw"),
    }
}

fn expect(client: &Child, what: &str, due: Duration, is: fn(&Note) -> bool) -> Result<()> {
    match client.note(due + ANSWER_WITHIN)? {
        note if is(&note) => Ok(()),
        other => bail!("the client said {other:?} instead of {what}"),
    }
}

fn child_arguments(command: &str, job: &Job, core: Option<usize>) -> Vec<String> {
    let mut arguments = vec![command.to_owned(), "--side".to_owned(), job.side.name.to_owned()];
    if let Some(core) = core {
        arguments.extend(["--core".to_owned(), core.to_string()]);
    }
    arguments
}

fn client_arguments(job: &Job, address: SocketAddr, plan: Plan) -> Vec<String> {
    let mut arguments = child_arguments("client", job, job.cores.client);
    for (name, value) in [
        ("--address", address.to_string()),
        ("--workload", job.workload.name.to_owned()),
        ("--warmup-s", plan.warmup.as_secs_f64().to_string()),
        ("--window-s", plan.window.as_secs_f64().to_string()),
    ] {
        arguments.extend([name.to_owned(), value]);
    }
    arguments
}

/// A line on standard error for every sample.
struct Progress {
    started: Instant,
    done: usize,
    total: usize,
}

impl Progress {
    fn new(total: usize) -> Self {
        Self { started: Instant::now(), done: 0, total }
    }

    fn step(&mut self, job: &Job, sample: &Sample) {
        self.done += 1;
        let left = self.started.elapsed().as_secs_f64() / self.done as f64 * (self.total - self.done) as f64;
        let latency = sample.p50_us.map_or(String::new(), |p50_us| format!(", p50 {p50_us:.1} µs"));
        eprintln!(
            "[{:>3}/{}] {:<20} {:<11} {}/s{latency}, {:.2} µs CPU a call; {left:.0} s left",
            self.done,
            self.total,
            job.workload.name,
            job.side.name,
            rate(sample.calls_per_s),
            sample.cpu_us_per_call,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::side::SIDES;

    fn settings(names: &[&str]) -> Settings {
        Settings {
            sides: SIDES.iter().collect(),
            workloads: names.iter().map(|name| workload::find(name).unwrap()).collect(),
            placement: None,
            rounds: 1,
            plan: Plan { warmup: Duration::ZERO, window: Duration::ZERO },
        }
    }

    #[test]
    fn a_yardstick_that_was_not_asked_for_is_measured_all_the_same() {
        let (jobs, _) = jobs(&settings(&["casts_64B"]), &[0, 1]);
        assert!(jobs.iter().any(|job| job.workload.name == "calls_64B_w1024" && job.side.name == YARDSTICK));
    }

    #[test]
    fn nothing_is_measured_twice_in_a_round() {
        let (jobs, _) = jobs(&settings(&["casts_64B", "calls_64B_w1024", "calls_64B_w1024"]), &[0, 1]);
        assert_eq!(jobs.iter().filter(|job| job.side.name == YARDSTICK).count(), 1);
    }

    #[test]
    fn what_the_machine_cannot_do_is_skipped_and_said() {
        let (jobs, skipped) = jobs(&settings(&["calls_64B_w1", "calls_64B_w1024"]), &[0]);
        assert!(jobs.iter().all(|job| job.workload.name == "calls_64B_w1"));
        assert_eq!(skipped.len(), SIDES.len());
    }
}
