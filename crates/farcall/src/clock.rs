//! The time, nearly: what the kernel noted at its last tick costs a tenth of asking the hardware, and is enough to tell
//! deadlines that are far from those that are near.

use std::time::{Duration, Instant};

/// [`lately`] is behind by no more than this: one tick of the kernel, of which there are at least 100 in a second.
/// A virtual machine may be kept from ticking, and then it is behind by that, too.
pub(crate) const BEHIND_MAX: Duration = Duration::from_millis(10);

/// What is so far from [`lately`] is still to come, also on a machine that did not tick for a while.
pub(crate) const FAR: Duration = Duration::from_millis(200);

/// A time that is not later than now, and behind it by [`BEHIND_MAX`] at most while the kernel ticks (2 to 4 ns instead
/// of 25).
#[cfg(target_os = "linux")]
pub(crate) fn lately() -> Instant {
    use std::sync::OnceLock;

    use nix::time::{ClockId, clock_gettime};

    /// One instant on both clocks, which run alike.
    static ORIGIN: OnceLock<Option<(Instant, Duration)>> = OnceLock::new();

    let origin = ORIGIN.get_or_init(|| {
        // In this order the second is not earlier than the first, and so nothing is ever later than now.
        let exact = Instant::now();
        clock_gettime(ClockId::CLOCK_MONOTONIC).ok().map(|time| (exact, time.into()))
    });
    let ticked = clock_gettime(ClockId::CLOCK_MONOTONIC_COARSE).ok().map(Duration::from);
    match (origin, ticked) {
        // The last tick may have been before the origin.
        (Some((exact, origin)), Some(ticked)) => match ticked.checked_sub(*origin) {
            Some(since) => *exact + since,
            None => exact.checked_sub(*origin - ticked).unwrap_or(*exact),
        },
        _ => Instant::now(),
    }
}

/// The time itself, where there is no other.
#[cfg(not(target_os = "linux"))]
pub(crate) fn lately() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_lately_is_never_later_than_now_and_does_not_stay_behind() {
        for _ in 0..3 {
            let begun = Instant::now();
            loop {
                let lately = lately();
                let now = Instant::now();
                assert!(lately <= now);
                if lately > begun {
                    break;
                }
                assert!(now - begun < Duration::from_secs(10), "{:?} behind", now - lately);
            }
        }
    }
}
