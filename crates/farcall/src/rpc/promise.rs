//! `async_call`: a call that runs while the caller does something else.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use farcall_proto::failure::{Failure, NotSent};
use farcall_proto::link::SubmitKind;
use farcall_proto::peer::Target;

use super::call::value_of;
use super::encode::with_encoded;
use super::exchange::{Exchange, Layout, Site, Times};
use super::{Caller, Named};
use crate::error::CallError;
use crate::message::{RemoteMessage, Value};

/// The answer of a call that has begun: await it (gen_rpc's yield), or look with [`nb_yield`](Promise::nb_yield).
///
/// The answer waits in the connection's table, no task is spent on it. Abandoned, it leaves nothing behind.
///
/// # Cancel safety
/// Dropping it cancels the call: work that has not started is not started.
#[must_use = "dropping the promise cancels the call"]
pub struct Promise<R> {
    caller: Arc<Caller>,
    target: Target,
    actor: String,
    message: Layout<'static>,
    state: State,
    result: PhantomData<fn() -> R>,
}

enum State {
    Running(Exchange),
    Refused(Failure),
    Taken,
}

impl<R> Promise<R> {
    /// Begins the call; a full queue is an error, which the promise tells.
    pub(crate) fn begin<M>(caller: &Arc<Caller>, target: &Target, actor: Named<'_>, message: &M) -> Self
    where
        M: RemoteMessage<Result = R>,
    {
        let site = Site { target, actor, message: M::INFO.into() };
        let now = Instant::now();
        let config = &caller.context.config;
        let mut exchange = Times::default().exchange(SubmitKind::Call, config.call_timeout, caller, now);
        let started = with_encoded(message, |payload| {
            // The answer stays in the connection's table until somebody looks; nobody has to be woken yet.
            exchange.start_now(caller, &site, payload, Waker::noop(), now)
        });
        let state = match started.map_err(Failure::from).and_then(|started| started) {
            Ok(()) => State::Running(exchange),
            Err(failure) => State::Refused(failure),
        };
        Self {
            caller: caller.clone(),
            target: target.clone(),
            actor: actor.name.to_owned(),
            message: M::INFO.into(),
            state,
            result: PhantomData,
        }
    }
}

impl<R: Value> Promise<R> {
    /// The answer if it comes within `wait`, else `None`, and the promise can be asked again. Zero looks and does not wait.
    ///
    /// After the answer was taken, asking again gives the error [`NotSent::AlreadyTaken`], at once.
    ///
    /// # Cancel safety
    /// Dropped while it waits, nothing is lost.
    pub async fn nb_yield(&mut self, wait: Duration) -> Option<Result<R, CallError>> {
        let poll = std::future::poll_fn(|cx| self.poll_answer(cx));
        if wait.is_zero() {
            return futures::FutureExt::now_or_never(poll);
        }
        tokio::time::timeout(wait, poll).await.ok()
    }

    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Result<R, CallError>> {
        let actor = Named { name: &self.actor, requirement: "" };
        let site = Site { target: &self.target, actor, message: self.message };
        let answer = match &mut self.state {
            State::Running(exchange) => match exchange.poll(&self.caller, &site, cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(outcome) => value_of(&self.caller, &site, outcome),
            },
            State::Refused(failure) => Err(site.error(failure.clone())),
            State::Taken => Err(site.error(NotSent::AlreadyTaken)),
        };
        self.state = State::Taken;
        Poll::Ready(answer)
    }
}

impl<R: Value> Future for Promise<R> {
    type Output = Result<R, CallError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.poll_answer(cx)
    }
}

impl<R> std::fmt::Debug for Promise<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Promise")
            .field("target", &self.target)
            .field("actor", &self.actor)
            .finish_non_exhaustive()
    }
}
