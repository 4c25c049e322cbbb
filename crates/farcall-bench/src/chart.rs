//! The report as a picture: plain SVG, no fonts or colours that need a particular background.

use std::fmt::Write;

use crate::report::{CALLS, Cell, Report};
use crate::side::SPINNING;
use crate::table::rate;

/// Colours that can be told apart on white and on black, also by those who see fewer of them.
const COLOURS: [&str; 10] = [
    "#888888", "#0072b2", "#56b4e9", "#009e73", "#e69f00", "#d55e00", "#cc79a7", "#9467bd", "#8c564b",
    "#17becf",
];
const GREY: &str = "#808080";

/// One curve.
pub(crate) struct Curve {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
}

/// Some curves over the same axes, both logarithmic.
pub(crate) struct Panel {
    pub(crate) title: String,
    pub(crate) x: &'static str,
    pub(crate) y: &'static str,
    pub(crate) curves: Vec<Curve>,
}

fn open(width: f64, height: f64) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" \
         font-family=\"system-ui, sans-serif\" font-size=\"12\" fill=\"{GREY}\">\n"
    )
}

fn text(out: &mut String, x: f64, y: f64, anchor: &str, words: &str) {
    let words = words.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(out, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{words}</text>");
}

fn colour(index: usize) -> &'static str {
    COLOURS.get(index % COLOURS.len()).copied().unwrap_or(GREY)
}

const ROW: f64 = 15.0;
const LEFT: f64 = 300.0;
const WIDTH: f64 = 560.0;

/// Workloads that a picture is enough for: rates that everybody has, and few enough to be read.
const DRAWN: [&str; 8] = [
    "calls_64B_w1",
    "calls_64B_w64",
    "calls_64B_w1024",
    "casts_64B",
    "calls_struct_w64",
    "calls_500KiB_w1",
    "calls_500KiB_w8",
    "clients_8",
];

/// Calls a second as bars, by workload; the scale is logarithmic, for the fastest is a thousand times the slowest.
pub(crate) fn bars(report: &Report) -> String {
    let shown = |cell: &&Cell| cell.side != SPINNING && DRAWN.contains(&cell.workload.as_str());
    let cells: Vec<&Cell> = report.cells.iter().filter(shown).collect();
    let rates: Vec<f64> = cells.iter().filter_map(|cell| cell.median(CALLS)).collect();
    let low = rates.iter().copied().fold(f64::INFINITY, f64::min).max(1.0).log10().floor();
    let high = rates.iter().copied().fold(1.0, f64::max).log10().ceil().max(low + 1.0);
    let mut sides: Vec<&str> = Vec::new();
    for cell in &cells {
        if !sides.contains(&cell.side) {
            sides.push(cell.side);
        }
    }
    let mut workloads: Vec<&str> = Vec::new();
    for cell in &cells {
        if !workloads.contains(&cell.workload.as_str()) {
            workloads.push(&cell.workload);
        }
    }
    let height = 60.0 + ROW * (cells.len() as f64 + 0.8 * workloads.len() as f64);
    let mut out = open(LEFT + WIDTH + 90.0, height);
    text(&mut out, LEFT, 18.0, "start", "calls per second, logarithmic; each group is one workload");
    for power in powers(low, high) {
        let x = LEFT + WIDTH * (power - low) / (high - low);
        let _ = writeln!(
            out,
            "<line x1=\"{x:.1}\" y1=\"40\" x2=\"{x:.1}\" y2=\"{:.1}\" stroke=\"{GREY}\" stroke-opacity=\"0.3\"/>",
            height - 10.0
        );
        text(&mut out, x, 36.0, "middle", &rate(10f64.powf(power)));
    }
    let mut y = 46.0;
    for workload in workloads {
        let group = cells.iter().filter(|cell| cell.workload == workload);
        for (index, cell) in group.enumerate() {
            let Some(value) = cell.median(CALLS) else { continue };
            let length = WIDTH * ((value.max(1.0).log10() - low) / (high - low)).clamp(0.0, 1.0);
            let side = sides.iter().position(|side| *side == cell.side).unwrap_or(0);
            if index == 0 {
                text(&mut out, 8.0, y + 11.0, "start", &format!("{workload}, {}", cell.placement.label()));
            }
            text(&mut out, LEFT - 6.0, y + 11.0, "end", cell.side);
            let _ = writeln!(
                out,
                "<rect x=\"{LEFT}\" y=\"{:.1}\" width=\"{length:.1}\" height=\"{:.1}\" fill=\"{}\"/>",
                y + 1.0,
                ROW - 3.0,
                colour(side)
            );
            text(&mut out, LEFT + length + 5.0, y + 11.0, "start", &rate(value));
            y += ROW;
        }
        y += 0.8 * ROW;
    }
    out.push_str("</svg>\n");
    out
}

const PANEL: (f64, f64) = (430.0, 300.0);
const MARGIN: f64 = 60.0;

