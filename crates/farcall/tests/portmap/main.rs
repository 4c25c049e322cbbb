//! The port mapper, with real nodes, real processes, and the real epmd.
//!
//! Every test has a mapper's port and a range of its own, on loopback, and none has 4369: what runs on this machine is left
//! alone.

#![allow(missing_docs, unreachable_pub, reason = "tests are read, not documented as an API")]
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that panics has failed, as it should"
)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a process tells its parent that it runs")]

mod epmd;
mod fixture;
mod hostile;
mod names;
mod takeover;
mod users;
