//! Groups in sessions: with whom they are shared, and what is told of them.

use farcall_proto::cluster::groups::{GroupBreach, GroupEvent, GroupNotice, Groups};
use farcall_proto::cluster::members::Peer;
use farcall_proto::cluster::signals::ChannelId;
use farcall_proto::peer::{Incarnation, NodeName};

use super::sessions::{Cluster, Inner, NAME_BYTES};
use crate::rpc::Caller;

impl Cluster {
    /// Groups are not shared with hidden nodes, nor by one.
    pub(super) fn sharer(&self, peer: &Peer) -> Option<Incarnation> {
        (!peer.hidden && !self.caller.context.config.hidden).then_some(peer.incarnation)
    }

    /// Groups are used from now on: shares them over every connection that this node asks over.
    pub(crate) fn share(&self) {
        if !std::mem::replace(&mut self.inner.lock().shares, true) {
            for node in self.caller.clients.nodes() {
                self.channel_to(&node);
            }
        }
    }

    /// Shares groups with a node, if there is a connection to ask it over.
    pub(super) fn share_with(&self, node: &NodeName) {
        let connected = self.caller.clients.nodes().contains(node);
        if connected && self.inner.lock().shares && !self.caller.context.is_draining() {
            self.channel_to(node);
        }
    }
}

impl Inner {
    pub(super) fn hear_of_groups(
        &mut self,
        channel: ChannelId,
        notice: GroupNotice,
    ) -> Result<(), GroupBreach> {
        let session = self.sessions.get(&channel);
        let sharer = session.and_then(|session| Some((session.node.clone(), session.sharer?)));
        // A hidden node is no part of groups elsewhere.
        let Some((node, incarnation)) = sharer else { return Ok(()) };
        if let Some(session) = self.sessions.get_mut(&channel)
            && session.feed.hear(&notice)
        {
            session.speak.notify_one();
        }
        let events = self.groups.handle(channel, &node, incarnation, notice)?;
        self.tell_groups(events, false);
        Ok(())
    }

    /// Tells subscribers, and of changes of this node its peers.
    pub(super) fn tell_groups(&mut self, events: Vec<GroupEvent>, own: bool) {
        if own && !events.is_empty() {
            let sharers = self.sessions.values().filter(|session| session.sharer.is_some());
            sharers.for_each(|session| session.speak.notify_one());
        }
        if let Some(subscribers) = &self.group_events {
            // Nobody listening is no error.
            events.into_iter().for_each(|event| drop(subscribers.send(event)));
        }
    }
}

/// No groups yet; what is told of them at a time fits into half of a message.
pub(super) fn groups_of(caller: &Caller) -> Groups {
    let config = &caller.context.config;
    let groups = Groups::new(caller.context.name.clone(), config.group_members_max);
    groups.in_notices_of(config.message_bytes_max / 2 / (3 * NAME_BYTES))
}
