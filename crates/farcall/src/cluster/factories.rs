//! Actors that peers may have started here: factories by name, one child for each request.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use actix::{Addr, Recipient};
use farcall_proto::cluster::members::Peer;
use farcall_proto::cluster::signals::{ActorId, Notice};
use farcall_proto::cluster::spawns::{Child, Parent, SpawnKey};
use farcall_proto::peer::NodeName;

use super::sessions::{Cluster, obey};
use super::wire::Said;
use crate::batch::{Batch, RemoteActor};
use crate::members::Linked;
use crate::message::{MessageInfo, Schema, Value};
use crate::order::Order;

/// Start one of these for me.
#[farcall::message(result = Spawning, name = "farcall.Spawn")]
#[derive(Debug, Clone)]
pub(crate) struct Spawn {
    pub(crate) factory: String,
    /// Encoded, and the fingerprint of their layout.
    pub(crate) args: Vec<u8>,
    pub(crate) layout: u64,
    /// The same when the request is made again.
    pub(crate) token: u64,
    /// What to call it.
    pub(crate) name: String,
    pub(crate) detached: bool,
    /// The session of this connection that the monitor belongs to.
    pub(crate) session: u64,
    pub(crate) monitor: Option<u64>,
}

/// What [`Spawn`] is answered with.
#[farcall::data]
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Spawning {
    Started,
    Refused(SpawnRefused),
}

/// Why a node did not start an actor. Nothing was started.
#[farcall::data]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpawnRefused {
    /// No factory has this name there.
    #[error("there is no factory of this name there")]
    NoSuchFactory,
    /// The access list there does not let this node use it.
    #[error("the access list there does not permit this factory")]
    Unauthorized,
    /// The arguments have another layout there.
    #[error("the arguments have another layout there: build both nodes from the same type")]
    Incompatible,
    /// The arguments could not be read.
    #[error("the arguments could not be read: {0}")]
    Decode(String),
    /// The name is taken, or is no name.
    #[error("it could not be registered: {0}")]
    Register(String),
    /// The factory panicked.
    #[error("the factory panicked")]
    Panicked,
    /// The session that was to carry the monitor is gone.
    #[error("the connection was lost meanwhile")]
    NoSession,
}

/// What a factory gives: an actor as its node knows it.
pub(crate) struct Made {
    messages: Vec<&'static MessageInfo>,
    recipient: Recipient<Batch>,
}

/// Makes actors from encoded arguments.
pub(crate) struct Factory {
    layout: u64,
    make: Box<Make>,
}

/// Reads arguments and makes an actor of them; or says why they cannot be read.
type Make = dyn Fn(&[u8]) -> Result<Made, String> + Send + Sync;

impl Factory {
    pub(crate) fn new<A, Args>(make: impl Fn(Args) -> Addr<A> + Send + Sync + 'static) -> Self
    where
        A: RemoteActor,
        Args: Value + Schema,
    {
        let make = move |bytes: &[u8]| {
            let args: Args = crate::message::decode_value(bytes).map_err(|error| error.to_string())?;
            let messages = A::entries().iter().map(crate::batch::Entry::info).collect();
            Ok(Made { messages, recipient: make(args).recipient() })
        };
        Self { layout: layout_of::<Args>(), make: Box::new(make) }
    }
}

/// What the layout of arguments is known by.
pub(crate) fn layout_of<Args: Schema>() -> u64 {
    crate::message::fingerprint(Args::SCHEMA, <() as Schema>::SCHEMA)
}

impl Cluster {
    /// Peers may start actors with this factory from now on; gives whether it replaced another one.
    pub(crate) fn add_factory(&self, name: &str, factory: Factory) -> bool {
        self.inner.lock().factories.insert(name.into(), Arc::new(factory)).is_some()
    }

    /// Takes a factory out; what it has made goes on. False if there is none.
    pub(crate) fn remove_factory(&self, name: &str) -> bool {
        self.inner.lock().factories.remove(name).is_some()
    }

