//! Processes that say they are one node: who is asked, who is given up, who is turned away.
//!
//! It is decided by [`farcall_proto::namesake`]; here are the connections that it is decided about.

use std::sync::{Arc, Weak};

use farcall_proto::namesake::{self, CameIn, Reached};
use farcall_proto::peer::{Incarnation, NodeName};
use parking_lot::Mutex;

use crate::conn::Conn;

/// Outgoing connections that are up, and what follows from who comes in.
#[derive(Debug, Default)]
pub(crate) struct Namesakes(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    decide: namesake::Namesakes,
    up: Vec<Up>,
}

#[derive(Debug)]
struct Up {
    node: NodeName,
    incarnation: Incarnation,
    conn: Weak<Conn>,
}

impl Namesakes {
    /// A peer has come in. False: it is to be turned away. Connections to its predecessor end.
    pub(crate) fn came_in(&self, node: &NodeName, incarnation: Incarnation) -> bool {
        let mut inner = self.0.lock();
        match inner.decide.came_in(node, incarnation) {
            CameIn::Welcome => return true,
            CameIn::TurnAway => return false,
            CameIn::Replaces => {}
        }
        let older = |up: &&Up| up.node == *node && up.incarnation != incarnation;
        let conns: Vec<_> = inner.up.iter().filter(older).filter_map(|up| up.conn.upgrade()).collect();
        drop(inner);
        conns.iter().for_each(|conn| conn.supersede());
        true
    }

    /// A connection is up, until what is given is dropped; and who is its younger namesake, if one has shown itself.
    pub(crate) fn reached(
        self: &Arc<Self>,
        node: &NodeName,
        incarnation: Incarnation,
        conn: &Arc<Conn>,
    ) -> (Held, Option<Incarnation>) {
        let mut inner = self.0.lock();
        let conn = Arc::downgrade(conn);
        inner.up.push(Up { node: node.clone(), incarnation, conn: conn.clone() });
        let younger = match inner.decide.reached(node, incarnation) {
            Reached::Node => None,
            Reached::Beside(younger) => Some(younger),
        };
        (Held { of: self.clone(), node: node.clone(), incarnation, conn }, younger)
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
    incarnation: Incarnation,
    conn: Weak<Conn>,
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut inner = self.of.0.lock();
        if let Some(at) = inner.up.iter().position(|up| up.conn.ptr_eq(&self.conn)) {
            inner.up.swap_remove(at);
        }
        inner.decide.ended(&self.node, self.incarnation);
    }
}
