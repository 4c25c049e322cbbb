//! Monitors and links, as an application uses them.

use std::future::Future;
use std::pin::Pin;
use std::sync::Weak;
use std::task::{Context, Poll, ready};

use actix::{Message, Recipient};
use farcall_proto::cluster::signals::{DownReason, MonitorId, TooMany};
use farcall_proto::peer::NodeName;
use tokio::sync::oneshot;

use super::sessions::Cluster;

/// An actor that was watched has ended. Comes once for each monitor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Down {
    /// Its node.
    pub node: NodeName,
    /// Its name.
    pub actor: String,
    /// Why.
    pub reason: DownReason,
}

impl Message for Down {
    type Result = ();
}

impl std::fmt::Display for Down {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "actor {:?} at {} is down: {}", self.actor, self.node, self.reason)
    }
}

/// An actor that was linked to one of this node, which traps exits, has ended. Comes once for each link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// The actor of this node.
    pub own: String,
    /// The node of the other one.
    pub node: NodeName,
    /// The name of the other one.
    pub actor: String,
    /// Why it ended.
    pub reason: DownReason,
}

impl Message for Exit {
    type Result = ();
}

/// Why two actors could not be linked. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The own actor has to be there.
    #[error("there is no actor {0:?} on this node: register it first")]
    NoSuchActor(String),
    /// There are as many as `monitors_max` allows.
    #[error(transparent)]
    TooMany(#[from] TooMany),
}

/// Whom a monitor tells.
#[derive(Debug)]
pub(crate) struct Watcher {
    pub(crate) down: Box<Down>,
    pub(crate) to: ToWhom,
}

#[derive(Debug)]
pub(crate) enum ToWhom {
    Waiting(oneshot::Sender<Down>),
    Actor(Recipient<Down>),
}

impl Watcher {
    pub(crate) fn tell(self, reason: DownReason) {
        let down = Down { reason, ..*self.down };
        match self.to {
            // Whoever no longer waits has given the monitor up.
            ToWhom::Waiting(sender) => drop(sender.send(down)),
            // Beyond the mailbox's capacity: one message for each monitor that its actor asked for.
            ToWhom::Actor(recipient) => recipient.do_send(down),
        }
    }
}

/// Resolves when the watched actor has ended: exactly once, also if it never was there or its node is lost.
///
/// # Cancel safety
/// Dropping it ends the monitor.
#[must_use = "dropping a monitor ends it"]
pub struct Monitor {
    receiver: oneshot::Receiver<Down>,
    guard: Option<Guard>,
    unknown: Down,
}

struct Guard {
    cluster: Weak<Cluster>,
    id: MonitorId,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(cluster) = self.cluster.upgrade() {
            cluster.demonitor(self.id);
        }
    }
}

impl Monitor {
    pub(super) fn id(&self) -> Option<MonitorId> {
        self.guard.as_ref().map(|guard| guard.id)
    }

    pub(super) fn new(
        cluster: Weak<Cluster>,
        id: MonitorId,
        receiver: oneshot::Receiver<Down>,
        unknown: Down,
    ) -> Self {
        Self { receiver, guard: Some(Guard { cluster, id }), unknown }
    }
}

impl Future for Monitor {
    type Output = Down;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Down> {
        let told = ready!(Pin::new(&mut self.receiver).poll(cx));
        self.guard = None;
        // Its sender is dropped untold only with the whole node.
        Poll::Ready(told.unwrap_or_else(|_| self.unknown.clone()))
    }
}

impl std::fmt::Debug for Monitor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Monitor").field(&self.unknown.node).field(&self.unknown.actor).finish()
    }
}
