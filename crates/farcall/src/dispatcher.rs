//! The dispatcher: settles which client actor serves a target. It never dials and never waits.
//!
//! Callers find or make the shared [`Client`] in a table under a short lock, so a thousand simultaneous first calls
//! end up in one connection. The dispatcher actor then sees to it that exactly one living client actor works for
//! it: it starts one, or a new one when the old one died.

use std::cell::RefCell;
use std::sync::{Arc, Weak};
use std::time::Instant;

use actix::{Actor, Addr, Context as ActorCtx, Handler, Message};
use farcall_proto::failure::NotSent;
use farcall_proto::peer::{Incarnation, NodeName, Target};
use hashbrown::HashMap;
use parking_lot::RwLock;

use crate::acceptor::{Acceptors, Stop};
use crate::client::{Client, ClientActor, ConnKey, Dial, Life, Way};
use crate::conn::Conn;
use crate::context::Context;

/// Every target in use, and the dispatcher that serves them.
#[derive(Debug)]
pub(crate) struct Clients {
    context: Arc<Context>,
    table: RwLock<HashMap<ConnKey, Arc<Client>, ahash::RandomState>>,
    dispatcher: Addr<Dispatcher>,
}

/// A connection that a thread used lately.
struct Recent {
    /// Which node's: two nodes may have the same target.
    node: Incarnation,
    target: Target,
    conn: Arc<Conn>,
}

/// How many connections a thread keeps at hand; a power of two.
const RECENT: usize = 8;

thread_local! {
    /// Each in the place that its target's name points to: found without a lock, and without hashing a name.
    static LATELY: RefCell<[Option<Recent>; RECENT]> = const { RefCell::new([const { None }; RECENT]) };
}

/// The place of a target. Clones of a target share the name's address, and have the same place.
fn place(target: &Target) -> usize {
    let key = target.key().map_or(0, |key| usize::try_from(key.hash() & 0xff).unwrap_or(0));
    ((target.node().as_str().as_ptr().addr() >> 4) ^ key) % RECENT
}

/// Idle entries are looked for when the table has grown by this many.
const TIDY_EVERY: usize = 256;

impl Clients {
    /// Starts the dispatcher on this arbiter.
    pub(crate) fn new(context: Arc<Context>, acceptors: Arc<Acceptors>) -> Self {
        let dispatcher = Dispatcher { acceptors, clients: HashMap::default() }.start();
        Self { context, table: RwLock::default(), dispatcher }
    }

    fn key(&self, target: &Target) -> ConnKey {
        let lanes = self.context.config.connections_per_node_max.saturating_sub(1).max(1) as u64;
        // Reduced modulo a number of connections, which fits.
        let lane = target.key().map_or(0, |key| u32::try_from(key.hash() % lanes).unwrap_or(0) + 1);
        ConnKey { node: target.node().clone(), lane }
    }

    fn client(&self, target: &Target) -> Arc<Client> {
        let key = self.key(target);
        if let Some(client) = self.table.read().get(&key) {
            return client.clone();
        }
        let mut table = self.table.write();
        if table.len() % TIDY_EVERY == TIDY_EVERY - 1 {
            let now = Instant::now();
            // Nobody else holds it: no caller is about to use it, and no task works for it.
            table.retain(|_, client| Arc::strong_count(client) > 1 || !client.is_idle(now));
        }
        let client = table
            .entry(key.clone())
            .or_insert_with(|| Arc::new(Client::new(key, self.context.clone())))
            .clone();
        self.context.metrics.clients.set(table.len() as u64);
        client
    }

    /// The connection to use for this target now.
    pub(crate) fn conn(&self, target: &Target, now: Instant) -> Result<Arc<Conn>, NotSent> {
        let (place, node) = (place(target), self.context.incarnation);
        let lately = LATELY.with_borrow(|lately| match lately.get(place) {
            Some(Some(recent))
                if recent.node == node && recent.target == *target && !recent.conn.is_retired() =>
            {
                Some(recent.conn.clone())
            }
            _ => None,
        });
        if let Some(conn) = lately {
            return Ok(conn);
        }
        let conn = self.find_conn(target, now)?;
        // What is pushed out is dropped outside of the borrow: a connection's end may run anything.
        let before = LATELY.with_borrow_mut(|lately| {
            let recent = Recent { node, target: target.clone(), conn: conn.clone() };
            lately.get_mut(place).and_then(|place| place.replace(recent))
        });
        drop(before);
        Ok(conn)
    }

