//! The protocol of farcall as values: it decides, and does nothing.
//!
//! No sockets, no clock, no randomness and no actors live here: bytes, instants and nonces come in as
//! arguments, and bytes and events go out as results. That is what makes every rule of the protocol testable
//! in virtual time.

pub mod failure;
pub mod link;
pub mod peer;
