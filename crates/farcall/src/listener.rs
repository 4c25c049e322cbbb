//! Listeners: one actor per address. It lets connections in through the door; nothing a peer does ends it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::{Actor, Addr, Context as ActorCtx, Handler};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::acceptor::Stop;
use crate::door::Door;
use crate::driver::Driver;
use crate::logging::limited;
use crate::socket;

/// The actor that accepts on one address.
pub(crate) struct Listener {
    socket: Option<Open>,
    door: Arc<Door>,
    driver: Driver,
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
    pub(crate) driver: Driver,
    pub(crate) actor: Addr<Listener>,
    /// Ends when the socket is closed.
    pub(crate) closed: oneshot::Receiver<()>,
}

impl Listener {
    /// Listens at once; the address tells the port if 0 was asked for.
    pub(crate) fn start_on(address: SocketAddr, driver: Driver, door: &Arc<Door>) -> io::Result<Listening> {
        let context = door.context();
        let socket = {
            let _on_its_reactor = door.runtime().enter();
            socket::listen(address, context.config.tcp.v6_only)?
        };
        let address = socket.local_addr()?;
        let (sender, closed) = oneshot::channel();
        log::info!(
            target: "farcall", node:% = context.name, address:% = address, driver:% = driver; "listening"
        );
        let open = Open { socket, _closed: sender };
        let listener = Self { socket: Some(open), door: door.clone(), driver, task: None };
        Ok(Listening { address, driver, actor: listener.start(), closed })
    }
}

impl Actor for Listener {
    type Context = ActorCtx<Self>;

    fn started(&mut self, _: &mut Self::Context) {
        if let Some(socket) = self.socket.take() {
            let (door, driver) = (self.door.clone(), self.driver);
            self.task = Some(self.door.spawn(accept_loop(socket, door, driver)));
        }
    }
}

impl Drop for Listener {
    /// The task lives on the door's thread: it does not end with the actor's arbiter by itself. The actor's life is in
    /// its address, which its node holds; one that could not start lets go of it.
    fn drop(&mut self) {
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

async fn accept_loop(open: Open, door: Arc<Door>, driver: Driver) {
    loop {
        match open.socket.accept().await {
            Ok((stream, from)) => door.knock(stream, from, driver),
            Err(error) => {
                let context = door.context();
                limited!(
                    context.logs, Instant::now(), "accept", log::Level::Error, node:% = context.name;
                    "cannot accept: {error}; trying again"
                );
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
