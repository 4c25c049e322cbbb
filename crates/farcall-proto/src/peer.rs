//! Who a request goes to: node names, targets with an optional key, and incarnations.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// The name of a node, `name@host`, parsed once at the edge.
///
/// At most [`NodeName::BYTES_MAX`] bytes; both parts non-empty; no control characters, no white space, one `@`.
/// The host part is what gets dialled when no [discovery](https://docs.rs/farcall) says otherwise; an IPv6
/// address stands there as it is (`alpha@::1`). Cloning is cheap.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeName(Arc<str>);

impl NodeName {
    /// The longest name, in bytes.
    pub const BYTES_MAX: usize = 255;

    /// The whole name, `name@host`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part before the `@`.
    pub fn short(&self) -> &str {
        self.0.split_once('@').map_or(&*self.0, |(name, _)| name)
    }

    /// The part behind the `@`: a host name or an address.
    pub fn host(&self) -> &str {
        self.0.split_once('@').map_or("", |(_, host)| host)
    }
}

impl AsRef<str> for NodeName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl FromStr for NodeName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.len() > Self::BYTES_MAX {
            return Err(NameError::TooLong { bytes: text.len() });
        }
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(NameError::Character);
        }
        match text.split_once('@') {
            None => Err(NameError::NoHost { name: text.to_owned() }),
            Some((_, host)) if host.contains('@') => Err(NameError::Character),
            Some((name, host)) if name.is_empty() || host.is_empty() => {
                Err(NameError::EmptyPart { name: text.to_owned() })
            }
            Some(_) => Ok(Self(text.into())),
        }
    }
}

impl TryFrom<&str> for NodeName {
    type Error = NameError;
    fn try_from(text: &str) -> Result<Self, NameError> {
        text.parse()
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for NodeName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for NodeName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Why a text is no node name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NameError {
    /// There is no `@` in it.
    #[error("node name {name:?} has no host: write it as name@host, for example {name}@127.0.0.1")]
    NoHost {
        /// What was given.
        name: String,
    },
    /// One side of the `@` is empty.
    #[error("node name {name:?} has an empty part: write it as name@host")]
    EmptyPart {
        /// What was given.
        name: String,
    },
    /// It is longer than [`NodeName::BYTES_MAX`].
    #[error("node name of {bytes} bytes is longer than the limit of 255")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// It has white space, a control character or a second `@`.
    #[error("node name has white space, a control character or a second @")]
    Character,
}

/// Chooses a connection of its own to a node: gen_rpc's `{Node, Key}`.
///
/// Only the hash of the key is kept; it never goes on the wire. Order is promised per (sender, target with
/// its key, actor). Keys beyond `connections_per_node_max` share connections by this hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Key(u64);

impl Key {
    /// The key of anything printable or hashable to bytes; equal texts give equal keys on every machine.
    pub fn new(key: impl fmt::Display) -> Self {
        use fmt::Write;
        let mut hash = Fnv1a(Fnv1a::BASIS);
        // Writing into a hash cannot fail; a `Display` that fails half-way still gives a stable key.
        let _ = write!(hash, "{key}");
        Self(hash.0)
    }

    /// The key with this hash, as a peer sent it.
    pub fn from_hash(hash: u64) -> Self {
        Self(hash)
    }

    /// The 64-bit FNV-1a hash that stands for the key.
    pub fn hash(self) -> u64 {
        self.0
    }
}

/// 64-bit FNV-1a (Fowler, Noll, Vo): a fixed seed keeps keys on the same connection across restarts and logs.
struct Fnv1a(u64);

impl Fnv1a {
    const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
}

impl fmt::Write for Fnv1a {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(Self::PRIME);
        }
        Ok(())
    }
}

/// Where a request goes and which connection it uses: a node, optionally with a [`Key`].
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Target {
    node: NodeName,
    key: Option<Key>,
}

impl Target {
    /// The node on its common connection.
    pub fn new(node: NodeName) -> Self {
        Self { node, key: None }
    }

    /// The node on the connection of this key.
    ///
    /// # Errors
    /// [`NameError`] if `node` is no node name.
    pub fn keyed<N>(node: N, key: impl fmt::Display) -> Result<Self, NameError>
    where
        N: TryInto<NodeName>,
        NameError: From<N::Error>,
    {
        Ok(Self { node: node.try_into()?, key: Some(Key::new(key)) })
    }

    /// The same node on the connection of this key.
    pub fn with_key(&self, key: impl fmt::Display) -> Self {
        Self { node: self.node.clone(), key: Some(Key::new(key)) }
    }

    /// The same node on the connection of this key, or on the common one.
    pub fn on(self, key: Option<Key>) -> Self {
        Self { node: self.node, key }
    }

    /// The node.
    pub fn node(&self) -> &NodeName {
        &self.node
    }

    /// The key, if there is one.
    pub fn key(&self) -> Option<Key> {
        self.key
    }
}

impl From<NodeName> for Target {
    fn from(node: NodeName) -> Self {
        Self::new(node)
    }
}

impl From<&NodeName> for Target {
    fn from(node: &NodeName) -> Self {
        Self::new(node.clone())
    }
}

impl From<std::convert::Infallible> for NameError {
    fn from(never: std::convert::Infallible) -> Self {
        match never {}
    }
}

impl FromStr for Target {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        text.parse().map(Self::new)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.key {
            None => write!(f, "{}", self.node),
            Some(key) => write!(f, "{}#{:016x}", self.node, key.0),
        }
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A random number drawn at each start of a node: tells a restarted node from its predecessor (Erlang's creation).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Incarnation(pub u64);

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_a_host_is_refused_and_the_error_shows_how_to_write_it() {
        let error = "alpha".parse::<NodeName>().unwrap_err();
        assert!(error.to_string().contains("alpha@127.0.0.1"), "{error}");
        for bad in ["", "@", "a@", "@b", "a@b@c", "a b@c", "a@\u{7}"] {
            assert!(bad.parse::<NodeName>().is_err(), "{bad:?}");
        }
        assert!(format!("a@{}", "x".repeat(254)).parse::<NodeName>().is_err());
        assert!(format!("a@{}", "x".repeat(253)).parse::<NodeName>().is_ok());
    }

    #[test]
    fn an_ipv6_host_stands_in_a_name_as_it_is() {
        let name: NodeName = "alpha@::1".parse().unwrap();
        assert_eq!((name.short(), name.host()), ("alpha", "::1"));
    }

    #[test]
    fn equal_keys_give_equal_targets_and_the_key_never_shows() {
        let a = Target::keyed("b@h", "user 7").unwrap();
        assert_eq!(a, "b@h".parse::<Target>().unwrap().with_key("user 7"));
        assert_ne!(a, Target::keyed("b@h", "user 8").unwrap());
        assert!(!a.to_string().contains("user"));
    }
}
