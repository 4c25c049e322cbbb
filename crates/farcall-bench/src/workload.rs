//! What is measured: the messages, how many are outstanding, and which cores the two processes get.
//!
//! A rate with few outstanding calls means nothing without its placement: on a virtual machine, waking an idle
//! core costs more than the call itself. So every workload states where its processes run.

use anyhow::{Result, anyhow, bail};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// The bytes of a large payload; 500 KiB.
pub const BLOB_BYTES: usize = 500 * 1024;

/// The small message, sent and answered with the same values: 64 bytes when encoded.
///
/// All values are large, which is the worst case for variable-length integers: the encoding is real work.
#[farcall::message(result = Echo, name = "bench.Echo")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Echo {
    a: u64,
    b: u64,
    c: u64,
    d: u64,
    e: u64,
    f: u64,
    g: u32,
    h: u32,
}

impl Echo {
    /// The message with this number; its answer must be equal to it.
    pub fn numbered(n: u32) -> Self {
        const LARGE: u64 = 0x0123_4567_89ab_cdef;
        let a = LARGE + u64::from(n);
        Self { a, b: a + 1, c: a + 2, d: a + 3, e: a + 4, f: a + 5, g: 0x1234_5678, h: n | 0x8000_0000 }
    }
}

/// The large message, sent and answered with the same bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blob(#[serde(with = "serde_bytes")] pub Vec<u8>);

impl Blob {
    /// A payload of [`BLOB_BYTES`].
    pub fn full() -> Self {
        Self(b"farcall ".iter().copied().cycle().take(BLOB_BYTES).collect())
    }

    /// Whether this looks like the answer to `sent`; comparing all bytes would be measured, too.
    pub fn answers(&self, sent: &Self) -> bool {
        self.0.len() == sent.0.len() && self.0.first() == sent.0.first() && self.0.last() == sent.0.last()
    }
}

/// Where the two processes run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Placement {
    /// Both on one core: the cost of the software alone, and very repeatable.
    Same,
    /// A core for each.
    Apart,
    /// Wherever the kernel puts them.
    Free,
}

/// The core of each process, where it has one of its own choosing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cores {
    /// The calling process.
    pub client: Option<usize>,
    /// The answering process.
    pub server: Option<usize>,
}

impl Placement {
    /// Chooses cores out of those this process may use.
    pub fn cores(self, allowed: &[usize]) -> Result<Cores> {
        match (self, allowed) {
            (Self::Free, _) => Ok(Cores { client: None, server: None }),
            (Self::Same, [.., last]) => Ok(Cores { client: Some(*last), server: Some(*last) }),
            (Self::Apart, [first, .., last]) => Ok(Cores { client: Some(*first), server: Some(*last) }),
            _ => bail!("this placement needs two cores and {} may be used", allowed.len()),
        }
    }

    /// How the report calls it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Same => "one core",
            Self::Apart => "a core each",
            Self::Free => "free",
        }
    }
}

/// The traffic of a workload. All of it uses one connection unless an implementation opens more by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traffic {
    /// Calls with [`Echo`].
    Small {
        /// How many calls wait for their answers at any time.
        outstanding: u32,
    },
    /// Calls with [`Blob`].
    Large {
        /// How many calls wait for their answers at any time.
        outstanding: u32,
    },
    /// [`Echo`] without an answer, counted where it is received.
    Casts,
    /// Both kinds of calls to the same server; latency is that of the small ones.
    Mixed {
        /// Small calls outstanding.
        small: u32,
        /// Large calls outstanding.
        large: u32,
    },
}

/// One row of the report.
#[derive(Clone, Debug)]
pub struct Workload {
    /// What `--workload` and the report call it.
    pub name: &'static str,
    /// What is sent.
    pub traffic: Traffic,
    /// Where the processes run unless `--placement` says otherwise.
    pub placement: Placement,
    /// The workload whose bare result this one is compared with.
    pub yardstick: &'static str,
}

impl Workload {
    /// One call in this many has its latency measured; two clock readings per call would show in the rate.
    pub fn sample_every(&self) -> u32 {
        match self.traffic {
            Traffic::Small { outstanding } if outstanding >= 64 => 16,
            _ => 1,
        }
    }

    /// Whether the server counts what arrives, because nothing comes back.
    pub fn counted_by_server(&self) -> bool {
        self.traffic == Traffic::Casts
    }

    const fn own(name: &'static str, traffic: Traffic, placement: Placement) -> Self {
        Self { name, traffic, placement, yardstick: name }
    }
}

/// Small calls alone, with the placement of [`MIXED`]: what its latency is held against.
pub const QUIET: &str = "calls_64B_w1_apart";
/// Large calls alone, with as many outstanding as in [`MIXED`].
pub const LARGE_ALONE: &str = "calls_500KiB_w4";
/// Small calls beside large ones.
pub const MIXED: &str = "mixed";

/// All workloads, in the order of the report.
pub const WORKLOADS: [Workload; 9] = {
    use Placement::{Apart, Same};
    [
        Workload::own("calls_64B_w1", Traffic::Small { outstanding: 1 }, Same),
        Workload::own("calls_64B_w64", Traffic::Small { outstanding: 64 }, Same),
        Workload::own("calls_64B_w1024", Traffic::Small { outstanding: 1024 }, Apart),
        // The bare program has no casts: a cast is worth its name when it is no dearer than a bare call.
        Workload {
            name: "casts_64B",
            traffic: Traffic::Casts,
            placement: Apart,
            yardstick: "calls_64B_w1024",
        },
        Workload::own("calls_500KiB_w1", Traffic::Large { outstanding: 1 }, Apart),
        Workload::own(LARGE_ALONE, Traffic::Large { outstanding: 4 }, Apart),
        Workload::own("calls_500KiB_w8", Traffic::Large { outstanding: 8 }, Apart),
        Workload::own(QUIET, Traffic::Small { outstanding: 1 }, Apart),
        Workload::own(MIXED, Traffic::Mixed { small: 1, large: 4 }, Apart),
    ]
};

/// Finds a workload by its name.
pub fn find(name: &str) -> Result<&'static Workload> {
    WORKLOADS.iter().find(|workload| workload.name == name).ok_or_else(|| {
        let names: Vec<_> = WORKLOADS.iter().map(|workload| workload.name).collect();
        anyhow!("no workload {name}; there are {}", names.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_small_message_is_64_bytes_whatever_its_number() {
        for n in [0, 1, 1_000_000, u32::MAX] {
            assert_eq!(postcard::to_stdvec(&Echo::numbered(n)).unwrap().len(), 64, "number {n}");
        }
    }

    #[test]
    fn every_yardstick_is_a_workload() {
        for workload in &WORKLOADS {
            find(workload.yardstick).unwrap();
        }
        assert!(find("calls_64b").is_err());
    }

    #[test]
    fn a_core_each_needs_two_cores() {
        assert!(Placement::Apart.cores(&[3]).is_err());
        let cores = Placement::Apart.cores(&[0, 2, 5]).unwrap();
        assert_eq!(cores, Cores { client: Some(0), server: Some(5) });
        let cores = Placement::Same.cores(&[3]).unwrap();
        assert_eq!(cores, Cores { client: Some(3), server: Some(3) });
    }
}
