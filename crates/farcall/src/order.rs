//! What the runtime itself asks of an actor: to say when it ends, or to end.
//!
//! An order is one message of the actor's mailbox, beside the batches of requests, so an actor needs no more than the
//! handler that the derive writes for it.

use actix::{Actor, ActorContext, AsyncContext, Context};
use tokio::sync::oneshot;

/// Asked of an actor.
#[derive(Debug)]
pub(crate) enum Order {
    /// Keep this until you end, or until it is released.
    Watch(EndGuard, oneshot::Receiver<Released>),
    /// Stop, as if by yourself.
    Stop,
}

/// Nobody waits for the end any more. Never sent: its sender is dropped.
#[derive(Debug)]
pub(crate) enum Released {}

impl Order {
    /// Does as it says.
    pub(crate) fn obey<A: Actor<Context = Context<A>>>(self, ctx: &mut Context<A>) {
        match self {
            Self::Watch(guard, released) => {
                // Dropped with the actor's context, however that ends; it must not outlive its purpose, because an actor
                // with something to wait for is not ended when nobody can send to it any more.
                let kept = async move {
                    let _guard = guard;
                    let _released = released.await;
                };
                ctx.spawn(actix::fut::wrap_future(kept));
            }
            Self::Stop => ctx.stop(),
        }
    }
}

/// How an actor ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// A handler panicked.
    Panicked,
    /// Anything else.
    Stopped,
}

impl End {
    /// How whatever is dropped now, on this thread, ends.
    pub(crate) fn now() -> Self {
        if std::thread::panicking() { Self::Panicked } else { Self::Stopped }
    }
}

/// Says how it ended, when it is dropped.
pub(crate) struct EndGuard(Option<Box<dyn FnOnce(End) + Send>>);

impl EndGuard {
    pub(crate) fn new(tell: impl FnOnce(End) + Send + 'static) -> Self {
        Self(Some(Box::new(tell)))
    }
}

impl Drop for EndGuard {
    fn drop(&mut self) {
        if let Some(tell) = self.0.take() {
            tell(End::now());
        }
    }
}

impl std::fmt::Debug for EndGuard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EndGuard")
    }
}
