//! What nodes know of each other: who is there, and what ends.
//!
//! Everything here rests on connections that exist for another reason, or that are asked for by name: no node connects to
//! others because somebody else did.

mod nodes;

pub use farcall_proto::cluster::members::{NodeDown, NodeEvent, Peer};
pub(crate) use nodes::chosen;
pub use nodes::{Lagged, NodeEvents, NodeFilter, NodeMonitor};
