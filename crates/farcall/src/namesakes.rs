//! Processes that say they are one node: who is asked, who is given up, who is turned away.
//!
//! It is decided by [`farcall_proto::namesake`]; here are the connections that it is decided about.

use std::net::SocketAddr;
use std::sync::{Arc, Weak};

use farcall_proto::namesake::{self, CameIn, Namesake, Reached};
use farcall_proto::peer::{Incarnation, NodeName};
use hashbrown::HashMap;
use parking_lot::Mutex;

use crate::conn::Conn;

/// Outgoing connections that are up, and what follows from who comes in.
#[derive(Debug, Default)]
pub(crate) struct Namesakes(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    decide: namesake::Namesakes,
    /// By the connection's number.
    up: HashMap<u64, Up, ahash::RandomState>,
}

#[derive(Debug)]
struct Up {
    node: NodeName,
    conn: Weak<Conn>,
}

impl Namesakes {
    /// A peer has come in from there. False: it is to be turned away. Connections to its predecessor end.
    pub(crate) fn came_in(&self, node: &NodeName, incarnation: Incarnation, from: SocketAddr) -> bool {
        // Dropped behind the lock: each may be the last reference to anything.
        let mut conns: HashMap<u64, Arc<Conn>> = HashMap::new();
        let mut inner = self.0.lock();
        let Inner { decide, up } = &mut *inner;
        conns.extend(
            up.iter()
                .filter(|(_, up)| up.node == *node)
                .filter_map(|(number, up)| Some((*number, up.conn.upgrade()?))),
        );
        // One that takes nothing new, as to a node that drains, may finish what it has.
        conns
            .iter()
            .filter(|(_, conn)| conn.is_retired())
            .for_each(|(number, _)| decide.ended(node, *number));
        let decided = decide.came_in(node, incarnation, from);
        drop(inner);
        match decided {
            CameIn::Welcome => true,
            CameIn::TurnAway => false,
            CameIn::Replaces(lost) => {
                lost.iter().filter_map(|number| conns.get(number)).for_each(|conn| conn.supersede());
                true
            }
        }
    }

    /// A connection is up, until what is given is dropped; and who is its younger namesake, if one has shown itself.
    pub(crate) fn reached(
        self: &Arc<Self>,
        node: &NodeName,
        incarnation: Incarnation,
        conn: &Arc<Conn>,
    ) -> (Held, Option<Namesake>) {
        let (mut inner, number) = (self.0.lock(), conn.epoch());
        inner.up.insert(number, Up { node: node.clone(), conn: Arc::downgrade(conn) });
        let younger = match inner.decide.reached(node, number, incarnation) {
            Reached::Node => None,
            Reached::Beside(younger) => Some(younger),
        };
        (Held { of: self.clone(), node: node.clone(), number }, younger)
    }

    /// Those that are turned away.
    pub(crate) fn turned_away(&self) -> Vec<(NodeName, Incarnation)> {
        self.0.lock().decide.turned_away()
    }
}

/// An outgoing connection that is up.
#[derive(Debug)]
pub(crate) struct Held {
    of: Arc<Namesakes>,
    node: NodeName,
    number: u64,
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut inner = self.of.0.lock();
        inner.up.remove(&self.number);
        inner.decide.ended(&self.node, self.number);
    }
}
