//! farcall-bench with other runtimes beside farcall; see ../README.md.

mod kameo;
mod ractor;
mod tarpc;
mod telepathy;
mod tonic;

use std::net::{Ipv4Addr, TcpListener};

use anyhow::Result;
use farcall_bench::Side;
use farcall_bench::workload::{Traffic, Workload};
use tokio::runtime::Builder;
use tokio::task::LocalSet;

static PEERS: &[Side] =
    &[tarpc::BINCODE, tarpc::POSTCARD, tonic::SIDE, ractor::SIDE, kameo::SIDE, telepathy::SIDE];

fn main() -> Result<()> {
    farcall_bench::main(PEERS)
}

/// What all of them run on, unless they bring their own: one thread, as farcall does, because the processes are
/// pinned to a core each.
fn block_on<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, future)
}

/// For those that take a number and do not say which one they got.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// Everything that one client asks of one server, but casts.
fn only_calls(workload: &Workload) -> bool {
    matches!(workload.traffic, Traffic::Calls { .. } | Traffic::Mixed { .. } | Traffic::Offered { .. })
}

/// Everything that one client asks of one server.
fn calls_and_casts(workload: &Workload) -> bool {
    only_calls(workload) || workload.traffic == Traffic::Casts
}
