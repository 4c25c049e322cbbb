//! Where Prometheus reads what this node counts, as long as it runs.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::Node;
use crate::inspect::{prometheus, serve_metrics};

/// The listener, and who answers on it. Dropped, it is closed.
pub(super) struct Exporter {
    pub(super) address: SocketAddr,
    task: JoinHandle<()>,
}

impl Exporter {
    /// Listens there.
    pub(super) async fn start(node: &Node, address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let (address, node) = (listener.local_addr()?, node.clone());
        log::info!(target: "farcall", node:% = node.name(), address:% = address; "metrics are at /metrics");
        let page = move || std::future::ready(Ok(prometheus(&node.inspect_after(u64::MAX))));
        let task = actix_rt::spawn(async move { match serve_metrics(listener, page).await {} });
        Ok(Self { address, task })
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.task.abort();
    }
}
