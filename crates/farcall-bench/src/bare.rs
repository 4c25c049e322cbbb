//! The yardstick: what the machine and tokio allow when nothing but the call itself is done.
//!
//! One connection, frames of a 16-byte header and a postcard payload, everything that waits to be sent in one
//! write, no task per call, no names, no deadlines, no limits but those on memory. A runtime is as good as its
//! distance from this.

mod client;
mod server;
mod wire;

use crate::side::Side;
use crate::workload::Workload;

/// The entry in the table of implementations.
pub const SIDE: Side = Side {
    name: "bare",
    about: "tokio, one connection, batched and sliced, postcard on both sides, no task per call",
    version: "this program",
    supports: |workload: &Workload| workload.is_plain(),
    server: |seat, _| server::run(seat),
    client: client::run,
};
