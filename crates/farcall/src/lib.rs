//! The cluster runtime for actix: give an actor a name, and call it from any node.
//!
//! An actix application stays as it is. Its messages get [`#[farcall::message]`](macro@message), its actors
//! [`#[derive(RemoteActor)]`](macro@RemoteActor) and a name; other processes and machines that hold the same cookie,
//! and over TLS a certificate for their name, can then call them. A caller always learns what happened, in bounded time: it ran, it surely did not run, it was
//! refused, or nobody can say.
//!
//! ```
//! use std::net::SocketAddr;
//!
//! use actix::prelude::*;
//! use farcall::prelude::*;
//!
//! #[farcall::message(result = u64)]
//! struct Add {
//!     amount: u64,
//! }
//!
//! #[derive(Default, RemoteActor)]
//! #[remote(Add)] // exactly what other nodes may send
//! struct Counter {
//!     total: u64,
//! }
//!
//! impl Actor for Counter {
//!     type Context = Context<Self>;
//! }
//!
//! impl Handler<Add> for Counter {
//!     type Result = u64;
//!     fn handle(&mut self, add: Add, _: &mut Context<Self>) -> u64 {
//!         self.total += add.amount;
//!         self.total
//!     }
//! }
//!
//! #[actix::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     // Two nodes in one process; on two machines each has its own `main`, and the cookie is in a file.
//!     let cookie = farcall::Cookie::new(b"an example cookie, 16 bytes or more")?;
//!     let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
//!     let beta = Node::builder("beta@127.0.0.1").listen([any_port]).cookie(cookie.clone()).start().await?;
//!     let _guard = beta.register("counter", Counter::default().start())?;
//!
//!     let at = beta.listening_on()[0].to_string();
//!     let alpha = Node::builder("alpha@127.0.0.1").no_listener().node("beta@127.0.0.1", at).cookie(cookie);
//!     let alpha = alpha.start().await?;
//!
//!     let target: Target = "beta@127.0.0.1".parse()?;
//!     assert_eq!(alpha.call(&target, "counter", Add { amount: 42 }).await?, 42);
//!
//!     let error = alpha.call(&target, "nobody", Add { amount: 1 }).await.unwrap_err();
//!     assert_eq!(error.class(), Class::Rejected);
//!     assert!(!error.may_have_run());
//!     Ok(())
//! }
//! ```
//!
//! # Where to go on
//!
//! - [`Node`] is the handle for everything: names, calls, casts, streams, other nodes, metrics, shutdown.
//! - [`NodeBuilder`] and [`Config`] start one; [`manual::configuration`] has every setting.
//! - [`CallError`] is what a caller gets in place of an answer; [`manual::semantics`] explains every reason.
//! - [`message`](mod@message) is about messages on the wire; [`manual::messages`] about changing them while nodes run.
//! - [`manual`] is the manual: quick start, operations, security, protocol, and pages for those who come from gen_rpc,
//!   Erlang, Elixir or plain actix.
//!
//! # What it needs
//!
//! A Unix system, and an actix arbiter to start a node on. One TCP port if the node is to be called.
//!
//! The one feature is `tracing`, off by default: traces that go on across nodes, with the `tracing` crate; see the module `trace`.

#[allow(unused_extern_crates, reason = "the macros write `::farcall::` paths, which must also work in here")]
extern crate self as farcall;

// Layer 0: words, settings and what a message is.
mod access;
mod backoff;
mod binding;
mod clock;
mod compress;
pub mod config;
mod cookie;
pub mod discovery;
mod driver;
pub mod error;
mod heartbeat;
mod items;
mod log_switch;
mod logging;
pub mod manual;
pub mod message;
mod metrics;
mod recent;
mod socket;
mod spare;
mod tally;
// Layer 1: names, answers, and the pump.
mod answer;
mod backlog;
mod batch;
mod context;
mod flow;
mod handshaking;
mod held;
mod members;
mod order;
mod port;
mod registry;
mod tls;
#[cfg(not(feature = "tracing"))]
mod trace;
#[cfg(feature = "tracing")]
pub mod trace;
mod transport;
mod turns;
mod wire;
// Layer 2: one connection of each kind.
mod acceptor;
mod client;
mod conn;
mod dispatch;
mod namesakes;
// Layer 3: many connections.
mod dispatcher;
mod door;
mod listener;
// Layer 4: the verbs.
pub mod rpc;
// Layer 5: who is on this host, and what nodes know of each other.
pub mod cluster;
pub mod inspect;
mod portmap;
pub mod services;
// Layer 6: the whole public face.
mod node;

pub use access::{AccessError, AccessList, AccessMode, RESERVED_ACTOR};
pub use batch::{Batch, Entry, RemoteActor, Run};
pub use compress::{Compress, CompressError};
pub use config::{Config, ConfigError};
pub use cookie::{CookieFile, CookieFileError};
pub use discovery::{Address, Chain, Discovery, DiscoveryError, FileMap, NameAtHost, PortMapper, StaticMap};
pub use driver::Driver;
pub use error::CallError;
pub use farcall_derive::{RemoteActor, data, message};
pub use farcall_proto::identity::CertificateNames;
pub use farcall_proto::link::handshake::{Cookie, CookieError, Keyring, KeyringError};
pub use farcall_proto::peer::{Incarnation, Key, NameError, NodeName, Target};
pub use items::{ItemSendError, ItemSender, Items};
pub use log_switch::{LogSwitch, LogSwitchError};
pub use message::{Answer, DecodeError, EncodeError, MessageInfo, OlderLayout, RemoteMessage, Value};
pub use metrics::{Metric, MetricKind, MetricsSnapshot};
pub use node::{
    ActorDescription, Layout, MessageDescription, NameGuard, Node, NodeBuilder, NodeDescription, StartError,
};
pub use registry::RegisterError;
pub use rpc::{Acked, All, Promise, Remote, RemoteStream};
pub use tls::{TlsError, TlsMaterial};

/// What most programs use, for `use farcall::prelude::*;` beside `use actix::prelude::*;`.
pub mod prelude {
    pub use crate::error::{CallError, Class};
    pub use crate::rpc::{Acked, All, Promise, Remote, RemoteStream};
    pub use crate::{Config, Items, NameGuard, Node, NodeName, RemoteActor, RemoteMessage, Target};
}

/// What the macros need from other crates, so that users need only `farcall` and `actix`.
#[doc(hidden)]
pub mod __private {
    pub use std::vec::Vec;

    pub use crate::batch::{Choose, Otherwise};
    pub use actix;
    pub use bytes::Bytes;
    pub use postcard;
    pub use postcard_schema;
    pub use serde;
}

/// The code in the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
mod readme {}
