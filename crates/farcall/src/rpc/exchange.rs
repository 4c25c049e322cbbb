//! One request and its answer, from the first byte to the outcome: waits for room if it must, then for the answer.

use std::future::Future;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use farcall_proto::failure::{Failure, NotSent};
use farcall_proto::link::outbox::Body;
use farcall_proto::link::{Arrival, Outcome, RouteKey, Submit, SubmitKind, Ticket};
use farcall_proto::peer::Target;
use tokio::time::Sleep;

use super::{Caller, Named};
use crate::compress;
use crate::conn::{Conn, Encoded, RoomWait};
use crate::message::MessageInfo;
use crate::trace::Asked;

/// What a request is, besides its bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Site<'a> {
    pub(super) target: &'a Target,
    pub(super) actor: Named<'a>,
    pub(super) message: Layout<'a>,
}

/// How a message is known on the wire.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout<'a> {
    pub(super) name: &'a str,
    pub(super) version: u16,
    pub(super) fingerprint: u64,
    /// Stands for the three above, if they are those of a type of this program.
    pub(super) identity: Option<NonZeroUsize>,
}

impl From<&'static MessageInfo> for Layout<'static> {
    fn from(info: &'static MessageInfo) -> Self {
        // A static of its own per layout: its address stands for it.
        let identity = NonZeroUsize::new(std::ptr::from_ref(info).addr());
        Self { name: info.name, version: info.version, fingerprint: info.fingerprint, identity }
    }
}

impl<'a> Site<'a> {
    pub(super) fn route(&self) -> RouteKey<'a> {
        RouteKey {
            actor: self.actor.name,
            message: self.message.name,
            version: self.message.version,
            fingerprint: self.message.fingerprint,
            requirement: self.actor.requirement,
            identity: self.message.identity,
        }
    }

    /// What can be seen to be wrong before anything is sent.
    pub(super) fn check(&self) -> Result<(), NotSent> {
        let name = self.actor.name;
        if name.is_empty() || name.len() > crate::registry::ACTOR_NAME_BYTES_MAX {
            return Err(NotSent::BadRequest("an actor's name has 1 to 255 bytes".into()));
        }
        let requirement = self.actor.requirement;
        if requirement.is_empty() {
            return Ok(());
        }
        match semver::VersionReq::parse(requirement) {
            Ok(_) => Ok(()),
            Err(error) => {
                let why = format!("{requirement:?} is no version requirement like ^1.4: {error}");
                Err(NotSent::BadRequest(why.into()))
            }
        }
    }
}

/// How long a request may take.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Times {
    /// Until the answer; none: the configured default.
    pub(super) timeout: Option<Duration>,
    /// Until there is room to queue it.
    pub(super) send_timeout: Option<Duration>,
}

/// The end of a time, however long it is said to be.
pub(crate) fn deadline_after(now: Instant, timeout: Duration) -> Instant {
    now + timeout.min(TIMEOUT_MAX)
}

/// Longer than anybody waits, and short enough for every clock.
const TIMEOUT_MAX: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// One request and its answer.
pub(super) struct Exchange {
    kind: SubmitKind,
    deadline: Instant,
    room_until: Instant,
    state: State,
    asked: Asked,
}

enum State {
    /// Queued nowhere yet: the queue is full.
    Room { wait: Option<RoomWait>, payload: Bytes, sleep: Pin<Box<Sleep>> },
    /// Submitted.
    Waiting { conn: Arc<Conn>, ticket: Ticket },
    /// Ended, or never begun.
    Done,
}

impl Exchange {
    pub(super) fn new(kind: SubmitKind, timeout: Duration, send_timeout: Duration, now: Instant) -> Self {
        let deadline = deadline_after(now, timeout);
        let room_until = deadline.min(deadline_after(now, send_timeout));
        Self { kind, deadline, room_until, state: State::Done, asked: Asked::default() }
    }

