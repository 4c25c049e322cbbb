//! Points in time, to the second: from when and until when something is valid, and how long that is.

use std::fmt;

use serde::{Serialize, Serializer};
use time::{Duration, OffsetDateTime};

/// A point in time, in UTC, without fractions of a second: certificates have none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Date(OffsetDateTime);

impl Date {
    pub(crate) fn now() -> Self {
        let now = OffsetDateTime::now_utc();
        Self(now - Duration::nanoseconds(i64::from(now.nanosecond())))
    }

    pub(crate) fn time(self) -> OffsetDateTime {
        self.0
    }

    pub(crate) fn plus_days(self, days: u32) -> Self {
        Self(self.0.saturating_add(Duration::days(i64::from(days))))
    }

    pub(crate) fn minus_minutes(self, minutes: u32) -> Self {
        Self(self.0.saturating_sub(Duration::minutes(i64::from(minutes))))
    }

    /// Whole days from `other` to this, negative if it is the earlier one.
    pub(crate) fn days_since(self, other: Self) -> i64 {
        (self.0 - other.0).whole_days()
    }
}

impl From<x509_parser::time::ASN1Time> for Date {
    fn from(time: x509_parser::time::ASN1Time) -> Self {
        Self(time.to_datetime())
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(at) = self;
        let (year, month, day) = (at.year(), u8::from(at.month()), at.day());
        write!(f, "{year:04}-{month:02}-{day:02} {:02}:{:02} UTC", at.hour(), at.minute())
    }
}

impl Serialize for Date {
    /// As RFC 3339 has it.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(at) = self;
        let (year, month, day) = (at.year(), u8::from(at.month()), at.day());
        let (hour, minute, second) = at.to_hms();
        serializer
            .collect_str(&format_args!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"))
    }
}

/// From when and until when a certificate is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Validity {
    pub(crate) from: Date,
    pub(crate) until: Date,
}

/// Where a point in time stands to a validity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Standing {
    NotYetValid,
    Valid,
    Expired,
}

impl Validity {
    pub(crate) fn standing(&self, now: Date) -> Standing {
        match () {
            () if now < self.from => Standing::NotYetValid,
            () if now > self.until => Standing::Expired,
            () => Standing::Valid,
        }
    }

    /// Whether it ends within [`WARNING_DAYS`].
    pub(crate) fn ends_soon(&self, now: Date) -> bool {
        self.until < now.plus_days(WARNING_DAYS)
    }

    /// The standing in words: `expires in 364 days`.
    pub(crate) fn describe(&self, now: Date) -> String {
        match self.standing(now) {
            Standing::NotYetValid => format!("NOT YET VALID, only in {}", span(now, self.from)),
            Standing::Valid => format!("expires in {}", span(now, self.until)),
            Standing::Expired => format!("EXPIRED {} ago", span(self.until, now)),
        }
    }

    /// The point of it that is nearest to now.
    pub(crate) fn nearest(&self, now: Date) -> Date {
        now.min(self.until).max(self.from)
    }
}

/// When to look for a new certificate: what ends sooner is worth a warning.
pub(crate) const WARNING_DAYS: u32 = 30;

/// A length of time as a person says it.
fn span(from: Date, to: Date) -> String {
    let seconds = (to.0 - from.0).whole_seconds();
    let (count, unit) = match seconds {
        ..3600 => (seconds / 60, "minute"),
        3600..172_800 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Date {
        Date(OffsetDateTime::from_unix_timestamp(seconds).unwrap())
    }

    #[test]
    fn dates_are_written_in_utc() {
        assert_eq!(at(1_785_542_399).to_string(), "2026-07-31 23:59 UTC");
        assert_eq!(serde_json::to_string(&at(1_785_542_399)).unwrap(), "\"2026-07-31T23:59:59Z\"");
    }

    #[test]
    fn a_standing_is_told_in_the_unit_that_fits() {
        const DAY: i64 = 86_400;
        let validity = Validity { from: at(0), until: at(100 * DAY) };
        for (now, standing, words) in [
            (-90, Standing::NotYetValid, "NOT YET VALID, only in 1 minute"),
            (0, Standing::Valid, "expires in 100 days"),
            (98 * DAY + 1, Standing::Valid, "expires in 47 hours"),
            (100 * DAY, Standing::Valid, "expires in 0 minutes"),
            (103 * DAY, Standing::Expired, "EXPIRED 3 days ago"),
        ] {
            assert_eq!(validity.standing(at(now)), standing, "{now}");
            assert_eq!(validity.describe(at(now)), words);
        }
        assert!(validity.ends_soon(at(71 * DAY)) && !validity.ends_soon(at(69 * DAY)));
        assert_eq!((validity.nearest(at(-5)), validity.nearest(at(7))), (at(0), at(7)));
        assert_eq!(validity.nearest(at(200 * DAY)), at(100 * DAY));
    }
}
