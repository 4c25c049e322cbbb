//! A TCP proxy between two nodes: it records what goes over the wire, stops the flow, and cuts connections.

use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Dial it instead of the node behind it.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

struct Shared {
    to: SocketAddr,
    flow: watch::Sender<bool>,
    wires: Mutex<Vec<Wire>>,
}

struct Wire {
    asked: Arc<Mutex<Vec<u8>>>,
    answered: Arc<Mutex<Vec<u8>>>,
    tasks: [JoinHandle<()>; 2],
}

impl Proxy {
    /// A proxy to this address, on a free port.
    pub async fn to(to: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared { to, flow: watch::channel(true).0, wires: Mutex::default() });
        let accepting = actix_rt::spawn(accept(listener, shared.clone()));
        Self { address, shared, accepting }
    }

    /// Where to dial.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Nothing goes through until [`resume`](Self::resume); connections stay open.
    pub fn hold(&self) {
        self.shared.flow.send_replace(false);
    }

    /// Everything goes through again.
    pub fn resume(&self) {
        self.shared.flow.send_replace(true);
    }

    /// How many connections were made through it.
    pub fn connections(&self) -> usize {
        self.shared.wires.lock().len()
    }

    /// Cuts the connection that was made as the `nth`; others stay.
    pub fn cut(&self, nth: usize) {
        self.shared.wires.lock()[nth].cut();
    }

    /// Cuts every connection.
    pub fn cut_all(&self) {
        self.shared.wires.lock().iter().for_each(Wire::cut);
    }

    /// Everything that was said towards the node behind it, connection by connection.
    pub fn asked(&self) -> Vec<Vec<u8>> {
        self.shared.wires.lock().iter().map(|wire| wire.asked.lock().clone()).collect()
    }

    /// Everything that the node behind it said.
    pub fn answered(&self) -> Vec<Vec<u8>> {
        self.shared.wires.lock().iter().map(|wire| wire.answered.lock().clone()).collect()
    }

    /// How many bytes went through, there and back.
    pub fn bytes(&self) -> (usize, usize) {
        let count = |said: Vec<Vec<u8>>| said.iter().map(Vec::len).sum();
        (count(self.asked()), count(self.answered()))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut_all();
    }
}

impl Wire {
    fn cut(&self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((near, _)) = listener.accept().await {
        let Ok(far) = TcpStream::connect(shared.to).await else { continue };
        let (near_in, near_out) = near.into_split();
        let (far_in, far_out) = far.into_split();
        let (asked, answered) = (Arc::default(), Arc::default());
        let tasks = [
            actix_rt::spawn(copy(near_in, far_out, Arc::clone(&asked), shared.flow.subscribe())),
            actix_rt::spawn(copy(far_in, near_out, Arc::clone(&answered), shared.flow.subscribe())),
        ];
        shared.wires.lock().push(Wire { asked, answered, tasks });
    }
}

async fn copy(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    record: Arc<Mutex<Vec<u8>>>,
    mut flow: watch::Receiver<bool>,
) {
    let mut chunk = vec![0; 16 * 1024];
    while let Ok(bytes @ 1..) = from.read(&mut chunk).await {
        if flow.wait_for(|flows| *flows).await.is_err() {
            return;
        }
        record.lock().extend_from_slice(&chunk[..bytes]);
        if to.write_all(&chunk[..bytes]).await.is_err() {
            return;
        }
    }
}
