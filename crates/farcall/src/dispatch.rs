//! From frames to mailboxes: groups what one read brought by actor and hands each actor one batch.

mod handlers;

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use farcall_proto::failure::{Failed, Fault, Rejected};
use farcall_proto::link::frame::{Definition, NO_DEADLINE};
use farcall_proto::link::liveness::IoState;
use farcall_proto::link::outbox::Body;
use farcall_proto::link::{Inbound, Loan, LossCause, Outgoing, Payload, Request, RequestKind, Slice};
use farcall_proto::peer::NodeName;

use crate::backlog::{Admission, Coming};
use crate::batch::{Item, ItemPayload, Requests, Want};
use crate::context::Context;
use crate::logging::Foreign;
use crate::port::AnswerPort;
use crate::registry::Resolved;
use crate::tally::Trouble;
use crate::trace::{Served, Tracer};
use crate::transport::{Fresh, Progress, Side};
use handlers::Handlers;

/// The answering side of a connection, as its pump drives it.
pub(crate) struct Dispatch {
    context: Arc<Context>,
    port: Arc<AnswerPort>,
    /// Whether this node itself is at the other end.
    own: bool,
    routes: Vec<Route>,
    handlers: Handlers,
    /// Handlers that got something from the slice at hand.
    touched: Vec<usize>,
    chunk: Bytes,
    /// What is taken in and not dispatched yet.
    pending: std::vec::IntoIter<Inbound>,
    /// The request at which dispatching stopped because its actor's mailbox is full.
    held: Option<Request>,
    slice: Slice,
    /// Casts that were refused, for those who ask later: (route, number, why), the oldest forgotten first.
    refused: VecDeque<(u32, u64, Rejected)>,
    woken: Vec<Waker>,
    received_at: Instant,
    /// So much of this connection waits in mailboxes that do not move that nothing more is taken.
    crowded: bool,
}

/// A route number of this connection, looked up again when the registry changed.
struct Route {
    definition: Box<Definition>,
    generation: u64,
    target: Result<RouteTarget, Rejected>,
    /// The last of its refused casts that is not remembered any more.
    forgotten: Option<u64>,
}

#[derive(Clone, Copy)]
struct RouteTarget {
    /// Place in the table of handlers, and which registration it must hold.
    handler: usize,
    registration: u64,
    entry: usize,
    version: u16,
    stream: bool,
}

impl RouteTarget {
    /// One value is not asked of a stream, nor items of anything else: there would be no answer to give.
    fn suits(self, kind: RequestKind) -> Result<Self, Rejected> {
        let why = match kind {
            RequestKind::Call if self.stream => "it is answered by many items, and one value was asked for",
            RequestKind::Open { .. } if !self.stream => {
                "it is answered by one value, and items were asked for"
            }
            _ => return Ok(self),
        };
        Err(Rejected::Incompatible(why.to_owned()))
    }
}

/// At most this much of a read is dispatched before the actors get their turn.
const SLICE_FRAMES: usize = 128;
const SLICE_BYTES: usize = 64 * 1024;

/// What whoever asks too late is told.
const FORGOTTEN: &str = "so many casts were refused since that nobody knows what became of this one";

/// So many refused casts are remembered for those who ask.
const REFUSED_MAX: usize = 1024;

impl Dispatch {
    pub(crate) fn new(context: Arc<Context>, port: Arc<AnswerPort>, own: bool, now: Instant) -> Self {
        Self {
            context,
            port,
            own,
            routes: Vec::new(),
            handlers: Handlers::default(),
            touched: Vec::new(),
            chunk: Bytes::new(),
            pending: Vec::new().into_iter(),
            held: None,
            slice: Slice::default(),
            refused: VecDeque::new(),
            woken: Vec::new(),
            received_at: now,
            crowded: false,
        }
    }

    fn resolve(&mut self, definition: &Definition) -> Result<RouteTarget, Rejected> {
        let peer = (!self.own).then(|| self.port.peer());
        let resolved = self.context.registry.resolve(definition, peer)?;
        let handler = self.handlers.place_of(&resolved.registration, self.context.registry.generation());
        let Resolved { registration, entry, version, stream } = resolved;
        Ok(RouteTarget { handler, registration: registration.id(), entry, version, stream })
    }

