//! The configuration that a node runs with.

use crate::config::is_of;

/// What a node was set to, key by key.
///
/// It is what the configuration says, with what the program set in code and with the access list that holds now. What a
/// program brings itself stands in no key: cookies, certificates and a discovery of its own. No secret is in it: of files
/// there are the names.
#[farcall::data]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigView {
    /// The node.
    pub node: String,
    /// The version of farcall it runs, which has these keys.
    pub farcall: String,
    /// Every key, in the order of [`config::keys`](crate::config::keys).
    pub keys: Vec<SettingView>,
}

/// What stands at one key.
#[farcall::data]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingView {
    /// The key, with its table: `tcp.port`.
    pub key: String,
    /// Its value, as it would be written in the environment; none if it is unset.
    pub value: Option<String>,
    /// What it is without being set; none if it is unset.
    pub default: Option<String>,
    /// Whether the value is another one than the default.
    pub changed: bool,
    /// So many entries of a long list or table are left out of the value.
    pub left_out: u64,
}

impl SettingView {
    /// The longest value that is told, in bytes. Of a list or table, entries are told while they fit; another value that
    /// is longer is cut, and ends with `…`.
    pub const VALUE_BYTES_MAX: usize = 4096;

    /// Whether this is meant: a whole key, `tcp.port`, or a table, `tcp`.
    pub fn is_of(&self, asked: &str) -> bool {
        is_of(&self.key, asked)
    }
}

impl ConfigView {
    /// What stands at a key.
    pub fn key(&self, key: &str) -> Option<&SettingView> {
        self.keys.iter().find(|setting| setting.key == key)
    }
}
