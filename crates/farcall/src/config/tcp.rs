//! The table `[tcp]`: where to listen without TLS, which port to dial, and how the sockets of both drivers are set.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};

use super::units;
use crate::discovery::Address;

/// The settings of TCP. Those of sockets hold below TLS too.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TcpConfig {
    /// Where to accept connections without TLS.
    pub listen: Listen,
    /// The port of nodes that have no address of their own, and the one [`Listen::Auto`] takes.
    pub port: u16,
    /// Idle time before the first keepalive probe, on both ends; whole seconds.
    #[serde(deserialize_with = "units::duration")]
    pub keepalive_idle: Duration,
    /// Time between keepalive probes; whole seconds.
    #[serde(deserialize_with = "units::duration")]
    pub keepalive_interval: Duration,
    /// Unanswered keepalive probes that end a connection.
    pub keepalive_count: u32,
    /// Send without waiting for more (`TCP_NODELAY`).
    pub nodelay: bool,
    /// The kernel's send buffer; `None` leaves it to the kernel, which adapts it to the path.
    #[serde(deserialize_with = "units::bytes_or_off")]
    pub send_buffer_bytes: Option<usize>,
    /// The kernel's receive buffer; `None` leaves it to the kernel.
    #[serde(deserialize_with = "units::bytes_or_off")]
    pub recv_buffer_bytes: Option<usize>,
    /// Whether a listener on an IPv6 address refuses IPv4 (`IPV6_V6ONLY`).
    pub v6_only: bool,
}

impl Default for TcpConfig {
    fn default() -> Self {
        Self {
            listen: Listen::Auto,
            port: Self::PORT_DEFAULT,
            keepalive_idle: Duration::from_secs(5),
            keepalive_interval: Duration::from_secs(5),
            keepalive_count: 2,
            nodelay: true,
            send_buffer_bytes: None,
            recv_buffer_bytes: None,
            v6_only: false,
        }
    }
}

impl TcpConfig {
    /// gen_rpc's port, so that firewalls need no new rule.
    pub const PORT_DEFAULT: u16 = 5369;
}

/// Where to accept connections.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Listen {
    /// On the host part of the node's name, at the port of the driver or the one the name carries, if it is the driver
    /// that this node dials with; `"auto"` in a file.
    #[default]
    Auto,
    /// Nowhere: this node calls others and is called by none; `false` or `"off"` in a file.
    Off,
    /// On these, where port 0 takes a free one; a list or a text with commas in a file.
    On(Vec<SocketAddr>),
}

impl Listen {
    /// The most addresses one node listens on.
    pub const ADDRESSES_MAX: usize = 16;

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "off" | "false" => Ok(Self::Off), // the environment knows texts only
            text => {
                text.split(',').map(|part| parse_socket(part.trim())).collect::<Result<_, _>>().map(Self::On)
            }
        }
    }
}

/// One thing to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenOn {
    /// The host of the node's name, still to be resolved.
    Host(Address),
    /// An address as it was configured.
    Socket(SocketAddr),
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Off => f.write_str("off"),
            Self::On(sockets) => {
                let sockets: Vec<_> = sockets.iter().map(SocketAddr::to_string).collect();
                f.write_str(&sockets.join(","))
            }
        }
    }
}

impl<'de> Deserialize<'de> for Listen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Written)
    }
}

struct Written;

impl<'de> Visitor<'de> for Written {
    type Value = Listen;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("auto, off, false or a list like [\"0.0.0.0:5369\", \"[::]:5369\"]")
    }

    fn visit_bool<E: Error>(self, on: bool) -> Result<Listen, E> {
        match on {
            true => Err(E::invalid_value(serde::de::Unexpected::Bool(true), &self)),
            false => Ok(Listen::Off),
        }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Listen, E> {
        Listen::parse(text).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Listen, A::Error> {
        let mut sockets = Vec::new();
        while let Some(text) = list.next_element::<String>()? {
            sockets.push(parse_socket(&text).map_err(A::Error::custom)?);
        }
        Ok(Listen::On(sockets))
    }
}

fn parse_socket(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        let given: String = text.chars().take(64).collect();
        format!(
            "{given:?} is no address to listen on: write an IP address and a port, 0.0.0.0:5369 or [::]:5369"
        )
    })
}

/// For `deserialize_with`: one IP address with its port, or `off`.
pub(super) fn address_or_off<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<SocketAddr>, D::Error> {
    match String::deserialize(deserializer)?.as_str() {
        "off" => Ok(None),
        text => text.parse().map(Some).map_err(|_| {
            D::Error::custom(format!("{text:?} is no address: write IP:port, as 127.0.0.1:9464, or off"))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listen(value: &str) -> Result<Listen, toml::de::Error> {
        toml::from_str::<TcpConfig>(&format!("listen = {value}")).map(|tcp| tcp.listen)
    }

    #[test]
    fn where_to_listen_is_written_as_a_word_a_list_or_false() {
        let both = Listen::On(vec!["0.0.0.0:5369".parse().unwrap(), "[::1]:0".parse().unwrap()]);
        assert_eq!(listen("\"auto\"").unwrap(), Listen::Auto);
        assert_eq!(listen("\"off\"").unwrap(), Listen::Off);
        assert_eq!(listen("false").unwrap(), Listen::Off);
        assert_eq!(listen("[\"0.0.0.0:5369\", \"[::1]:0\"]").unwrap(), both);
        assert_eq!(listen("\"0.0.0.0:5369, [::1]:0\"").unwrap(), both);
        assert_eq!(both.to_string(), "0.0.0.0:5369,[::1]:0");
        for bad in ["true", "5369", "\"\"", "\"localhost:5369\"", "[\"::1:5369\"]", "[5369]"] {
            assert!(listen(bad).is_err(), "{bad}");
        }
    }
}
