//! Putting a node together: from code, from a configuration, or both.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use actix::Actor;
use farcall_proto::link::handshake::{Cookie, Keyring};
use farcall_proto::peer::{NameError, NodeName};
use parking_lot::Mutex;

use super::exporter::Exporter;
use super::listen::{Opened, listen};
use super::own::Own;
use super::{Inner, Node, watch};
use crate::acceptor::Acceptors;
use crate::access::AccessList;
use crate::batch::RemoteActor;
use crate::cluster::Cluster;
use crate::config::{Config, ConfigError, Listen, MapperUse, PortRange};
use crate::context::{Context, Cookies, Given};
use crate::cookie::{CookieFile, CookieFileError};
use crate::discovery::{Address, AddressError, Discovery};
use crate::dispatcher::Clients;
use crate::driver::Driver;
use crate::listener::Listening;
use crate::log_switch::LogSwitch;
use crate::portmap::{NotRegistered, PortMap};
use crate::registry::{RESERVED, RegisterError, Registry, RegistryLimits};
use crate::rpc::Caller;
use crate::tls::{Tls, TlsError, TlsMaterial};
use crate::trace::Tracer;

/// Puts a node together. Everything has a default but the name.
#[must_use = "a node begins with start()"]
pub struct NodeBuilder {
    name: Option<String>,
    config: Config,
    keyring: Option<Keyring>,
    tls: Option<TlsMaterial>,
    discovery: Option<Arc<dyn Discovery>>,
    log_switch: Option<LogSwitch>,
    tracer: Tracer,
    problem: Option<StartError>,
}

impl std::fmt::Debug for NodeBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NodeBuilder").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Why a node did not start. Nothing of it is left running. `Debug` is the same sentence: it is what a `main` prints that
/// returns it.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Neither builder nor configuration names the node.
    #[error("the node has no name: set name = \"alpha@127.0.0.1\", FARCALL_NAME, or Node::builder(..)")]
    NoName,
    /// The name is no node name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The configuration does not hold together.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// An address cannot be read.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The cookie file cannot be used.
    #[error(transparent)]
    Cookie(#[from] CookieFileError),
    /// Certificates, keys or authorities cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Plain TCP would be open to a network.
    #[error(
        "plain TCP on {address} is open to the network: whoever is on it can read and change what nodes say. Use \
         driver = \"tls\" (`farcall cert` makes what it needs), or set allow_plaintext = true if the network is trusted"
    )]
    Plaintext {
        /// The address.
        address: SocketAddr,
    },
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {error}{}", hint(error))]
    Listen {
        /// The address.
        address: String,
        /// What the system said.
        error: io::Error,
    },
    /// The page for Prometheus cannot be served there.
    #[error("cannot serve metrics on {address}: {error}; set metrics_listen to another address, or off")]
    MetricsListen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// No port of the range is free.
    #[error("no port of {range} is free on {host}: {tried}; stop what runs there, or widen ports")]
    NoFreePort {
        /// What `ports` says.
        range: PortRange,
        /// Where it was to listen.
        host: IpAddr,
        /// Every port that was tried, and what holds it as far as that is known.
        tried: String,
    },
    /// A living process of this host has the name, as its port mapper says.
    #[error("{reason}")]
    NameInUse {
        /// The name, the process and port that have it as far as they are known, and what to do.
        reason: String,
    },
    /// The port mapper of this host does not take this node, and this node cannot serve one.
    #[error("{reason}")]
    Mapper {
        /// Why, and what to do.
        reason: String,
    },
    /// The system gives no random numbers, or no thread for the heartbeats.
    #[error("the system gives no random numbers or no thread: {0}")]
    System(io::Error),
    /// The reserved actor could not be registered.
    #[error(transparent)]
    Register(#[from] RegisterError),
    /// Not called on an actix arbiter.
    #[error("a node starts on an actix arbiter: use #[actix::main] or System::new().block_on(..)")]
    NoArbiter,
}

impl fmt::Debug for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "; is another node running there? Set tcp.listen or tls.listen, and port 0 for any free one"
        }
        io::ErrorKind::AddrNotAvailable => {
            "; that is no address of this host: set tcp.listen or tls.listen, for example to 0.0.0.0:5370"
        }
        io::ErrorKind::PermissionDenied => "; ports below 1024 need privileges",
        _ => "",
    }
}

impl NodeBuilder {
    pub(super) fn new(name: String) -> Self {
        let config = Config::default();
        Self {
            name: Some(name),
            config,
            keyring: None,
            tls: None,
            discovery: None,
            log_switch: None,
            tracer: Tracer::default(),
            problem: None,
        }
    }

