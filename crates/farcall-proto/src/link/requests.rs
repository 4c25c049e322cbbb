//! The caller's table of requests without an answer: a slab with generations.
//!
//! A reply finds its slot by index; the generation tells a late reply from one to the slot's next user. Small
//! answers stay in the slot, so an answered call allocates nothing. The caller's token (its waker) sits in the
//! slot and comes back exactly once: with the answer, with the failure, or when the caller cancels.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::frame::RequestId;
use super::outbox::Place;
use crate::failure::Failure;

mod arrival;

pub use arrival::Arrival;

/// The caller's claim to one answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket(pub(super) RequestId);

/// The bytes of an answer.
#[derive(Debug, Clone)]
pub enum Answer {
    /// Small: in the slot itself.
    Inline {
        /// The bytes, the first `len` of them.
        bytes: InlineBytes,
        /// How many.
        len: u8,
    },
    /// Larger.
    Shared(Bytes),
}

/// Answers up to this size stay in the slot.
const INLINE_BYTES: usize = 96;

/// Room for a small answer. Aligned, so that copying it costs whole registers.
#[derive(Debug, Clone, Copy)]
#[repr(align(16))]
pub struct InlineBytes([u8; INLINE_BYTES]);

impl InlineBytes {
    /// Room for an answer that has not come.
    pub const EMPTY: Self = Self([0; INLINE_BYTES]);

    /// The first `len` bytes.
    pub fn get(&self, len: u8) -> &[u8] {
        self.0.get(..usize::from(len)).unwrap_or_default()
    }

    /// Takes a small payload in; none if it is not small.
    fn set(&mut self, payload: &[u8]) -> Option<u8> {
        let len = u8::try_from(payload.len()).ok()?;
        self.0.get_mut(..payload.len())?.copy_from_slice(payload);
        Some(len)
    }
}

impl Answer {
    /// Copies a small answer into the slot, a larger one to the heap.
    pub fn copy(payload: &[u8]) -> Self {
        let mut bytes = InlineBytes::EMPTY;
        match bytes.set(payload) {
            Some(len) => Self::Inline { bytes, len },
            None => Self::Shared(Bytes::copy_from_slice(payload)),
        }
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Self::Inline { bytes, len } => bytes.get(*len),
            Self::Shared(bytes) => bytes,
        }
    }
}

/// What became of a request.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// The peer answered.
    Answered {
        /// The encoded value.
        answer: Answer,
        /// Whether it is compressed.
        compressed: bool,
    },
    /// There is no answer.
    Failure(Failure),
}

/// Where a request's fate shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// In its own frame.
    Frame(Place),
    /// In the cast it asks about: what became of the question says nothing about the cast.
    Cast(Place),
    /// Nowhere: a ping cannot be taken back, and nobody minds if it was sent.
    Ping,
}

/// A request that waits for its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pending {
    pub(super) id: RequestId,
    pub(super) origin: Origin,
    pub(super) deadline: Option<Instant>,
}

/// One slot of the table.
#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    deadline: Option<Instant>,
    origin: Origin,
    state: State<T>,
    /// A small answer. It stays where it was copied to until it is copied to whoever decodes it.
    inline: InlineBytes,
}

#[derive(Debug)]
enum State<T> {
    Free { next: Option<u32> },
    Waiting(T),
    Done { arrived: Arrived, since: Instant },
    Items(Box<ItemQueue<T>>),
}

/// What a slot holds until its caller takes it.
#[derive(Debug)]
enum Arrived {
    /// So many bytes in the slot itself.
    Inline {
        len: u8,
        compressed: bool,
    },
    Other(Box<Outcome>),
}

/// The answers of a stream that the application has not taken yet.
#[derive(Debug)]
pub(super) struct ItemQueue<T> {
    pub(super) items: VecDeque<(Answer, bool)>,
    pub(super) end: Option<Outcome>,
    opened: Opening,
    token: Option<T>,
    /// Bytes the peer may still send; one item may overshoot it.
    credit: i64,
    /// Bytes taken and not yet given back as credit.
    taken: u32,
    window: u32,
}

/// Whether the caller knows that its stream is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Opening {
    Awaited,
    Arrived,
    Told,
}

/// What a caller finds when it asks for the next item.
#[derive(Debug)]
pub enum NextItem {
    /// An item, and the credit to grant now (0: none yet).
    Item {
        /// The encoded item.
        answer: Answer,
        /// Whether it is compressed.
        compressed: bool,
        /// Bytes to give back to the peer.
        credit: u32,
    },
    /// The handler accepted the request: items may follow. Told once, before the first item.
    Opened,
    /// The end, good or bad.
    End(Outcome),
    /// Nothing yet.
    Pending,
}

