//! Real nodes on real loopback sockets, in one binary.

#![allow(missing_docs, unreachable_pub, reason = "tests are read, not documented as an API")]
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that is wrong about its own data should fail loudly"
)]

mod fixture;
mod heartbeat;
mod one_at_a_time;
mod review;
mod smoke;
