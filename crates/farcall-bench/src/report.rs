//! What was measured, as tables for people and as JSON for programs.
//!
//! Ratios are medians of round-by-round ratios: what is divided was measured seconds apart. The spread says how
//! far a result moved between rounds, and so how much of a difference means anything.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::fs;
use std::time::SystemTime;

use anyhow::{Result, ensure};
use serde::Serialize;

use crate::bars::{self, Bar};
use crate::child::ServerFigures;
use crate::meter::ClientSample;
use crate::runner::Settings;
use crate::side::{ENCRYPTED, PLAIN, YARDSTICK};
use crate::summary;
use crate::table::{day, median, rate, show, table};
use crate::usage::allowed_cores;
use crate::workload::{BLOB_BYTES, LARGE_ALONE, MIXED, Message, Placement, QUIET, Traffic, Workload};

/// One window of one implementation under one workload.
#[derive(Clone, Debug, Serialize)]
pub struct Sample {
    /// Calls answered, or casts received; of a mixed workload the small ones.
    pub calls_per_s: f64,
    /// Median latency of those.
    pub p50_us: Option<f64>,
    /// 99th percentile.
    pub p99_us: Option<f64>,
    /// 99.9th percentile.
    pub p999_us: Option<f64>,
    /// The slowest.
    pub max_us: Option<f64>,
    /// How many latencies these are taken from.
    pub latencies: u64,
    /// User and system time of both processes per call, large calls included: CPU seconds per million calls.
    pub cpu_us_per_call: f64,
    /// The client's part of it.
    pub client_cpu_us_per_call: f64,
    /// Context switches of all processes per call.
    pub switches_per_call: f64,
    /// Allocations of the clients per call, where they are counted.
    pub client_allocations_per_call: Option<f64>,
    /// Allocations of the server per call.
    pub server_allocations_per_call: Option<f64>,
    /// Large payloads, in one direction, in millions of bytes.
    pub large_mb_per_s: Option<f64>,
    /// The client's largest resident set.
    pub client_rss_max_kib: i64,
    /// The server's.
    pub server_rss_max_kib: i64,
}

impl Sample {
    /// Puts together what the processes saw of one window.
    ///
    /// Their clocks of the window differ by the time a note takes, so each side's cost is taken per second.
    pub fn new(
        workload: &Workload,
        clients: &[ClientSample],
        before: ServerFigures,
        after: ServerFigures,
    ) -> Result<Self> {
        let server_s = after.at_s - before.at_s;
        ensure!(server_s > 0.0 && !clients.is_empty(), "an empty window");
        ensure!(clients.iter().all(|client| client.span.elapsed_s > 0.0), "an empty window");
        let sum = |figure: fn(&ClientSample) -> f64| {
            clients.iter().map(|client| figure(client) / client.span.elapsed_s).sum::<f64>()
        };
        let calls_per_s = if workload.counted_by_server() {
            after.handled.saturating_sub(before.handled) as f64 / server_s
        } else {
            sum(|client| client.calls as f64)
        };
        let bulk_per_s = sum(|client| client.bulk_calls as f64);
        ensure!(calls_per_s > 0.0, "no call was answered in {server_s:.2} s");
        let all_per_s = calls_per_s + bulk_per_s;
        let server_used = after.usage.since(before.usage);
        let client_cpu = sum(|client| client.span.used.cpu_s());
        let server_cpu = server_used.cpu_s() / server_s;
        let switches =
            sum(|client| client.span.used.switches as f64) + server_used.switches as f64 / server_s;
        let large_bytes_per_s = match workload.traffic {
            Traffic::Calls { message: Message::Bytes(bytes), .. } => Some(calls_per_s * bytes as f64),
            Traffic::Mixed { .. } => Some(bulk_per_s * BLOB_BYTES as f64),
            _ => None,
        };
        // Of several clients the slowest percentile: nobody waited longer than that.
        let latency = |percentile: fn(&crate::meter::Latency) -> f64| {
            clients.iter().filter_map(|client| client.latency.as_ref().map(percentile)).reduce(f64::max)
        };
        let largest =
            |clients: &[ClientSample]| clients.iter().map(|client| client.span.used.rss_max_kib).max();
        Ok(Self {
            calls_per_s,
            p50_us: latency(|latency| latency.p50_us),
            p99_us: latency(|latency| latency.p99_us),
            p999_us: latency(|latency| latency.p999_us),
            max_us: latency(|latency| latency.max_us),
            latencies: clients
                .iter()
                .filter_map(|client| client.latency)
                .map(|latency| latency.sampled)
                .sum(),
            cpu_us_per_call: (client_cpu + server_cpu) / all_per_s * 1e6,
            client_cpu_us_per_call: client_cpu / all_per_s * 1e6,
            switches_per_call: switches / all_per_s,
            client_allocations_per_call: clients
                .iter()
                .map(|client| Some(client.span.used.allocations? as f64 / client.span.elapsed_s))
                .sum::<Option<f64>>()
                .map(|per_s| per_s / all_per_s),
            server_allocations_per_call: server_used
                .allocations
                .map(|allocations| allocations as f64 / server_s / all_per_s),
            large_mb_per_s: large_bytes_per_s.map(|bytes| bytes / 1e6),
            client_rss_max_kib: largest(clients).unwrap_or_default(),
            server_rss_max_kib: after.usage.rss_max_kib,
        })
    }
}