/// The table.
#[derive(Debug)]
pub(super) struct Requests<T> {
    slots: Vec<Slot<T>>,
    free: Option<u32>,
    live: usize,
    /// Those of them without an answer.
    unanswered: usize,
    max: usize,
    earliest: Option<Instant>,
    /// Not before this are the deadlines looked at again.
    next_scan: Option<Instant>,
    /// Not before this is looked for answers that nobody took.
    next_sweep: Option<Instant>,
}

impl<T> Requests<T> {
    pub(super) fn new(max: usize) -> Self {
        let max = max.max(1);
        Self {
            slots: Vec::new(),
            free: None,
            live: 0,
            unanswered: 0,
            max,
            earliest: None,
            next_scan: None,
            next_sweep: None,
        }
    }

    /// The peer takes no more than `max` at once, nor slots numbered above it: those are not used again.
    pub(super) fn limit(&mut self, max: usize) {
        self.max = self.max.min(max).max(1);
        self.free = None;
        for (index, slot) in self.slots.iter_mut().enumerate().take(self.max).rev() {
            if let State::Free { next } = &mut slot.state {
                *next = self.free;
                self.free = u32::try_from(index).ok();
            }
        }
    }

    pub(super) fn max(&self) -> usize {
        self.max
    }

    /// Requests without an answer, and answers nobody took yet.
    #[cfg(test)]
    pub(super) fn live(&self) -> usize {
        self.live
    }

    /// Requests without an answer: what a connection has to stay for. Answers nobody took yet need no connection.
    pub(super) fn unanswered(&self) -> usize {
        self.unanswered
    }

    /// How many more there may be.
    pub(super) fn room(&self) -> usize {
        self.max.saturating_sub(self.live)
    }

    pub(super) fn is_full(&self) -> bool {
        self.live >= self.max
    }

    /// The id that [`Requests::insert`] will use; the caller has checked that the table is not full.
    pub(super) fn next_id(&self) -> RequestId {
        match self.free {
            Some(slot) => {
                let generation = self.slots.get(slot as usize).map_or(0, |slot| slot.generation);
                RequestId { slot, generation }
            }
            // The table is bounded by in_flight_max, which fits.
            None => RequestId { slot: u32::try_from(self.slots.len()).unwrap_or(u32::MAX), generation: 0 },
        }
    }

    pub(super) fn insert(&mut self, origin: Origin, deadline: Option<Instant>, token: T) -> RequestId {
        self.insert_state(origin, deadline, State::Waiting(token))
    }

    pub(super) fn insert_items(
        &mut self,
        origin: Origin,
        deadline: Option<Instant>,
        window: u32,
        token: T,
    ) -> RequestId {
        let queue = ItemQueue {
            items: VecDeque::new(),
            end: None,
            opened: Opening::Awaited,
            token: Some(token),
            credit: i64::from(window),
            taken: 0,
            window,
        };
        self.insert_state(origin, deadline, State::Items(Box::new(queue)))
    }

    fn insert_state(&mut self, origin: Origin, deadline: Option<Instant>, state: State<T>) -> RequestId {
        let id = self.next_id();
        if let Some(deadline) = deadline {
            self.earliest = Some(self.earliest.map_or(deadline, |earliest| earliest.min(deadline)));
        }
        self.live += 1;
        self.unanswered += 1;
        match self.slots.get_mut(id.slot as usize) {
            Some(slot) => {
                if let State::Free { next } = slot.state {
                    self.free = next;
                }
                slot.deadline = deadline;
                slot.origin = origin;
                slot.state = state;
            }
            None => {
                self.slots.push(Slot { generation: 0, deadline, origin, state, inline: InlineBytes::EMPTY });
            }
        }
        id
    }

    fn slot(&mut self, id: RequestId) -> Option<&mut Slot<T>> {
        self.slots.get_mut(id.slot as usize).filter(|slot| slot.generation == id.generation)
    }

    /// Stores the outcome; gives the token back. None for a late answer: its caller was already told otherwise.
    pub(super) fn complete(&mut self, id: RequestId, outcome: Outcome, now: Instant) -> Option<T> {
        match &mut self.slot(id)?.state {
            State::Waiting(_) => self.complete_with(id, now, |inline| match outcome {
                Outcome::Answered { answer: Answer::Inline { bytes, len }, compressed } => {
                    *inline = bytes;
                    Arrived::Inline { len, compressed }
                }
                outcome => Arrived::Other(Box::new(outcome)),
            }),
            State::Items(queue) if queue.end.is_none() => {
                queue.end = Some(outcome);
                let token = queue.token.take();
                self.slot(id)?.deadline = None;
                self.unanswered -= 1;
                token
            }
            _ => None,
        }
    }

