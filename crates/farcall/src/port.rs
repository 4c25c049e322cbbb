//! Where answers go: the half of an inbound connection that its actors share with its pump.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::Bytes;
use farcall_proto::failure::{Failed, Fault};
use farcall_proto::link::frame::{Goodbye, RequestId};
use farcall_proto::link::{AcceptorLink, Credit};
use farcall_proto::peer::NodeName;
use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::answer::body;
use crate::backlog::Backlog;
use crate::compress::{self, Compress};
use crate::context::Context as NodeContext;
use crate::flow::{Flow, Load};
use crate::members::Linked;
use crate::metrics::Metrics;
use crate::spare;

/// One inbound connection, as its actors see it.
pub(crate) struct AnswerPort {
    inner: Mutex<Inner>,
    peer: NodeName,
    /// Whom it counts for; nothing for this node's own.
    linked: OnceLock<Linked>,
    backlog: Backlog,
    context: Arc<NodeContext>,
    closed: AtomicBool,
    /// How many requests were given up by their caller and not yet answered; spares the table's lock.
    cancelled_count: AtomicUsize,
    cancelled: Mutex<HashMap<u32, u32, ahash::RandomState>>,
    cancel_noted: Notify,
    inline_reply_bytes_max: usize,
    reply_bytes_max: usize,
    inflates: u8,
    flow: Flow,
}

/// What became of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// It is on its way.
    Sent,
    /// The caller gave the stream up.
    Cancelled,
    /// It could not travel, and the caller was told: the stream has ended.
    Ended,
}

struct Inner {
    link: AcceptorLink<Waker>,
    /// The pump's waker, while it sleeps.
    sleeping: Option<Waker>,
    last_used: Instant,
}

impl std::fmt::Debug for AnswerPort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AnswerPort").field("peer", &self.peer).finish_non_exhaustive()
    }
}

/// Answers up to this size are copied into the batch's buffer even when larger frames would fit.
const INLINE_REPLY_BYTES: usize = 16 * 1024;

thread_local! {
    /// The buffer that the answers of a batch are encoded into; one per arbiter.
    static SCRATCH: std::cell::Cell<Vec<u8>> = const { std::cell::Cell::new(Vec::new()) };
}

/// A scratch buffer that grew beyond this is not kept.
const SCRATCH_BYTES_MAX: usize = 256 * 1024;

impl AnswerPort {
    pub(crate) fn new(
        mut link: AcceptorLink<Waker>,
        peer: NodeName,
        inflates: u8,
        context: Arc<NodeContext>,
        now: Instant,
    ) -> Arc<Self> {
        link.use_memory(spare::MEMORY);
        let reply_bytes_max = link.reply_bytes_max();
        let config = &context.config;
        let inline = INLINE_REPLY_BYTES.min(config.fragment_bytes / 2);
        let inline_reply_bytes_max = match config.compress {
            Compress::Off => inline,
            Compress::Lz4 | Compress::Zstd(_) => {
                inline.min(config.compress_threshold_bytes.saturating_sub(1))
            }
        };
        Arc::new(Self {
            inner: Mutex::new(Inner { link, sleeping: None, last_used: now }),
            peer,
            linked: OnceLock::new(),
            backlog: Backlog::new(usize::MAX, context.config.acceptor_bytes_max, now),
            context,
            closed: AtomicBool::new(false),
            cancelled_count: AtomicUsize::new(0),
            cancelled: Mutex::default(),
            cancel_noted: Notify::new(),
            inline_reply_bytes_max,
            reply_bytes_max,
            inflates,
            flow: Flow::default(),
        })
    }

    pub(crate) fn peer(&self) -> &NodeName {
        &self.peer
    }

    /// It counts for a peer that is there.
    pub(crate) fn set_linked(&self, linked: Linked) {
        // A connection gets one seat.
        let _ = self.linked.set(linked);
    }

    /// Whom it counts for; nothing for this node's own.
    pub(crate) fn linked(&self) -> Option<&Linked> {
        self.linked.get()
    }

