//! What a remote call costs: farcall beside a bare tokio program, and beside whatever else is a [`Side`].
//!
//! The program starts itself again as a server and as clients for every sample; README.md says how to read what it
//! prints. The crate is a library so that the peers, which bring hundreds of crates, can be a program of their own
//! with a lock file of their own.

mod bare;
mod bars;
mod certificates;
mod chart;
pub mod child;
mod cli;
pub mod drive;
mod erlang;
mod farcall_side;
mod heap;
pub mod meter;
mod progress;
mod report;
mod runner;
mod scale;
pub mod side;
mod summary;
mod table;
pub mod usage;
pub mod workload;

pub use cli::main;
pub use side::Side;
