//! Every key there is: what the environment, the manual and "did you mean" are made from.

use std::fmt;

use self::Unit::{Bytes, Duration, List, Map, Number, Switch, Text};

/// One key of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyDoc {
    /// The key, with its table: `tcp.port`.
    pub key: &'static str,
    /// How its value is written.
    pub unit: Unit,
    /// The default as it would be written in the environment; `unset` where there is none.
    pub default: &'static str,
    /// What it does.
    pub doc: &'static str,
}

impl KeyDoc {
    /// The environment variable of this key: `FARCALL_TCP_PORT`.
    pub fn variable(&self) -> String {
        format!("FARCALL_{}", self.key.replace('.', "_").to_uppercase())
    }

    /// Whether this is meant: a whole key, `tcp.port`, or a table, `tcp`.
    pub fn is_of(&self, asked: &str) -> bool {
        is_of(self.key, asked)
    }
}

/// Whether a key is the one that is asked for, or stands in the table that is.
pub(crate) fn is_of(key: &str, asked: &str) -> bool {
    key.strip_prefix(asked).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// How the value of a key is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unit {
    /// Any text.
    Text,
    /// `5s`, `100ms`.
    Duration,
    /// `64KiB`, or a number of bytes.
    Bytes,
    /// A whole number.
    Number,
    /// `true` or `false`.
    Switch,
    /// A list of texts; in the environment separated by commas.
    List,
    /// A table from text to text; in the environment `a@h=host:1,b@h=host:2`.
    Map,
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Duration => "duration",
            Self::Bytes => "bytes",
            Self::Number => "number",
            Self::Switch => "true or false",
            Self::List => "list",
            Self::Map => "table",
        })
    }
}

/// Every key of the configuration, in the order of the manual.
pub fn keys() -> &'static [KeyDoc] {
    KEYS
}

const fn key(key: &'static str, unit: Unit, default: &'static str, doc: &'static str) -> KeyDoc {
    KeyDoc { key, unit, default, doc }
}

