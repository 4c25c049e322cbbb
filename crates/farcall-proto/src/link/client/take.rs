//! How callers take what came in for them.

use super::ClientLink;
use crate::failure::NotSent;
use crate::link::frame;
use crate::link::requests::{Arrived, InlineBytes, NextItem, Outcome, Ticket};

impl<T> ClientLink<T> {
    /// What came in, once; until then `refresh` may replace the waiting token. A small answer is copied to `place`.
    pub fn poll_arrived(
        &mut self,
        ticket: Ticket,
        place: &mut InlineBytes,
        refresh: impl FnOnce(&mut T),
    ) -> Option<Arrived> {
        if !self.requests.knows(ticket) {
            return Some(Arrived::Other(Box::new(Outcome::Failure(NotSent::AlreadyTaken.into()))));
        }
        let arrived = self.requests.poll(ticket, place, refresh);
        if arrived.is_some() {
            self.wake_for_room();
        }
        arrived
    }

    /// As [`ClientLink::poll_arrived`], as a value of its own.
    pub fn poll_outcome(&mut self, ticket: Ticket, refresh: impl FnOnce(&mut T)) -> Option<Outcome> {
        let mut place = InlineBytes::EMPTY;
        self.poll_arrived(ticket, &mut place, refresh).map(|arrived| arrived.into_outcome(&place))
    }

    /// The next item of a stream; `token` is asked for if there is none yet. After the end the ticket is done.
    pub fn poll_item(&mut self, ticket: Ticket, token: impl FnOnce() -> T) -> NextItem {
        let Some(next) = self.requests.next_item(ticket, token) else {
            return NextItem::End(Outcome::Failure(NotSent::AlreadyTaken.into()));
        };
        match &next {
            NextItem::Item { credit, .. } if *credit > 0 && self.lost.is_none() => {
                let credit = *credit;
                self.outbox.control(|out| frame::write_credit(ticket.0, credit, out));
            }
            NextItem::End(_) => {
                self.requests.cancel(ticket);
                self.wake_for_room();
            }
            NextItem::Item { .. } | NextItem::Opened | NextItem::Pending => {}
        }
        next
    }
}
