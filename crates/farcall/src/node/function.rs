//! A function as a handler: an actor that runs it for each request, each in a task of its own.

use std::future::Future;
use std::marker::PhantomData;

use actix::{Actor, Addr, Context, Handler};

use crate::batch::{Batch, Entry, FunctionActor, RemoteActor};
use crate::message::RemoteMessage;

struct Function<M, F, Fut> {
    function: F,
    message: PhantomData<fn(M) -> Fut>,
}

/// Starts the actor of a function on this arbiter.
pub(super) fn start<M, F, Fut>(function: F) -> Addr<impl RemoteActor>
where
    M: RemoteMessage,
    F: Fn(M) -> Fut + Unpin + 'static,
    Fut: Future<Output = M::Result> + 'static,
{
    Function { function, message: PhantomData }.start()
}

impl<M, F, Fut> Actor for Function<M, F, Fut>
where
    M: RemoteMessage,
    F: Fn(M) -> Fut + Unpin + 'static,
    Fut: Future<Output = M::Result> + 'static,
{
    type Context = Context<Self>;
}

impl<M, F, Fut> FunctionActor<M> for Function<M, F, Fut>
where
    M: RemoteMessage,
    F: Fn(M) -> Fut + Unpin + 'static,
    Fut: Future<Output = M::Result> + 'static,
{
    type Future = Fut;

    fn call(&self, message: M) -> Fut {
        (self.function)(message)
    }
}

impl<M, F, Fut> RemoteActor for Function<M, F, Fut>
where
    M: RemoteMessage,
    F: Fn(M) -> Fut + Unpin + 'static,
    Fut: Future<Output = M::Result> + 'static,
{
    fn entries() -> &'static [Entry<Self>] {
        const { &[Entry::<Self>::function::<M>()] }
    }
}

impl<M, F, Fut> Handler<Batch> for Function<M, F, Fut>
where
    M: RemoteMessage,
    F: Fn(M) -> Fut + Unpin + 'static,
    Fut: Future<Output = M::Result> + 'static,
{
    type Result = ();

    fn handle(&mut self, batch: Batch, ctx: &mut Context<Self>) {
        batch.run(self, ctx);
    }
}