    /// As [`Requests::complete`] with an answer, which is copied only once if it is small.
    pub(super) fn answer(
        &mut self,
        id: RequestId,
        payload: &[u8],
        compressed: bool,
        now: Instant,
    ) -> Option<T> {
        if !matches!(self.slot(id)?.state, State::Waiting(_)) || payload.len() > INLINE_BYTES {
            let answer = Answer::copy(payload);
            return self.complete(id, Outcome::Answered { answer, compressed }, now);
        }
        self.complete_with(id, now, |inline| Arrived::Inline {
            len: inline.set(payload).unwrap_or(0),
            compressed,
        })
    }

    /// Ends the wait for a slot's answer.
    fn complete_with(
        &mut self,
        id: RequestId,
        now: Instant,
        arrive: impl FnOnce(&mut InlineBytes) -> Arrived,
    ) -> Option<T> {
        let slot = self.slots.get_mut(id.slot as usize)?;
        let arrived = arrive(&mut slot.inline);
        slot.deadline = None;
        match std::mem::replace(&mut slot.state, State::Done { arrived, since: now }) {
            State::Waiting(token) => {
                self.unanswered -= 1;
                Some(token)
            }
            _ => None,
        }
    }

    /// Puts what has come in into `arrival` (the slot is free again), else shows the waiting token.
    pub(super) fn poll(
        &mut self,
        ticket: Ticket,
        arrival: &mut Arrival,
        refresh: impl FnOnce(&mut T),
    ) -> bool {
        let Some(slot) = self.slot(ticket.0) else { return false };
        match &mut slot.state {
            State::Waiting(token) => {
                refresh(token);
                return false;
            }
            State::Done { arrived: Arrived::Inline { len, compressed }, .. } => {
                (arrival.len, arrival.compressed) = (*len, *compressed);
                arrival.inline = slot.inline;
            }
            State::Done { .. } => {}
            State::Items(_) | State::Free { .. } => return false,
        }
        if let Some(State::Done { arrived: Arrived::Other(outcome), .. }) = self.release(ticket.0) {
            arrival.other = Some(outcome);
        }
        true
    }

    /// Whether the ticket still stands for a slot (an answer nobody took may have been dropped by its time limit).
    pub(super) fn knows(&mut self, ticket: Ticket) -> bool {
        self.slot(ticket.0).is_some()
    }

    fn release(&mut self, id: RequestId) -> Option<State<T>> {
        let (free, usable) = (self.free, (id.slot as usize) < self.max);
        let slot = self.slot(id)?;
        slot.generation = slot.generation.wrapping_add(1);
        slot.deadline = None;
        let state = std::mem::replace(&mut slot.state, State::Free { next: free });
        if usable {
            self.free = Some(id.slot);
        }
        self.live -= 1;
        let answered = match &state {
            State::Waiting(_) => false,
            State::Items(queue) => queue.end.is_some(),
            State::Free { .. } | State::Done { .. } => true,
        };
        self.unanswered -= usize::from(!answered);
        Some(state)
    }

    /// Gives a request up. The origin is there if it was not answered yet.
    pub(super) fn cancel(&mut self, ticket: Ticket) -> Option<(Option<Origin>, Option<T>)> {
        let origin = self.slot(ticket.0).map(|slot| slot.origin)?;
        match self.release(ticket.0)? {
            State::Waiting(token) => Some((Some(origin), Some(token))),
            State::Items(queue) => Some((queue.end.is_none().then_some(origin), queue.token)),
            State::Done { .. } | State::Free { .. } => Some((None, None)),
        }
    }

    /// The peer's handler has accepted a stream. The token, if somebody waits for it.
    pub(super) fn opened(&mut self, id: RequestId) -> Option<T> {
        let slot = self.slot(id)?;
        let State::Items(queue) = &mut slot.state else { return None };
        if queue.opened != Opening::Awaited {
            return None;
        }
        slot.deadline = None;
        queue.opened = Opening::Arrived;
        queue.token.take()
    }

    /// An item of a stream came in. The token, if somebody waits for it.
    ///
    /// # Errors
    /// If the peer had no credit left for it.
    pub(super) fn item(
        &mut self,
        id: RequestId,
        answer: Answer,
        compressed: bool,
    ) -> Result<Option<T>, OverCredit> {
        let Some(slot) = self.slot(id) else { return Ok(None) };
        let State::Items(queue) = &mut slot.state else { return Ok(None) };
        if queue.end.is_some() {
            return Ok(None);
        }
        if queue.credit <= 0 {
            return Err(OverCredit);
        }
        slot.deadline = None;
        queue.credit -= i64::from(credit_cost(answer.as_slice().len()));
        queue.items.push_back((answer, compressed));
        Ok(queue.token.take())
    }

