//! One frame: what it is about, the pages, the rows, and which keys there are.

use std::time::Instant;

use farcall::inspect::NodeView;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Clear, Paragraph, Row as Line_, Table, TableState, Wrap};

use super::pages::{self, Health};
use super::state::{Page, State};
use crate::inside::words::{age, count};

/// Lines of a frame that are no rows.
pub(super) const AROUND: u16 = 5;

pub(super) fn draw(frame: &mut Frame<'_>, state: &State, now: Instant) {
    let lines = [1, 1, 1].map(Constraint::Length);
    let [about, gauges, tabs] = lines;
    let parts = Layout::vertical([about, gauges, tabs, Constraint::Min(3), Constraint::Length(1)]);
    let [about, gauges, tabs, rows, keys] = parts.areas(frame.area());
    frame.render_widget(title(state, now), about);
    frame.render_widget(figures(state), gauges);
    frame.render_widget(pages_line(state), tabs);
    table(frame, rows, state);
    frame.render_widget(Line::from(KEYS).style(Style::new().add_modifier(Modifier::DIM)), keys);
    if state.detail {
        detail(frame, rows, state);
    }
}

const KEYS: &str = "tab page  ↑↓ enter look closer  s sort  r reverse  / filter  p pause  q quit";

fn style(health: Health) -> Style {
    match health {
        Health::Well => Style::new(),
        Health::Uneasy => Style::new().fg(Color::Yellow),
        Health::Ill => Style::new().fg(Color::Red).add_modifier(Modifier::BOLD),
    }
}

/// Who it is and since when; or for how long it has not answered, and why.
fn title(state: &State, now: Instant) -> Line<'static> {
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let mut spans = vec![Span::styled(state.node.clone(), bold)];
    if let Some((view, _)) = &state.seen {
        spans.push(Span::raw(format!(
            "  up {}  farcall {}  pid {}",
            age(view.at_us),
            view.farcall,
            view.pid
        )));
        if view.draining {
            spans.push(Span::styled("  DRAINING", style(Health::Uneasy)));
        }
    }
    if state.paused {
        spans.push(Span::styled("  paused", style(Health::Uneasy)));
    }
    let quiet = state.seen_at.map(|at| now.saturating_duration_since(at));
    match (&state.trouble, quiet) {
        (Some(why), _) => spans.push(Span::styled(format!("  NO ANSWER: {why}"), style(Health::Ill))),
        (None, Some(quiet)) if !state.paused && quiet > state.interval * 3 => {
            let seconds = quiet.as_secs_f32();
            spans.push(Span::styled(format!("  no answer for {seconds:.0}s"), style(Health::Ill)));
        }
        (None, None) => spans.push(Span::raw("  connecting ..")),
        (None, Some(_)) => {}
    }
    Line::from(spans)
}

fn value(view: &NodeView, name: &str) -> u64 {
    view.metrics.iter().find(|metric| metric.name == name).map_or(0, |metric| metric.value)
}

/// The numbers that matter at a glance.
fn figures(state: &State) -> Line<'static> {
    let Some((view, rates)) = &state.seen else { return Line::default() };
    let handled: f64 = rates.actors.iter().map(|actor| actor.handled).sum();
    let parts = [
        ("out", value(view, "clients_up"), false),
        ("in", value(view, "acceptors"), false),
        ("refused", value(view, "refused"), true),
        ("lost", value(view, "clients_lost"), true),
        ("dials failed", value(view, "dials_failed"), true),
        ("handshakes failed", value(view, "handshakes_failed"), true),
    ];
    let mut spans = vec![Span::raw(format!("calls/s {}", crate::inside::words::rate(handled)))];
    for (name, number, bad) in parts {
        let style = if bad && number > 0 { style(Health::Uneasy) } else { Style::new() };
        spans.push(Span::styled(format!("  {name} {}", count(number)), style));
    }
    Line::from(spans)
}

fn pages_line(state: &State) -> Line<'static> {
    let mut spans = Vec::new();
    for (nth, (page, name)) in Page::ALL.into_iter().enumerate() {
        let here = if page == state.page { Modifier::REVERSED } else { Modifier::empty() };
        spans.push(Span::styled(format!(" {} {name} ", nth + 1), Style::new().add_modifier(here)));
    }
    match (state.typing, state.filter.is_empty()) {
        (true, _) => spans.push(Span::raw(format!("  filter: {}_", state.filter))),
        (false, false) => spans.push(Span::raw(format!("  filter: {} (esc ends it)", state.filter))),
        (false, true) => {}
    }
    Line::from(spans)
}

fn table(frame: &mut Frame<'_>, area: Rect, state: &State) {
    let heads = pages::heads(state.page);
    let shown = columns(heads, area.width);
    let rows = state.rows();
    if rows.is_empty() {
        let text = match (&state.seen, state.filter.is_empty()) {
            (None, _) => "",
            (Some(_), false) => "nothing fits the filter",
            (Some(_), true) => "nothing here",
        };
        frame.render_widget(Paragraph::new(text), area);
        return;
    }
    let sorted = state.sorted_by();
    let names =
        heads.iter().take(shown).enumerate().map(|(column, (head, ..))| match sorted == Some(column) {
            true => format!("{head}{}", if state.reverse { '▲' } else { '▼' }),
            false => (*head).to_owned(),
        });
    let header = Line_::new(names).style(Style::new().add_modifier(Modifier::BOLD));
    let widths = heads.iter().take(shown).map(|(_, width, rest)| match rest {
        true => Constraint::Min(*width),
        false => Constraint::Length(*width),
    });
    let lines = rows.into_iter().map(|row| {
        let style = style(row.health);
        Line_::new(row.cells.into_iter().take(shown).map(|cell| plain(&cell))).style(style)
    });
    let table = Table::new(lines, widths)
        .header(header)
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    let mut place = TableState::new().with_selected(state.selected);
    frame.render_stateful_widget(table, area, &mut place);
}

/// How many columns have room.
fn columns(heads: &[pages::Head], width: u16) -> usize {
    let mut taken = 0;
    let fitting = heads.iter().take_while(|(_, column, _)| {
        taken += column + 1;
        taken <= width + 1
    });
    fitting.count().max(1)
}

fn detail(frame: &mut Frame<'_>, area: Rect, state: &State) {
    let Some(row) = state.rows().into_iter().nth(state.selected) else { return };
    let width = row.detail.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
    let lines: Vec<Line<'_>> = row
        .detail
        .iter()
        .map(|(name, value)| Line::from(plain(&format!("{name:width$}  {value}"))))
        .collect();
    let block = Block::default().borders(Borders::ALL).title(" enter or esc closes it ");
    frame.render_widget(Clear, area);
    frame.render_widget(Paragraph::new(lines).block(block).wrap(Wrap { trim: false }), area);
}

/// What peers named does not steer the terminal.
fn plain(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '·' } else { letter }).collect()
}
