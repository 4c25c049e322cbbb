//! Looks at a node and at those that it leads to, as often as somebody asks, and not more often than twice a second.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::{Duration, Instant};

use farcall::inspect::NodeView;
use farcall::{Address, NodeName};
use futures::future::join_all;
use serde::Serialize;
use tokio::sync::Mutex;

use super::{node_of, without_place};
use crate::args::Options;
use crate::inside::place_of;
use crate::report::Report;
use crate::session::Session;

/// So many nodes are looked at; a map of more is no map.
const NODES_MAX: usize = 64;
/// A node that does not answer within this is shown as silent.
const LOOK_WITHIN: Duration = Duration::from_millis(1500);
/// One look serves all who ask within this.
const FRESH: Duration = Duration::from_millis(500);
/// Events of each node that the page gets.
const EVENTS_MAX: usize = 64;

/// The connections to the nodes that are looked at.
pub(super) struct Watch {
    first: NodeName,
    options: Options,
    sessions: RefCell<BTreeMap<NodeName, Rc<Session>>>,
    last: Mutex<Option<(Instant, Rc<Cluster>)>>,
}

/// What the page shows.
#[derive(Serialize)]
pub(super) struct Cluster {
    /// The node that was asked for.
    first: String,
    /// A message may be sent.
    writes: bool,
    nodes: Vec<Seen>,
}

/// One node.
#[derive(Serialize)]
struct Seen {
    name: String,
    view: Option<NodeView>,
    /// Why there is no view.
    error: Option<String>,
}

impl Watch {
    pub(super) fn new(first: &NodeName, options: &Options) -> Self {
        Self {
            first: first.clone(),
            options: options.clone(),
            sessions: RefCell::default(),
            last: Mutex::default(),
        }
    }

    /// The first node answers.
    pub(super) async fn first(&self) -> Result<(), Report> {
        let session = self.session(&self.first, None).await?;
        session.node.inspect_node(&session.target).await.map_err(|error| session.explain(error.into()))?;
        Ok(())
    }

    /// The connection to a node. Where it is, may be known from another node that asks it.
    pub(super) async fn session(&self, node: &NodeName, at: Option<Address>) -> Result<Rc<Session>, Report> {
        if let Some(session) = self.sessions.borrow().get(node) {
            return Ok(session.clone());
        }
        let options = match *node == self.first {
            true => self.options.clone(),
            false => Options { at, ..without_place(&self.options) },
        };
        let session = Rc::new(Session::open(&options, node).await?);
        self.sessions.borrow_mut().insert(node.clone(), session.clone());
        Ok(session)
    }

    /// All nodes that the first one leads to, and those that these lead to.
    pub(super) async fn cluster(&self, writes: bool) -> Rc<Cluster> {
        let mut last = self.last.lock().await;
        if let Some((at, cluster)) = &*last
            && at.elapsed() < FRESH
        {
            return cluster.clone();
        }
        let mut seen: BTreeMap<NodeName, Seen> = BTreeMap::new();
        let mut next: BTreeMap<NodeName, Option<Address>> = BTreeMap::from([(self.first.clone(), None)]);
        while !next.is_empty() {
            let looks = next.into_iter().map(|(node, at)| async move {
                let seen = self.look(&node, at).await;
                (node, seen)
            });
            seen.extend(join_all(looks).await);
            next = leads_to(&seen);
        }
        self.forget(&seen);
        let cluster =
            Rc::new(Cluster { first: self.first.to_string(), writes, nodes: seen.into_values().collect() });
        *last = Some((Instant::now(), cluster.clone()));
        cluster
    }

    async fn look(&self, node: &NodeName, at: Option<Address>) -> Seen {
        let look = async {
            let session = self.session(node, at).await?;
            let view = session.node.inspect_node(&session.target).await;
            view.map_err(|error| session.explain(error.into()))
        };
        let name = node.to_string();
        match tokio::time::timeout(LOOK_WITHIN, look).await {
            Ok(Ok(mut view)) => {
                view.events.drain(..view.events.len().saturating_sub(EVENTS_MAX));
                Seen { name, view: Some(view), error: None }
            }
            Ok(Err(report)) => Seen { name, view: None, error: Some(report.message) },
            Err(_) => Seen { name, view: None, error: Some(format!("no answer within {LOOK_WITHIN:?}")) },
        }
    }

    /// Nodes that nothing leads to any more need no connection.
    fn forget(&self, seen: &BTreeMap<NodeName, Seen>) {
        self.sessions.borrow_mut().retain(|node, _| seen.contains_key(node));
    }
}

/// The nodes that were seen to be connected and were not looked at, with where they are as far as that is known.
fn leads_to(seen: &BTreeMap<NodeName, Seen>) -> BTreeMap<NodeName, Option<Address>> {
    let mut next = BTreeMap::new();
    for view in seen.values().filter_map(|seen| seen.view.as_ref()) {
        let visible = view.nodes.iter().filter(|node| !node.hidden).map(|node| node.node.as_str());
        let asked = view.links.iter().filter(|link| link.outgoing).map(|link| link.peer.as_str());
        let names: BTreeSet<&str> = visible.chain(asked).collect();
        for name in names.into_iter().filter_map(|name| node_of(name).ok()) {
            if !seen.contains_key(&name) && seen.len() + next.len() < NODES_MAX {
                let at: &mut Option<Address> = next.entry(name.clone()).or_default();
                *at = at.take().or_else(|| place_of(view, &name));
            }
        }
    }
    next
}
