//! Whether the settings make sense together. One rule a line; the error names the key, the value and what is allowed.

use std::ops::RangeInclusive;
use std::time::Duration;

use farcall_proto::link::handshake::{PreAuthFramer, PreAuthLimits};

use super::units::{show_bytes, show_duration};
use super::{Config, ConfigError, Listen, MapperConfig, MapperUse, ServicesConfig, TlsConfig};
use crate::compress::Compress;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// The largest keepalive time Linux takes, in seconds.
const KEEPALIVE_MAX: Duration = Duration::from_secs(32_767);

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
/// The largest message: lengths on the wire are 32 bits, and one message must not be most of a machine's memory.
const MESSAGE_BYTES_MAX: usize = 1 << 30;
/// The largest buffer a socket option can name.
const BUFFER_BYTES_MAX: usize = 1 << 30;
/// What a frame adds to the largest message at most, names included.
const FRAME_OVERHEAD_BYTES: usize = 64 * KIB;
/// Counts beyond this are mistakes: the tables alone would not fit.
const COUNT_MAX: usize = 1 << 24;

pub(super) fn check(config: &Config) -> Result<(), ConfigError> {
    check_names(config)?;
    check_durations(config)?;
    check_tcp(config)?;
    check_tls(config)?;
    check_mapper(config)?;
    check_services(config)?;
    check_sizes(config)?;
    check_counts(config)?;
    check_strangers(config)
}

fn check_names(c: &Config) -> Result<(), ConfigError> {
    let cluster = &c.cluster;
    if cluster.is_empty() || cluster.len() > Config::CLUSTER_BYTES_MAX || cluster.contains(char::is_control) {
        return refused("cluster", format!("{cluster:?}"), "1 to 64 bytes without control characters");
    }
    if c.nodes.len() > Config::NODES_MAX {
        return refused("nodes", format!("{} nodes", c.nodes.len()), "at most 65536 nodes");
    }
    for (key, path) in [("cookie_file", &c.cookie_file), ("discovery_file", &c.discovery_file)] {
        if path.as_ref().is_some_and(|path| path.as_os_str().is_empty()) {
            return refused(key, "\"\"", "the path of a file");
        }
    }
    Ok(())
}

fn check_durations(c: &Config) -> Result<(), ConfigError> {
    for (key, value) in [
        ("connect_timeout", c.connect_timeout),
        ("handshake_timeout", c.handshake_timeout),
        ("send_timeout", c.send_timeout),
        ("call_timeout", c.call_timeout),
        ("sbcast_timeout", c.sbcast_timeout),
        ("write_stall_timeout", c.write_stall_timeout),
    ] {
        time(key, value, MS..=DAY)?;
    }
    for (key, value) in
        [("client_idle", c.client_idle), ("acceptor_idle", c.acceptor_idle), ("promise_ttl", c.promise_ttl)]
    {
        value.map_or(Ok(()), |value| time(key, value, MS..=DAY))?;
    }
    c.idle_spin.map_or(Ok(()), |value| time("idle_spin", value, Duration::from_micros(1)..=MS))?;
    time("tick", c.tick, 10 * MS..=HOUR)?;
    time("backoff_min", c.backoff_min, MS..=HOUR)?;
    time("backoff_max", c.backoff_max, MS..=HOUR)?;
    if c.backoff_max < c.backoff_min {
        let allowed = format!("at least backoff_min, which is {}", show_duration(c.backoff_min));
        return refused("backoff_max", show_duration(c.backoff_max), allowed);
    }
    if c.write_stall_timeout < c.tick {
        let allowed = format!("at least tick, which is {}", show_duration(c.tick));
        return refused("write_stall_timeout", show_duration(c.write_stall_timeout), allowed);
    }
    // Zero has a meaning here: do not wait at all.
    time("mailbox_patience", c.mailbox_patience, Duration::ZERO..=MINUTE)?;
    time("drain_timeout", c.drain_timeout, Duration::ZERO..=DAY)
}

fn check_tcp(c: &Config) -> Result<(), ConfigError> {
    let tcp = &c.tcp;
    if tcp.port == 0 {
        return refused("tcp.port", "0", "1 to 65535; for a free port write tcp.listen = [\"127.0.0.1:0\"]");
    }
    check_listen("tcp.listen", &tcp.listen)?;
    for (key, value) in
        [("tcp.keepalive_idle", tcp.keepalive_idle), ("tcp.keepalive_interval", tcp.keepalive_interval)]
    {
        time(key, value, SECOND..=KEEPALIVE_MAX)?;
        if value.subsec_nanos() != 0 {
            return refused(key, show_duration(value), "whole seconds, because the kernel counts in them");
        }
    }
    if !(1..=127).contains(&tcp.keepalive_count) {
        return refused("tcp.keepalive_count", tcp.keepalive_count.to_string(), "1 to 127");
    }
    for (key, value) in
        [("tcp.send_buffer_bytes", tcp.send_buffer_bytes), ("tcp.recv_buffer_bytes", tcp.recv_buffer_bytes)]
    {
        value.map_or(Ok(()), |value| size(key, value, 4 * KIB..=BUFFER_BYTES_MAX))?;
    }
    Ok(())
}

