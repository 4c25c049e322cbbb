//! What is sent: a small message, a large one, and the actor that answers both.

use actix::prelude::*;
use farcall::RemoteActor;

use crate::meter::Meter;

/// The bytes of a large payload; 500 KiB.
pub(crate) const LARGE_BYTES: usize = 500 * 1024;

/// The small message, answered with the same values: 64 bytes when encoded, as in the benchmarks.
#[farcall::message(result = Small, name = "gates.Small")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Small {
    a: u64,
    b: u64,
    c: u64,
    d: u64,
    e: u64,
    f: u64,
    g: u32,
    h: u32,
}

impl Small {
    /// One of them. All values are large, so that variable-length integers are real work, and always the same work.
    pub(crate) fn sample() -> Self {
        let a = 0x0123_4567_89ab_cdef;
        Self { a, b: a + 1, c: a + 2, d: a + 3, e: a + 4, f: a + 5, g: 0x1234_5678, h: 0x8765_4321 }
    }
}

/// The same values, one way.
#[farcall::message(name = "gates.Tell")]
#[derive(Clone)]
pub(crate) struct Tell {
    pub(crate) small: Small,
}

/// The large message, answered with the same bytes.
#[farcall::message(result = Vec<u8>, name = "gates.Large")]
pub(crate) struct Large {
    pub(crate) bytes: Vec<u8>,
}

/// Answers with what it got, and marks the segments on its own thread.
#[derive(RemoteActor)]
#[remote(Small, Tell, Large)]
pub(crate) struct Answerer {
    pub(crate) meter: Meter,
}

impl Actor for Answerer {
    type Context = Context<Self>;
}

impl Handler<Small> for Answerer {
    type Result = MessageResult<Small>;

    fn handle(&mut self, small: Small, _: &mut Context<Self>) -> Self::Result {
        self.meter.finish(1);
        MessageResult(small)
    }
}

impl Handler<Tell> for Answerer {
    type Result = ();

    fn handle(&mut self, tell: Tell, _: &mut Context<Self>) {
        std::hint::black_box(tell.small);
        self.meter.finish(1);
    }
}

impl Handler<Large> for Answerer {
    type Result = Vec<u8>;

    fn handle(&mut self, large: Large, _: &mut Context<Self>) -> Vec<u8> {
        self.meter.finish(1);
        large.bytes
    }
}
