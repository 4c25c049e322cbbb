//! A file with one line per node, read again when it has changed.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use farcall_proto::peer::NodeName;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use thiserror::Error;

use super::{Address, Discovery, DiscoveryError};

/// Addresses from a file, which may change while the node runs.
///
/// One line per node; `#` starts a comment; quotes may be left out; a list is for a node with several addresses:
/// ```text
/// # the second rack
/// beta@10.0.0.2 = 10.0.0.2:7000
/// "gamma@rack2" = ["10.0.0.3:5369", "[fd00::3]:5369"]
/// ```
/// The quoted form is TOML, so a TOML file of such lines is read as well.
///
/// The file is looked at in every lookup and read when its size or its time of change is another one. **A file that
/// cannot be read, or a line that is wrong, fails every lookup until it is mended**, naming the line: going on with
/// what the file said last week would hide the mistake and dial machines that are gone. Replace the file by a
/// rename, so that no lookup sees half of it.
///
/// Must be asked within a tokio runtime: reading goes to its threads for blocking work.
#[derive(Debug, Clone)]
pub struct FileMap {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    last: Mutex<Option<Reading>>,
}

/// What the file said, and how to tell that it still says so.
#[derive(Debug)]
struct Reading {
    stamp: Stamp,
    content: Content,
}

type Content = Result<Arc<Table>, FileMapError>;
type Table = BTreeMap<NodeName, Vec<Address>>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: SystemTime,
    len: u64,
}

/// A file changed this shortly before it was read may change again within the same tick of the file system's clock, so
/// such a reading is not kept. The coarsest clock in use is that of FAT.
const CLOCK_TICK: Duration = Duration::from_secs(2);

impl FileMap {
    /// The largest file.
    pub const FILE_BYTES_MAX: u64 = 1 << 20;

    /// Addresses from the file at `path`, which is first looked at when a node is looked up.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { shared: Arc::new(Shared { path: path.into(), last: Mutex::new(None) }) }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    async fn table(&self) -> Result<Arc<Table>, DiscoveryError> {
        let shared = self.shared.clone();
        let failed = |reason: FileMapError| DiscoveryError::failed(self.asked(), reason);
        match tokio::task::spawn_blocking(move || shared.table(SystemTime::now())).await {
            Ok(content) => content.map_err(failed),
            Err(stopped) => Err(DiscoveryError::failed(self.asked(), stopped)),
        }
    }

    fn asked(&self) -> String {
        format!("the file {}", self.shared.path.display())
    }
}

impl Discovery for FileMap {
    fn addresses<'a>(&'a self, node: &'a NodeName) -> BoxFuture<'a, Result<Vec<Address>, DiscoveryError>> {
        Box::pin(async move {
            let found = self.table().await?.get(node).cloned();
            found.ok_or_else(|| DiscoveryError::not_found(node, self.asked()))
        })
    }

    fn nodes(&self) -> BoxFuture<'_, Result<Vec<NodeName>, DiscoveryError>> {
        Box::pin(async move { Ok(self.table().await?.keys().cloned().collect()) })
    }
}

