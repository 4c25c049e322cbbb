//! Two links in virtual time: what a caller may rely on, whatever the pipe does.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that panics has failed, as it should"
)]

#[path = "../support/mod.rs"]
mod support;

mod limits;
mod loss;
mod order;
mod streams;
mod time;
mod tokens;
mod traces;
