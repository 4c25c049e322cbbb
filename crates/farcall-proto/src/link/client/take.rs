//! How callers take what came in for them.

use super::ClientLink;
use crate::failure::NotSent;
use crate::link::frame;
use crate::link::requests::{Arrival, NextItem, Outcome, Ticket};

impl<T> ClientLink<T> {
    /// Puts what came in into `arrival`, once; until then `refresh` may replace the waiting token.
    pub fn poll_arrival(
        &mut self,
        ticket: Ticket,
        arrival: &mut Arrival,
        refresh: impl FnOnce(&mut T),
    ) -> bool {
        if !self.requests.knows(ticket) {
            arrival.fail(NotSent::AlreadyTaken);
            return true;
        }
        let arrived = self.requests.poll(ticket, arrival, refresh);
        if arrived {
            self.wake_for_room();
        }
        arrived
    }

    /// As [`ClientLink::poll_arrival`], as a value of its own.
    pub fn poll_outcome(&mut self, ticket: Ticket, refresh: impl FnOnce(&mut T)) -> Option<Outcome> {
        let mut arrival = Arrival::EMPTY;
        self.poll_arrival(ticket, &mut arrival, refresh).then(|| arrival.into_outcome())
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
