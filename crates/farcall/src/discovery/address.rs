//! What to dial: a host and a port, written `host:port` or `[::1]:5369`, and how, if that is said: `tls://host:port`.

use std::fmt;
use std::net::{Ipv6Addr, SocketAddr};
use std::str::FromStr;

use farcall_proto::peer::NodeName;
use serde::{Deserialize, Deserializer};
use thiserror::Error;

use crate::driver::Driver;

/// What to dial: a host name or IP address, a port, and optionally the driver. Host names are resolved when they are
/// dialled.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    host: String,
    port: u16,
    driver: Option<Driver>,
}

impl Address {
    /// The longest host, in bytes: what the domain name system allows.
    pub const HOST_BYTES_MAX: usize = 253;

    /// An address of its parts. An IPv6 address stands without brackets here.
    ///
    /// # Errors
    /// [`AddressError`] if the host is empty, too long or no host, or if the port is 0.
    pub fn new(host: impl Into<String>, port: u16) -> Result<Self, AddressError> {
        let host = host.into();
        let refused = |reason| AddressError { given: shortened(&host), reason };
        if host.is_empty() || host.len() > Self::HOST_BYTES_MAX {
            return Err(refused("a host has 1 to 253 bytes"));
        }
        if host.contains(':') && host.parse::<Ipv6Addr>().is_err() && !is_scoped_ipv6(&host) {
            return Err(refused("a host with a colon must be an IPv6 address"));
        }
        let odd = |c: char| c.is_control() || c.is_whitespace() || "@[]/\"',=#".contains(c);
        if host.contains(odd) {
            return Err(refused("a host has no white space, quotes, brackets, @, / or ="));
        }
        if port == 0 {
            return Err(refused("port 0 cannot be dialled"));
        }
        Ok(Self { host, port, driver: None })
    }

    /// The same address, dialled with this driver whatever the configuration says.
    #[must_use]
    pub fn with_driver(self, driver: Driver) -> Self {
        Self { driver: Some(driver), ..self }
    }

    /// The driver it is dialled with; none leaves it to the configuration.
    pub fn driver(&self) -> Option<Driver> {
        self.driver
    }

    /// The address that the name of a node gives by itself: its host part, and `port_default` unless the host part
    /// ends in a port of its own (`beta@10.0.0.2:5370`, `beta@[::1]:5370`).
    ///
    /// # Errors
    /// [`AddressError`] if the host part is neither a host nor an address.
    pub fn of_node(node: &NodeName, port_default: u16) -> Result<Self, AddressError> {
        match Self::port_in_name(node) {
            true => node.host().parse(),
            false => Self::new(node.host(), port_default),
        }
    }

    /// Whether the name of a node carries its port.
    pub(crate) fn port_in_name(node: &NodeName) -> bool {
        let host = node.host();
        host.starts_with('[') || host.matches(':').count() == 1
    }

    /// The host name or IP address, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port; never 0.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let refused = |reason| AddressError { given: shortened(text), reason };
        if let Some((driver, rest)) = text.split_once("://") {
            let driver = driver.parse().map_err(|_| refused("drivers are tcp and tls"))?;
            return match rest.contains("://") {
                true => Err(refused("there are two drivers")),
                false => rest.parse::<Self>().map(|address| address.with_driver(driver)),
            };
        }
        let (host, port) = text.rsplit_once(':').ok_or(refused("there is no port"))?;
        let host = match host.strip_prefix('[') {
            Some(bracketed) => {
                let inner = bracketed.strip_suffix(']').filter(|inner| inner.contains(':'));
                inner.ok_or(refused("brackets hold an IPv6 address"))?
            }
            None if host.contains(':') => return Err(refused("an IPv6 address stands in brackets")),
            None => host,
        };
        // `parse` alone would also take "+80".
        let digits = port.bytes().all(|byte| byte.is_ascii_digit());
        let port =
            port.parse().ok().filter(|_| digits).ok_or(refused("the port is no number up to 65535"))?;
        Self::new(host, port)
    }
}

impl TryFrom<SocketAddr> for Address {
    type Error = AddressError;

    fn try_from(socket: SocketAddr) -> Result<Self, AddressError> {
        // Through the text, because the scope of a link-local IPv6 address belongs to the host.
        socket.to_string().parse()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(driver) = self.driver {
            write!(f, "{driver}://")?;
        }
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A text that is no address.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{given:?} is no address: {reason}; write host:port, 10.0.0.2:5369 or [::1]:5369")]
pub struct AddressError {
    /// The beginning of what was given.
    pub given: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

fn is_scoped_ipv6(host: &str) -> bool {
    host.split_once('%').is_some_and(|(ip, scope)| !scope.is_empty() && ip.parse::<Ipv6Addr>().is_ok())
}

fn shortened(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::node;
    use super::*;

    #[test]
    fn an_address_reads_back_as_it_is_written() {
        for text in [
            "localhost:5369",
            "10.0.0.2:1",
            "[::1]:5369",
            "[fe80::1%eth0]:65535",
            "a.b-c.example:80",
            "tls://10.0.0.2:5370",
            "tcp://[::1]:1",
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        let v6: Address = "[::1]:5369".parse().unwrap();
        assert_eq!((v6.host(), v6.port()), ("::1", 5369));
        assert_eq!(Address::new("::1", 5369).unwrap(), v6);
        let socket: SocketAddr = "[::1]:5369".parse().unwrap();
        assert_eq!(Address::try_from(socket).unwrap(), v6);
    }

    #[test]
    fn what_is_no_address_is_refused_with_the_reason() {
        for (bad, reason) in [
            ("", "no port"),
            ("localhost", "no port"),
            ("localhost:", "no number"),
            ("localhost:http", "no number"),
            ("localhost:+80", "no number"),
            ("localhost:65536", "no number"),
            ("localhost:0", "port 0"),
            (":5369", "1 to 253"),
            ("::1:5369", "in brackets"),
            ("[]:5369", "hold an IPv6"),
            ("[localhost]:5369", "hold an IPv6"),
            ("[::1:5369", "hold an IPv6"),
            ("[a:b:c]:5369", "must be an IPv6"),
            ("beta@host:5369", "no white space"),
            ("a b:5369", "no white space"),
            ("http://h:5369", "drivers are"),
            ("tls://tls://h:5369", "two drivers"),
            ("tls://h", "no port"),
        ] {
            let error = bad.parse::<Address>().unwrap_err().to_string();
            assert!(error.contains(reason), "{bad:?}: {error}");
        }
        assert!(format!("{}:1", "x".repeat(254)).parse::<Address>().is_err());
    }

    #[test]
    fn a_node_name_gives_its_own_address_with_or_without_a_port() {
        for (name, wanted) in [
            ("b@10.0.0.2", "10.0.0.2:5369"),
            ("b@10.0.0.2:7000", "10.0.0.2:7000"),
            ("b@::1", "[::1]:5369"),
            ("b@[::1]:7000", "[::1]:7000"),
            ("b@host.example", "host.example:5369"),
        ] {
            assert_eq!(Address::of_node(&node(name), 5369).unwrap().to_string(), wanted);
        }
        assert!(Address::of_node(&node("b@host:x"), 5369).is_err());
        assert!(Address::of_node(&node("b@a/b"), 5369).is_err());
    }
}
