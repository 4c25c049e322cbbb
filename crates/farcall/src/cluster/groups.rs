//! Groups, as an application uses them.

use std::sync::Arc;

use farcall_proto::cluster::groups::{GroupError, GroupEvent, GroupName, Member, Pick, pick};
use farcall_proto::cluster::signals::ActorId;
use farcall_proto::peer::Target;
use tokio::sync::broadcast;

use super::events::{EVENTS_MAX, Events};
use super::sessions::{Cluster, Inner, obey};
use crate::error::CallError;
use crate::message::RemoteMessage;
use crate::rpc::{Caller, RawCall, RawMessage};

/// The scope of groups that are not told apart any further.
pub const DEFAULT_SCOPE: &str = "pg";

/// To every member of this group on your node: one message for all of them.
#[farcall::message(result = (), name = "farcall.Scatter")]
#[derive(Debug)]
pub(crate) struct Scatter {
    scope: String,
    group: String,
    message: String,
    version: u16,
    fingerprint: u64,
    payload: Vec<u8>,
}

/// Why an actor did not join or leave. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// Only actors with a name on this node join here.
    #[error("there is no actor {0:?} on this node: register it first")]
    NoSuchActor(String),
    /// The group refuses.
    #[error(transparent)]
    Group(#[from] GroupError),
}

/// What became of a message to a whole group, as far as this node knows: local knowledge, as with `abcast`.
#[derive(Debug, Default)]
pub struct SendReport {
    /// Nodes to whose members it is on its way.
    pub queued: Vec<Target>,
    /// Nodes to whose members it was surely not sent.
    pub not_sent: Vec<(Target, CallError)>,
}

/// A named set of actors across nodes. A handle: it costs nothing, and holds nothing.
#[derive(Clone)]
pub struct Group {
    cluster: Arc<Cluster>,
    name: GroupName,
}

impl std::fmt::Debug for Group {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Group").field(&self.name.scope).field(&self.name.group).finish()
    }
}

impl Group {
    pub(crate) fn new(cluster: &Arc<Cluster>, name: GroupName) -> Self {
        cluster.share();
        Self { cluster: cluster.clone(), name }
    }

    /// An actor of this node joins, by its name. It leaves by [`leave`](Group::leave), or when it ends or gives its name
    /// back. Joined twice it counts twice.
    ///
    /// # Errors
    /// [`JoinError`].
    pub fn join(&self, actor: &str) -> Result<(), JoinError> {
        self.cluster.join(self.name.clone(), actor)
    }

    /// An actor of this node leaves, once.
    ///
    /// # Errors
    /// [`JoinError`]: it was no member.
    pub fn leave(&self, actor: &str) -> Result<(), JoinError> {
        self.cluster.leave(self.name.clone(), actor)
    }

    /// The members that this node knows of, those of its own first: those of every node that a connection leads to, in
    /// either direction, if one of the two ends uses groups.
    pub fn members(&self) -> Vec<Member> {
        self.cluster.inner.lock().groups.members(&self.name)
    }

    /// The members on this node.
    pub fn local_members(&self) -> Vec<Member> {
        self.cluster.inner.lock().groups.local_members(&self.name)
    }

    /// Every change from now on; begins with a `Joined` for each member that there is.
    pub fn subscribe(&self) -> GroupEvents {
        let mut inner = self.cluster.inner.lock();
        let receiver = inner.subscribe_groups();
        let members = inner.groups.members(&self.name);
        drop(inner);
        let name = self.name.clone();
        let joined = members.into_iter().map(|member| GroupEvent::Joined(name.clone(), member));
        let joined: Vec<_> = joined.collect();
        Events::new(joined, receiver, move |event| *event.group() == name)
    }

    /// Chooses a member; none if there is none. Nodes that drain are chosen only if there is nobody else.
    pub fn pick(&self, how: Pick) -> Option<(Target, String)> {
        let caller = &self.cluster.caller;
        let mut members = self.members();
        if members.iter().any(|member| !is_leaving(caller, member)) {
            members.retain(|member| !is_leaving(caller, member));
        }
        let load = |member: &Member| caller.clients.load(&member.node).0;
        let random = [random(), random()];
        let chosen = pick(&members, how, &caller.context.name, random, load)?;
        Some((Target::from(&chosen.node), chosen.actor.clone()))
    }