#[rustfmt::skip] // a table
const KEYS: &[KeyDoc] = &[
    // Who and where.
    key("name", Text, "unset", "the node's name, name@host; needed to start unless the builder gives it"),
    key("cluster", Text, "farcall", "nodes of clusters with different names refuse each other"),
    key("hidden", Switch, "false", "peers leave it out of what is meant for all nodes; by its name it is reached"),
    key("cookie_file", Text, "unset", "the file with the cookie; unset takes the one in the user's configuration folder"),
    key("driver", Text, "tcp", "how nodes are dialled whose address does not say, and which listener is on by itself: tcp or tls"),
    key("tcp.listen", Text, "auto", "where to accept connections without TLS: auto (host of name, tcp.port; only if driver is tcp), off, or a list of IP:port"),
    key("tcp.port", Number, "5369", "the port of nodes without an address of their own, and of tcp.listen = auto"),
    key("allow_plaintext", Switch, "false", "lets plain TCP listen and dial outside of this host"),
    key("tls.listen", Text, "auto", "where to accept TLS connections: auto (host of name, tls.port; only if driver is tls), off, or a list of IP:port"),
    key("tls.port", Number, "5370", "the port of nodes without an address of their own, and of tls.listen = auto"),
    key("tls.certificate", Text, "unset", "this node's certificate, PEM, with those between it and the authority"),
    key("tls.key", Text, "unset", "its private key, PEM; nobody but its owner and group may use the file"),
    key("tls.ca", List, "unset", "certificates of the authorities that are believed, PEM files"),
    key("tls.crl", List, "unset", "lists of revoked certificates, PEM files"),
    key("tls.auth", Text, "both", "what a peer must show over TLS: both, certificate or cookie; the same on all nodes"),
    key("tls.version_min", Text, "1.3", "the oldest version of TLS that is spoken: 1.3 or 1.2"),
    key("tls.reload_on_sighup", Switch, "true", "reads these files and the cookie file again when the process gets a SIGHUP"),
    key("tls.expiry_warning", Duration, "720h", "warns in the log, once a day, when the certificate ends within this"),
    key("nodes", Map, "unset", "addresses of nodes, host:port or tls://host:port; asked before every other source"),
    key("discovery_file", Text, "unset", "a file of addresses, read again when it changes; asked after nodes"),
    key("ports", Text, "off", "ports of which a node takes the first free one, as 25100..=25120, where it listens on auto or on port 0"),
    key("mapper.use", Text, "off", "auto registers the node at the port mapper of its host, epmd or a farcall node's, serves one if there is none, and asks mappers for ports"),
    key("mapper.port", Number, "4369", "the port of mappers, the same on all hosts"),
    key("mapper.listen", Text, "127.0.0.1", "the IP addresses on which this node listens when it serves the mapper"),
    key("metrics_listen", Text, "off", "where Prometheus may read what this node counts, as 127.0.0.1:9464: without encryption and without a password"),
    key("services.rules", List, "unset", "each PATTERN -> SERVICE ...: nodes whose names match are connected to, and used for these services; the first that matches counts"),
    key("services.hosts", List, "unset", "hosts whose port mappers are asked which nodes there are, beside what discovery lists"),
    key("services.hosts_file", Text, "unset", "a file of hosts, one in each line, read again"),
    key("services.policy", Text, "random", "who of several gets a call, once those of the own host come first: random or least_busy"),
    key("services.world_interval", Duration, "20s", "between two looks at which nodes there are"),
    key("services.worker_interval", Duration, "4s", "between two attempts at a node that is not there; the first ones come sooner"),
    key("services.hosts_interval", Duration, "30s", "between two looks at the file of hosts"),
    key("access.allow", List, "unset", "only actors matching these patterns may be reached"),
    key("access.deny", List, "unset", "actors matching these patterns may not be reached"),
    key("access.peers", Map, "unset", "who may call what: patterns of node names, each with the patterns of actors; others may call nothing"),
    key("access.inspect", List, "unset", "patterns of the names of nodes that may look inside this one; unset lets everybody who is in"),
    key("access.operate", List, "unset", "patterns of the names of nodes that may operate this one: drain it, change its log, end its connections; unset lets nobody"),
    // Deadlines.
    key("connect_timeout", Duration, "5s", "discovery and dial together"),
    key("handshake_timeout", Duration, "5s", "the whole handshake, on both sides"),
    key("send_timeout", Duration, "5s", "waiting for room to send"),
    key("call_timeout", Duration, "15s", "a call as a whole, unless it names its own"),
    key("sbcast_timeout", Duration, "15s", "an sbcast as a whole, unless it names its own"),
    key("client_idle", Duration, "off", "closes an outgoing connection that nobody used for so long"),
    key("acceptor_idle", Duration, "off", "closes an incoming connection that nobody used for so long"),
    key("promise_ttl", Duration, "off", "drops the result of an async_call that nobody fetched for so long"),
    key("drain_timeout", Duration, "30s", "how long a shutdown waits for work in progress"),
    // Life of a connection.
    key("tick", Duration, "10s", "a peer silent for so long is dead, give or take tick / tick_intensity"),
    key("tick_intensity", Number, "4", "signs of life this node sends within one tick when it has nothing else to say"),
    key("write_stall_timeout", Duration, "30s", "closes a connection whose peer ticks but reads nothing"),
    key("backoff_min", Duration, "100ms", "the pause after the first failed connect"),
    key("backoff_max", Duration, "30s", "the longest pause between connects"),
    key("connections_per_node_max", Number, "64", "connections to one node; keys beyond share them by hash"),
    key("idle_spin", Duration, "off", "a connection with nothing to do looks again for so long before it sleeps, if that pays; at most 1ms"),
    key("tcp.keepalive_idle", Duration, "5s", "idle time before the first keepalive probe, both ends; whole seconds"),
    key("tcp.keepalive_interval", Duration, "5s", "between keepalive probes; whole seconds"),
    key("tcp.keepalive_count", Number, "2", "unanswered keepalive probes that end a connection"),
    key("tcp.nodelay", Switch, "true", "sends without waiting for more"),
    key("tcp.send_buffer_bytes", Bytes, "off", "the kernel's send buffer; off lets the kernel adapt it"),
    key("tcp.recv_buffer_bytes", Bytes, "off", "the kernel's receive buffer; off lets the kernel adapt it"),
    key("tcp.v6_only", Switch, "false", "a listener on an IPv6 address refuses IPv4"),
    // Bounds of one connection.
    key("message_bytes_max", Bytes, "16MiB", "the largest message, request or reply"),
    key("fragment_bytes", Bytes, "64KiB", "larger messages travel in pieces of this size, between the others"),
    key("unsent_bytes_max", Bytes, "32MiB", "bytes accepted for sending and not yet sent, per connection"),
    key("in_flight_max", Number, "65536", "calls without an answer, per connection"),
    key("reassembly_bytes_max", Bytes, "64MiB", "pieces of messages not yet complete, per connection"),
    key("streams_max", Number, "1024", "open streams, per connection"),
    key("stream_window_bytes", Bytes, "256KiB", "items of a stream sent ahead of its reader"),
    key("compress", Text, "off", "compresses what is sent: off, lz4, zstd, or zstd:1 to zstd:19"),
    key("compress_threshold_bytes", Bytes, "1KiB", "smaller messages are not compressed; 0 compresses all"),
    // Bounds of the node.
    key("mailbox_messages_max", Number, "65536", "messages of peers waiting for one actor"),
    key("mailbox_bytes_max", Bytes, "16MiB", "bytes of peers' messages waiting for one actor"),
    key("mailbox_patience", Duration, "10ms", "waiting for room in a full mailbox before the peer is told Busy"),
    key("acceptor_bytes_max", Bytes, "32MiB", "bytes of requests accepted from one connection and not yet answered"),
    key("routes_max", Number, "4096", "actor and message names a peer may define, per connection"),
    key("names_max", Number, "65536", "names registered on this node"),
    key("group_members_max", Number, "65536", "members of groups on this node, and known of each peer"),
    key("monitors_max", Number, "1048576", "monitors of this node; and monitors and links that each peer may have here"),
    key("acceptors_max", Number, "4096", "incoming connections"),
    // Strangers.
    key("half_open_max", Number, "128", "incoming connections that have not proved who they are"),
    key("strangers.half_open_per_source_max", Number, "8", "connections of one source in their handshake; a source is an IPv4 address or an IPv6 /64"),
    key("strangers.accept_rate", Number, "200", "handshakes that may begin each second; those that succeed do not count"),
    key("strangers.accept_rate_per_source", Number, "20", "the same of one source"),
    key("strangers.delay_min", Duration, "100ms", "a source whose handshake failed is refused for so long; each failure doubles it"),
    key("strangers.delay_max", Duration, "1m", "the longest such pause, and how long a source is quiet until it is forgiven"),
    key("strangers.sources_max", Number, "4096", "sources remembered"),
    key("strangers.limit_loopback", Switch, "false", "the limits of one source hold for loopback addresses too"),
    key("strangers.frame_bytes_max", Bytes, "4KiB", "the longest frame of a handshake"),
    key("strangers.bytes_max", Bytes, "16KiB", "all frames of one side of a handshake"),
    key("strangers.tls_bytes_max", Bytes, "32KiB", "bytes of TLS before the handshake of the nodes: hellos and certificates"),
];

