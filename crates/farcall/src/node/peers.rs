//! The part of a node's face that is about other nodes: who is there, who comes and who goes.

use std::marker::PhantomData;

use actix::{Addr, Recipient};
use farcall_proto::peer::{NodeName, Target};

use super::Node;
use crate::batch::RemoteActor;
use crate::cluster::{
    DEFAULT_SCOPE, Down, Exit, Factory, Group, GroupName, LinkError, Monitor, MonitorId, NodeEvents,
    NodeFilter, NodeMonitor, Peer, SpawnRemote, TooMany,
};
use crate::error::CallError;
use crate::message::{Schema, Value};
use crate::services::Services;

impl Node {
    /// Connects to a node if it is not connected, and gives which start of it is there (`net_kernel:connect_node`).
    ///
    /// Nothing has to be connected by hand: the first request does the same. A connection that is lost later is made
    /// again by the next request.
    ///
    /// # Errors
    /// [`CallError`]: it cannot be reached within `call_timeout`.
    ///
    /// # Cancel safety
    /// Dropped before the end, the attempt goes on and may succeed.
    pub async fn connect(&self, target: &Target) -> Result<Peer, CallError> {
        self.ping(target).await?;
        let gone = || {
            let cause = "connected, and lost again at once".into();
            let failure = farcall_proto::failure::Unknown::LinkLost(cause);
            CallError::new(failure, target, crate::registry::RESERVED, "ping")
        };
        match self.own_peer(target.node()) {
            Some(own) => Ok(own),
            None => self.0.caller.context.members.find(target.node()).ok_or_else(gone),
        }
    }

    fn own_peer(&self, name: &NodeName) -> Option<Peer> {
        let hidden = self.config().hidden;
        (name == self.name()).then(|| Peer { name: name.clone(), incarnation: self.incarnation(), hidden })
    }

    /// The nodes that this filter takes, sorted, in either direction of connection: `node.nodes_that(NodeFilter::Hidden)`.
    ///
    /// [`nodes`](Node::nodes), which `All` goes by, has those that this node asks.
    pub fn nodes_that(&self, filter: NodeFilter) -> Vec<NodeName> {
        crate::cluster::chosen(&self.0.caller, filter)
    }

    /// Which start of a node is connected to this one, in either direction.
    pub fn peer(&self, name: &NodeName) -> Option<Peer> {
        self.own_peer(name).or_else(|| self.0.caller.context.members.find(name))
    }

    /// Events of all nodes that this filter takes, from now on; begins with an `Up` of each that is there
    /// (`net_kernel:monitor_nodes`).
    pub fn subscribe_nodes(&self, filter: NodeFilter) -> NodeEvents {
        crate::cluster::events(&self.0.caller, filter)
    }

    /// Resolves when this node is down; connects first if it is not there, and resolves with
    /// [`Unreachable`](crate::cluster::NodeDown::Unreachable) if it cannot (`erlang:monitor_node`).
    ///
    /// It watches from this call on, and looks when it is polled.
    pub fn monitor_node(&self, name: &NodeName) -> NodeMonitor {
        NodeMonitor::new(&self.0.caller, name)
    }

    // ----- monitors and links -----

    /// Watches a named actor, on any node: what is given resolves once, when the actor has ended, or never was there, or
    /// its node cannot be reached any more (`erlang:monitor`). Connects if need be; dropping it ends the monitor.
    ///
    /// # Errors
    /// [`TooMany`]: this node has `monitors_max` monitors.
    pub fn monitor(&self, target: &Target, actor: &str) -> Result<Monitor, TooMany> {
        self.0.cluster.monitor(target, actor)
    }

    /// As [`Node::monitor`]; the [`Down`] is sent to this actor. End it with [`demonitor`](Node::demonitor).
    ///
    /// # Errors
    /// As [`Node::monitor`].
    pub fn monitor_for(
        &self,
        target: &Target,
        actor: &str,
        watcher: Recipient<Down>,
    ) -> Result<MonitorId, TooMany> {
        self.0.cluster.monitor_for(target, actor, watcher)
    }

    /// Ends a monitor of [`monitor_for`](Node::monitor_for): nothing is sent after this returns true. False if it has
    /// ended, and its [`Down`] is on its way or was delivered.
    pub fn demonitor(&self, monitor: MonitorId) -> bool {
        self.0.cluster.demonitor(monitor)
    }

    /// Links an actor of this node, by its name, with one on any node (`erlang:link`). When one of the two ends, the other
    /// one is stopped, or told if it [traps exits](Node::trap_exits). One that gave its name back
    /// ([`Normal`](crate::cluster::DownReason::Normal)) stops nobody. A lost connection ends links as it ends monitors, on
    /// both sides. Two that are linked stay linked once.
    ///
    /// # Errors
    /// [`LinkError`]: there is no such actor here, or there are too many links.
    pub fn link(&self, own: &str, target: &Target, other: &str) -> Result<(), LinkError> {
        self.0.cluster.link(own, target, other)
    }

