//! The table of a mapper: names of living nodes.

use std::collections::BTreeMap;
use std::fmt;

use thiserror::Error;

use super::Mark;
use crate::peer::NodeName;

/// What a mapper knows a node by: the part of its name in front of the `@`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

impl Name {
    /// The longest name, in bytes.
    pub const BYTES_MAX: usize = NodeName::BYTES_MAX;

    /// A name as it came from somebody else.
    ///
    /// # Errors
    /// [`NameRefused`] if it could not stand in front of the `@` of a node's name.
    pub fn parse(bytes: &[u8]) -> Result<Self, NameRefused> {
        let odd = |c: char| c.is_control() || c.is_whitespace() || c == '@';
        match std::str::from_utf8(bytes) {
            Ok(text) if !text.is_empty() && text.len() <= Self::BYTES_MAX && !text.contains(odd) => {
                Ok(Self(text.to_owned()))
            }
            _ => Err(NameRefused),
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&NodeName> for Name {
    fn from(node: &NodeName) -> Self {
        Self(node.short().to_owned())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Bytes that name no node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("no name: 1 to {} bytes of text without @, white space and control characters", Name::BYTES_MAX)]
pub struct NameRefused;

/// Where a name is, and who holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Presence {
    /// The port it listens on; never 0.
    pub port: u16,
    /// What its node says of itself.
    pub mark: Mark,
}

/// Names of living nodes, each with its place. It ends with the mapper and is filled anew by those who live.
#[derive(Debug, Default)]
pub struct Table {
    names: BTreeMap<Name, (Holding, Presence)>,
    next: u64,
}

/// One registration; a later one of the same name has another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holding(u64);

/// Why a name was not registered; nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RegisterRefused {
    /// A living node has it.
    #[error("the name is held by process {}, which listens on port {}", .0.mark.pid, .0.port)]
    Taken(Presence),
    /// There are too many.
    #[error("there are {} names already, which is the limit", Table::NAMES_MAX)]
    Full,
}

impl Table {
    /// The most names.
    pub const NAMES_MAX: usize = 1024;

    /// Registers a name.
    ///
    /// # Errors
    /// [`RegisterRefused`]: a living node has it, or there are too many.
    pub fn register(&mut self, name: Name, presence: Presence) -> Result<Holding, RegisterRefused> {
        if let Some((_, holder)) = self.names.get(&name) {
            return Err(RegisterRefused::Taken(*holder));
        }
        if self.names.len() >= Self::NAMES_MAX {
            return Err(RegisterRefused::Full);
        }
        self.next += 1;
        let holding = Holding(self.next);
        self.names.insert(name, (holding, presence));
        Ok(holding)
    }

    /// The holder is gone, and so is its name; one that was registered anew meanwhile stays.
    pub fn end(&mut self, name: &Name, holding: Holding) {
        if self.names.get(name).is_some_and(|(held, _)| *held == holding) {
            self.names.remove(name);
        }
    }

    /// Where a name is.
    pub fn find(&self, name: &Name) -> Option<Presence> {
        self.names.get(name).map(|(_, presence)| *presence)
    }

    /// All names with their places, sorted.
    pub fn all(&self) -> impl Iterator<Item = (&Name, Presence)> {
        self.names.iter().map(|(name, (_, presence))| (name, *presence))
    }
}