fn check_listen(key: &'static str, listen: &Listen) -> Result<(), ConfigError> {
    let Listen::On(sockets) = listen else { return Ok(()) };
    if sockets.is_empty() || sockets.len() > Listen::ADDRESSES_MAX {
        let value = format!("a list of {}", sockets.len());
        return refused(key, value, "1 to 16 addresses, or off for none");
    }
    let twice = sockets.iter().enumerate().find_map(|(index, socket)| {
        (socket.port() != 0 && sockets.iter().skip(index + 1).any(|other| other == socket)).then_some(socket)
    });
    twice.map_or(Ok(()), |twice| refused(key, twice.to_string(), "each address once"))
}

fn check_tls(c: &Config) -> Result<(), ConfigError> {
    let tls = &c.tls;
    if tls.port == 0 {
        return refused("tls.port", "0", "1 to 65535; for a free port write tls.listen = [\"127.0.0.1:0\"]");
    }
    check_listen("tls.listen", &tls.listen)?;
    for (key, path) in [("tls.certificate", &tls.certificate), ("tls.key", &tls.key)] {
        if path.as_ref().is_some_and(|path| path.as_os_str().is_empty()) {
            return refused(key, "\"\"", "the path of a PEM file");
        }
    }
    for (key, paths) in [("tls.ca", &tls.ca), ("tls.crl", &tls.crl)] {
        if paths.len() > TlsConfig::FILES_MAX || paths.iter().any(|path| path.as_os_str().is_empty()) {
            return refused(key, format!("a list of {}", paths.len()), "at most 16 paths of PEM files");
        }
    }
    time("tls.expiry_warning", tls.expiry_warning, SECOND..=3650 * DAY)?;
    let both = |one: &Listen, other: &Listen| match (one, other) {
        (Listen::On(one), Listen::On(other)) => {
            one.iter().find(|socket| socket.port() != 0 && other.contains(socket)).copied()
        }
        _ => None,
    };
    match both(&c.tcp.listen, &tls.listen) {
        Some(socket) => refused("tls.listen", socket.to_string(), "other addresses than those of tcp.listen"),
        None => Ok(()),
    }
}

fn check_services(c: &Config) -> Result<(), ConfigError> {
    let services = &c.services;
    if services.rules.len() > ServicesConfig::RULES_MAX {
        return refused("services.rules", format!("a list of {}", services.rules.len()), "256 rules at most");
    }
    if let Err(error) = services.parsed() {
        return refused("services.rules", format!("{:?}", error.pattern), error.why);
    }
    if services.hosts.len() > ServicesConfig::HOSTS_MAX {
        return refused(
            "services.hosts",
            format!("a list of {}", services.hosts.len()),
            "1024 hosts at most",
        );
    }
    time("services.world_interval", services.world_interval, 100 * MS..=DAY)?;
    time("services.worker_interval", services.worker_interval, 100 * MS..=DAY)?;
    time("services.hosts_interval", services.hosts_interval, 100 * MS..=DAY)
}

fn check_mapper(c: &Config) -> Result<(), ConfigError> {
    let mapper = &c.mapper;
    if mapper.port == 0 {
        return refused("mapper.port", "0", "1 to 65535, the same on all nodes; epmd's is 4369");
    }
    if mapper.listen.is_empty() || mapper.listen.len() > MapperConfig::ADDRESSES_MAX {
        let value = format!("a list of {}", mapper.listen.len());
        return refused("mapper.listen", value, "1 to 16 IP addresses");
    }
    let taken = c.ports.as_ref().filter(|ports| ports.ports().contains(&mapper.port));
    match (taken, mapper.mode) {
        (Some(ports), MapperUse::Auto) => {
            refused("ports", ports.to_string(), format!("a range without mapper.port, {}", mapper.port))
        }
        _ => Ok(()),
    }
}

