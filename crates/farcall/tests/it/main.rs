//! Real nodes on real loopback sockets, in one binary.

#![allow(missing_docs, unreachable_pub, reason = "tests are read, not documented as an API")]
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that is wrong about its own data should fail loudly"
)]

mod access;
mod actors;
mod addresses;
mod calls;
mod casts;
mod compression;
mod connections;
mod describe;
mod drain;
mod fixture;
mod frozen;
mod groups;
mod guarantees;
mod handshake;
mod heartbeat;
mod inspect;
mod k_cases;
mod keys;
mod local;
#[path = "../support/log_lines.rs"]
mod log_lines;
mod many;
mod monitors;
mod namesakes;
mod nodes;
mod one_at_a_time;
mod payloads;
#[path = "../support/pki.rs"]
mod pki;
mod promises;
mod proxy;
mod raw;
mod references;
mod review;
mod services;
mod smoke;
mod spawns;
mod streams;
mod stress;
#[cfg(feature = "tracing")]
mod tracing;
mod versions;
mod wait_for;
