//! The reserved actor `farcall`: how nodes talk about themselves. Everything beyond the verbs travels as a request to it.

use std::sync::Arc;

use actix::{Actor, Context, Handler, ResponseFuture};

use super::describe::{NodeDescription, actors};
use crate::RemoteActor;
use crate::context::Context as NodeContext;

/// What do you expose?
#[farcall::message(result = NodeDescription, name = "farcall.Describe")]
#[derive(Debug)]
pub(super) struct Describe {
    /// Only this actor.
    pub(super) actor: Option<String>,
}

/// Answer when this name is registered.
#[farcall::message(name = "farcall.WaitFor")]
#[derive(Debug)]
pub(super) struct WaitFor {
    /// The name.
    pub(super) actor: String,
}

/// The reserved actor.
#[derive(RemoteActor)]
#[remote(Describe, WaitFor)]
pub(super) struct Own {
    context: Arc<NodeContext>,
}

impl Own {
    pub(super) fn new(context: Arc<NodeContext>) -> Self {
        Self { context }
    }
}

impl Actor for Own {
    type Context = Context<Self>;
}

impl Handler<Describe> for Own {
    type Result = actix::MessageResult<Describe>;

    fn handle(&mut self, Describe { actor }: Describe, _: &mut Context<Self>) -> Self::Result {
        actix::MessageResult(NodeDescription {
            node: self.context.name.to_string(),
            incarnation: self.context.incarnation.0,
            farcall: env!("CARGO_PKG_VERSION").to_owned(),
            actors: actors(&self.context.registry, actor.as_deref()),
        })
    }
}

impl Handler<WaitFor> for Own {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, WaitFor { actor }: WaitFor, _: &mut Context<Self>) -> Self::Result {
        let context = self.context.clone();
        Box::pin(async move { context.registry.wait_for(&actor).await })
    }
}
