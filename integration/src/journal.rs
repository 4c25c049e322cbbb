//! What nodes write down: a line for each thing done, in a file for each life of a node.
//!
//! A line is handed to the kernel at once, so it is there whatever becomes of the process. Times are microseconds of the
//! machine's monotonic clock, which all nodes on it share.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use nix::time::{ClockId, clock_gettime};

/// One thing that was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// A one-way message was accepted for sending, on the sender's connection of this number.
    Sent {
        /// The receiver.
        peer: String,
        /// The number of the connection.
        epoch: u64,
        /// The number of the message, from 1, to this receiver.
        seq: u64,
    },
    /// A one-way message arrived at its actor.
    Got {
        /// The sender, with its incarnation.
        from: String,
        /// The number of the message.
        seq: u64,
    },
    /// A call ended.
    Call(Call),
    /// The handler of a call began to run.
    Ran {
        /// The caller, with its incarnation.
        from: String,
        /// The number of the call.
        id: u64,
    },
    /// A piece of work ended, wherever it was done.
    Work {
        /// Its number.
        id: u64,
        /// When it ended.
        ended: u64,
        /// `ok`, or the class of the last error.
        class: String,
        /// How often it was tried.
        tries: u32,
    },
    /// A node came, is about to go, or went.
    Peer {
        /// Which one, with its incarnation.
        peer: String,
        /// When it was told.
        at: u64,
        /// `up`, `draining`, or why it is down.
        what: String,
    },
    /// An actor of a peer is watched.
    Watch {
        /// The number of the monitor.
        number: u64,
        /// The peer.
        peer: String,
    },
    /// A monitor was told.
    Down {
        /// Its number.
        number: u64,
        /// When.
        at: u64,
        /// Why.
        reason: String,
    },
    /// A call of a service ended.
    Served {
        /// Its number.
        id: u64,
        /// When it ended.
        at: u64,
        /// `ok`, or the class of the error.
        class: String,
        /// The reason of the error, or `-`.
        reason: String,
    },
    /// The process stood still, or was given no time.
    Gap {
        /// From when.
        from: u64,
        /// Until when.
        to: u64,
    },
}

/// A call, seen by its caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Who was called.
    pub peer: String,
    /// The number of the connection that the call was given to; 0 if there was none.
    pub epoch: u64,
    /// The number of the call.
    pub id: u64,
    /// When it began.
    pub began: u64,
    /// When it ended.
    pub ended: u64,
    /// Its deadline, from its beginning.
    pub limit: u64,
    /// `ok`, or the class of the error.
    pub class: String,
    /// The reason of the error, or `-`.
    pub reason: String,
}

impl Line {
    /// As it stands in the file.
    fn text(&self) -> String {
        match self {
            Self::Sent { peer, epoch, seq } => format!("sent {peer} {epoch} {seq}\n"),
            Self::Got { from, seq } => format!("got {from} {seq}\n"),
            Self::Call(call) => {
                let Call { peer, epoch, id, began, ended, limit, class, reason } = call;
                format!("call {peer} {epoch} {id} {began} {ended} {limit} {class} {reason}\n")
            }
            Self::Ran { from, id } => format!("ran {from} {id}\n"),
            Self::Work { id, ended, class, tries } => format!("work {id} {ended} {class} {tries}\n"),
            Self::Peer { peer, at, what } => format!("peer {peer} {at} {what}\n"),
            Self::Watch { number, peer } => format!("watch {number} {peer}\n"),
            Self::Down { number, at, reason } => format!("down {number} {at} {reason}\n"),
            Self::Served { id, at, class, reason } => format!("served {id} {at} {class} {reason}\n"),
            Self::Gap { from, to } => format!("gap {from} {to}\n"),
        }
    }

    /// Reads it again; None if this is no such line.
    fn parse(text: &str) -> Option<Self> {
        let words: Vec<&str> = text.split(' ').collect();
        let word = |nth: usize| words.get(nth).map(|word| (*word).to_owned());
        let number = |nth: usize| words.get(nth)?.parse::<u64>().ok();
        Some(match *words.first()? {
            "sent" => Self::Sent { peer: word(1)?, epoch: number(2)?, seq: number(3)? },
            "got" => Self::Got { from: word(1)?, seq: number(2)? },
            "call" => Self::Call(Call {
                peer: word(1)?,
                epoch: number(2)?,
                id: number(3)?,
                began: number(4)?,
                ended: number(5)?,
                limit: number(6)?,
                class: word(7)?,
                reason: word(8)?,
            }),
            "ran" => Self::Ran { from: word(1)?, id: number(2)? },
            "work" => Self::Work {
                id: number(1)?,
                ended: number(2)?,
                class: word(3)?,
                tries: u32::try_from(number(4)?).ok()?,
            },
            "peer" => Self::Peer { peer: word(1)?, at: number(2)?, what: word(3)? },
            "watch" => Self::Watch { number: number(1)?, peer: word(2)? },
            "down" => Self::Down { number: number(1)?, at: number(2)?, reason: word(3)? },
            "served" => Self::Served { id: number(1)?, at: number(2)?, class: word(3)?, reason: word(4)? },
            "gap" => Self::Gap { from: number(1)?, to: number(2)? },
            _ => return None,
        })
    }
}