    /// Where a route leads now.
    fn target(&mut self, route: u32) -> Result<RouteTarget, Rejected> {
        let generation = self.context.registry.generation();
        let index = route as usize;
        let Some(found) = self.routes.get(index) else { return Err(Rejected::NoSuchActor) };
        if found.generation == generation {
            match &found.target {
                Ok(target) if self.handlers.holds(target.handler, target.registration) => return Ok(*target),
                Ok(_) => {}
                Err(rejected) => return Err(rejected.clone()),
            }
        }
        let definition = found.definition.clone();
        let target = self.resolve(&definition);
        if let Some(found) = self.routes.get_mut(index) {
            found.generation = generation;
            found.target = target.clone();
        }
        target
    }

    /// Dispatches what is pending; an instant if an actor's mailbox is full and worth waiting for.
    fn dispatch(&mut self, now: Instant, pump: &Waker) -> Option<Instant> {
        let mut wait = None;
        loop {
            let item = match self.held.take() {
                Some(request) => Inbound::Request(request),
                None => match self.pending.next() {
                    Some(item) => item,
                    None => break,
                },
            };
            match item {
                Inbound::Define { definition, .. } => {
                    let generation = self.context.registry.generation();
                    let target = self.resolve(&definition);
                    self.routes.push(Route { definition, generation, target, forgotten: None });
                }
                Inbound::Request(request) => {
                    if let Err(request) = self.request(request, now, pump) {
                        self.held = Some(*request);
                        wait = Some(now + self.context.config.mailbox_patience);
                        break;
                    }
                }
                Inbound::Cancel(id) => self.port.note_cancelled(id),
                Inbound::Confirm { id, route, cast } => self.confirm(id, route, cast),
            }
        }
        self.hand_over();
        wait
    }

    /// Puts a request into its actor's batch; gives it back if the mailbox is full but moves.
    fn request(&mut self, mut request: Request, now: Instant, pump: &Waker) -> Result<(), Box<Request>> {
        if !matches!(request.kind, RequestKind::Cast { .. }) {
            self.port.forget_cancelled_slot(request.id.slot);
        }
        let target = match self.target(request.route).and_then(|target| target.suits(request.kind)) {
            Ok(target) => target,
            Err(rejected) => {
                self.refuse(&mut request, rejected);
                return Ok(());
            }
        };
        if self.crowded {
            self.busy(&mut request, target.handler, "acceptor_bytes_max");
            return Ok(());
        }
        let bytes = match &request.payload {
            Payload::Chunk { start, end } => (end - start) as usize,
            Payload::Whole(bytes) => bytes.len(),
        };
        let Some(handler) = self.handlers.get_mut(target.handler) else { return Ok(()) };
        let backlog = &handler.registration.backlog;
        let coming = Coming { messages: handler.items.len(), payload_bytes: handler.bytes };
        match backlog.admits(&coming, bytes, now, self.context.config.mailbox_patience) {
            Admission::Admitted => {}
            Admission::Moving => {
                backlog.wake_when_moved(pump);
                self.context.metrics.reads_paused.up();
                return Err(Box::new(request));
            }
            Admission::Stuck => {
                self.busy(&mut request, target.handler, "the actor's mailbox");
                return Ok(());
            }
        }
        let served = served(&self.context.tracer, &self.routes, self.port.peer(), &mut request);
        let want = match request.kind {
            RequestKind::Call => Want::Value,
            RequestKind::Open { window } => Want::Items { window },
            RequestKind::Cast { .. } | RequestKind::Deliver => Want::Nothing,
        };
        let deadline = (request.deadline_ms != NO_DEADLINE)
            .then(|| self.received_at + Duration::from_millis(u64::from(request.deadline_ms)));
        let payload = match request.payload {
            Payload::Chunk { start, end } => ItemPayload::Chunk { start: start as usize, end: end as usize },
            Payload::Whole(bytes) => ItemPayload::Whole(bytes),
        };
        if handler.items.is_empty() {
            self.touched.push(target.handler);
        }
        handler.bytes += bytes;
        let RouteTarget { entry, version, .. } = target;
        let item = Item {
            want,
            id: request.id,
            entry,
            version,
            deadline,
            compressed: request.compressed,
            payload,
            served,
        };
        handler.items.push(item);
        if request.kind == RequestKind::Deliver {
            self.port.pump(|link, _, _| link.reply(request.id, false, Body::Borrowed(&[])));
        }
        Ok(())
    }

    /// Refuses a request for this actor because `what` is full.
    fn busy(&mut self, request: &mut Request, handler: usize, what: &str) {
        if let Some(handler) = self.handlers.get_mut(handler) {
            handler.registration.backlog.tally().trouble(Trouble::Busy);
        }
        self.refuse(request, Rejected::Busy(what.to_owned()));
    }

