//! A node with the actors of the scenarios. What it does stands in its journal; what it is to do, the harness tells it over a
//! Unix socket. Its settings are those of every node: `FARCALL_*` variables.
//!
//! ```text
//! main ── actors      whom the others call
//!      ── cluster     who comes and goes, monitors, members, services
//!      ── load        calls and casts without a pause
//!      ── operations  each verb once
//!      ── orders      what the harness asks
//!      ── vitals      memory, files, threads, and whether the process stood still
//! ```

mod actors;
mod cluster;
mod load;
mod operations;
mod orders;
mod vitals;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;

use actix::prelude::*;
use farcall::prelude::*;
use farcall_integration::journal::Journal;
use tokio::signal::unix::{SignalKind, signal};

use crate::actors::{Ledger, Now, Stored};
use crate::cluster::Cluster;
use crate::load::Loader;

/// What every part of this program works with.
pub(crate) struct Here {
    pub(crate) node: Node,
    /// The node with its incarnation: what others write down about this life of it.
    pub(crate) who: String,
    pub(crate) peers: Vec<Target>,
    pub(crate) folder: PathBuf,
    pub(crate) journal: Arc<Journal>,
}

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    // Of a container or of a terminal that is closed, the kernel takes care.
    if std::env::var_os("INTEGRATION_DIES_WITH_PARENT").is_some()
        && let Err(error) = nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)
    {
        log::error!("this process would outlive the harness: {error}");
        return ExitCode::FAILURE;
    }
    match System::new().block_on(run()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(4),
        Err(error) => {
            log::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// True if the shutdown finished all that was in flight.
async fn run() -> Result<bool, Box<dyn Error>> {
    // Before the node can be called: a stop that comes early is a stop.
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let folder = std::env::var_os("INTEGRATION_DIR").map_or_else(|| "/run/farcall".into(), PathBuf::from);
    let peers = std::env::var("INTEGRATION_PEERS").unwrap_or_default();
    let peers: Vec<Target> =
        peers.split(',').filter(|peer| !peer.is_empty()).map(str::parse).collect::<Result<_, _>>()?;

    let node = Node::from_config(Config::load()?).start().await?;
    let incarnation = node.incarnation().to_string();
    let journal = Arc::new(Journal::begin(&folder, node.name().as_str(), &incarnation)?);
    let who = format!("{}/{incarnation}", node.name());
    // Nothing is waited for from here to the last name: whoever is connected finds all of them.
    node.register("ledger", Ledger::new(journal.clone()).start())?.keep();
    node.register("stored", Stored::default().start())?.keep();
    let own = node.name().to_string();
    node.serve("clock", move |_: Now| {
        let own = own.clone();
        async move { (own, farcall_integration::journal::now_us()) }
    })?;

    let peers = peers.into_iter().filter(|peer| peer.node() != node.name()).collect();
    let here = Rc::new(Here { node: node.clone(), who, peers, folder, journal });
    vitals::watch(here.journal.clone());
    let loader = Loader::start(here.clone());
    let cluster = Cluster::start(here.clone())?;
    orders::serve(here, loader, cluster)?;

    tokio::select! {
        _ = terminate.recv() => (),
        _ = interrupt.recv() => (),
    }
    log::info!("told to stop");
    Ok(node.shutdown().await)
}