    /// Ends a link, whichever side began it; false if there was none.
    pub fn unlink(&self, own: &str, target: &Target, other: &str) -> bool {
        self.0.cluster.unlink(own, target, other)
    }

    /// An actor of this node is told of exits of those it is linked to, and not stopped
    /// (`process_flag(trap_exit, true)`). It holds as long as the actor has its name.
    ///
    /// # Errors
    /// [`LinkError::NoSuchActor`].
    pub fn trap_exits(&self, own: &str, to: Recipient<Exit>) -> Result<(), LinkError> {
        self.0.cluster.trap_exits(own, to)
    }

    /// How many monitors this node has, and how many monitors and links it keeps for its actors (limit `monitors_max`).
    pub fn monitors(&self) -> (usize, usize) {
        self.0.cluster.watchers()
    }

    // ----- actors on other nodes -----

    /// Peers that the access list lets reach this name may have actors started here:
    /// `node.factory("worker", |args: Args| Worker::new(args).start())`. The function runs on the node's arbiter and gives
    /// an actor on any. A factory of the same name is replaced.
    pub fn factory<A, Args, F>(&self, name: &str, make: F)
    where
        A: RemoteActor,
        Args: Value + Schema,
        F: Fn(Args) -> Addr<A> + Send + Sync + 'static,
    {
        self.0.cluster.add_factory(name, Factory::new(make));
    }

    /// Takes a factory out; actors that it has made go on. False if there is none of this name.
    pub fn remove_factory(&self, name: &str) -> bool {
        self.0.cluster.remove_factory(name)
    }

    /// Starts an actor on a node, with a factory there: `node.spawn_remote::<Worker, _>(&beta, "worker", args).await?`.
    ///
    /// Options before the `.await`: [`name`](SpawnRemote::name), [`monitor`](SpawnRemote::monitor),
    /// [`link`](SpawnRemote::link), [`detached`](SpawnRemote::detached), [`timeout`](SpawnRemote::timeout). If a
    /// connection is lost meanwhile the request is made again, and starts one actor at most. The actor stops when this
    /// node goes, as far as the other one can tell, unless it is detached.
    ///
    /// # Errors
    /// [`SpawnError`](crate::cluster::SpawnError).
    ///
    /// # Cancel safety
    /// See [`SpawnRemote`].
    pub fn spawn_remote<'a, A, Args>(
        &'a self,
        target: &'a Target,
        factory: &'a str,
        args: Args,
    ) -> SpawnRemote<'a, A, Args>
    where
        A: RemoteActor,
        Args: Value + Schema,
    {
        let (cluster, timeout) = (&self.0.cluster, None);
        let (name, link, monitor, detached, kind) = (None, None, false, false, PhantomData);
        SpawnRemote { cluster, target, factory, args, name, link, monitor, detached, timeout, kind }
    }

    // ----- groups -----

    /// A named set of actors across nodes (`pg`), in the scope [`DEFAULT_SCOPE`]: `node.group("rooms/1").join("room")?`.
    ///
    /// A node that uses groups shares its members with every node that it has a connection with, and connects to none
    /// for that. A connection over which groups are shared is in use: it does not idle.
    pub fn group(&self, group: impl Into<String>) -> Group {
        self.group_in(DEFAULT_SCOPE, group)
    }

    /// As [`Node::group`], in a scope of its own.
    pub fn group_in(&self, scope: impl Into<String>, group: impl Into<String>) -> Group {
        Group::new(&self.0.cluster, GroupName::new(scope, group))
    }

    /// The groups of a scope that have a member somewhere, sorted.
    pub fn groups(&self, scope: &str) -> Vec<String> {
        self.0.cluster.groups(scope)
    }

    /// How many members in groups this node has, and how many it knows of its peers (limit `group_members_max` for its own,
    /// and for each peer).
    pub fn group_members(&self) -> (usize, usize) {
        self.0.cluster.group_members()
    }

    // ----- services -----

    /// Services that this node offers or uses: `node.services().call("header", Render { .. }).await?`. See
    /// [`services`](crate::services).
    ///
    /// With rules in the configuration (`services.rules`) the node looks for others from its start. To be called on an
    /// arbiter the first time.
    pub fn services(&self) -> &Services {
        self.0.services.get_or_init(|| {
            // Checked with the whole configuration, at the start.
            let rules = self.config().services.parsed().unwrap_or_default();
            Services::start(&self.0.cluster, rules)
        })
    }
}