    fn refuse(&mut self, request: &mut Request, rejected: Rejected) {
        served(&self.context.tracer, &self.routes, self.port.peer(), request).ended(rejected.reason());
        let metrics = &self.context.metrics;
        metrics.refused.up();
        if let Some(route) = self.routes.get(request.route as usize) {
            let Definition { message, actor, .. } = &*route.definition;
            // Written only if the line is: nobody pays for what a flood of refusals would say.
            let what = Foreign(format_args!("refused {message} to {actor}: {rejected}"));
            self.port.note_refused(rejected.reason(), what);
        }
        match request.kind {
            RequestKind::Cast { nth } => {
                metrics.casts_refused.up();
                if self.refused.len() >= REFUSED_MAX {
                    let forgotten = self.refused.pop_front();
                    let route = forgotten.as_ref().and_then(|(of, ..)| self.routes.get_mut(*of as usize));
                    if let (Some(route), Some((_, nth, _))) = (route, forgotten) {
                        route.forgotten = Some(nth);
                    }
                }
                self.refused.push_back((request.route, nth, rejected));
            }
            _ => self.port.pump(|link, _, _| link.reply_fault(request.id, &rejected.into())),
        }
    }

    /// Was that cast accepted? Everything before this frame on its route was dispatched before.
    fn confirm(&mut self, id: farcall_proto::link::frame::RequestId, route: u32, cast: u64) {
        let refused = self.refused.iter().find(|(of, nth, _)| *of == route && *nth == cast);
        let forgotten = self.routes.get(route as usize).and_then(|route| route.forgotten);
        let fault: Option<Fault> = match refused {
            Some((_, _, rejected)) => Some(rejected.clone().into()),
            // Perhaps it was refused, perhaps not: it must not pass for accepted.
            None if forgotten.is_some_and(|nth| cast <= nth) => {
                Some(Failed::ReplyDecode(FORGOTTEN.to_owned()).into())
            }
            None => None,
        };
        self.port.pump(|link, _, _| match &fault {
            Some(fault) => link.reply_fault(id, fault),
            None => link.reply(id, false, Body::Borrowed(&[])),
        });
    }

    /// One message to each actor that got something.
    fn hand_over(&mut self) {
        for index in self.touched.drain(..) {
            let Some(handler) = self.handlers.get_mut(index) else { continue };
            let mut items = std::mem::take(&mut handler.items);
            let bytes = std::mem::take(&mut handler.bytes);
            self.context.metrics.delivered.add(items.len() as u64);
            let chunk = own_chunk(&self.chunk, &mut items, bytes);
            let registration = &handler.registration;
            registration.backlog.count_in(items.len(), bytes, self.received_at);
            self.port.backlog().count_in(items.len(), bytes, self.received_at);
            let backlog = registration.backlog.clone();
            let batch = Requests::new(self.port.clone(), backlog, chunk, items, self.received_at);
            // `do_send` ignores the mailbox's capacity on purpose: the backlog has admitted every item of it.
            // If the actor is gone meanwhile, the batch's drop answers for each item.
            registration.recipient.do_send(batch.into());
        }
    }
}

/// The span of a request that came in.
fn served(tracer: &Tracer, routes: &[Route], peer: &NodeName, request: &mut Request) -> Served {
    let index = request.route as usize;
    tracer.serves(request, || {
        let Definition { actor, message, .. } = &*routes.get(index)?.definition;
        Some((peer, actor, message))
    })
}

/// A batch that needs little of a large chunk gets its own copy, so that one waiting item does not hold it all.
fn own_chunk(chunk: &Bytes, items: &mut [Item], bytes: usize) -> Bytes {
    if chunk.len() < CHUNK_SHARED_MIN || bytes >= chunk.len() / 4 {
        return chunk.clone();
    }
    let mut own = Vec::with_capacity(bytes);
    for item in items {
        if let ItemPayload::Chunk { start, end } = &mut item.payload {
            let from = own.len();
            own.extend_from_slice(chunk.get(*start..*end).unwrap_or_default());
            (*start, *end) = (from, own.len());
        }
    }
    own.into()
}

/// Smaller chunks are shared without looking.
const CHUNK_SHARED_MIN: usize = 4096;

impl Side for Dispatch {
    fn handle_data(&mut self, _buffer: &mut BytesMut, now: Instant) -> Result<(), LossCause> {
        self.received_at = now;
        self.port.pump(|link, _, _| link.received(now));
        Ok(())
    }

