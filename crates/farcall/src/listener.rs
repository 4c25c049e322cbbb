//! Listeners: one actor per address. It accepts and starts acceptors; nothing a peer does ends it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::{Actor, Addr, Context as ActorCtx, Handler};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::JoinHandle;

use crate::acceptor::{self, Acceptors, Stop};
use crate::context::Context;
use crate::logging::limited;
use crate::socket::{self, SharedStream};

/// The actor that accepts on one address.
pub(crate) struct Listener {
    socket: Option<Open>,
    context: Arc<Context>,
    acceptors: Arc<Acceptors>,
    half_open: Arc<Semaphore>,
    task: Option<JoinHandle<()>>,
}

/// A socket that is listened on; whoever waits hears when it is closed.
struct Open {
    // Dropped first.
    socket: TcpListener,
    _closed: oneshot::Sender<()>,
}

/// A listener, as its node holds it.
pub(crate) struct Listening {
    /// With its real port.
    pub(crate) address: SocketAddr,
    pub(crate) actor: Addr<Listener>,
    /// Ends when the socket is closed.
    pub(crate) closed: oneshot::Receiver<()>,
}

impl Listener {
    /// Listens at once; the address tells the port if 0 was asked for.
    pub(crate) fn start_on(
        address: SocketAddr,
        context: &Arc<Context>,
        acceptors: &Arc<Acceptors>,
        half_open: &Arc<Semaphore>,
    ) -> io::Result<Listening> {
        let socket = socket::listen(address, context.config.tcp.v6_only)?;
        let address = socket.local_addr()?;
        let (sender, closed) = oneshot::channel();
        let listener = Self {
            socket: Some(Open { socket, _closed: sender }),
            context: context.clone(),
            acceptors: acceptors.clone(),
            half_open: half_open.clone(),
            task: None,
        };
        log::info!(target: "farcall", node:% = context.name, address:% = address; "listening");
        Ok(Listening { address, actor: listener.start(), closed })
    }
}

impl Actor for Listener {
    type Context = ActorCtx<Self>;

    fn started(&mut self, _: &mut Self::Context) {
        if let Some(socket) = self.socket.take() {
            let (context, acceptors) = (self.context.clone(), self.acceptors.clone());
            let half_open = self.half_open.clone();
            // Its node holds the actor's address; one that could not start lets go of it, and it ends.
            self.task = Some(actix_rt::spawn(accept_loop(socket, context, acceptors, half_open)));
        }
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl Handler<Stop> for Listener {
    type Result = ();

    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) {
        actix::ActorContext::stop(ctx);
    }
}

/// After an error of `accept` itself (too many open files), so long until the next try.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

async fn accept_loop(
    open: Open,
    context: Arc<Context>,
    acceptors: Arc<Acceptors>,
    half_open: Arc<Semaphore>,
) {
    loop {
        match open.socket.accept().await {
            Ok((stream, from)) => {
                let Ok(permit) = half_open.clone().try_acquire_owned() else {
                    context.metrics.inbound_refused.up();
                    limited!(
                        context.logs, Instant::now(), "half_open_max", log::Level::Warn,
                        node:% = context.name, from:% = from;
                        "refused a connection: {} are in their handshake, the most half_open_max allows",
                        context.config.half_open_max
                    );
                    continue;
                };
                if let Err(error) =
                    socket::configure(&stream, &context.config.tcp, context.config.write_stall_timeout)
                {
                    log::debug!(target: "farcall", node:% = context.name, from:% = from; "socket options: {error}");
                    continue;
                }
                let half_open = HalfOpen::new(&context, permit);
                let heart = context.heart.clone();
                let follow = move |stream: &SharedStream| Some(heart.follow(stream));
                acceptor::accept(SharedStream::new(stream), from, &context, &acceptors, half_open, follow);
            }
            Err(error) => {
                limited!(
                    context.logs, Instant::now(), "accept", log::Level::Error, node:% = context.name;
                    "cannot accept: {error}; trying again"
                );
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// A connection that has not finished its handshake, counted while it lives.
struct HalfOpen {
    context: Arc<Context>,
    _permit: OwnedSemaphorePermit,
}

impl HalfOpen {
    fn new(context: &Arc<Context>, permit: OwnedSemaphorePermit) -> Self {
        context.metrics.half_open.up();
        Self { context: context.clone(), _permit: permit }
    }
}

impl Drop for HalfOpen {
    fn drop(&mut self) {
        self.context.metrics.half_open.down();
    }
}
