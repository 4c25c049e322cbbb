//! Real nodes on real loopback sockets, in one binary.

#![allow(missing_docs, unreachable_pub, reason = "tests are read, not documented as an API")]
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that is wrong about its own data should fail loudly"
)]

mod fixture;

mod actors;

mod proxy;

mod smoke;

mod calls;

mod casts;

mod promises;

mod many;

mod keys;

mod connections;

mod versions;

mod access;

mod compression;

mod addresses;

mod handshake;

mod streams;

mod local;

mod references;

mod describe;

mod wait_for;

mod drain;

mod guarantees;

mod k_cases;
