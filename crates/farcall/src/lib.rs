//! The cluster runtime for actix: give an actor a name, and call it from any node.

mod cookie;

pub use cookie::{CookieFile, CookieFileError};