    pub(super) fn next_item(&mut self, ticket: Ticket, token: impl FnOnce() -> T) -> Option<NextItem> {
        let slot = self.slot(ticket.0)?;
        let State::Items(queue) = &mut slot.state else { return None };
        if queue.opened == Opening::Arrived {
            queue.opened = Opening::Told;
            return Some(NextItem::Opened);
        }
        if let Some((answer, compressed)) = queue.items.pop_front() {
            queue.taken = queue.taken.saturating_add(credit_cost(answer.as_slice().len()));
            let credit = if queue.taken >= queue.window / 2 { std::mem::take(&mut queue.taken) } else { 0 };
            queue.credit += i64::from(credit);
            // After the end nobody is there to use it.
            let credit = if queue.end.is_none() { credit } else { 0 };
            return Some(NextItem::Item { answer, compressed, credit });
        }
        if let Some(end) = &queue.end {
            return Some(NextItem::End(end.clone()));
        }
        queue.token = Some(token());
        Some(NextItem::Pending)
    }

    /// When the earliest deadline may pass.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.earliest.map(|earliest| self.next_scan.map_or(earliest, |scan| earliest.max(scan)))
    }

    /// Requests whose deadline passed. Looks at all slots, so the fuller the table the rarer: a deadline is noticed
    /// late by at most [`SCAN_EVERY_PER_SLOT`] for each slot, 26 ms in a table of 65,536.
    pub(super) fn expired(&mut self, now: Instant, out: &mut Vec<Pending>) {
        if self.poll_timeout().is_none_or(|due| now < due) {
            return;
        }
        self.earliest = None;
        // The table is bounded by in_flight_max, which fits.
        let slots = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        self.next_scan = Some(now + SCAN_EVERY_PER_SLOT * slots);
        for (index, slot) in (0..).zip(&mut self.slots) {
            let Some(deadline) = slot.deadline else { continue };
            if deadline <= now {
                out.push(slot.pending(index));
                slot.deadline = None;
            } else {
                self.earliest = Some(self.earliest.map_or(deadline, |earliest| earliest.min(deadline)));
            }
        }
    }

    /// Frees answers that nobody took for `ttl`. Looks at all slots, so at most four times per `ttl`.
    pub(super) fn drop_unclaimed(&mut self, now: Instant, ttl: Duration) {
        if self.next_sweep.is_some_and(|next| now < next) {
            return;
        }
        self.next_sweep = Some(now + ttl / 4);
        for index in 0..u32::try_from(self.slots.len()).unwrap_or(u32::MAX) {
            let Some(slot) = self.slots.get(index as usize) else { continue };
            if matches!(slot.state, State::Done { since, .. } if now.saturating_duration_since(since) >= ttl)
            {
                let id = RequestId { slot: index, generation: slot.generation };
                self.release(id);
            }
        }
    }

    /// Every request that waits for an answer.
    pub(super) fn waiting(&self) -> Vec<Pending> {
        let waits = |slot: &Slot<T>| match &slot.state {
            State::Waiting(_) => true,
            State::Items(queue) => queue.end.is_none(),
            State::Free { .. } | State::Done { .. } => false,
        };
        let waiting = (0..).zip(&self.slots).filter(|(_, slot)| waits(slot));
        waiting.map(|(index, slot)| slot.pending(index)).collect()
    }
}

impl<T> Slot<T> {
    fn pending(&self, slot: u32) -> Pending {
        let id = RequestId { slot, generation: self.generation };
        Pending { id, origin: self.origin, deadline: self.deadline }
    }
}

/// How long the deadlines of a table are left alone after a look at them, for each of its slots: looking takes a few
/// nanoseconds a slot, so that even ever new deadlines cost only a few percent of the time.
const SCAN_EVERY_PER_SLOT: Duration = Duration::from_nanos(400);

/// The peer sent an item it had no credit for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OverCredit;

/// What an item costs: its bytes and what it takes to keep it, so that empty items are bounded too.
pub(super) fn credit_cost(payload_bytes: usize) -> u32 {
    u32::try_from(payload_bytes).unwrap_or(u32::MAX).saturating_add(ITEM_COST)
}

/// Added to the size of each item.
const ITEM_COST: u32 = 64;

#[cfg(test)]
mod tests;
