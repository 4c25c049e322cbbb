//! How much waits in one actor's mailbox: our own bound, because a mailbox's capacity bounds nothing.
//!
//! A full mailbox that moves slows its senders down; one that does not move at all is refused (`Busy`), so that
//! it does not hold up the other actors of a connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::Waker;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::held::HeldPlace;
use crate::tally::{Tally, Trouble};

/// The count of one registration.
#[derive(Debug)]
pub(crate) struct Backlog {
    messages: AtomicUsize,
    bytes: AtomicUsize,
    messages_max: usize,
    bytes_max: usize,
    /// When the actor last took something, in milliseconds since `start`.
    moved_ms: AtomicU64,
    start: Instant,
    waits: AtomicBool,
    waiting: Mutex<Vec<Waker>>,
    held: HeldPlace,
    tally: Tally,
}

/// Whether one more message may enter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    /// It was counted in.
    Admitted,
    /// Full, but the actor works: worth waiting for.
    Moving,
    /// Full, and nothing moved for a while.
    Stuck,
}

/// Messages that were admitted and not counted in yet.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Coming {
    pub(crate) messages: usize,
    pub(crate) payload_bytes: usize,
}

/// A message that still runs.
#[derive(Debug)]
pub(crate) struct Held {
    backlog: Arc<Backlog>,
    payload_bytes: usize,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.backlog.took(1, self.payload_bytes, Instant::now());
    }
}

/// A message whose answer comes later than its batch ends: how it went is counted when this is dropped.
#[derive(Debug)]
pub(crate) struct Timed {
    backlog: Arc<Backlog>,
    since: Instant,
    answered: bool,
}

impl Timed {
    /// Of a message that came in then.
    pub(crate) fn new(backlog: Arc<Backlog>, since: Instant) -> Self {
        Self { backlog, since, answered: false }
    }

    /// It has been run to its end.
    pub(crate) fn answered(&mut self) {
        self.answered = true;
    }
}

impl Drop for Timed {
    fn drop(&mut self) {
        let tally = self.backlog.tally();
        match self.answered {
            true => tally.ran(1, self.since.elapsed()),
            false if std::thread::panicking() => tally.trouble(Trouble::Panicked),
            false => tally.trouble(Trouble::Stopped),
        }
    }
}

/// What a message costs besides its payload.
pub(crate) const MESSAGE_COST: usize = 64;

impl Backlog {
    pub(crate) fn new(messages_max: usize, bytes_max: usize, now: Instant) -> Self {
        Self {
            messages: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            messages_max,
            bytes_max,
            moved_ms: AtomicU64::new(0),
            start: now,
            waits: AtomicBool::new(false),
            waiting: Mutex::default(),
            held: HeldPlace::default(),
            tally: Tally::default(),
        }
    }

    /// What was taken out of the mailbox and is held back while the actor waits.
    pub(crate) fn held(&self) -> &HeldPlace {
        &self.held
    }

    /// How what was in the mailbox went.
    pub(crate) fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Whether one more message may enter behind those that are about to be counted in together; an empty mailbox
    /// takes a message of any size. What several connections decide at the same moment may add up to a little more.
    pub(crate) fn admits(
        &self,
        about: &Coming,
        payload_bytes: usize,
        now: Instant,
        patience: Duration,
    ) -> Admission {
        let messages = self.messages.load(Ordering::Relaxed) + about.messages;
        let bytes = self.bytes.load(Ordering::Relaxed) + about.payload_bytes + about.messages * MESSAGE_COST;
        let cost = payload_bytes + MESSAGE_COST;
        if messages == 0 {
            self.note_moved(now);
        } else if messages >= self.messages_max || bytes + cost > self.bytes_max {
            let moved = self.start + Duration::from_millis(self.moved_ms.load(Ordering::Relaxed));
            let stuck = now.saturating_duration_since(moved) > patience;
            return if stuck { Admission::Stuck } else { Admission::Moving };
        }
        Admission::Admitted
    }

    /// Whether there is room now, for whoever counts in by [`Backlog::count_in`] what it has already taken.
    pub(crate) fn pressure(&self, now: Instant, patience: Duration) -> Admission {
        if self.bytes.load(Ordering::Relaxed) < self.bytes_max {
            return Admission::Admitted;
        }
        let moved = self.start + Duration::from_millis(self.moved_ms.load(Ordering::Relaxed));
        let stuck = now.saturating_duration_since(moved) > patience;
        if stuck { Admission::Stuck } else { Admission::Moving }
    }

    /// Counts messages in without asking.
    pub(crate) fn count_in(&self, messages: usize, payload_bytes: usize, now: Instant) {
        if self.messages.fetch_add(messages, Ordering::Relaxed) == 0 {
            self.note_moved(now);
        }
        self.bytes.fetch_add(payload_bytes + messages * MESSAGE_COST, Ordering::Relaxed);
    }