    /// Until the guard is dropped, references read on this thread are bound to this node.
    pub(crate) fn bind(&self) -> Option<crate::binding::Bound> {
        self.context.bind()
    }

    /// What this connection brought and its actors have not taken yet.
    pub(crate) fn backlog(&self) -> &Backlog {
        &self.backlog
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.context.metrics
    }

    /// One rate-limited line about something refused.
    pub(crate) fn note_refused(&self, reason: &'static str, what: impl std::fmt::Display) {
        self.context.log_limited(log::Level::Warn, reason, &self.peer, what);
    }

    pub(crate) fn message_bytes_max(&self) -> usize {
        self.context.config.message_bytes_max
    }

    /// Answers above this do not travel inside a batch's buffer.
    pub(crate) fn inline_reply_bytes_max(&self) -> usize {
        self.inline_reply_bytes_max
    }

    pub(crate) fn take_scratch(&self) -> Vec<u8> {
        let scratch = SCRATCH.take();
        // Empty when the last answer was large and took it along.
        if scratch.capacity() == 0 { spare::take_any() } else { scratch }
    }

    pub(crate) fn give_scratch(&self, mut scratch: Vec<u8>) {
        if scratch.capacity() <= SCRATCH_BYTES_MAX {
            scratch.clear();
            SCRATCH.set(scratch);
        } else {
            spare::give(scratch);
        }
    }

    /// Runs `act` on the link and wakes the pump if it sleeps.
    fn with_link<R>(&self, act: impl FnOnce(&mut AcceptorLink<Waker>) -> R) -> R {
        let mut inner = self.inner.lock();
        let result = act(&mut inner.link);
        let pump = if inner.link.wants_write() { inner.sleeping.take() } else { None };
        drop(inner);
        if let Some(pump) = pump {
            pump.wake();
        }
        result
    }

    /// Appends the answers of a batch.
    pub(crate) fn push_replies(&self, frames: &[u8], count: usize) {
        self.with_link(|link| link.push_replies(frames, count));
    }

    /// Answers one request with a value of any size, compressed if that helps.
    pub(crate) fn reply(&self, id: RequestId, payload: Bytes) {
        if payload.len() > self.reply_bytes_max {
            let (bytes, limit) = (payload.len() as u64, self.reply_bytes_max as u64);
            return self.reply_fault(id, &Failed::ReplyTooLarge { bytes, limit }.into());
        }
        let (payload, compressed) = self.packed(payload);
        self.forget_cancelled(id);
        self.with_link(|link| link.reply(id, compressed, body(payload)));
    }

    fn packed(&self, payload: Bytes) -> (Bytes, bool) {
        let config = &self.context.config;
        match compress::pack(config.compress, config.compress_threshold_bytes, self.inflates, &payload) {
            Some(packed) => (Bytes::from(packed), true),
            None => (payload, false),
        }
    }

    /// Answers one request with a fault.
    pub(crate) fn reply_fault(&self, id: RequestId, fault: &Fault) {
        self.forget_cancelled(id);
        self.with_link(|link| link.reply_fault(id, fault));
    }

    /// A stream of items begins; false if its caller is gone already.
    pub(crate) fn open_stream(&self, id: RequestId, window: u32) -> bool {
        if self.is_closed() {
            return false;
        }
        if self.is_cancelled(id) {
            self.reply_fault(id, &farcall_proto::failure::Rejected::Cancelled.into());
            return false;
        }
        self.with_link(|link| link.open_stream(id, window));
        true
    }

    pub(crate) fn poll_credit(&self, id: RequestId, cx: &Context<'_>) -> Poll<Credit> {
        if self.is_closed() {
            return Poll::Ready(Credit::Cancelled);
        }
        match self.inner.lock().link.poll_credit(id, || cx.waker().clone()) {
            Credit::Wait => Poll::Pending,
            credit => Poll::Ready(credit),
        }
    }

