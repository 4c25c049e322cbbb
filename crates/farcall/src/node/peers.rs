//! The part of a node's face that is about other nodes: who is there, who comes and who goes.

use farcall_proto::peer::{NodeName, Target};

use super::Node;
use crate::cluster::{NodeEvents, NodeFilter, NodeMonitor, Peer};
use crate::error::CallError;

impl Node {
    /// Connects to a node if it is not connected, and gives which start of it is there (`net_kernel:connect_node`).
    ///
    /// Nothing has to be connected by hand: the first request does the same. A connection that is lost later is made
    /// again by the next request.
    ///
    /// # Errors
    /// [`CallError`]: it cannot be reached within `call_timeout`.
    ///
    /// # Cancel safety
    /// Dropped before the end, the attempt goes on and may succeed.
    pub async fn connect(&self, target: &Target) -> Result<Peer, CallError> {
        self.ping(target).await?;
        let gone = || {
            let cause = "connected, and lost again at once".into();
            let failure = farcall_proto::failure::Unknown::LinkLost(cause);
            CallError::new(failure, target, crate::registry::RESERVED, "ping")
        };
        match self.own_peer(target.node()) {
            Some(own) => Ok(own),
            None => self.0.caller.context.members.find(target.node()).ok_or_else(gone),
        }
    }

    fn own_peer(&self, name: &NodeName) -> Option<Peer> {
        let hidden = self.config().hidden;
        (name == self.name()).then(|| Peer { name: name.clone(), incarnation: self.incarnation(), hidden })
    }

    /// The nodes that this filter takes, sorted, in either direction of connection: `node.nodes_that(NodeFilter::Hidden)`.
    ///
    /// [`nodes`](Node::nodes), which `All` goes by, has those that this node asks.
    pub fn nodes_that(&self, filter: NodeFilter) -> Vec<NodeName> {
        crate::cluster::chosen(&self.0.caller, filter)
    }

    /// Which start of a node is connected to this one, in either direction.
    pub fn peer(&self, name: &NodeName) -> Option<Peer> {
        self.own_peer(name).or_else(|| self.0.caller.context.members.find(name))
    }

    /// Events of all nodes that this filter takes, from now on; begins with an `Up` of each that is there
    /// (`net_kernel:monitor_nodes`).
    pub fn subscribe_nodes(&self, filter: NodeFilter) -> NodeEvents {
        NodeEvents::new(&self.0.caller, filter)
    }

    /// Resolves when this node is down; connects first if it is not there, and resolves with
    /// [`Unreachable`](crate::cluster::NodeDown::Unreachable) if it cannot (`erlang:monitor_node`).
    ///
    /// It watches from this call on, and looks when it is polled.
    pub fn monitor_node(&self, name: &NodeName) -> NodeMonitor {
        NodeMonitor::new(&self.0.caller, name)
    }
}
