//! Panels of lines over the same time, as an SVG that needs nothing else.

use std::fmt::Write;

/// Lines that share an axis.
pub(crate) struct Panel {
    pub(crate) title: &'static str,
    pub(crate) lines: Vec<(String, Vec<(f64, f64)>)>,
}

/// A time in which something was done.
pub(crate) struct Band {
    pub(crate) from: f64,
    pub(crate) to: f64,
    pub(crate) text: String,
}

const WIDTH: f64 = 1200.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 110.0;
const TOP: f64 = 128.0;
const HEIGHT: f64 = 150.0;
const GAP: f64 = 45.0;

/// Colours that can be told apart, also by those who see few (Okabe and Ito, 2008).
const COLOURS: [&str; 7] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"];

/// The whole picture.
#[allow(clippy::cast_precision_loss, reason = "a picture has few panels")]
pub(crate) fn svg(title: &str, panels: &[Panel], bands: &[Band]) -> String {
    let points = panels.iter().flat_map(|panel| &panel.lines).flat_map(|(_, line)| line);
    let seconds = points.map(|(at, _)| *at).fold(1.0, f64::max);
    let x = |at: f64| LEFT + at / seconds * (WIDTH - LEFT - RIGHT);
    let height = TOP + panels.len() as f64 * (HEIGHT + GAP) + 10.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>\n\
         <text x=\"{LEFT}\" y=\"22\" font-size=\"16\">{}</text>\n",
        escape(title)
    );
    let bottom = height - GAP - 10.0;
    for band in bands {
        let (from, to) = (x(band.from), x(band.to));
        let _ = writeln!(
            svg,
            "<rect x=\"{from:.1}\" y=\"{TOP}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"#000000\" opacity=\"0.07\"/>\n\
             <text transform=\"translate({:.1} {:.1}) rotate(-60)\" font-size=\"10\" fill=\"#555555\">{}</text>",
            (to - from).max(1.0),
            bottom - TOP,
            from + 4.0,
            TOP - 22.0,
            escape(&band.text)
        );
    }
    for (nth, panel) in panels.iter().enumerate() {
        panel_svg(&mut svg, panel, TOP + nth as f64 * (HEIGHT + GAP), &x, seconds);
    }
    svg.push_str("</svg>\n");
    svg
}

#[allow(clippy::cast_precision_loss, reason = "a picture has few lines")]
fn panel_svg(svg: &mut String, panel: &Panel, top: f64, x: &dyn Fn(f64) -> f64, seconds: f64) {
    let most = panel.lines.iter().flat_map(|(_, line)| line).map(|(_, value)| *value).fold(1.0, f64::max);
    let y = |value: f64| top + HEIGHT - value / most * HEIGHT;
    let right = WIDTH - RIGHT;
    for part in 0..=4 {
        let value = most * f64::from(part) / 4.0;
        let at = y(value);
        let _ = writeln!(
            svg,
            "<line x1=\"{LEFT}\" x2=\"{right}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"#dddddd\"/>\n\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{value:.0}</text>",
            LEFT - 6.0,
            at + 4.0
        );
    }
    for part in 0..=10 {
        let at = seconds * f64::from(part) / 10.0;
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#555555\">{at:.0} s</text>",
            x(at),
            top + HEIGHT + 16.0
        );
    }
    let _ = writeln!(
        svg,
        "<text x=\"{LEFT}\" y=\"{:.1}\" font-weight=\"bold\">{}</text>",
        top - 6.0,
        panel.title
    );
    for (nth, (name, line)) in panel.lines.iter().enumerate() {
        let colour = COLOURS.get(nth % COLOURS.len()).copied().unwrap_or("#000000");
        let points: Vec<String> =
            line.iter().map(|(at, value)| format!("{:.1},{:.1}", x(*at), y(*value))).collect();
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>\n\
             <text x=\"{:.1}\" y=\"{:.1}\" fill=\"{colour}\">{}</text>",
            points.join(" "),
            right + 8.0,
            top + 12.0 + 15.0 * nth as f64,
            escape(name)
        );
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
