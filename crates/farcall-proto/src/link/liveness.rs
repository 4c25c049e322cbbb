//! Is the peer still there? Ticks out when nothing else goes out, silence in means gone.
//!
//! Each side announces its own tick in the handshake, so the two need not be configured alike. Any byte counts
//! as life. A tick every `tick / intensity`; a peer silent for its whole `tick` is gone, so a silent one is found
//! between `tick - tick / intensity` and `tick + tick / intensity` (Erlang's net_ticktime rule).

use std::time::{Duration, Instant};

use super::LossCause;

/// The clockwork of one connection, without a clock.
#[derive(Debug)]
pub struct Liveness {
    tick_every: Duration,
    silence_max: Duration,
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
}

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
        Self { tick_every, silence_max, write_stall_max, last_in: now, last_out: now }
    }

    /// The peer's tick, known after the handshake.
    pub fn peer_tick(&mut self, tick: Duration, now: Instant) {
        self.silence_max = tick;
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
        let mut next = self.last_out + self.tick_every;
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
        if now.saturating_duration_since(self.last_in) >= self.silence_max {
            return Err(LossCause::Silent { for_ms: self.silence_max.as_millis() });
        }
        let stalled = io.stalled_since.is_some_and(|since| now >= since + self.write_stall_max);
        if stalled {
            return Err(LossCause::WriteStall { for_ms: self.write_stall_max.as_millis() });
        }
        let due = now.saturating_duration_since(self.last_out) >= self.tick_every;
        if due {
            // Asked for once per interval, also while the socket takes nothing.
            self.last_out = now;
        }
        Ok(due)
    }

    /// How long this side may itself have slept before what it finds in its socket counts as stale.
    pub fn pause_max(&self) -> Duration {
        self.tick_every * 4
    }
}