    /// Submits the request; if the queue is full, keeps the bytes and waits for room when polled.
    pub(super) fn start(
        &mut self,
        caller: &Caller,
        site: &Site<'_>,
        payload: Encoded<'_>,
        waker: &Waker,
        now: Instant,
    ) -> Result<(), Failure> {
        self.check(caller, site)?;
        match self.submit(caller, site, &payload, waker, now) {
            Ok((conn, ticket)) => {
                self.state = State::Waiting { conn, ticket };
                Ok(())
            }
            Err((NotSent::QueueFull { .. }, Some(conn))) => {
                let payload = match payload {
                    Encoded::Small(bytes) => Bytes::copy_from_slice(bytes),
                    Encoded::Large(bytes) => bytes,
                };
                let sleep = Box::pin(tokio::time::sleep_until(self.room_until.into()));
                let wait = Some(conn.wait_for_room(waker.clone()));
                self.state = State::Room { wait, payload, sleep };
                Ok(())
            }
            Err((failure, _)) => self.refused(failure),
        }
    }

    /// The request begins here, unless it can be seen to be wrong.
    fn check(&mut self, caller: &Caller, site: &Site<'_>) -> Result<(), Failure> {
        let Site { target, actor, message } = site;
        self.asked = caller.context.tracer.asks(self.kind, target.node(), actor.name, message.name);
        site.check().or_else(|failure| self.refused(failure))
    }

    /// It ends before it was sent.
    fn refused(&mut self, failure: NotSent) -> Result<(), Failure> {
        self.asked.ended(Err(failure.reason()));
        Err(failure.into())
    }

    fn submit(
        &self,
        caller: &Caller,
        site: &Site<'_>,
        payload: &Encoded<'_>,
        waker: &Waker,
        now: Instant,
    ) -> Result<(Arc<Conn>, Ticket), Refused> {
        let (kind, deadline, trace) = (self.kind, Some(self.deadline), self.asked.context());
        let mut tries = 0;
        loop {
            let conn = caller.clients.conn(site.target, now).map_err(|failure| (failure, None))?;
            let packed = packed(caller, &conn, payload);
            let (body, compressed) = match &packed {
                Some(packed) => (Body::Shared(packed.clone()), true),
                None => (payload.body(), false),
            };
            let request = Submit { kind, route: site.route(), body, compressed, trace, deadline };
            tries += 1;
            match conn.submit(request, waker.clone(), now) {
                Ok(ticket) => return Ok((conn, ticket)),
                Err(NotSent::Disconnected(_)) if tries < TRIES => {}
                Err(failure) => return Err((failure, Some(conn))),
            }
        }
    }

    /// As [`Exchange::start`], but a full queue is an error.
    pub(super) fn start_now(
        &mut self,
        caller: &Caller,
        site: &Site<'_>,
        payload: Encoded<'_>,
        waker: &Waker,
        now: Instant,
    ) -> Result<(), Failure> {
        self.check(caller, site)?;
        match self.submit(caller, site, &payload, waker, now) {
            Ok((conn, ticket)) => {
                self.state = State::Waiting { conn, ticket };
                Ok(())
            }
            Err((failure, _)) => self.refused(failure),
        }
    }

    /// The outcome, once.
    pub(super) fn poll(
        &mut self,
        caller: &Caller,
        site: &Site<'_>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Outcome> {
        let mut arrival = Arrival::EMPTY;
        self.poll_arrival(caller, site, &mut arrival, cx).map(|()| arrival.into_outcome())
    }

