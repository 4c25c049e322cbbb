//! What farcall has to reach, and whether it did: the bars that its developers set themselves.

use serde::Serialize;

use crate::report::{CALLS, CLIENT_ALLOCATIONS, CPU, LARGE, Metric, P50, P99, Report, SERVER_ALLOCATIONS};
use crate::side::{ENCRYPTED, PLAIN};
use crate::workload::{CLIENTS, IDLE, LARGE_ALONE, MANY, MIXED, QUIET, START};

/// One bar.
#[derive(Clone, Debug, Serialize)]
pub struct Bar {
    what: String,
    limit: f64,
    at_least: bool,
    measured: f64,
}

/// Of the table of bars.
pub const HEADINGS: [&str; 4] = ["what", "bar", "measured", "met"];

impl Bar {
    /// Whether it was reached.
    pub fn is_met(&self) -> bool {
        if self.at_least { self.measured >= self.limit } else { self.measured <= self.limit }
    }

    /// Its row in the table.
    pub fn row(&self) -> Vec<String> {
        let sign = if self.at_least { "≥" } else { "≤" };
        let met = if self.is_met() { "yes" } else { "no" };
        vec![
            self.what.clone(),
            format!("{sign} {:.2}", self.limit),
            format!("{:.2}", self.measured),
            met.to_owned(),
        ]
    }
}

/// The bars about whatever was measured in this run.
pub fn of(report: &Report) -> Vec<Bar> {
    let mut bars = Vec::new();
    let mut bar = |what: &str, at_least, limit, measured: Option<f64>| {
        if let Some(measured) = measured {
            bars.push(Bar { what: what.to_owned(), limit, at_least, measured });
        }
    };
    let to_bare = |workload: &str, metric: Metric| {
        let cell = report.cell(workload, PLAIN)?;
        cell.ratio(report.yardstick(cell)?, metric)
    };
    let own = |workload: &str, metric: Metric| report.cell(workload, PLAIN)?.median(metric);
    bar("64 B, 1,024 outstanding: calls/s × bare", true, 0.55, to_bare(MANY, CALLS));
    bar("64 B, 1,024 outstanding: CPU-s per million", false, 0.5, own(MANY, CPU));
    bar("64 B, 1,024 outstanding: client allocations a call", false, 1.0, own(MANY, CLIENT_ALLOCATIONS));
    bar("64 B, 1,024 outstanding: server allocations a call", false, 2.0, own(MANY, SERVER_ALLOCATIONS));
    bar("64 B, 64 outstanding, one core: calls/s × bare", true, 0.65, to_bare("calls_64B_w64", CALLS));
    bar("64 B, 1 outstanding, one core: p50 × bare", false, 1.2, to_bare("calls_64B_w1", P50));
    bar("64 B, 1 outstanding, one core: p99 × bare", false, 1.3, to_bare("calls_64B_w1", P99));
    bar("64 B casts received × bare's calls at 1,024", true, 1.0, to_bare("casts_64B", CALLS));
    bar("500 KiB, 1 outstanding: MB/s × bare", true, 0.9, to_bare("calls_500KiB_w1", LARGE));
    bar("500 KiB, 8 outstanding: MB/s × bare", true, 0.9, to_bare("calls_500KiB_w8", LARGE));
    if let Some(quiet) = own(QUIET, P99) {
        bar("small beside large: p99 µs (2 × quiet + 200)", false, 2.0 * quiet + 200.0, own(MIXED, P99));
    }
    let between = |one: (&str, &str), other: (&str, &str), metric| {
        report.cell(one.0, one.1)?.ratio(report.cell(other.0, other.1)?, metric)
    };
    let beside = between((MIXED, PLAIN), (LARGE_ALONE, PLAIN), LARGE);
    bar("small beside large: large MB/s × alone", true, 0.8, beside);
    bar("8 clients: calls/s × one client", true, 0.9, between((CLIENTS, PLAIN), (MANY, PLAIN), CALLS));
    bar("TLS, 1,024 outstanding: calls/s × tcp", true, 0.8, between((MANY, ENCRYPTED), (MANY, PLAIN), CALLS));
    let lone = "calls_64B_w1";
    bar("TLS, 1 outstanding: p50 × tcp", false, 1.25, between((lone, ENCRYPTED), (lone, PLAIN), P50));
    for (side, limit) in [(PLAIN, 12.0), (ENCRYPTED, 40.0)] {
        for figure in ["client KiB a connection", "server KiB a connection"] {
            bar(&format!("idle, {side}: {figure}"), false, limit, report.probed(IDLE, side, figure));
        }
        for figure in ["client % of a core", "server % of a core"] {
            bar(&format!("1,000 idle, {side}: {figure}"), false, 1.0, report.probed(IDLE, side, figure));
        }
    }
    bar(
        "two nodes, nothing to first answer: ms",
        false,
        20.0,
        report.probed(START, PLAIN, "ms to the first answer"),
    );
    bars
}
