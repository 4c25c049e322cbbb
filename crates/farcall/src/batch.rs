//! What an actor gets: one message per read, with all requests of that read for it.
//!
//! `#[derive(RemoteActor)]` makes an actor handle a [`Batch`]: each item is decoded, given to the actor's ordinary
//! `Handler<M>`, and its answer encoded; all answers of a batch leave together. Every item that wants an answer
//! gets exactly one, also when the actor panics or its mailbox is dropped: the item that ran ends as
//! [`Failed::Panicked`], those behind it as surely not run.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Instant;

use actix::dev::{MessageResponse, OneshotSender};
use actix::{Actor, ActorContext, Context, Handler, Message, MessageResult};
use bytes::Bytes;
use farcall_proto::failure::{Failed, Fault, Rejected};
use farcall_proto::link::frame::RequestId;

use crate::answer::{AnswerTo, Replies, Responder};
use crate::backlog::{Backlog, Timed};
use crate::clock;
use crate::compress;
use crate::held;
use crate::message::{Answer, MessageInfo, RemoteMessage};
use crate::order::Order;
use crate::port::AnswerPort;
use crate::tally::Trouble;
use crate::trace::{Handling, Served};

/// An actor that peers may call. Written by `#[derive(RemoteActor)]`.
pub trait RemoteActor: Actor<Context = Context<Self>> + Handler<Batch> {
    /// Exactly the messages that peers may send.
    fn entries() -> &'static [Entry<Self>];
}

/// One message an actor accepts, and how to run it.
pub struct Entry<A: Actor> {
    info: &'static MessageInfo,
    run: fn(&mut A, &mut A::Context, &mut Run<'_>),
}

impl<A: Actor<Context = Context<A>>> Entry<A> {
    /// The entry of message `M`.
    pub const fn new<M>() -> Self
    where
        M: RemoteMessage,
        M::Result: Send,
        A: Handler<M>,
    {
        Self { info: M::INFO, run: run_handler::<A, M> }
    }

    /// What the message is on the wire.
    pub fn info(&self) -> &'static MessageInfo {
        self.info
    }
}

/// Chooses the entry of a message: [`Choose::ENTRY`] where the handler's result is there when it returns, else the one
/// of [`Otherwise`]. Named like that, the first hides the second wherever its bounds hold.
#[doc(hidden)]
#[derive(Debug)]
pub struct Choose<A, M>(PhantomData<(A, M)>);

impl<A, M> Choose<A, M>
where
    A: Actor<Context = Context<A>> + Handler<M, Result: AtOnce<M>>,
    M: RemoteMessage,
{
    /// Spares the channel that a result goes through which may come later.
    pub const ENTRY: Entry<A> = Entry { info: M::INFO, run: run_at_once::<A, M> };
}

/// See [`Choose`].
#[doc(hidden)]
pub trait Otherwise<A: Actor> {
    /// For results of any kind.
    const ENTRY: Entry<A>;
}

impl<A, M> Otherwise<A> for Choose<A, M>
where
    A: Actor<Context = Context<A>> + Handler<M>,
    M: RemoteMessage,
    M::Result: Send,
{
    const ENTRY: Entry<A> = Entry::new::<M>();
}

/// What a handler returns that is the result itself: what actix would only hand on.
#[doc(hidden)]
pub trait AtOnce<M: Message> {
    /// The result.
    fn result(self) -> M::Result;
}

impl<M: Message> AtOnce<M> for MessageResult<M> {
    fn result(self) -> M::Result {
        self.0
    }
}

macro_rules! at_once {
    ($([$($generic:ident),*] $result:ty;)*) => {$(
        impl<M: Message<Result = $result>, $($generic),*> AtOnce<M> for $result {
            fn result(self) -> M::Result {
                self
            }
        }
    )*};
}

// Those that actix takes for results.
at_once! {
    [] (); [] bool; [] String;
    [] u8; [] u16; [] u32; [] u64; [] usize;
    [] i8; [] i16; [] i32; [] i64; [] isize;
    [] f32; [] f64;
    [T, E] Result<T, E>; [T] Option<T>; [T] Vec<T>; [T] Arc<T>;
}

impl<A: Actor> std::fmt::Debug for Entry<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Entry").field(&self.info.name).finish()
    }
}

/// What an actor gets from its node: the requests of one read for it.
#[derive(Debug)]
pub struct Batch(Content);

#[derive(Debug)]
enum Content {
    Requests(Requests),
    /// What the runtime itself asks.
    Order(Order),
}

impl Message for Batch {
    type Result = ();
}

