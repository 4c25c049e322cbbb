//! How long to leave a peer alone after a failure: exponential, with full jitter, so that peers do not come back in step.

use std::time::{Duration, Instant};

/// The pause between attempts at one target.
#[derive(Debug)]
pub(crate) struct Backoff {
    min: Duration,
    max: Duration,
    failures: u32,
    /// Connections in a row that came up and were lost at once.
    flaps: u32,
    until: Option<Instant>,
}

/// So many in a row are chance, or somebody's restart; beyond that there is something wrong over there.
const FLAPS_FREE: u32 = 3;

impl Backoff {
    pub(crate) fn new(min: Duration, max: Duration) -> Self {
        Self { min, max, failures: 0, flaps: 0, until: None }
    }

    /// Whether the pause still runs.
    pub(crate) fn holds(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    /// How much of the pause is left, if nothing has gone well since the last failure: nothing is left of one that is over.
    pub(crate) fn left(&self, now: Instant) -> Option<Duration> {
        self.until.map(|until| until.saturating_duration_since(now))
    }

    /// An attempt failed; gives the pause. `jitter` is a random number from 0 to 1: the pause lies between half of
    /// its length and all of it.
    pub(crate) fn failed(&mut self, now: Instant, jitter: f64) -> Duration {
        let length = self.min.saturating_mul(1 << self.failures.min(20)).min(self.max);
        self.failures = self.failures.saturating_add(1);
        let pause = length.mul_f64(0.5 + 0.5 * jitter.clamp(0.0, 1.0));
        self.until = Some(now + pause);
        pause
    }

    /// An attempt succeeded and its connection was lost at once; gives the pause if that goes on and on.
    pub(crate) fn flapped(&mut self, now: Instant, jitter: f64) -> Option<Duration> {
        self.flaps = self.flaps.saturating_add(1);
        (self.flaps > FLAPS_FREE).then(|| self.failed(now, jitter))
    }

    /// An attempt succeeded and lasted.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
        self.flaps = 0;
        self.until = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_doubles_up_to_its_limit_and_starts_again_after_success() {
        let now = Instant::now();
        let ms = Duration::from_millis;
        let mut backoff = Backoff::new(ms(100), ms(1000));
        let pauses: Vec<_> = (0..5).map(|_| backoff.failed(now, 1.0)).collect();
        assert_eq!(pauses, [ms(100), ms(200), ms(400), ms(800), ms(1000)]);
        assert!(backoff.holds(now + ms(999)) && !backoff.holds(now + ms(1000)));
        assert_eq!([backoff.left(now), backoff.left(now + ms(1001))], [Some(ms(1000)), Some(ms(0))]);
        backoff.reset();
        assert!(!backoff.holds(now) && backoff.left(now).is_none());
        assert_eq!(backoff.failed(now, 0.0), ms(50), "jitter halves it at the most");
    }

    #[test]
    fn a_connection_that_is_lost_at_once_again_and_again_is_as_bad_as_none() {
        let now = Instant::now();
        let ms = Duration::from_millis;
        let mut backoff = Backoff::new(ms(100), ms(1000));
        let pauses: Vec<_> = (0..5).map(|_| backoff.flapped(now, 1.0)).collect();
        assert_eq!(pauses, [None, None, None, Some(ms(100)), Some(ms(200))]);
        backoff.reset();
        assert_eq!(backoff.flapped(now, 1.0), None);
        assert!(!backoff.holds(now));
    }
}
