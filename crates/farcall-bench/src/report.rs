//! What was measured, as a table for people and as JSON for programs.
//!
//! Ratios are medians of round-by-round ratios: what is divided was measured seconds apart. The spread says how
//! far a result moved between rounds, and so how much of a difference means anything.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::fs;
use std::time::SystemTime;

use anyhow::{Result, ensure};
use serde::Serialize;

use crate::child::ServerFigures;
use crate::meter::{ClientSample, Plan};
use crate::side::{ENCRYPTED, PLAIN, YARDSTICK};
use crate::usage::allowed_cores;
use crate::workload::{BLOB_BYTES, LARGE_ALONE, MIXED, Placement, QUIET, Traffic, Workload};

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
    /// How many latencies these are taken from.
    pub latencies: u64,
    /// User and system time of both processes per call, large calls included: CPU seconds per million calls.
    pub cpu_us_per_call: f64,
    /// The client's part of it.
    pub client_cpu_us_per_call: f64,
    /// Context switches of both processes per call.
    pub switches_per_call: f64,
    /// Large payloads, in one direction, in millions of bytes.
    pub large_mb_per_s: Option<f64>,
    /// The client's largest resident set.
    pub client_rss_max_kib: i64,
    /// The server's.
    pub server_rss_max_kib: i64,
}

impl Sample {
    /// Puts together what the two processes saw of one window.
    ///
    /// Their clocks of the window differ by the time a note takes, so each side's cost is taken per second.
    pub fn new(
        workload: &Workload,
        client: &ClientSample,
        before: ServerFigures,
        after: ServerFigures,
    ) -> Result<Self> {
        let (client_s, server_s) = (client.span.elapsed_s, after.at_s - before.at_s);
        ensure!(client_s > 0.0 && server_s > 0.0, "an empty window");
        let calls_per_s = if workload.counted_by_server() {
            after.handled.saturating_sub(before.handled) as f64 / server_s
        } else {
            client.calls as f64 / client_s
        };
        let bulk_per_s = client.bulk_calls as f64 / client_s;
        ensure!(calls_per_s > 0.0, "no call was answered in {client_s:.2} s");
        let all_per_s = calls_per_s + bulk_per_s;
        let server_used = after.usage.since(before.usage);
        let client_cpu = client.span.used.cpu_s() / client_s;
        let server_cpu = server_used.cpu_s() / server_s;
        let switches = client.span.used.switches as f64 / client_s + server_used.switches as f64 / server_s;
        let large_per_s = match workload.traffic {
            Traffic::Large { .. } => Some(calls_per_s),
            Traffic::Mixed { .. } => Some(bulk_per_s),
            Traffic::Small { .. } | Traffic::Casts => None,
        };
        Ok(Self {
            calls_per_s,
            p50_us: client.latency.map(|latency| latency.p50_us),
            p99_us: client.latency.map(|latency| latency.p99_us),
            p999_us: client.latency.map(|latency| latency.p999_us),
            latencies: client.latency.map_or(0, |latency| latency.sampled),
            cpu_us_per_call: (client_cpu + server_cpu) / all_per_s * 1e6,
            client_cpu_us_per_call: client_cpu / all_per_s * 1e6,
            switches_per_call: switches / all_per_s,
            large_mb_per_s: large_per_s.map(|calls| calls * BLOB_BYTES as f64 / 1e6),
            client_rss_max_kib: client.span.used.rss_max_kib,
            server_rss_max_kib: after.usage.rss_max_kib,
        })
    }
}

/// All rounds of one implementation under one workload.
#[derive(Clone, Debug, Serialize)]
pub struct Cell {
    /// The workload's name.
    pub workload: &'static str,
    /// The workload whose bare result this is compared with.
    pub yardstick: &'static str,
    /// Where it ran.
    pub placement: Placement,
    /// The implementation's name.
    pub side: &'static str,
    /// One for each round.
    pub samples: Vec<Sample>,
}

type Metric = fn(&Sample) -> Option<f64>;

impl Cell {
    /// Nothing measured yet.
    pub fn new(workload: &Workload, placement: Placement, side: &'static str) -> Self {
        let samples = Vec::new();
        Self { workload: workload.name, yardstick: workload.yardstick, placement, side, samples }
    }

    fn values(&self, metric: Metric) -> Vec<f64> {
        self.samples.iter().filter_map(metric).collect()
    }

