//! Numbers, times and events as people read them.

use std::time::Duration;

use farcall::inspect::{EventView, NodeView, Times};

use crate::table::Table;

/// A whole number with its thousands apart; a large one in short.
pub(crate) fn count(number: u64) -> String {
    match number {
        0..10_000 => number.to_string(),
        _ => scaled(number, 1000, ["k", "M", "G", "T"]),
    }
}

/// Bytes, in short.
pub(crate) fn bytes(number: u64) -> String {
    match number {
        0..1024 => number.to_string(),
        _ => scaled(number, 1024, ["K", "M", "G", "T"]),
    }
}

#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
fn scaled(number: u64, step: u64, units: [&str; 4]) -> String {
    let (mut value, step) = (number as f64, step as f64);
    let mut unit = "";
    for larger in units {
        if value < step {
            break;
        }
        (value, unit) = (value / step, larger);
    }
    if value < 10.0 { format!("{value:.1}{unit}") } else { format!("{value:.0}{unit}") }
}

/// A rate per second.
pub(crate) fn rate(per_second: f64) -> String {
    match per_second {
        zero if zero < 0.05 => "0".to_owned(),
        small if small < 10.0 => format!("{small:.1}"),
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is not negative, and saturates"
        )]
        large => count(large.round() as u64),
    }
}

/// A short time, in microseconds.
pub(crate) fn time(us: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let value = us as f64;
    match us {
        0..1000 => format!("{us}µs"),
        1000..10_000 => format!("{:.1}ms", value / 1e3),
        10_000..1_000_000 => format!("{:.0}ms", value / 1e3),
        1_000_000..10_000_000 => format!("{:.1}s", value / 1e6),
        _ => format!("{:.0}s", value / 1e6),
    }
}

/// A long time, in microseconds.
pub(crate) fn age(us: u64) -> String {
    let seconds = us / 1_000_000;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// p50 and p99.
pub(crate) fn times(times: &Times) -> [String; 2] {
    let us = |took: Duration| u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    [0.5, 0.99].map(|part| times.quantile(part).map_or_else(|| "-".to_owned(), |took| time(us(took))))
}

/// What happened, with how long ago.
pub(crate) fn events<'a>(view: &NodeView, events: impl Iterator<Item = &'a EventView>) -> Table<5> {
    let mut table = Table::new([">AGO", "LEVEL", "REASON", "PEER", "WHAT"]);
    for event in events {
        table.row([
            age(view.at_us.saturating_sub(event.at_us)),
            event.level.to_lowercase(),
            event.reason.clone(),
            if event.peer.is_empty() { "-".to_owned() } else { event.peer.clone() },
            event.text.clone(),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_whole_where_they_can_be() {
        assert_eq!(
            [0, 9999, 10_000, 1_250_000, u64::MAX].map(count),
            ["0", "9999", "10k", "1.2M", "18446744T"]
        );
        assert_eq!([1023, 1024, 300_000, 5 << 30].map(bytes), ["1023", "1.0K", "293K", "5.0G"]);
        assert_eq!([0.0, 0.04, 1.26, 12_345.6].map(rate), ["0", "0", "1.3", "12k"]);
    }

    #[test]
    fn times_have_the_unit_in_which_they_are_short() {
        assert_eq!(
            [7, 1500, 42_000, 2_500_000, 75_000_000].map(time),
            ["7µs", "1.5ms", "42ms", "2.5s", "75s"]
        );
        assert_eq!([59, 61, 3700, 100_000].map(|s| age(s * 1_000_000)), ["59s", "1m01s", "1h01m", "1d03h"]);
    }
}
