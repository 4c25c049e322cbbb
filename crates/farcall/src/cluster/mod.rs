//! What nodes know of each other: who is there, and what ends.
//!
//! Everything here rests on connections that exist for another reason, or that are asked for by name: no node connects to
//! others because somebody else did.

mod attending;
mod ear;
mod events;
mod factories;
mod groups;
mod monitors;
mod nodes;
mod sessions;
mod sharing;
mod spawning;
mod wire;

pub(crate) use attending::{answer, told};
pub(crate) use events::EVENTS_MAX;
pub use events::{Events, Lagged};
pub use factories::SpawnRefused;
pub(crate) use factories::{Factory, Spawn, Spawning};
pub use farcall_proto::cluster::groups::{GroupError, GroupEvent, GroupName, Member, Pick};
pub use farcall_proto::cluster::members::{NodeDown, NodeEvent, Peer};
pub use farcall_proto::cluster::signals::{DownReason, MonitorId, TooMany};
pub use groups::{DEFAULT_SCOPE, Group, GroupEvents, JoinError, SendReport};
pub(crate) use groups::{Scatter, random};
pub use monitors::{Down, Exit, LinkError, Monitor};
pub use nodes::{NodeEvents, NodeFilter, NodeMonitor};
pub(crate) use nodes::{chosen, events};
pub(crate) use sessions::Cluster;
pub use spawning::{SpawnError, SpawnRemote, Spawned};
pub(crate) use wire::{Attend, Tell};
#[cfg(test)]
pub(crate) use wire::{Said, Told};
