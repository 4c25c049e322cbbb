//! Nodes that come and go, as an application hears of them.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use farcall_proto::cluster::members::{NodeDown, NodeEvent, Peer};
use farcall_proto::link::Outcome;
use farcall_proto::peer::{NodeName, Target};
use futures::future::BoxFuture;

use super::events::{Events, Lagged, next_of};
use crate::rpc::Caller;

/// Which nodes are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NodeFilter {
    /// Connected in either direction, and not hidden.
    Visible,
    /// Connected in either direction, and hidden.
    Hidden,
    /// Connected in either direction.
    Connected,
    /// Connected, or a target of this node lately, or named by its configuration.
    Known,
    /// This node.
    This,
}

impl NodeFilter {
    fn takes(self, peer: &Peer) -> bool {
        match self {
            Self::Visible => !peer.hidden,
            Self::Hidden => peer.hidden,
            Self::Connected | Self::Known => true,
            Self::This => false,
        }
    }
}

/// The nodes that a filter takes, sorted.
pub(crate) fn chosen(caller: &Caller, filter: NodeFilter) -> Vec<NodeName> {
    let context = &caller.context;
    if filter == NodeFilter::This {
        return vec![context.name.clone()];
    }
    let peers = context.members.peers();
    let mut names: Vec<_> =
        peers.into_iter().filter(|peer| filter.takes(peer)).map(|peer| peer.name).collect();
    if filter == NodeFilter::Known {
        names.extend(caller.clients.known());
        names.extend(context.config.nodes.keys().cloned());
        names.retain(|name| *name != context.name);
        names.sort();
        names.dedup();
    }
    names
}

/// What becomes of nodes, each event once and in order: a node is down before its next start is up.
///
/// It begins with an `Up` of every node that is there, and a `Draining` of those that drain, and ends with the node.
pub type NodeEvents = Events<NodeEvent>;

/// The events of all nodes that a filter takes.
pub(crate) fn events(caller: &Caller, filter: NodeFilter) -> NodeEvents {
    let (there, receiver) = caller.context.members.subscribe_from_now();
    Events::new(there, receiver, move |event| filter.takes(event.peer()))
}

/// Resolves once, when a node is down.
///
/// # Cancel safety
/// Dropping it ends the watch.
pub struct NodeMonitor(BoxFuture<'static, NodeDown>);

impl NodeMonitor {
    /// Watches from now on; connects first if the node is not there.
    pub(crate) fn new(caller: &Arc<Caller>, name: &NodeName) -> Self {
        let (there, mut receiver) = caller.context.members.subscribe();
        let (caller, name) = (caller.clone(), name.clone());
        let mut watched = there.into_iter().find(|peer| peer.name == name).map(|peer| peer.incarnation);
        Self(Box::pin(async move {
            if watched.is_none() {
                let limit = caller.context.config.call_timeout;
                let reached = crate::rpc::ping(&caller, &Target::from(name.clone()), limit).await;
                if let Outcome::Failure(_) = reached {
                    return NodeDown::Unreachable;
                }
            }
            loop {
                match next_of(&mut receiver).await {
                    Some(Ok(NodeEvent::Up(peer))) if peer.name == name => {
                        watched.get_or_insert(peer.incarnation);
                    }
                    Some(Ok(NodeEvent::Down(peer, reason)))
                        if peer.name == name && watched == Some(peer.incarnation) =>
                    {
                        return reason;
                    }
                    Some(Ok(_)) => {}
                    // What was missed may have been it.
                    Some(Err(Lagged(_))) => match caller.context.members.find(&name) {
                        Some(peer) if watched.is_none_or(|watched| watched == peer.incarnation) => {
                            watched = Some(peer.incarnation);
                        }
                        Some(_) => return NodeDown::Superseded,
                        None => return NodeDown::ConnectionLost,
                    },
                    None => return NodeDown::Disconnected,
                }
            }
        }))
    }
}

impl Future for NodeMonitor {
    type Output = NodeDown;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<NodeDown> {
        self.0.as_mut().poll(cx)
    }
}

impl std::fmt::Debug for NodeMonitor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NodeMonitor")
    }
}