    /// As [`Exchange::poll`], but puts the outcome into `arrival`.
    pub(super) fn poll_arrival(
        &mut self,
        caller: &Caller,
        site: &Site<'_>,
        arrival: &mut Arrival,
        cx: &mut TaskContext<'_>,
    ) -> Poll<()> {
        loop {
            match &mut self.state {
                State::Waiting { conn, ticket } => {
                    if !conn.poll_arrival(*ticket, arrival, cx.waker()) {
                        return Poll::Pending;
                    }
                    self.state = State::Done;
                    self.asked.ended(arrival.answer().map(|_| ()).map_err(Failure::reason));
                    return Poll::Ready(());
                }
                State::Done => {
                    arrival.fail(NotSent::AlreadyTaken);
                    return Poll::Ready(());
                }
                State::Room { .. } => {
                    if let Poll::Ready(failure) = self.poll_room(caller, site, cx) {
                        self.asked.ended(Err(failure.reason()));
                        arrival.fail(failure);
                        return Poll::Ready(());
                    }
                    if matches!(self.state, State::Room { .. }) {
                        return Poll::Pending;
                    }
                }
            }
        }
    }

    /// Submits the request if there is room now. Ready: it failed.
    fn poll_room(&mut self, caller: &Caller, site: &Site<'_>, cx: &mut TaskContext<'_>) -> Poll<NotSent> {
        let State::Room { wait, payload, sleep } = &mut self.state else { return Poll::Pending };
        // The place is given up first: whoever looks for room now must not stand in its own way.
        drop(wait.take());
        let expired = sleep.as_mut().poll(cx).is_ready();
        let (payload, now) = (payload.clone(), Instant::now());
        let encoded = Encoded::Large(payload);
        let submitted = self.submit(caller, site, &encoded, cx.waker(), now);
        match (submitted, &mut self.state) {
            (Ok((conn, ticket)), state) => *state = State::Waiting { conn, ticket },
            (Err((NotSent::QueueFull { .. }, Some(fuller))), State::Room { wait, .. }) if !expired => {
                *wait = Some(fuller.wait_for_room(cx.waker().clone()));
            }
            (Err((failure, _)), state) => {
                *state = State::Done;
                return Poll::Ready(failure);
            }
        }
        Poll::Pending
    }

    /// The connection, the ticket and the span, once submitted: for streams, which go on by themselves.
    pub(super) fn into_submitted(mut self) -> Option<(Arc<Conn>, Ticket, Asked)> {
        match std::mem::replace(&mut self.state, State::Done) {
            State::Waiting { conn, ticket } => Some((conn, ticket, std::mem::take(&mut self.asked))),
            state => {
                self.state = state;
                None
            }
        }
    }

    /// Whether it waits for room; drives that wait.
    pub(super) fn poll_submitted(
        &mut self,
        caller: &Caller,
        site: &Site<'_>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Result<(), Failure>> {
        match &self.state {
            State::Waiting { .. } => Poll::Ready(Ok(())),
            State::Done => Poll::Ready(Err(NotSent::AlreadyTaken.into())),
            State::Room { .. } => match self.poll(caller, site, cx) {
                Poll::Ready(Outcome::Failure(failure)) => Poll::Ready(Err(failure)),
                _ if matches!(self.state, State::Waiting { .. }) => Poll::Ready(Ok(())),
                _ => Poll::Pending,
            },
        }
    }

    /// Takes over a ticket obtained otherwise (confirm, ping).
    pub(super) fn adopt(&mut self, conn: Arc<Conn>, ticket: Ticket) {
        self.state = State::Waiting { conn, ticket };
    }

    /// Whether it was submitted.
    pub(super) fn is_waiting(&self) -> bool {
        matches!(self.state, State::Waiting { .. })
    }

    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if let State::Waiting { conn, ticket } = &self.state {
            conn.cancel(*ticket);
        }
    }
}

type Refused = (NotSent, Option<Arc<Conn>>);

/// How often a request looks for a connection again when the one it found took nothing new.
const TRIES: usize = 3;

/// The payload compressed, if that is configured, worth it, and the peer can read it.
pub(super) fn packed(caller: &Caller, conn: &Conn, payload: &Encoded<'_>) -> Option<Bytes> {
    let config = &caller.context.config;
    let bytes = match payload {
        Encoded::Small(bytes) => bytes,
        Encoded::Large(bytes) => &bytes[..],
    };
    compress::pack(config.compress, config.compress_threshold_bytes, conn.inflates(), bytes).map(Bytes::from)
}
