//! The cluster runtime for actix: give an actor a name, and call it from any node.

#[allow(unused_extern_crates, reason = "the macros write `::farcall::` paths, which must also work in here")]
extern crate self as farcall;

// Layer 0: words, settings and what a message is.
mod access;
mod backoff;
mod binding;
mod compress;
pub mod config;
mod cookie;
pub mod discovery;
pub mod error;
mod heartbeat;
mod items;
mod logging;
pub mod message;
mod metrics;
mod socket;
// Layer 1: names, answers, and the pump.
mod answer;
mod backlog;
mod batch;
mod context;
mod handshaking;
mod port;
mod registry;
mod transport;
// Layer 2: one connection of each kind.
mod acceptor;
mod client;
mod conn;
mod dispatch;
// Layer 3: many connections.
mod dispatcher;
mod listener;
// Layer 4: the verbs.
pub mod rpc;
// Layer 6: the whole public face.
mod node;

pub use access::{AccessError, AccessList, AccessMode, RESERVED_ACTOR};
pub use batch::{Batch, Entry, RemoteActor, Run};
pub use compress::{Compress, CompressError};
pub use config::{Config, ConfigError};
pub use cookie::{CookieFile, CookieFileError};
pub use discovery::{Address, Chain, Discovery, DiscoveryError, FileMap, NameAtHost, StaticMap};
pub use error::CallError;
pub use farcall_derive::{RemoteActor, data, message};
pub use farcall_proto::link::handshake::{Cookie, CookieError, Keyring, KeyringError};
pub use farcall_proto::peer::{Incarnation, Key, NameError, NodeName, Target};
pub use items::{ItemSendError, ItemSender, Items};
pub use message::{Answer, DecodeError, EncodeError, MessageInfo, OlderLayout, RemoteMessage, Value};
pub use metrics::MetricsSnapshot;
pub use node::{
    ActorDescription, MessageDescription, NameGuard, Node, NodeBuilder, NodeDescription, StartError,
};
pub use registry::RegisterError;
pub use rpc::{Acked, All, Promise, Remote, RemoteStream};

/// What most programs use, for `use farcall::prelude::*;` beside `use actix::prelude::*;`.
pub mod prelude {
    pub use crate::error::{CallError, Class};
    pub use crate::rpc::{Acked, All, Promise, Remote, RemoteStream};
    pub use crate::{Config, Items, NameGuard, Node, NodeName, RemoteActor, RemoteMessage, Target};
}

/// What the macros need from other crates, so that users need only `farcall` and `actix`.
#[doc(hidden)]
pub mod __private {
    pub use actix;
    pub use postcard;
    pub use postcard_schema;
    pub use serde;
}

/// The code in the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
mod readme {}
