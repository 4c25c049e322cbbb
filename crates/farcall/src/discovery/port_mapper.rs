//! Asking the port mapper of a node's host for its port: epmd, or that of a farcall node.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use farcall_proto::link::handshake::Keyring;
use farcall_proto::peer::NodeName;
use farcall_proto::portmap::epmd::{self, Entry, EpmdError, Request};
use farcall_proto::portmap::{Challenge, Hello, List, Mark, Name};
use futures::future::BoxFuture;
use parking_lot::Mutex;
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Address, Discovery, DiscoveryError};
use crate::driver::Driver;

/// Finds `name@host` by asking the mapper of that host: epmd's port, epmd's protocol.
///
/// A host on which nothing listens at the mapper's port has no mapper, and the next source is asked; so it is if the
/// name there is not a farcall node's. A mapper that listens and does not answer, or answers nonsense, is broken, and ends
/// the search. An answer is kept for one thing only: a mapper that has just ended and whose place nobody has taken yet.
///
/// ```
/// use farcall::discovery::{Chain, NameAtHost, PortMapper};
///
/// let sources = Chain::new().then(PortMapper::new(4369)).then(NameAtHost { port: 5369 });
/// # drop(sources);
/// ```
#[derive(Debug)]
pub struct PortMapper {
    port: u16,
    own: Option<(String, IpAddr)>,
    last: Mutex<BTreeMap<NodeName, Address>>,
}

/// Why a mapper gave no answer.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MapperError {
    /// Nothing listens there.
    #[error("no port mapper listens on {at}")]
    Nobody {
        /// Where it would.
        at: Address,
    },
    /// It cannot be reached, or hung up.
    #[error("the port mapper on {at} cannot be asked: {error}")]
    Broken {
        /// Where it is.
        at: Address,
        /// What the system said.
        #[source]
        error: io::Error,
    },
    /// It listens and is silent.
    #[error("the port mapper on {at} gave no answer within {} s", PortMapper::WITHIN.as_secs())]
    Silent {
        /// Where it is.
        at: Address,
    },
    /// A farcall node's mapper that does not believe the cookie, or the cluster.
    #[error("the port mapper on {at} lists names for nodes of its cluster only: the cookie was not believed")]
    NotProved {
        /// Where it is.
        at: Address,
    },
    /// What listens there is no mapper.
    #[error("what listens on {at} is no port mapper: {error}")]
    Nonsense {
        /// Where it is.
        at: Address,
        /// What is wrong with its answer.
        #[source]
        error: EpmdError,
    },
}

impl PortMapper {
    /// The longest that one question takes.
    pub const WITHIN: Duration = Duration::from_secs(2);
    /// The most answers kept for the time without a mapper.
    pub const KEPT_MAX: usize = 1024;

    /// Asks on this port.
    pub fn new(port: u16) -> Self {
        Self { port, own: None, last: Mutex::default() }
    }

    /// Nodes of this host part are on this machine: their mapper is asked at this address, as it need not listen on the
    /// one in their names.
    #[must_use]
    pub fn own_host(mut self, host: impl Into<String>, at: IpAddr) -> Self {
        self.own = Some((host.into(), at));
        self
    }

    /// The names that the mapper at this address knows, with their ports: also those of Erlang nodes, if it is epmd.
    ///
    /// # Errors
    /// [`MapperError`]: it did not answer.
    ///
    /// # Cancel safety
    /// Dropped before the end, the question ends with its connection.
    pub async fn names(at: &Address) -> Result<Vec<(String, u16)>, MapperError> {
        let list = ask(at, &Request::Names, epmd::NAMES_BYTES_MAX).await?;
        let names = epmd::decode_names(&list);
        let names = names.map_err(|error| MapperError::Nonsense { at: at.clone(), error })?;
        Ok(names.into_iter().map(|(name, port)| (name.as_str().to_owned(), port)).collect())
    }