    /// Sends an item.
    pub(crate) fn push_item(&self, id: RequestId, payload: Bytes) -> Pushed {
        if payload.len() > self.reply_bytes_max {
            let (bytes, limit) = (payload.len() as u64, self.reply_bytes_max as u64);
            self.reply_fault(id, &Failed::ReplyTooLarge { bytes, limit }.into());
            return Pushed::Ended;
        }
        let (payload, compressed) = self.packed(payload);
        let sent = self.with_link(|link| link.push_item(id, compressed, body(payload)));
        if sent { Pushed::Sent } else { Pushed::Cancelled }
    }

    /// The end of a stream's items.
    pub(crate) fn end_items(&self, id: RequestId) {
        self.forget_cancelled(id);
        self.with_link(|link| link.reply(id, false, body(Bytes::new())));
    }

    /// The caller gave a request up.
    pub(crate) fn note_cancelled(&self, id: RequestId) {
        // No request has such a slot, and whoever says so must not fill the table with it.
        if id.slot as usize >= self.context.config.in_flight_max {
            return;
        }
        let before = self.cancelled.lock().insert(id.slot, id.generation);
        if before.is_none() {
            self.cancelled_count.fetch_add(1, Ordering::Release);
        }
        self.cancel_noted.notify_waiters();
    }

    /// Whether the caller gave this request up.
    pub(crate) fn is_cancelled(&self, id: RequestId) -> bool {
        self.cancelled_count.load(Ordering::Acquire) > 0
            && self.cancelled.lock().get(&id.slot) == Some(&id.generation)
    }

    /// Resolves when the caller gives this request up, or the connection is gone.
    pub(crate) fn cancelled(&self, id: RequestId) -> futures::future::BoxFuture<'_, ()> {
        Box::pin(async move {
            loop {
                let noted = self.cancel_noted.notified();
                tokio::pin!(noted);
                noted.as_mut().enable();
                if self.is_closed() || self.is_cancelled(id) {
                    return;
                }
                noted.await;
            }
        })
    }

    /// A new request in this slot: what was noted of its last one is void.
    pub(crate) fn forget_cancelled_slot(&self, slot: u32) {
        if self.cancelled_count.load(Ordering::Relaxed) > 0 && self.cancelled.lock().remove(&slot).is_some() {
            self.cancelled_count.fetch_sub(1, Ordering::Release);
        }
    }

    fn forget_cancelled(&self, id: RequestId) {
        if self.is_cancelled(id) {
            self.forget_cancelled_slot(id.slot);
        }
    }

    /// Asks the caller to end the connection.
    pub(crate) fn goodbye(&self, reason: Goodbye) {
        self.with_link(|link| link.goodbye(reason));
    }

    /// Requests not yet answered.
    pub(crate) fn is_quiet(&self) -> bool {
        self.inner.lock().link.is_quiet()
    }

    /// When a request or an answer last passed.
    pub(crate) fn last_used(&self) -> Instant {
        self.inner.lock().last_used
    }

    /// The pump's access: the link, its own waker to leave when it goes to sleep, and the time of use.
    pub(crate) fn pump<R>(
        &self,
        act: impl FnOnce(&mut AcceptorLink<Waker>, &mut Option<Waker>, &mut Instant) -> R,
    ) -> R {
        let mut inner = self.inner.lock();
        let Inner { link, sleeping, last_used } = &mut *inner;
        act(link, sleeping, last_used)
    }

    /// Since when it is up, and how much went through.
    pub(crate) fn flow(&self) -> &Flow {
        &self.flow
    }

    /// Requests not yet answered, bytes not yet written, and what else is known of it now.
    pub(crate) fn load(&self, now: Instant) -> Load {
        let inner = self.inner.lock();
        Load {
            in_flight: inner.link.in_flight(),
            unsent_bytes: inner.link.unsent_bytes(),
            ticks_missed: inner.link.ticks_missed(now),
            traffic: inner.link.traffic(),
        }
    }

    /// The connection is gone.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        let mut woken = Vec::new();
        {
            let mut inner = self.inner.lock();
            inner.link.handle_lost();
            inner.link.poll_woken(&mut woken);
        }
        self.cancel_noted.notify_waiters();
        woken.into_iter().for_each(Waker::wake);
    }

    /// Whether the connection is gone.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }
}
