//! The port mapper of this host: this node's name is in it for as long as the node lives, and this node serves it if nobody does.
//!
//! ```text
//! node ── PortMap ── thread farcall-portmap ── keep      who serves? (decided by farcall-proto's TakeOver)
//!                                                 ├── serve      look-ups, lists, registrations of others
//!                                                 └── register   at another node's mapper, or at epmd
//! ```
//! A thread of its own: whoever looks for a node of this host must not wait for an arbiter of this one that is busy.

mod keep;
mod register;
mod serve;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use farcall_proto::portmap::{Mark, Name, Presence, Wanted};
use futures::future::{Either, select};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::Builder;
use tokio::sync::oneshot;

use self::keep::Keeper;
use crate::context::Context;
use crate::discovery::Address;

/// This node's name in the mapper. Dropped, the name is free a moment later.
#[derive(Debug)]
pub(crate) struct PortMap {
    /// Dropped, it ends the thread.
    _on: oneshot::Sender<()>,
    /// Ends when the name is free and nothing is listened on.
    freed: oneshot::Receiver<()>,
}

/// Why this node's name is in no mapper.
#[derive(Debug, Error)]
pub(crate) enum NotRegistered {
    #[error("{0}")]
    NameInUse(String),
    #[error("{0}")]
    Refused(String),
    #[error(transparent)]
    System(#[from] io::Error),
}

impl PortMap {
    /// Registers this node, which listens on this port, and keeps it registered.
    pub(crate) async fn start(context: &Arc<Context>, port: u16, tls: bool) -> Result<Self, NotRegistered> {
        let mark = Mark { tls, pid: std::process::id() };
        let wanted = Wanted { name: Name::from(&context.name), presence: Presence { port, mark } };
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (on, off) = oneshot::channel::<()>();
        let (free, freed) = oneshot::channel::<()>();
        let (tell, told) = oneshot::channel();
        let mut keeper = Keeper::new(context.clone(), wanted);
        std::thread::Builder::new().name("farcall-portmap".to_owned()).spawn(move || {
            runtime.block_on(async {
                let ended = {
                    let keeping = std::pin::pin!(keeper.keep(tell));
                    matches!(select(off, keeping).await, Either::Left(_))
                };
                if ended {
                    keeper.release().await;
                }
            });
            // Closes what is listened on; a host name that is being looked up must not hold it up.
            runtime.shutdown_timeout(Duration::ZERO);
            drop(free);
        })?;
        match told.await {
            Ok(Ok(())) => Ok(Self { _on: on, freed }),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(io::Error::other("the thread of the port mapper ended").into()),
        }
    }

    /// Takes the name out, and ends the mapper if this node serves it. Another may have both when this returns.
    pub(crate) async fn stop(self) {
        let Self { _on: on, freed } = self;
        drop(on);
        // It ends with an error: that it ends is what it says.
        let _ = freed.await;
    }
}

/// Where the mapper of this host is asked.
fn own_mapper(context: &Context) -> Result<Address, io::Error> {
    let mapper = &context.config.mapper;
    Address::new(mapper.own_ip().to_string(), mapper.port).map_err(io::Error::other)
}

/// The socket of nodes of one user, beside the mapper's port: an abstract one of Linux. It belongs to a network namespace
/// as ports do, so the mapper of a container is not that of its host, and it leaves no file behind when a node is killed.
/// There are no permissions on it: each side looks at the user of the other instead.
#[cfg(target_os = "linux")]
fn socket_name(context: &Context) -> String {
    format!("\0farcall-portmap-{}", context.config.mapper.port)
}

/// Whether the process at the other end is of our user or of root's.
#[cfg(target_os = "linux")]
fn is_ours(stream: &tokio::net::UnixStream) -> io::Result<bool> {
    let peer = stream.peer_cred()?.uid();
    // Asks the system who we are, without another dependency for it.
    let (own, _other) = tokio::net::UnixStream::pair()?;
    Ok(peer == 0 || peer == own.peer_cred()?.uid())
}

/// A connection of either kind.
trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}
