//! All implementations side by side: one line a workload, for those who do not read two hundred.

use crate::report::{CALLS, CPU, Cell, LARGE, Metric, P50, P99, Report};
use crate::side::{PLAIN, YARDSTICK};
use crate::table::{rate, show};

/// A table with a column for each implementation.
pub(crate) struct Matrix {
    pub(crate) title: &'static str,
    pub(crate) headings: Vec<&'static str>,
    pub(crate) rows: Vec<Vec<String>>,
}

/// What the cells of a report are laid out as; none where there are too few implementations to compare.
pub(crate) fn of(report: &Report) -> Vec<Matrix> {
    let sides = distinct(report.cells.iter().map(|cell| cell.side));
    if !sides.iter().any(|side| !side.starts_with(PLAIN) && *side != YARDSTICK) {
        return Vec::new();
    }
    let micros = |value: f64| format!("{value:.1}");
    let mut all = vec![
        matrix(report, &sides, "Calls a second", CALLS, rate),
        matrix(report, &sides, "Large payloads, MB/s in one direction", LARGE, |mb| format!("{mb:.0}")),
        matrix(report, &sides, "Median latency, µs", P50, micros),
        matrix(report, &sides, "99th percentile of latency, µs", P99, micros),
        matrix(report, &sides, "CPU time of both processes a call, µs", CPU, |us| format!("{us:.2}")),
    ];
    all.extend(factors(report, &sides));
    all
}

fn distinct<T: PartialEq>(all: impl Iterator<Item = T>) -> Vec<T> {
    all.fold(Vec::new(), |mut seen, one| {
        if !seen.contains(&one) {
            seen.push(one);
        }
        seen
    })
}

fn lines<'r>(
    report: &'r Report,
    sides: &[&'static str],
    value: impl Fn(&'r str, &'static str) -> String,
) -> Vec<Vec<String>> {
    let workloads = distinct(report.cells.iter().map(|cell| cell.workload.as_str()));
    let row = |workload: &'r str| {
        let mut row = vec![workload.to_owned()];
        row.extend(sides.iter().map(|&side| value(workload, side)));
        row
    };
    workloads.into_iter().map(row).filter(|row| row.iter().skip(1).any(|value| value != "–")).collect()
}

fn matrix(
    report: &Report,
    sides: &[&'static str],
    title: &'static str,
    metric: Metric,
    how: fn(f64) -> String,
) -> Matrix {
    let median = |workload: &str, side| report.cell(workload, side).and_then(|cell| cell.median(metric));
    let rows = lines(report, sides, |workload, side| show(median(workload, side), how));
    Matrix { title, headings: [&["workload"], sides].concat(), rows }
}

/// How many times the rate of the others plain farcall reaches, round by round.
fn factors(report: &Report, sides: &[&'static str]) -> Option<Matrix> {
    let others: Vec<_> =
        sides.iter().copied().filter(|side| !side.starts_with(PLAIN) && *side != YARDSTICK).collect();
    // What is large is what a mixed workload is about for its rate; small calls beside it are about latency.
    let metric = |cell: &Cell| if cell.median(LARGE).is_some() { LARGE } else { CALLS };
    let factor = |workload: &str, side| {
        let own = report.cell(workload, PLAIN)?;
        own.ratio(report.cell(workload, side)?, metric(own))
    };
    let rows = lines(report, &others, |workload, side| show(factor(workload, side), |f| format!("{f:.1}")));
    (!rows.is_empty()).then(|| Matrix {
        title: "farcall over others: so many times the calls a second (MB/s where payloads are large)",
        headings: [&["workload"], others.as_slice()].concat(),
        rows,
    })
}
