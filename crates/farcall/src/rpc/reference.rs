//! Typed references: an actor of type `A` under a name on a node, as a value that travels in messages.

use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, Weak};

use actix::Handler;
use farcall_proto::failure::NotSent;
use farcall_proto::peer::Target;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Call, Caller, Named, Sent, cast};
use crate::batch::RemoteActor;
use crate::binding;
use crate::error::CallError;
use crate::message::{RemoteMessage, Schema, Value, schema};

/// An actor of type `A` on some node: `call` and `cast` check at compile time that it handles the message.
///
/// It is data (a target and a name): no look-up, no connection, until it is used. Read from a message that came
/// over farcall, it is bound to the node that received it; read from elsewhere, [`bind`](crate::Node::bind) it first.
pub struct Remote<A> {
    target: Target,
    actor: String,
    caller: Weak<Caller>,
    kind: PhantomData<fn() -> A>,
}

impl<A> Remote<A> {
    pub(crate) fn new(target: Target, actor: String, caller: &Arc<Caller>) -> Self {
        Self { target, actor, caller: Arc::downgrade(caller), kind: PhantomData }
    }

    /// The same reference, used through this node.
    pub(crate) fn bound(&self, caller: &Arc<Caller>) -> Self {
        Self::new(self.target.clone(), self.actor.clone(), caller)
    }

    /// The node and key.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The actor's name.
    pub fn name(&self) -> &str {
        &self.actor
    }

    fn caller(&self, message: &str) -> Result<Arc<Caller>, CallError> {
        self.caller.upgrade().ok_or_else(|| {
            let why = "the reference is bound to no living node: use node.bind(&reference)";
            CallError::new(NotSent::BadRequest(why.into()), &self.target, &self.actor, message)
        })
    }

    /// Calls the actor. Options as with [`Node::call`](crate::Node::call) need the node; here the defaults hold.
    ///
    /// # Errors
    /// [`CallError`].
    ///
    /// # Cancel safety
    /// As [`Call`].
    pub async fn call<M>(&self, message: M) -> Result<M::Result, CallError>
    where
        M: RemoteMessage,
        M::Result: Value,
        A: RemoteActor + Handler<M>,
    {
        let caller = self.caller(M::INFO.name)?;
        let actor = Named::from(&self.actor);
        Call { caller: &caller, target: &self.target, actor, message, timeout: None, send_timeout: None }
            .await
    }

    /// Casts to the actor.
    ///
    /// # Errors
    /// [`CallError`] if the message was surely not sent.
    pub fn cast<M>(&self, message: M) -> Result<(), CallError>
    where
        M: RemoteMessage,
        A: RemoteActor + Handler<M>,
    {
        let caller = self.caller(M::INFO.name)?;
        cast::cast(&caller, &self.target, Named::from(&self.actor), &message).map(|_: Sent<'_>| ())
    }
}

impl<A> Clone for Remote<A> {
    fn clone(&self) -> Self {
        Self {
            target: self.target.clone(),
            actor: self.actor.clone(),
            caller: self.caller.clone(),
            kind: PhantomData,
        }
    }
}

impl<A> PartialEq for Remote<A> {
    fn eq(&self, other: &Self) -> bool {
        (&self.target, &self.actor) == (&other.target, &other.actor)
    }
}

impl<A> Eq for Remote<A> {}

impl<A> fmt::Debug for Remote<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.actor, self.target)
    }
}

/// The node that reads a message on this thread at this moment.
fn bound_here() -> Weak<Caller> {
    let caller = binding::current().upgrade().and_then(|caller| caller.downcast::<Caller>().ok());
    caller.as_ref().map(Arc::downgrade).unwrap_or_default()
}

/// How a reference travels.
#[derive(Serialize, Deserialize)]
struct Wire {
    node: String,
    key: Option<u64>,
    actor: String,
}

impl<A> Serialize for Remote<A> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let key = self.target.key().map(farcall_proto::peer::Key::hash);
        Wire { node: self.target.node().to_string(), key, actor: self.actor.clone() }.serialize(serializer)
    }
}

impl<'de, A> Deserialize<'de> for Remote<A> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = Wire::deserialize(deserializer)?;
        let node = wire.node.parse().map_err(serde::de::Error::custom)?;
        let target = Target::new(node).on(wire.key.map(farcall_proto::peer::Key::from_hash));
        Ok(Self { target, actor: wire.actor, caller: bound_here(), kind: PhantomData })
    }
}

impl<A> Schema for Remote<A> {
    const SCHEMA: &'static schema::NamedType = &schema::NamedType {
        name: "Remote",
        ty: &schema::DataModelType::Struct(&[
            &schema::NamedValue { name: "node", ty: <String as Schema>::SCHEMA },
            &schema::NamedValue { name: "key", ty: <Option<u64> as Schema>::SCHEMA },
            &schema::NamedValue { name: "actor", ty: <String as Schema>::SCHEMA },
        ]),
    };
}
