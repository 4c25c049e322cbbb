//! How much of a node strangers may have.

use std::time::Duration;

/// How much of a node strangers may have, all of them together and each source.
///
/// Peers that prove themselves are never refused by a rate as long as it is at least the number of connections that may be
/// in their handshake at once: `accept_rate` at least `half_open_max`, and the same of the two for each source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GateLimits {
    /// How many connections may be in their handshake at once. Each costs a task, a TLS session and a few KiB of what it
    /// sent, for no longer than the handshake's deadline. A handshake takes a few round trips, so 128 at once are
    /// still thousands a second.
    pub half_open_max: usize,
    /// How many of one source: 8, so that it takes 16 sources to fill the 128. Nodes that share an IPv6 network of 64 bits,
    /// or an address behind a translator, are one source: raise it where more than 8 of them dial this node at the same
    /// moment. Those that are refused dial again.
    pub half_open_per_source_max: usize,
    /// How many connections a second that do not prove themselves; so many may also come at once after a quiet second.
    /// A TLS handshake costs a third of a millisecond of a core, so 200 cost 7 % of one. Sources that a peer has proved
    /// itself from are not counted here: as many as `sources_max` of them have only their own rate.
    pub accept_rate: u32,
    /// How many of one source: a tenth of all, so that one source cannot take what the others need.
    pub accept_rate_per_source: u32,
    /// For how long a source is refused after its first failure. Nobody notices 100 ms after a single slip. Zero means that
    /// no source is ever delayed.
    pub delay_min: Duration,
    /// The longest such time; each failure doubles it until there. A source that has no failure for so long after its last
    /// delay starts anew. With 60 s a source that does nothing but fail costs one handshake a minute, and a node whose
    /// cookie was put right waits no longer than that.
    pub delay_max: Duration,
    /// How many sources are remembered. 4,096 take less than 1 MiB; beyond that the one that was quiet for longest is
    /// forgotten. At 200 connections a second, a flood of new sources needs 20 s to make a failure forgotten.
    pub sources_max: usize,
    /// Whether the limits and delays of a source hold for loopback addresses too. These stand for every process of this
    /// host, so by default only the limits of all strangers hold for them.
    pub limit_loopback: bool,
}

impl Default for GateLimits {
    fn default() -> Self {
        Self {
            half_open_max: 128,
            half_open_per_source_max: 8,
            accept_rate: 200,
            accept_rate_per_source: 20,
            delay_min: Duration::from_millis(100),
            delay_max: Duration::from_secs(60),
            sources_max: 4096,
            limit_loopback: false,
        }
    }
}
