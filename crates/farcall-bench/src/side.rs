//! An implementation under measurement is a [`Side`]: a server and a client.
//!
//! Both run in processes of their own, pinned before they are entered, on a thread that is theirs.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::OnceLock;

use anyhow::{Result, anyhow};

use crate::bare;
use crate::child::ServerSeat;
use crate::erlang;
use crate::farcall_side;
use crate::meter::{ClientSample, Meter};
use crate::workload::Workload;

/// A way to make calls, to be measured beside the others.
pub struct Side {
    /// What `--only` and the report call it.
    pub name: &'static str,
    /// One line for `list`.
    pub about: &'static str,
    /// The version of what is measured.
    pub version: &'static str,
    /// Whether it can do this at all; the others are left out of the report.
    pub supports: fn(&Workload) -> bool,
    /// Listens on free ports of 127.0.0.1, tells the seat the addresses, and answers until the process ends.
    pub server: fn(&ServerSeat, &Workload) -> Result<Infallible>,
    /// Keeps up the workload's traffic until the meter says that the window is over.
    pub client: fn(&[SocketAddr], &Workload, Rc<Meter>) -> Result<ClientSample>,
}

/// The implementation that all others are compared with.
pub const YARDSTICK: &str = bare::SIDE.name;

/// What encryption is held against.
pub const PLAIN: &str = farcall_side::TCP.name;

/// The same, encrypted.
pub const ENCRYPTED: &str = farcall_side::TLS.name;

/// Plain, with the idle spin.
pub const SPINNING: &str = farcall_side::SPIN.name;

static SIDES: OnceLock<Vec<&'static Side>> = OnceLock::new();

/// Adds to what is measured; to be called once, before anything else.
pub(crate) fn add(more: &'static [Side]) {
    let own = [&bare::SIDE, &farcall_side::TCP, &farcall_side::TLS, &farcall_side::SPIN];
    SIDES.get_or_init(|| own.into_iter().chain(more).collect());
}

/// All implementations that need nothing else on this machine, the yardstick first.
pub(crate) fn all() -> &'static [&'static Side] {
    add(&[]);
    SIDES.get().map_or(&[], Vec::as_slice)
}

/// Also those that are measured only when asked for.
pub(crate) fn every() -> impl Iterator<Item = &'static Side> {
    all().iter().copied().chain([&erlang::SIDE])
}

/// Finds an implementation by its name.
pub fn find(name: &str) -> Result<&'static Side> {
    every().find(|side| side.name == name).ok_or_else(|| {
        let names: Vec<_> = every().map(|side| side.name).collect();
        anyhow!("no implementation {name}; there are {}", names.join(", "))
    })
}