impl Batch {
    /// Runs every item on the actor, in order. If one of them makes the actor wait, those behind
    /// it wait too; if one stops it, those behind it are surely not run.
    pub fn run<A: RemoteActor>(self, actor: &mut A, ctx: &mut A::Context) {
        match self.0 {
            Content::Requests(requests) => held::run(requests, actor, ctx),
            Content::Order(order) => order.obey(ctx),
        }
    }

    /// The connection that its requests came over.
    pub(crate) fn port(&self) -> Option<&Arc<AnswerPort>> {
        match &self.0 {
            Content::Requests(requests) => Some(&requests.port),
            Content::Order(_) => None,
        }
    }
}

impl From<Requests> for Batch {
    fn from(requests: Requests) -> Self {
        Self(Content::Requests(requests))
    }
}

impl From<Order> for Batch {
    fn from(order: Order) -> Self {
        Self(Content::Order(order))
    }
}

/// The requests of one read for one actor.
#[derive(Debug)]
pub(crate) struct Requests {
    port: Arc<AnswerPort>,
    backlog: Arc<Backlog>,
    chunk: Bytes,
    items: std::vec::IntoIter<Item>,
    /// The item that runs now, while it wants an answer from the batch.
    running: Option<RequestId>,
    replies: Replies,
    /// When they were read.
    came: Instant,
    /// How many ran whose answers leave with this batch.
    ran: usize,
    /// Taken from the mailbox and not yet reported to the backlog.
    taken: Taken,
}

/// One request or cast of a batch.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) want: Want,
    pub(crate) id: RequestId,
    pub(crate) entry: usize,
    pub(crate) version: u16,
    pub(crate) deadline: Option<Instant>,
    pub(crate) compressed: bool,
    pub(crate) payload: ItemPayload,
    pub(crate) served: Served,
}

/// What the sender wants to hear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Want {
    /// Nothing (more).
    Nothing,
    /// One value.
    Value,
    /// Items, with this first credit.
    Items { window: u32 },
}

#[derive(Debug)]
pub(crate) enum ItemPayload {
    Chunk { start: usize, end: usize },
    Whole(Bytes),
}

impl Item {
    fn payload_bytes(&self) -> usize {
        match &self.payload {
            ItemPayload::Chunk { start, end } => end - start,
            ItemPayload::Whole(bytes) => bytes.len(),
        }
    }
}

#[derive(Debug, Default)]
struct Taken {
    messages: usize,
    bytes: usize,
    since: Option<Instant>,
}

/// The backlog hears of progress after this many items, or when the kernel has ticked.
const REPORT_ITEMS: usize = 16;

impl Requests {
    pub(crate) fn new(
        port: Arc<AnswerPort>,
        backlog: Arc<Backlog>,
        chunk: Bytes,
        items: Vec<Item>,
        came: Instant,
    ) -> Self {
        let replies = Replies::new(port.clone());
        let items = items.into_iter();
        Self { port, backlog, chunk, items, running: None, replies, came, ran: 0, taken: Taken::default() }
    }

    pub(crate) fn backlog(&self) -> &Arc<Backlog> {
        &self.backlog
    }

    /// Runs items until none is left, or one of them made the actor wait: then gives those behind it.
    pub(crate) fn run_items<A: RemoteActor>(mut self, actor: &mut A, ctx: &mut A::Context) -> Option<Self> {
        let entries = A::entries();
        let _bound = self.port.bind();
        let chunk = self.chunk.clone();
        // An actor that stops itself starts nothing more, as with messages of its own mailbox.
        while !ctx.state().stopping()
            && let Some((mut item, now)) = self.next()
        {
            let Some(entry) = entries.get(item.entry) else {
                self.refuse(&mut item, &Rejected::NoSuchMessage.into());
                continue;
            };
            let payload = match &item.payload {
                ItemPayload::Chunk { start, end } => chunk.get(*start..*end).unwrap_or_default(),
                ItemPayload::Whole(bytes) => bytes,
            };
            let unpacked;
            let payload = if item.compressed {
                match compress::unpack(payload, self.port.message_bytes_max()) {
                    Ok(raw) => {
                        unpacked = raw;
                        &unpacked
                    }
                    Err(error) => {
                        self.refuse(&mut item, &Rejected::Decode(error.to_string()).into());
                        self.backlog.tally().trouble(Trouble::Undecodable);
                        continue;
                    }
                }
            } else {
                payload
            };
            self.running = (item.want != Want::Nothing).then_some(item.id);
            let mut run = Run {
                version: item.version,
                payload,
                want: item.want,
                id: item.id,
                replies: &mut self.replies,
                backlog: &self.backlog,
                started: now,
                came: self.came,
                counted: false,
                served: &mut item.served,
            };
            (entry.run)(actor, ctx, &mut run);
            self.ran += usize::from(!run.counted);
            self.running = None;
            if self.items.len() > 0 && held::waits::<A>(ctx) {
                self.report(Instant::now());
                self.replies.flush();
                return Some(self);
            }
        }
        None
    }