    pub(super) fn from_config(config: Config) -> Self {
        Self {
            name: None,
            config,
            keyring: None,
            tls: None,
            discovery: None,
            log_switch: None,
            tracer: Tracer::default(),
            problem: None,
        }
    }

    /// Listens on these addresses instead of the host part of its name; port 0 takes a free one.
    pub fn listen(mut self, addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        self.config.tcp.listen = Listen::On(addresses.into_iter().collect());
        self
    }

    /// Listens for TLS on these addresses; port 0 takes a free one.
    pub fn listen_tls(mut self, addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        self.config.tls.listen = Listen::On(addresses.into_iter().collect());
        self
    }

    /// Listens nowhere: this node calls others and is not called.
    pub fn no_listener(mut self) -> Self {
        self.config.tcp.listen = Listen::Off;
        self.config.tls.listen = Listen::Off;
        self
    }

    /// How nodes are dialled whose address does not say.
    pub fn driver(mut self, driver: Driver) -> Self {
        self.config.driver = driver;
        self
    }

    /// Certificates, keys and authorities as texts, for programs that keep their secrets elsewhere. Otherwise they are
    /// read from the files of the configuration.
    pub fn tls(mut self, material: TlsMaterial) -> Self {
        self.tls = Some(material);
        self
    }

    /// Where a node is, when the host part of its name does not say.
    pub fn node(mut self, name: impl AsRef<str>, address: impl AsRef<str>) -> Self {
        let parsed = name.as_ref().parse::<NodeName>().map_err(StartError::from);
        let parsed = parsed.and_then(|name| Ok((name, address.as_ref().parse::<Address>()?)));
        match parsed {
            Ok((name, address)) => {
                self.config.nodes.insert(name, address);
            }
            Err(error) => self.problem = Some(error),
        }
        self
    }

    /// Makes a span of every request that this node sends or gets, and lets traces go on across nodes; see
    /// [`trace`](crate::trace). Without it there are none.
    #[cfg(feature = "tracing")]
    pub fn tracing(mut self, bridge: impl crate::trace::Bridge) -> Self {
        self.tracer = Tracer::new(bridge);
        self
    }

    /// Lets operators change what this program logs, while it runs: those that `access.operate` lists.
    pub fn log_switch(mut self, switch: LogSwitch) -> Self {
        self.log_switch = Some(switch);
        self
    }

    /// Where nodes are: asked at every connect, instead of what the configuration says.
    pub fn discovery(mut self, discovery: impl Discovery) -> Self {
        self.discovery = Some(Arc::new(discovery));
        self
    }

    /// The cookie file to use instead of the default one.
    pub fn cookie_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.config.cookie_file = Some(path.into());
        self
    }

    /// The cookie itself, for programs that keep their secrets elsewhere.
    pub fn cookie(self, cookie: Cookie) -> Self {
        self.keyring(Keyring::new(cookie))
    }

    /// The cookies themselves: the first proves this node, any is accepted.
    pub fn keyring(mut self, keyring: Keyring) -> Self {
        self.keyring = Some(keyring);
        self
    }

    /// Which actors may be reached at all.
    pub fn access(mut self, access: AccessList) -> Self {
        self.config.access = access;
        self
    }

    /// Changes any other setting: `.configure(|config| config.call_timeout = Duration::from_secs(2))`.
    pub fn configure(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    /// Starts the node on this arbiter. It listens when this returns.
    ///
    /// # Errors
    /// [`StartError`]: nothing is left running.
    ///
    /// # Cancel safety
    /// Dropped before it is done, listeners that were opened are closed again.
    pub async fn start(self) -> Result<Node, StartError> {
        if let Some(problem) = self.problem {
            return Err(problem);
        }
        if actix_rt::Arbiter::try_current().is_none() && actix_rt::System::try_current().is_none() {
            return Err(StartError::NoArbiter);
        }
        let mut config = self.config;
        let name = match self.name {
            Some(name) => name.parse()?,
            None => config.name.clone().ok_or(StartError::NoName)?,
        };
        config.name = Some(name.clone());
        config.validate()?;
        let cookies = match self.keyring {
            None if config.needs_cookie() => load_cookies(config.cookie_file.clone()).await?,
            keyring => Cookies { keyring, file: None },
        };
        let tls = match config.uses_tls() || self.tls.is_some() {
            true => Some(load_tls(&name, &config, self.tls).await?),
            false => None,
        };
        let discovery = self.discovery.unwrap_or_else(|| Arc::new(config.discovery()));
        let limits = RegistryLimits {
            names_max: config.names_max,
            mailbox_messages_max: config.mailbox_messages_max,
            mailbox_bytes_max: config.mailbox_bytes_max,
        };
        let registry = Registry::new(config.access.clone(), limits);
        let given = Given { discovery, log_switch: self.log_switch, tracer: self.tracer };
        let context =
            Context::new(name, config, cookies, tls, registry, given).map_err(StartError::System)?;
        let acceptors = Arc::new(Acceptors::default());
        // Whoever comes in finds the node whole.
        let unstarted = Unstarted(Some(assemble(&context, acceptors.clone())?));
        let opened = listen(&context, &acceptors).await?;
        let exporter = match (context.config.metrics_listen, &unstarted.0) {
            (Some(address), Some(node)) => match Exporter::start(node, address).await {
                Ok(exporter) => Some(exporter),
                Err(error) => {
                    opened.close().await;
                    return Err(StartError::MetricsListen { address, error });
                }
            },
            _ => None,
        };
        let portmap = match register(&context, &opened).await {
            Ok(portmap) => portmap,
            Err(error) => {
                opened.close().await;
                acceptors.stop(None);
                return Err(error);
            }
        };
        let node = unstarted.started()?;
        *node.0.listeners.lock() = opened.keep();
        *node.0.portmap.lock() = portmap;
        *node.0.exporter.lock() = exporter;
        if !context.config.services.rules.is_empty() {
            node.services();
        }
        if context.tls.is_some() {
            watch::certificates(&context);
        }
        Ok(node)
    }
}

