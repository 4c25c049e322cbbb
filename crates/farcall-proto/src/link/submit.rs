//! What a caller hands in.

use std::time::Instant;

use super::frame::NO_DEADLINE;
use super::outbox::Body;
use super::routes::RouteKey;
use crate::trace::TraceContext;

/// One request to submit.
#[derive(Debug)]
pub struct Submit<'a> {
    /// What kind of answer is wanted.
    pub kind: SubmitKind,
    /// Actor and message.
    pub route: RouteKey<'a>,
    /// The encoded message.
    pub body: Body<'a>,
    /// Whether it is compressed.
    pub compressed: bool,
    /// The trace that it belongs to.
    pub trace: Option<&'a TraceContext>,
    /// When the caller stops waiting.
    pub deadline: Option<Instant>,
}

/// What kind of answer a request wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubmitKind {
    /// One value.
    Call,
    /// Accepted by the mailbox.
    Deliver,
    /// Many items, with this first credit in bytes.
    Open {
        /// The first credit.
        window: u32,
    },
}

/// What is left of the time until a deadline, as a frame says it.
pub(super) fn left_ms(deadline: Option<Instant>, now: Instant) -> u32 {
    deadline.map_or(NO_DEADLINE, |deadline| {
        let left = deadline.saturating_duration_since(now).as_millis();
        u32::try_from(left).unwrap_or(NO_DEADLINE).min(NO_DEADLINE - 1)
    })
}
