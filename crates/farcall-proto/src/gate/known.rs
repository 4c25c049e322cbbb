//! Sources that a peer has proved itself from: a flood of strangers must not keep them out.

use hashbrown::HashMap;

use super::source::Source;

/// Sources that somebody has proved itself from, each with a number that is larger the later that was.
///
/// Only a peer that belongs here can add one, so strangers can neither fill it nor push anybody out.
#[derive(Debug)]
pub(super) struct Known {
    sources: HashMap<Source, u64, ahash::RandomState>,
    sources_max: usize,
    next: u64,
}

impl Known {
    pub(super) fn new(sources_max: usize) -> Self {
        Self { sources: HashMap::default(), sources_max, next: 0 }
    }

    pub(super) fn contains(&self, source: Source) -> bool {
        self.sources.contains_key(&source)
    }

    /// Somebody proved itself from there. When there are too many, the one that did so longest ago is forgotten.
    pub(super) fn add(&mut self, source: Source) {
        let full = self.sources.len() >= self.sources_max;
        if full && !self.contains(source) {
            let oldest = self.sources.iter().min_by_key(|(_, number)| **number).map(|(source, _)| *source);
            match oldest {
                Some(oldest) => self.sources.remove(&oldest),
                None => return,
            };
        }
        self.next += 1;
        self.sources.insert(source, self.next);
    }

    pub(super) fn forget(&mut self, source: Source) {
        self.sources.remove(&source);
    }
}