    /// The next item that is still wanted, and the time.
    fn next(&mut self) -> Option<(Item, Instant)> {
        loop {
            let mut item = self.items.next()?;
            let mut now = clock::lately();
            self.note_taken(item.payload_bytes(), now);
            if item.want == Want::Nothing {
                return Some((item, now));
            }
            // The exact time matters only near the deadline.
            if item.deadline.is_some_and(|deadline| deadline <= now + clock::FAR) {
                now = Instant::now();
            }
            if item.deadline.is_some_and(|deadline| deadline <= now) {
                self.refuse(&mut item, &Rejected::Expired.into());
                self.backlog.tally().trouble(Trouble::Expired);
            } else if self.port.is_cancelled(item.id) {
                self.refuse(&mut item, &Rejected::Cancelled.into());
                self.backlog.tally().trouble(Trouble::Cancelled);
            } else if self.port.is_closed() {
                // The caller was told that its connection is lost, so it is not started.
                item.served.ended("link_lost");
            } else {
                return Some((item, now));
            }
        }
    }

    fn note_taken(&mut self, payload_bytes: usize, now: Instant) {
        self.taken.messages += 1;
        self.taken.bytes += payload_bytes;
        let since = *self.taken.since.get_or_insert(now);
        if self.taken.messages >= REPORT_ITEMS || now > since {
            self.report(Instant::now());
        }
    }

    fn report(&mut self, now: Instant) {
        let taken = std::mem::take(&mut self.taken);
        if taken.messages > 0 {
            self.backlog.took(taken.messages, taken.bytes, now);
            self.port.backlog().took(taken.messages, taken.bytes, now);
        }
    }

    fn refuse(&mut self, item: &mut Item, fault: &Fault) {
        item.served.ended(fault.reason());
        self.port.metrics().refused.up();
        if item.want == Want::Nothing {
            self.port.metrics().casts_refused.up();
        } else {
            self.replies.fault(item.id, fault);
        }
    }
}

impl Drop for Requests {
    fn drop(&mut self) {
        let (now, tally) = (Instant::now(), self.backlog.tally());
        if std::thread::panicking() {
            tally.trouble(Trouble::Panicked);
        }
        if self.ran > 0 {
            // What waited for others of its batch waited for its answer to leave, too.
            tally.ran(self.ran, now.saturating_duration_since(self.came));
        }
        if let Some(id) = self.running.take() {
            let failed = if std::thread::panicking() { Failed::Panicked } else { Failed::ActorStopped };
            self.replies.fault(id, &failed.into());
        }
        while let Some(mut item) = self.items.next() {
            self.taken.messages += 1;
            self.taken.bytes += item.payload_bytes();
            self.refuse(&mut item, &Rejected::ActorStopped.into());
            self.backlog.tally().trouble(Trouble::Stopped);
        }
        self.report(now);
        self.replies.flush();
    }
}

/// One item, as its handler's glue sees it.
#[derive(Debug)]
pub struct Run<'a> {
    version: u16,
    payload: &'a [u8],
    want: Want,
    id: RequestId,
    replies: &'a mut Replies,
    backlog: &'a Arc<Backlog>,
    started: Instant,
    came: Instant,
    /// How it went is counted elsewhere than in its batch.
    counted: bool,
    served: &'a mut Served,
}

impl Run<'_> {
    /// Takes the answer out of the batch: it comes later, from a task.
    fn detach(&mut self) -> Responder {
        let served = std::mem::take(self.served);
        Responder::new(self.replies.port().clone(), self.id, self.want, served)
    }

    fn answer_to(&mut self) -> AnswerTo<'_> {
        self.replies.answer_to(self.id, self.want, self.served)
    }

    /// The handler begins.
    fn handle(&self) -> Handling {
        self.served.handle(self.came, self.started)
    }

    /// Counts how it went where its answer is given, and not with its batch.
    fn timed(&mut self) -> Timed {
        self.counted = true;
        Timed::new(self.backlog.clone(), self.came)
    }

    /// When it was taken out of the mailbox; up to 10 ms early.
    pub fn started(&self) -> Instant {
        self.started
    }
}

