//! How durations and sizes are written: `5s`, `100ms`, `off`; `64KiB`, `16MiB`, or a number of bytes.
//!
//! One whole number and one unit, so that what a node prints is what a person would have typed.

use std::fmt;
use std::time::Duration;

use serde::de::{Deserializer, Error, Visitor};

const TIMES: [(&str, u64); 5] =
    [("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000), ("ms", 1000), ("us", 1)]; // in microseconds
const SIZES: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

const TIME_HELP: &str = "a whole number and a unit (us, ms, s, m, h), for example 500ms or 5s";
const SIZE_HELP: &str =
    "a number of bytes, or a whole number and a unit (B, KiB, MiB, GiB), for example 64KiB";

/// A duration as it is written in a configuration.
pub(super) fn show_duration(duration: Duration) -> String {
    let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    show(micros, &TIMES, "s")
}

/// A size as it is written in a configuration.
pub(super) fn show_bytes(bytes: u64) -> String {
    show(bytes, &SIZES, "B")
}

/// In the largest unit that leaves a whole number; `unit_of_zero` for nothing.
fn show(amount: u64, units: &[(&str, u64)], unit_of_zero: &str) -> String {
    match units.iter().find(|(_, size)| amount > 0 && amount.is_multiple_of(*size)) {
        Some((unit, size)) => format!("{}{unit}", amount / size),
        None => format!("{amount}{unit_of_zero}"),
    }
}

fn parse_duration(text: &str) -> Option<Duration> {
    parse(text, &TIMES).map(Duration::from_micros)
}

fn parse_bytes(text: &str) -> Option<usize> {
    let plain = text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
    let bytes: u64 = plain.or_else(|| parse(text, &SIZES))?;
    usize::try_from(bytes).ok()
}

fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let end = text.bytes().position(|byte| !byte.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(end)?;
    let (_, size) = units.iter().find(|(name, _)| *name == unit.trim_start_matches(' '))?;
    number.parse::<u64>().ok()?.checked_mul(*size)
}

/// For `deserialize_with`: a duration.
pub(super) fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    deserializer.deserialize_any(Written { parse: parse_duration, number: |_| None, help: TIME_HELP })
}

/// For `deserialize_with`: a duration, or `off`.
pub(super) fn duration_or_off<'de, D>(deserializer: D) -> Result<Option<Duration>, D::Error>
where
    D: Deserializer<'de>,
{
    let parse = |text: &str| or_off(text, parse_duration);
    let help = "off, or a whole number and a unit (us, ms, s, m, h), for example 500ms or 5s";
    deserializer.deserialize_any(Written { parse, number: |_| None, help })
}

/// For `deserialize_with`: a size in bytes.
pub(super) fn bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    deserializer.deserialize_any(Written { parse: parse_bytes, number: usize_of, help: SIZE_HELP })
}

/// For `deserialize_with`: a size in bytes, or `off`.
pub(super) fn bytes_or_off<'de, D>(deserializer: D) -> Result<Option<usize>, D::Error>
where
    D: Deserializer<'de>,
{
    let parse = |text: &str| or_off(text, parse_bytes);
    let help = "off, a number of bytes, or a whole number and a unit (B, KiB, MiB, GiB)";
    deserializer.deserialize_any(Written { parse, number: |number| usize_of(number).map(Some), help })
}

fn usize_of(number: i64) -> Option<usize> {
    usize::try_from(number).ok()
}

fn or_off<T>(text: &str, parse: fn(&str) -> Option<T>) -> Option<Option<T>> {
    match text {
        "off" => Some(None),
        text => parse(text).map(Some),
    }
}

/// Reads a text with `parse`, or a number with `number`.
struct Written<T> {
    parse: fn(&str) -> Option<T>,
    number: fn(i64) -> Option<T>,
    help: &'static str,
}

impl<T> Visitor<'_> for Written<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.help)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        (self.parse)(text).ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        (self.number)(number).ok_or_else(|| E::invalid_value(serde::de::Unexpected::Signed(number), &self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_back_as_they_are_written() {
        for text in ["5s", "100ms", "1m", "90s", "24h", "1us", "0s", "1500ms"] {
            assert_eq!(show_duration(parse_duration(text).unwrap()), text);
        }
        assert_eq!(parse_duration("60s"), Some(Duration::from_secs(60)));
        assert_eq!(parse_duration("5 s"), Some(Duration::from_secs(5)));
        for bad in ["", "5", "s", "-5s", "+5s", "1.5s", "5S", "5sec", "5s ", "1m30s", "18446744073709551615h"]
        {
            assert_eq!(parse_duration(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn sizes_read_back_as_they_are_written() {
        for text in ["64KiB", "16MiB", "1GiB", "1500B", "0B"] {
            assert_eq!(show_bytes(parse_bytes(text).unwrap() as u64), text);
        }
        assert_eq!(parse_bytes("65536"), Some(64 << 10));
        for bad in ["", "KiB", "-1", "+1", "64KB", "64kib", "64K", "1.5MiB", "99999999999GiB"] {
            assert_eq!(parse_bytes(bad), None, "{bad:?}");
        }
    }
}
