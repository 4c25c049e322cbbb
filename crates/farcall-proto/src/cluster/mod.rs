//! What nodes know of each other, as values.
//!
//! - [`groups`]: named sets of actors across nodes.
//! - [`members`]: who is there, told by the connections that are up.
//! - [`notices`]: the bytes of what is said of groups, monitors and links.
//! - [`sessions`]: when what was lost is begun again.
//! - [`services`]: actors that are addressed by what they do.
//! - [`signals`]: who is told when an actor ends: monitors and links.
//! - [`spawns`]: actors that were started for a peer, once, and as long as it is there.

pub mod groups;
pub mod members;
pub mod notices;
pub mod services;
pub mod sessions;
pub mod signals;
pub mod spawns;
