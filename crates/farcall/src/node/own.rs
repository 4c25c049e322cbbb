//! The reserved actor `farcall`: how nodes talk about themselves. Everything beyond the verbs travels as a request to it.

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Context, Handler, ResponseFuture};

use super::Node;
use super::describe::{NodeDescription, actors};
use crate::batch::{Batch, Entry, RemoteActor};
use crate::cluster::{self, Attend, Scatter, Spawn, Spawning, Tell};
use crate::inspect::{ConfigView, NodeView, Order, OrderRefused};
use crate::members::Linked;
use crate::port::AnswerPort;

/// What do you expose?
#[farcall::message(result = NodeDescription, name = "farcall.Describe")]
#[derive(Debug)]
pub(super) struct Describe {
    /// Only this actor.
    pub(super) actor: Option<String>,
}

/// How are you?
#[farcall::message(result = Option<NodeView>, name = "farcall.Inspect")]
#[derive(Debug)]
pub(super) struct Inspect {
    /// Events behind this number.
    pub(super) after: u64,
}

/// What are you set to?
#[farcall::message(result = Option<ConfigView>, name = "farcall.Configuration")]
#[derive(Debug)]
pub(super) struct Configuration;

/// Do this.
#[farcall::message(result = Result<(), OrderRefused>, name = "farcall.Operate")]
#[derive(Debug)]
pub(super) struct Operate {
    /// What.
    pub(super) order: Order,
}

/// Answer when this name is registered: true, or false when the time is over.
#[farcall::message(result = bool, name = "farcall.WaitFor")]
#[derive(Debug)]
pub(super) struct WaitFor {
    /// The name.
    pub(super) actor: String,
    /// How long the caller waits. Whoever waits longer than [`WAIT_MAX`] has to ask again, so that a caller that
    /// went away does not leave its wait behind for long.
    pub(super) within_ms: u32,
}

/// The longest wait for a name in one request.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(10);

/// The reserved actor.
pub(super) struct Own {
    /// Keeps the node alive until it is shut down, whoever drops its handle.
    node: Node,
    /// The connection whose requests it handles now.
    port: Option<Arc<AnswerPort>>,
}

impl Own {
    pub(super) fn new(node: Node) -> Self {
        Self { node, port: None }
    }

    /// Who asks; nothing for this node itself.
    fn linked(&self) -> Option<&Linked> {
        self.port.as_ref().and_then(|port| port.linked())
    }

    /// Whether who asks may look inside.
    fn may_inspect(&self) -> bool {
        let registry = &self.node.0.caller.context.registry;
        self.linked().is_none_or(|linked| registry.may_inspect(&linked.peer().name))
    }
}

impl RemoteActor for Own {
    fn entries() -> &'static [Entry<Self>] {
        const ENTRIES: &[Entry<Own>] = &[
            Entry::new::<Describe>(),
            Entry::new::<Inspect>(),
            Entry::new::<Configuration>(),
            Entry::new::<Operate>(),
            Entry::new::<WaitFor>(),
            Entry::new::<Attend>(),
            Entry::new::<Tell>(),
            Entry::new::<Spawn>(),
            Entry::new::<Scatter>(),
        ];
        ENTRIES
    }
}

/// By hand: it has to know who asks.
impl Handler<Batch> for Own {
    type Result = ();

    fn handle(&mut self, batch: Batch, ctx: &mut Context<Self>) {
        self.port = batch.port().cloned();
        batch.run(self, ctx);
        self.port = None;
    }
}

impl Actor for Own {
    type Context = Context<Self>;
}

impl Handler<Describe> for Own {
    type Result = actix::MessageResult<Describe>;

    fn handle(&mut self, Describe { actor }: Describe, _: &mut Context<Self>) -> Self::Result {
        let context = &self.node.0.caller.context;
        actix::MessageResult(NodeDescription {
            node: context.name.to_string(),
            incarnation: context.incarnation.0,
            farcall: env!("CARGO_PKG_VERSION").to_owned(),
            actors: actors(
                &context.registry,
                actor.as_deref(),
                self.linked().map(|linked| &linked.peer().name),
            ),
        })
    }
}

impl Handler<Inspect> for Own {
    type Result = Option<NodeView>;

    fn handle(&mut self, Inspect { after }: Inspect, _: &mut Context<Self>) -> Self::Result {
        self.may_inspect().then(|| self.node.inspect_after(after))
    }
}

impl Handler<Configuration> for Own {
    type Result = Option<ConfigView>;

    fn handle(&mut self, _: Configuration, _: &mut Context<Self>) -> Self::Result {
        self.may_inspect().then(|| self.node.inspect_config())
    }
}

impl Handler<Operate> for Own {
    type Result = Result<(), OrderRefused>;

