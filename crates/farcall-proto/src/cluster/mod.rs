//! What nodes know of each other, as values.
//!
//! - [`members`]: who is there, told by the connections that are up.
//! - [`signals`]: who is told when an actor ends: monitors and links.
//! - [`spawns`]: actors that were started for a peer, once, and as long as it is there.

pub mod members;
pub mod signals;
pub mod spawns;
