//! What a lost connection means for what was queued on it.

use std::sync::Arc;

use super::outbox::{Place, Written};
use crate::failure::{Failure, NotSent, Unknown};

/// How a connection was lost.
#[derive(Debug)]
pub(super) struct Lost {
    /// Told to those of whom no byte was written.
    pub(super) unsent: NotSent,
    /// Told to the others.
    pub(super) cause: Arc<str>,
    pub(super) written: Written,
}

impl Lost {
    /// What the loss means for a frame queued at this place.
    pub(super) fn fate(&self, place: Place) -> Failure {
        if self.written.includes(place) {
            Unknown::LinkLost(self.cause.clone()).into()
        } else {
            self.unsent.clone().into()
        }
    }
}
