//! Several sources, asked one after the other.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use farcall_proto::peer::NodeName;
use futures::future::BoxFuture;

use super::{Address, Discovery, DiscoveryError};

/// Asks its sources in order; the first that knows the node answers.
///
/// A source that *fails* ends the search. Going on would answer from a source of lower rank while the one that
/// should have decided is broken, and dial a machine that was not meant.
#[derive(Clone, Default)]
pub struct Chain {
    sources: Vec<Arc<dyn Discovery>>,
}

impl Chain {
    /// A chain that knows no node.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a source behind those that are there.
    #[must_use]
    pub fn then(self, source: impl Discovery) -> Self {
        self.then_shared(Arc::new(source))
    }

    /// Adds a source that is used elsewhere too.
    #[must_use]
    pub fn then_shared(mut self, source: Arc<dyn Discovery>) -> Self {
        self.sources.push(source);
        self
    }
}

impl Discovery for Chain {
    fn addresses<'a>(&'a self, node: &'a NodeName) -> BoxFuture<'a, Result<Vec<Address>, DiscoveryError>> {
        Box::pin(async move {
            let mut all_asked = Vec::new();
            for source in &self.sources {
                match source.addresses(node).await {
                    Ok(addresses) if addresses.is_empty() => {}
                    Err(DiscoveryError::NotFound { asked, .. }) => all_asked.push(asked),
                    settled => return settled,
                }
            }
            let asked = match all_asked.is_empty() {
                true => "no source that names itself".to_owned(),
                false => all_asked.join(", "),
            };
            Err(DiscoveryError::NotFound { node: node.clone(), asked })
        })
    }

    /// The nodes of all sources, each once, sorted.
    fn nodes(&self) -> BoxFuture<'_, Result<Vec<NodeName>, DiscoveryError>> {
        Box::pin(async move {
            let mut nodes = BTreeSet::new();
            for source in &self.sources {
                nodes.extend(source.nodes().await?);
            }
            Ok(nodes.into_iter().collect())
        })
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Chain of {} sources", self.sources.len())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{address, addresses, node};
    use super::super::{NameAtHost, StaticMap, from_fn};
    use super::*;

    #[test]
    fn the_first_source_that_knows_answers() {
        let chain = Chain::new()
            .then(StaticMap::new().node(node("b@h"), address("first:1")))
            .then_shared(Arc::new(StaticMap::new().node(node("b@h"), address("second:2"))))
            .then(NameAtHost { port: 3 });
        assert_eq!(addresses(&chain, "b@h").unwrap(), [address("first:1")]);
        assert_eq!(addresses(&chain, "c@h").unwrap(), [address("h:3")]);
        assert_eq!(futures::executor::block_on(chain.nodes()).unwrap(), [node("b@h")]);
    }

    #[test]
    fn a_node_nobody_knows_names_all_who_were_asked() {
        let silent = from_fn("the directory", |_| Ok::<_, String>(Vec::new()));
        let error = addresses(&Chain::new().then(StaticMap::new()).then(silent), "b@h").unwrap_err();
        assert_eq!(error.to_string(), "no address for node b@h: asked the static map, the directory");
        assert!(addresses(&Chain::new(), "b@h").is_err());
    }

    #[test]
    fn a_source_that_fails_is_not_passed_over() {
        let broken = from_fn("the directory", |_| Err::<Vec<Address>, _>("it is down"));
        let error = addresses(&Chain::new().then(broken).then(NameAtHost { port: 1 }), "b@h").unwrap_err();
        assert_eq!(error.to_string(), "discovery by the directory failed: it is down");
    }
}
