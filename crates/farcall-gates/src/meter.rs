//! Where one measurement ends and the next begins: a warm-up, then segments of equally many operations.

use std::cell::Cell;
use std::hint::black_box;

/// Counts operations and marks the segments.
#[derive(Debug)]
pub(crate) struct Meter {
    per_segment: u64,
    done: Cell<u64>,
}

/// Segments that count. The median of them is the result, so that what happens once does not show.
pub(crate) const SEGMENTS: usize = 5;

/// Segments before those: tables, buffers and the allocator's lists have grown by then.
const WARM_UP: u64 = 4;

const ALL: u64 = SEGMENTS as u64 + WARM_UP;

impl Meter {
    pub(crate) fn new(per_segment: u64) -> Self {
        Self { per_segment, done: Cell::new(0) }
    }

    /// Marks nothing.
    pub(crate) fn silent() -> Self {
        Self::new(u64::MAX / ALL)
    }

    /// Whether there is more to do. Asked before each operation.
    pub(crate) fn goes_on(&self) -> bool {
        self.done.get() < self.per_segment * ALL
    }

    /// Whether the warm-up is over.
    pub(crate) fn counts(&self) -> bool {
        self.done.get() >= self.per_segment * WARM_UP
    }

    /// Whether half of the warm-up is over.
    pub(crate) fn is_warm(&self) -> bool {
        self.done.get() >= self.per_segment * (WARM_UP / 2)
    }

    /// So many operations are done.
    pub(crate) fn finish(&self, operations: u64) {
        let before = self.done.get();
        self.done.set(before + operations);
        if before / self.per_segment != self.done.get() / self.per_segment && self.counts() {
            boundary();
        }
    }
}

/// callgrind writes down what it counted, and begins at nought, whenever this function is entered: it knows it by name.
#[inline(never)]
pub(crate) fn boundary() {
    black_box(());
}

/// The name, as callgrind sees it, with or without what the compiler puts around it.
pub(crate) const BOUNDARY: &str = "*farcall_gates*meter*boundary*";
