//! Who waits for room: in the order they came, until there is some or they stop waiting.

use std::collections::BTreeMap;

/// A place among those who wait for room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoomTicket(u64);

/// Those who wait. Bounded by its callers: each is a caller that waits, and one that stops waiting leaves.
#[derive(Debug)]
pub(super) struct Room<T> {
    waiting: BTreeMap<u64, T>,
    next: u64,
}

impl<T> Room<T> {
    pub(super) fn new() -> Self {
        Self { waiting: BTreeMap::new(), next: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn enter(&mut self, token: T) -> RoomTicket {
        let number = self.next;
        self.next += 1;
        self.waiting.insert(number, token);
        RoomTicket(number)
    }

    pub(super) fn leave(&mut self, ticket: RoomTicket) -> Option<T> {
        self.waiting.remove(&ticket.0)
    }

    /// The first `count` of them: to wake more than can have a slot would wake them for nothing, again and again.
    pub(super) fn take(&mut self, count: usize, out: &mut Vec<T>) {
        for _ in 0..count {
            let Some((_, token)) = self.waiting.pop_first() else { return };
            out.push(token);
        }
    }
}