/// The keys that look like `given`: misspelt by a little, or the same word in another table. At most three.
pub(super) fn near(given: &str) -> Vec<&'static str> {
    let given = given.to_lowercase();
    if given.len() > GIVEN_BYTES_MAX {
        return Vec::new();
    }
    let forms = |key: &str| [key.replace('.', "_"), key.rsplit('.').next().unwrap_or_default().to_owned()];
    let given_forms = forms(&given);
    let tolerance = 1 + given.len() / 5;
    let mut near: Vec<(usize, &'static str)> = Vec::new();
    for KeyDoc { key, .. } in KEYS {
        let pairs =
            forms(key).into_iter().flat_map(|key| given_forms.iter().map(move |given| (key.clone(), given)));
        let closest = pairs.map(|(key, given)| distance(&key, given)).min().unwrap_or(usize::MAX);
        let begins_it = given.len() > 3 && key.starts_with(&given);
        if closest <= tolerance || begins_it {
            near.push((closest, key));
        }
    }
    near.sort_by_key(|(distance, _)| *distance);
    near.into_iter().map(|(_, key)| key).take(3).collect()
}

/// Longer than any key with any mistake; what is longer is not compared.
const GIVEN_BYTES_MAX: usize = 64;

/// Letters to insert, delete or replace to make one of the other (Levenshtein), row by row.
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.chars().count()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, b) in row.iter_mut().zip(std::iter::once(None).chain(other.chars().map(Some))) {
            let above = *cell;
            *cell = match b {
                None => i + 1,
                Some(b) => (diagonal + usize::from(a != b)).min(above + 1).min(left + 1),
            };
            (diagonal, left) = (above, *cell);
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_key_finds_the_one_that_was_meant() {
        for (given, meant) in [
            ("call_timout", "call_timeout"),
            ("port", "tcp.port"),
            ("tcp_port", "tcp.port"),
            ("tcp.conect_timeout", "connect_timeout"),
            ("tcp.keepalive_idl", "tcp.keepalive_idle"),
            ("fragment", "fragment_bytes"),
            ("Name", "name"),
        ] {
            assert!(near(given).contains(&meant), "{given}: {:?}", near(given));
        }
        assert!(near("zzzzzzzz").is_empty());
        assert!(near(&"call_timeout".repeat(1000)).is_empty());
        assert!(keys().iter().all(|key| near(key.key).len() <= 3));
    }

    #[test]
    fn the_distance_counts_letters() {
        for (one, other, wanted) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("abc", "abc", 0),
            ("kitten", "sitting", 3),
            ("ab", "ba", 2),
        ] {
            assert_eq!(distance(one, other), wanted, "{one} {other}");
        }
    }

    #[test]
    fn no_key_is_there_twice_and_no_two_keys_share_a_variable() {
        let mut variables: Vec<_> = keys().iter().map(KeyDoc::variable).collect();
        variables.sort();
        variables.dedup();
        assert_eq!(variables.len(), keys().len());
        assert!(variables.contains(&"FARCALL_TCP_PORT".to_owned()));
    }
}
