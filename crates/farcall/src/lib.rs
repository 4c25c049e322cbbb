//! The cluster runtime for actix: give an actor a name, and call it from any node.

mod access;
#[cfg_attr(not(test), expect(dead_code, reason = "the transport calls it"))]
mod compress;
pub mod config;
pub mod discovery;
#[cfg_attr(not(test), expect(dead_code, unused_macros, unused_imports, reason = "the listener logs with it"))]
mod logging;

pub use access::{AccessError, AccessList, AccessMode, RESERVED_ACTOR};
pub use compress::{Compress, CompressError};
pub use config::{Config, ConfigError};
pub use discovery::{Address, Chain, Discovery, DiscoveryError, FileMap, NameAtHost, StaticMap};