    /// Starts an actor for a peer, or for this node itself, unless the request was made before.
    pub(crate) fn spawn(&self, linked: Option<&Linked>, spawn: &Spawn) -> Spawning {
        match self.try_spawn(linked, spawn) {
            Ok(()) => Spawning::Started,
            Err(refused) => Spawning::Refused(refused),
        }
    }

    fn try_spawn(&self, linked: Option<&Linked>, spawn: &Spawn) -> Result<(), SpawnRefused> {
        let context = &self.caller.context;
        let peer = linked.map(|linked| linked.peer());
        let parent = peer.map_or_else(
            || Parent { node: context.name.clone(), incarnation: context.incarnation },
            |peer| Parent { node: peer.name.clone(), incarnation: peer.incarnation },
        );
        let key = SpawnKey { parent, token: spawn.token };
        let factory = {
            let inner = self.inner.lock();
            if inner.spawns.find(&key).is_some_and(|child| child.name == spawn.name) {
                // Made before, and its answer was lost. The monitor is a new one, over the connection of now.
                drop(inner);
                return self.follow_child(linked, spawn);
            }
            inner.factories.get(spawn.factory.as_str()).cloned()
        };
        let permitted = |peer: &NodeName| context.registry.permits_peer(peer, &spawn.factory);
        if !peer.map_or_else(|| context.registry.permits(&spawn.factory), |peer| permitted(&peer.name)) {
            return Err(SpawnRefused::Unauthorized);
        }
        let factory = factory.ok_or(SpawnRefused::NoSuchFactory)?;
        if factory.layout != spawn.layout {
            return Err(SpawnRefused::Incompatible);
        }
        // An application's code: it must not take the node's own actor with it.
        let made = std::panic::catch_unwind(AssertUnwindSafe(|| (factory.make)(&spawn.args)));
        let made = made.map_err(|_| SpawnRefused::Panicked)?.map_err(SpawnRefused::Decode)?;
        let registered = context.registry.insert(&spawn.name, made.messages, made.recipient);
        let id = registered.map_err(|error| SpawnRefused::Register(error.to_string()))?;
        let child = Child { actor: ActorId(id), name: spawn.name.clone(), detached: spawn.detached };
        self.keep_child(key, child);
        self.follow_child(linked, spawn)
    }

    /// Places the monitor of a request, before its child is known to anybody.
    fn follow_child(&self, linked: Option<&Linked>, spawn: &Spawn) -> Result<(), SpawnRefused> {
        let Some(reference) = spawn.monitor else { return Ok(()) };
        let session = linked.and_then(|linked| self.session_of(linked.id(), spawn.session));
        let monitor = Said::Signal(Notice::Monitor { reference, actor: spawn.name.clone() });
        self.handle(session.ok_or(SpawnRefused::NoSession)?, vec![monitor]);
        Ok(())
    }

    /// It is known who asked for it, and noted when it ends.
    fn keep_child(&self, key: SpawnKey, child: Child) {
        let found = self.caller.context.registry.find(&child.name);
        let found = found.filter(|found| found.id() == child.actor.0);
        let mut inner = self.inner.lock();
        inner.spawns.started(key, child);
        let order = found.and_then(|found| self.watch_end(&mut inner, ActorId(found.id()), &found));
        drop(inner);
        order.into_iter().for_each(obey);
    }

    /// A peer has gone: what was started for it, and is not detached, stops.
    pub(super) fn parent_gone(&self, peer: &Peer) {
        let parent = Parent { node: peer.name.clone(), incarnation: peer.incarnation };
        let mut inner = self.inner.lock();
        let orphans = inner.spawns.parent_gone(&parent);
        let stopped = orphans.iter().filter_map(|actor| inner.watched.get(actor));
        let orders: Vec<_> = stopped.map(|watched| (watched.recipient.clone(), Order::Stop)).collect();
        drop(inner);
        orders.into_iter().for_each(obey);
    }
}