/// Curves, two panels to a row.
pub(crate) fn curves(panels: &[Panel]) -> String {
    let rows = panels.len().div_ceil(2) as f64;
    let mut out = open(2.0 * PANEL.0, rows * PANEL.1);
    for (index, panel) in panels.iter().enumerate() {
        let (left, top) = ((index % 2) as f64 * PANEL.0, (index / 2) as f64 * PANEL.1);
        draw(&mut out, panel, left, top);
    }
    out.push_str("</svg>\n");
    out
}

/// Whole numbers from the first to the last.
fn powers(low: f64, high: f64) -> impl Iterator<Item = f64> {
    std::iter::successors(Some(low), |power| Some(power + 1.0)).take_while(move |power| *power <= high)
}

/// The powers of ten that hold all values.
fn decades(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let low = values.clone().fold(f64::INFINITY, f64::min).max(1e-9).log10().floor();
    let high = values.fold(1e-9, f64::max).log10().ceil();
    (low, high.max(low + 1.0))
}

fn draw(out: &mut String, panel: &Panel, left: f64, top: f64) {
    let points = panel.curves.iter().flat_map(|curve| curve.points.iter());
    let (x_low, x_high) = decades(points.clone().map(|(x, _)| x.max(1.0)));
    let (y_low, y_high) = decades(points.map(|(_, y)| *y));
    let (width, height) = (PANEL.0 - 1.5 * MARGIN, PANEL.1 - 1.7 * MARGIN);
    let x_of = |x: f64| left + MARGIN + width * (x.max(1.0).log10() - x_low) / (x_high - x_low);
    let y_of = |y: f64| top + 0.7 * MARGIN + height * (1.0 - (y.log10() - y_low) / (y_high - y_low));
    text(out, left + MARGIN, top + 18.0, "start", &panel.title);
    text(out, left + MARGIN + width / 2.0, top + PANEL.1 - 16.0, "middle", panel.x);
    text(out, left + MARGIN, top + 34.0, "start", panel.y);
    for power in powers(y_low, y_high) {
        let y = y_of(10f64.powf(power));
        line(out, (left + MARGIN, y), (left + MARGIN + width, y));
        text(out, left + MARGIN - 6.0, y + 4.0, "end", &number(10f64.powf(power)));
    }
    for power in powers(x_low, x_high) {
        let x = x_of(10f64.powf(power));
        line(out, (x, top + 0.7 * MARGIN), (x, top + 0.7 * MARGIN + height));
        text(out, x, top + 0.7 * MARGIN + height + 16.0, "middle", &number(10f64.powf(power)));
    }
    for (index, curve) in panel.curves.iter().enumerate() {
        let path: Vec<String> =
            curve.points.iter().map(|(x, y)| format!("{:.1},{:.1}", x_of(*x), y_of(*y))).collect();
        let stroke = colour(index);
        let _ = writeln!(
            out,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{stroke}\" stroke-width=\"2\"/>",
            path.join(" ")
        );
        for (x, y) in &curve.points {
            let _ = writeln!(
                out,
                "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\" fill=\"{stroke}\"/>",
                x_of(*x),
                y_of(*y)
            );
        }
        let (legend_x, legend_y) = (left + PANEL.0 - 0.5 * MARGIN, top + 18.0 + 15.0 * index as f64);
        let _ = write!(out, "<g fill=\"{stroke}\">");
        text(out, legend_x, legend_y, "end", &curve.name);
        out.push_str("</g>\n");
    }
}

fn line(out: &mut String, from: (f64, f64), to: (f64, f64)) {
    let _ = writeln!(
        out,
        "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"{GREY}\" stroke-opacity=\"0.3\"/>",
        from.0, from.1, to.0, to.1
    );
}

fn number(value: f64) -> String {
    match value {
        _ if value >= 1e6 => format!("{:.0} M", value / 1e6),
        _ if value >= 1e3 => format!("{:.0} k", value / 1e3),
        _ if value >= 1.0 => format!("{value:.0}"),
        _ => format!("{value}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_point_of_a_curve_lies_within_its_panel() {
        let points = vec![(0.0, 0.3), (1.0, 0.5), (16_777_216.0, 20_000.0)];
        let curve = Curve { name: "one & only".to_owned(), points };
        let panel = Panel { title: "title".to_owned(), x: "x", y: "y", curves: vec![curve] };
        let svg = curves(&[panel]);
        assert_eq!(svg.matches("<circle").count(), 3);
        let places = svg.split("<circle ").skip(1).map(|circle| {
            let field = |name: &str| {
                let rest = circle.split_once(name).unwrap().1;
                rest.split('"').nth(1).unwrap().parse::<f64>().unwrap()
            };
            (field("cx="), field("cy="))
        });
        for (x, y) in places {
            assert!((MARGIN..=PANEL.0).contains(&x) && (0.0..=PANEL.1 - MARGIN).contains(&y), "{x} {y}");
        }
        assert!(svg.contains("one &amp; only") && svg.ends_with("</svg>\n"));
    }
}
