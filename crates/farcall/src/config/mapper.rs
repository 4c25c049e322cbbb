//! The table `[mapper]`, and the range of ports that nodes of one host share.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// The settings of the port mapper: by which port a node is found whose address does not say.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MapperConfig {
    /// Whether this node registers its name, serves the mapper if nobody does, and asks mappers for ports.
    #[serde(rename = "use")]
    pub mode: MapperUse,
    /// The mapper's port, here and on other hosts.
    pub port: u16,
    /// Where this node listens when it serves; the first is where it asks for nodes of its own host.
    #[serde(deserialize_with = "ips")]
    pub listen: Vec<IpAddr>,
}

impl MapperConfig {
    /// epmd's port.
    pub const PORT_DEFAULT: u16 = 4369;
    /// The most addresses it listens on.
    pub const ADDRESSES_MAX: usize = 16;

    /// Where the mapper of this host is asked.
    pub(crate) fn own_ip(&self) -> IpAddr {
        match self.listen.first() {
            Some(IpAddr::V6(ip)) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
            Some(ip) if !ip.is_unspecified() => *ip,
            _ => IpAddr::V4(Ipv4Addr::LOCALHOST),
        }
    }
}

impl Default for MapperConfig {
    fn default() -> Self {
        Self { mode: MapperUse::Off, port: Self::PORT_DEFAULT, listen: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)] }
    }
}

/// Whether a port mapper is used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MapperUse {
    /// No: ports are known from the configuration, from names, or from a discovery.
    #[default]
    Off,
    /// Whichever there is on the host, epmd or that of a farcall node; else this node serves one.
    Auto,
}

/// Ports of which a node takes the first that is free; `25100..=25120`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortRange(RangeInclusive<u16>);

impl PortRange {
    /// The most ports: a node that finds none free has tried all of them.
    pub const PORTS_MAX: usize = 1024;

    /// The ports, in the order in which they are tried.
    pub fn ports(&self) -> RangeInclusive<u16> {
        self.0.clone()
    }
}

impl FromStr for PortRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.trim().parse::<u16>().ok().filter(|port| *port > 0);
        let ends = text.split_once("..=").and_then(|(first, last)| Some((number(first)?, number(last)?)));
        match ends {
            Some((first, last)) if first <= last && usize::from(last - first) < Self::PORTS_MAX => {
                Ok(Self(first..=last))
            }
            _ => {
                let given: String = text.chars().take(64).collect();
                Err(format!(
                    "{given:?} is no range of ports: write two ports from 1 to 65535, at most {} in all, \
                     as \"25100..=25120\", or off",
                    Self::PORTS_MAX
                ))
            }
        }
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..={}", self.0.start(), self.0.end())
    }
}

/// For `deserialize_with`: a range, or `off`.
pub(super) fn ports_or_off<'de, D>(deserializer: D) -> Result<Option<PortRange>, D::Error>
where
    D: Deserializer<'de>,
{
    match String::deserialize(deserializer)?.as_str() {
        "off" => Ok(None),
        text => text.parse().map(Some).map_err(D::Error::custom),
    }
}

/// For `deserialize_with`: IP addresses, as a list or as a text with commas.
fn ips<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpAddr>, D::Error> {
    deserializer.deserialize_any(Written)
}

struct Written;

impl<'de> Visitor<'de> for Written {
    type Value = Vec<IpAddr>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IP addresses, as \"127.0.0.1\" or [\"127.0.0.1\", \"::1\"]")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        text.split(',').map(|part| parse_ip(part.trim()).map_err(E::custom)).collect()
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut ips = Vec::new();
        while let Some(text) = list.next_element::<String>()? {
            ips.push(parse_ip(&text).map_err(A::Error::custom)?);
        }
        Ok(ips)
    }
}

fn parse_ip(text: &str) -> Result<IpAddr, String> {
    let given: String = text.chars().take(64).collect();
    text.parse().map_err(|_| format!("{given:?} is no IP address; the port is that of mapper.port"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_of_ports_is_written_with_both_its_ends() {
        let range: PortRange = "25100..=25102".parse().unwrap();
        assert_eq!(range.ports().collect::<Vec<_>>(), [25100, 25101, 25102]);
        assert_eq!(range.to_string(), "25100..=25102");
        assert!("1..=1024".parse::<PortRange>().is_ok() && "7..=7".parse::<PortRange>().is_ok());
        for bad in ["", "25100", "25100..25120", "2..=1", "0..=3", "1..=1025", "1..=65536", "a..=b", "-1..=2"]
        {
            let error = bad.parse::<PortRange>().unwrap_err();
            assert!(error.contains("25100..=25120"), "{error}");
        }
    }
}
