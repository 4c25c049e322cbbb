//! The caller's table of requests without an answer: a slab with generations.
//!
//! A reply finds its slot by index; the generation tells a late reply from one to the slot's next user. Small
//! answers stay in the slot, so an answered call allocates nothing. The caller's token (its waker) sits in the
//! slot and comes back exactly once: with the answer, with the failure, or when the caller cancels.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;

use super::frame::RequestId;
use super::outbox::Place;
use crate::failure::Failure;

/// The caller's claim to one answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket(pub(super) RequestId);

/// The bytes of an answer.
#[derive(Debug, Clone)]
pub enum Answer {
    /// Small: in the slot itself.
    Inline {
        /// The bytes, the first `len` of them.
        bytes: [u8; INLINE_BYTES],
        /// How many.
        len: u8,
    },
    /// Larger.
    Shared(Bytes),
}

/// Answers up to this size stay in the slot.
const INLINE_BYTES: usize = 94;

impl Answer {
    /// Copies a small answer into the slot, a larger one to the heap.
    pub fn copy(payload: &[u8]) -> Self {
        match u8::try_from(payload.len()) {
            Ok(len) if payload.len() <= INLINE_BYTES => {
                let mut bytes = [0; INLINE_BYTES];
                if let Some(place) = bytes.get_mut(..payload.len()) {
                    place.copy_from_slice(payload);
                }
                Self::Inline { bytes, len }
            }
            _ => Self::Shared(Bytes::copy_from_slice(payload)),
        }
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Self::Inline { bytes, len } => bytes.get(..usize::from(*len)).unwrap_or_default(),
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

/// One slot of the table.
#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    deadline: Option<Instant>,
    place: Place,
    state: State<T>,
}

#[derive(Debug)]
enum State<T> {
    Free { next: Option<u32> },
    Waiting(T),
    Done { outcome: Outcome, since: Instant },
    Items(Box<ItemQueue<T>>),
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
    max: usize,
    earliest: Option<Instant>,
}

impl<T> Requests<T> {
    pub(super) fn new(max: usize) -> Self {
        Self { slots: Vec::new(), free: None, live: 0, max, earliest: None }
    }

    pub(super) fn limit(&mut self, max: usize) {
        self.max = self.max.min(max);
    }

    pub(super) fn max(&self) -> usize {
        self.max
    }

