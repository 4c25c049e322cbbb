//! What is called.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use actix::prelude::*;
use farcall::prelude::*;

use crate::workload::{Echo, Record};

/// One way, counted.
#[farcall::message(name = "bench.Tell")]
pub(super) struct Tell {
    pub(super) echo: Echo,
}

/// A small call whose answer comes later.
#[farcall::message(result = Echo, name = "bench.Later")]
pub(super) struct Later {
    pub(super) echo: Echo,
}

/// The same bytes as the yardstick's large message.
#[farcall::message(result = Vec<u8>, name = "bench.Large")]
pub(super) struct Large {
    pub(super) bytes: Vec<u8>,
}

/// Answers with what it gets.
#[derive(RemoteActor)]
#[remote(Echo, Tell, Later, Large, Record)]
pub(super) struct Answerer {
    pub(super) told: Arc<AtomicU64>,
}

impl Actor for Answerer {
    type Context = Context<Self>;
}

impl Handler<Echo> for Answerer {
    type Result = MessageResult<Echo>;

    fn handle(&mut self, echo: Echo, _: &mut Context<Self>) -> Self::Result {
        MessageResult(echo)
    }
}

impl Handler<Tell> for Answerer {
    type Result = ();

    fn handle(&mut self, _: Tell, _: &mut Context<Self>) {
        self.told.fetch_add(1, Ordering::Relaxed);
    }
}

impl Handler<Later> for Answerer {
    type Result = ResponseFuture<Echo>;

    fn handle(&mut self, later: Later, _: &mut Context<Self>) -> Self::Result {
        Box::pin(async move {
            tokio::task::yield_now().await;
            later.echo
        })
    }
}

impl Handler<Large> for Answerer {
    type Result = Vec<u8>;

    fn handle(&mut self, large: Large, _: &mut Context<Self>) -> Vec<u8> {
        large.bytes
    }
}

impl Handler<Record> for Answerer {
    type Result = MessageResult<Record>;

    fn handle(&mut self, record: Record, _: &mut Context<Self>) -> Self::Result {
        MessageResult(record)
    }
}
