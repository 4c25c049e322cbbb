//! Log lines a peer cannot use as a weapon: at most one a second for each reason, and no text of its making.
//!
//! Whatever an unauthenticated peer can cause goes through [`limited!`]. The line that follows a quiet time says
//! how many were left out, so nothing is lost but repetition.

use std::time::{Duration, Instant};

use log::Level;
use parking_lot::Mutex;

use crate::recent::Recent;

/// What is at least so grave is kept among the recent events, whether somebody reads the log or not.
pub(crate) const KEPT: Level = Level::Warn;

/// Lets one line a second through for each reason, and counts the others.
///
/// The table has a fixed number of places. Reasons are texts of our own, so it should never be full; if it is,
/// reasons without a place share one.
#[derive(Debug, Default)]
pub(crate) struct RateLimit {
    places: Mutex<Vec<Place>>,
    /// What was let through, and what else is worth to be known later.
    pub(crate) recent: Recent,
}

#[derive(Debug)]
struct Place {
    reason: &'static str,
    last: Instant,
    suppressed: u64,
}

impl RateLimit {
    /// Keeps a line that was let through among the recent events.
    pub(crate) fn keep(
        &self,
        level: Level,
        reason: &'static str,
        values: &[(&str, &dyn std::fmt::Display)],
        text: std::fmt::Arguments<'_>,
    ) {
        let about = |key| values.iter().find(|(name, _)| *name == key).map(|(_, value)| *value);
        let peer = about("peer").or_else(|| about("from")).unwrap_or(&"");
        self.recent.note(level, reason, peer, text);
    }

    /// Between two lines of one reason.
    pub(crate) const PAUSE: Duration = Duration::from_secs(1);
    /// Reasons told apart.
    pub(crate) const PLACES_MAX: usize = 64;
    /// What reasons beyond that share.
    const SHARED: &'static str = "other";

    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// How many lines of this reason were left out since the last one, if one may be written now.
    pub(crate) fn admit(&self, now: Instant, reason: &'static str) -> Option<u64> {
        let mut places = self.places.lock();
        let full = places.len() >= Self::PLACES_MAX - 1;
        let reason = match full && !places.iter().any(|place| place.reason == reason) {
            true => Self::SHARED,
            false => reason,
        };
        match places.iter_mut().find(|place| place.reason == reason) {
            None => {
                places.push(Place { reason, last: now, suppressed: 0 });
                Some(0)
            }
            Some(place) if now.saturating_duration_since(place.last) >= Self::PAUSE => {
                place.last = now;
                Some(std::mem::take(&mut place.suppressed))
            }
            Some(place) => {
                place.suppressed = place.suppressed.saturating_add(1);
                None
            }
        }
    }
}

/// Text of a peer's making, as it may stand in a log line: escaped, and not much of it.
pub(crate) struct Foreign<T>(pub(crate) T);

/// So much of a peer's text is shown.
const FOREIGN_CHARS_MAX: usize = 200;

impl<T: std::fmt::Display> std::fmt::Display for Foreign<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        use std::fmt::Write;
        let text = self.0.to_string();
        // Quotes steer nothing, and are read better as they are.
        let quote = |letter: &char| matches!(letter, '\'' | '"');
        let shown = text.chars().flat_map(|letter| {
            let plain = Some(letter).filter(quote);
            plain.into_iter().chain(letter.escape_debug().filter(move |_| plain.is_none()))
        });
        shown.take(FOREIGN_CHARS_MAX).try_for_each(|char| f.write_char(char))?;
        if text.chars().count() > FOREIGN_CHARS_MAX { f.write_str("…") } else { Ok(()) }
    }
}

/// Writes a log line with a `reason` if its [`RateLimit`] lets it through, and keeps it among the recent events.
///
/// ```text
/// limited!(limits, now, "bad proof", Level::Warn, peer:% = address; "refused a peer");
/// ```
/// Values behind the level are key-values as in `log`; `reason` and `suppressed` are added to them. A level below a
/// warning that nobody reads costs nothing and is not counted.
macro_rules! limited {
    ($limits:expr, $now:expr, $reason:expr, $level:expr; $($text:tt)+) => {
        $crate::logging::limited!(@ ::log::logger(), $limits, $now, $reason, $level, []; $($text)+)
    };
    (
        $limits:expr, $now:expr, $reason:expr, $level:expr,
        $($key:ident $(: $how:tt)? = $value:expr),+; $($text:tt)+
    ) => {
        $crate::logging::limited!(
            @ ::log::logger(), $limits, $now, $reason, $level, [$($key $(: $how)? = $value),+]; $($text)+
        )
    };
    // With the logger named, so that a test need not take the one of the process.
    (
        @ $logger:expr, $limits:expr, $now:expr, $reason:expr, $level:expr,
        [$($key:ident $(: $how:tt)? = $value:expr),*]; $($text:tt)+
    ) => {
        if ($level <= $crate::logging::KEPT || ::log::log_enabled!(logger: $logger, target: "farcall", $level))
            && let Some(suppressed) = $limits.admit($now, $reason)
        {
            $limits.keep(
                $level, $reason, &[$((stringify!($key), &$value)),*], format_args!($($text)+)
            );
            ::log::log!(
                logger: $logger, target: "farcall", $level,
                reason = $reason, suppressed = suppressed $(, $key $(: $how)? = $value)*; $($text)+
            );
        }
    };
}
pub(crate) use limited;