fn check_strangers(c: &Config) -> Result<(), ConfigError> {
    let s = &c.strangers;
    for (key, value, max) in [
        ("strangers.half_open_per_source_max", s.half_open_per_source_max, 1 << 16),
        ("strangers.accept_rate", s.accept_rate as usize, 1 << 20),
        ("strangers.accept_rate_per_source", s.accept_rate_per_source as usize, 1 << 20),
        ("strangers.sources_max", s.sources_max, 1 << 20),
    ] {
        if !(1..=max).contains(&value) {
            return refused(key, value.to_string(), format!("1 to {max}"));
        }
    }
    time("strangers.delay_min", s.delay_min, MS..=HOUR)?;
    time("strangers.delay_max", s.delay_max, s.delay_min..=DAY)?;
    // Else nodes that belong here could be refused: only those that prove themselves give back what they took.
    for (key, rate, least, held) in [
        ("strangers.accept_rate", s.accept_rate as usize, c.half_open_max, "half_open_max"),
        (
            "strangers.accept_rate_per_source",
            s.accept_rate_per_source as usize,
            s.half_open_per_source_max,
            "strangers.half_open_per_source_max",
        ),
        ("strangers.sources_max", s.sources_max, c.half_open_max, "half_open_max"),
    ] {
        if rate < least {
            return refused(key, rate.to_string(), format!("at least {held}, which is {least}"));
        }
    }
    // From what the longest names and every extension need.
    let least = PreAuthLimits::LEAST;
    size(
        "strangers.frame_bytes_max",
        s.frame_bytes_max,
        least.frame_bytes_max..=PreAuthFramer::FRAME_BYTES_MAX,
    )?;
    size("strangers.bytes_max", s.bytes_max, least.total_bytes_max.max(s.frame_bytes_max)..=256 * KIB)?;
    size("strangers.tls_bytes_max", s.tls_bytes_max, 8 * KIB..=MIB)
}

fn check_sizes(c: &Config) -> Result<(), ConfigError> {
    let message = c.message_bytes_max;
    size("message_bytes_max", message, 4 * KIB..=MESSAGE_BYTES_MAX)?;
    size("fragment_bytes", c.fragment_bytes, 4 * KIB..=MIB)?;
    size("stream_window_bytes", c.stream_window_bytes, 4 * KIB..=64 * MIB)?;
    size("compress_threshold_bytes", c.compress_threshold_bytes, 0..=MESSAGE_BYTES_MAX)?;
    // A bound that the largest message cannot pass would refuse it for ever, and say that it is busy.
    at_least("unsent_bytes_max", c.unsent_bytes_max, message, FRAME_OVERHEAD_BYTES)?;
    at_least("reassembly_bytes_max", c.reassembly_bytes_max, message, 0)?;
    at_least("mailbox_bytes_max", c.mailbox_bytes_max, message, 0)?;
    at_least("acceptor_bytes_max", c.acceptor_bytes_max, message, FRAME_OVERHEAD_BYTES)?;
    match c.compress {
        Compress::Zstd(level) if !(Compress::LEVEL_MIN..=Compress::LEVEL_MAX).contains(&level) => {
            refused("compress", c.compress.to_string(), "off, lz4, zstd, or zstd:1 to zstd:19")
        }
        _ => Ok(()),
    }
}

fn check_counts(c: &Config) -> Result<(), ConfigError> {
    for (key, value, max) in [
        ("connections_per_node_max", c.connections_per_node_max, 1 << 16),
        ("in_flight_max", c.in_flight_max, COUNT_MAX),
        ("streams_max", c.streams_max, 1 << 16),
        ("mailbox_messages_max", c.mailbox_messages_max, COUNT_MAX),
        ("routes_max", c.routes_max, 1 << 16),
        ("names_max", c.names_max, COUNT_MAX),
        ("group_members_max", c.group_members_max, COUNT_MAX),
        ("monitors_max", c.monitors_max, COUNT_MAX),
        ("half_open_max", c.half_open_max, 1 << 16),
        ("acceptors_max", c.acceptors_max, 1 << 20),
    ] {
        if !(1..=max).contains(&value) {
            return refused(key, value.to_string(), format!("1 to {max}"));
        }
    }
    if !(2..=1000).contains(&c.tick_intensity) {
        return refused("tick_intensity", c.tick_intensity.to_string(), "2 to 1000");
    }
    Ok(())
}

fn time(key: &'static str, value: Duration, allowed: RangeInclusive<Duration>) -> Result<(), ConfigError> {
    match allowed.contains(&value) {
        true => Ok(()),
        false => {
            let allowed = format!("{} to {}", show_duration(*allowed.start()), show_duration(*allowed.end()));
            refused(key, show_duration(value), allowed)
        }
    }
}

fn size(key: &'static str, value: usize, allowed: RangeInclusive<usize>) -> Result<(), ConfigError> {
    match allowed.contains(&value) {
        true => Ok(()),
        false => refused(key, show(value), format!("{} to {}", show(*allowed.start()), show(*allowed.end()))),
    }
}

fn at_least(key: &'static str, value: usize, message: usize, overhead: usize) -> Result<(), ConfigError> {
    let least = message.saturating_add(overhead);
    match value >= least {
        true => Ok(()),
        false => {
            let more = if overhead == 0 { String::new() } else { format!(" + {}", show(overhead)) };
            refused(key, show(value), format!("at least {} (message_bytes_max{more})", show(least)))
        }
    }
}

fn show(bytes: usize) -> String {
    show_bytes(u64::try_from(bytes).unwrap_or(u64::MAX))
}

fn refused(
    key: &'static str,
    value: impl Into<String>,
    allowed: impl Into<String>,
) -> Result<(), ConfigError> {
    Err(ConfigError::NotAllowed { key, value: value.into(), allowed: allowed.into() })
}
