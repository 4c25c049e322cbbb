//! A node as it is at one moment, for whoever looks inside: its links, actors, groups, limits and latest events.
//!
//! Everything here is plain data. [`Node::inspect`](crate::Node::inspect) gives it of this node,
//! [`Node::inspect_node`](crate::Node::inspect_node) of a peer. Counts go on from the start of a node, a link or a
//! registration; a rate is the difference of two looks, see [`Rates`].

mod exporter;
mod operate;
mod prometheus;
mod publish;
mod rates;
mod settings;

pub use exporter::serve_metrics;
pub use operate::{Order, OrderRefused};
pub use prometheus::{ACTORS_MAX, LINKS_MAX, prometheus};
pub(crate) use publish::Publisher;
pub use publish::SERIES_MAX;
pub use rates::{ActorRate, LinkRate, Rates};
pub use settings::{ConfigView, SettingView};

pub use farcall_proto::cluster::services::SCOPE as SERVICES;

use std::time::Duration;

/// A node at one moment.
#[farcall::data]
#[derive(Debug, Clone, PartialEq)]
pub struct NodeView {
    /// Its name.
    pub node: String,
    /// Which start of the node it is.
    pub incarnation: u64,
    /// The version of farcall it runs.
    pub farcall: String,
    /// Its process.
    pub pid: u32,
    /// How long it runs, in microseconds: the clock of everything in here.
    pub at_us: u64,
    /// Whether it is shutting down.
    pub draining: bool,
    /// Where it listens, as `tls://10.0.0.1:5370`.
    pub listening: Vec<String>,
    /// Its counters and gauges; the limit of a gauge stands beside it.
    pub metrics: Vec<MetricView>,
    /// Limits without a gauge of the whole node: they hold for each link, or each mailbox.
    pub limits: Vec<LimitView>,
    /// The nodes that a connection leads to.
    pub nodes: Vec<NodeState>,
    /// Its connections, the outgoing ones first, by peer.
    pub links: Vec<LinkView>,
    /// Its registered actors, by name.
    pub actors: Vec<ActorView>,
    /// Groups with a member here or on a peer; services are those of the scope [`SERVICES`].
    pub groups: Vec<GroupView>,
    /// What happened lately, the oldest first.
    pub events: Vec<EventView>,
    /// How many entries were left out of each list because there are too many.
    pub left_out: u64,
}

/// One counter or gauge.
#[farcall::data]
#[derive(Debug, Clone, PartialEq)]
pub struct MetricView {
    /// Its name.
    pub name: String,
    /// Whether it only grows.
    pub counter: bool,
    /// What it counts.
    pub help: String,
    /// How many.
    pub value: u64,
    /// The setting that limits it, and how many that permits.
    pub limit: Option<LimitView>,
}

/// One limit.
#[farcall::data]
#[derive(Debug, Clone, PartialEq)]
pub struct LimitView {
    /// The setting.
    pub name: String,
    /// Its value.
    pub value: u64,
}

/// A node that a connection leads to.
#[farcall::data]
#[derive(Debug, Clone, PartialEq)]
pub struct NodeState {
    /// Its name.
    pub node: String,
    /// Which start of the node it is.
    pub incarnation: u64,
    /// It stays out of what is meant for all nodes.
    pub hidden: bool,
    /// It is shutting down.
    pub draining: bool,
}

