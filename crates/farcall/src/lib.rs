//! The cluster runtime for actix: give an actor a name, and call it from any node.

mod access;

pub use access::{AccessError, AccessList, AccessMode, RESERVED_ACTOR};
