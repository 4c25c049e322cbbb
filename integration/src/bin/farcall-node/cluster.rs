//! What this node knows of others: who comes and goes, what is watched, who is a member, who serves. All written down.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use actix::Actor;
use farcall::cluster::{NodeEvent, NodeFilter};
use farcall::prelude::*;
use farcall::services::ServiceError;
use farcall_integration::journal::{Line, now_us};

use crate::Here;
use crate::actors::{Now, Stored};
use crate::load::words;

/// The group that every node is a member of, and the service that every node offers.
const ALL: &str = "all";

/// What goes on until it is told to stop.
pub(crate) struct Cluster {
    here: Rc<Here>,
    monitors: Cell<u64>,
    served: Cell<u64>,
    serving: Cell<u32>,
}

impl Cluster {
    /// Joins, offers, and writes down who comes and goes.
    pub(crate) fn start(here: Rc<Here>) -> Result<Rc<Self>, Box<dyn std::error::Error>> {
        here.node.group(ALL).join("ledger")?;
        here.node.services().offer(ALL, "clock")?;
        here.node.factory("stored", |(): ()| Stored::default().start());
        let (monitors, served, serving) = (Cell::new(0), Cell::new(0), Cell::new(0));
        let cluster = Rc::new(Self { here, monitors, served, serving });
        actix_rt::spawn(cluster.clone().follow());
        actix_rt::spawn(cluster.clone().serve());
        Ok(cluster)
    }

    async fn follow(self: Rc<Self>) {
        let mut events = self.here.node.subscribe_nodes(NodeFilter::Visible);
        while let Some(Ok(event)) = events.next().await {
            let what = match &event {
                NodeEvent::Up(_) => "up",
                NodeEvent::Draining(_) => "draining",
                NodeEvent::Down(_, reason) => reason.reason(),
            };
            let (what, who) = (what.to_owned(), event.peer().incarnation.to_string());
            let peer = format!("{}/{who}", event.peer().name);
            self.here.journal.note(&Line::Peer { peer, at: now_us(), what });
        }
    }

    /// Watches the ledger of a peer so often; each end is written down.
    pub(crate) fn watch(&self, peer: &Target, count: u64) -> Result<(), String> {
        for _ in 0..count {
            let number = self.monitors.get() + 1;
            self.monitors.set(number);
            let monitor = self.here.node.monitor(peer, "ledger").map_err(|error| error.to_string())?;
            let (journal, peer) = (self.here.journal.clone(), peer.node().to_string());
            journal.note(&Line::Watch { number, peer });
            actix_rt::spawn(async move {
                let down = monitor.await;
                journal.note(&Line::Down { number, at: now_us(), reason: format!("{:?}", down.reason) });
            });
        }
        Ok(())
    }

    /// Starts an actor at a peer.
    pub(crate) async fn spawn(&self, peer: &Target, name: String, detached: bool) -> Result<(), String> {
        let asked = self.here.node.spawn_remote::<Stored, _>(peer, "stored", ()).name(name);
        let asked = if detached { asked.detached() } else { asked };
        asked.await.map(drop).map_err(|error| error.to_string())
    }

    /// The nodes that this one sees in the common group, sorted.
    pub(crate) fn members(&self) -> Vec<String> {
        let members = self.here.node.group(ALL).members().into_iter();
        let mut nodes: Vec<_> = members.map(|member| member.node.to_string()).collect();
        nodes.sort();
        nodes
    }

    /// Calls the common service so often from now on.
    pub(crate) fn call_service(&self, calls_per_s: u32) {
        self.serving.set(calls_per_s);
    }

    async fn serve(self: Rc<Self>) {
        let mut tick = tokio::time::interval(Duration::from_millis(10));
        let mut owed = 0;
        loop {
            tick.tick().await;
            owed += self.serving.get();
            if self.serving.get() == 0 {
                owed = 0;
                continue;
            }
            self.keep_connected();
            while owed >= 100 {
                owed -= 100;
                let (here, id) = (self.here.clone(), self.served.get() + 1);
                self.served.set(id);
                actix_rt::spawn(async move {
                    let answer = here.node.services().call(ALL, Now).await;
                    let (class, reason) = match &answer {
                        Ok(_) => ("ok".to_owned(), "-".to_owned()),
                        Err(ServiceError::NoNode(_)) => ("not_sent".to_owned(), "no_node".to_owned()),
                        Err(ServiceError::Call(error)) => {
                            let (class, reason) = words(Some(error));
                            (class, reason.to_owned())
                        }
                        Err(_) => ("unknown".to_owned(), "?".to_owned()),
                    };
                    here.journal.note(&Line::Served { id, at: now_us(), class, reason });
                });
            }
        }
    }

    /// A service is found over connections that are there: those that were lost are made again.
    fn keep_connected(&self) {
        let up = self.here.node.nodes();
        for peer in self.here.peers.iter().filter(|peer| !up.contains(peer.node())) {
            let (node, peer) = (self.here.node.clone(), peer.clone());
            actix_rt::spawn(async move {
                // Told at once while the pause after a failed attempt runs.
                let _ = node.connect(&peer).await;
            });
        }
    }
}