/// One connection.
#[farcall::data]
#[derive(Debug, Clone, PartialEq)]
pub struct LinkView {
    /// The node at the other end.
    pub peer: String,
    /// This node asks over it; else it answers.
    pub outgoing: bool,
    /// Which connection to that node: 0 is the common one, others belong to keys. Of incoming ones always 0.
    pub lane: u32,
    /// How it stands.
    pub state: LinkState,
    /// Its number among all of its direction; 0 while there is none.
    pub epoch: u64,
    /// Where the peer is, as `tls://10.0.0.1:5370`; empty while that is not known, and for this node itself.
    pub at: String,
    /// Since it is up, in microseconds.
    pub age_us: u64,
    /// How long the last ping took, in microseconds. Pings are sent when somebody looks; see
    /// [`Node::inspect`](crate::Node::inspect). None for incoming links: the peer has it.
    pub rtt_us: Option<u64>,
    /// Messages in: answers and items, or requests and casts.
    pub messages_in: u64,
    /// Messages out.
    pub messages_out: u64,
    /// Bytes that the socket gave.
    pub bytes_in: u64,
    /// Bytes that the socket took.
    pub bytes_out: u64,
    /// Bytes queued and not yet written (limit `unsent_bytes_max`).
    pub unsent_bytes: u64,
    /// Requests without an answer (limit `in_flight_max`).
    pub in_flight: u64,
    /// Ticks of the peer that are overdue; with its `tick_intensity` of them it counts as gone.
    pub ticks_missed: u32,
}

/// How a connection stands.
#[farcall::data]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkState {
    /// Nobody needs one; the next request dials.
    Idle,
    /// It is being made.
    Connecting,
    /// Requests go out.
    Up,
    /// Nothing new; what is in flight finishes.
    Closing {
        /// Why.
        why: String,
    },
    /// The last attempt failed; requests are refused until the pause is over, and the next one after it dials.
    Backoff {
        /// How much of the pause is left, in milliseconds; 0 when it is over.
        left_ms: u64,
        /// What the last attempt ended with.
        why: String,
    },
}

impl LinkState {
    /// One stable word: `idle`, `connecting`, `up`, `closing` or `backoff`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Connecting => "connecting",
            Self::Up => "up",
            Self::Closing { .. } => "closing",
            Self::Backoff { .. } => "backoff",
        }
    }
}

/// One registered actor.
#[farcall::data]
#[derive(Debug, Clone, PartialEq)]
pub struct ActorView {
    /// Its name.
    pub name: String,
    /// Its version, if it states one.
    pub version: Option<String>,
    /// Messages of peers in its mailbox, and functions that still run (limit `mailbox_messages_max`).
    pub waiting: u64,
    /// What these take, in bytes (limit `mailbox_bytes_max`).
    pub waiting_bytes: u64,
    /// Requests and casts that its handler ran.
    pub handled: u64,
    /// What went wrong, by reason: `busy`, `expired`, `cancelled`, `undecodable`, `actor_stopped` were not run,
    /// `panicked` were.
    pub troubles: Vec<TroubleView>,
    /// How long requests took, from the socket to the answer.
    pub times: Times,
}

/// How often something went wrong.
#[farcall::data]
#[derive(Debug, Clone, PartialEq)]
pub struct TroubleView {
    /// A stable word.
    pub reason: String,
    /// How often.
    pub count: u64,
}

/// A histogram of times.
#[farcall::data]
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Times {
    /// So many times were below this many microseconds, and not below the one before; empty buckets are left out.
    pub buckets: Vec<Bucket>,
}

/// A part of a histogram.
#[farcall::data]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    /// Its times are below this, in microseconds.
    pub below_us: u64,
    /// How many there were.
    pub count: u64,
}

impl Times {
    /// How many there are.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|bucket| bucket.count).sum()
    }

    /// So many of 1 took at most this long, a quarter more at worst; none if there are none. 0.99 is p99.
    pub fn quantile(&self, part: f64) -> Option<Duration> {
        let count = self.count();
        let (mut below, mut found) = (0, None);
        for bucket in &self.buckets {
            below += bucket.count;
            found = Some(Duration::from_micros(bucket.below_us));
            // Counts lose precision beyond 2^53, which changes no quantile that anybody sees.
            #[expect(clippy::cast_precision_loss, reason = "see above")]
            if below as f64 >= count as f64 * part {
                break;
            }
        }
        found
    }

    /// Those that came since an earlier look.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let before = |below_us| {
            let found = earlier.buckets.iter().find(|bucket| bucket.below_us == below_us);
            found.map_or(0, |bucket| bucket.count)
        };
        let fresh = self.buckets.iter().map(|Bucket { below_us, count }| Bucket {
            below_us: *below_us,
            count: count.saturating_sub(before(*below_us)),
        });
        Self { buckets: fresh.filter(|bucket| bucket.count > 0).collect() }
    }
}

