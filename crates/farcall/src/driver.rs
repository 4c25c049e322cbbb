//! The two ways a connection is made: gen_rpc's drivers.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer};

/// How two nodes are connected: gen_rpc's driver.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Driver {
    /// Plain TCP: the cookie is proved, and what follows is neither hidden nor protected.
    #[default]
    Tcp,
    /// TLS over TCP.
    Tls,
}

impl Driver {
    /// The word for it: `tcp` or `tls`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Tls => "tls",
        }
    }
}

impl fmt::Display for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Driver {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "tcp" => Ok(Self::Tcp),
            "tls" => Ok(Self::Tls),
            _ => Err(format!("{:?} is neither tcp nor tls", text.chars().take(64).collect::<String>())),
        }
    }
}

impl<'de> Deserialize<'de> for Driver {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
