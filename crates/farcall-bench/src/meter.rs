//! The client's stopwatch: warm-up, a window in which everything counts, and the end.
//!
//! A client runs its traffic for ever and [`Meter::phases`] beside it; when that resolves, the client is over.
//! Single-threaded on purpose: the counters are plain cells and cost nothing that would show in a rate.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use anyhow::Result;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::child::{Note, tell};
use crate::usage::{Span, SpanStart, Usage};

/// How long a client runs.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Before anything counts.
    pub warmup: Duration,
    /// While everything counts.
    pub window: Duration,
}

/// What a client has seen in its window.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ClientSample {
    /// Calls answered, the large ones of a mixed workload not among them.
    pub calls: u64,
    /// Large calls answered beside small ones.
    pub bulk_calls: u64,
    /// The latency of `calls`, unless nothing was sampled.
    pub latency: Option<Latency>,
    /// The window and its cost.
    pub span: Span,
    /// The resident set before most connections were opened.
    pub base_rss_kib: i64,
}

/// Percentiles of a call's time.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Latency {
    /// How many calls were timed.
    pub sampled: u64,
    /// The median.
    pub p50_us: f64,
    /// 99 of 100 calls were no slower.
    pub p99_us: f64,
    /// 999 of 1,000 calls were no slower.
    pub p999_us: f64,
    /// The slowest.
    pub max_us: f64,
}

/// Counts answers and times some of them.
pub struct Meter {
    plan: Plan,
    sample_every: u32,
    until_sample: Cell<u32>,
    calls: Cell<u64>,
    bulk_calls: Cell<u64>,
    nanos: RefCell<Histogram<u64>>,
    base_rss_kib: Cell<i64>,
}

impl Meter {
    /// Times one call in `sample_every`.
    pub fn new(plan: Plan, sample_every: u32) -> Result<Self> {
        Ok(Self {
            plan,
            sample_every: sample_every.max(1),
            until_sample: Cell::new(0),
            calls: Cell::new(0),
            bulk_calls: Cell::new(0),
            nanos: RefCell::new(Histogram::new_with_bounds(1, 100_000_000_000, 3)?),
            base_rss_kib: Cell::new(0),
        })
    }

    /// How long the client runs.
    pub fn plan(&self) -> Plan {
        self.plan
    }

    /// A call begins; hand the result to [`Meter::finish`] when it is answered.
    pub fn begin(&self) -> Option<Instant> {
        match self.until_sample.get() {
            0 => {
                self.until_sample.set(self.sample_every - 1);
                Some(Instant::now())
            }
            left => {
                self.until_sample.set(left - 1);
                None
            }
        }
    }

    /// A call was answered.
    pub fn finish(&self, begun: Option<Instant>) {
        self.calls.set(self.calls.get() + 1);
        if let Some(begun) = begun {
            let nanos = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
            self.nanos.borrow_mut().saturating_record(nanos);
        }
    }

    /// A large call of a mixed workload was answered.
    pub fn finish_bulk(&self) {
        self.bulk_calls.set(self.bulk_calls.get() + 1);
    }

    /// One connection is up, and more are about to be opened.
    pub fn base(&self) -> Result<()> {
        self.base_rss_kib.set(Usage::now()?.rss_kib);
        tell(&Note::Base)
    }

    /// Resolves when the window is over. The parent is told at both ends, so that it asks the server then.
    pub async fn phases(&self) -> Result<ClientSample> {
        tokio::time::sleep(self.plan.warmup).await;
        tell(&Note::Open)?;
        self.calls.set(0);
        self.bulk_calls.set(0);
        self.nanos.borrow_mut().reset();
        let start = SpanStart::now()?;
        tokio::time::sleep(self.plan.window).await;
        let span = start.end()?;
        let sample = ClientSample {
            calls: self.calls.get(),
            bulk_calls: self.bulk_calls.get(),
            latency: latency(&self.nanos.borrow()),
            span,
            base_rss_kib: self.base_rss_kib.get(),
        };
        tell(&Note::Close)?;
        Ok(sample)
    }
}

fn latency(nanos: &Histogram<u64>) -> Option<Latency> {
    let micros = |quantile| nanos.value_at_quantile(quantile) as f64 / 1e3;
    (!nanos.is_empty()).then(|| Latency {
        sampled: nanos.len(),
        p50_us: micros(0.5),
        p99_us: micros(0.99),
        p999_us: micros(0.999),
        max_us: micros(1.0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meter(sample_every: u32) -> Meter {
        Meter::new(Plan { warmup: Duration::ZERO, window: Duration::ZERO }, sample_every).unwrap()
    }

    #[test]
    fn one_call_in_sixteen_is_timed_and_all_are_counted() {
        let meter = meter(16);
        for _ in 0..64 {
            meter.finish(meter.begin());
        }
        assert_eq!(meter.calls.get(), 64);
        assert_eq!(latency(&meter.nanos.borrow()).unwrap().sampled, 4);
    }

    #[test]
    fn a_window_without_calls_has_no_latency() {
        assert!(latency(&meter(1).nanos.borrow()).is_none());
    }

    #[test]
    fn percentiles_are_within_a_thousandth() {
        let meter = meter(1);
        (1..=1000u64).for_each(|micros| meter.nanos.borrow_mut().saturating_record(micros * 1000));
        let latency = latency(&meter.nanos.borrow()).unwrap();
        assert!((latency.p50_us / 500.0 - 1.0).abs() < 1e-3, "{latency:?}");
        assert!((latency.p99_us / 990.0 - 1.0).abs() < 1e-3, "{latency:?}");
    }
}
