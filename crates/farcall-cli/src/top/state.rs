//! What is looked at, and what keys do to it.

use std::time::{Duration, Instant};

use farcall::inspect::{NodeView, Rates};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::pages::{self, Row};

/// One page of the view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Page {
    Links,
    Actors,
    Nodes,
    Groups,
    Limits,
    Events,
}

impl Page {
    pub(crate) const ALL: [(Self, &'static str); 6] = [
        (Self::Links, "links"),
        (Self::Actors, "actors"),
        (Self::Nodes, "nodes"),
        (Self::Groups, "groups"),
        (Self::Limits, "limits"),
        (Self::Events, "events"),
    ];
}

/// What a key asks of whoever has the connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    /// Look at another node.
    Node(String),
    /// End the view.
    Quit,
}

/// Everything that a frame shows.
#[derive(Debug)]
pub(crate) struct State {
    /// The node that is looked at.
    pub(crate) node: String,
    pub(crate) interval: Duration,
    pub(crate) page: Page,
    /// The last look, and what went on since the one before.
    pub(crate) seen: Option<(NodeView, Rates)>,
    /// When that was.
    pub(crate) seen_at: Option<Instant>,
    /// Why there is no answer now.
    pub(crate) trouble: Option<String>,
    /// The column that rows are sorted by, per page; none for the order in which they are told.
    sort: [Option<usize>; Page::ALL.len()],
    pub(crate) reverse: bool,
    pub(crate) filter: String,
    /// The filter is being typed.
    pub(crate) typing: bool,
    pub(crate) paused: bool,
    pub(crate) selected: usize,
    /// All of the selected row is shown.
    pub(crate) detail: bool,
}

impl State {
    pub(crate) fn new(node: &str, interval: Duration) -> Self {
        Self {
            node: node.to_owned(),
            interval,
            page: Page::Links,
            seen: None,
            seen_at: None,
            trouble: None,
            sort: [None; Page::ALL.len()],
            reverse: false,
            filter: String::new(),
            typing: false,
            paused: false,
            selected: 0,
            detail: false,
        }
    }

    /// A look has succeeded.
    pub(crate) fn took(&mut self, mut view: NodeView, now: Instant) {
        self.trouble = None;
        self.seen_at = Some(now);
        let rates = match &mut self.seen {
            Some((before, _)) if before.incarnation == view.incarnation => {
                // Each look brings what is new.
                let last = view.events.first().map_or(u64::MAX, |event| event.nth);
                let mut events: Vec<_> =
                    std::mem::take(&mut before.events).into_iter().filter(|event| event.nth < last).collect();
                events.append(&mut view.events);
                events.drain(..events.len().saturating_sub(EVENTS_MAX));
                view.events = events;
                Rates::between(before, &view)
            }
            _ => Rates::until(&view),
        };
        self.seen = Some((view, rates));
        self.selected = self.selected.min(self.rows().len().saturating_sub(1));
    }

    /// The number of the last event that is known.
    pub(crate) fn last_event(&self) -> u64 {
        self.seen.as_ref().and_then(|(view, _)| view.events.last()).map_or(0, |event| event.nth)
    }

    /// A look has failed.
    pub(crate) fn failed(&mut self, why: String) {
        self.trouble = Some(why);
    }

    /// Looks at another node from now on.
    pub(crate) fn turn_to(&mut self, node: &str) {
        let (interval, filter) = (self.interval, String::new());
        *self = Self { filter, ..Self::new(node, interval) };
    }

    /// The rows of the page, chosen and sorted.
    pub(crate) fn rows(&self) -> Vec<Row> {
        let Some((view, rates)) = &self.seen else { return Vec::new() };
        let mut rows = pages::rows(self.page, view, rates);
        let wanted = self.filter.to_lowercase();
        rows.retain(|row| row.cells.iter().any(|cell| cell.to_lowercase().contains(&wanted)));
        if let Some(column) = self.sorted_by() {
            let key = |row: &Row| row.keys.get(column).copied().unwrap_or_default();
            let text = |row: &Row| row.cells.get(column).cloned().unwrap_or_default();
            rows.sort_by(|a, b| key(b).total_cmp(&key(a)).then_with(|| text(a).cmp(&text(b))));
        }
        if self.reverse {
            rows.reverse();
        }
        rows
    }

