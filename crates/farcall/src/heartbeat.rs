//! Heartbeats that do not wait for a busy arbiter, and the knowledge whether this process stood still.
//!
//! A pump sends its own ticks as long as its arbiter runs. A handler that computes for half a minute would keep it
//! from doing so, and every peer would take this node for dead. So a thread of its own, one per node, looks after the
//! sockets: where a tick is overdue and no frame is half-written, it writes one itself.
//!
//! The same thread tells a busy arbiter from a suspended process: it runs on while the one is busy, and stands still with
//! the other. Only after a real suspension are connections given up without delivering what waited in them.

use std::io;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use farcall_proto::link::frame::write_ping;
use parking_lot::Mutex;

/// The thread that looks after all connections of one node.
#[derive(Debug)]
pub(crate) struct Heart {
    tick: Duration,
    tick_every: Duration,
    pulses: Mutex<Vec<Weak<Pulse>>>,
    beat: Mutex<Beat>,
}

#[derive(Debug)]
struct Beat {
    last: Instant,
    /// The last time the thread itself came much too late: when it ended, and how long it was.
    gap: Option<(Instant, Duration)>,
}

/// The thread looks this many times per tick interval.
const LOOKS_PER_TICK: u32 = 4;
const LOOK_MIN: Duration = Duration::from_millis(10);

impl Heart {
    /// Starts the thread; it ends soon after the last reference to the heart is gone.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub(crate) fn start(tick: Duration, intensity: u32) -> io::Result<Arc<Self>> {
        let tick_every = tick / intensity.max(1);
        let beat = Mutex::new(Beat { last: Instant::now(), gap: None });
        let heart = Arc::new(Self { tick, tick_every, pulses: Mutex::default(), beat });
        let weak = Arc::downgrade(&heart);
        let pause = (tick_every / LOOKS_PER_TICK).max(LOOK_MIN);
        std::thread::Builder::new().name("farcall-heart".to_owned()).spawn(move || {
            loop {
                std::thread::sleep(pause);
                match weak.upgrade() {
                    Some(heart) => heart.beat(Instant::now()),
                    None => return,
                }
            }
        })?;
        Ok(heart)
    }

    /// Looks after a connection until the result is dropped.
    pub(crate) fn follow(self: &Arc<Self>, connection: Weak<dyn Beats>) -> Arc<Pulse> {
        let wire = Wire { busy: false, last_out: Instant::now(), rest: Vec::new() };
        let pulse = Arc::new(Pulse { heart: self.clone(), connection, wire: Mutex::new(wire) });
        self.pulses.lock().push(Arc::downgrade(&pulse));
        pulse
    }

    fn beat(&self, now: Instant) {
        {
            let mut beat = self.beat.lock();
            let slept = now.saturating_duration_since(beat.last);
            beat.last = now;
            if slept > self.tick_every {
                beat.gap = Some((now, slept));
            }
        }
        let mut living = Vec::new();
        self.pulses.lock().retain(|pulse| {
            living.extend(pulse.upgrade());
            pulse.strong_count() > 0
        });
        for pulse in living {
            pulse.tick_if_overdue(now, self.tick_every);
        }
    }

    /// Whether this process stood still for most of its tick at some time after `since`. How long it was busy before
    /// does not matter: its ticks went out all the time.
    fn stood_still(&self, since: Instant, now: Instant) -> bool {
        let longest = self.tick / 2;
        let beat = self.beat.lock();
        now.saturating_duration_since(beat.last) > longest
            || beat.gap.is_some_and(|(ended, length)| ended >= since && length > longest)
    }
}

/// What a tick can be written into while its pump is kept from running.
pub(crate) trait Beats: std::fmt::Debug + Send + Sync {
    /// Writes a tick without waiting; gives what of it has to go before everything else, if only a part was taken.
    fn try_beat(&self, tick: &[u8]) -> Vec<u8>;
}

/// One connection, as the heart sees it.
#[derive(Debug)]
pub(crate) struct Pulse {
    heart: Arc<Heart>,
    connection: Weak<dyn Beats>,
    wire: Mutex<Wire>,
}

#[derive(Debug)]
struct Wire {
    /// The pump is writing: a frame may be half-way.
    busy: bool,
    last_out: Instant,
    /// What the socket did not take of a tick.
    rest: Vec<u8>,
}

impl Pulse {
    /// The pump begins to write; gives what has to go first.
    pub(crate) fn begin(&self) -> Vec<u8> {
        let mut wire = self.wire.lock();
        wire.busy = true;
        std::mem::take(&mut wire.rest)
    }

    /// The pump has written everything.
    pub(crate) fn end(&self, now: Instant) {
        let mut wire = self.wire.lock();
        wire.busy = false;
        wire.last_out = now;
    }

    fn tick_if_overdue(&self, now: Instant, tick_every: Duration) {
        let mut wire = self.wire.lock();
        // The pump has its own turn first; it is late by a quarter.
        let overdue = now.saturating_duration_since(wire.last_out) > tick_every + tick_every / 4;
        if wire.busy || !wire.rest.is_empty() || !overdue {
            return;
        }
        wire.last_out = now;
        let mut tick = Vec::new();
        write_ping(0, &mut tick);
        // The socket does not block. What goes wrong with it, the pump finds out by itself.
        if let Some(connection) = self.connection.upgrade() {
            wire.rest = connection.try_beat(&tick);
        }
    }

    /// Whether this process stood still for most of its tick at some time after `since`.
    pub(crate) fn stood_still(&self, since: Instant, now: Instant) -> bool {
        self.heart.stood_still(since, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use tokio::io::AsyncWrite;
    use tokio::net::TcpStream;

    use crate::socket::SharedStream;

    #[actix::test]
    async fn a_tick_that_is_overdue_is_sent_while_the_arbiter_is_busy_and_never_into_a_half_written_frame() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let mut stream = SharedStream::new(stream);
        // Whether a socket takes bytes is known once its reactor has looked.
        std::future::poll_fn(|cx| std::pin::Pin::new(&mut stream).poll_write(cx, &[])).await.unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        peer.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let heart = Heart::start(Duration::from_millis(200), 4).unwrap();
        let pulse = heart.follow(stream.beats());
        // This thread is the arbiter, and blocks in `read`.
        let mut tick = [0; 16];
        peer.read_exact(&mut tick).unwrap();
        let mut expected = Vec::new();
        write_ping(0, &mut expected);
        assert_eq!(tick[..], expected);
        pulse.begin();
        peer.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        let mut rest = Vec::new();
        let _ = peer.read_to_end(&mut rest);
        assert!(rest.len() <= 16, "at most the tick that was under way: {rest:?}");
    }

    #[test]
    fn a_busy_arbiter_is_told_from_a_process_that_stood_still() {
        let start = Instant::now();
        let ms = |ms| Duration::from_millis(ms);
        let beat = Mutex::new(Beat { last: start, gap: None });
        let heart = Heart { tick: ms(800), tick_every: ms(100), pulses: Mutex::default(), beat };
        heart.beat(start + ms(50));
        assert!(!heart.stood_still(start, start + ms(60)), "the thread ran on");
        assert!(heart.stood_still(start, start + ms(500)), "the thread did not run either");
        heart.beat(start + ms(700));
        assert!(heart.stood_still(start + ms(100), start + ms(710)), "it ran again, and knows of its gap");
        assert!(!heart.stood_still(start + ms(705), start + ms(710)), "the gap was before");
    }
}
