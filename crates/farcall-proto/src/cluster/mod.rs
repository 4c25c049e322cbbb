//! What nodes know of each other, as values.
//!
//! - [`members`]: who is there, told by the connections that are up.
//! - [`signals`]: who is told when an actor ends: monitors and links.

pub mod members;
pub mod signals;
