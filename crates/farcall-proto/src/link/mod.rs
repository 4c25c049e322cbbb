//! One connection as a value.

pub mod handshake;
