//! The cluster runtime for actix: give an actor a name, and call it from any node.

#[allow(unused_extern_crates, reason = "the macros write `::farcall::` paths, which must also work in here")]
extern crate self as farcall;

pub mod message;

pub use farcall_derive::{RemoteActor, data, message};
pub use message::{Answer, DecodeError, EncodeError, MessageInfo, OlderLayout, RemoteMessage, Value};

/// What the macros need from other crates, so that users need only `farcall` and `actix`.
#[doc(hidden)]
pub mod __private {
    pub use actix;
    pub use postcard;
    pub use postcard_schema;
    pub use serde;
}
mod cookie;

pub use cookie::{CookieFile, CookieFileError};
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