/// What a probe found in all rounds: a figure of its own kind, and no rate.
#[derive(Clone, Debug, Serialize)]
pub struct Probe {
    /// The workload's name.
    pub workload: String,
    /// The implementation's name.
    pub side: &'static str,
    /// By name, one value for each round.
    pub figures: BTreeMap<&'static str, Vec<f64>>,
}

impl Probe {
    /// Nothing found yet.
    pub fn new(workload: &str, side: &'static str) -> Self {
        Self { workload: workload.to_owned(), side, figures: BTreeMap::new() }
    }

    /// One more round.
    pub fn add(&mut self, seen: &[(&'static str, f64)]) {
        for (name, value) in seen {
            self.figures.entry(name).or_default().push(*value);
        }
    }

    /// Whether it has found nothing.
    pub fn is_empty(&self) -> bool {
        self.figures.is_empty()
    }
}

/// All rounds of one implementation under one workload.
#[derive(Clone, Debug, Serialize)]
pub struct Cell {
    /// The workload's name.
    pub workload: String,
    /// The workload whose bare result this is compared with.
    pub yardstick: String,
    /// Where it ran.
    pub placement: Placement,
    /// The implementation's name.
    pub side: &'static str,
    /// One for each round.
    pub samples: Vec<Sample>,
}

/// A figure of a sample.
pub type Metric = fn(&Sample) -> Option<f64>;

impl Cell {
    /// Nothing measured yet.
    pub fn new(workload: &Workload, placement: Placement, side: &'static str) -> Self {
        let samples = Vec::new();
        Self {
            workload: workload.name.clone(),
            yardstick: workload.yardstick.clone(),
            placement,
            side,
            samples,
        }
    }

    fn values(&self, metric: Metric) -> Vec<f64> {
        self.samples.iter().filter_map(metric).collect()
    }

    /// The median over the rounds.
    pub fn median(&self, metric: Metric) -> Option<f64> {
        median(self.values(metric))
    }

    fn best(&self) -> Option<f64> {
        self.values(CALLS).into_iter().reduce(f64::max)
    }

    /// From the slowest to the fastest round, as a part of the median.
    fn spread(&self) -> Option<f64> {
        let rates = self.values(CALLS);
        let slowest = rates.iter().copied().reduce(f64::min)?;
        Some((self.best()? - slowest) / median(rates)?)
    }

    /// The median of round-by-round ratios.
    pub fn ratio(&self, yardstick: &Self, metric: Metric) -> Option<f64> {
        let pairs = self.samples.iter().zip(&yardstick.samples);
        median(pairs.filter_map(|(own, other)| Some(metric(own)? / metric(other)?)).collect())
    }
}

/// Ratios to the yardstick by workload, implementation and figure.
type Ratios = BTreeMap<String, BTreeMap<&'static str, BTreeMap<&'static str, f64>>>;

/// Everything a run has found out.
#[derive(Debug, Serialize)]
pub struct Report {
    unix_time_s: u64,
    command: String,
    versions: Vec<(&'static str, &'static str)>,
    machine: Machine,
    rounds: u32,
    window_s: f64,
    /// Rates and latencies.
    pub cells: Vec<Cell>,
    /// Figures of other kinds.
    pub probes: Vec<Probe>,
    ratios: Ratios,
    bars: Vec<Bar>,
    skipped: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Machine {
    processor: String,
    cores_allowed: usize,
    kernel: String,
    load_after: String,
}

impl Machine {
    fn this() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        let processor = read("/proc/cpuinfo")
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
            .map_or("unknown".to_owned(), |(_, name)| name.to_owned());
        Self {
            processor,
            cores_allowed: allowed_cores().map_or(0, |cores| cores.len()),
            kernel: read("/proc/sys/kernel/osrelease"),
            load_after: read("/proc/loadavg"),
        }
    }
}

impl Report {
    /// Draws conclusions from everything that was measured.
    pub(crate) fn new(
        settings: &Settings,
        cells: Vec<Cell>,
        probes: Vec<Probe>,
        skipped: Vec<String>,
    ) -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        let mut report = Self {
            unix_time_s: now.map_or(0, |time| time.as_secs()),
            command: format!("farcall-bench {}", arguments.join(" ")),
            versions: settings.sides.iter().map(|side| (side.name, side.version)).collect(),
            machine: Machine::this(),
            rounds: settings.rounds,
            window_s: settings.plan.window.as_secs_f64(),
            cells,
            probes,
            ratios: Ratios::new(),
            bars: Vec::new(),
            skipped,
        };
        report.ratios = report.ratios();
        report.bars = bars::of(&report);
        report
    }

    fn ratios(&self) -> Ratios {
        let mut all = Ratios::new();
        for cell in &self.cells {
            let Some(yardstick) = self.yardstick(cell) else { continue };
            let figures =
                FIGURES.iter().filter_map(|(name, metric)| Some((*name, cell.ratio(yardstick, *metric)?)));
            all.entry(cell.workload.clone()).or_default().insert(cell.side, figures.collect());
        }
        all
    }

    /// What one implementation reached under one workload.
    pub fn cell(&self, workload: &str, side: &str) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.workload == workload && cell.side == side)
    }

    /// What bare reached where this is compared with it.
    pub fn yardstick(&self, cell: &Cell) -> Option<&Cell> {
        self.cell(&cell.yardstick, YARDSTICK)
    }

    /// The median of what a probe found.
    pub fn probed(&self, workload: &str, side: &str, figure: &str) -> Option<f64> {
        let probe = self.probes.iter().find(|probe| probe.workload == workload && probe.side == side)?;
        median(probe.figures.get(figure)?.clone())
    }

    fn row(&self, cell: &Cell) -> Vec<String> {
        let yardstick = self.yardstick(cell).filter(|yardstick| !std::ptr::eq(*yardstick, cell));
        let ratio = |metric| {
            show(yardstick.and_then(|yardstick| cell.ratio(yardstick, metric)), |r| format!("{r:.2}"))
        };
        let micros = |metric| show(cell.median(metric), |value| format!("{value:.1}"));
        vec![
            cell.workload.clone(),
            cell.placement.label().to_owned(),
            cell.side.to_owned(),
            show(cell.median(CALLS), rate),
            show(cell.best(), rate),
            show(cell.spread(), |spread| format!("{:.0} %", spread * 100.0)),
            ratio(CALLS),
            micros(P50),
            ratio(P50),
            micros(P99),
            ratio(P99),
            show(cell.median(CPU), |value| format!("{value:.3}")),
            ratio(CPU),
            show(cell.median(LARGE), |value| format!("{value:.0}")),
            show(cell.median(SWITCHES), |value| format!("{value:.3}")),
            show(cell.median(CLIENT_ALLOCATIONS), |value| format!("{value:.2}")),
            show(cell.median(SERVER_ALLOCATIONS), |value| format!("{value:.2}")),
            show(cell.median(CLIENT_RSS), |kib| format!("{:.1}", kib / 1024.0)),
            show(cell.median(SERVER_RSS), |kib| format!("{:.1}", kib / 1024.0)),
        ]
    }

    /// Small calls beside large ones against either alone.
    fn beside_row(&self, mixed: &Cell) -> Option<Vec<String>> {
        let quiet = self.cell(QUIET, mixed.side)?;
        let alone = self.cell(LARGE_ALONE, mixed.side)?;
        let quiet_p99_us = quiet.median(P99)?;
        Some(vec![
            mixed.side.to_owned(),
            format!("{quiet_p99_us:.1}"),
            format!("{:.1}", mixed.median(P99)?),
            format!("{:.1}", 2.0 * quiet_p99_us + 200.0),
            format!("{:.0}", alone.median(LARGE)?),
            format!("{:.0}", mixed.median(LARGE)?),
            format!("{:.2}", mixed.ratio(alone, LARGE)?),
        ])
    }
}