/// A group, or a service.
#[farcall::data]
#[derive(Debug, Clone, PartialEq)]
pub struct GroupView {
    /// Its scope.
    pub scope: String,
    /// Its name.
    pub group: String,
    /// Its members that this node knows of, as often as each has joined.
    pub members: Vec<MemberView>,
}

/// A member of a group.
#[farcall::data]
#[derive(Debug, Clone, PartialEq)]
pub struct MemberView {
    /// Its node.
    pub node: String,
    /// The name of the actor.
    pub actor: String,
}

/// Something that happened.
#[farcall::data]
#[derive(Debug, Clone, PartialEq)]
pub struct EventView {
    /// Its number on this node, from 1; one that is missing was dropped because there were too many.
    pub nth: u64,
    /// When, on the clock of [`NodeView::at_us`].
    pub at_us: u64,
    /// `ERROR`, `WARN` or `INFO`.
    pub level: String,
    /// A stable word; the page [operations](crate::manual::operations) lists them.
    pub reason: String,
    /// The node or the address it is about; empty for none.
    pub peer: String,
    /// What happened.
    pub text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn view(at_us: u64, links: Vec<LinkView>, actors: Vec<ActorView>) -> NodeView {
        NodeView {
            node: "alpha@h".to_owned(),
            incarnation: 1,
            farcall: "0.1.0".to_owned(),
            pid: 1,
            at_us,
            draining: false,
            listening: Vec::new(),
            metrics: Vec::new(),
            limits: Vec::new(),
            nodes: Vec::new(),
            links,
            actors,
            groups: Vec::new(),
            events: Vec::new(),
            left_out: 0,
        }
    }

    pub(super) fn link(peer: &str, epoch: u64, messages_out: u64) -> LinkView {
        LinkView {
            peer: peer.to_owned(),
            outgoing: true,
            lane: 0,
            state: LinkState::Up,
            epoch,
            at: String::new(),
            age_us: 10_000_000,
            rtt_us: Some(100),
            messages_in: messages_out,
            messages_out,
            bytes_in: 0,
            bytes_out: 0,
            unsent_bytes: 0,
            in_flight: 0,
            ticks_missed: 0,
        }
    }

    pub(super) fn actor(name: &str, handled: u64) -> ActorView {
        ActorView {
            name: name.to_owned(),
            version: None,
            waiting: 0,
            waiting_bytes: 0,
            handled,
            troubles: vec![TroubleView { reason: "busy".to_owned(), count: 2 }],
            times: times(&[(10, handled)]),
        }
    }

    fn times(buckets: &[(u64, u64)]) -> Times {
        let buckets = buckets.iter().map(|(below_us, count)| Bucket { below_us: *below_us, count: *count });
        Times { buckets: buckets.collect() }
    }

    #[test]
    fn a_quantile_is_the_end_of_the_bucket_in_which_it_lies() {
        let times = times(&[(10, 50), (20, 49), (1000, 1)]);
        let us = |part| times.quantile(part).map(|took| took.as_micros());
        assert_eq!([us(0.5), us(0.51), us(0.99), us(1.0)], [Some(10), Some(20), Some(20), Some(1000)]);
        assert_eq!(Times::default().quantile(0.5), None);
    }

    #[test]
    fn what_came_since_an_earlier_look_is_the_difference() {
        let (early, late) = (times(&[(10, 5), (20, 3)]), times(&[(10, 5), (20, 4), (40, 2)]));
        assert_eq!(late.since(&early), times(&[(20, 1), (40, 2)]));
        assert_eq!(early.since(&late), times(&[]), "a node that was restarted has counted less");
    }
}
