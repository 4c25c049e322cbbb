//! Batches held back while their actor waits.
//!
//! actix takes nothing out of a mailbox while the actor waits (`ctx.wait`, `AtomicResponse`). A batch is one message of
//! that mailbox, so the same must hold among its items: what stands behind an item that made the actor wait is held
//! back, and later batches of the same registration queue behind it.
//!
//! What is held belongs to the actor's context: when the actor ends, it is dropped, and so every caller is told.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use actix::{ActorContext, ActorFuture, AsyncContext};
use parking_lot::Mutex;

use crate::backlog::Backlog;
use crate::batch::{RemoteActor, Requests};

/// What is held back for one registration, oldest first. Its size is bounded by the backlog, which still counts it.
#[derive(Debug)]
struct Held(Mutex<VecDeque<Requests>>);

/// Where a registration finds what is held back for it.
#[derive(Debug, Default)]
pub(crate) struct HeldPlace {
    /// Spares the lock as long as nothing is held.
    any: AtomicBool,
    held: Mutex<Weak<Held>>,
}

impl HeldPlace {
    fn current(&self) -> Option<Arc<Held>> {
        if self.any.load(Ordering::Acquire) { self.held.lock().upgrade() } else { None }
    }

    fn begin(&self, held: &Arc<Held>) {
        *self.held.lock() = Arc::downgrade(held);
        self.any.store(true, Ordering::Release);
    }

    fn end(&self) {
        self.any.store(false, Ordering::Release);
    }
}

/// Runs a batch, behind what is held back already.
pub(crate) fn run<A: RemoteActor>(batch: Requests, actor: &mut A, ctx: &mut A::Context) {
    let backlog = batch.backlog().clone();
    if let Some(held) = backlog.held().current() {
        held.0.lock().push_back(batch);
        held.run(actor, ctx);
    } else if let Some(rest) = batch.run_items(actor, ctx) {
        let held = Arc::new(Held(Mutex::new(VecDeque::from([rest]))));
        backlog.held().begin(&held);
        ctx.spawn(Resume { held, backlog });
    }
}

/// Whether the actor takes nothing for now. One that stops takes nothing ever, which is another matter.
pub(crate) fn waits<A: RemoteActor>(ctx: &A::Context) -> bool {
    ctx.waiting() && !ctx.state().stopping()
}

impl Held {
    /// Runs what is held until the actor waits again; whether nothing is left.
    fn run<A: RemoteActor>(&self, actor: &mut A, ctx: &mut A::Context) -> bool {
        while !waits::<A>(ctx) {
            let next = self.0.lock().pop_front();
            let Some(batch) = next else { return true };
            if let Some(rest) = batch.run_items(actor, ctx) {
                self.0.lock().push_front(rest);
            }
        }
        self.0.lock().is_empty()
    }
}

/// Goes on when the actor no longer waits: actix polls it then, after the mailbox.
struct Resume {
    held: Arc<Held>,
    backlog: Arc<Backlog>,
}

impl<A: RemoteActor> ActorFuture<A> for Resume {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        actor: &mut A,
        ctx: &mut A::Context,
        _: &mut Context<'_>,
    ) -> Poll<Self::Output> {
        if !self.held.run(actor, ctx) {
            return Poll::Pending;
        }
        self.backlog.held().end();
        Poll::Ready(())
    }
}
