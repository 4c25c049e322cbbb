//! The table `[strangers]`: what an inbound connection gets before it has proved who is at its other end.

use std::time::Duration;

use farcall_proto::gate::GateLimits;
use farcall_proto::link::handshake::PreAuthLimits;
use serde::Deserialize;

use super::units;

/// Limits for peers that have not proved who they are, beside
/// [`half_open_max`](super::Config::half_open_max) and [`handshake_timeout`](super::Config::handshake_timeout).
///
/// A source is an IPv4 address or an IPv6 network of 64 bits. Loopback addresses stand for every process of the host:
/// the limits of one source hold for them only with [`limit_loopback`](Self::limit_loopback).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StrangersConfig {
    /// Connections of one source in their handshake.
    pub half_open_per_source_max: usize,
    /// Connections a second whose handshake may begin. Those that prove themselves do not count.
    pub accept_rate: u32,
    /// The same for one source.
    pub accept_rate_per_source: u32,
    /// A source whose handshake failed is refused for so long; each further failure doubles it.
    #[serde(deserialize_with = "units::duration")]
    pub delay_min: Duration,
    /// The longest such pause, and how long a source must be quiet to be forgiven.
    #[serde(deserialize_with = "units::duration")]
    pub delay_max: Duration,
    /// Sources remembered; the one that was quiet longest is forgotten first.
    pub sources_max: usize,
    /// Whether the limits of one source hold for loopback addresses too.
    pub limit_loopback: bool,
    /// The longest frame of a handshake.
    #[serde(deserialize_with = "units::bytes")]
    pub frame_bytes_max: usize,
    /// All frames of one side of a handshake together.
    #[serde(deserialize_with = "units::bytes")]
    pub bytes_max: usize,
    /// Bytes of TLS before the handshake of the nodes begins: hellos and certificates.
    #[serde(deserialize_with = "units::bytes")]
    pub tls_bytes_max: usize,
}

impl Default for StrangersConfig {
    fn default() -> Self {
        let (gate, frames) = (GateLimits::default(), PreAuthLimits::default());
        Self {
            half_open_per_source_max: gate.half_open_per_source_max,
            accept_rate: gate.accept_rate,
            accept_rate_per_source: gate.accept_rate_per_source,
            delay_min: gate.delay_min,
            delay_max: gate.delay_max,
            sources_max: gate.sources_max,
            limit_loopback: gate.limit_loopback,
            frame_bytes_max: frames.frame_bytes_max,
            bytes_max: frames.total_bytes_max,
            tls_bytes_max: 32 << 10,
        }
    }
}
