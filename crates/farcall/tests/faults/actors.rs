//! What the peers of these tests run, and the messages they understand.

use std::time::Duration;

use actix::prelude::*;
use farcall::prelude::*;

/// Adds and tells the total.
#[farcall::message(result = u64)]
#[derive(Debug)]
pub struct Add {
    pub amount: u64,
}

/// Tells the total.
#[farcall::message(result = u64)]
#[derive(Debug)]
pub struct Total;

/// Comes back as it is.
#[farcall::message(result = Vec<u8>)]
#[derive(Debug)]
pub struct Echo {
    pub bytes: Vec<u8>,
}

/// Answers after a while.
#[farcall::message(result = u64)]
#[derive(Debug)]
pub struct Sleep {
    pub ms: u64,
}

/// Panics in its handler.
#[farcall::message(result = ())]
#[derive(Debug)]
pub struct Panic;

/// Ends the whole process from within its handler, as a double panic or the out-of-memory killer would.
#[farcall::message(result = ())]
#[derive(Debug)]
pub struct Abort;

/// Blocks its actor's thread: only for actors on an arbiter of their own.
#[farcall::message(result = ())]
#[derive(Debug)]
pub struct Block {
    pub ms: u64,
}

/// The next of a numbered series, with something to carry.
#[farcall::message(result = ())]
#[derive(Debug)]
pub struct Nth {
    pub n: u64,
    pub filler: Vec<u8>,
}

/// How many of a series came, and whether each came in its place.
#[farcall::message(result = (u64, bool))]
#[derive(Debug)]
pub struct Series;

#[derive(Default, RemoteActor)]
#[remote(Add, Total, Echo, Sleep, Panic, Abort, Block, Nth, Series)]
pub struct Counter {
    total: u64,
    seen: u64,
    disordered: bool,
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

impl Handler<Echo> for Counter {
    type Result = Vec<u8>;
    fn handle(&mut self, echo: Echo, _: &mut Context<Self>) -> Vec<u8> {
        echo.bytes
    }
}

impl Handler<Sleep> for Counter {
    type Result = ResponseFuture<u64>;
    fn handle(&mut self, sleep: Sleep, _: &mut Context<Self>) -> Self::Result {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(sleep.ms)).await;
            sleep.ms
        })
    }
}

impl Handler<Panic> for Counter {
    type Result = ();
    fn handle(&mut self, _: Panic, _: &mut Context<Self>) {
        panic!("on purpose");
    }
}

impl Handler<Abort> for Counter {
    type Result = ();
    fn handle(&mut self, _: Abort, _: &mut Context<Self>) {
        std::process::abort();
    }
}

impl Handler<Block> for Counter {
    type Result = ();
    fn handle(&mut self, block: Block, _: &mut Context<Self>) {
        std::thread::sleep(Duration::from_millis(block.ms));
    }
}

impl Handler<Nth> for Counter {
    type Result = ();
    fn handle(&mut self, nth: Nth, _: &mut Context<Self>) {
        self.disordered |= nth.n != self.seen;
        self.seen += 1;
    }
}

impl Handler<Series> for Counter {
    type Result = MessageResult<Series>;
    fn handle(&mut self, _: Series, _: &mut Context<Self>) -> Self::Result {
        MessageResult((self.seen, !self.disordered))
    }
}

/// How a peer process is doing; asked of its function `health`.
#[farcall::message(result = Health)]
#[derive(Debug)]
pub struct HowAreYou;

/// The gauges and counters of a peer that the tests look at.
#[farcall::data]
#[derive(Debug, Clone)]
pub struct Health {
    pub inbound: u64,
    pub half_open: u64,
    pub refused: u64,
    pub handshakes_failed: u64,
    pub protocol_errors: u64,
    pub delivered: u64,
    pub resident_bytes: u64,
    /// Monitors and links kept for its actors.
    pub monitors: u64,
}

/// Starts so many actors, named m0, m1, …; asked of the peer's function `raise`.
#[farcall::message(result = u64)]
#[derive(Debug)]
pub struct Raise {
    pub count: u64,
}

/// Stops all of them at once; asked of the peer's function `fell`.
#[farcall::message(result = u64)]
#[derive(Debug)]
pub struct Fell;

/// Is there, and stops when it is told to.
#[derive(RemoteActor)]
#[remote(Fell)]
pub struct Mortal;

impl Actor for Mortal {
    type Context = Context<Self>;
}

impl Handler<Fell> for Mortal {
    type Result = u64;
    fn handle(&mut self, _: Fell, ctx: &mut Context<Self>) -> u64 {
        ctx.stop();
        1
    }
}

/// Ends the peer's inbound connections from a node; asked of its function `sever`.
#[farcall::message(result = u64)]
#[derive(Debug)]
pub struct Sever {
    pub from: String,
}

/// Calls another node; asked of its function `ask`. Gives what went wrong, in words, or nothing.
#[farcall::message(result = String)]
#[derive(Debug)]
pub struct Ask {
    pub to: String,
}

/// Offers casts to another node, one right after the other; asked of its function `offer`.
#[farcall::message(result = Offered)]
#[derive(Debug)]
pub struct Offer {
    pub to: String,
    pub casts: u64,
    pub bytes_each: u64,
}

/// What became of an [`Offer`].
#[farcall::data]
#[derive(Debug, Clone)]
pub struct Offered {
    pub accepted: u64,
    pub queue_full: u64,
    pub otherwise_refused: u64,
    pub longest_us: u64,
    pub grown_bytes: u64,
}
