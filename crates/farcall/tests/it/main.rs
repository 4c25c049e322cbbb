//! Real nodes on real loopback sockets, in one binary.

#![allow(missing_docs, unreachable_pub, reason = "tests are read, not documented as an API")]

mod fixture;
mod heartbeat;
mod one_at_a_time;
mod review;
mod smoke;
