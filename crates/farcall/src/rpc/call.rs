//! `call`: one request, one answer.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use farcall_proto::failure::{Failed, Failure};
use farcall_proto::link::{Arrival, Outcome, SubmitKind};
use farcall_proto::peer::Target;

use super::encode::with_encoded;
use super::exchange::{Exchange, Site, Times};
use super::{Caller, Named};
use crate::clock;
use crate::compress;
use crate::error::CallError;
use crate::message::{RemoteMessage, Value, decode_value};

/// A call that has not begun: set its options, then `.await` it. `.into_future()` makes it the future that `join_all` and
/// `select` want; [`multicall`](crate::Node::multicall) asks many nodes, and [`async_call`](crate::Node::async_call) begins
/// at once.
///
/// # Cancel safety
/// Nothing is sent before the first poll. Dropped later, the request is withdrawn if it was not written yet;
/// otherwise the peer is told, and does not start it if it has not started.
#[must_use = "a call is sent when it is awaited"]
#[derive(Debug)]
pub struct Call<'a, M> {
    pub(crate) caller: &'a Caller,
    pub(crate) target: &'a Target,
    pub(crate) actor: Named<'a>,
    pub(crate) message: M,
    pub(crate) timeout: Option<Duration>,
    pub(crate) send_timeout: Option<Duration>,
}

impl<'a, M: RemoteMessage> Call<'a, M>
where
    M::Result: Value,
{
    /// How long the whole call may take: discovery, dial, handshake, queue, execution and answer. Default: `call_timeout`.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// How long it may wait for room in the queue. Default: `send_timeout`.
    pub fn send_timeout(mut self, timeout: Duration) -> Self {
        self.send_timeout = Some(timeout);
        self
    }

    /// The version the actor must have, as a semver requirement: `"^1.4"`.
    pub fn require_version(mut self, requirement: &'a str) -> Self {
        self.actor.requirement = requirement;
        self
    }
}

impl<'a, M: RemoteMessage> IntoFuture for Call<'a, M>
where
    M::Result: Value,
{
    type Output = Result<M::Result, CallError>;
    type IntoFuture = CallFuture<'a, M>;

    fn into_future(self) -> CallFuture<'a, M> {
        CallFuture { call: self, exchange: None }
    }
}

/// A call that is awaited.
#[must_use = "futures do nothing unless awaited"]
pub struct CallFuture<'a, M> {
    call: Call<'a, M>,
    exchange: Option<Exchange>,
}

// The message is never pinned: it is only read, once.
impl<M> Unpin for CallFuture<'_, M> {}

impl<M: RemoteMessage> Future for CallFuture<'_, M>
where
    M::Result: Value,
{
    type Output = Result<M::Result, CallError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let call = &this.call;
        let site = Site { target: call.target, actor: call.actor, message: M::INFO.into() };
        let exchange = match &mut this.exchange {
            Some(exchange) => exchange,
            empty => {
                let times = Times { timeout: call.timeout, send_timeout: call.send_timeout };
                let (exchange, now) =
                    times.begin(SubmitKind::Call, call.caller.context.config.call_timeout, call.caller);
                let exchange = empty.insert(exchange);
                let started = with_encoded(&call.message, |payload| {
                    exchange.start(call.caller, &site, payload, cx.waker(), now)
                });
                let started = started.map_err(Failure::from).and_then(|started| started);
                if let Err(failure) = started {
                    return Poll::Ready(Err(site.error(failure)));
                }
                if exchange.is_waiting() {
                    return Poll::Pending;
                }
                exchange
            }
        };
        let mut arrival = Arrival::EMPTY;
        exchange.poll_arrival(call.caller, &site, &mut arrival, cx).map(|()| match arrival.answer() {
            Ok((payload, compressed)) => {
                decode_answer(call.caller, payload, compressed).map_err(|failed| site.error(failed))
            }
            Err(failure) => Err(site.error(failure.clone())),
        })
    }
}

impl Times {
    /// An exchange that begins now, and a time for everything that does not need it exactly. A deadline that is far may
    /// be later by [`clock::BEHIND_MAX`], never earlier: asking for the exact time costs 25 ns.
    fn begin(self, kind: SubmitKind, default: Duration, caller: &Caller) -> (Exchange, Instant) {
        if self.timeout.unwrap_or(default) < EXACT_BELOW {
            let now = Instant::now();
            return (self.exchange(kind, default, caller, now), now);
        }
        let lately = clock::lately();
        (self.exchange(kind, default, caller, lately + clock::BEHIND_MAX), lately)
    }

    pub(super) fn exchange(
        self,
        kind: SubmitKind,
        default: Duration,
        caller: &Caller,
        now: Instant,
    ) -> Exchange {
        let send_timeout = self.send_timeout.unwrap_or(caller.context.config.send_timeout);
        Exchange::new(kind, self.timeout.unwrap_or(default), send_timeout, now)
    }
}

/// Shorter timeouts are measured exactly.
const EXACT_BELOW: Duration = Duration::from_secs(1);

impl Site<'_> {
    pub(super) fn error(&self, failure: impl Into<Failure>) -> CallError {
        CallError::new(failure, self.target, self.actor.name, self.message.name)
    }
}

/// The value an outcome holds.
pub(super) fn value_of<R: Value>(caller: &Caller, site: &Site<'_>, outcome: Outcome) -> Result<R, CallError> {
    match outcome {
        Outcome::Answered { answer, compressed } => {
            decode_answer(caller, answer.as_slice(), compressed).map_err(|failed| site.error(failed))
        }
        Outcome::Failure(failure) => Err(site.error(failure)),
    }
}

/// Reads an answer, inflating it first if need be.
pub(super) fn decode_answer<R: Value>(
    caller: &Caller,
    payload: &[u8],
    compressed: bool,
) -> Result<R, Failed> {
    let unreadable = |why: String| Failed::ReplyDecode(why);
    let _bound = caller.context.bind();
    if !compressed {
        return decode_value(payload).map_err(|error| unreadable(error.to_string()));
    }
    let raw = compress::unpack(payload, caller.context.config.message_bytes_max)
        .map_err(|error| unreadable(error.to_string()))?;
    decode_value(&raw).map_err(|error| unreadable(error.to_string()))
}

/// An answer as bytes, inflated if need be.
pub(super) fn inflated(caller: &Caller, payload: &[u8], compressed: bool) -> Result<Vec<u8>, Failed> {
    if !compressed {
        return Ok(payload.to_vec());
    }
    compress::unpack(payload, caller.context.config.message_bytes_max)
        .map_err(|error| Failed::ReplyDecode(error.to_string()))
}
