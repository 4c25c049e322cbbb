//! How the requests of one actor went and how long they took: counted where things happen, read by whoever looks inside.
//!
//! Times are counted in a histogram of four buckets for each power of two (as HdrHistogram has it, with two bits): what
//! is read from it is at most a quarter too large. An actor that was never asked has none.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Why a request for an actor had no answer of its handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Its mailbox, or what its connection may bring, was full.
    Busy,
    /// Its deadline had passed before it began.
    Expired,
    /// Its caller gave it up before it began.
    Cancelled,
    /// Its bytes were no such message.
    Undecodable,
    /// The actor ended before it began.
    Stopped,
    /// Its handler panicked.
    Panicked,
}

impl Trouble {
    /// All of them, with the words that callers know.
    pub(crate) const ALL: [(Self, &'static str); 6] = [
        (Self::Busy, "busy"),
        (Self::Expired, "expired"),
        (Self::Cancelled, "cancelled"),
        (Self::Undecodable, "undecodable"),
        (Self::Stopped, "actor_stopped"),
        (Self::Panicked, "panicked"),
    ];
}

/// The counts of one registration.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    ran: AtomicU64,
    troubles: [AtomicU64; Trouble::ALL.len()],
    times: OnceLock<Box<Times>>,
}

/// Four buckets below 4 µs, and four for each power of two up to 2^28 µs, which is more than four minutes.
const BUCKETS: usize = 4 * 27;

#[derive(Debug)]
struct Times([AtomicU64; BUCKETS]);

impl Tally {
    /// So many requests ran, and each had been here for so long when its answer was on its way.
    pub(crate) fn ran(&self, requests: usize, took: Duration) {
        let requests = requests as u64;
        self.ran.fetch_add(requests, Ordering::Relaxed);
        let times = self.times.get_or_init(|| Box::new(Times([const { AtomicU64::new(0) }; BUCKETS])));
        if let Some(bucket) = times.0.get(bucket(took)) {
            bucket.fetch_add(requests, Ordering::Relaxed);
        }
    }

    /// One more that went wrong.
    pub(crate) fn trouble(&self, trouble: Trouble) {
        if let Some(count) = self.troubles.get(trouble as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many ran.
    pub(crate) fn handled(&self) -> u64 {
        self.ran.load(Ordering::Relaxed)
    }

    /// What went wrong, as far as anything did.
    pub(crate) fn troubles(&self) -> Vec<(&'static str, u64)> {
        let counts = self.troubles.iter().map(|count| count.load(Ordering::Relaxed));
        Trouble::ALL.into_iter().map(|(_, word)| word).zip(counts).filter(|(_, count)| *count > 0).collect()
    }

    /// How many took up to so many microseconds, and longer than those before; buckets with nothing in them are left out.
    pub(crate) fn times(&self) -> Vec<(u64, u64)> {
        let Some(times) = self.times.get() else { return Vec::new() };
        let counts = times.0.iter().enumerate();
        let counts = counts.map(|(at, count)| (upper_us(at), count.load(Ordering::Relaxed)));
        counts.filter(|(_, count)| *count > 0).collect()
    }
}

fn bucket(took: Duration) -> usize {
    let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    if us < 4 {
        return usize::try_from(us).unwrap_or(0);
    }
    let octave = us.ilog2();
    let quarter = (us >> (octave - 2)) & 3;
    let at = u64::from(octave - 1) * 4 + quarter;
    usize::try_from(at).unwrap_or(usize::MAX).min(BUCKETS - 1)
}

/// The time below which a bucket's times lie, in microseconds.
fn upper_us(bucket: usize) -> u64 {
    if bucket < 4 {
        return bucket as u64 + 1;
    }
    let (octave, quarter) = ((bucket / 4 + 1) as u64, (bucket % 4) as u64);
    (5 + quarter) << (octave - 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_lies_in_its_bucket_which_is_at_most_a_quarter_wide() {
        let mut us = 0;
        while us < 1 << 27 {
            let at = bucket(Duration::from_micros(us));
            let lower = if at == 0 { 0 } else { upper_us(at - 1) };
            assert!((lower..upper_us(at)).contains(&us), "{us} is not in {lower}..{}", upper_us(at));
            assert!(us < 4 || upper_us(at) - lower <= us / 4 + 1, "{us}");
            us += us / 97 + 1;
        }
        assert_eq!(bucket(Duration::MAX), BUCKETS - 1);
    }

    #[test]
    fn what_ran_and_what_went_wrong_is_counted_and_nothing_else_is_told() {
        let tally = Tally::default();
        assert!(tally.times().is_empty() && tally.troubles().is_empty());
        tally.ran(3, Duration::from_micros(10));
        tally.ran(1, Duration::from_millis(10));
        tally.trouble(Trouble::Busy);
        tally.trouble(Trouble::Panicked);
        assert_eq!(tally.handled(), 4);
        assert_eq!(tally.times(), [(12, 3), (10_240, 1)]);
        assert_eq!(tally.troubles(), [("busy", 1), ("panicked", 1)]);
    }
}
