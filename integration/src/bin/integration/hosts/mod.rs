//! Where the nodes run, and what can be done to them there.
//!
//! | kind | node | network faults |
//! |---|---|---|
//! | [`docker`] | a container | in the container's network namespace; needs root, nft and tc |
//! | [`local`], in namespaces | a process in a network namespace of its own | as above; needs `unshare` only |
//! | [`local`], on loopback | a process | none: those scenarios are skipped |

pub(crate) mod compose;
pub(crate) mod docker;
pub(crate) mod local;
pub(crate) mod network;

use std::net::IpAddr;

use nix::sys::signal::Signal;

use crate::fault::Result;
use crate::plan::Plan;

/// What the scenarios need of the place where nodes run. Nodes are counted from 0; the one behind the last is the twin of
/// n2, which runs only when it is asked for.
pub(crate) trait Hosts {
    /// What this is, for the head of the table.
    fn kind(&self) -> String;
    fn plan(&self) -> &Plan;
    /// Starts a node that does not run.
    fn start(&mut self, node: usize) -> Result<()>;
    /// Sends a signal to a node's process.
    fn signal(&mut self, node: usize, signal: Signal) -> Result<()>;
    /// Stops a node where it stands: none of its threads runs when this returns.
    fn freeze(&mut self, node: usize) -> Result<()>;
    /// Lets it go on.
    fn thaw(&mut self, node: usize) -> Result<()>;
    /// The exit code of a node that ended; None while it runs. A signal counts as 128 and its number.
    fn ended(&mut self, node: usize) -> Result<Option<i32>>;
    /// The words before a command that is to run in the network of a node.
    fn inside(&self, node: usize) -> Result<Vec<String>>;
    /// Pulls the cable out.
    fn unplug(&mut self, node: usize) -> Result<()>;
    /// Puts it in again.
    fn plug(&mut self, node: usize) -> Result<()>;
    fn address(&self, node: usize) -> Result<IpAddr>;
    /// Gives another address to a node that does not run.
    fn readdress(&mut self, node: usize) -> Result<()>;
    /// Others who look for n2 find its twin, or n2 itself again.
    fn point_to_twin(&mut self, twin: bool) -> Result<()>;
    /// Everything a node has logged, in all its lives.
    fn log(&self, node: usize) -> Result<String>;
    /// Removes everything that was made.
    fn remove(&mut self);
}
