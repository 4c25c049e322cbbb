//! Services that come and go on nodes.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use farcall_proto::cluster::members::NodeEvent;
use farcall_proto::cluster::services::SCOPE;
use farcall_proto::peer::NodeName;
use futures::stream::{BoxStream, Stream, StreamExt};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

use super::{Inner, Services};
use crate::cluster::{Lagged, next_of};

/// What became of a service on a node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum ServiceEvent {
    /// The node offers it, and is used for it.
    New {
        /// The service.
        service: String,
        /// The node.
        node: NodeName,
    },
    /// The node no longer offers it, or is gone.
    Lost {
        /// The service.
        service: String,
        /// The node.
        node: NodeName,
    },
}

/// So many events wait for a slow subscriber.
const SERVICE_EVENTS_MAX: usize = 1024;

/// Keeps track of who offers what, until the node ends.
pub(super) fn follow(services: &Services) {
    let weak = Arc::downgrade(&services.0);
    let changes = services.0.cluster.subscribe_groups();
    let (_, nodes) = services.0.cluster.caller().context.members.subscribe();
    actix_rt::spawn(watch(weak, changes, nodes));
}

async fn watch(
    services: Weak<Inner>,
    mut changes: broadcast::Receiver<farcall_proto::cluster::groups::GroupEvent>,
    mut nodes: broadcast::Receiver<NodeEvent>,
) {
    let mut known = BTreeSet::new();
    loop {
        {
            let Some(inner) = services.upgrade() else { return };
            let services = Services(inner);
            let mut now = BTreeSet::new();
            for (service, offering) in services.table() {
                now.extend(offering.into_iter().map(|node| (service.clone(), node)));
            }
            services.tell(&known, &now);
            known = now;
        }
        // Whatever has happened, the table tells what has come of it; once for all that happens at a time.
        loop {
            tokio::select! {
                change = changes.recv() => match change {
                    Ok(event) if event.group().scope != SCOPE => {}
                    Err(RecvError::Closed) => return,
                    Ok(_) | Err(RecvError::Lagged(_)) => {
                        while matches!(changes.try_recv(), Ok(_) | Err(TryRecvError::Lagged(_))) {}
                        break;
                    }
                },
                event = nodes.recv() => match event {
                    Ok(NodeEvent::Up(peer)) => {
                        let Some(inner) = services.upgrade() else { return };
                        inner.aside.write().remove(&peer.name);
                    }
                    Ok(_) | Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return,
                },
            }
        }
    }
}

impl Services {
    /// Tells what is new and what is lost.
    fn tell(&self, before: &BTreeSet<(String, NodeName)>, after: &BTreeSet<(String, NodeName)>) {
        let (callbacks, events) = (self.callbacks(), self.0.events.lock());
        let tell = |event: ServiceEvent| {
            if let Some(events) = &*events {
                // Nobody listening is no error.
                let _ = events.send(event);
            }
        };
        for (service, node) in before.difference(after).cloned() {
            callbacks.lost_resource(&service, &node);
            tell(ServiceEvent::Lost { service, node });
        }
        for (service, node) in after.difference(before).cloned() {
            callbacks.new_resource(&service, &node);
            tell(ServiceEvent::New { service, node });
        }
    }
}

/// Services that come and go, each event once. At most 1,024 wait; whoever is further behind gets one [`Lagged`].
pub struct ServiceEvents(BoxStream<'static, Result<ServiceEvent, Lagged>>);

impl ServiceEvents {
    pub(super) fn new(services: &Services) -> Self {
        let receiver = {
            let mut events = services.0.events.lock();
            events.get_or_insert_with(|| broadcast::Sender::new(SERVICE_EVENTS_MAX)).subscribe()
        };
        let mut there = BTreeSet::new();
        for (service, nodes) in services.table() {
            there.extend(nodes.into_iter().map(|node| (service.clone(), node)));
        }
        let first: Vec<_> =
            there.iter().cloned().map(|(service, node)| Ok(ServiceEvent::New { service, node })).collect();
        let later = futures::stream::unfold((receiver, there), |(mut receiver, mut there)| async {
            loop {
                let next = next_of(&mut receiver).await?;
                // What the table had before its news came is told once.
                let is_news = match &next {
                    Ok(ServiceEvent::New { service, node }) => there.insert((service.clone(), node.clone())),
                    Ok(ServiceEvent::Lost { service, node }) => {
                        there.remove(&(service.clone(), node.clone()))
                    }
                    Err(Lagged(_)) => true,
                };
                if is_news {
                    return Some((next, (receiver, there)));
                }
            }
        });
        Self(futures::stream::iter(first).chain(later).boxed())
    }

    /// The next event.
    ///
    /// # Errors
    /// [`Lagged`]: events were missed; those behind them follow.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Result<ServiceEvent, Lagged>> {
        self.0.next().await
    }
}

impl Stream for ServiceEvents {
    type Item = Result<ServiceEvent, Lagged>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.as_mut().poll_next(cx)
    }
}

impl std::fmt::Debug for ServiceEvents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ServiceEvents")
    }
}