    fn median(&self, metric: Metric) -> Option<f64> {
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

    fn ratio(&self, yardstick: &Self, metric: Metric) -> Option<f64> {
        let pairs = self.samples.iter().zip(&yardstick.samples);
        median(pairs.filter_map(|(own, other)| Some(metric(own)? / metric(other)?)).collect())
    }
}

/// Ratios to the yardstick by workload, implementation and figure.
type Ratios = BTreeMap<&'static str, BTreeMap<&'static str, BTreeMap<&'static str, f64>>>;

/// Everything a run has found out.
#[derive(Debug, Serialize)]
pub struct Report {
    unix_time_s: u64,
    machine: Machine,
    rounds: u32,
    window_s: f64,
    cells: Vec<Cell>,
    ratios: Ratios,
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
    /// Draws conclusions from all cells.
    pub fn new(rounds: u32, plan: Plan, cells: Vec<Cell>, skipped: Vec<String>) -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let mut report = Self {
            unix_time_s: now.map_or(0, |time| time.as_secs()),
            machine: Machine::this(),
            rounds,
            window_s: plan.window.as_secs_f64(),
            cells,
            ratios: Ratios::new(),
            skipped,
        };
        report.ratios = report.ratios();
        report
    }

    fn ratios(&self) -> Ratios {
        let mut all = Ratios::new();
        for cell in &self.cells {
            let Some(yardstick) = self.yardstick(cell) else { continue };
            let figures =
                FIGURES.iter().filter_map(|(name, metric)| Some((*name, cell.ratio(yardstick, *metric)?)));
            all.entry(cell.workload).or_default().insert(cell.side, figures.collect());
        }
        all
    }

    fn cell(&self, workload: &str, side: &str) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.workload == workload && cell.side == side)
    }

    fn yardstick(&self, cell: &Cell) -> Option<&Cell> {
        self.cell(cell.yardstick, YARDSTICK)
    }

    fn row(&self, cell: &Cell) -> Vec<String> {
        let yardstick = self.yardstick(cell).filter(|yardstick| !std::ptr::eq(*yardstick, cell));
        let ratio = |metric| {
            show(yardstick.and_then(|yardstick| cell.ratio(yardstick, metric)), |r| format!("{r:.2}"))
        };
        let micros = |metric| show(cell.median(metric), |value| format!("{value:.1}"));
        vec![
            cell.workload.to_owned(),
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
        let plain = self.cell(encrypted.workload, PLAIN)?;
        let ratio = |metric| show(encrypted.ratio(plain, metric), |r| format!("{r:.2}"));
        let workload = encrypted.workload.to_owned();
        Some(vec![workload, ratio(CALLS), ratio(P50), ratio(P99), ratio(CPU)])
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Machine { processor, cores_allowed, kernel, load_after } = &self.machine;
        writeln!(f, "{processor}, {cores_allowed} cores, Linux {kernel}, load {load_after}")?;
        writeln!(f, "{} rounds of {} s; × is the ratio to {YARDSTICK}\n", self.rounds, self.window_s)?;
        table(f, &HEADINGS, self.cells.iter().map(|cell| self.row(cell)).collect())?;
        let encrypted = self.cells.iter().filter(|cell| cell.side == ENCRYPTED);
        let encrypted: Vec<_> = encrypted.filter_map(|cell| self.encrypted_row(cell)).collect();
        if !encrypted.is_empty() {
            writeln!(f, "\n{ENCRYPTED} × {PLAIN}:\n")?;
            table(f, &ENCRYPTED_HEADINGS, encrypted)?;
        }
        let mixed = self.cells.iter().filter(|cell| cell.workload == MIXED);
        let beside: Vec<_> = mixed.filter_map(|cell| self.beside_row(cell)).collect();
        if !beside.is_empty() {
            writeln!(f, "\nSmall calls beside large ones:\n")?;
            table(f, &BESIDE_HEADINGS, beside)?;
        }
        for line in &self.skipped {
            writeln!(f, "\nskipped: {line}")?;
        }
        Ok(())
    }
}

/// A number of calls a second as people say it.
pub fn rate(per_s: f64) -> String {
    match per_s {
        _ if per_s >= 1e6 => format!("{:.2} M", per_s / 1e6),
        _ if per_s >= 1e4 => format!("{:.1} k", per_s / 1e3),
        _ => format!("{per_s:.0}"),
    }
}

fn show(value: Option<f64>, how: impl Fn(f64) -> String) -> String {
    value.map_or("–".to_owned(), how)
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let upper = values.get(values.len() / 2)?;
    let lower = values.get((values.len() - 1) / 2)?;
    Some((lower + upper) / 2.0)
}

