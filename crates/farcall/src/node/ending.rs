//! The end of a node: what is in flight finishes, peers are told, sockets close.

use std::time::{Duration, Instant};

use farcall_proto::link::frame::Goodbye;

use super::Node;
use crate::acceptor::Stop;
use crate::listener::Listening;

impl Node {
    /// Drains and ends the node: takes nothing new, tells its peers, finishes what is in flight, closes. True if all
    /// of it was finished within `drain_timeout`; what was not ends as unknown at its callers.
    ///
    /// # Cancel safety
    /// Dropped before the end, the node stays half-way: it takes nothing new. Call it again to go on.
    pub async fn shutdown(&self) -> bool {
        let context = &self.0.caller.context;
        let deadline = Instant::now() + context.config.drain_timeout;
        context.begin_draining();
        log::info!(target: "farcall", node:% = context.name; "draining");
        let listeners = std::mem::take(&mut *self.0.listeners.lock());
        listeners.iter().for_each(|listening| listening.actor.do_send(Stop));
        for port in self.0.acceptors.ports() {
            port.goodbye(Goodbye::Draining);
        }
        // Told after every goodbye; a session would keep its connection from ending.
        self.0.caller.clients.conns().iter().for_each(|conn| conn.drain("this node is draining"));
        self.0.cluster.shut_down();
        // Nobody is to be led to a port that a stranger may have next.
        let portmap = self.0.portmap.lock().take();
        if let Some(portmap) = portmap {
            portmap.stop().await;
        }
        let mut busy_at = Instant::now();
        let finished = loop {
            let (now, ports) = (Instant::now(), self.0.acceptors.ports());
            if !ports.iter().all(|port| port.is_quiet()) {
                busy_at = now;
            }
            // A peer says goodbye too, when all it sent was answered or refused. One that does not is not waited for.
            let left = ports.is_empty() || now.saturating_duration_since(busy_at) >= GOODBYE_WITHIN;
            let conns = self.0.caller.clients.conns();
            conns.iter().for_each(|conn| conn.drain("this node is draining"));
            if left && conns.is_empty() {
                break true;
            }
            if now >= deadline {
                break false;
            }
            tokio::time::sleep(DRAIN_LOOK_EVERY).await;
        };
        self.0.caller.clients.stop(None);
        self.0.acceptors.stop(None);
        self.gone(listeners).await;
        context.registry.clear();
        drop(self.0.exporter.lock().take());
        log::info!(target: "farcall", node:% = context.name, finished = finished; "stopped");
        finished
    }
}

impl Node {
    /// Resolves when the sockets are closed, so that a successor may listen on them.
    async fn gone(&self, listeners: Vec<Listening>) {
        let closed = async {
            for listening in listeners {
                // Dropped without a word when it is closed.
                let _ = listening.closed.await;
            }
            while self.0.acceptors.len() > 0 || !self.0.caller.clients.conns().is_empty() {
                tokio::time::sleep(DRAIN_LOOK_EVERY).await;
            }
        };
        if tokio::time::timeout(GOODBYE_WITHIN, closed).await.is_err() {
            log::warn!(target: "farcall", node:% = self.name(); "stopped, and its arbiter is too busy to close its sockets");
        }
    }
}

/// How long a draining node waits for peers that have nothing more to expect, and for its own sockets to close.
const GOODBYE_WITHIN: Duration = Duration::from_secs(1);

/// How often a draining node looks whether its connections are quiet.
const DRAIN_LOOK_EVERY: Duration = Duration::from_millis(5);
