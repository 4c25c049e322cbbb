//! One direction of a connection in virtual time: delays, stalls, splits at any byte, and cuts off the tail.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use farcall_proto::link::liveness::IoState;

/// Bytes on their way, with the writer's and the reader's end of the socket.
pub struct Pipe {
    batch: Vec<u8>,
    written: usize,
    stalled_since: Option<Instant>,
    flying: VecDeque<(Instant, Vec<u8>)>,
    /// What the reader has not parsed yet.
    pub arrived: BytesMut,
    /// Everything that was ever written.
    pub wire: Vec<u8>,
    pub delay: Duration,
    /// The socket takes nothing.
    pub stalled: bool,
    /// The reader looks at nothing.
    pub paused: bool,
    /// How many bytes one write takes and one read gives, in turn.
    pub splits: Vec<usize>,
    turn: usize,
    /// How many bytes the socket takes until the connection breaks.
    pub takes: usize,
}

impl Default for Pipe {
    fn default() -> Self {
        Self {
            batch: Vec::new(),
            written: 0,
            stalled_since: None,
            flying: VecDeque::new(),
            arrived: BytesMut::new(),
            wire: Vec::new(),
            delay: Duration::ZERO,
            stalled: false,
            paused: false,
            splits: vec![usize::MAX],
            turn: 0,
            takes: usize::MAX,
        }
    }
}

impl Pipe {
    fn split(&mut self) -> usize {
        self.turn += 1;
        self.splits[self.turn % self.splits.len()].max(1)
    }

    /// Writes what is there; `next` gives the next batch. Whether anything moved.
    pub fn write(&mut self, now: Instant, mut next: impl FnMut(&mut Vec<u8>)) -> bool {
        let mut moved = false;
        loop {
            if self.written == self.batch.len() {
                self.written = 0;
                next(&mut self.batch);
                if self.batch.is_empty() {
                    self.stalled_since = None;
                    return moved;
                }
            }
            if self.stalled || self.takes == 0 {
                self.stalled_since.get_or_insert(now);
                return moved;
            }
            self.stalled_since = None;
            let count = self.split().min(self.batch.len() - self.written).min(self.takes);
            let bytes = self.batch[self.written..self.written + count].to_vec();
            self.takes -= count;
            self.written += count;
            self.wire.extend_from_slice(&bytes);
            self.flying.push_back((now + self.delay, bytes));
            moved = true;
        }
    }

    /// Moves what has arrived into the reader's buffer, one write's bytes. Whether there was any.
    pub fn read(&mut self, now: Instant) -> bool {
        if self.paused {
            return false;
        }
        match self.flying.pop_front_if(|(at, _)| *at <= now) {
            Some((_, bytes)) => {
                self.arrived.extend_from_slice(&bytes);
                true
            }
            None => false,
        }
    }

    /// When the next bytes arrive.
    pub fn next_arrival(&self) -> Option<Instant> {
        self.flying.front().filter(|_| !self.paused).map(|(at, _)| *at)
    }

    /// Bytes of the last batch the socket took.
    pub fn written(&self) -> usize {
        self.written
    }

    /// Bytes handed to the writer that the socket has not taken.
    pub fn in_hand(&self) -> usize {
        self.batch.len()
    }

    /// What the writer of this pipe and the reader of the other one know.
    pub fn io(&self, other: &Self) -> IoState {
        IoState {
            written: self.written,
            stalled_since: self.stalled_since,
            reading_paused: other.paused,
            looked_at: None,
        }
    }

    /// Loses everything that has not arrived, but for its first `keep` bytes.
    pub fn cut(&mut self, keep: usize) {
        let flying: Vec<u8> = self.flying.drain(..).flat_map(|(_, bytes)| bytes).collect();
        self.arrived.extend_from_slice(&flying[..keep.min(flying.len())]);
    }
}
