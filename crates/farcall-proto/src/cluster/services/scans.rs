//! When to connect to the nodes that are wanted, and how often to try.
//!
//! ```text
//!   named by a scan ──► due ──► tried ──connected──► up ──lost──► due again after a pause
//!                        ▲        │ failed: due again after a while, ten times
//!                        │        └──► given up, until a world scan names it again
//!                        └────────────────────────────┘
//! ```
//! A node that is not wanted is never disconnected: somebody else may use it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::peer::NodeName;

/// How often to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Intervals {
    /// Between two looks at which nodes there are.
    pub world: Duration,
    /// Between two attempts at a node that is not there, at most.
    pub worker: Duration,
    /// Between two looks at which hosts there are.
    pub hosts: Duration,
}

impl Intervals {
    /// From an attempt that failed to the next one: an eighth of the interval after the first, twice as long each time, up
    /// to the whole. A node that restarts is found soon, and one that is gone is not asked often.
    fn pause(&self, failed: u32) -> Duration {
        let doubled = 1_u32.checked_shl(failed.saturating_sub(1)).unwrap_or(u32::MAX);
        (self.worker / 8).saturating_mul(doubled).min(self.worker)
    }
}

impl Default for Intervals {
    /// Those of spapi-router.
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { world: seconds(20), worker: seconds(4), hosts: seconds(30) }
    }
}

/// Nodes that are wanted.
#[derive(Debug)]
pub struct Scans {
    intervals: Intervals,
    nodes: BTreeMap<NodeName, State>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Up,
    /// To be tried at this time.
    Due {
        at: Instant,
        failed: u32,
    },
    Trying {
        failed: u32,
    },
    GivenUp,
}

impl Scans {
    /// So often a node is tried before it is left to the next world scan.
    pub const TRIES: u32 = 10;
    /// So many nodes are kept in mind at most.
    pub const NODES_MAX: usize = 16_384;

    /// No nodes.
    pub fn new(intervals: Intervals) -> Self {
        Self { intervals, nodes: BTreeMap::new() }
    }

    /// A world scan has named these nodes, all of them wanted. Those that it does not name any more, and that are not
    /// connected, are forgotten. Beyond [`NODES_MAX`](Self::NODES_MAX) the first ones that it names are kept, before others
    /// that are connected.
    pub fn named(&mut self, nodes: impl IntoIterator<Item = NodeName>, now: Instant) {
        let mut named: BTreeMap<NodeName, State> = BTreeMap::new();
        for node in nodes {
            // A name that stands there twice is one node, whose state was taken over already.
            if named.contains_key(&node) {
                continue;
            }
            if named.len() >= Self::NODES_MAX {
                break;
            }
            let due = State::Due { at: now, failed: 0 };
            let state = self.nodes.remove(&node).filter(|state| *state != State::GivenUp).unwrap_or(due);
            named.insert(node, state);
        }
        let rest = std::mem::take(&mut self.nodes).into_iter();
        let rest = rest.filter(|(_, state)| matches!(state, State::Up | State::Trying { .. }));
        named.extend(rest.take(Self::NODES_MAX.saturating_sub(named.len())));
        self.nodes = named;
    }

    /// A wanted node is connected, whoever did that.
    pub fn up(&mut self, node: &NodeName) {
        if self.nodes.contains_key(node) || self.nodes.len() < Self::NODES_MAX {
            self.nodes.insert(node.clone(), State::Up);
        }
    }

    /// A wanted node is gone; or it drains, and its next start is waited for.
    pub fn down(&mut self, node: &NodeName, now: Instant) {
        if let Some(state @ State::Up) = self.nodes.get_mut(node) {
            // At once it would most often find nobody.
            *state = State::Due { at: now + self.intervals.worker / 8, failed: 0 };
        }
    }

    /// An attempt at a node came to nothing.
    pub fn failed(&mut self, node: &NodeName, now: Instant) {
        let Some(state) = self.nodes.get_mut(node) else { return };
        if let State::Trying { failed } = *state {
            let failed = failed + 1;
            *state = match failed < Self::TRIES {
                true => State::Due { at: now + self.intervals.pause(failed), failed },
                false => State::GivenUp,
            };
        }
    }

    /// The nodes to try now, each until it is up or the attempt has failed.
    pub fn poll(&mut self, now: Instant) -> Vec<NodeName> {
        let mut due = Vec::new();
        for (node, state) in &mut self.nodes {
            if let State::Due { at, failed } = *state
                && at <= now
            {
                *state = State::Trying { failed };
                due.push(node.clone());
            }
        }
        due
    }

    /// How many nodes are kept in mind.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether no node is.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// When to poll next; none if nothing is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let due = |state: &State| match state {
            State::Due { at, .. } => Some(*at),
            _ => None,
        };
        self.nodes.values().filter_map(due).min()
    }
}
