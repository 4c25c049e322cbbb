//! The sources that are remembered: bounded, and the one that was quiet for longest goes first.

use std::time::Instant;

use hashbrown::HashMap;

use super::GateLimits;
use super::history::History;
use super::source::Source;

/// The sources that are remembered, at most so many.
///
/// Those without half-open connections, and only those, stand in a list by when they were last heard of: who has to go
/// is found without a search. Its links are keys, not places, so that there is nothing to reuse and nothing dangles.
#[derive(Debug)]
pub(super) struct Table {
    /// Strangers choose their addresses, so the hash has a secret seed.
    entries: HashMap<Source, Entry, ahash::RandomState>,
    /// The ends of the list.
    oldest: Option<Source>,
    newest: Option<Source>,
    max: usize,
}

#[derive(Debug)]
struct Entry {
    history: History,
    /// Its neighbours in the list.
    older: Option<Source>,
    newer: Option<Source>,
}

impl Table {
    pub(super) fn new(max: usize) -> Self {
        Self { entries: HashMap::default(), oldest: None, newest: None, max }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn find(&self, source: Source) -> Option<&History> {
        self.entries.get(&source).map(|entry| &entry.history)
    }

    /// The history of a source that has half-open connections. [`Table::close`] is to follow.
    pub(super) fn half_open(&mut self, source: Source) -> Option<&mut History> {
        let history = &mut self.entries.get_mut(&source)?.history;
        (history.half_open > 0).then_some(history)
    }

    /// The history of a source, a new one if nothing is known of it; nothing if there is no place for a new one.
    /// [`Table::close`] is to follow, unless it has half-open connections then.
    pub(super) fn open(&mut self, source: Source, limits: &GateLimits, now: Instant) -> Option<&mut History> {
        if self.find(source).is_some() {
            self.unlink(source);
        } else {
            self.make_room()?;
            let history = History::new(limits, now);
            self.entries.insert(source, Entry { history, older: None, newer: None });
        }
        self.entries.get_mut(&source).map(|entry| &mut entry.history)
    }

    /// Puts a source back in the list, if it has no half-open connections, or forgets it, if that makes no difference.
    pub(super) fn close(&mut self, source: Source, limits: &GateLimits, now: Instant) {
        match self.find(source) {
            Some(history) if history.is_blank(limits, now) => drop(self.entries.remove(&source)),
            Some(history) if history.half_open == 0 => self.link(source),
            _ => {}
        }
    }

    /// Notes that a source was heard of; no effect on one that is not known.
    pub(super) fn touch(&mut self, source: Source) {
        if self.newest != Some(source) && self.find(source).is_some_and(|history| history.half_open == 0) {
            self.unlink(source);
            self.link(source);
        }
    }

    /// Forgets some of those that were quiet for longest, if that makes no difference.
    pub(super) fn forget_some(&mut self, limits: &GateLimits, now: Instant) {
        for _ in 0..FORGET_AT_ONCE {
            let Some(oldest) = self.oldest else { return };
            if !self.find(oldest).is_some_and(|history| history.is_blank(limits, now)) {
                return;
            }
            self.forget(oldest);
        }
    }

    /// Makes room for one more, if it can be made.
    fn make_room(&mut self) -> Option<()> {
        if self.entries.len() >= self.max {
            self.forget(self.oldest?);
        }
        (self.entries.len() < self.max).then_some(())
    }

    /// Forgets one that stands in the list.
    fn forget(&mut self, source: Source) {
        self.unlink(source);
        self.entries.remove(&source);
    }

    /// Takes a source out of the list. One with half-open connections is in none and has no neighbours.
    fn unlink(&mut self, source: Source) {
        let Some(entry) = self.entries.get_mut(&source) else { return };
        if entry.history.half_open > 0 {
            return;
        }
        let (older, newer) = (entry.older.take(), entry.newer.take());
        match older.and_then(|older| self.entries.get_mut(&older)) {
            Some(older) => older.newer = newer,
            None => self.oldest = newer,
        }
        match newer.and_then(|newer| self.entries.get_mut(&newer)) {
            Some(newer) => newer.older = older,
            None => self.newest = older,
        }
    }

    /// Puts a source that is not in the list at its newer end.
    fn link(&mut self, source: Source) {
        let older = self.newest.replace(source);
        match older.and_then(|older| self.entries.get_mut(&older)) {
            Some(older) => older.newer = Some(source),
            None => self.oldest = Some(source),
        }
        if let Some(entry) = self.entries.get_mut(&source) {
            entry.older = older;
        }
    }
}

/// So many sources are looked at for each connection whether they can be forgotten: more than one, so that the table
/// shrinks faster than it can grow.
const FORGET_AT_ONCE: usize = 2;

/// What one source takes in the hash table.
#[cfg(test)]
pub(super) const PLACE_BYTES: usize = size_of::<(Source, Entry)>();
