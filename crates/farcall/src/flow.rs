//! What is known of one connection from outside: since when it is up, to where, and how much went through.

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use farcall_proto::link::Traffic;
use parking_lot::Mutex;

use crate::driver::Driver;

/// The counts of one connection.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    up: OnceLock<Up>,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    probe: Mutex<Probe>,
}

/// What pings told.
#[derive(Debug, Default)]
struct Probe {
    /// When the one began that waits for its answer.
    running: Option<Instant>,
    last: Option<Duration>,
}

/// What is known once it is up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Up {
    pub(crate) since: Instant,
    /// Where the peer is, and how it is reached; nothing for this node itself.
    pub(crate) at: Option<(SocketAddr, Driver)>,
}

impl Flow {
    /// It is up.
    pub(crate) fn begin(&self, up: Up) {
        // A connection comes up once.
        let _ = self.up.set(up);
    }

    /// Since when, and to where.
    pub(crate) fn up(&self) -> Option<Up> {
        self.up.get().copied()
    }

    /// The socket gave so many bytes.
    pub(crate) fn came(&self, bytes: usize) {
        self.bytes_in.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// The socket took so many bytes.
    pub(crate) fn went(&self, bytes: usize) {
        self.bytes_out.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Begins a ping, unless one waits for its answer.
    pub(crate) fn begin_probe(&self, now: Instant) -> bool {
        let mut probe = self.probe.lock();
        let idle = probe.running.is_none();
        probe.running.get_or_insert(now);
        idle
    }

    /// A ping has ended: with its time, if it was answered.
    pub(crate) fn end_probe(&self, took: Option<Duration>) {
        let mut probe = self.probe.lock();
        probe.running = None;
        probe.last = took.or(probe.last);
    }

    /// Whether a ping waits for its answer.
    pub(crate) fn is_probing(&self) -> bool {
        self.probe.lock().running.is_some()
    }

    /// How long the last ping took; one that waits for longer than that counts as it stands.
    pub(crate) fn rtt(&self, now: Instant) -> Option<Duration> {
        let probe = self.probe.lock();
        let running = probe.running.map(|begun| now.saturating_duration_since(begun));
        let noted = running.filter(|running| *running >= NOTED);
        noted.max(probe.last)
    }

    /// Bytes in and out.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        (self.bytes_in.load(Ordering::Relaxed), self.bytes_out.load(Ordering::Relaxed))
    }
}

/// A first ping that waits for its answer tells nothing before this.
const NOTED: Duration = Duration::from_secs(1);

/// What the link of a connection says of itself at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) in_flight: usize,
    pub(crate) unsent_bytes: usize,
    pub(crate) ticks_missed: u32,
    pub(crate) traffic: Traffic,
}
