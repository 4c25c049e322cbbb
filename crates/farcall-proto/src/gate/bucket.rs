//! Tokens that come back with time, counted exactly.

use std::time::{Duration, Instant};

/// A bucket that holds the tokens of one second, and is full again a second after it was empty.
#[derive(Debug)]
pub(super) struct Bucket {
    /// Tokens a second, and the most there are.
    rate: u32,
    /// What was in it at `since`, in billionths of a token: one nanosecond brings `rate` of them, so nothing is rounded.
    level: u64,
    since: Instant,
}

impl Bucket {
    pub(super) fn full(rate: u32, now: Instant) -> Self {
        Self { rate, level: u64::from(rate) * TOKEN, since: now }
    }

    pub(super) fn has_one(&self, now: Instant) -> bool {
        self.level_at(now) >= TOKEN
    }

    pub(super) fn is_full(&self, now: Instant) -> bool {
        self.level_at(now) == self.level_max()
    }

    /// Takes a token; there is one.
    pub(super) fn take(&mut self, now: Instant) {
        self.level = self.level_at(now).saturating_sub(TOKEN);
        self.since = now;
    }

    pub(super) fn give_back(&mut self, now: Instant) {
        self.level = (self.level_at(now) + TOKEN).min(self.level_max());
        self.since = now;
    }

    fn level_max(&self) -> u64 {
        u64::from(self.rate) * TOKEN
    }

    /// Two products of a rate and a second: both together fit, for each is below 2^32 * 10^9 < 2^62.
    fn level_at(&self, now: Instant) -> u64 {
        let elapsed = now.saturating_duration_since(self.since).min(Duration::from_secs(1));
        let brought = u64::from(self.rate) * u64::try_from(elapsed.as_nanos()).unwrap_or(TOKEN);
        (self.level + brought).min(self.level_max())
    }
}

/// One token.
const TOKEN: u64 = 1_000_000_000;
