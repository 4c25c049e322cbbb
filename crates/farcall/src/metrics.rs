//! Counters and gauges of one node: every limit has one beside it, and nothing is lost without being counted.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! metrics {
    ($($(#[doc = $doc:literal])* $kind:ident $name:ident,)*) => {
        /// The counters of one node, written where things happen.
        #[derive(Debug, Default)]
        pub(crate) struct Metrics {
            $(pub(crate) $name: Counter,)*
        }

        /// What the counters said at one moment.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        #[non_exhaustive]
        pub struct MetricsSnapshot {
            $($(#[doc = $doc])* pub $name: u64,)*
        }

        impl Metrics {
            /// What they say now.
            pub(crate) fn snapshot(&self) -> MetricsSnapshot {
                MetricsSnapshot { $($name: self.$name.value(),)* }
            }
        }

        impl MetricsSnapshot {
            /// Each by its name, in the order of the manual.
            pub fn each(&self) -> Vec<Metric> {
                vec![$(Metric {
                    name: stringify!($name),
                    kind: metrics!(@ $kind),
                    help: concat!($($doc),*).trim_start(),
                    value: self.$name,
                },)*]
            }
        }
    };
    (@ gauge) => { MetricKind::Gauge };
    (@ counter) => { MetricKind::Counter };
}

/// One counter or gauge of a node, with its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metric {
    /// The name, which stays.
    pub name: &'static str,
    /// Whether it only grows.
    pub kind: MetricKind,
    /// What it counts.
    pub help: &'static str,
    /// How many.
    pub value: u64,
}

/// What a number means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows while the node runs.
    Counter,
    /// How many there are at this moment.
    Gauge,
}

metrics! {
    /// Gauge: clients (outgoing connections, in any state).
    gauge clients,
    /// Gauge: outgoing connections that are up.
    gauge clients_up,
    /// Dials begun.
    counter dials,
    /// Dials that failed: no address, refused, timed out, or not accepted in the handshake.
    counter dials_failed,
    /// Outgoing connections that were up and were lost.
    counter clients_lost,
    /// Gauge: inbound connections past the handshake (limit `acceptors_max`).
    gauge acceptors,
    /// Gauge: inbound connections before the end of the handshake (limit `half_open_max`).
    gauge half_open,
    /// Gauge: sources of connections that are remembered (limit `strangers.sources_max`).
    gauge stranger_sources,
    /// Gauge: seconds until this node's certificate ends; 0 without one, and when it has ended.
    gauge certificate_left_s,
    /// Inbound connections refused because a limit was met.
    counter inbound_refused,
    /// Handshakes that failed, in either direction.
    counter handshakes_failed,
    /// Connections ended because the peer broke the protocol.
    counter protocol_errors,
    /// Requests and casts handed to local actors.
    counter delivered,
    /// Requests and casts refused before they ran: unknown, not permitted, busy, expired.
    counter refused,
    /// Casts refused, of which no caller learns unless it asked with `acked`.
    counter casts_refused,
    /// Casts accepted for sending that were lost: all of a connection that could not be made, and 1 for each
    /// connection that broke with bytes unwritten, because how many of those were casts is not counted.
    counter casts_lost,
    /// Casts refused at once because the queue to their target was full (limit `unsent_bytes_max`).
    counter casts_not_queued,
    /// Times reading was paused because an actor or the peer was slower than its senders.
    counter reads_paused,
    /// Gauge: nodes that a connection leads to, in either direction.
    gauge nodes,
    /// Gauge: monitors of this node (limit `monitors_max`).
    gauge monitors,
    /// Gauge: monitors and links that are kept for actors of this node (limit `monitors_max` for each peer).
    gauge monitors_kept,
    /// Gauge: members in groups of this node (limit `group_members_max`).
    gauge group_members,
    /// Gauge: members in groups that are known of peers (limit `group_members_max` for each).
    gauge group_members_known,
    /// Gauge: names in the registry, farcall's own among them (limit `names_max`).
    gauge names,
}

/// One counter or gauge.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub(crate) fn up(&self) {
        self.add(1);
    }

    /// So many more.
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// One less (gauges).
    pub(crate) fn down(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    /// This many now (gauges).
    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// How many.
    pub(crate) fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
