//! `stream`: one request, many answers, with credit.

use std::future::IntoFuture;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use farcall_proto::failure::{Failed, Failure};
use farcall_proto::link::{NextItem, Outcome, SubmitKind, Ticket};
use farcall_proto::peer::Target;
use futures::Stream;
use futures::future::BoxFuture;

use super::call::{decode_answer, inflated};
use super::encode::with_encoded;
use super::exchange::{Exchange, Site, Times};
use super::{Caller, Named};
use crate::conn::Conn;
use crate::error::CallError;
use crate::items::Items;
use crate::message::{RemoteMessage, Value};
use crate::trace::Asked;

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
            let mut exchange = opening(caller, timeout);
            let started = with_encoded(&message, |payload| {
                exchange.start(caller, &site, payload, Waker::noop(), Instant::now())
            });
            let started = started.map_err(Failure::from).and_then(|started| started);
            started.map_err(|failure| site.error(failure))?;
            Ok(RemoteStream { source: opened(caller, site, exchange).await?, item: PhantomData })
        })
    }
}

/// The request that opens a stream.
pub(super) fn opening(caller: &Caller, timeout: Option<Duration>) -> Exchange {
    let config = &caller.context.config;
    let window = u32::try_from(config.stream_window_bytes).unwrap_or(u32::MAX);
    let times = Times { timeout, send_timeout: None };
    times.exchange(SubmitKind::Open { window }, config.call_timeout, caller, Instant::now())
}

/// Waits until a request that was started is submitted, and its stream accepted.
pub(super) async fn opened(
    caller: &Arc<Caller>,
    site: Site<'_>,
    mut exchange: Exchange,
) -> Result<Source, CallError> {
    let submitted = std::future::poll_fn(|cx| exchange.poll_submitted(caller, &site, cx)).await;
    submitted.map_err(|failure| site.error(failure))?;
    let Some((conn, ticket, asked)) = exchange.into_submitted() else {
        return Err(site.error(farcall_proto::failure::NotSent::AlreadyTaken));
    };
    let mut source = Source {
        caller: caller.clone(),
        target: site.target.clone(),
        actor: site.actor.name.to_owned(),
        message: site.message.name.to_owned(),
        conn,
        ticket: Some(ticket),
        asked,
    };
    std::future::poll_fn(|cx| source.poll_opened(cx)).await?;
    Ok(source)
}

/// An open stream of items that are still bytes. Dropping it cancels the stream.
pub(super) struct Source {
    caller: Arc<Caller>,
    target: Target,
    actor: String,
    message: String,
    conn: Arc<Conn>,
    ticket: Option<Ticket>,
    asked: Asked,
}

impl Source {
    fn error(&self, failure: impl Into<Failure>) -> CallError {
        CallError::new(failure, &self.target, &self.actor, &self.message)
    }

    /// Waits until the handler has accepted the request, or refused it.
    fn poll_opened(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), CallError>> {
        let Some(ticket) = self.ticket else { return Poll::Ready(Ok(())) };
        match self.conn.poll_item(ticket, cx.waker()) {
            NextItem::Pending => Poll::Pending,
            NextItem::Opened | NextItem::Item { .. } => Poll::Ready(Ok(())),
            NextItem::End(outcome) => {
                self.ticket = None;
                self.asked.ended(result_of(&outcome).map_err(Failure::reason));
                Poll::Ready(match outcome {
                    Outcome::Answered { .. } => Ok(()),
                    Outcome::Failure(failure) => Err(self.error(failure)),
                })
            }
        }
    }

    /// The next item, read by `read` from its bytes and whether they are compressed.
    fn poll_item<R>(
        &mut self,
        cx: &mut Context<'_>,
        read: impl FnOnce(&Caller, &[u8], bool) -> Result<R, Failed>,
    ) -> Poll<Option<Result<R, CallError>>> {
        let Some(ticket) = self.ticket else { return Poll::Ready(None) };
        loop {
            return Poll::Ready(match self.conn.poll_item(ticket, cx.waker()) {
                NextItem::Pending => return Poll::Pending,
                NextItem::Opened => continue,
                NextItem::Item { answer, compressed, .. } => {
                    let item = read(&self.caller, answer.as_slice(), compressed);
                    if item.is_err() {
                        // After an error nothing more comes: the producer is not kept for items nobody gets.
                        self.ticket = None;
                        self.conn.cancel(ticket);
                    }
                    Some(item.map_err(|failed| self.error(failed)))
                }
                NextItem::End(outcome) => {
                    self.ticket = None;
                    self.asked.ended(result_of(&outcome).map_err(Failure::reason));
                    match outcome {
                        Outcome::Answered { .. } => None,
                        Outcome::Failure(failure) => Some(Err(self.error(failure))),
                    }
                }
            });
        }
    }
}

fn result_of(outcome: &Outcome) -> Result<(), &Failure> {
    match outcome {
        Outcome::Answered { .. } => Ok(()),
        Outcome::Failure(failure) => Err(failure),
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.conn.cancel(ticket);
        }
    }
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Source");
        shown.field("target", &self.target).field("actor", &self.actor).finish_non_exhaustive()
    }
}

/// The answers to one request, as they come. A stream of `Result`: after an error nothing more comes.
///
/// # Cancel safety
/// Dropping it cancels the stream: the producer at the peer is dropped too.
pub struct RemoteStream<T> {
    source: Source,
    item: PhantomData<fn() -> T>,
}

impl<T> RemoteStream<T> {
    /// The number of its connection, as in [`Node::epoch`](crate::Node::epoch).
    pub(crate) fn epoch(&self) -> u64 {
        self.source.conn.epoch()
    }
}

impl<T: Value> Stream for RemoteStream<T> {
    type Item = Result<T, CallError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.source.poll_item(cx, decode_answer)
    }
}

impl<T> std::fmt::Debug for RemoteStream<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("RemoteStream").field(&self.source).finish()
    }
}

/// The encoded answers to one [`RawMessage`](super::RawMessage), as they come; otherwise a [`RemoteStream`].
///
/// # Cancel safety
/// Dropping it cancels the stream.
#[derive(Debug)]
pub struct RawItems(pub(super) Source);

impl Stream for RawItems {
    type Item = Result<Vec<u8>, CallError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_item(cx, inflated)
    }
}
