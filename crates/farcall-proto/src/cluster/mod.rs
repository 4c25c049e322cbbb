//! What nodes know of each other, as values.
//!
//! - [`members`]: who is there, told by the connections that are up.

pub mod members;