impl Shared {
    /// The content as of now. The lock is held over the reading on purpose: it is taken on threads for blocking work
    /// only, and a burst of lookups then reads a changed file once.
    fn table(&self, now: SystemTime) -> Content {
        let mut last = self.last.lock();
        let unreadable = |error: io::Error| FileMapError::Unreadable { reason: error.to_string() };
        // Opening a named pipe would wait for its writer, with the lock held.
        if !fs::metadata(&self.path).map_err(unreadable)?.is_file() {
            return Err(FileMapError::Unreadable { reason: "it is no regular file".to_owned() });
        }
        let file = File::open(&self.path).map_err(unreadable)?;
        // The stamp is taken before the content: if the file changes in between, the next lookup reads it again.
        let metadata = file.metadata().map_err(unreadable)?;
        let stamp = Stamp { modified: metadata.modified().map_err(unreadable)?, len: metadata.len() };
        if let Some(reading) = &*last
            && reading.stamp == stamp
        {
            return reading.content.clone();
        }
        let mut text = String::new();
        file.take(FileMap::FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(unreadable)?;
        let content = match text.len() as u64 > FileMap::FILE_BYTES_MAX {
            true => Err(FileMapError::TooLarge),
            false => parse(&text).map(Arc::new),
        };
        let settled = now.duration_since(stamp.modified).is_ok_and(|age| age > CLOCK_TICK);
        *last = settled.then(|| Reading { stamp, content: content.clone() });
        content
    }
}

/// Why a file of addresses cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FileMapError {
    /// It cannot be opened, is no regular file or is no UTF-8 text.
    #[error("{reason}")]
    Unreadable {
        /// What the system said.
        reason: String,
    },
    /// It is larger than [`FileMap::FILE_BYTES_MAX`].
    #[error("larger than the limit of 1 MiB")]
    TooLarge,
    /// A line is wrong.
    #[error("line {line}: {reason}")]
    Line {
        /// Its number, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
}

fn parse(text: &str) -> Result<Table, FileMapError> {
    let mut table = Table::new();
    for (index, line) in text.lines().enumerate() {
        let wrong = |reason| FileMapError::Line { line: index + 1, reason };
        if let Some((node, addresses)) = parse_line(line).map_err(wrong)?
            && table.insert(node.clone(), addresses).is_some()
        {
            return Err(wrong(format!("node {node} is already there; put its addresses in one list")));
        }
    }
    Ok(table)
}

fn parse_line(line: &str) -> Result<Option<(NodeName, Vec<Address>)>, String> {
    let (name, rest) = match take_word(line)? {
        (Some(name), rest) => (name, rest),
        (None, "") => return Ok(None),
        (None, _) => return Err("expected the name of a node".to_owned()),
    };
    let node = name.parse::<NodeName>().map_err(|error| error.to_string())?;
    let rest = rest.trim_start().strip_prefix('=').ok_or("expected `=` behind the node's name")?.trim_start();
    let (mut rest, in_list) = match rest.strip_prefix('[') {
        // `[::1]:5369` without quotes is an address; a list starts with a quote, a letter or a dotted number.
        Some(_) if rest.contains("]:") && !rest.contains('"') && !rest.contains(',') => (rest, false),
        Some(inner) => (inner, true),
        None => (rest, false),
    };
    let mut addresses = Vec::new();
    while let (Some(word), behind) = take_word(rest)? {
        addresses.push(word.parse::<Address>().map_err(|error| error.to_string())?);
        rest = behind.trim_start();
        match rest.strip_prefix(',').filter(|_| in_list) {
            Some(more) => rest = more,
            None => break,
        }
    }
    if in_list {
        rest = rest.trim_start().strip_prefix(']').ok_or("the list does not end with `]` on its line")?;
    }
    match take_word(rest)? {
        (None, "") if addresses.is_empty() => Err("expected an address behind `=`".to_owned()),
        (None, "") => Ok(Some((node, addresses))),
        _ => Err("there is something behind the address".to_owned()),
    }
}

/// The next word, quoted or not, and what is behind it; no word at a comment, at the end of the line or of a list.
fn take_word(text: &str) -> Result<(Option<&str>, &str), String> {
    let text = text.trim_start();
    if text.is_empty() || text.starts_with('#') {
        return Ok((None, ""));
    }
    if let Some(quoted) = text.strip_prefix('"') {
        let (word, behind) = quoted.split_once('"').ok_or("a quote is not closed")?;
        return Ok((Some(word), behind));
    }
    // The brackets of an IPv6 address belong to the word; a bracket that closes a list does not.
    let inside = text.strip_prefix('[').and_then(|rest| rest.find(']')).map_or(0, |end| end + 2);
    let tail = text.get(inside..).unwrap_or_default();
    let end = tail.find(|c: char| c.is_whitespace() || "=,]#".contains(c)).unwrap_or(tail.len());
    match text.split_at_checked(inside + end) {
        Some((word, behind)) if !word.is_empty() => Ok((Some(word), behind)),
        _ => Ok((None, text)),
    }
}

#[cfg(test)]
mod tests;
