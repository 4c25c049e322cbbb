//! What happens when things break: real processes on loopback that are killed, frozen, flooded and lied to.
//!
//! A peer is this very binary, started again (see `process.rs`). Times are measured with the slack that `fixture::SLACK`
//! names, because the machine that runs the tests may be busy with others.

#![allow(missing_docs, unreachable_pub, reason = "tests are read, not documented as an API")]

mod actors;
mod deaths;
mod fixture;
mod flood;
mod freezes;
mod hostile;
mod pressure;
mod process;
mod secrets;
mod strangers;
