//! Is the peer still there? Ticks out when nothing else goes out, silence in means gone.
//!
//! Each side announces its own tick in the handshake, so the two need not be configured alike. Any byte counts
//! as life. A tick every `tick / intensity`; a peer silent for its whole `tick` is gone, so a silent one is found
//! between `tick - tick / intensity` and `tick + tick / intensity` (Erlang's net_ticktime rule).

use std::time::{Duration, Instant};

use super::{LossCause, TICK_MIN};

/// The clockwork of one connection, without a clock.
#[derive(Debug)]
pub struct Liveness {
    tick: Duration,
    tick_every: Duration,
    /// Ticks go out at whole parts of the interval counted from then.
    ticks_from: Option<Instant>,
    silence_max: Duration,
    /// How often the peer ticks within that.
    peer_intensity: u32,
    write_stall_max: Duration,
    last_in: Instant,
    last_out: Instant,
}

/// What the writer and the reader of the socket know at this moment.
#[derive(Debug, Clone, Copy, Default)]
pub struct IoState {
    /// Bytes of the last batch that the socket took.
    pub written: usize,
    /// Since when the socket takes nothing although there is something to write.
    pub stalled_since: Option<Instant>,
    /// Reading is paused by our own back-pressure: silence proves nothing.
    pub reading_paused: bool,
    /// When it was last known that nothing waited in the socket; none if that is now. What came since proves nothing yet.
    pub looked_at: Option<Instant>,
}

/// Steps to an interval of ticks: at most so much of it a tick goes out early.
const STEPS: u32 = 8;

impl Liveness {
    /// Starts now; `silence_max` is the peer's announced tick.
    pub fn new(
        tick: Duration,
        intensity: u8,
        silence_max: Duration,
        write_stall_max: Duration,
        now: Instant,
    ) -> Self {
        let tick_every = tick / u32::from(intensity.max(1));
        Self {
            tick: tick.max(TICK_MIN),
            tick_every,
            ticks_from: None,
            silence_max,
            peer_intensity: u32::from(intensity.max(1)),
            write_stall_max,
            last_in: now,
            last_out: now,
        }
    }

    /// Ticks go out a little early, so that those of many links go out together: the machine wakes up once for all of
    /// them. What is counted from must be the same instant for all.
    #[must_use]
    pub fn in_step(mut self, ticks_from: Option<Instant>) -> Self {
        self.ticks_from = ticks_from;
        self
    }

    /// The peer ticks so often within its tick, and not as this side does.
    #[must_use]
    pub fn hearing(mut self, peer_intensity: u8) -> Self {
        self.peer_intensity = u32::from(peer_intensity.max(1));
        self
    }

    /// When the next tick is due if nothing else goes out: at the end of the interval, or at the last step before it.
    fn tick_due(&self) -> Instant {
        let due = self.last_out + self.tick_every;
        let step = u64::try_from((self.tick_every / STEPS).as_nanos()).unwrap_or(u64::MAX);
        match self.ticks_from {
            Some(from) if step > 0 => {
                let since = u64::try_from(due.saturating_duration_since(from).as_nanos()).unwrap_or(0);
                due - Duration::from_nanos(since % step)
            }
            _ => due,
        }
    }

    /// The peer's tick, known after the handshake.
    pub fn peer_tick(&mut self, tick: Duration, intensity: u8, now: Instant) {
        self.silence_max = tick;
        self.peer_intensity = u32::from(intensity.max(1));
        self.last_in = now;
        self.last_out = now;
    }

    /// Bytes came in.
    pub fn received(&mut self, now: Instant) {
        self.last_in = now;
    }

    /// Bytes were handed to the socket.
    pub fn sent(&mut self, now: Instant) {
        self.last_out = now;
    }

    /// When to look again.
    pub fn poll_timeout(&self, io: &IoState) -> Instant {
        let mut next = self.tick_due();
        if !io.reading_paused {
            next = next.min(self.last_in + self.silence_max);
        }
        if let Some(since) = io.stalled_since {
            next = next.min(since + self.write_stall_max);
        }
        next
    }

    /// Whether a tick is due, or the peer is gone.
    ///
    /// # Errors
    /// The cause, when the connection has to end.
    pub fn handle_timeout(&mut self, now: Instant, io: &IoState) -> Result<bool, LossCause> {
        if io.reading_paused {
            // What the peer sends meanwhile waits in the socket; judge it from when reading goes on.
            self.last_in = now;
        }
        let looked_at = io.looked_at.map_or(now, |looked_at| looked_at.min(now));
        if looked_at.saturating_duration_since(self.last_in) >= self.silence_max {
            return Err(LossCause::Silent { for_ms: self.silence_max.as_millis() });
        }
        let stalled = io.stalled_since.is_some_and(|since| now >= since + self.write_stall_max);
        if stalled {
            return Err(LossCause::WriteStall { for_ms: self.write_stall_max.as_millis() });
        }
        let due = now >= self.tick_due();
        if due {
            // Asked for once per interval, also while the socket takes nothing.
            self.last_out = now;
        }
        Ok(due)
    }

