//! More actors to talk to: one that notes what it got, one that misbehaves, one whose handler waits for a gate.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use actix::prelude::*;
use farcall::prelude::*;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

/// A line of somebody's diary: the sender's number, and the how-manyth of its notes it is.
#[farcall::message]
#[derive(Debug, Clone)]
pub struct Note {
    pub from: u32,
    pub nth: u32,
}

/// What was noted, in the order it came.
#[farcall::message(result = Vec<(u32, u32)>)]
#[derive(Debug)]
pub struct Notes;

/// Waits for the gate, then answers.
#[farcall::message(result = u32)]
#[derive(Debug)]
pub struct PassGate {
    pub number: u32,
}

/// Notes what it gets.
#[derive(Default, RemoteActor)]
#[remote(Note, Notes)]
pub struct Diary {
    notes: Vec<(u32, u32)>,
}

impl Actor for Diary {
    type Context = Context<Self>;
}

impl Handler<Note> for Diary {
    type Result = ();
    fn handle(&mut self, note: Note, _: &mut Context<Self>) {
        self.notes.push((note.from, note.nth));
    }
}

impl Handler<Notes> for Diary {
    type Result = Vec<(u32, u32)>;
    fn handle(&mut self, _: Notes, _: &mut Context<Self>) -> Self::Result {
        self.notes.clone()
    }
}

/// Lets requests through one by one, as the test says.
#[derive(RemoteActor)]
#[remote(PassGate)]
pub struct Gate {
    pub handle: GateHandle,
}

/// The test's side of a [`Gate`].
#[derive(Clone)]
pub struct GateHandle {
    open: Arc<Semaphore>,
    entered: Arc<AtomicUsize>,
    passed: Arc<Mutex<Vec<u32>>>,
}

impl GateHandle {
    /// A closed gate.
    pub fn closed() -> Self {
        Self { open: Arc::new(Semaphore::new(0)), entered: Arc::default(), passed: Arc::default() }
    }

    /// Lets so many more through.
    pub fn let_through(&self, count: usize) {
        self.open.add_permits(count);
    }

    /// How many handlers have begun.
    pub fn entered(&self) -> usize {
        self.entered.load(Ordering::SeqCst)
    }

    /// The numbers that went through.
    pub fn passed(&self) -> Vec<u32> {
        self.passed.lock().clone()
    }
}

impl Actor for Gate {
    type Context = Context<Self>;
}

impl Handler<PassGate> for Gate {
    type Result = ResponseFuture<u32>;
    fn handle(&mut self, pass: PassGate, _: &mut Context<Self>) -> Self::Result {
        let handle = self.handle.clone();
        handle.entered.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            handle.open.acquire().await.unwrap().forget();
            handle.passed.lock().push(pass.number);
            pass.number
        })
    }
}

/// Starts a gate under the name `gate`.
pub fn gate(node: &Node) -> GateHandle {
    let handle = GateHandle::closed();
    node.register("gate", Gate { handle: handle.clone() }.start()).unwrap().keep();
    handle
}

/// The actor stops itself while it handles this.
#[farcall::message(result = u64)]
#[derive(Debug)]
pub struct StopYourself;

/// Drops the answer.
#[farcall::message(result = u64)]
#[derive(Debug)]
pub struct Forget;

/// Divides; the handler's own error is a value like any other.
#[farcall::message(result = Result<u64, String>)]
#[derive(Debug)]
pub struct Divide {
    pub dividend: u64,
    pub divisor: u64,
}

/// Answers with so many bytes.
#[farcall::message(result = Vec<u8>)]
#[derive(Debug)]
pub struct Give {
    pub bytes: u32,
}

/// Ends badly in every way a handler can.
#[derive(Default, RemoteActor)]
#[remote(StopYourself, Forget, Divide, Give)]
pub struct Trouble;

impl Actor for Trouble {
    type Context = Context<Self>;
}

impl Handler<StopYourself> for Trouble {
    type Result = ResponseFuture<u64>;
    fn handle(&mut self, _: StopYourself, ctx: &mut Context<Self>) -> Self::Result {
        ctx.stop();
        Box::pin(std::future::pending())
    }
}

impl Handler<Forget> for Trouble {
    type Result = ResponseActFuture<Self, u64>;
    fn handle(&mut self, _: Forget, ctx: &mut Context<Self>) -> Self::Result {
        // The future belongs to the actor's context, which ends with it.
        ctx.stop();
        Box::pin(actix::fut::wrap_future(std::future::pending()))
    }
}

impl Handler<Divide> for Trouble {
    type Result = Result<u64, String>;
    fn handle(&mut self, divide: Divide, _: &mut Context<Self>) -> Self::Result {
        divide.dividend.checked_div(divide.divisor).ok_or_else(|| "division by zero".to_owned())
    }
}

impl Handler<Give> for Trouble {
    type Result = Vec<u8>;
    fn handle(&mut self, give: Give, _: &mut Context<Self>) -> Vec<u8> {
        vec![7; give.bytes as usize]
    }
}

/// Which node answers?
#[farcall::message(result = String)]
#[derive(Debug)]
pub struct WhoAreYou;

/// Serves `who`, which tells the name of the node that runs it.
pub fn serve_who(node: &Node) {
    let name = node.name().to_string();
    node.serve("who", move |_: WhoAreYou| std::future::ready(name.clone())).unwrap();
}

/// Adds two numbers, as a function.
#[farcall::message(result = u64)]
#[derive(Debug)]
pub struct AddPair {
    pub left: u64,
    pub right: u64,
}

/// Panics for 0, inside the future.
#[farcall::message(result = u64)]
#[derive(Debug)]
pub struct PanicLater {
    pub at: u64,
}
