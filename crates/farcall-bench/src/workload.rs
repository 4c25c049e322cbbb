//! What is measured: the messages, how many are outstanding, and which cores the processes get.
//!
//! A rate with few outstanding calls means nothing without its placement: on a virtual machine, waking an idle
//! core costs more than the call itself. So every workload states where its processes run.

use std::collections::BTreeMap;

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
    /// The number, added to something large; the others follow it.
    pub a: u64,
    /// See `a`.
    pub b: u64,
    /// See `a`.
    pub c: u64,
    /// See `a`.
    pub d: u64,
    /// See `a`.
    pub e: u64,
    /// See `a`.
    pub f: u64,
    /// Always the same.
    pub g: u32,
    /// The number.
    pub h: u32,
}

impl Echo {
    /// The message with this number; its answer must be equal to it.
    pub fn numbered(n: u32) -> Self {
        const LARGE: u64 = 0x0123_4567_89ab_cdef;
        let a = LARGE + u64::from(n);
        Self { a, b: a + 1, c: a + 2, d: a + 3, e: a + 4, f: a + 5, g: 0x1234_5678, h: n | 0x8000_0000 }
    }
}

/// A message as applications have them: text, a list and a map, 300 to 400 bytes when encoded.
#[farcall::message(result = Record, name = "bench.Record")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The number.
    pub id: u64,
    /// A name.
    pub name: String,
    /// Words.
    pub tags: Vec<String>,
    /// Small structs.
    pub points: Vec<Point>,
    /// Keys and values.
    pub attributes: BTreeMap<String, String>,
}

/// A part of a [`Record`].
#[farcall::data]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    /// To the right.
    pub x: i32,
    /// Up.
    pub y: i32,
    /// How much.
    pub weight: u16,
}

impl Record {
    /// The record with this number; its answer must be equal to it.
    pub fn numbered(n: u32) -> Self {
        let word = |what: &str, index: u32| format!("{what} {index} of record {n}");
        Self {
            id: n.into(),
            name: word("the name, number", 1),
            tags: (0..4).map(|index| word("tag", index)).collect(),
            points: (0..8).map(|x| Point { x, y: -x * 1000, weight: 500 }).collect(),
            attributes: (0..4).map(|index| (word("key", index), word("value", index))).collect(),
        }
    }
}

/// The large message, sent and answered with the same bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blob(#[serde(with = "serde_bytes")] pub Vec<u8>);

impl Blob {
    /// A payload of this many bytes.
    pub fn of(bytes: usize) -> Self {
        Self(b"farcall ".iter().copied().cycle().take(bytes).collect())
    }

    /// Whether this looks like the answer to `sent`; comparing all bytes would be measured, too.
    pub fn answers(&self, sent: &Self) -> bool {
        self.0.len() == sent.0.len() && self.0.first() == sent.0.first() && self.0.last() == sent.0.last()
    }
}

/// Where the processes run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Placement {
    /// All on one core: the cost of the software alone, and very repeatable.
    Same,
    /// A core for the server and one for its clients.
    Apart,
    /// Wherever the kernel puts them.
    Free,
}

/// The core of each process, where it has one of its own choosing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cores {
    /// The calling processes.
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

/// What a call carries, there and back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// [`Echo`].
    Echo,
    /// [`Record`].
    Record,
    /// [`Echo`], to a handler that is asynchronous and gives way once.
    Later,
    /// [`Blob`] of this size.
    Bytes(usize),
}

/// A verb that reaches many nodes at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fan {
    /// A call to each; all answers are awaited.
    Multicall,
    /// A message to each mailbox; all confirmations are awaited.
    Sbcast,
}

/// The traffic of a workload. All of it uses one connection unless it says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Traffic {
    /// Calls, so many outstanding at any time.
    Calls {
        /// What they carry.
        message: Message,
        /// How many wait for their answers, in each client.
        outstanding: u32,
    },
    /// [`Echo`] without an answer, counted where it is received.
    Casts,
    /// [`Echo`] calls beside calls of [`BLOB_BYTES`] to the same server; latency is that of the small ones.
    Mixed {
        /// Small calls outstanding.
        small: u32,
        /// Large calls outstanding.
        large: u32,
    },
    /// One message to many nodes, one after the other.
    Fan {
        /// How.
        verb: Fan,
        /// To how many.
        nodes: u32,
    },
    /// [`Echo`] calls that begin on a schedule, whatever becomes of the earlier ones. Latency counts from when a call
    /// was due.
    Offered {
        /// So much of what the client reaches with 1,024 outstanding, measured by itself just before.
        percent: u32,
    },
    /// [`Echo`] calls over many connections, to many actors.
    Spread {
        /// Connections of the client.
        connections: u32,
        /// Actors of the server.
        actors: u32,
        /// How many calls wait for their answers.
        outstanding: u32,
    },
    /// Connections over which nothing is said.
    Idle {
        /// How many.
        connections: u32,
    },
    /// Two nodes in one process, from nothing to the first answer.
    Start,
}

