//! Who is there: the connections of this node report here, and subscribers hear of it.
//!
//! It is decided by [`farcall_proto::cluster::members`]. Everything is told under one lock, in the order in which it
//! happened: whoever is told that a node is up was told before that its predecessor is down.

use std::sync::{Arc, OnceLock};

use farcall_proto::cluster::members::{self, LinkId, NodeDown, NodeEvent, Peer};
use farcall_proto::peer::NodeName;
use parking_lot::Mutex;
use tokio::sync::broadcast;

/// So many events wait for a slow subscriber; one that is further behind is told how many it missed.
pub(crate) const NODE_EVENTS_MAX: usize = 1024;

/// Hears of everything first, under the lock: it must not wait and must not ask for members.
pub(crate) trait Listener: Send + Sync {
    /// A connection is up.
    fn link_up(&self, link: LinkId, peer: &Peer);

    /// A connection has ended.
    fn link_ended(&self, link: LinkId, reason: NodeDown);

    /// What became of a node.
    fn node(&self, event: &NodeEvent);
}

/// The nodes with a connection to this one.
pub(crate) struct Members {
    inner: Mutex<Inner>,
    listener: OnceLock<Arc<dyn Listener>>,
}

struct Inner {
    known: members::Members,
    /// Made with its first subscriber: its places are reserved at once.
    events: Option<broadcast::Sender<NodeEvent>>,
}

impl std::fmt::Debug for Members {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Members")
    }
}

impl Members {
    pub(crate) fn new() -> Arc<Self> {
        let inner = Inner { known: members::Members::default(), events: None };
        Arc::new(Self { inner: Mutex::new(inner), listener: OnceLock::new() })
    }

    /// From now on this one hears of everything first.
    pub(crate) fn set_listener(&self, listener: Arc<dyn Listener>) {
        // A node is put together once.
        let _ = self.listener.set(listener);
    }

    /// A connection is up; it counts until what is given says that it has ended, or is dropped.
    pub(crate) fn link_up(self: &Arc<Self>, link: LinkId, peer: Peer) -> Linked {
        self.tell(|known, tell| {
            known.link_up(link, &peer, tell);
            if let Some(listener) = self.listener.get() {
                listener.link_up(link, &peer);
            }
        });
        Linked { members: self.clone(), link, peer }
    }

    fn tell(&self, act: impl FnOnce(&mut members::Members, &mut dyn FnMut(NodeEvent))) {
        let mut inner = self.inner.lock();
        let Inner { known, events } = &mut *inner;
        act(known, &mut |event| {
            if let Some(listener) = self.listener.get() {
                listener.node(&event);
            }
            if let Some(events) = events {
                // Nobody listening is no error.
                let _ = events.send(event);
            }
        });
    }

    /// Everything that happens from now on, behind what is so at this moment.
    pub(crate) fn subscribe_from_now(&self) -> (Vec<NodeEvent>, broadcast::Receiver<NodeEvent>) {
        let mut inner = self.inner.lock();
        let receiver =
            inner.events.get_or_insert_with(|| broadcast::Sender::new(NODE_EVENTS_MAX)).subscribe();
        let so = sorted(&inner.known).into_iter().flat_map(|peer| {
            let draining = inner.known.is_draining(&peer.name).then(|| NodeEvent::Draining(peer.clone()));
            [NodeEvent::Up(peer)].into_iter().chain(draining)
        });
        (so.collect(), receiver)
    }

    /// Everything that happens from now on, with those who are there at this moment.
    pub(crate) fn subscribe(&self) -> (Vec<Peer>, broadcast::Receiver<NodeEvent>) {
        let mut inner = self.inner.lock();
        let events = inner.events.get_or_insert_with(|| broadcast::Sender::new(NODE_EVENTS_MAX));
        let receiver = events.subscribe();
        (sorted(&inner.known), receiver)
    }

    /// Whoever is there, by name.
    pub(crate) fn peers(&self) -> Vec<Peer> {
        sorted(&self.inner.lock().known)
    }

    /// The start of this node that is there.
    pub(crate) fn find(&self, name: &NodeName) -> Option<Peer> {
        self.inner.lock().known.find(name).cloned()
    }

    /// The start of this node that this connection leads to, if it is the one that is there.
    pub(crate) fn behind(&self, link: LinkId, name: &NodeName) -> Option<Peer> {
        self.inner.lock().known.behind(link, name).cloned()
    }

    /// Whether a node is there and drains.
    pub(crate) fn is_draining(&self, name: &NodeName) -> bool {
        self.inner.lock().known.is_draining(name)
    }

    /// Whether a node is there and stays out of what is meant for all.
    pub(crate) fn is_hidden(&self, name: &NodeName) -> bool {
        self.inner.lock().known.find(name).is_some_and(|peer| peer.hidden)
    }
}

fn sorted(known: &members::Members) -> Vec<Peer> {
    let mut peers: Vec<_> = known.peers().cloned().collect();
    peers.sort_by(|a, b| a.name.cmp(&b.name));
    peers
}

/// A connection that is up. Dropped without a reason, it was lost.
#[derive(Debug)]
pub(crate) struct Linked {
    members: Arc<Members>,
    link: LinkId,
    peer: Peer,
}

impl Linked {
    /// Which connection.
    pub(crate) fn id(&self) -> LinkId {
        self.link
    }

    /// To whom.
    pub(crate) fn peer(&self) -> &Peer {
        &self.peer
    }

    /// The peer has said that it drains.
    pub(crate) fn draining(&self) {
        self.members.tell(|known, tell| known.draining(self.link, &self.peer.name, tell));
    }

    /// It has ended. Only the first word counts.
    pub(crate) fn ended(&self, reason: NodeDown) {
        self.members.tell(|known, tell| {
            let name = &self.peer.name;
            let reason = if known.is_draining(name) { NodeDown::Shutdown } else { reason };
            if let Some(listener) = self.members.listener.get() {
                listener.link_ended(self.link, reason);
            }
            known.link_down(self.link, &self.peer.name, reason, tell);
        });
    }
}

impl Drop for Linked {
    fn drop(&mut self) {
        self.ended(NodeDown::ConnectionLost);
    }
}
