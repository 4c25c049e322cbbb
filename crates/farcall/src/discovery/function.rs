//! A function of the application as a source of addresses: gen_rpc's external source.

use std::error::Error as StdError;
use std::fmt;
use std::future::{Future, ready};

use farcall_proto::peer::NodeName;
use futures::future::BoxFuture;

use super::{Address, Discovery, DiscoveryError};

/// A source that asks a function which answers at once. `asked` names the source in errors.
///
/// The function runs on the thread that connects, so it must not block; see [`from_async_fn`] for one that waits.
///
/// ```
/// use farcall::{Address, discovery::from_fn};
///
/// let source = from_fn("the table of shards", |node| match node.short() {
///     "shard1" => Address::new("10.0.0.1", 7000).map(|address| vec![address]),
///     _ => Ok(vec![]), // not known here
/// });
/// # drop(source);
/// ```
pub fn from_fn<F, E>(asked: impl Into<String>, find: F) -> FromFn<F>
where
    F: Fn(&NodeName) -> Result<Vec<Address>, E> + Send + Sync + 'static,
    E: Into<Box<dyn StdError + Send + Sync>>,
{
    FromFn { asked: asked.into(), find }
}

/// A source that asks a function which may wait. `asked` names the source in errors.
///
/// ```
/// use farcall::{Address, discovery::from_async_fn};
///
/// let source = from_async_fn("service records", |node| async move {
///     let found = tokio::net::lookup_host((node.short(), 5369)).await?;
///     Ok::<_, std::io::Error>(found.filter_map(|socket| Address::try_from(socket).ok()).collect())
/// });
/// # drop(source);
/// ```
pub fn from_async_fn<F, W, E>(asked: impl Into<String>, find: F) -> FromAsyncFn<F>
where
    F: Fn(NodeName) -> W + Send + Sync + 'static,
    W: Future<Output = Result<Vec<Address>, E>> + Send + 'static,
    E: Into<Box<dyn StdError + Send + Sync>>,
{
    FromAsyncFn { asked: asked.into(), find }
}

/// What [`from_fn`] returns.
pub struct FromFn<F> {
    asked: String,
    find: F,
}

/// What [`from_async_fn`] returns.
pub struct FromAsyncFn<F> {
    asked: String,
    find: F,
}

impl<F, E> Discovery for FromFn<F>
where
    F: Fn(&NodeName) -> Result<Vec<Address>, E> + Send + Sync + 'static,
    E: Into<Box<dyn StdError + Send + Sync>>,
{
    fn addresses<'a>(&'a self, node: &'a NodeName) -> BoxFuture<'a, Result<Vec<Address>, DiscoveryError>> {
        Box::pin(ready(judged(node, &self.asked, (self.find)(node))))
    }
}

impl<F, W, E> Discovery for FromAsyncFn<F>
where
    F: Fn(NodeName) -> W + Send + Sync + 'static,
    W: Future<Output = Result<Vec<Address>, E>> + Send + 'static,
    E: Into<Box<dyn StdError + Send + Sync>>,
{
    fn addresses<'a>(&'a self, node: &'a NodeName) -> BoxFuture<'a, Result<Vec<Address>, DiscoveryError>> {
        let found = (self.find)(node.clone());
        Box::pin(async move { judged(node, &self.asked, found.await) })
    }
}

impl<F> fmt::Debug for FromFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FromFn").field(&self.asked).finish()
    }
}

impl<F> fmt::Debug for FromAsyncFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FromAsyncFn").field(&self.asked).finish()
    }
}

fn judged<E: Into<Box<dyn StdError + Send + Sync>>>(
    node: &NodeName,
    asked: &str,
    found: Result<Vec<Address>, E>,
) -> Result<Vec<Address>, DiscoveryError> {
    match found {
        Ok(addresses) if addresses.is_empty() => Err(DiscoveryError::not_found(node, asked)),
        Ok(addresses) => Ok(addresses),
        Err(reason) => Err(DiscoveryError::failed(asked, reason)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{address, addresses};
    use super::*;

    fn find(node: &NodeName) -> Result<Vec<Address>, String> {
        match node.short() {
            "known" => Ok(vec![address("h:1")]),
            "unknown" => Ok(Vec::new()),
            _ => Err("the directory is down".to_owned()),
        }
    }

    #[test]
    fn a_function_is_asked_with_the_node_and_its_failure_keeps_its_reason() {
        let sync: Box<dyn Discovery> = Box::new(from_fn("the directory", find));
        let waiting = from_async_fn("the directory", |node: NodeName| async move {
            futures::future::join(ready(()), ready(())).await;
            find(&node)
        });
        for source in [sync, Box::new(waiting)] {
            assert_eq!(addresses(&*source, "known@x").unwrap(), [address("h:1")]);
            let unknown = addresses(&*source, "unknown@x").unwrap_err();
            assert_eq!(unknown.to_string(), "no address for node unknown@x: asked the directory");
            let failed = addresses(&*source, "other@x").unwrap_err();
            assert_eq!(failed.to_string(), "discovery by the directory failed: the directory is down");
        }
    }
}