    /// As [`PortMapper::names`], from any host: a farcall node's mapper lists its names for whoever proves the cookie of its
    /// cluster; an epmd does for anybody.
    ///
    /// # Errors
    /// [`MapperError`]: it did not answer, or does not believe the cookie.
    ///
    /// # Cancel safety
    /// Dropped before the end, the question ends with its connection.
    pub async fn names_with(
        at: &Address,
        keyring: &Keyring,
        cluster: &str,
    ) -> Result<Vec<(String, u16)>, MapperError> {
        let asked = async {
            let mut stream = TcpStream::connect((at.host(), at.port())).await?;
            stream.write_all(&Hello::encode()).await?;
            let mut challenge = [0; CHALLENGE_BYTES];
            if stream.read_exact(&mut challenge).await.is_err() {
                // An epmd hangs up on words that it does not know.
                return Ok::<_, io::Error>(None);
            }
            let challenge = challenge.get(epmd::LENGTH_BYTES..).unwrap_or_default();
            let challenge = Challenge::decode(challenge).map_err(io::Error::other)?;
            stream.write_all(&List::new(challenge, keyring, cluster).encode()).await?;
            let mut list = Vec::new();
            (&mut stream).take(epmd::NAMES_BYTES_MAX as u64 + 1).read_to_end(&mut list).await?;
            Ok(Some(list))
        };
        let broken = |error| MapperError::Broken { at: at.clone(), error };
        let list = match tokio::time::timeout(Self::WITHIN, asked).await {
            Ok(Ok(Some(list))) if list.is_empty() => return Err(MapperError::NotProved { at: at.clone() }),
            Ok(Ok(Some(list))) => list,
            Ok(Ok(None)) => return Self::names(at).await,
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                return Err(MapperError::Nobody { at: at.clone() });
            }
            Ok(Err(error)) => return Err(broken(error)),
            Err(_) => return Err(MapperError::Silent { at: at.clone() }),
        };
        let names = epmd::decode_names(&list);
        let names = names.map_err(|error| MapperError::Nonsense { at: at.clone(), error })?;
        Ok(names.into_iter().map(|(name, port)| (name.as_str().to_owned(), port)).collect())
    }

    /// What the mapper at this address knows of a name.
    pub(crate) async fn look_up(
        at: &Address,
        name: &Name,
    ) -> Result<Option<(u16, Option<Mark>)>, MapperError> {
        let answer = ask(at, &Request::PortPlease2(name.clone()), epmd::FOUND_BYTES_MAX).await?;
        let found = epmd::decode_found(&answer);
        let found = found.map_err(|error| MapperError::Nonsense { at: at.clone(), error })?;
        Ok(found.map(|entry: Entry| (entry.port, entry.mark())))
    }

    async fn find(&self, node: &NodeName) -> Result<Vec<Address>, DiscoveryError> {
        let failed = |error: Box<dyn std::error::Error + Send + Sync>| {
            DiscoveryError::failed("the port mapper of the node's host", error)
        };
        let named = Address::of_node(node, self.port).map_err(|error| failed(error.into()))?;
        let at = match &self.own {
            Some((host, ip)) if host == node.host() => Address::new(ip.to_string(), self.port),
            _ => Address::new(named.host(), self.port),
        };
        let at = at.map_err(|error| failed(error.into()))?;
        let unknown = |why: &str| DiscoveryError::not_found(node, format!("the port mapper on {at} ({why})"));
        match Self::look_up(&at, &Name::from(node)).await {
            Ok(Some((port, Some(mark)))) => {
                let mut address = Address::new(named.host(), port).map_err(|error| failed(error.into()))?;
                // A mapper proves nothing. It may ask for TLS; it does not get to talk this node out of it.
                if mark.tls {
                    address = address.with_driver(Driver::Tls);
                }
                self.keep(node, &address);
                Ok(vec![address])
            }
            Ok(Some((_, None))) => Err(unknown("the name is not a farcall node's")),
            Ok(None) => {
                self.last.lock().remove(node);
                Err(unknown("it does not know the name"))
            }
            Err(MapperError::Nobody { .. }) => match self.last.lock().get(node) {
                Some(address) => Ok(vec![address.clone()]),
                None => Err(unknown("nothing listens there")),
            },
            Err(error) => Err(failed(error.into())),
        }
    }

    fn keep(&self, node: &NodeName, address: &Address) {
        let mut last = self.last.lock();
        if last.len() >= Self::KEPT_MAX && !last.contains_key(node) {
            last.pop_first();
        }
        last.insert(node.clone(), address.clone());
    }
}

impl Discovery for PortMapper {
    fn addresses<'a>(&'a self, node: &'a NodeName) -> BoxFuture<'a, Result<Vec<Address>, DiscoveryError>> {
        Box::pin(async move {
            match Address::port_in_name(node) {
                true => Err(DiscoveryError::not_found(node, "no port mapper: the name carries a port")),
                false => self.find(node).await,
            }
        })
    }
}

/// A challenge with its length: its kind and 32 random bytes.
const CHALLENGE_BYTES: usize = epmd::LENGTH_BYTES + 33;

/// One question; the answer ends with the connection.
async fn ask(at: &Address, request: &Request, bytes_max: usize) -> Result<Vec<u8>, MapperError> {
    let asked = async {
        let mut stream = TcpStream::connect((at.host(), at.port())).await?;
        stream.write_all(&request.encode()).await?;
        let mut answer = Vec::new();
        (&mut stream).take(bytes_max as u64 + 1).read_to_end(&mut answer).await?;
        match answer.len() > bytes_max {
            true => Err(io::Error::other(format!("its answer is longer than {bytes_max} bytes"))),
            false => Ok(answer),
        }
    };
    let at = at.clone();
    match tokio::time::timeout(PortMapper::WITHIN, asked).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => Err(MapperError::Nobody { at }),
        Ok(Err(error)) => Err(MapperError::Broken { at, error }),
        Err(_) => Err(MapperError::Silent { at }),
    }
}
