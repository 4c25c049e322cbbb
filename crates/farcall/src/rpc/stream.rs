//! `stream`: one request, many answers, with credit.

use std::future::IntoFuture;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use farcall_proto::failure::Failure;
use farcall_proto::link::{NextItem, Outcome, SubmitKind, Ticket};
use farcall_proto::peer::Target;
use futures::Stream;
use futures::future::BoxFuture;

use super::call::decode_answer;
use super::encode::with_encoded;
use super::exchange::{Layout, Site, Times};
use super::{Caller, Named};
use crate::conn::Conn;
use crate::error::CallError;
use crate::items::Items;
use crate::message::{RemoteMessage, Value};

/// A stream that has not been asked for: set its options, then `.await` it.
///
/// # Cancel safety
/// Nothing is sent before the first poll. Dropped while it waits, the request is taken back, or the stream cancelled.
#[must_use = "a stream is asked for when it is awaited"]
pub struct OpenStream<'a, M> {
    pub(crate) caller: &'a Arc<Caller>,
    pub(crate) target: &'a Target,
    pub(crate) actor: Named<'a>,
    pub(crate) message: M,
    pub(crate) timeout: Option<Duration>,
}

impl<'a, M> OpenStream<'a, M> {
    /// How long opening it may take; items may then come for as long as they like. Default: `call_timeout`.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// The version the actor must have, as a semver requirement.
    pub fn require_version(mut self, requirement: &'a str) -> Self {
        self.actor.requirement = requirement;
        self
    }
}

impl<'a, M, T> IntoFuture for OpenStream<'a, M>
where
    M: RemoteMessage<Result = Items<T>>,
    T: Value,
{
    type Output = Result<RemoteStream<T>, CallError>;
    type IntoFuture = BoxFuture<'a, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let Self { caller, target, actor, message, timeout } = self;
            let site = Site { target, actor, message: M::INFO.into() };
            let config = &caller.context.config;
            let window = u32::try_from(config.stream_window_bytes).unwrap_or(u32::MAX);
            let times = Times { timeout, send_timeout: None };
            let (kind, now) = (SubmitKind::Open { window }, Instant::now());
            let mut exchange = times.exchange(kind, config.call_timeout, caller, now);
            let started = with_encoded(&message, |payload| {
                exchange.start(caller, &site, payload, std::task::Waker::noop(), now)
            });
            started
                .map_err(Failure::from)
                .and_then(|started| started)
                .map_err(|failure| site.error(failure))?;
            let submitted = std::future::poll_fn(|cx| exchange.poll_submitted(caller, &site, cx)).await;
            submitted.map_err(|failure| site.error(failure))?;
            let Some((conn, ticket)) = exchange.into_submitted() else {
                return Err(site.error(farcall_proto::failure::NotSent::AlreadyTaken));
            };
            let mut stream = RemoteStream {
                caller: caller.clone(),
                target: target.clone(),
                actor: actor.name.to_owned(),
                message: M::INFO.into(),
                conn,
                ticket: Some(ticket),
                item: PhantomData,
            };
            std::future::poll_fn(|cx| stream.poll_opened(cx)).await?;
            Ok(stream)
        })
    }
}

/// The answers to one request, as they come. A stream of `Result`: after an error nothing more comes.
///
/// # Cancel safety
/// Dropping it cancels the stream: the producer at the peer is dropped too.
pub struct RemoteStream<T> {
    caller: Arc<Caller>,
    target: Target,
    actor: String,
    message: Layout<'static>,
    conn: Arc<Conn>,
    ticket: Option<Ticket>,
    item: PhantomData<fn() -> T>,
}

impl<T: Value> RemoteStream<T> {
    fn error(&self, failure: impl Into<Failure>) -> CallError {
        CallError::new(failure, &self.target, &self.actor, self.message.name)
    }

    /// Waits until the handler has accepted the request, or refused it.
    fn poll_opened(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), CallError>> {
        let Some(ticket) = self.ticket else { return Poll::Ready(Ok(())) };
        match self.conn.poll_item(ticket, cx.waker()) {
            NextItem::Pending => Poll::Pending,
            NextItem::Opened | NextItem::Item { .. } => Poll::Ready(Ok(())),
            NextItem::End(outcome) => {
                self.ticket = None;
                Poll::Ready(match outcome {
                    Outcome::Answered { .. } => Ok(()),
                    Outcome::Failure(failure) => Err(self.error(failure)),
                })
            }
        }
    }
}

impl<T: Value> Stream for RemoteStream<T> {
    type Item = Result<T, CallError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(ticket) = self.ticket else { return Poll::Ready(None) };
        loop {
            return Poll::Ready(match self.conn.poll_item(ticket, cx.waker()) {
                NextItem::Pending => return Poll::Pending,
                NextItem::Opened => continue,
                NextItem::Item { answer, compressed, .. } => {
                    let item = decode_answer(&self.caller, answer.as_slice(), compressed);
                    Some(item.map_err(|failed| self.error(failed)))
                }
                NextItem::End(outcome) => {
                    self.ticket = None;
                    match outcome {
                        Outcome::Answered { .. } => None,
                        Outcome::Failure(failure) => Some(Err(self.error(failure))),
                    }
                }
            });
        }
    }
}

impl<T> Drop for RemoteStream<T> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.conn.cancel(ticket);
        }
    }
}

impl<T> std::fmt::Debug for RemoteStream<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RemoteStream")
            .field("target", &self.target)
            .field("actor", &self.actor)
            .finish_non_exhaustive()
    }
}