    /// The actor took (or dropped) messages of so many payload bytes together.
    pub(crate) fn took(&self, messages: usize, payload_bytes: usize, now: Instant) {
        let cost = payload_bytes + messages * MESSAGE_COST;
        self.messages.fetch_sub(messages, Ordering::Relaxed);
        self.bytes.fetch_sub(cost, Ordering::Relaxed);
        self.note_moved(now);
        if self.waits.swap(false, Ordering::AcqRel) {
            let waiting = std::mem::take(&mut *self.waiting.lock());
            waiting.into_iter().for_each(Waker::wake);
        }
    }

    /// Counts a message that left the mailbox and still runs, until the guard is dropped.
    pub(crate) fn hold(self: &Arc<Self>, payload_bytes: usize) -> Held {
        self.messages.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(payload_bytes + MESSAGE_COST, Ordering::Relaxed);
        Held { backlog: self.clone(), payload_bytes }
    }

    fn note_moved(&self, now: Instant) {
        let ms = now.saturating_duration_since(self.start).as_millis();
        self.moved_ms.store(u64::try_from(ms).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Wakes the reader of a connection when the actor took something. Spurious wakes are possible, missed ones
    /// are not harmful: the reader looks again after its patience anyway.
    pub(crate) fn wake_when_moved(&self, waker: &Waker) {
        let mut waiting = self.waiting.lock();
        // A pump asks each time it is woken for something else: it waits once.
        if !waiting.iter().any(|known| known.will_wake(waker)) {
            waiting.push(waker.clone());
        }
        drop(waiting);
        self.waits.store(true, Ordering::Release);
    }

    /// Messages in the mailbox.
    pub(crate) fn messages(&self) -> usize {
        self.messages.load(Ordering::Relaxed)
    }

    /// What they cost, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_millis(10);

    /// One message, decided and counted in at once.
    fn admit(backlog: &Backlog, payload_bytes: usize, now: Instant) -> Admission {
        let admission = backlog.admits(&Coming::default(), payload_bytes, now, PATIENCE);
        if admission == Admission::Admitted {
            backlog.count_in(1, payload_bytes, now);
        }
        admission
    }

    #[test]
    fn messages_that_are_about_to_be_counted_in_fill_the_mailbox_too() {
        let start = Instant::now();
        let backlog = Backlog::new(3, 1 << 20, start);
        let coming = |messages| Coming { messages, payload_bytes: 8 * messages };
        assert_eq!(backlog.admits(&coming(2), 8, start, PATIENCE), Admission::Admitted);
        assert_eq!(backlog.admits(&coming(3), 8, start, PATIENCE), Admission::Moving);
    }

    #[test]
    fn a_full_mailbox_that_moves_is_waited_for_and_one_that_does_not_is_refused() {
        let start = Instant::now();
        let backlog = Backlog::new(2, 1 << 20, start);
        let admit = |ms| admit(&backlog, 8, start + Duration::from_millis(ms));
        assert_eq!([admit(0), admit(0)], [Admission::Admitted; 2]);
        assert_eq!(admit(5), Admission::Moving);
        assert_eq!(admit(11), Admission::Stuck);
        backlog.took(1, 8, start + Duration::from_millis(20));
        assert_eq!(admit(21), Admission::Admitted);
        assert_eq!(admit(25), Admission::Moving);
    }

    #[test]
    fn a_connection_whose_requests_pile_up_pauses_and_is_refused_when_none_of_them_moves() {
        let start = Instant::now();
        let backlog = Backlog::new(usize::MAX, 1000, start);
        let pressure = |ms| backlog.pressure(start + Duration::from_millis(ms), PATIENCE);
        backlog.count_in(2, 800, start);
        assert_eq!(pressure(50), Admission::Admitted, "928 bytes of 1,000");
        backlog.count_in(1, 100, start + Duration::from_millis(50));
        backlog.took(1, 10, start + Duration::from_millis(55));
        assert_eq!(pressure(60), Admission::Moving);
        assert_eq!(pressure(66), Admission::Stuck);
        backlog.took(1, 400, start + Duration::from_millis(70));
        assert_eq!(pressure(90), Admission::Admitted);
    }

    #[test]
    fn an_empty_mailbox_takes_a_message_larger_than_its_bound() {
        let start = Instant::now();
        let backlog = Backlog::new(10, 1000, start);
        assert_eq!(admit(&backlog, 5000, start), Admission::Admitted);
        assert_eq!(admit(&backlog, 1, start), Admission::Moving);
    }
}
