//! What happens when things break: real processes on loopback that are killed, frozen, flooded and lied to.
//!
//! A peer is this very binary, started again (see `process.rs`). Times are measured with the slack that `fixture::SLACK`
//! names, because the machine that runs the tests may be busy with others.

#![allow(missing_docs, unreachable_pub, reason = "tests are read, not documented as an API")]
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that panics has failed, as it should"
)]
#![allow(
    clippy::print_stdout,
    reason = "a peer's process tells its parent on standard output where it listens"
)]

mod actors;
#[path = "../support/anybody.rs"]
mod anybody;
mod by_hand;
mod crowd;
mod deaths;
mod fixture;
mod flood;
mod freezes;
mod hostile;
mod lies;
mod members;
mod namesakes;
#[path = "../support/pki.rs"]
mod pki;
mod pressure;
mod process;
mod secrets;
mod strangers;