impl Report {
    /// What encryption costs under one workload.
    fn encrypted_row(&self, encrypted: &Cell) -> Option<Vec<String>> {
        let plain = self.cell(&encrypted.workload, PLAIN)?;
        let ratio = |metric| show(encrypted.ratio(plain, metric), |r| format!("{r:.2}"));
        let workload = encrypted.workload.clone();
        Some(vec![workload, ratio(CALLS), ratio(P50), ratio(P99), ratio(CPU)])
    }
}

impl Report {
    fn probe_rows(&self) -> Vec<Vec<String>> {
        let rows = self.probes.iter().flat_map(|probe| {
            probe.figures.iter().map(|(name, values)| {
                let value = show(median(values.clone()), |value| format!("{value:.2}"));
                vec![probe.workload.clone(), probe.side.to_owned(), (*name).to_owned(), value]
            })
        });
        rows.collect()
    }

    /// Latency that counts from when a call was due.
    fn offered_rows(&self) -> Vec<Vec<String>> {
        let offered = self.cells.iter().filter(|cell| cell.workload.starts_with("offered"));
        let micros = |cell: &Cell, metric| show(cell.median(metric), |value| format!("{value:.1}"));
        let row = |cell: &Cell| {
            let (calls, side) = (show(cell.median(CALLS), rate), cell.side.to_owned());
            let [p50, p99, p999, max] = [P50, P99, P999, MAX].map(|metric| micros(cell, metric));
            vec![cell.workload.clone(), side, calls, p50, p99, p999, max]
        };
        offered.map(row).collect()
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Machine { processor, cores_allowed, kernel, load_after } = &self.machine;
        writeln!(f, "{}, `{}`", day(self.unix_time_s), self.command)?;
        writeln!(f, "{processor}, {cores_allowed} cores, Linux {kernel}, load {load_after}")?;
        let versions: Vec<String> =
            self.versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
        writeln!(f, "{}", versions.join(", "))?;
        writeln!(f, "{} rounds of {} s; × is the ratio to {YARDSTICK}\n", self.rounds, self.window_s)?;
        let rows: Vec<_> = self.cells.iter().map(|cell| self.row(cell)).collect();
        table(f, &HEADINGS, &rows)?;
        let of = |side: &'static str| self.cells.iter().filter(move |cell| cell.side == side);
        let encrypted = of(ENCRYPTED).filter_map(|cell| self.encrypted_row(cell)).collect();
        section(f, &format!("{ENCRYPTED} × {PLAIN}"), &ENCRYPTED_HEADINGS, encrypted)?;
        let mixed = self.cells.iter().filter(|cell| cell.workload == MIXED);
        let beside = mixed.filter_map(|cell| self.beside_row(cell)).collect();
        section(f, "Small calls beside large ones", &BESIDE_HEADINGS, beside)?;
        section(f, "Calls that were due on a schedule", &OFFERED_HEADINGS, self.offered_rows())?;
        for matrix in summary::of(self) {
            section(f, matrix.title, &matrix.headings, matrix.rows)?;
        }
        section(f, "Other figures", &["workload", "what", "figure", "value"], self.probe_rows())?;
        section(f, "The bars", &bars::HEADINGS, self.bars.iter().map(Bar::row).collect())?;
        for line in &self.skipped {
            writeln!(f, "\nskipped: {line}")?;
        }
        Ok(())
    }
}