/// One life of a node, as it was written down.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Life {
    /// The node.
    pub node: String,
    /// The node with its incarnation, as other journals name it.
    pub who: String,
    /// When it began.
    pub began: u64,
    /// What it did, in order.
    pub lines: Vec<Line>,
}

/// The file of this life.
#[derive(Debug)]
pub struct Journal(File);

impl Journal {
    /// Begins the journal of one life.
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub fn begin(folder: &Path, node: &str, incarnation: &str) -> io::Result<Self> {
        let began = now_us();
        let path = folder.join(format!("journal-{began:020}"));
        let mut file = File::options().create_new(true).append(true).open(path)?;
        file.write_all(format!("life {node} {incarnation} {began}\n").as_bytes())?;
        Ok(Self(file))
    }

    /// Writes a line down.
    pub fn note(&self, line: &Line) {
        if let Err(error) = (&self.0).write_all(line.text().as_bytes()) {
            log::error!("the journal cannot be written: {error}");
        }
    }
}

/// Reads every life that was written down in a folder, oldest first.
///
/// # Errors
/// A file cannot be read, or a line of it makes no sense.
pub fn read(folder: &Path) -> io::Result<Vec<Life>> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("journal-")))
        .collect();
    paths.sort();
    paths.iter().map(|path| life(path)).collect()
}

fn life(path: &Path) -> io::Result<Life> {
    let text = std::fs::read_to_string(path)?;
    let wrong =
        |line: &str| io::Error::other(format!("{}: this is no line of a journal: {line}", path.display()));
    // What has no end yet is still being written.
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let mut lines = whole.lines();
    let head = lines.next().unwrap_or_default();
    let mut life = match head.split(' ').collect::<Vec<_>>().as_slice() {
        ["life", node, incarnation, began] => Life {
            node: (*node).to_owned(),
            who: format!("{node}/{incarnation}"),
            began: began.parse().map_err(|_| wrong(head))?,
            lines: Vec::new(),
        },
        // It was killed in this very moment.
        _ if head.is_empty() => return Ok(Life::default()),
        _ => return Err(wrong(head)),
    };
    for line in lines {
        life.lines.push(Line::parse(line).ok_or_else(|| wrong(line))?);
    }
    Ok(life)
}

/// The machine's monotonic clock.
pub fn now_us() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map(std::time::Duration::from);
    now.map_or(0, |now| u64::try_from(now.as_micros()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_down_is_read_again_and_a_torn_line_is_left_out() {
        let folder =
            std::env::temp_dir().join(format!("farcall-journal-{}-{}", std::process::id(), now_us()));
        std::fs::create_dir(&folder).unwrap();
        let call = Call {
            peer: "b@b".into(),
            epoch: 1,
            id: 7,
            began: 10,
            ended: 20,
            limit: 1000,
            class: "not_sent".into(),
            reason: "draining".into(),
        };
        let lines = vec![
            Line::Sent { peer: "b@b".into(), epoch: 3, seq: 1 },
            Line::Got { from: "b@b/ff".into(), seq: 9 },
            Line::Call(call),
            Line::Ran { from: "b@b/ff".into(), id: 2 },
            Line::Work { id: 1, ended: 99, class: "ok".into(), tries: 2 },
            Line::Gap { from: 5, to: 8 },
            Line::Peer { peer: "b@b/ff".into(), at: 9, what: "tick_timeout".into() },
            Line::Watch { number: 3, peer: "b@b".into() },
            Line::Down { number: 3, at: 10, reason: "NoConnection".into() },
            Line::Served { id: 4, at: 11, class: "ok".into(), reason: "-".into() },
        ];
        let journal = Journal::begin(&folder, "a@a", "0f").unwrap();
        lines.iter().for_each(|line| journal.note(line));
        (&journal.0).write_all(b"sent b@b 3").unwrap();
        let lives = read(&folder).unwrap();
        assert_eq!(lives.len(), 1);
        assert_eq!((lives[0].node.as_str(), lives[0].who.as_str()), ("a@a", "a@a/0f"));
        assert_eq!(lives[0].lines, lines);
        (&journal.0).write_all(b"?\nnonsense\n").unwrap();
        assert!(read(&folder).is_err(), "a line that makes no sense is said, not skipped");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
