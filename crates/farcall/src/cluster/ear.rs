//! What a cluster hears of connections and nodes, the moment it happens.

use std::sync::Weak;

use farcall_proto::cluster::members::{LinkId, NodeDown, NodeEvent, Peer};
use farcall_proto::cluster::signals::DownReason;

use super::sessions::{Cluster, Session};
use crate::members::Listener;

/// Hears of connections and nodes.
pub(super) struct Ear(pub(super) Weak<Cluster>);

impl Listener for Ear {
    fn link_ended(&self, link: LinkId, reason: NodeDown) {
        let Some(cluster) = self.0.upgrade() else { return };
        let reason = match reason {
            NodeDown::Shutdown => DownReason::NodeShutdown,
            _ => DownReason::NoConnection,
        };
        cluster.act(None, |inner, _, out| inner.end_those(|session| session.link == Some(link), reason, out));
    }

    fn link_up(&self, link: LinkId, peer: &Peer) {
        if let Some(cluster) = self.0.upgrade()
            && let LinkId::Out(_) = link
            && cluster.inner.lock().shares
            && cluster.sharer(peer).is_some()
        {
            cluster.channel_to(&peer.name);
        }
    }

    fn node(&self, event: &NodeEvent) {
        let Some(cluster) = self.0.upgrade() else { return };
        let (name, reason) = match event {
            NodeEvent::Up(_) => return,
            // It finishes what it has; nothing is to keep it from that.
            NodeEvent::Draining(peer) => (&peer.name, DownReason::NodeShutdown),
            NodeEvent::Down(peer, _) => (&peer.name, DownReason::NoConnection),
        };
        // One without a connection is about to lead to the next start of the node.
        let its = |session: &Session| session.node == *name && session.link.is_some();
        cluster.act(None, |inner, _, out| inner.end_those(its, reason, out));
        if let NodeEvent::Down(peer, _) = event {
            cluster.parent_gone(peer);
            let mut inner = cluster.inner.lock();
            inner.pauses.gone(&peer.name);
            let left = inner.groups.node_down(&peer.name, peer.incarnation);
            inner.tell_groups(left, false);
        }
    }
}
