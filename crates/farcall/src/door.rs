//! The door: everything strangers can do happens on a thread of its own, until they have proved who they are.
//!
//! ```text
//! door thread     accept ─▶ gate ─▶ TLS ─▶ cookie ─▶ proved          at most half_open_max at a time
//! node's arbiter                                       └─▶ acceptor actor
//! ```
//! So a flood of connections, or of handshakes that cost a signature each, takes nothing from the arbiter that serves
//! those who are in. Who is let in is decided by [`Gate`](farcall_proto::gate::Gate).

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_rt::ArbiterHandle;
use farcall_proto::gate::{Leaving, Pass};
use farcall_proto::link::handshake::Admission;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::acceptor::{self, Acceptors, Arrived, Arriving};
use crate::context::Context;
use crate::driver::Driver;
use crate::handshaking::{self, Error, Proven};
use crate::logging::limited;
use crate::socket;

/// The thread, and where it leads to. It ends with the last reference to it.
#[derive(Debug)]
pub(crate) struct Door {
    context: Arc<Context>,
    acceptors: Arc<Acceptors>,
    /// Where connections go that have proved themselves.
    inside: ArbiterHandle,
    runtime: Handle,
    /// Dropped, it ends the thread.
    _open: oneshot::Sender<()>,
}

impl Door {
    /// Starts the thread; what comes through it lives on the arbiter of the caller.
    ///
    /// # Errors
    /// If the system gives no thread or no reactor.
    pub(crate) fn start(context: &Arc<Context>, acceptors: &Arc<Acceptors>) -> io::Result<Arc<Self>> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (open, closed) = oneshot::channel::<()>();
        std::thread::Builder::new().name("farcall-door".to_owned()).spawn(move || {
            // Ends with an error, when the other side is dropped.
            let _ = runtime.block_on(closed);
            // A name that is being looked up somewhere must not hold up the end.
            runtime.shutdown_background();
        })?;
        let on_system = || actix_rt::System::current().arbiter().clone();
        let inside = actix_rt::Arbiter::try_current().unwrap_or_else(on_system);
        let (context, acceptors) = (context.clone(), acceptors.clone());
        Ok(Arc::new(Self { context, acceptors, inside, runtime: handle, _open: open }))
    }

    pub(crate) fn context(&self) -> &Context {
        &self.context
    }

    /// For sockets that are to live on the door's reactor.
    pub(crate) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    pub(crate) fn spawn<F>(&self, task: F) -> JoinHandle<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.runtime.spawn(task)
    }

    /// Takes a connection, if the gate lets it in, and sees to its handshake.
    pub(crate) fn knock(&self, stream: TcpStream, from: SocketAddr, driver: Driver) {
        let context = &self.context;
        let now = Instant::now();
        let admitted = context.gate.lock().admit(from.ip(), now);
        let visitor = match admitted {
            Ok(pass) => Visitor::new(context, pass),
            Err(refusal) => {
                context.metrics.inbound_refused.up();
                limited!(
                    context.logs, now, refusal.reason(), log::Level::Warn, node:% = context.name, from:% = from;
                    "refused a connection: {refusal}"
                );
                return;
            }
        };
        let (config, stall) = (&context.config.tcp, context.config.write_stall_timeout);
        if let Err(error) = socket::configure(&stream, config, stall) {
            log::debug!(target: "farcall", node:% = context.name, from:% = from; "socket options: {error}");
            return;
        }
        let (context, acceptors) = (context.clone(), self.acceptors.clone());
        let inside = self.inside.clone();
        self.spawn(async move {
            if let Some(arrived) = greet(stream, from, driver, visitor, &context, &acceptors).await {
                // False if the arbiter is gone: so is the node then.
                inside.spawn_fn(move || acceptor::accept(arrived, &context, &acceptors));
            }
        });
    }
}

/// A connection that has not finished its handshake, counted while it lives.
struct Visitor {
    context: Arc<Context>,
    pass: Option<Pass>,
}

impl Visitor {
    fn new(context: &Arc<Context>, pass: Pass) -> Self {
        context.metrics.half_open.up();
        Self { context: context.clone(), pass: Some(pass) }
    }

    fn leave(&mut self, how: Leaving) {
        if let Some(pass) = self.pass.take() {
            self.context.gate.lock().leave(pass, how, Instant::now());
            self.context.metrics.half_open.down();
        }
    }
}

impl Drop for Visitor {
    fn drop(&mut self) {
        self.leave(Leaving::Gone);
    }
}

async fn greet(
    stream: TcpStream,
    from: SocketAddr,
    driver: Driver,
    mut visitor: Visitor,
    context: &Context,
    acceptors: &Arc<Acceptors>,
) -> Option<Arrived> {
    let admission = if context.is_draining() {
        Admission::Draining
    } else if acceptors.taken() >= context.config.acceptors_max {
        context.metrics.inbound_refused.up();
        Admission::Busy
    } else {
        Admission::Open
    };
    let (begun, limit) = (Instant::now(), context.config.handshake_timeout);
    let handshake =
        handshaking::respond(stream, driver, context, admission, acceptors.namesakes.turned_away());
    // Held until the end: whoever sees its connection closed is not counted any more.
    tokio::pin!(handshake);
    let (how, reason, why) = match tokio::time::timeout(limit, handshake.as_mut()).await {
        Ok(Ok(proven)) => {
            visitor.leave(Leaving::Proved);
            return arrived(proven, from, driver, context, acceptors.expect_one());
        }
        Ok(Err(error)) => (verdict(&error, begun.elapsed()), error.reason(), error.to_string()),
        Err(_) => (Leaving::Failed, "handshake_timeout", format!("no handshake within {limit:?}")),
    };
    visitor.leave(how);
    context.metrics.handshakes_failed.up();
    let now = Instant::now();
    limited!(
        context.logs, now, reason, log::Level::Warn, node:% = context.name, from:% = from, driver:% = driver;
        "refused a connection: {why}"
    );
    None
}

/// A health check closes at once. Whoever holds a place and says nothing for longer is no better than one that says
/// nothing until the deadline, and could else hold it for ever by coming back just before that.
const SILENT_MAX: Duration = Duration::from_millis(500);

fn verdict(error: &Error, after: Duration) -> Leaving {
    match error {
        error if error.was_proved() => Leaving::Proved,
        error if error.is_silent() && after <= SILENT_MAX => Leaving::Silent,
        error if error.is_harmless() => Leaving::Gone,
        _ => Leaving::Failed,
    }
}

fn arrived(
    proven: Proven,
    from: SocketAddr,
    driver: Driver,
    context: &Context,
    arriving: Arriving,
) -> Option<Arrived> {
    let Proven { wire, established, rest } = proven;
    log::debug!(
        target: "farcall", node:% = context.name, peer:% = established.peer, from:% = from, driver:% = driver,
        key:% = established.key_id; "accepted"
    );
    match wire.detach() {
        Ok(wire) => Some(Arrived { wire, from, driver, established, rest, arriving }),
        Err(error) => {
            log::error!(target: "farcall", node:% = context.name, from:% = from; "cannot hand over a connection: {error}");
            None
        }
    }
}
