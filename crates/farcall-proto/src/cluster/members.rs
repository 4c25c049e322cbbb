//! Who is there: nodes with at least one connection to this one, in either direction.
//!
//! ```text
//!             first connection              told that it drains           last connection
//!   unknown ──────────────────► Up ───────────────────────────► Draining ─────────────────► unknown
//!                               │ Up                             Draining          Down      ▲
//!                               └──────────────────────── last connection ──────────────────┘
//! ```
//! A restarted node has the same name and another incarnation. Whoever shows itself last under a name is the node: its
//! predecessor is down first, also when connections to it have not been missed yet; those say nothing more when they end.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;

use crate::link::{LossCause, PEER_DRAINING};
use crate::peer::{Incarnation, NodeName};

#[cfg(test)]
mod tests;

/// One start of a node.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Peer {
    /// Its name.
    pub name: NodeName,
    /// Which start of it.
    pub incarnation: Incarnation,
    /// Whether it stays out of what is meant for all nodes.
    pub hidden: bool,
}

/// A connection, by the number that its side has given it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LinkId {
    /// One that this node asks over.
    Out(u64),
    /// One that this node answers.
    In(u64),
}

/// What became of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeEvent {
    /// It is there.
    Up(Peer),
    /// It takes nothing new, and will go when it has finished what it has.
    Draining(Peer),
    /// The last connection to it has ended.
    Down(Peer, NodeDown),
}

impl NodeEvent {
    /// Whom it is about.
    pub fn peer(&self) -> &Peer {
        match self {
            Self::Up(peer) | Self::Draining(peer) | Self::Down(peer, _) => peer,
        }
    }
}

/// Why a node is down, as far as this one can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NodeDown {
    /// It shut down in good order, and had said so.
    Shutdown,
    /// It closed the connection without a word, or its operating system did: most often its process has ended.
    Closed,
    /// The socket failed.
    ConnectionLost,
    /// Nothing was heard for its whole tick: it is frozen, or the network between is cut (`net_tick_timeout`).
    TickTimeout,
    /// It took nothing for `write_stall_timeout`.
    WriteStall,
    /// It broke the protocol.
    ProtocolError,
    /// This node itself was suspended for longer than its peers wait.
    Suspended,
    /// Another start of it has come in.
    Superseded,
    /// A connection ended in good order on this side: idle, disconnected, or this node shuts down.
    Disconnected,
    /// It could not be reached in the first place.
    Unreachable,
}

impl NodeDown {
    /// A short stable word for logs.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Shutdown => "shutdown",
            Self::Closed => "closed",
            Self::ConnectionLost => "connection_lost",
            Self::TickTimeout => "tick_timeout",
            Self::WriteStall => "write_stall",
            Self::ProtocolError => "protocol_error",
            Self::Suspended => "suspended",
            Self::Superseded => "superseded",
            Self::Disconnected => "disconnected",
            Self::Unreachable => "unreachable",
        }
    }
}

impl fmt::Display for NodeDown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Shutdown => "it shut down in good order",
            Self::Closed => "it closed the connection: most often its process has ended",
            Self::ConnectionLost => "the socket failed",
            Self::TickTimeout => "nothing was heard for its whole tick",
            Self::WriteStall => "it took nothing for too long",
            Self::ProtocolError => "it broke the protocol",
            Self::Suspended => "this node itself was suspended",
            Self::Superseded => "another start of it has come in",
            Self::Disconnected => "the connection ended in good order",
            Self::Unreachable => "it could not be reached",
        })
    }
}

impl From<&LossCause> for NodeDown {
    fn from(cause: &LossCause) -> Self {
        match cause {
            LossCause::Closed => Self::Closed,
            LossCause::Io(_) => Self::ConnectionLost,
            LossCause::Silent { .. } => Self::TickTimeout,
            LossCause::WriteStall { .. } => Self::WriteStall,
            LossCause::Protocol(_) => Self::ProtocolError,
            LossCause::Suspended { .. } => Self::Suspended,
            LossCause::Superseded => Self::Superseded,
            LossCause::Ended(why) if *why == PEER_DRAINING => Self::Shutdown,
            LossCause::Ended(_) => Self::Disconnected,
        }
    }
}

/// Every node with a connection to this one. As large as the table of connections at most.
#[derive(Debug, Default)]
pub struct Members {
    nodes: HashMap<NodeName, Member>,
}

#[derive(Debug)]
struct Member {
    peer: Peer,
    links: Vec<LinkId>,
    draining: bool,
}

impl Members {
    /// A connection to this start of a node is up.
    pub fn link_up(&mut self, link: LinkId, peer: &Peer, mut tell: impl FnMut(NodeEvent)) {
        match self.nodes.entry(peer.name.clone()) {
            Entry::Occupied(mut known) if known.get().peer.incarnation == peer.incarnation => {
                known.get_mut().links.push(link);
                return;
            }
            Entry::Occupied(mut known) => {
                let before = std::mem::replace(known.get_mut(), Member::new(link, peer));
                tell(NodeEvent::Down(before.peer, NodeDown::Superseded));
            }
            Entry::Vacant(place) => drop(place.insert(Member::new(link, peer))),
        }
        tell(NodeEvent::Up(peer.clone()));
    }

    /// A connection to a node has ended.
    pub fn link_down(
        &mut self,
        link: LinkId,
        name: &NodeName,
        reason: NodeDown,
        mut tell: impl FnMut(NodeEvent),
    ) {
        let Some(member) = self.nodes.get_mut(name) else { return };
        let before = member.links.len();
        member.links.retain(|known| *known != link);
        // One that led to a predecessor is not among them.
        if member.links.len() == before || !member.links.is_empty() {
            return;
        }
        if let Some(member) = self.nodes.remove(name) {
            let reason = if member.draining { NodeDown::Shutdown } else { reason };
            tell(NodeEvent::Down(member.peer, reason));
        }
    }

    /// A node has said, over this connection, that it drains.
    pub fn draining(&mut self, link: LinkId, name: &NodeName, mut tell: impl FnMut(NodeEvent)) {
        let Some(member) = self.nodes.get_mut(name) else { return };
        if member.links.contains(&link) && !std::mem::replace(&mut member.draining, true) {
            tell(NodeEvent::Draining(member.peer.clone()));
        }
    }

    /// The start of this node that is there.
    pub fn find(&self, name: &NodeName) -> Option<&Peer> {
        self.nodes.get(name).map(|member| &member.peer)
    }

    /// Whether a node is there and drains.
    pub fn is_draining(&self, name: &NodeName) -> bool {
        self.nodes.get(name).is_some_and(|member| member.draining)
    }

    /// Whoever is there, in no order.
    pub fn peers(&self) -> impl Iterator<Item = &Peer> {
        self.nodes.values().map(|member| &member.peer)
    }
}

impl Member {
    fn new(link: LinkId, peer: &Peer) -> Self {
        Self { peer: peer.clone(), links: vec![link], draining: false }
    }
}
