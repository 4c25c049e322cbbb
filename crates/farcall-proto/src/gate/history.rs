//! What is remembered of one source.

use std::time::{Duration, Instant};

use super::bucket::Bucket;
use super::{GateLimits, Refusal};

/// What is remembered of one source.
#[derive(Debug)]
pub(super) struct History {
    /// Its connections that have not proved themselves.
    pub(super) half_open: usize,
    pub(super) tokens: Bucket,
    /// Handshakes that failed since one went well.
    failures: u32,
    /// Failures of peers that had proved themselves.
    blames: u32,
    /// When the last of either was; the delay counts from there.
    failed_at: Instant,
}

impl History {
    /// That of a source nothing is known of.
    pub(super) fn new(limits: &GateLimits, now: Instant) -> Self {
        let tokens = Bucket::full(limits.accept_rate_per_source, now);
        Self { half_open: 0, tokens, failures: 0, blames: 0, failed_at: now }
    }

    /// Why a connection of this source is refused, if it is.
    pub(super) fn refusal(&self, limits: &GateLimits, now: Instant) -> Option<Refusal> {
        let remaining = self.delay(limits).saturating_sub(now.saturating_duration_since(self.failed_at));
        if !remaining.is_zero() {
            return Some(Refusal::Delayed { remaining });
        }
        if self.half_open >= limits.half_open_per_source_max {
            return Some(Refusal::SourceFull { limit: limits.half_open_per_source_max });
        }
        let limit = limits.accept_rate_per_source;
        (!self.tokens.has_one(now)).then_some(Refusal::SourceRate { limit })
    }

    /// A handshake failed.
    pub(super) fn fail(&mut self, limits: &GateLimits, now: Instant) {
        self.start_failing(limits, now);
        self.failures = self.failures.saturating_add(1);
    }

    /// A peer that had proved itself broke the protocol.
    pub(super) fn blame(&mut self, limits: &GateLimits, now: Instant) {
        self.start_failing(limits, now);
        self.blames = self.blames.saturating_add(1);
    }

    /// A handshake went well: those before it do not count any more.
    pub(super) fn prove(&mut self) {
        self.failures = 0;
    }

    /// Whether to forget it makes no difference.
    pub(super) fn is_blank(&self, limits: &GateLimits, now: Instant) -> bool {
        self.half_open == 0 && self.tokens.is_full(now) && self.has_no_failures(limits, now)
    }

    fn start_failing(&mut self, limits: &GateLimits, now: Instant) {
        if self.has_no_failures(limits, now) {
            (self.failures, self.blames) = (0, 0);
        }
        self.failed_at = now;
    }

    /// There were none, or it was quiet for long enough behind the last delay.
    ///
    /// Not behind the last failure: at the longest delay the next attempt would then always be the first one.
    fn has_no_failures(&self, limits: &GateLimits, now: Instant) -> bool {
        let quiet = now.saturating_duration_since(self.failed_at).saturating_sub(self.delay(limits));
        (self.failures, self.blames) == (0, 0) || quiet >= limits.delay_max
    }

    /// For how long the source is refused after its last failure.
    fn delay(&self, limits: &GateLimits) -> Duration {
        match self.failures.saturating_add(self.blames) {
            0 => Duration::ZERO,
            count => {
                let doubled = 1u32.checked_shl(count - 1).unwrap_or(u32::MAX);
                limits.delay_min.saturating_mul(doubled).min(limits.delay_max)
            }
        }
    }
}