    /// Sends one way to every member: one message to each node, which hands it to its own members as they are then.
    pub fn send_all<M: RemoteMessage>(&self, message: M) -> SendReport {
        let caller = &self.cluster.caller;
        let mut nodes: Vec<_> = self.members().into_iter().map(|member| member.node).collect();
        nodes.sort();
        nodes.dedup();
        let mut report = SendReport::default();
        for node in nodes {
            let target = Target::from(node);
            match self.scatter(caller, &target, &message) {
                Ok(()) => report.queued.push(target),
                Err(error) => report.not_sent.push((target, error)),
            }
        }
        report
    }

    fn scatter<M: RemoteMessage>(
        &self,
        caller: &Arc<Caller>,
        target: &Target,
        message: &M,
    ) -> Result<(), CallError> {
        let mut payload = Vec::new();
        message.encode(&mut payload).map_err(|error| {
            let failure = farcall_proto::failure::NotSent::Encode(error.to_string().into());
            CallError::new(failure, target, crate::registry::RESERVED, M::INFO.name)
        })?;
        let info = M::INFO;
        let scatter = Scatter {
            scope: self.name.scope.clone(),
            group: self.name.group.clone(),
            message: info.name.to_owned(),
            version: info.version,
            fingerprint: info.fingerprint,
            payload,
        };
        crate::rpc::cast_message(caller, target, crate::registry::RESERVED.into(), &scatter).map(drop)
    }
}

fn is_leaving(caller: &Caller, member: &Member) -> bool {
    caller.context.members.is_draining(&member.node)
}

/// A number that nobody can foresee.
pub(crate) fn random() -> u64 {
    crate::context::random::<8>().map_or(0, u64::from_le_bytes)
}

impl Inner {
    fn subscribe_groups(&mut self) -> broadcast::Receiver<GroupEvent> {
        self.group_events.get_or_insert_with(|| broadcast::Sender::new(EVENTS_MAX)).subscribe()
    }
}

impl Cluster {
    /// Every change of every group, from now on.
    pub(crate) fn subscribe_groups(&self) -> broadcast::Receiver<GroupEvent> {
        self.inner.lock().subscribe_groups()
    }

    /// The members that this node knows of.
    pub(crate) fn members(&self, group: &GroupName) -> Vec<Member> {
        self.inner.lock().groups.members(group)
    }

    pub(crate) fn leave(&self, group: GroupName, actor: &str) -> Result<(), JoinError> {
        let mut inner = self.inner.lock();
        let event = inner.groups.leave(group, actor)?;
        inner.tell_groups(vec![event], true);
        Ok(())
    }

    pub(crate) fn join(&self, group: GroupName, actor: &str) -> Result<(), JoinError> {
        let registry = &self.caller.context.registry;
        let no_such_actor = || JoinError::NoSuchActor(actor.to_owned());
        let mut inner = self.inner.lock();
        let found = registry.find(actor).ok_or_else(no_such_actor)?;
        let event = inner.groups.join(group, actor)?;
        inner.tell_groups(vec![event], true);
        let order = self.watch_end(&mut inner, ActorId(found.id()), &found);
        drop(inner);
        order.into_iter().for_each(obey);
        Ok(())
    }

    /// The groups of a scope that have a member somewhere.
    pub(crate) fn groups(&self, scope: &str) -> Vec<String> {
        self.share();
        self.inner.lock().groups.groups(scope)
    }

    /// The groups of every scope that have a member this node knows of.
    pub(crate) fn all_groups(&self) -> Vec<GroupName> {
        self.inner.lock().groups.all()
    }

    /// How many members this node has, and how many it knows of others.
    pub(crate) fn group_members(&self) -> (usize, usize) {
        self.inner.lock().groups.len()
    }

    /// A message for every member of a group on this node.
    pub(crate) fn scatter(&self, peer: Option<&farcall_proto::peer::NodeName>, scatter: &Scatter) {
        let group = GroupName::new(scatter.scope.as_str(), scatter.group.as_str());
        let mut members = self.inner.lock().groups.local_members(&group);
        members.dedup();
        let context = &self.caller.context;
        let target = Target::from(&context.name);
        for member in members {
            if !peer.is_none_or(|peer| context.registry.permits_peer(peer, &member.actor)) {
                context.metrics.casts_refused.up();
                continue;
            }
            let (caller, actor) = (&self.caller, member.actor.as_str().into());
            let message = RawMessage {
                name: &scatter.message,
                version: scatter.version,
                fingerprint: scatter.fingerprint,
                payload: &scatter.payload,
            };
            let raw = RawCall { caller, target: &target, actor };
            if raw.cast(message).is_err() {
                context.metrics.casts_refused.up();
            }
        }
    }
}

/// What becomes of a group, each change once and in order.
///
/// It begins with a `Joined` for each member that is there.
pub type GroupEvents = Events<GroupEvent>;
