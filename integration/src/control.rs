//! What the harness can ask a node, and the way to ask it.
//!
//! One JSON document a line, over a Unix socket in the node's folder. A bind mount carries it into a container, so it works
//! while the network of the node does not.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The socket, in the node's folder.
pub const SOCKET: &str = "control.sock";

/// What the harness wants.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Ask {
    /// How it is doing.
    Status,
    /// Call and cast from now on like this; all zeros end it.
    Load(Load),
    /// Each verb once to each peer; the answer lists what went wrong.
    Operations,
    /// One call to a peer.
    Probe {
        /// The peer.
        peer: String,
        /// The deadline of the call.
        limit_ms: u64,
    },
    /// A multicall to itself and all nodes that it is connected to.
    Multicall,
    /// One call to a peer's clock, whose answer names the peer.
    Clock {
        /// The peer.
        peer: String,
    },
    /// End the inbound connections of a peer.
    KillAcceptors {
        /// The peer.
        from: String,
    },
    /// One-way messages to a peer until so many bytes were offered.
    Flood {
        /// The peer.
        peer: String,
        /// Of each message.
        bytes: u64,
        /// How many.
        count: u64,
    },
    /// One large call to a peer, whose outcome stands in the journal.
    Large {
        /// The peer.
        peer: String,
        /// The size of its message.
        bytes: u64,
        /// The deadline of the call.
        limit_ms: u64,
    },
    /// Watch the ledger of a peer so often; what comes of it stands in the journal.
    Watch {
        /// The peer.
        peer: String,
        /// How often.
        count: u64,
    },
    /// Start an actor of this name at a peer.
    Spawn {
        /// The peer.
        peer: String,
        /// What it is called there.
        name: String,
        /// It stays when this node goes.
        detached: bool,
    },
    /// The names of its actors.
    Names,
    /// The nodes that it sees in the group of all nodes.
    Members,
    /// Call the service that all nodes offer so often from now on; what comes of it stands in the journal.
    CallService {
        /// How often; 0 ends it.
        calls_per_s: u32,
    },
    /// Threads that do nothing but keep cores busy.
    Burn {
        /// How many.
        threads: u32,
        /// For how long.
        ms: u64,
    },
    /// Let the process have no more open files than it has, for so long.
    HoldFiles {
        /// For how long.
        ms: u64,
    },
}

/// What a node calls and casts without being told each time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Load {
    /// Calls to each peer.
    pub calls_per_s: u32,
    /// One-way messages to each peer.
    pub casts_per_s: u32,
    /// Pieces of work, each done by whichever peer takes it.
    pub work_per_s: u32,
    /// The deadline of each call.
    pub limit_ms: u64,
}

/// What a node says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Answer {
    /// To [`Ask::Status`].
    Status(Box<Status>),
    /// It is so.
    Done,
    /// What a call to a peer came to: `ok`, or the class and the reason of its error; and how long it took.
    Outcome {
        /// `ok`, or the class of the error.
        class: String,
        /// The reason of the error and its text, or what was answered.
        text: String,
        /// From the beginning to the end.
        us: u64,
    },
    /// What went wrong, or what was answered, one line each.
    Lines(Vec<String>),
    /// To [`Ask::Flood`].
    Flooded {
        /// Messages that were accepted for sending.
        accepted: u64,
        /// Messages that were refused because the queue was full.
        full: u64,
        /// The longest that one took to be accepted or refused.
        longest_us: u64,
    },
    /// The order could not be followed.
    Failed(String),
}

/// How a node is doing.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Status {
    /// Which life of the node this is.
    pub incarnation: String,
    /// Peers that it has a connection to.
    pub nodes: Vec<String>,
    /// Peers that have a connection to it, one entry for each.
    pub inbound: Vec<String>,
    /// Calls begun and not ended.
    pub pending: u64,
    /// Bytes accepted for sending and not sent, to all peers.
    pub unsent_bytes: u64,
    /// Dials begun.
    pub dials: u64,
    /// Connections that were up and were lost.
    pub lost: u64,
    /// Connections ended because the peer broke the protocol.
    pub protocol_errors: u64,
    /// Monitors and links that it keeps for its actors.
    pub monitors: u64,
    /// Memory in use.
    pub resident_bytes: u64,
    /// Open files and sockets.
    pub files: u64,
    /// Threads.
    pub threads: u64,
}

/// Asks one thing.
///
/// # Errors
/// The node is not there, is frozen for longer than `patience`, or did not understand.
pub fn ask(folder: &Path, what: &Ask, patience: Duration) -> io::Result<Answer> {
    let mut stream = UnixStream::connect(folder.join(SOCKET))?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    let mut line = serde_json::to_string(what)?;
    line.push('\n');
    stream.write_all(line.as_bytes())?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    if answer.is_empty() {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the node hung up"));
    }
    Ok(serde_json::from_str(&answer)?)
}
