//! An implementation under measurement is one entry of [`SIDES`]: a server and a client.
//!
//! Both run in processes of their own, pinned before they are entered, on a thread that is theirs.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;

use anyhow::{Result, anyhow};

use crate::bare;
use crate::child::ServerSeat;
use crate::farcall_side;
use crate::meter::{ClientSample, Meter};
use crate::workload::Workload;

/// A way to make calls, to be measured beside the others.
pub struct Side {
    /// What `--only` and the report call it.
    pub name: &'static str,
    /// One line for `list`.
    pub about: &'static str,
    /// Whether it can do this at all; the others are left out of the report.
    pub supports: fn(&Workload) -> bool,
    /// Listens on a free port of 127.0.0.1, tells the seat the address, and answers until the process ends.
    pub server: fn(&ServerSeat) -> Result<Infallible>,
    /// Keeps up the workload's traffic until the meter says that the window is over.
    pub client: fn(SocketAddr, &Workload, Rc<Meter>) -> Result<ClientSample>,
}

/// The implementation that all others are compared with.
pub const YARDSTICK: &str = bare::SIDE.name;

/// What encryption is held against.
pub const PLAIN: &str = farcall_side::TCP.name;

/// The same, encrypted.
pub const ENCRYPTED: &str = farcall_side::TLS.name;

/// All implementations, the yardstick first.
pub const SIDES: &[Side] = &[bare::SIDE, farcall_side::TCP, farcall_side::TLS];

/// Finds an implementation by its name.
pub fn find(name: &str) -> Result<&'static Side> {
    SIDES.iter().find(|side| side.name == name).ok_or_else(|| {
        let names: Vec<_> = SIDES.iter().map(|side| side.name).collect();
        anyhow!("no implementation {name}; there are {}", names.join(", "))
    })
}
