//! The table `[tls]`: who this node is, whom it believes, and where it listens for TLS.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use super::{Listen, units};

/// What a peer must show over TLS.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Auth {
    /// A certificate for its name, and the cookie: neither is enough when the other is stolen.
    #[default]
    Both,
    /// A certificate for its name; there is no cookie.
    Certificate,
    /// The cookie, bound to the TLS session; nobody is asked for a certificate, so a node may give any name. The
    /// certificate of an answering node is still checked if there is a [`TlsConfig::ca`].
    Cookie,
}

impl Auth {
    /// The word for it: `both`, `certificate` or `cookie`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Both => "both",
            Self::Certificate => "certificate",
            Self::Cookie => "cookie",
        }
    }

    /// Whether peers are asked for certificates.
    pub fn needs_certificate(self) -> bool {
        self != Self::Cookie
    }

    /// Whether peers must prove the cookie.
    pub fn needs_cookie(self) -> bool {
        self != Self::Certificate
    }
}

/// The oldest version of TLS that is spoken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2, for peers behind devices that know nothing newer.
    V1_2,
    /// TLS 1.3.
    #[default]
    V1_3,
}

impl TlsVersion {
    /// The word for it: `1.2` or `1.3`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V1_2 => "1.2",
            Self::V1_3 => "1.3",
        }
    }
}

macro_rules! words {
    ($type:ident: $($value:ident),+; $allowed:literal) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $type {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                let known = [$(Self::$value),+].into_iter().find(|known| known.as_str() == text);
                let given: String = text.chars().take(64).collect();
                known.ok_or_else(|| format!(concat!("{:?} is none of ", $allowed), given))
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

words!(Auth: Both, Certificate, Cookie; "both, certificate, cookie");
words!(TlsVersion: V1_2, V1_3; "1.2, 1.3");

/// The settings of TLS. The files are PEM, and are read again by [`Node::reload_tls`](crate::Node::reload_tls).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsConfig {
    /// Where to accept TLS connections. [`Listen::Auto`] listens if [`Config::driver`](super::Config::driver) is TLS.
    pub listen: Listen,
    /// The port of nodes that have no address of their own, and the one [`Listen::Auto`] takes.
    pub port: u16,
    /// This node's certificate, with the ones between it and the authority behind it.
    pub certificate: Option<PathBuf>,
    /// The private key of [`certificate`](Self::certificate). Refused if others than its owner and group can use it.
    pub key: Option<PathBuf>,
    /// Certificates of the authorities that this node believes; several while one replaces another.
    pub ca: Vec<PathBuf>,
    /// Lists of revoked certificates, each signed by one of the authorities.
    pub crl: Vec<PathBuf>,
    /// What a peer must show; the same on all nodes.
    pub auth: Auth,
    /// The oldest version of TLS that is spoken.
    pub version_min: TlsVersion,
    /// Reads the files again, and the cookie file, when the process gets a SIGHUP. Without TLS no signal is handled.
    /// The node takes the signal over for good: it does not end the process any more, also after a shutdown.
    pub reload_on_sighup: bool,
    /// Warns in the log, once a day, when the certificate ends within this.
    #[serde(deserialize_with = "units::duration")]
    pub expiry_warning: Duration,
}

impl Default for TlsConfig {
    fn default() -> Self {
        Self {
            listen: Listen::Auto,
            port: Self::PORT_DEFAULT,
            certificate: None,
            key: None,
            ca: Vec::new(),
            crl: Vec::new(),
            auth: Auth::Both,
            version_min: TlsVersion::V1_3,
            reload_on_sighup: true,
            expiry_warning: Duration::from_secs(30 * 24 * 3600),
        }
    }
}

impl TlsConfig {
    /// gen_rpc's TLS port.
    pub const PORT_DEFAULT: u16 = 5370;
    /// The most authorities, and the most revocation lists.
    pub const FILES_MAX: usize = 16;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_a_setting_read_back_and_others_are_refused_with_the_choice() {
        assert_eq!("certificate".parse(), Ok(Auth::Certificate));
        assert_eq!("1.2".parse(), Ok(TlsVersion::V1_2));
        let refused = "Both".parse::<Auth>().unwrap_err();
        assert_eq!(refused, "\"Both\" is none of both, certificate, cookie");
    }
}
