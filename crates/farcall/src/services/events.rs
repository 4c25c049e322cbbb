//! Services that come and go on nodes.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};

use farcall_proto::cluster::members::NodeEvent;
use farcall_proto::cluster::services::SCOPE;
use farcall_proto::peer::NodeName;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

use super::{Inner, Services};
use crate::cluster::{EVENTS_MAX, Events};

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

/// Services that come and go on nodes, each event once and in order; begins with one for each that is there.
pub type ServiceEvents = Events<ServiceEvent>;

/// What becomes of services from now on.
pub(super) fn events(services: &Services) -> ServiceEvents {
    let receiver = {
        let mut events = services.0.events.lock();
        events.get_or_insert_with(|| broadcast::Sender::new(EVENTS_MAX)).subscribe()
    };
    let mut known = BTreeSet::new();
    let table = services.table().into_iter();
    let there = table.flat_map(|(service, nodes)| {
        nodes.into_iter().map(move |node| ServiceEvent::New { service: service.clone(), node })
    });
    // What the table had before its news came is told once.
    Events::new(there, receiver, move |event| match event {
        ServiceEvent::New { service, node } => known.insert((service.clone(), node.clone())),
        ServiceEvent::Lost { service, node } => known.remove(&(service.clone(), node.clone())),
    })
}