/// Writes a Markdown table that is also aligned for reading as it is.
fn table(f: &mut Formatter<'_>, headings: &[&str], rows: Vec<Vec<String>>) -> fmt::Result {
    let headings: Vec<String> = headings.iter().map(|&heading| heading.to_owned()).collect();
    let width = |column: usize| {
        let cells = rows.iter().chain([&headings]).filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let rule: Vec<String> = widths.iter().map(|&width| "-".repeat(width)).collect();
    for row in [headings.clone(), rule].iter().chain(&rows) {
        for (cell, &width) in row.iter().zip(&widths) {
            write!(f, "| {cell:<width$} ")?;
        }
        writeln!(f, "|")?;
    }
    Ok(())
}

const CALLS: Metric = |sample| Some(sample.calls_per_s);
const P50: Metric = |sample| sample.p50_us;
const P99: Metric = |sample| sample.p99_us;
const CPU: Metric = |sample| Some(sample.cpu_us_per_call);
const LARGE: Metric = |sample| sample.large_mb_per_s;
const CLIENT_RSS: Metric = |sample| Some(sample.client_rss_max_kib as f64);
const SERVER_RSS: Metric = |sample| Some(sample.server_rss_max_kib as f64);
const FIGURES: [(&str, Metric); 5] = [
    ("calls_per_s", CALLS),
    ("p50_us", P50),
    ("p99_us", P99),
    ("cpu_us_per_call", CPU),
    ("large_mb_per_s", LARGE),
];
const HEADINGS: [&str; 16] = [
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
    "client MiB",
    "server MiB",
];
const ENCRYPTED_HEADINGS: [&str; 5] = ["workload", "calls/s", "p50", "p99", "CPU"];
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
    use crate::meter::Latency;
    use crate::usage::{Span, Usage};
    use crate::workload::find;

    fn sample(calls_per_s: f64) -> Sample {
        Sample {
            calls_per_s,
            p50_us: Some(1e6 / calls_per_s),
            p99_us: None,
            p999_us: None,
            latencies: 1,
            cpu_us_per_call: 1.0,
            client_cpu_us_per_call: 0.5,
            switches_per_call: 0.0,
            large_mb_per_s: None,
            client_rss_max_kib: 2048,
            server_rss_max_kib: 4096,
        }
    }

    fn cell(workload: &str, side: &'static str, rates: &[f64]) -> Cell {
        let mut cell = Cell::new(find(workload).unwrap(), Placement::Same, side);
        cell.samples = rates.iter().map(|&rate| sample(rate)).collect();
        cell
    }

    fn report(cells: Vec<Cell>) -> Report {
        let plan = Plan { warmup: std::time::Duration::ZERO, window: std::time::Duration::from_secs(1) };
        Report::new(3, plan, cells, Vec::new())
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
        let bars: Vec<_> = text.lines().filter(|line| line.starts_with('|')).collect();
        assert_eq!(bars.len(), 3);
        assert!(bars.iter().all(|line| line.matches('|').count() == HEADINGS.len() + 1), "{text}");
        assert!(text.contains("2.00 M") && text.contains("4.00 M") && text.contains("150 %"), "{text}");
    }

    #[test]
    fn the_median_of_an_even_number_lies_between() {
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(vec![9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(Vec::new()), None);
    }

    #[test]
    fn a_cost_is_shared_by_small_and_large_calls() {
        let used = Usage { user_us: 500_000, system_us: 500_000, switches: 0, rss_max_kib: 1 };
        let latency = Latency { sampled: 1, p50_us: 1.0, p99_us: 1.0, p999_us: 1.0, max_us: 1.0 };
        let client = ClientSample {
            calls: 900,
            bulk_calls: 100,
            latency: Some(latency),
            span: Span { elapsed_s: 1.0, used },
        };
        let before = ServerFigures { at_s: 1.0, handled: 0, usage: Usage::default() };
        let after = ServerFigures { at_s: 3.0, handled: 2000, usage: used };
        let sample = Sample::new(find(MIXED).unwrap(), &client, before, after).unwrap();
        assert!((sample.cpu_us_per_call - 1500.0).abs() < 1e-6, "{sample:?}");
        assert!((sample.large_mb_per_s.unwrap() - 51.2).abs() < 1e-6, "{sample:?}");
        let casts = Sample::new(find("casts_64B").unwrap(), &client, before, after).unwrap();
        assert!((casts.calls_per_s - 1000.0).abs() < 1e-6, "{casts:?}");
    }
}