/// A table under a title, if it has rows.
fn section(f: &mut Formatter<'_>, title: &str, headings: &[&str], rows: Vec<Vec<String>>) -> fmt::Result {
    if rows.is_empty() {
        return Ok(());
    }
    writeln!(f, "\n{title}:\n")?;
    table(f, headings, &rows)
}

/// See [`Sample`].
pub const CALLS: Metric = |sample| Some(sample.calls_per_s);
/// See [`Sample`].
pub const P50: Metric = |sample| sample.p50_us;
/// See [`Sample`].
pub const P99: Metric = |sample| sample.p99_us;
/// See [`Sample`].
pub const CPU: Metric = |sample| Some(sample.cpu_us_per_call);
/// See [`Sample`].
pub const LARGE: Metric = |sample| sample.large_mb_per_s;
const P999: Metric = |sample| sample.p999_us;
const MAX: Metric = |sample| sample.max_us;
const SWITCHES: Metric = |sample| Some(sample.switches_per_call);
/// See [`Sample`].
pub const CLIENT_ALLOCATIONS: Metric = |sample| sample.client_allocations_per_call;
/// See [`Sample`].
pub const SERVER_ALLOCATIONS: Metric = |sample| sample.server_allocations_per_call;
const CLIENT_RSS: Metric = |sample| Some(sample.client_rss_max_kib as f64);
const SERVER_RSS: Metric = |sample| Some(sample.server_rss_max_kib as f64);
const FIGURES: [(&str, Metric); 5] = [
    ("calls_per_s", CALLS),
    ("p50_us", P50),
    ("p99_us", P99),
    ("cpu_us_per_call", CPU),
    ("large_mb_per_s", LARGE),
];
const HEADINGS: [&str; 19] = [
    "workload",
    "placement",
    "what",
    "calls/s",
    "best",
    "spread",
    "×",
    "p50 µs",
    "×",
    "p99 µs",
    "×",
    "CPU-s/M",
    "×",
    "MB/s",
    "switches",
    "client allocs",
    "server allocs",
    "client MiB",
    "server MiB",
];
const ENCRYPTED_HEADINGS: [&str; 5] = ["workload", "calls/s", "p50", "p99", "CPU"];
const OFFERED_HEADINGS: [&str; 7] = ["workload", "what", "calls/s", "p50 µs", "p99 µs", "p99.9 µs", "max µs"];
const BESIDE_HEADINGS: [&str; 7] = [
    "what",
    "p99 µs quiet",
    "p99 µs beside",
    "2 × quiet + 200",
    "large MB/s alone",
    "beside",
    "beside/alone",
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use crate::meter::{Latency, Plan};
    use crate::usage::{Span, Usage};
    use crate::workload::find;

    fn sample(calls_per_s: f64) -> Sample {
        Sample {
            calls_per_s,
            p50_us: Some(1e6 / calls_per_s),
            p99_us: None,
            p999_us: None,
            max_us: None,
            latencies: 1,
            cpu_us_per_call: 1.0,
            client_cpu_us_per_call: 0.5,
            switches_per_call: 0.0,
            client_allocations_per_call: Some(0.0),
            server_allocations_per_call: None,
            large_mb_per_s: None,
            client_rss_max_kib: 2048,
            server_rss_max_kib: 4096,
        }
    }

    fn cell(workload: &str, side: &'static str, rates: &[f64]) -> Cell {
        let mut cell = Cell::new(&find(workload).unwrap(), Placement::Same, side);
        cell.samples = rates.iter().map(|&rate| sample(rate)).collect();
        cell
    }

    fn report(cells: Vec<Cell>) -> Report {
        let plan = Plan { warmup: Duration::ZERO, window: Duration::from_secs(1) };
        let settings =
            Settings { sides: Vec::new(), workloads: Vec::new(), placement: None, rounds: 3, plan };
        Report::new(&settings, cells, Vec::new(), Vec::new())
    }

    #[test]
    fn a_machine_that_slows_down_for_both_does_not_change_the_ratio() {
        let bare = cell("calls_64B_w1", YARDSTICK, &[100.0, 50.0, 10.0]);
        let other = cell("calls_64B_w1", "other", &[80.0, 40.0, 8.0]);
        let report = report(vec![bare, other]);
        assert!((report.ratios["calls_64B_w1"]["other"]["calls_per_s"] - 0.8).abs() < 1e-9);
        assert!((report.ratios["calls_64B_w1"]["other"]["p50_us"] - 1.25).abs() < 1e-9);
    }

    #[test]
    fn casts_are_compared_with_bare_calls() {
        let bare = cell("calls_64B_w1024", YARDSTICK, &[100.0]);
        let casts = cell("casts_64B", "other", &[300.0]);
        let report = report(vec![bare, casts]);
        assert!((report.ratios["casts_64B"]["other"]["calls_per_s"] - 3.0).abs() < 1e-9);
    }

    #[test]
    fn encryption_is_held_against_the_same_without_it() {
        let plain = cell("calls_64B_w1", PLAIN, &[100.0, 50.0]);
        let encrypted = cell("calls_64B_w1", ENCRYPTED, &[80.0, 40.0]);
        let text = report(vec![plain, encrypted]).to_string();
        assert!(text.contains("| calls_64B_w1 | 0.80    | 1.25 | –   | 1.00 |"), "{text}");
    }

    #[test]
    fn every_row_of_the_table_has_every_column() {
        let text = report(vec![cell("calls_64B_w1", YARDSTICK, &[1e6, 2e6, 4e6])]).to_string();
        let bars: Vec<_> = text.lines().filter(|line| line.starts_with('|')).take(3).collect();
        assert_eq!(bars.len(), 3);
        assert!(bars.iter().all(|line| line.matches('|').count() == HEADINGS.len() + 1), "{text}");
        assert!(text.contains("2.00 M") && text.contains("4.00 M") && text.contains("150 %"), "{text}");
        assert!(text.contains("| 0.00          | –             |"), "what is not counted is no zero: {text}");
    }

    #[test]
    fn a_cost_is_shared_by_small_and_large_calls() {
        let used =
            Usage { user_us: 500_000, system_us: 500_000, allocations: Some(2000), ..Usage::default() };
        let latency = Latency { sampled: 1, p50_us: 1.0, p99_us: 1.0, p999_us: 1.0, max_us: 1.0 };
        let client = ClientSample {
            calls: 900,
            bulk_calls: 100,
            latency: Some(latency),
            span: Span { elapsed_s: 1.0, used },
            base_rss_kib: 0,
        };
        let before = ServerFigures {
            at_s: 1.0,
            handled: 0,
            usage: Usage { allocations: Some(0), ..Usage::default() },
        };
        let after = ServerFigures { at_s: 3.0, handled: 2000, usage: used };
        let sample =
            Sample::new(&find(MIXED).unwrap(), std::slice::from_ref(&client), before, after).unwrap();
        assert!((sample.cpu_us_per_call - 1500.0).abs() < 1e-6, "{sample:?}");
        assert!((sample.client_allocations_per_call.unwrap() - 2.0).abs() < 1e-6, "{sample:?}");
        assert!((sample.server_allocations_per_call.unwrap() - 1.0).abs() < 1e-6, "{sample:?}");
        assert!((sample.large_mb_per_s.unwrap() - 51.2).abs() < 1e-6, "{sample:?}");
        let casts =
            Sample::new(&find("casts_64B").unwrap(), &[client.clone(), client], before, after).unwrap();
        assert!((casts.calls_per_s - 1000.0).abs() < 1e-6, "{casts:?}");
    }
}
