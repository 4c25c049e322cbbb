//! What every node of the story has: a counter, a worker, an actor that breaks, one that is private, and two functions.

use std::time::Duration;

use actix::prelude::*;
use farcall::AccessList;
use farcall::prelude::*;

#[farcall::message(result = u64)]
pub(crate) struct Add {
    pub(crate) amount: u64,
}

#[farcall::message(result = u64)]
pub(crate) struct Total;

/// Adds and tells the total.
#[derive(Default, RemoteActor)]
#[remote(Add, Total)]
pub(crate) struct Counter {
    total: u64,
}

impl Actor for Counter {
    type Context = Context<Self>;
}

impl Handler<Add> for Counter {
    type Result = u64;

    fn handle(&mut self, add: Add, _: &mut Context<Self>) -> u64 {
        self.total += add.amount;
        self.total
    }
}

impl Handler<Total> for Counter {
    type Result = u64;

    fn handle(&mut self, _: Total, _: &mut Context<Self>) -> u64 {
        self.total
    }
}

/// Answers after so many milliseconds, with that number.
#[farcall::message(result = u64)]
pub(crate) struct Work {
    pub(crate) ms: u64,
}

/// Comes back as it is.
#[farcall::message(result = Vec<u8>)]
pub(crate) struct Echo {
    pub(crate) bytes: Vec<u8>,
}

/// Answers with the numbers from 0, one by one, as fast as the reader takes them.
#[farcall::message(stream = u64)]
pub(crate) struct Count {
    pub(crate) to: u64,
}

/// Adds to a counter that the sender refers to, wherever that is, and tells its total.
#[farcall::message(result = Option<u64>)]
pub(crate) struct AddThere {
    pub(crate) counter: Remote<Counter>,
    pub(crate) amount: u64,
}

#[derive(RemoteActor)]
#[remote(Work, Echo, Count, AddThere)]
pub(crate) struct Worker;

impl Actor for Worker {
    type Context = Context<Self>;
}

impl Handler<Work> for Worker {
    type Result = ResponseFuture<u64>;

    fn handle(&mut self, work: Work, _: &mut Context<Self>) -> Self::Result {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(work.ms)).await;
            work.ms
        })
    }
}

impl Handler<Echo> for Worker {
    type Result = Vec<u8>;

    fn handle(&mut self, echo: Echo, _: &mut Context<Self>) -> Vec<u8> {
        echo.bytes
    }
}

impl Handler<Count> for Worker {
    type Result = MessageResult<Count>;

    fn handle(&mut self, count: Count, _: &mut Context<Self>) -> Self::Result {
        MessageResult(Items::new(futures::stream::iter(0..count.to)))
    }
}

impl Handler<AddThere> for Worker {
    type Result = ResponseFuture<Option<u64>>;

    fn handle(&mut self, add: AddThere, _: &mut Context<Self>) -> Self::Result {
        // The reference is bound to the node that received it: this call goes from here to wherever the counter is.
        Box::pin(async move { add.counter.call(Add { amount: add.amount }).await.ok() })
    }
}

/// Makes its handler panic.
#[farcall::message]
pub(crate) struct Break;

#[derive(RemoteActor)]
#[remote(Break)]
pub(crate) struct Fragile;

impl Actor for Fragile {
    type Context = Context<Self>;
}

impl Handler<Break> for Fragile {
    type Result = ();

    fn handle(&mut self, _: Break, _: &mut Context<Self>) {
        panic!("broken on purpose");
    }
}

#[farcall::message(result = i64)]
pub(crate) struct Pair {
    pub(crate) a: i64,
    pub(crate) b: i64,
}

/// Has the node's counter add 1, through a function.
#[farcall::message]
pub(crate) struct Bump;

/// Registers all of it. Other nodes may reach everything but names that begin with `private.`.
pub(crate) fn register(node: &Node) -> Result<(), Box<dyn std::error::Error>> {
    let counter = Counter::default().start();
    node.register("counter", counter.clone())?.version("1.4.0")?.keep();
    node.register("worker", Worker.start())?.keep();
    node.register("fragile", Fragile.start())?.keep();
    node.register("private.counter", Counter::default().start())?.keep();
    node.serve("math.add", |pair: Pair| async move { pair.a + pair.b })?;
    node.serve("bump", move |_: Bump| {
        let counter = counter.clone();
        async move {
            // It fails only when the counter is gone, and with it the node.
            let _ = counter.send(Add { amount: 1 }).await;
        }
    })?;
    node.set_access(AccessList::deny(["private.*"])?);
    Ok(())
}