    fn find_conn(&self, target: &Target, now: Instant) -> Result<Arc<Conn>, NotSent> {
        let client = self.client(target);
        match client.way(now) {
            Way::Conn(conn) => Ok(conn),
            Way::Fresh(conn, life) => {
                self.dispatcher.do_send(Ensure { client, life });
                Ok(conn)
            }
            Way::Closed(failure) => Err(failure),
        }
    }

    /// Nodes with a living outgoing connection, sorted, each once, without this node and hidden ones.
    pub(crate) fn nodes(&self) -> Vec<NodeName> {
        let mut nodes: Vec<_> = {
            let table = self.table.read();
            table.values().filter(|client| client.is_up()).map(|client| client.node().clone()).collect()
        };
        nodes.sort();
        nodes.dedup();
        nodes.retain(|node| *node != self.context.name && !self.context.members.is_hidden(node));
        nodes
    }

    /// Every node that was a target lately, whatever became of it.
    pub(crate) fn known(&self) -> Vec<NodeName> {
        self.table.read().values().map(|client| client.node().clone()).collect()
    }

    /// How many outgoing connections to this node are up, those of keys included.
    pub(crate) fn connections(&self, node: &NodeName) -> usize {
        let table = self.table.read();
        table.values().filter(|client| client.node() == node && client.is_up()).count()
    }

    /// The number of the connection that takes what is sent to this target now.
    pub(crate) fn epoch(&self, target: &Target) -> Option<u64> {
        self.table.read().get(&self.key(target)).and_then(|client| client.epoch())
    }

    /// Requests without an answer and bytes not yet written, over all connections to a node.
    pub(crate) fn load(&self, node: &NodeName) -> (usize, usize) {
        let now = Instant::now();
        let loads = self.conns_to(node).into_iter().map(|conn| conn.load(now));
        loads.fold((0, 0), |sum, load| (sum.0 + load.in_flight, sum.1 + load.unsent_bytes))
    }

    /// Every connection there is, in any state.
    pub(crate) fn conns(&self) -> Vec<Arc<Conn>> {
        self.table.read().values().flat_map(|client| client.conns()).collect()
    }

    /// Every target in use, by name.
    pub(crate) fn all(&self) -> Vec<Arc<Client>> {
        let mut all: Vec<_> = self.table.read().values().cloned().collect();
        all.sort_by(|a, b| a.key().cmp(b.key()));
        all
    }

    /// Connections to one node, in any state.
    pub(crate) fn conns_to(&self, node: &NodeName) -> Vec<Arc<Conn>> {
        let table = self.table.read();
        table.values().filter(|client| client.node() == node).flat_map(|client| client.conns()).collect()
    }

    /// Stops the actors of all clients of a node (or of all): their connections are lost.
    pub(crate) fn stop(&self, node: Option<&NodeName>) {
        self.dispatcher.do_send(StopClients { node: node.cloned() });
    }
}

/// The actor that starts client actors.
pub(crate) struct Dispatcher {
    acceptors: Arc<Acceptors>,
    /// A client nobody needs any more is not kept by its entry, only its address is, so that it is not used twice.
    clients: HashMap<*const Client, (Weak<Client>, Addr<ClientActor>), ahash::RandomState>,
}

impl Actor for Dispatcher {
    type Context = ActorCtx<Self>;
}

/// See to it that somebody makes this connection.
struct Ensure {
    client: Arc<Client>,
    life: Life,
}

impl Message for Ensure {
    type Result = ();
}

impl Handler<Ensure> for Dispatcher {
    type Result = ();

    fn handle(&mut self, Ensure { client, life }: Ensure, _: &mut Self::Context) {
        let key = Arc::as_ptr(&client);
        let living = self.clients.get(&key).map(|(_, actor)| actor.clone()).filter(Addr::connected);
        let actor = living.unwrap_or_else(|| {
            if self.clients.len() % TIDY_EVERY == TIDY_EVERY - 1 {
                self.clients.retain(|_, (client, actor)| actor.connected() && client.strong_count() > 0);
            }
            let actor = ClientActor::new(self.acceptors.clone()).start();
            self.clients.insert(key, (Arc::downgrade(&client), actor.clone()));
            actor
        });
        actor.do_send(Dial(life));
    }
}

/// Stop these client actors.
struct StopClients {
    node: Option<NodeName>,
}

impl Message for StopClients {
    type Result = ();
}

impl Handler<StopClients> for Dispatcher {
    type Result = ();

    fn handle(&mut self, StopClients { node }: StopClients, _: &mut Self::Context) {
        self.clients.retain(|_, (client, actor)| {
            let Some(client) = client.upgrade() else { return false };
            let chosen = node.as_ref().is_none_or(|node| client.node() == node);
            if chosen {
                actor.do_send(Stop);
            }
            !chosen
        });
    }
}
