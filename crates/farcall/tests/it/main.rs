//! Real nodes on real loopback sockets, in one binary.

#![allow(missing_docs, unreachable_pub, reason = "tests are read, not documented as an API")]

mod fixture;
mod review;
mod smoke;
mod stress;
