//! The verbs: call, cast, async_call, multicall, abcast, sbcast, eval_everywhere, stream, ping.
//!
//! All of them are an exchange (one request, one outcome) or a cast on the connection of their target. A call to this
//! node itself takes the same way, over a loopback that is no socket, and so obeys the same access list, version
//! check, deadline and errors.

mod call;
mod cast;
mod encode;
mod exchange;
mod many;
mod ping;
mod promise;
mod raw;
mod reference;
mod stream;

use std::sync::Arc;

pub(crate) use cast::cast as cast_message;
pub(crate) use exchange::deadline_after;
pub(crate) use many::abcast;
pub(crate) use ping::{ping, probe};

pub use call::{Call, CallFuture};
pub use cast::{Acked, Sent};
pub use many::{AbcastReport, All, MultiCall, Sbcast, SbcastReport, Targets};
pub use promise::Promise;
pub use raw::{RawCall, RawMessage};
pub use reference::Remote;
pub use stream::{OpenStream, RawItems, RemoteStream};

use crate::context::Context;
use crate::dispatcher::Clients;

/// What the verbs need of a node.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) context: Arc<Context>,
    pub(crate) clients: Clients,
}

/// Whom a request is for: an actor's name, with the version it must have, if any (Erlang's `{Module, Version}`).
///
/// ```
/// use farcall::rpc::Named;
///
/// let any: Named<'_> = "counter".into();
/// let recent: Named<'_> = ("counter", "^1.4").into();
/// assert_eq!((any.name, recent.requirement), ("counter", "^1.4"));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Named<'a> {
    /// The registered name.
    pub name: &'a str,
    /// The version it must have, as a semver requirement; empty for any.
    pub requirement: &'a str,
}

impl<'a> From<&'a str> for Named<'a> {
    fn from(name: &'a str) -> Self {
        Self { name, requirement: "" }
    }
}

impl<'a> From<&'a String> for Named<'a> {
    fn from(name: &'a String) -> Self {
        Self { name, requirement: "" }
    }
}

impl<'a> From<(&'a str, &'a str)> for Named<'a> {
    fn from((name, requirement): (&'a str, &'a str)) -> Self {
        Self { name, requirement }
    }
}
