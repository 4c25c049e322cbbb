//! What happens, as a stream for whoever subscribed.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures::stream::{BoxStream, Stream, StreamExt};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

/// So many events wait for a slow subscriber; one that is further behind is told how many it missed.
pub(crate) const EVENTS_MAX: usize = crate::members::NODE_EVENTS_MAX;

/// So many events were missed, because whoever subscribed did not take them in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} events were missed: more than {EVENTS_MAX} waited")]
pub struct Lagged(pub u64);

/// What happens from now on, each event once and in order, behind what was there to begin with.
///
/// At most 1,024 events wait; whoever is further behind gets one [`Lagged`] in place of what it missed, and then goes on.
/// It is a stream: an actor takes it with `ctx.add_stream(events)` and a `StreamHandler`.
pub struct Events<T>(BoxStream<'static, Result<T, Lagged>>);

impl<T: Clone + Send + 'static> Events<T> {
    /// First what is there, then what comes and is wanted. Called once for each event, in order.
    pub(crate) fn new(
        there: impl IntoIterator<Item = T>,
        receiver: broadcast::Receiver<T>,
        mut wanted: impl FnMut(&T) -> bool + Send + 'static,
    ) -> Self {
        let there: Vec<_> = there.into_iter().filter(|event| wanted(event)).map(Ok).collect();
        let later = futures::stream::unfold(receiver, |mut receiver| async {
            let next = next_of(&mut receiver).await?;
            Some((next, receiver))
        });
        let wanted =
            move |event: &Result<T, Lagged>| std::future::ready(event.as_ref().map_or(true, &mut wanted));
        Self(futures::stream::iter(there).chain(later.filter(wanted)).boxed())
    }

    /// The next event; none when the node has ended.
    ///
    /// # Errors
    /// [`Lagged`]: events were missed; those behind them follow.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Result<T, Lagged>> {
        self.0.next().await
    }
}

pub(crate) async fn next_of<T: Clone>(receiver: &mut broadcast::Receiver<T>) -> Option<Result<T, Lagged>> {
    match receiver.recv().await {
        Ok(event) => Some(Ok(event)),
        Err(RecvError::Lagged(missed)) => Some(Err(Lagged(missed))),
        Err(RecvError::Closed) => None,
    }
}

impl<T> Stream for Events<T> {
    type Item = Result<T, Lagged>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.as_mut().poll_next(cx)
    }
}

impl<T> std::fmt::Debug for Events<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Events")
    }
}
