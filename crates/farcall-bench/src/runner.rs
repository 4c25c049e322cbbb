//! The parent: rounds, children, and what they report.
//!
//! Rounds are interleaved, every implementation once per workload and round, because a shared machine has moods:
//! what is compared must have been measured within seconds. Every sample starts fresh processes.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::child::{ANSWER_WITHIN, Child, Note, ServerFigures};
use crate::meter::{ClientSample, Plan};
use crate::progress::Progress;
use crate::report::{Cell, Probe, Report, Sample};
use crate::side::{Side, YARDSTICK};
use crate::table::rate;
use crate::usage::allowed_cores;
use crate::workload::{self, Cores, Placement, Traffic, Workload};

/// What to run.
pub(crate) struct Settings {
    /// The implementations.
    pub(crate) sides: Vec<&'static Side>,
    /// The workloads.
    pub(crate) workloads: Vec<Workload>,
    /// Instead of what each workload states.
    pub(crate) placement: Option<Placement>,
    /// How often everything is measured.
    pub(crate) rounds: u32,
    /// How long each time.
    pub(crate) plan: Plan,
}

/// One implementation under one workload.
struct Job {
    workload: Workload,
    side: &'static Side,
    placement: Placement,
    cores: Cores,
}

/// Measures everything and reports. Ends by itself, early only at the first failure.
pub(crate) fn run(settings: &Settings) -> Result<Report> {
    let (jobs, skipped) = jobs(settings, &allowed_cores()?);
    if jobs.is_empty() {
        bail!("nothing to measure: {}", skipped.join("; "));
    }
    let mut cells: Vec<Cell> = Vec::new();
    let mut probes: Vec<Probe> = Vec::new();
    for job in &jobs {
        cells.push(Cell::new(&job.workload, job.placement, job.side.name));
        probes.push(Probe::new(&job.workload.name, job.side.name));
    }
    let mut progress = Progress::new(jobs.len() * settings.rounds as usize);
    for round in 0..settings.rounds {
        for index in order(&jobs, round) {
            let (Some(job), Some(cell)) = (jobs.get(index), cells.get_mut(index)) else { continue };
            let what = format!("{} of {}", job.workload.name, job.side.name);
            if job.workload.is_probe() {
                let seen = probe(job, settings.plan).with_context(|| what.clone())?;
                progress.step(&what, &format!("{seen:?}"));
                probes.get_mut(index).into_iter().for_each(|probe| probe.add(&seen));
            } else {
                let sample = sample(job, settings.plan).with_context(|| what.clone())?;
                progress.step(&what, &said(&sample));
                cell.samples.push(sample);
            }
        }
    }
    cells.retain(|cell| !cell.samples.is_empty());
    probes.retain(|probe| !probe.is_empty());
    Ok(Report::new(settings, cells, probes, skipped))
}

fn said(sample: &Sample) -> String {
    let latency = sample.p50_us.map_or(String::new(), |p50_us| format!(", p50 {p50_us:.1} µs"));
    format!("{}/s{latency}, {:.2} µs CPU a call", rate(sample.calls_per_s), sample.cpu_us_per_call)
}

