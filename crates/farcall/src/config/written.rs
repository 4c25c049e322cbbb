//! What a configuration has at each key, as somebody would write it into the environment.
//!
//! The other way round than reading: every key that [`keys`](super::keys) lists is here, and a test reads back what is
//! written for each.

use std::fmt::Display;
use std::path::PathBuf;
use std::time::Duration;

use farcall_proto::cluster::services::Policy;

use super::units::{show_bytes, show_duration};
use super::{Config, MapperConfig, MapperUse, ServicesConfig, StrangersConfig, TcpConfig, TlsConfig};
use crate::access::AccessList;

/// What stands at a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Written {
    /// Nothing, and there is no default.
    Unset,
    /// One value.
    One(String),
    /// The entries of a list or of a table.
    Entries(Vec<String>),
}

use Written::{Entries, One, Unset};

impl Config {
    /// What stands at a key, with the access list that holds now; nothing for a key that there is not.
    pub(crate) fn written(&self, key: &str, access: &AccessList) -> Option<Written> {
        match key.split_once('.') {
            Some(("tcp", word)) => self.tcp.written(word),
            Some(("tls", word)) => self.tls.written(word),
            Some(("mapper", word)) => self.mapper.written(word),
            Some(("services", word)) => self.services.written(word),
            Some(("access", word)) => Some(access.entries(word).map_or(Unset, Entries)),
            Some(("strangers", word)) => self.strangers.written(word),
            Some(_) => None,
            None => self.place(key).or_else(|| self.time(key)).or_else(|| self.bound(key)),
        }
    }

    /// Who and where the node is.
    fn place(&self, key: &str) -> Option<Written> {
        Some(match key {
            "name" => self.name.as_ref().map_or(Unset, one),
            "cluster" => one(&self.cluster),
            "hidden" => one(self.hidden),
            "cookie_file" => path(self.cookie_file.as_ref()),
            "driver" => one(self.driver),
            "allow_plaintext" => one(self.allow_plaintext),
            "nodes" => list(self.nodes.iter().map(|(node, address)| format!("{node}={address}"))),
            "discovery_file" => path(self.discovery_file.as_ref()),
            "ports" => or_off(self.ports.as_ref()),
            "metrics_listen" => or_off(self.metrics_listen),
            "compress" => one(self.compress),
            _ => return None,
        })
    }

    fn time(&self, key: &str) -> Option<Written> {
        Some(match key {
            "connect_timeout" => time(self.connect_timeout),
            "handshake_timeout" => time(self.handshake_timeout),
            "send_timeout" => time(self.send_timeout),
            "call_timeout" => time(self.call_timeout),
            "sbcast_timeout" => time(self.sbcast_timeout),
            "client_idle" => or_off(self.client_idle.map(show_duration)),
            "acceptor_idle" => or_off(self.acceptor_idle.map(show_duration)),
            "promise_ttl" => or_off(self.promise_ttl.map(show_duration)),
            "drain_timeout" => time(self.drain_timeout),
            "tick" => time(self.tick),
            "write_stall_timeout" => time(self.write_stall_timeout),
            "backoff_min" => time(self.backoff_min),
            "backoff_max" => time(self.backoff_max),
            "idle_spin" => or_off(self.idle_spin.map(show_duration)),
            "mailbox_patience" => time(self.mailbox_patience),
            _ => return None,
        })
    }

    fn bound(&self, key: &str) -> Option<Written> {
        Some(match key {
            "tick_intensity" => one(self.tick_intensity),
            "connections_per_node_max" => one(self.connections_per_node_max),
            "message_bytes_max" => bytes(self.message_bytes_max),
            "fragment_bytes" => bytes(self.fragment_bytes),
            "unsent_bytes_max" => bytes(self.unsent_bytes_max),
            "in_flight_max" => one(self.in_flight_max),
            "reassembly_bytes_max" => bytes(self.reassembly_bytes_max),
            "streams_max" => one(self.streams_max),
            "stream_window_bytes" => bytes(self.stream_window_bytes),
            "compress_threshold_bytes" => bytes(self.compress_threshold_bytes),
            "mailbox_messages_max" => one(self.mailbox_messages_max),
            "mailbox_bytes_max" => bytes(self.mailbox_bytes_max),
            "acceptor_bytes_max" => bytes(self.acceptor_bytes_max),
            "routes_max" => one(self.routes_max),
            "names_max" => one(self.names_max),
            "group_members_max" => one(self.group_members_max),
            "monitors_max" => one(self.monitors_max),
            "half_open_max" => one(self.half_open_max),
            "acceptors_max" => one(self.acceptors_max),
            _ => return None,
        })
    }
}

