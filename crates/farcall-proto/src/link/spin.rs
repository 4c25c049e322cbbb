//! Whether to look again for a moment before going to sleep.
//!
//! Waking a core that sleeps can cost more than a whole call: about 20 µs on the virtual machines where this was
//! measured. A connection that has nothing to do may therefore keep looking for a while, if that paid off lately. Where
//! both ends share a core it cannot: what comes in while this one is preempted looks like a find, and only what comes
//! too late tells. So it is for machines with a core to spare.

use std::time::{Duration, Instant};

/// Decides for one connection.
#[derive(Debug)]
pub struct Spin {
    /// How long one episode lasts at most; zero: there are none.
    longest: Duration,
    until: Option<Instant>,
    score: u32,
    /// Idle times without an episode, until the next one is tried.
    pause: u32,
    next_pause: u32,
}

/// What is good for an episode that found something, and the most of it there is.
const HIT: u32 = 1;
const SCORE_MAX: u32 = 16;
/// What an episode in vain takes away.
const MISS: u32 = 4;
/// With no score left one idle time in so many is tried, fewer each time that is in vain.
const PAUSE_MIN: u32 = 16;
const PAUSE_MAX: u32 = 1024;

impl Spin {
    /// Looks again for at most this long; zero: never.
    pub fn new(longest: Duration) -> Self {
        Self { longest, until: None, score: SCORE_MAX, pause: 0, next_pause: PAUSE_MIN }
    }

    /// Something was there to do. It was worth looking for only if it came within the time.
    pub fn busy(&mut self, now: Instant) {
        let Some(until) = self.until.take() else { return };
        if now >= until {
            self.missed();
        } else {
            self.score = (self.score + HIT).min(SCORE_MAX);
            self.next_pause = PAUSE_MIN;
        }
    }

    fn missed(&mut self) {
        self.score = self.score.saturating_sub(MISS);
        if self.score == 0 {
            self.pause = self.next_pause;
            self.next_pause = (self.next_pause * 2).min(PAUSE_MAX);
        }
    }

    /// Nothing is there to do: whether to look again at once instead of sleeping.
    pub fn idle(&mut self, now: Instant) -> bool {
        if self.longest.is_zero() {
            return false;
        }
        match self.until {
            Some(until) if now < until => true,
            Some(_) => {
                self.until = None;
                self.missed();
                false
            }
            None if self.score == 0 && self.pause > 0 => {
                self.pause -= 1;
                false
            }
            None => {
                self.until = Some(now + self.longest);
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Duration = Duration::from_micros(50);

    /// One idle time that ends after so long, or is slept through; how long it looked.
    fn idle_time(spin: &mut Spin, now: &mut Instant, ends_after: Duration) -> Duration {
        let start = *now;
        while spin.idle(*now) {
            if *now - start >= ends_after {
                spin.busy(*now);
                return *now - start;
            }
            *now += Duration::from_micros(1);
        }
        let looked = *now - start;
        *now += ends_after.saturating_sub(looked);
        spin.busy(*now);
        looked
    }

    #[test]
    fn a_connection_whose_answers_come_soon_looks_until_they_are_there() {
        let (mut spin, mut now) = (Spin::new(LONGEST), Instant::now());
        for _ in 0..100 {
            assert_eq!(idle_time(&mut spin, &mut now, Duration::from_micros(20)), Duration::from_micros(20));
        }
    }

    #[test]
    fn a_connection_whose_looking_is_in_vain_spends_less_than_a_thousandth_of_its_time_on_it() {
        let (mut spin, mut now) = (Spin::new(LONGEST), Instant::now());
        let begun = now;
        let looked: Duration =
            (0..100_000).map(|_| idle_time(&mut spin, &mut now, Duration::from_micros(100))).sum();
        assert!(looked < (now - begun) / 1000, "{looked:?} of {:?}", now - begun);
    }

    #[test]
    fn a_connection_that_gets_quick_again_is_found_out() {
        let (mut spin, mut now) = (Spin::new(LONGEST), Instant::now());
        (0..10_000).for_each(|_| {
            idle_time(&mut spin, &mut now, Duration::from_micros(100));
        });
        let quick = Duration::from_micros(10);
        let looked = (0..10_000).filter(|_| idle_time(&mut spin, &mut now, quick) == quick).count();
        assert!(looked > 8_500, "{looked}");
    }

    #[test]
    fn what_comes_while_this_side_is_preempted_for_long_was_not_worth_looking_for() {
        let (mut spin, mut now) = (Spin::new(LONGEST), Instant::now());
        let looks = (0..1000).filter(|_| {
            let looks = spin.idle(now);
            now += 2 * LONGEST;
            spin.busy(now);
            looks
        });
        assert!(looks.count() < 20);
    }

    #[test]
    fn one_that_is_off_sleeps_at_once() {
        assert!(!Spin::new(Duration::ZERO).idle(Instant::now()));
    }
}
