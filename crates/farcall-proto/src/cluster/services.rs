//! Services: actors that callers address by what they do, on whichever node that is (spapi-router's workers).
//!
//! - [`rules`]: which nodes are wanted, and for which services.
//! - [`scans`]: when to connect to them, and how often to try.
//! - [`choose`](mod@choose): which of several nodes gets a call, and whether another one may get it after a failure.
//!
//! Who offers what is known from [groups](super::groups): a service is a group in the scope [`SCOPE`], and a member is the
//! actor that serves it.

pub mod choose;
pub mod rules;
pub mod scans;

pub use choose::{Candidate, NoNode, Policy, Report, choose, report, runs, surely_elsewhere};
pub use rules::{Rule, RuleError, Rules};
pub use scans::{Intervals, Scans};

/// The scope of groups that are services.
pub const SCOPE: &str = "farcall.services";
