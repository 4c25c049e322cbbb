//! Services: actors that callers address by what they do, on whichever node that is (spapi-router's workers).
//!
//! A node offers a service by a name of its own; a caller says the name of the service, and gets somebody who offers it:
//! on its own host if there is anybody, and nobody who is about to shut down. What surely did not run is tried elsewhere.
//!
//! ```text
//!  rules ── which nodes ──► scan: hosts, discovery ──► connect ──► their offers come by themselves
//!                                                                       │
//!  call("header", ..) ──► choose ──► call the actor that offers it ◄────┘
//!                           ▲             │ draining, busy, gone: surely did not run
//!                           └─────────────┘
//! ```
//! Who offers what is a [group](crate::cluster::Group) of each service, so it is pushed by the nodes that offer it.

mod callbacks;
mod calls;
mod events;
mod scan;
mod statsd;

use std::collections::BTreeMap;
use std::sync::Arc;

use farcall_proto::cluster::groups::{GroupName, Member};
use farcall_proto::cluster::services::{Candidate, NoNode, Policy, Rules, SCOPE, choose};
use farcall_proto::peer::NodeName;
use hashbrown::HashSet;
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, broadcast};

pub use callbacks::{CallbackFailure, NoCallbacks, ServiceCallbacks};
pub use calls::{CallAll, CallAllReport, Casted, ServiceCall, ServiceCast, ServiceError};
pub use events::{ServiceEvent, ServiceEvents};
pub use farcall_proto::cluster::services::{NoNode as NoServiceNode, Report, RuleError};
pub use statsd::Statsd;

use crate::cluster::{Cluster, JoinError};

/// Services, as a node uses and offers them. Cloning is cheap.
#[derive(Clone)]
pub struct Services(Arc<Inner>);

struct Inner {
    cluster: Arc<Cluster>,
    rules: Rules,
    policy: Policy,
    hosts: Mutex<Vec<String>>,
    /// The world is to be looked at now.
    look: Notify,
    /// Nodes that get no calls for now.
    aside: RwLock<HashSet<NodeName>>,
    callbacks: RwLock<Arc<dyn ServiceCallbacks>>,
    events: Mutex<Option<broadcast::Sender<ServiceEvent>>>,
}

impl std::fmt::Debug for Services {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Services")
    }
}

impl Services {
    /// Begins to look for nodes, if rules say which. Called on the node's arbiter.
    pub(crate) fn start(cluster: &Arc<Cluster>, rules: Rules) -> Self {
        let config = &cluster.caller().context.config.services;
        let services = Self(Arc::new(Inner {
            cluster: cluster.clone(),
            rules,
            policy: config.policy,
            hosts: Mutex::new(config.hosts.clone()),
            look: Notify::new(),
            aside: RwLock::default(),
            callbacks: RwLock::new(Arc::new(NoCallbacks)),
            events: Mutex::default(),
        }));
        cluster.share();
        events::follow(&services);
        scan::start(&services);
        services
    }

    /// An actor of this node, by its name, serves from now on: until it is [withdrawn](Services::withdraw), ends, or gives
    /// its name back. Peers that are connected know at once.
    ///
    /// # Errors
    /// [`JoinError`].
    pub fn offer(&self, service: &str, actor: &str) -> Result<(), JoinError> {
        self.0.cluster.join(GroupName::new(SCOPE, service), actor)
    }

    /// An actor of this node no longer serves. What is on its way to it still runs.
    ///
    /// # Errors
    /// [`JoinError`]: it did not.
    pub fn withdraw(&self, service: &str, actor: &str) -> Result<(), JoinError> {
        self.0.cluster.leave(GroupName::new(SCOPE, service), actor)
    }

    /// The services that somebody offers, sorted.
    pub fn list(&self) -> Vec<String> {
        let mut names = self.0.cluster.groups(SCOPE);
        names.retain(|name| !self.nodes(name).is_empty());
        names
    }

    /// The nodes that offer a service, sorted; those that drain among them.
    pub fn nodes(&self, service: &str) -> Vec<NodeName> {
        let mut nodes: Vec<_> = self.members(service).into_iter().map(|member| member.node).collect();
        nodes.sort();
        nodes.dedup();
        nodes
    }

    /// Every service with the nodes that offer it.
    pub fn table(&self) -> BTreeMap<String, Vec<NodeName>> {
        self.list().into_iter().map(|name| (name.clone(), self.nodes(&name))).collect()
    }

    /// The hosts whose port mappers are asked which nodes there are; by default this node's own, if it uses the mapper.
    pub fn hosts(&self) -> Vec<String> {
        self.0.hosts_or_own()
    }

    /// Replaces the hosts, and looks at once.
    pub fn set_hosts(&self, hosts: Vec<String>) {
        *self.0.hosts.lock() = hosts;
        self.look_now();
    }

    /// Looks at once which nodes there are, without waiting for the interval.
    pub fn look_now(&self) {
        self.0.look.notify_one();
    }

    /// A node gets no calls from here until it is [taken back](Services::take_back) or its next start is up. Calls that it
    /// has go on, and it stays connected.
    pub fn set_aside(&self, node: &NodeName) {
        self.0.aside.write().insert(node.clone());
    }

    /// A node that was set aside gets calls again; false if it was not.
    pub fn take_back(&self, node: &NodeName) -> bool {
        self.0.aside.write().remove(node)
    }

    /// Tells these of calls and of services that come and go, in place of those of before.
    pub fn set_callbacks(&self, callbacks: impl ServiceCallbacks) {
        *self.0.callbacks.write() = Arc::new(callbacks);
    }

    /// Services that come and go on nodes; begins with one for each that is there.
    pub fn subscribe(&self) -> ServiceEvents {
        events::events(self)
    }

    fn callbacks(&self) -> Arc<dyn ServiceCallbacks> {
        self.0.callbacks.read().clone()
    }

    /// Who offers a service and is used for it.
    fn members(&self, service: &str) -> Vec<Member> {
        let members = self.0.cluster.members(&GroupName::new(SCOPE, service));
        let own = &self.0.cluster.caller().context.name;
        let used = |member: &Member| member.node == *own || self.0.rules.uses(&member.node, service);
        members.into_iter().filter(used).collect()
    }

    fn candidates(&self, service: &str) -> Vec<Candidate> {
        let caller = self.0.cluster.caller();
        let aside = self.0.aside.read();
        let members = self.members(service).into_iter().filter(|member| !aside.contains(&member.node));
        let candidate = |member: Member| {
            let own = member.node == caller.context.name;
            let draining = match own {
                true => caller.context.is_draining(),
                false => caller.context.members.is_draining(&member.node),
            };
            let load = caller.clients.load(&member.node).0;
            Candidate { draining, load, member }
        };
        members.map(candidate).collect()
    }

    fn choose(&self, service: &str, tried: &[NodeName]) -> Result<Member, NoNode> {
        let candidates = self.candidates(service);
        let random = [crate::cluster::random(), crate::cluster::random()];
        let own = &self.0.cluster.caller().context.name;
        let chosen = choose(service, &candidates, own, tried, self.0.policy, random)?;
        Ok(chosen.member.clone())
    }
}

impl Inner {
    fn hosts_or_own(&self) -> Vec<String> {
        let hosts = self.hosts.lock().clone();
        let context = &self.cluster.caller().context;
        let mapped = context.config.mapper.mode == crate::config::MapperUse::Auto;
        match hosts.is_empty() && mapped {
            true => vec![context.name.host().to_owned()],
            false => hosts,
        }
    }
}
