//! How the cost of a call grows: with connections, actors, payload and outstanding calls.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::chart::{self, Curve, Panel};
use crate::meter::Plan;
use crate::progress::Progress;
use crate::runner::measure;
use crate::side::{self, PLAIN, YARDSTICK};
use crate::table::{rate, table};
use crate::workload::{Message, Placement, Traffic, Workload};

/// One curve: a quantity that grows, and what was measured with it.
#[derive(Debug, Serialize)]
pub(crate) struct Scaling {
    what: &'static str,
    side: &'static str,
    points: Vec<Point>,
}

#[derive(Debug, Serialize)]
struct Point {
    at: u64,
    calls_per_s: f64,
    cpu_us_per_call: f64,
    p50_us: Option<f64>,
    mb_per_s: Option<f64>,
}

/// All curves.
#[derive(Debug, Serialize)]
pub(crate) struct Scalings(Vec<Scaling>);

const CONNECTIONS: [u64; 4] = [1, 10, 100, 1000];
const ACTORS: [u64; 6] = [1, 10, 100, 1000, 10_000, 100_000];
const PAYLOADS: [u64; 8] = [0, 64, 1 << 10, 16 << 10, 64 << 10, 512 << 10, 4 << 20, (16 << 20) - 64];
const OUTSTANDING: [u64; 6] = [1, 10, 100, 1000, 10_000, 100_000];

/// Measures all points, each in one window.
pub(crate) fn run(window: Duration) -> Result<Scalings> {
    let series = [
        ("connections", PLAIN, &CONNECTIONS[..]),
        ("actors", PLAIN, &ACTORS),
        ("payload bytes", PLAIN, &PAYLOADS),
        ("payload bytes", YARDSTICK, &PAYLOADS),
        ("outstanding calls", PLAIN, &OUTSTANDING),
        ("outstanding calls", YARDSTICK, &OUTSTANDING),
    ];
    let mut progress = Progress::new(series.iter().map(|(.., points)| points.len()).sum());
    let mut all = Vec::new();
    for (what, side, points) in series {
        let mut scaling = Scaling { what, side, points: Vec::new() };
        for &at in points {
            let name = format!("{at} {what} of {side}");
            let plan = Plan { warmup: window / 2, window };
            let workload = Workload::own(&name, traffic(what, at)?, Placement::Apart);
            let sample = measure(&workload, side::find(side)?, plan).with_context(|| name.clone())?;
            progress.step(&name, &format!("{:.2} µs CPU a call", sample.cpu_us_per_call));
            scaling.points.push(Point {
                at,
                calls_per_s: sample.calls_per_s,
                cpu_us_per_call: sample.cpu_us_per_call,
                p50_us: sample.p50_us,
                mb_per_s: sample.large_mb_per_s,
            });
        }
        all.push(scaling);
    }
    Ok(Scalings(all))
}

fn traffic(what: &str, at: u64) -> Result<Traffic> {
    let number = u32::try_from(at)?;
    Ok(match what {
        "connections" => Traffic::Spread { connections: number, actors: 1, outstanding: 1024 },
        "actors" => Traffic::Spread { connections: 1, actors: number, outstanding: 1024 },
        "payload bytes" => {
            // About 4 MiB on their way, and at least two calls.
            let outstanding = ((4 << 20) / at.max(4096)).clamp(2, 1024);
            let message = Message::Bytes(usize::try_from(at)?);
            Traffic::Calls { message, outstanding: u32::try_from(outstanding)? }
        }
        _ => Traffic::Calls { message: Message::Echo, outstanding: number },
    })
}

impl Scalings {
    /// The curves as a picture.
    pub(crate) fn chart(&self) -> String {
        let mut panels: Vec<Panel> = Vec::new();
        for scaling in &self.0 {
            let title = format!("cost of a call by {}", scaling.what);
            let points =
                scaling.points.iter().map(|point| (point.at as f64, point.cpu_us_per_call)).collect();
            let curve = Curve { name: scaling.side.to_owned(), points };
            match panels.iter_mut().find(|panel| panel.title == title) {
                Some(panel) => panel.curves.push(curve),
                None => {
                    let y = "µs of CPU time, both processes";
                    panels.push(Panel { title, x: scaling.what, y, curves: vec![curve] });
                }
            }
        }
        chart::curves(&panels)
    }
}

impl Display for Scalings {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let rows: Vec<Vec<String>> = self
            .0
            .iter()
            .flat_map(|scaling| {
                scaling.points.iter().map(|point| {
                    vec![
                        scaling.what.to_owned(),
                        point.at.to_string(),
                        scaling.side.to_owned(),
                        rate(point.calls_per_s),
                        point.p50_us.map_or("–".to_owned(), |p50| format!("{p50:.1}")),
                        format!("{:.3}", point.cpu_us_per_call),
                        point.mb_per_s.map_or("–".to_owned(), |mb| format!("{mb:.0}")),
                    ]
                })
            })
            .collect();
        table(f, &["what grows", "to", "of", "calls/s", "p50 µs", "CPU µs a call", "MB/s"], &rows)
    }
}