/// Decodes, calls the ordinary handler, and answers: at once if the result is there, else from a task.
fn run_handler<A, M>(actor: &mut A, ctx: &mut A::Context, run: &mut Run<'_>)
where
    A: Actor<Context = Context<A>> + Handler<M>,
    M: RemoteMessage,
    M::Result: Send,
{
    let message = match M::decode(run.version, run.payload) {
        Ok(message) => message,
        Err(error) => return run.undecodable(M::INFO, &error.to_string()),
    };
    let handling = run.handle();
    if run.want == Want::Nothing {
        handling.inside(|| <A as Handler<M>>::handle(actor, message, ctx).handle(ctx, None));
        return;
    }
    let (sender, mut receiver): (OneshotSender<M::Result>, _) = tokio::sync::oneshot::channel();
    handling.inside(|| <A as Handler<M>>::handle(actor, message, ctx).handle(ctx, Some(sender)));
    match receiver.try_recv() {
        Ok(result) => result.give(&mut run.answer_to()),
        Err(tokio::sync::oneshot::error::TryRecvError::Closed) => {
            run.fault(&Failed::ActorStopped.into());
        }
        Err(tokio::sync::oneshot::error::TryRecvError::Empty) => {
            let (mut responder, mut timed) = (run.detach(), run.timed());
            actix_rt::spawn(async move {
                // The handler's span ends with its result.
                if let Ok(result) = handling.around(receiver).await {
                    result.give(&mut responder);
                    timed.answered();
                }
                // Otherwise the responder's drop says that the actor stopped.
            });
        }
    }
}

/// As [`run_handler`], for results that are there when the handler returns.
fn run_at_once<A, M>(actor: &mut A, ctx: &mut A::Context, run: &mut Run<'_>)
where
    A: Actor<Context = Context<A>> + Handler<M, Result: AtOnce<M>>,
    M: RemoteMessage,
{
    let message = match M::decode(run.version, run.payload) {
        Ok(message) => message,
        Err(error) => return run.undecodable(M::INFO, &error.to_string()),
    };
    let result = run.handle().inside(|| <A as Handler<M>>::handle(actor, message, ctx)).result();
    if run.want != Want::Nothing {
        result.give(&mut run.answer_to());
    }
}

/// An actor that runs a function for each message, each in a task of its own.
pub(crate) trait FunctionActor<M: RemoteMessage>: Actor<Context = Context<Self>> {
    /// What the function returns.
    type Future: Future<Output = M::Result> + 'static;

    /// Calls the function.
    fn call(&self, message: M) -> Self::Future;
}

impl<A: Actor<Context = Context<A>>> Entry<A> {
    /// The entry of the one message of a function.
    pub(crate) const fn function<M>() -> Self
    where
        M: RemoteMessage,
        A: FunctionActor<M>,
    {
        Self { info: M::INFO, run: run_function::<A, M> }
    }
}

/// Decodes and calls the function in a task; the mailbox counts it until it is done.
fn run_function<A, M>(actor: &mut A, _: &mut A::Context, run: &mut Run<'_>)
where
    A: FunctionActor<M>,
    M: RemoteMessage,
{
    let message = match M::decode(run.version, run.payload) {
        Ok(message) => message,
        Err(error) => return run.undecodable(M::INFO, &error.to_string()),
    };
    let counted = run.backlog.hold(run.payload.len());
    // Until it returns the batch answers for it, also if it panics.
    let handling = run.handle();
    let result = handling.inside(|| actor.call(message));
    let mut responder = (run.want != Want::Nothing).then(|| run.detach());
    let mut timed = run.timed();
    actix_rt::spawn(async move {
        let result = handling.around(result).await;
        drop(counted);
        if let Some(responder) = &mut responder {
            result.give(responder);
        }
        timed.answered();
    });
}

impl Run<'_> {
    fn fault(&mut self, fault: &Fault) {
        self.served.ended(fault.reason());
        self.replies.fault(self.id, fault);
    }

    fn undecodable(&mut self, info: &MessageInfo, why: &str) {
        let port = self.replies.port().clone();
        self.counted = true;
        self.backlog.tally().trouble(Trouble::Undecodable);
        port.metrics().refused.up();
        port.note_refused("undecodable", info.name);
        if self.want == Want::Nothing {
            port.metrics().casts_refused.up();
        } else {
            self.fault(&Rejected::Decode(why.to_owned()).into());
        }
    }
}