/// One row of the report.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Workload {
    /// What `--workload` and the report call it.
    pub name: String,
    /// What is sent.
    pub traffic: Traffic,
    /// Where the processes run unless `--placement` says otherwise.
    pub placement: Placement,
    /// The workload whose bare result this one is compared with.
    pub yardstick: String,
    /// Calling processes.
    pub clients: u32,
}

impl Workload {
    /// One call in this many has its latency measured; two clock readings per call would show in the rate.
    pub fn sample_every(&self) -> u32 {
        match self.traffic {
            Traffic::Calls { outstanding, .. } | Traffic::Spread { outstanding, .. } if outstanding >= 64 => {
                16
            }
            _ => 1,
        }
    }

    /// Whether the server counts what arrives, because nothing comes back.
    pub fn counted_by_server(&self) -> bool {
        self.traffic == Traffic::Casts
    }

    /// Whether it is a number of its own kind and no rate.
    pub fn is_probe(&self) -> bool {
        matches!(self.traffic, Traffic::Idle { .. } | Traffic::Start)
    }

    /// Calls with a message that everybody can carry.
    pub fn is_plain(&self) -> bool {
        matches!(self.traffic, Traffic::Mixed { .. })
            || matches!(self.traffic, Traffic::Calls { message, .. } if message != Message::Later)
    }

    /// A workload that is compared with bare under the same.
    pub fn own(name: &str, traffic: Traffic, placement: Placement) -> Self {
        Self { name: name.to_owned(), traffic, placement, yardstick: name.to_owned(), clients: 1 }
    }

    fn against(self, yardstick: &str) -> Self {
        Self { yardstick: yardstick.to_owned(), ..self }
    }
}

/// Small calls alone, with the placement of [`MIXED`]: what its latency is held against.
pub const QUIET: &str = "calls_64B_w1_apart";
/// Large calls alone, with as many outstanding as in [`MIXED`].
pub const LARGE_ALONE: &str = "calls_500KiB_w4";
/// Small calls beside large ones.
pub const MIXED: &str = "mixed";
/// As many small calls as fill both cores.
pub const MANY: &str = "calls_64B_w1024";
/// The same from eight processes.
pub const CLIENTS: &str = "clients_8";
/// Connections that nobody uses.
pub const IDLE: &str = "idle_1000";
/// Two nodes and a call.
pub const START: &str = "start";

/// All workloads, in the order of the report.
pub fn all() -> Vec<Workload> {
    use Placement::{Apart, Same};
    let calls = |message, outstanding| Traffic::Calls { message, outstanding };
    let fan = |verb| Traffic::Fan { verb, nodes: 8 };
    let large = Message::Bytes(BLOB_BYTES);
    vec![
        Workload::own("calls_64B_w1", calls(Message::Echo, 1), Same),
        Workload::own("calls_64B_w64", calls(Message::Echo, 64), Same),
        Workload::own(MANY, calls(Message::Echo, 1024), Apart),
        // The bare program has no casts: a cast is worth its name when it is no dearer than a bare call.
        Workload::own("casts_64B", Traffic::Casts, Apart).against(MANY),
        Workload::own("calls_struct_w64", calls(Message::Record, 64), Same),
        Workload::own("calls_async_w64", calls(Message::Later, 64), Same).against("calls_64B_w64"),
        Workload::own("calls_500KiB_w1", calls(large, 1), Apart),
        Workload::own(LARGE_ALONE, calls(large, 4), Apart),
        Workload::own("calls_500KiB_w8", calls(large, 8), Apart),
        Workload::own(QUIET, calls(Message::Echo, 1), Apart),
        Workload::own(MIXED, Traffic::Mixed { small: 1, large: 4 }, Apart),
        Workload { clients: 8, ..Workload::own(CLIENTS, calls(Message::Echo, 128), Apart) },
        Workload::own("multicall_8", fan(Fan::Multicall), Apart),
        Workload::own("sbcast_8", fan(Fan::Sbcast), Apart),
        Workload::own("offered_10", Traffic::Offered { percent: 10 }, Apart),
        Workload::own("offered_50", Traffic::Offered { percent: 50 }, Apart),
        Workload::own("offered_80", Traffic::Offered { percent: 80 }, Apart),
        Workload::own(IDLE, Traffic::Idle { connections: 1000 }, Apart),
        Workload::own(START, Traffic::Start, Same),
    ]
}

/// Finds a workload by its name.
pub fn find(name: &str) -> Result<Workload> {
    all().into_iter().find(|workload| workload.name == name).ok_or_else(|| {
        let names: Vec<_> = all().into_iter().map(|workload| workload.name).collect();
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
    fn a_record_has_the_size_that_its_description_says() {
        let bytes = postcard::to_stdvec(&Record::numbered(1_000_000)).unwrap().len();
        assert!((300..=400).contains(&bytes), "{bytes}");
    }

    #[test]
    fn every_yardstick_is_a_workload() {
        for workload in all() {
            find(&workload.yardstick).unwrap();
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