/// Everything that was asked for and can be done, and a line for each thing that cannot.
fn jobs(settings: &Settings, allowed: &[usize]) -> (Vec<Job>, Vec<String>) {
    let mut jobs: Vec<Job> = Vec::new();
    let mut skipped = Vec::new();
    let mut add = |workload: &Workload, side: &'static Side| {
        if jobs.iter().any(|job| job.workload.name == workload.name && job.side.name == side.name) {
            return;
        }
        let placement = settings.placement.unwrap_or(workload.placement);
        match placement.cores(allowed) {
            Ok(cores) => jobs.push(Job { workload: workload.clone(), side, placement, cores }),
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
            workload::find(&workload.yardstick),
        ) {
            add(&yardstick, side);
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

/// Measures one implementation under one workload, which need not be in the table of them.
pub(crate) fn measure(workload: &Workload, side: &'static Side, plan: Plan) -> Result<Sample> {
    let cores = workload.placement.cores(&allowed_cores()?)?;
    sample(&Job { workload: workload.clone(), side, placement: workload.placement, cores }, plan)
}

/// Starts a server and its clients, and collects what all report about the same window.
fn sample(job: &Job, plan: Plan) -> Result<Sample> {
    let (mut server, addresses) = start_server(job)?;
    let clients: Vec<Child> =
        (0..job.workload.clients).map(|_| start_client(job, &addresses, plan)).collect::<Result<_>>()?;
    for client in &clients {
        expect(client, "open", SETTLE + plan.warmup, |note| matches!(note, Note::Open))?;
    }
    let before = server.figures()?;
    for client in &clients {
        expect(client, "close", plan.window, |note| matches!(note, Note::Close))?;
    }
    let after = server.figures()?;
    let seen: Vec<ClientSample> = clients.iter().map(seen).collect::<Result<_>>()?;
    Sample::new(&job.workload, &seen, before, after)
}

/// What a probe finds: a name and a value each.
type Seen = Vec<(&'static str, f64)>;

fn probe(job: &Job, plan: Plan) -> Result<Seen> {
    let Traffic::Idle { connections } = job.workload.traffic else { return probe_start(job, plan) };
    let plan = Plan { window: plan.window.max(IDLE_WINDOW_MIN), warmup: plan.warmup.max(IDLE_SETTLE_MIN) };
    let (mut server, addresses) = start_server(job)?;
    let client = start_client(job, &addresses, plan)?;
    expect(&client, "base", SETTLE, |note| matches!(note, Note::Base))?;
    let base = server.figures()?;
    expect(&client, "open", SETTLE + plan.warmup, |note| matches!(note, Note::Open))?;
    let open = server.figures()?;
    expect(&client, "close", plan.window, |note| matches!(note, Note::Close))?;
    let close: ServerFigures = server.figures()?;
    let seen = seen(&client)?;
    let each = |kib: i64| kib as f64 / f64::from(connections);
    let server_cpu = close.usage.since(open.usage).cpu_s() / (close.at_s - open.at_s);
    Ok(vec![
        ("client KiB a connection", each(seen.span.used.rss_kib - seen.base_rss_kib)),
        ("server KiB a connection", each(close.usage.rss_kib - base.usage.rss_kib)),
        ("client % of a core", seen.span.used.cpu_s() / seen.span.elapsed_s * 100.0),
        ("server % of a core", server_cpu * 100.0),
    ])
}

fn probe_start(job: &Job, plan: Plan) -> Result<Seen> {
    let client = start_client(job, &[SocketAddr::from(([127, 0, 0, 1], 1))], plan)?;
    match client.note(SETTLE)? {
        Note::Started(ms) => Ok(vec![("ms to the first answer", ms)]),
        other => bail!("the client said {other:?} instead of how long it took"),
    }
}

fn start_server(job: &Job) -> Result<(Child, Vec<SocketAddr>)> {
    let server = Child::spawn("server", &child_arguments("server", job, job.cores.server)?)?;
    match server.note(SETTLE)? {
        Note::Listening(addresses) => Ok((server, addresses)),
        other => bail!("the server said {other:?} instead of where it listens"),
    }
}

fn seen(client: &Child) -> Result<ClientSample> {
    match client.note(ANSWER_WITHIN)? {
        Note::Sample(seen) => Ok(seen),
        other => bail!("the client said {other:?} instead of what it saw"),
    }
}

/// Whatever has to be there before a window opens, is within this time.
const SETTLE: Duration = Duration::from_secs(60);
/// Idle connections are watched for longer: they tick every few seconds.
const IDLE_WINDOW_MIN: Duration = Duration::from_secs(5);
const IDLE_SETTLE_MIN: Duration = Duration::from_secs(3);

fn expect(client: &Child, what: &str, due: Duration, is: fn(&Note) -> bool) -> Result<()> {
    match client.note(due + ANSWER_WITHIN)? {
        note if is(&note) => Ok(()),
        other => bail!("the client said {other:?} instead of {what}"),
    }
}

fn child_arguments(command: &str, job: &Job, core: Option<usize>) -> Result<Vec<String>> {
    let workload = serde_json::to_string(&job.workload)?;
    let mut arguments: Vec<String> =
        [command, "--side", job.side.name, "--workload", &workload].map(str::to_owned).into();
    if let Some(core) = core {
        arguments.extend(["--core".to_owned(), core.to_string()]);
    }
    Ok(arguments)
}

fn start_client(job: &Job, addresses: &[SocketAddr], plan: Plan) -> Result<Child> {
    let mut arguments = child_arguments("client", job, job.cores.client)?;
    for address in addresses {
        arguments.extend(["--address".to_owned(), address.to_string()]);
    }
    for (name, value) in [
        ("--warmup-s", plan.warmup.as_secs_f64().to_string()),
        ("--window-s", plan.window.as_secs_f64().to_string()),
    ] {
        arguments.extend([name.to_owned(), value]);
    }
    Child::spawn("client", &arguments)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::side;

    fn settings(names: &[&str]) -> Settings {
        Settings {
            sides: side::all().to_vec(),
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
        assert_eq!(skipped.len(), side::all().len());
    }
}
