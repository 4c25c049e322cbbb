//! Which port of a host is whose: what a port mapper and those who ask it say and decide.
//!
//! ```text
//! whoever looks      ── epmd's requests ──▶  mapper (epmd, or a farcall node)      look-up and listing: anybody
//! a node with a name ── dialogue ─────────▶  a farcall node's Table                registration: with proof
//!                    ── ALIVE2 ───────────▶  epmd                                  if one runs on the host already
//! ```
//! A registration lives as long as its connection. [`TakeOver`] says who serves: the first node on a host, until it ends.

mod dialogue;
pub mod epmd;
mod mark;
mod table;
mod takeover;
#[cfg(test)]
mod tests;

pub use dialogue::{Answer, Challenge, DialogueError, Hello, List, Owner, Proven, Register, Wanted};
pub use mark::Mark;
pub use table::{Holding, Name, NameRefused, Presence, RegisterRefused, Table};
pub use takeover::{Event, GiveUp, Mapper, Step, TakeOver};
