//! What a process has cost so far, and on which core it may run.

use std::time::Instant;

use anyhow::{Context, Result, bail};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage, setrlimit};
use nix::sys::time::TimeValLike;
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::heap;

/// The resources this process has used since it started.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Usage {
    /// CPU time outside the kernel.
    pub user_us: i64,
    /// CPU time inside the kernel.
    pub system_us: i64,
    /// Context switches, voluntary and not.
    pub switches: i64,
    /// The largest resident set so far.
    pub rss_max_kib: i64,
    /// The resident set now.
    pub rss_kib: i64,
    /// How often memory was asked for, where that can be counted.
    pub allocations: Option<u64>,
}

impl Usage {
    /// Asks the kernel, for all threads of this process.
    pub fn now() -> Result<Self> {
        let usage = getrusage(UsageWho::RUSAGE_SELF).context("getrusage")?;
        Ok(Self {
            user_us: usage.user_time().num_microseconds(),
            system_us: usage.system_time().num_microseconds(),
            switches: usage.voluntary_context_switches() + usage.involuntary_context_switches(),
            rss_max_kib: usage.max_rss(),
            rss_kib: resident_kib()?,
            allocations: Some(heap::allocations()),
        })
    }

    /// What was used after `earlier`; the resident sets stay as they are now.
    pub fn since(self, earlier: Self) -> Self {
        Self {
            user_us: self.user_us - earlier.user_us,
            system_us: self.system_us - earlier.system_us,
            switches: self.switches - earlier.switches,
            rss_max_kib: self.rss_max_kib,
            rss_kib: self.rss_kib,
            allocations: self.allocations.zip(earlier.allocations).map(|(now, then)| now - then),
        }
    }

    /// User and system time together.
    pub fn cpu_s(self) -> f64 {
        (self.user_us + self.system_us) as f64 / 1e6
    }
}

fn resident_kib() -> Result<i64> {
    let statm = std::fs::read_to_string("/proc/self/statm").context("/proc/self/statm")?;
    let pages: i64 = statm.split(' ').nth(1).context("/proc/self/statm has no second field")?.parse()?;
    let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE)?.context("no page size")?;
    Ok(pages * page / 1024)
}

/// Allows this process as many open files as it may have at most.
pub fn raise_open_files() -> Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).context("cannot raise the limit of open files")
}

/// A stretch of time and what one process used in it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Span {
    /// How long it was.
    pub elapsed_s: f64,
    /// What the process used meanwhile.
    pub used: Usage,
}

/// The start of a [`Span`].
pub struct SpanStart {
    at: Instant,
    usage: Usage,
}

impl SpanStart {
    /// Starts now.
    pub fn now() -> Result<Self> {
        Ok(Self { usage: Usage::now()?, at: Instant::now() })
    }

    /// Ends now.
    pub fn end(&self) -> Result<Span> {
        let elapsed_s = self.at.elapsed().as_secs_f64();
        Ok(Span { elapsed_s, used: Usage::now()?.since(self.usage) })
    }
}

/// The cores this process may run on, in ascending order.
pub fn allowed_cores() -> Result<Vec<usize>> {
    let set = sched_getaffinity(Pid::from_raw(0)).context("sched_getaffinity")?;
    Ok((0..CpuSet::count()).filter(|core| set.is_set(*core).unwrap_or(false)).collect())
}

/// Binds the calling thread, and every thread it starts from now on, to one core.
pub fn pin(core: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(core).with_context(|| format!("core {core} is beyond what the kernel numbers"))?;
    sched_setaffinity(Pid::from_raw(0), &set).with_context(|| format!("cannot run on core {core}"))?;
    if allowed_cores()? != [core] {
        bail!("the kernel accepted core {core} but runs this thread elsewhere");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pinned_thread_may_run_on_that_core_only() {
        let core = *allowed_cores().unwrap().last().unwrap();
        std::thread::spawn(move || {
            pin(core).unwrap();
            assert_eq!(allowed_cores().unwrap(), [core]);
        })
        .join()
        .unwrap();
    }

    #[test]
    fn work_costs_cpu_time() {
        let start = SpanStart::now().unwrap();
        let mut sum = 0u64;
        while start.at.elapsed().as_millis() < 30 {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        let span = start.end().unwrap();
        assert!(span.used.cpu_s() > 0.0 && span.elapsed_s >= 0.03, "{span:?}");
    }
}