#[cfg(test)]
mod tests {
    use log::kv::{Key, Value, VisitSource};

    use super::*;

    #[test]
    fn one_line_a_second_for_each_reason_and_the_next_one_counts_what_was_left_out() {
        let (limits, start) = (RateLimit::new(), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(limits.admit(at(0), "bad proof"), Some(0));
        assert_eq!(limits.admit(at(1), "bad proof"), None);
        assert_eq!(limits.admit(at(2), "too many"), Some(0), "another reason has a limit of its own");
        assert_eq!(limits.admit(at(999), "bad proof"), None);
        assert_eq!(limits.admit(at(1000), "bad proof"), Some(2));
        assert_eq!(limits.admit(at(1001), "bad proof"), None);
        assert_eq!(limits.admit(at(9000), "bad proof"), Some(1));
        assert_eq!(limits.admit(at(20_000), "bad proof"), Some(0));
    }

    #[test]
    fn an_instant_from_another_thread_that_lies_earlier_is_no_reason_to_write() {
        let (limits, start) = (RateLimit::new(), Instant::now());
        assert_eq!(limits.admit(start + Duration::from_secs(5), "x"), Some(0));
        assert_eq!(limits.admit(start, "x"), None);
    }

    #[test]
    fn the_table_is_bounded_and_reasons_without_a_place_share_one() {
        let (limits, now) = (RateLimit::new(), Instant::now());
        let reasons: Vec<&'static str> =
            (0..1000).map(|n| &*Box::leak(format!("r{n}").into_boxed_str())).collect();
        let admitted = reasons.iter().filter(|reason| limits.admit(now, reason).is_some()).count();
        assert_eq!(admitted, RateLimit::PLACES_MAX);
        assert_eq!(limits.places.lock().len(), RateLimit::PLACES_MAX);
        let suppressed = 1000 - RateLimit::PLACES_MAX as u64;
        assert_eq!(limits.admit(now + RateLimit::PAUSE, reasons[999]), Some(suppressed));
        assert_eq!(limits.admit(now + RateLimit::PAUSE, reasons[0]), Some(0));
    }

    #[derive(Default)]
    struct Lines(Mutex<Vec<String>>);

    impl log::Log for Lines {
        fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
            metadata.level() <= log::Level::Info
        }

        fn log(&self, record: &log::Record<'_>) {
            struct Pairs(String);
            impl<'kvs> VisitSource<'kvs> for Pairs {
                fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), log::kv::Error> {
                    self.0.push_str(&format!(" {key}={value}"));
                    Ok(())
                }
            }
            let mut pairs = Pairs(format!("{} {} {}", record.target(), record.level(), record.args()));
            record.key_values().visit(&mut pairs).unwrap();
            self.0.lock().push(pairs.0);
        }

        fn flush(&self) {}
    }

    #[test]
    fn a_limited_line_carries_its_reason_and_its_values() {
        let lines = Lines::default();
        log::set_max_level(log::LevelFilter::Debug);
        let (limits, now) = (RateLimit::new(), Instant::now());
        for step in 0..3_u32 {
            limited!(@ &lines, limits, now, "bad proof", log::Level::Warn, [peer:% = step]; "step {}", step);
        }
        let later = now + RateLimit::PAUSE;
        limited!(@ &lines, limits, later, "bad proof", log::Level::Info, []; "again");
        limited!(@ &lines, limits, later, "unread", log::Level::Debug, []; "a level nobody reads");
        assert_eq!(limits.admit(now, "unread"), Some(0), "a level nobody reads is not counted");
        assert_eq!(
            *lines.0.lock(),
            [
                "farcall WARN step 0 reason=bad proof suppressed=0 peer=0",
                "farcall INFO again reason=bad proof suppressed=2",
            ]
        );
    }

    #[test]
    fn text_of_a_peer_stays_on_its_line_and_is_not_much() {
        assert_eq!(Foreign("a\nb\u{1b}[31m").to_string(), "a\\nb\\u{1b}[31m");
        assert!(Foreign("x".repeat(10_000)).to_string().len() < 250);
    }

    #[test]
    fn a_limited_line_reads_like_any_other_log_line() {
        let (limits, now, text) = (RateLimit::new(), Instant::now(), "words");
        crate::logging::limited!(limits, now, "plain", log::Level::Trace; "{text}");
        limited!(limits, now, "with values", log::Level::Trace, peer:% = text, bytes = 7; "{}", text);
    }
}
