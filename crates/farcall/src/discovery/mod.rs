//! Where is node X, and which nodes are there?
//!
//! A [`Discovery`] is asked at every connect, so a node that moved is found again at the next attempt; farcall
//! keeps no answer. It is asked outside of every lock and under the caller's `connect_timeout`.
//!
//! ```text
//! Chain: StaticMap, FileMap or a function of yours, PortMapper, NameAtHost        the first that knows the node answers
//! ```

mod address;
mod chain;
mod file;
mod function;
mod port_mapper;
mod static_map;

use std::error::Error as StdError;
use std::sync::Arc;

use farcall_proto::peer::NodeName;
use futures::future::BoxFuture;
use thiserror::Error;

pub use self::address::{Address, AddressError};
pub use self::chain::Chain;
pub use self::file::{FileMap, FileMapError};
pub use self::function::{FromAsyncFn, FromFn, from_async_fn, from_fn};
pub use self::port_mapper::{MapperError, PortMapper};
pub use self::static_map::{NameAtHost, StaticMap};

/// Finds the addresses of nodes.
///
/// # Cancel safety
/// Both futures are dropped when the deadline of whoever asked has passed; an implementation must not need to be
/// polled to its end.
pub trait Discovery: Send + Sync + 'static {
    /// The addresses of a node, best first; they are dialled in this order until one answers.
    ///
    /// # Errors
    /// [`DiscoveryError::NotFound`] if the source does not know the node, which lets a [`Chain`] ask the next one;
    /// [`DiscoveryError::Failed`] if it could not find out, which ends the search. An empty list means the same
    /// as `NotFound`.
    fn addresses<'a>(&'a self, node: &'a NodeName) -> BoxFuture<'a, Result<Vec<Address>, DiscoveryError>>;

    /// Every node this source can list; none for a source that answers by rule. Used where an operation is meant
    /// for all nodes, and never to decide whether a node may be dialled.
    ///
    /// # Errors
    /// [`DiscoveryError::Failed`] if the source could not find out.
    fn nodes(&self) -> BoxFuture<'_, Result<Vec<NodeName>, DiscoveryError>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }
}

/// Why there is no address for a node. Nothing was sent to anyone.
#[derive(Debug, Clone, Error)]
pub enum DiscoveryError {
    /// The source answered, and does not know the node.
    #[error("no address for node {node}: asked {asked}")]
    NotFound {
        /// The node that was looked for.
        node: NodeName,
        /// Which source was asked; for a chain all of them.
        asked: String,
    },
    /// The source could not answer.
    #[error("discovery by {asked} failed: {reason}")]
    Failed {
        /// Which source was asked.
        asked: String,
        /// What went wrong there.
        #[source]
        reason: Arc<dyn StdError + Send + Sync>,
    },
}

impl DiscoveryError {
    /// The source `asked` does not know `node`.
    pub fn not_found(node: &NodeName, asked: impl Into<String>) -> Self {
        Self::NotFound { node: node.clone(), asked: asked.into() }
    }

    /// The source `asked` could not answer, for this reason.
    pub fn failed(asked: impl Into<String>, reason: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Failed { asked: asked.into(), reason: Arc::from(reason.into()) }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn node(name: &str) -> NodeName {
        name.parse().unwrap()
    }

    pub(crate) fn address(text: &str) -> Address {
        text.parse().unwrap()
    }

    pub(crate) fn addresses(source: &dyn Discovery, name: &str) -> Result<Vec<Address>, DiscoveryError> {
        futures::executor::block_on(source.addresses(&node(name)))
    }

    #[test]
    fn a_source_that_answers_by_rule_lists_no_nodes() {
        let nodes = futures::executor::block_on(NameAtHost { port: 5369 }.nodes());
        assert!(nodes.unwrap().is_empty());
    }

    #[test]
    fn an_error_says_which_source_was_asked_and_why_it_failed() {
        let unknown = DiscoveryError::not_found(&node("b@h"), "the map");
        assert_eq!(unknown.to_string(), "no address for node b@h: asked the map");
        let failed = DiscoveryError::failed("consul", "refused");
        assert_eq!(failed.to_string(), "discovery by consul failed: refused");
        assert_eq!(failed.source().unwrap().to_string(), "refused");
    }
}