    /// Requests without an answer, and answers nobody took yet.
    pub(super) fn live(&self) -> usize {
        self.live
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

    pub(super) fn insert(&mut self, place: Place, deadline: Option<Instant>, token: T) -> RequestId {
        self.insert_state(place, deadline, State::Waiting(token))
    }

    pub(super) fn insert_items(
        &mut self,
        place: Place,
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
        self.insert_state(place, deadline, State::Items(Box::new(queue)))
    }

    fn insert_state(&mut self, place: Place, deadline: Option<Instant>, state: State<T>) -> RequestId {
        let id = self.next_id();
        if let Some(deadline) = deadline {
            self.earliest = Some(self.earliest.map_or(deadline, |earliest| earliest.min(deadline)));
        }
        self.live += 1;
        match self.slots.get_mut(id.slot as usize) {
            Some(slot) => {
                if let State::Free { next } = slot.state {
                    self.free = next;
                }
                slot.deadline = deadline;
                slot.place = place;
                slot.state = state;
            }
            None => self.slots.push(Slot { generation: 0, deadline, place, state }),
        }
        id
    }

    fn slot(&mut self, id: RequestId) -> Option<&mut Slot<T>> {
        self.slots.get_mut(id.slot as usize).filter(|slot| slot.generation == id.generation)
    }

    /// Stores the outcome; gives the token back. None for a late answer: its caller was already told otherwise.
    pub(super) fn complete(&mut self, id: RequestId, outcome: Outcome, now: Instant) -> Option<T> {
        let slot = self.slot(id)?;
        match &mut slot.state {
            State::Waiting(_) => {
                slot.deadline = None;
                let before = std::mem::replace(&mut slot.state, State::Done { outcome, since: now });
                match before {
                    State::Waiting(token) => Some(token),
                    _ => None,
                }
            }
            State::Items(queue) if queue.end.is_none() => {
                slot.deadline = None;
                queue.end = Some(outcome);
                queue.token.take()
            }
            _ => None,
        }
    }

    /// The outcome if it is there (the slot is free again), else shows the waiting token.
    pub(super) fn poll(&mut self, ticket: Ticket, refresh: impl FnOnce(&mut T)) -> Option<Outcome> {
        let slot = self.slot(ticket.0)?;
        match &mut slot.state {
            State::Waiting(token) => {
                refresh(token);
                None
            }
            State::Done { .. } => match self.release(ticket.0) {
                Some(State::Done { outcome, .. }) => Some(outcome),
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether the ticket still stands for a slot (an answer nobody took may have been dropped by its time limit).
    pub(super) fn knows(&mut self, ticket: Ticket) -> bool {
        self.slot(ticket.0).is_some()
    }

    fn release(&mut self, id: RequestId) -> Option<State<T>> {
        let free = self.free;
        let slot = self.slot(id)?;
        slot.generation = slot.generation.wrapping_add(1);
        slot.deadline = None;
        let state = std::mem::replace(&mut slot.state, State::Free { next: free });
        self.free = Some(id.slot);
        self.live -= 1;
        Some(state)
    }

    /// Gives a request up. The place tells where it was queued, if it was not answered yet.
    pub(super) fn cancel(&mut self, ticket: Ticket) -> Option<(Option<Place>, Option<T>)> {
        let place = self.slot(ticket.0).map(|slot| slot.place)?;
        match self.release(ticket.0)? {
            State::Waiting(token) => Some((Some(place), Some(token))),
            State::Items(queue) => Some((queue.end.is_none().then_some(place), queue.token)),
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
        self.earliest
    }

    /// Requests whose deadline passed, with the place where each was queued. Looks at all slots, so at most once
    /// per earliest deadline.
    pub(super) fn expired(&mut self, now: Instant, out: &mut Vec<(RequestId, Place)>) {
        if self.earliest.is_none_or(|earliest| now < earliest) {
            return;
        }
        self.earliest = None;
        for (index, slot) in self.slots.iter().enumerate() {
            let Some(deadline) = slot.deadline else { continue };
            if deadline <= now {
                // Bounded by in_flight_max, which fits.
                let index = u32::try_from(index).unwrap_or(u32::MAX);
                out.push((RequestId { slot: index, generation: slot.generation }, slot.place));
            } else {
                self.earliest = Some(self.earliest.map_or(deadline, |earliest| earliest.min(deadline)));
            }
        }
    }

    /// Frees answers that nobody took since before `cutoff`.
    pub(super) fn drop_unclaimed(&mut self, cutoff: Instant) {
        for index in 0..self.slots.len() {
            let Some(slot) = self.slots.get(index) else { continue };
            if matches!(slot.state, State::Done { since, .. } if since <= cutoff) {
                let slot_number = u32::try_from(index).unwrap_or(u32::MAX);
                let id = RequestId { slot: slot_number, generation: slot.generation };
                self.release(id);
            }
        }
    }

    /// Every request that waits for an answer.
    pub(super) fn waiting(&self, out: &mut Vec<(RequestId, Place)>) {
        for (index, slot) in self.slots.iter().enumerate() {
            let waits = match &slot.state {
                State::Waiting(_) => true,
                State::Items(queue) => queue.end.is_none(),
                State::Free { .. } | State::Done { .. } => false,
            };
            if waits {
                let index = u32::try_from(index).unwrap_or(u32::MAX);
                out.push((RequestId { slot: index, generation: slot.generation }, slot.place));
            }
        }
    }
}

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
mod tests {
    use super::*;
    use std::time::Duration;

    const PLACE: Place = Place::Segment(0);

    fn answered(bytes: &[u8]) -> Outcome {
        Outcome::Answered { answer: Answer::copy(bytes), compressed: false }
    }

    #[test]
    fn a_late_reply_never_reaches_the_next_user_of_its_slot() {
        let now = Instant::now();
        let mut table = Requests::new(10);
        let first = table.insert(PLACE, None, "first");
        assert!(table.cancel(Ticket(first)).is_some());
        let second = table.insert(PLACE, None, "second");
        assert_eq!(first.slot, second.slot);
        assert_eq!(table.complete(first, answered(b"late"), now), None);
        assert_eq!(table.complete(second, answered(b"own"), now), Some("second"));
        let Some(Outcome::Answered { answer, .. }) = table.poll(Ticket(second), |_| ()) else { panic!() };
        assert_eq!(answer.as_slice(), b"own");
        assert_eq!(table.live(), 0);
    }

    #[test]
    fn a_token_comes_back_exactly_once() {
        let now = Instant::now();
        let mut table = Requests::new(10);
        let id = table.insert(PLACE, None, 7);
        assert_eq!(table.complete(id, answered(b""), now), Some(7));
        assert_eq!(table.complete(id, answered(b""), now), None);
        assert!(table.poll(Ticket(id), |_| ()).is_some());
        assert!(!table.knows(Ticket(id)));
    }

    #[test]
    fn only_the_requests_whose_deadline_passed_expire() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut table = Requests::new(10);
        let soon = table.insert(PLACE, Some(at(10)), ());
        table.insert(PLACE, Some(at(50)), ());
        table.insert(PLACE, None, ());
        let mut expired = Vec::new();
        table.expired(at(9), &mut expired);
        assert!(expired.is_empty());
        table.expired(at(10), &mut expired);
        assert_eq!(expired, [(soon, PLACE)]);
        assert_eq!(table.poll_timeout(), Some(at(50)));
    }

    #[test]
    fn an_answer_nobody_takes_is_dropped_after_its_time() {
        let start = Instant::now();
        let mut table = Requests::new(1);
        let id = table.insert(PLACE, None, ());
        table.complete(id, answered(b"x"), start);
        assert!(table.is_full());
        table.drop_unclaimed(start);
        assert!(!table.is_full() && !table.knows(Ticket(id)));
    }

    #[test]
    fn an_item_without_credit_is_an_error_and_taking_items_gives_credit_back() {
        let mut table = Requests::new(1);
        let id = table.insert_items(PLACE, None, 128, ());
        let item = || Answer::copy(&[0; 64]);
        assert_eq!(table.item(id, item(), false), Ok(Some(())));
        assert_eq!(table.item(id, item(), false), Err(OverCredit));
        let Some(NextItem::Item { credit, .. }) = table.next_item(Ticket(id), || ()) else { panic!() };
        assert_eq!(credit, 128);
        assert_eq!(table.item(id, item(), false), Ok(None));
    }
}
