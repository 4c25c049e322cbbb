//! Clusters of real processes and containers, faults on purpose, and checkers that judge what came of them.
//!
//! ```text
//! farcall-node   a node with the actors of the scenarios; writes down what it did
//!      │ journal       one line for each thing done, in a folder that outlives the process
//!      │ control       questions and orders of the harness, over a Unix socket: no network in between
//! integration    builds a cluster of them, in containers or as processes, breaks it, and judges
//! ```

pub mod control;
pub mod journal;
