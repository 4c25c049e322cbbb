//! An answer of many items: what a handler returns for a message declared with `stream = T`.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures::stream::{Stream, StreamExt};
use tokio::sync::mpsc;

use crate::message::{Answer, Answering, Value, encode_value};

/// Many answers to one request, produced while the caller takes them.
///
/// The runtime asks for the next item only while the caller has credit left, so a slow caller slows the
/// producer; when the caller drops its stream, this one is dropped too.
///
/// ```
/// use farcall::Items;
///
/// let countdown = Items::new(futures::stream::iter([3u8, 2, 1]));
/// let (sender, live) = Items::<u64>::channel(16);
/// # drop((countdown, sender, live));
/// ```
pub struct Items<T>(Pin<Box<dyn Stream<Item = T> + Send>>);

impl<T: Value> Items<T> {
    /// The items of a stream.
    pub fn new(stream: impl Stream<Item = T> + Send + 'static) -> Self {
        Self(Box::pin(stream))
    }

    /// Items pushed by hand, at most `capacity` of them waiting.
    pub fn channel(capacity: usize) -> (ItemSender<T>, Self) {
        let (sender, mut receiver) = mpsc::channel(capacity.max(1));
        let stream = futures::stream::poll_fn(move |cx| receiver.poll_recv(cx));
        (ItemSender(sender), Self::new(stream))
    }
}

impl<T> Stream for Items<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.0.as_mut().poll_next(cx)
    }
}

impl<T> std::fmt::Debug for Items<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Items")
    }
}

impl<T: Value> Answer for Items<T> {
    const STREAM: bool = true;
    type Item = T;

    fn give(self, to: &mut dyn Answering) {
        to.items(Box::pin(self.0.map(|item| {
            let mut payload = Vec::new();
            encode_value(&item, &mut payload).map(|()| payload)
        })));
    }
}

/// Pushes items into an [`Items::channel`].
#[derive(Debug, Clone)]
pub struct ItemSender<T>(mpsc::Sender<T>);

/// The caller gave the stream up, or its connection is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ItemSendError {
    /// Nobody takes items any more.
    #[error("the caller gave the stream up")]
    Closed,
    /// As many items wait as the channel holds.
    #[error("the channel of items is full")]
    Full,
}

impl<T> ItemSender<T> {
    /// Waits for room and pushes an item.
    ///
    /// # Errors
    /// [`ItemSendError::Closed`] when nobody takes items any more.
    ///
    /// # Cancel safety
    /// Dropped before it is done, the item was not pushed.
    pub async fn send(&self, item: T) -> Result<(), ItemSendError> {
        self.0.send(item).await.map_err(|_| ItemSendError::Closed)
    }

    /// Pushes an item if there is room; for handlers that must not wait.
    ///
    /// # Errors
    /// [`ItemSendError`].
    pub fn try_send(&self, item: T) -> Result<(), ItemSendError> {
        self.0.try_send(item).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => ItemSendError::Full,
            mpsc::error::TrySendError::Closed(_) => ItemSendError::Closed,
        })
    }

    /// Whether nobody takes items any more.
    pub fn is_closed(&self) -> bool {
        self.0.is_closed()
    }
}
