//! Addresses that are known at start: written down, or given by the name of the node itself.

use std::collections::BTreeMap;
use std::future::ready;

use farcall_proto::peer::NodeName;
use futures::future::BoxFuture;

use super::{Address, Discovery, DiscoveryError};

/// A fixed table from node names to addresses.
///
/// ```
/// use farcall::StaticMap;
///
/// let map = StaticMap::new()
///     .node("beta@10.0.0.2".parse()?, "10.0.0.2:7000".parse()?)
///     .node("gamma@x".parse()?, "[::1]:5369".parse()?);
/// # drop(map);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct StaticMap {
    nodes: BTreeMap<NodeName, Vec<Address>>,
}

impl StaticMap {
    /// An empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an address of a node; the addresses of one node are dialled in the order they were added.
    #[must_use]
    pub fn node(mut self, node: NodeName, address: Address) -> Self {
        self.nodes.entry(node).or_default().push(address);
        self
    }
}

impl FromIterator<(NodeName, Address)> for StaticMap {
    fn from_iter<I: IntoIterator<Item = (NodeName, Address)>>(entries: I) -> Self {
        entries.into_iter().fold(Self::new(), |map, (node, address)| map.node(node, address))
    }
}

impl Discovery for StaticMap {
    fn addresses<'a>(&'a self, node: &'a NodeName) -> BoxFuture<'a, Result<Vec<Address>, DiscoveryError>> {
        let found = self.nodes.get(node).cloned();
        Box::pin(ready(found.ok_or_else(|| DiscoveryError::not_found(node, "the static map"))))
    }

    fn nodes(&self) -> BoxFuture<'_, Result<Vec<NodeName>, DiscoveryError>> {
        Box::pin(ready(Ok(self.nodes.keys().cloned().collect())))
    }
}

/// The rule that needs no table: a node is at the host its name ends in, at one port for all.
///
/// A host part that carries a port of its own (`beta@10.0.0.2:7000`) is dialled there.
#[derive(Debug, Clone, Copy)]
pub struct NameAtHost {
    /// The port of nodes whose names carry none.
    pub port: u16,
}

impl Discovery for NameAtHost {
    fn addresses<'a>(&'a self, node: &'a NodeName) -> BoxFuture<'a, Result<Vec<Address>, DiscoveryError>> {
        let address = Address::of_node(node, self.port);
        Box::pin(ready(match address {
            Ok(address) => Ok(vec![address]),
            Err(error) => Err(DiscoveryError::failed("the host part of the node's name", error)),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{address, addresses, node};
    use super::*;

    #[test]
    fn a_static_map_knows_what_it_was_told_in_the_order_it_was_told() {
        let map = StaticMap::new()
            .node(node("b@h"), address("h2:2"))
            .node(node("b@h"), address("h1:1"))
            .node(node("a@h"), address("h:3"));
        assert_eq!(addresses(&map, "b@h").unwrap(), [address("h2:2"), address("h1:1")]);
        assert!(matches!(addresses(&map, "c@h"), Err(DiscoveryError::NotFound { .. })));
        let nodes = futures::executor::block_on(map.nodes()).unwrap();
        assert_eq!(nodes, [node("a@h"), node("b@h")]);
    }

    #[test]
    fn name_at_host_dials_the_host_of_the_name() {
        let rule = NameAtHost { port: 5369 };
        assert_eq!(addresses(&rule, "b@10.0.0.2").unwrap(), [address("10.0.0.2:5369")]);
        assert_eq!(addresses(&rule, "b@::1").unwrap(), [address("[::1]:5369")]);
        assert!(matches!(addresses(&rule, "b@h:0"), Err(DiscoveryError::Failed { .. })));
    }
}