/// A node that does not listen yet, with its own actor.
fn assemble(context: &Arc<Context>, acceptors: Arc<Acceptors>) -> Result<Node, StartError> {
    let clients = Clients::new(context.clone(), acceptors.clone());
    let caller = Arc::new(Caller { context: context.clone(), clients });
    let weak: std::sync::Weak<Caller> = Arc::downgrade(&caller);
    context.set_binding(weak);
    let cluster = Cluster::new(caller.clone(), actix_rt::Arbiter::current());
    let node = Node(Arc::new(Inner {
        caller,
        cluster,
        services: OnceLock::new(),
        acceptors,
        listeners: Mutex::default(),
        portmap: Mutex::default(),
        exporter: Mutex::default(),
    }));
    let own = Own::new(node.clone()).start();
    let messages = Own::entries().iter().map(crate::batch::Entry::info).collect();
    context.registry.insert(RESERVED, messages, own.recipient())?;
    Ok(node)
}

/// A node that may come to nothing: dropped, its own actor ends, which would keep it otherwise.
struct Unstarted(Option<Node>);

impl Unstarted {
    fn started(mut self) -> Result<Node, StartError> {
        self.0.take().ok_or(StartError::NoArbiter)
    }
}

impl Drop for Unstarted {
    fn drop(&mut self) {
        if let Some(node) = &self.0 {
            node.0.caller.context.registry.clear();
        }
    }
}

/// File work does not belong on an arbiter.
async fn load_cookies(path: Option<PathBuf>) -> Result<Cookies, StartError> {
    let load = move || -> Result<Cookies, CookieFileError> {
        let path = path.map_or_else(CookieFile::default_path, Ok)?;
        let keyring = CookieFile::load_or_create(&path)?;
        Ok(Cookies { keyring: Some(keyring), file: Some(path) })
    };
    match tokio::task::spawn_blocking(load).await {
        Ok(cookies) => Ok(cookies?),
        Err(_) => Err(StartError::NoArbiter),
    }
}

/// File work and signatures do not belong on an arbiter either.
async fn load_tls(
    name: &NodeName,
    config: &Config,
    material: Option<TlsMaterial>,
) -> Result<Tls, StartError> {
    let (name, config) = (name.clone(), config.clone());
    match tokio::task::spawn_blocking(move || Tls::new(&name, &config, material)).await {
        Ok(tls) => Ok(tls?),
        Err(_) => Err(StartError::NoArbiter),
    }
}

/// Puts the name into the port mapper of this host, if that is used and the node is called at all: at the port of the
/// driver by which it is dialled, if it listens with that.
async fn register(context: &Arc<Context>, opened: &Opened) -> Result<Option<PortMap>, StartError> {
    let config = &context.config;
    let of_driver = |listening: &&Listening| listening.driver == config.driver;
    let listening = opened.0.iter().find(of_driver).or(opened.0.first());
    let (MapperUse::Auto, Some(listening)) = (config.mapper.mode, listening) else { return Ok(None) };
    match PortMap::start(context, listening.address.port(), listening.driver == Driver::Tls).await {
        Ok(portmap) => Ok(Some(portmap)),
        Err(NotRegistered::NameInUse(reason)) => Err(StartError::NameInUse { reason }),
        Err(NotRegistered::Refused(reason)) => Err(StartError::Mapper { reason }),
        Err(NotRegistered::System(error)) => Err(StartError::System(error)),
    }
}
