//! Whom the other nodes call, and the messages they understand.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use farcall::prelude::*;
use farcall_integration::journal::{Journal, Line};

/// Is written down, and answered after a while if that is asked for.
#[farcall::message(result = u64)]
#[derive(Debug)]
pub(crate) struct Run {
    /// The caller, with its incarnation.
    pub(crate) from: String,
    pub(crate) id: u64,
    pub(crate) hold_ms: u64,
    pub(crate) filler: Vec<u8>,
}

/// Is written down. One way.
#[farcall::message]
#[derive(Debug)]
pub(crate) struct Note {
    pub(crate) from: String,
    pub(crate) seq: u64,
}

/// Comes and is forgotten. One way.
#[farcall::message]
#[derive(Debug)]
pub(crate) struct Drop {
    pub(crate) filler: Vec<u8>,
}

/// Writes down what comes, before anything else is done about it.
#[derive(RemoteActor)]
#[remote(Run, Note, Drop)]
pub(crate) struct Ledger {
    journal: Arc<Journal>,
}

impl Ledger {
    pub(crate) fn new(journal: Arc<Journal>) -> Self {
        Self { journal }
    }
}

impl Actor for Ledger {
    type Context = Context<Self>;
}

impl Handler<Run> for Ledger {
    type Result = ResponseFuture<u64>;

    fn handle(&mut self, run: Run, _: &mut Context<Self>) -> Self::Result {
        self.journal.note(&Line::Ran { from: run.from, id: run.id });
        Box::pin(async move {
            if run.hold_ms > 0 {
                tokio::time::sleep(Duration::from_millis(run.hold_ms)).await;
            }
            run.id
        })
    }
}

impl Handler<Note> for Ledger {
    type Result = ();

    fn handle(&mut self, note: Note, _: &mut Context<Self>) {
        self.journal.note(&Line::Got { from: note.from, seq: note.seq });
    }
}

impl Handler<Drop> for Ledger {
    type Result = ();

    fn handle(&mut self, _: Drop, _: &mut Context<Self>) {}
}

/// Who are you, and what time is it there.
#[farcall::message(result = (String, u64))]
#[derive(Debug, Clone)]
pub(crate) struct Now;

/// Adds, and tells the sum.
#[farcall::message(result = u64)]
#[derive(Debug, Clone)]
pub(crate) struct Add {
    pub(crate) amount: u64,
}

/// Comes back as it is.
#[farcall::message(result = Vec<u8>)]
#[derive(Debug, Clone)]
pub(crate) struct Echo {
    pub(crate) bytes: Vec<u8>,
}

/// Numbers from 0, so many.
#[farcall::message(stream = u64)]
#[derive(Debug, Clone)]
pub(crate) struct Count {
    pub(crate) to: u64,
}

/// What the verbs are tried on.
#[derive(Debug, Default, RemoteActor)]
#[remote(Add, Echo, Count)]
pub(crate) struct Stored {
    sum: u64,
}

impl Actor for Stored {
    type Context = Context<Self>;
}

impl Handler<Add> for Stored {
    type Result = u64;

    fn handle(&mut self, add: Add, _: &mut Context<Self>) -> u64 {
        self.sum += add.amount;
        self.sum
    }
}

impl Handler<Echo> for Stored {
    type Result = Vec<u8>;

    fn handle(&mut self, echo: Echo, _: &mut Context<Self>) -> Vec<u8> {
        echo.bytes
    }
}

impl Handler<Count> for Stored {
    type Result = MessageResult<Count>;

    fn handle(&mut self, count: Count, _: &mut Context<Self>) -> Self::Result {
        MessageResult(Items::new(futures::stream::iter(0..count.to)))
    }
}
