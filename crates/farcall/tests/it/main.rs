//! Real nodes on real loopback sockets, in one binary.

mod fixture;
mod smoke;