    fn handle(&mut self, Operate { order }: Operate, _: &mut Context<Self>) -> Self::Result {
        let context = &self.node.0.caller.context;
        let from = self.linked().map(|linked| linked.peer().name.clone());
        if let Some(peer) = &from
            && !context.registry.may_operate(peer)
        {
            return Err(OrderRefused::NotPermitted { peer: peer.to_string() });
        }
        let by = from.map_or_else(|| "this node itself".to_owned(), |peer| peer.to_string());
        log::info!(target: "farcall", node:% = context.name, peer:% = by; "ordered to {order:?}");
        context.logs.recent.note(log::Level::Info, "ordered", &by, format_args!("{order:?}"));
        self.node.follow(order)
    }
}

impl Handler<WaitFor> for Own {
    type Result = ResponseFuture<bool>;

    fn handle(&mut self, WaitFor { actor, within_ms }: WaitFor, _: &mut Context<Self>) -> Self::Result {
        let registry = self.node.0.caller.context.registry.clone();
        let peer = self.linked().map(|linked| linked.peer().name.clone());
        let within = Duration::from_millis(u64::from(within_ms)).min(WAIT_MAX);
        Box::pin(async move {
            tokio::time::timeout(within, registry.wait_for(&actor, peer.as_ref())).await.is_ok()
        })
    }
}

impl Handler<Attend> for Own {
    type Result = actix::MessageResult<Attend>;

    fn handle(&mut self, attend: Attend, _: &mut Context<Self>) -> Self::Result {
        actix::MessageResult(cluster::answer(&self.node.0.cluster, self.linked(), &attend))
    }
}

impl Handler<Tell> for Own {
    type Result = bool;

    fn handle(&mut self, tell: Tell, _: &mut Context<Self>) -> bool {
        cluster::told(&self.node.0.cluster, self.linked(), &tell)
    }
}

impl Handler<Spawn> for Own {
    type Result = actix::MessageResult<Spawn>;

    fn handle(&mut self, spawn: Spawn, _: &mut Context<Self>) -> Self::Result {
        let started: Spawning = self.node.0.cluster.spawn(self.linked(), &spawn);
        actix::MessageResult(started)
    }
}

impl Handler<Scatter> for Own {
    type Result = ();

    fn handle(&mut self, scatter: Scatter, _: &mut Context<Self>) {
        let peer = self.linked().map(|linked| &linked.peer().name);
        self.node.0.cluster.scatter(peer, &scatter);
    }
}

#[cfg(test)]
mod tests {
    use farcall_proto::cluster::groups::{GroupName, GroupNotice};
    use farcall_proto::cluster::members::{LinkId, NodeDown, Peer};
    use farcall_proto::peer::Incarnation;

    use super::*;
    use crate::cluster::{Said, Told};

    /// All members of one node's group, as the first word of a session.
    fn says(session: u64) -> Tell {
        let group = GroupName::new(cluster::DEFAULT_SCOPE, "rooms/1");
        let notice = GroupNotice::Snapshot {
            version: 1,
            first: true,
            last: true,
            members: vec![(group, "guest".to_owned(), 1)],
        };
        Tell { session, told: Told::new(&[Said::Groups(notice)]).unwrap() }
    }

    #[actix::test]
    async fn what_a_lost_connection_had_brought_begins_no_session_and_leaves_no_members_behind() {
        let cookie = crate::Cookie::new(b"a cookie of this test, 16 or more").unwrap();
        let node = Node::builder("beta@127.0.0.1").no_listener().cookie(cookie).start().await.unwrap();
        let (members, of) = (node.0.caller.context.members.clone(), &node.0.cluster);
        let peer = |nth| Peer {
            name: "alpha@127.0.0.1".parse().unwrap(),
            incarnation: Incarnation(nth),
            hidden: false,
        };
        let room = node.group("rooms/1");
        // As it should be: heard while the connection is up, gone with it.
        let linked = members.link_up(LinkId::In(1), peer(1));
        let told = cluster::answer(of, Some(&linked), &Attend { session: 7 });
        assert!(cluster::told(of, Some(&linked), &says(7)));
        assert_eq!(room.members().len(), 1);
        linked.ended(NodeDown::ConnectionLost);
        assert!(room.members().is_empty());
        drop(told);
        // Its actor was busy, and takes both out of its mailbox when the end was told already.
        let linked = members.link_up(LinkId::In(2), peer(2));
        linked.ended(NodeDown::ConnectionLost);
        let _told = cluster::answer(of, Some(&linked), &Attend { session: 8 });
        assert!(!cluster::told(of, Some(&linked), &says(8)), "there is no session");
        assert!(room.members().is_empty(), "{:?}", room.members());
        node.shutdown().await;
    }
}