impl TcpConfig {
    fn written(&self, word: &str) -> Option<Written> {
        Some(match word {
            "listen" => one(&self.listen),
            "port" => one(self.port),
            "keepalive_idle" => time(self.keepalive_idle),
            "keepalive_interval" => time(self.keepalive_interval),
            "keepalive_count" => one(self.keepalive_count),
            "nodelay" => one(self.nodelay),
            "send_buffer_bytes" => self.send_buffer_bytes.map_or_else(off, bytes),
            "recv_buffer_bytes" => self.recv_buffer_bytes.map_or_else(off, bytes),
            "v6_only" => one(self.v6_only),
            _ => return None,
        })
    }
}

impl TlsConfig {
    /// Files by their names; what is in them is told to nobody.
    fn written(&self, word: &str) -> Option<Written> {
        Some(match word {
            "listen" => one(&self.listen),
            "port" => one(self.port),
            "certificate" => path(self.certificate.as_ref()),
            "key" => path(self.key.as_ref()),
            "ca" => list(self.ca.iter().map(|file| file.display())),
            "crl" => list(self.crl.iter().map(|file| file.display())),
            "auth" => one(self.auth),
            "version_min" => one(self.version_min),
            "reload_on_sighup" => one(self.reload_on_sighup),
            "expiry_warning" => time(self.expiry_warning),
            _ => return None,
        })
    }
}

impl MapperConfig {
    fn written(&self, word: &str) -> Option<Written> {
        Some(match word {
            "use" => one(match self.mode {
                MapperUse::Off => "off",
                MapperUse::Auto => "auto",
            }),
            "port" => one(self.port),
            "listen" => Entries(self.listen.iter().map(ToString::to_string).collect()),
            _ => return None,
        })
    }
}

impl ServicesConfig {
    fn written(&self, word: &str) -> Option<Written> {
        Some(match word {
            "rules" => list(&self.rules),
            "hosts" => list(&self.hosts),
            "hosts_file" => path(self.hosts_file.as_ref()),
            "policy" => one(match self.policy {
                Policy::Random => "random",
                Policy::LeastBusy => "least_busy",
            }),
            "world_interval" => time(self.world_interval),
            "worker_interval" => time(self.worker_interval),
            "hosts_interval" => time(self.hosts_interval),
            _ => return None,
        })
    }
}

impl StrangersConfig {
    fn written(&self, word: &str) -> Option<Written> {
        Some(match word {
            "half_open_per_source_max" => one(self.half_open_per_source_max),
            "accept_rate" => one(self.accept_rate),
            "accept_rate_per_source" => one(self.accept_rate_per_source),
            "delay_min" => time(self.delay_min),
            "delay_max" => time(self.delay_max),
            "sources_max" => one(self.sources_max),
            "limit_loopback" => one(self.limit_loopback),
            "frame_bytes_max" => bytes(self.frame_bytes_max),
            "bytes_max" => bytes(self.bytes_max),
            "tls_bytes_max" => bytes(self.tls_bytes_max),
            _ => return None,
        })
    }
}

fn one(value: impl Display) -> Written {
    One(value.to_string())
}

fn off() -> Written {
    one("off")
}

fn or_off(value: Option<impl Display>) -> Written {
    value.map_or_else(off, one)
}

fn time(value: Duration) -> Written {
    One(show_duration(value))
}

fn bytes(value: usize) -> Written {
    One(show_bytes(value as u64))
}

fn path(value: Option<&PathBuf>) -> Written {
    value.map_or(Unset, |path| one(path.display()))
}

/// Where nothing stands unless something was set.
fn list<T: Display>(entries: impl IntoIterator<Item = T>) -> Written {
    let entries: Vec<_> = entries.into_iter().map(|entry| entry.to_string()).collect();
    if entries.is_empty() { Unset } else { Entries(entries) }
}