    /// How many ticks of the peer are overdue; when these are as many as it sends within its tick, it counts as gone.
    pub fn ticks_missed(&self, now: Instant) -> u32 {
        let (silent, every) =
            (now.saturating_duration_since(self.last_in), self.silence_max / self.peer_intensity);
        u32::try_from(silent.as_nanos() / every.as_nanos().max(1)).unwrap_or(u32::MAX)
    }

    /// How long this side gave no sign of life, if that is so long that the peer may have given it up: then what waits
    /// in its socket is stale, and its senders were told so. It ticks more often than that unless it stood still.
    pub fn suspended(&self, now: Instant) -> Option<Duration> {
        let quiet = now.saturating_duration_since(self.last_out);
        (quiet >= self.tick).then_some(quiet)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_side_that_was_quiet_for_its_own_tick_knows_that_its_peer_may_have_given_it_up() {
        let (start, tick) = (Instant::now(), Duration::from_secs(4));
        for intensity in [2, 4, 16] {
            let mut liveness = Liveness::new(tick, intensity, tick, tick * 3, start);
            let due = liveness.poll_timeout(&IoState::default());
            assert_eq!(liveness.handle_timeout(due, &IoState::default()), Ok(true));
            // It stands still from here on. The peer counts from the tick that just went out.
            assert_eq!(liveness.suspended(due + tick - Duration::from_millis(1)), None);
            assert_eq!(liveness.suspended(due + tick), Some(tick));
            liveness.sent(due + tick);
            assert_eq!(liveness.suspended(due + tick), None);
        }
    }

    #[test]
    fn ticks_of_many_links_go_out_together_and_never_late() {
        let (start, tick) = (Instant::now(), Duration::from_secs(8));
        let (every, step) = (tick / 4, tick / 4 / STEPS);
        let mut due = std::collections::BTreeSet::new();
        for link in 0..1000 {
            let opened = start + Duration::from_millis(7 * link);
            let mut liveness = Liveness::new(tick, 4, tick, tick * 3, opened).in_step(Some(start));
            let mut last = opened;
            for _ in 0..5 {
                let next = liveness.poll_timeout(&IoState::default());
                assert!(next <= last + every && next > last + every - step);
                // Timers are a little late.
                last = next + Duration::from_millis(2);
                assert_eq!(liveness.handle_timeout(last, &IoState::default()), Ok(true));
                liveness.received(last);
                due.insert(next);
            }
        }
        let span = Duration::from_secs(7) + 5 * every;
        assert!(due.len() as u128 <= span.as_nanos() / step.as_nanos() + 1, "{} instants", due.len());
    }

    #[test]
    fn silence_is_judged_by_when_the_socket_was_looked_at_and_not_by_when_somebody_has_time_to_think_of_it() {
        let (start, tick) = (Instant::now(), Duration::from_secs(4));
        let mut liveness = Liveness::new(tick, 4, tick, tick * 3, start);
        let at = |looked_at| IoState { looked_at: Some(looked_at), ..IoState::default() };
        let (early, late) = (start + tick / 4, start + 2 * tick);
        assert_eq!(liveness.handle_timeout(late, &at(early)), Ok(true), "the tick is due all the same");
        assert!(liveness.poll_timeout(&at(early)) <= late, "and it is looked at again at once");
        assert!(matches!(liveness.handle_timeout(late, &at(late)), Err(LossCause::Silent { .. })));
        let mut liveness = Liveness::new(tick, 4, tick, tick * 3, start);
        assert!(liveness.handle_timeout(start + tick, &at(late)).is_err(), "nobody looks from the future");
    }

    #[test]
    fn a_peer_that_is_silent_misses_one_tick_after_the_other_until_it_counts_as_gone() {
        let (start, tick) = (Instant::now(), Duration::from_secs(4));
        let mut liveness = Liveness::new(tick, 2, tick, tick * 3, start).hearing(4);
        let missed = |liveness: &Liveness, ms| liveness.ticks_missed(start + Duration::from_millis(ms));
        assert_eq!([0, 999, 1000, 3999].map(|ms| missed(&liveness, ms)), [0, 0, 1, 3]);
        let gone = start + tick;
        assert_eq!(liveness.ticks_missed(gone), 4);
        assert!(liveness.handle_timeout(gone, &IoState::default()).is_err());
        liveness.received(gone);
        assert_eq!(liveness.ticks_missed(gone), 0);
    }

    #[test]
    fn no_tick_is_so_short_that_a_busy_moment_counts_as_standing_still() {
        let (start, tick) = (Instant::now(), Duration::from_millis(10));
        let liveness = Liveness::new(tick, 4, tick, tick * 3, start);
        assert_eq!(liveness.suspended(start + TICK_MIN - Duration::from_millis(1)), None);
        assert!(liveness.suspended(start + TICK_MIN).is_some());
    }
}