    fn came(&mut self, bytes: usize) {
        self.port.flow().came(bytes);
    }

    fn went(&mut self, bytes: usize) {
        self.port.flow().went(bytes);
    }

    fn advance(&mut self, buffer: &mut BytesMut, now: Instant, pump: &Waker) -> Result<Progress, LossCause> {
        if self.held.is_none() && self.pending.len() == 0 {
            let patience = self.context.config.mailbox_patience;
            let pressure = self.port.backlog().pressure(now, patience);
            if pressure == Admission::Moving {
                self.port.backlog().wake_when_moved(pump);
                self.context.metrics.reads_paused.up();
                return Ok(Progress::Paused(Some(now + patience)));
            }
            self.crowded = pressure == Admission::Stuck;
            let (slice, woken, mut drains) = (&mut self.slice, &mut self.woken, false);
            let result = self.port.pump(|link, sleeping, last_used| {
                if !link.wants_read() {
                    // Answers pile up: the writer wakes this pump anyway, when it gets rid of some.
                    *sleeping = Some(pump.clone());
                    return Ok(false);
                }
                link.handle_data(buffer, SLICE_FRAMES, SLICE_BYTES, slice)?;
                link.poll_woken(woken);
                drains = link.peer_drains();
                if !slice.items.is_empty() {
                    *last_used = now;
                }
                Ok(true)
            });
            self.woken.drain(..).for_each(Waker::wake);
            if !result.map_err(LossCause::Protocol)? {
                return Ok(Progress::Paused(None));
            }
            if drains && let Some(linked) = self.port.linked() {
                linked.draining();
            }
            self.chunk = std::mem::take(&mut self.slice.chunk);
            self.pending = std::mem::take(&mut self.slice.items).into_iter();
        }
        if let Some(until) = self.dispatch(now, pump) {
            return Ok(Progress::Paused(Some(until)));
        }
        let whole = self.chunk.len();
        self.chunk = Bytes::new();
        Ok(if whole > 0 && !buffer.is_empty() { Progress::More } else { Progress::Drained })
    }

    fn lend(&mut self, buffer: &mut BytesMut) -> Result<Option<Loan>, LossCause> {
        self.port.pump(|link, _, _| link.lend(buffer)).map_err(LossCause::Protocol)
    }

    fn settle(&mut self, loan: Loan) {
        self.port.pump(|link, _, _| link.settle(loan));
    }

    fn transmit(&mut self, out: &mut Outgoing, now: Instant, pump: &Waker) {
        self.port.pump(|link, sleeping, last_used| {
            link.poll_outgoing(out, now);
            *sleeping = if out.is_empty() {
                Some(pump.clone())
            } else {
                *last_used = if link.in_flight() > 0 { now } else { *last_used };
                None
            };
        });
    }

    fn fresh(&mut self, pump: &Waker) -> Fresh {
        self.port.pump(|link, sleeping, _| {
            if link.wants_write() {
                // The last answer was just counted out: nothing else is being worked on.
                return if link.in_flight() == 0 { Fresh::Lone } else { Fresh::Several };
            }
            sleeping.get_or_insert_with(|| pump.clone());
            Fresh::Nothing
        })
    }

    fn poll_timeout(&mut self, io: &IoState) -> Instant {
        let alive = self.port.pump(|link, _, _| link.poll_timeout(io));
        match self.context.config.acceptor_idle {
            Some(idle) if self.port.is_quiet() => {
                alive.min((self.port.last_used() + idle).max(self.received_at))
            }
            _ => alive,
        }
    }

    fn handle_timeout(&mut self, now: Instant, io: &IoState) -> Result<(), LossCause> {
        self.handlers.tidy(self.context.registry.generation());
        if let Some(idle) = self.context.config.acceptor_idle
            && self.port.is_quiet()
            && now.saturating_duration_since(self.port.last_used()) >= idle
        {
            self.port.goodbye(farcall_proto::link::frame::Goodbye::Idle);
            // Asked once per idle time; the caller closes when its last answer is in.
            self.port.pump(|_, _, last_used| *last_used = now);
        }
        self.port.pump(|link, _, _| link.handle_timeout(now, io))
    }

    fn wants_close(&mut self) -> Option<&'static str> {
        None
    }

    fn suspended(&mut self, now: Instant) -> Option<Duration> {
        self.port.pump(|link, _, _| link.suspended(now))
    }
}