    /// The column that the rows are sorted by.
    pub(crate) fn sorted_by(&self) -> Option<usize> {
        self.sort.get(self.page as usize).copied().flatten()
    }

    /// Something was typed.
    pub(crate) fn key(&mut self, key: KeyEvent) -> Option<Ask> {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return matches!(key.code, KeyCode::Char('c' | 'd')).then_some(Ask::Quit);
        }
        if self.typing {
            self.type_filter(key.code);
            return None;
        }
        match key.code {
            KeyCode::Char('q') => return Some(Ask::Quit),
            KeyCode::Esc if self.detail => self.detail = false,
            KeyCode::Esc if !self.filter.is_empty() => self.filter.clear(),
            KeyCode::Esc => return Some(Ask::Quit),
            KeyCode::Char('p' | ' ') => self.paused = !self.paused,
            KeyCode::Char('/') => (self.typing, self.detail) = (true, false),
            KeyCode::Char('s') => self.sort_by_next(),
            KeyCode::Char('r') => self.reverse = !self.reverse,
            KeyCode::Tab | KeyCode::Right => self.turn_page(1),
            KeyCode::BackTab | KeyCode::Left => self.turn_page(Page::ALL.len() - 1),
            KeyCode::Char(digit @ '1'..='6') => {
                let place = digit.to_digit(10).and_then(|digit| usize::try_from(digit).ok()).unwrap_or(1);
                self.open(place - 1);
            }
            KeyCode::Up | KeyCode::Char('k') => self.selected = self.selected.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => self.select(self.selected + 1),
            KeyCode::PageUp => self.selected = self.selected.saturating_sub(PAGE),
            KeyCode::PageDown => self.select(self.selected + PAGE),
            KeyCode::Home => self.selected = 0,
            KeyCode::End => self.select(usize::MAX),
            KeyCode::Enter if self.page == Page::Nodes && !self.detail => {
                let chosen = self.rows().into_iter().nth(self.selected);
                return chosen.and_then(|row| row.cells.into_iter().next()).map(Ask::Node);
            }
            KeyCode::Enter => self.detail = !self.detail && !self.rows().is_empty(),
            _ => {}
        }
        None
    }

    fn type_filter(&mut self, key: KeyCode) {
        match key {
            KeyCode::Enter => self.typing = false,
            KeyCode::Esc => {
                self.typing = false;
                self.filter.clear();
            }
            KeyCode::Backspace => drop(self.filter.pop()),
            KeyCode::Char(letter) if self.filter.len() < FILTER_BYTES_MAX => self.filter.push(letter),
            _ => {}
        }
        self.selected = 0;
    }

    fn select(&mut self, place: usize) {
        self.selected = place.min(self.rows().len().saturating_sub(1));
    }

    fn turn_page(&mut self, by: usize) {
        self.open((self.page as usize + by) % Page::ALL.len());
    }

    fn open(&mut self, place: usize) {
        if let Some((page, _)) = Page::ALL.get(place) {
            (self.page, self.selected, self.detail, self.reverse) = (*page, 0, false, false);
        }
    }

    /// By the next column; behind the last one in the order in which they are told.
    fn sort_by_next(&mut self) {
        let columns = pages::heads(self.page).len();
        if let Some(sort) = self.sort.get_mut(self.page as usize) {
            let next = sort.map_or(0, |column| column + 1);
            *sort = (next < columns).then_some(next);
        }
        self.selected = 0;
    }
}

/// So many events are kept here: four times what a node keeps.
const EVENTS_MAX: usize = 1024;
/// Rows that a page up or down goes over.
const PAGE: usize = 15;
const FILTER_BYTES_MAX: usize = 64;
