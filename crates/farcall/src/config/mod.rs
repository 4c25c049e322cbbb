//! Everything that can be set, in one place: defaults, then a TOML file, then the environment.
//!
//! ```text
//! Config::default()  <-  farcall.toml (or what FARCALL_CONFIG names)  <-  FARCALL_* variables
//! ```
//! A configuration is validated as a whole before it is used, and every error names its key. Secrets are no part of
//! it: there is a key for the file that holds the cookie, and none for the cookie.

mod check;
mod error;
mod keys;
mod layers;
mod mapper;
mod services;
mod strangers;
mod tcp;
#[cfg(test)]
mod tests;
mod tls;
mod units;
mod written;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use farcall_proto::gate::GateLimits;
use farcall_proto::peer::NodeName;
use serde::Deserialize;
use toml::Table;

pub use self::error::{ConfigError, Origin};
pub(crate) use self::keys::is_of;
pub use self::keys::{KeyDoc, Unit, keys};
pub use self::mapper::{MapperConfig, MapperUse, PortRange};
pub use self::services::ServicesConfig;
pub use self::strangers::StrangersConfig;
pub use self::tcp::{Listen, ListenOn, TcpConfig};
pub use self::tls::{Auth, TlsConfig, TlsVersion};
pub(crate) use self::written::Written;
use crate::access::AccessList;
use crate::compress::Compress;
use crate::discovery::{Address, AddressError, Chain, FileMap, NameAtHost, PortMapper, StaticMap};
pub use crate::driver::Driver;

/// Every setting of a node. The fields are the keys of the file; [`keys`] lists them with their defaults.
///
/// ```
/// use farcall::Config;
///
/// let config = Config::from_toml(r#"
///     name = "alpha@127.0.0.1"
///     call_timeout = "2s"
///     compress = "lz4"
///     [tcp]
///     listen = ["127.0.0.1:5369", "[::1]:5369"]
///     [nodes]
///     "beta@10.0.0.2" = "10.0.0.2:7000"
/// "#)?;
/// assert_eq!(config.call_timeout.as_secs(), 2);
/// # Ok::<(), farcall::ConfigError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The node's name. Needed to start, here or from the builder.
    pub name: Option<NodeName>,
    /// Nodes of clusters with different names refuse each other.
    pub cluster: String,
    /// Stays out of what is meant for all nodes (Erlang's hidden nodes): a peer lists and reaches it only by its name.
    pub hidden: bool,
    /// The file that holds the cookie; `None` takes the one in the user's configuration folder.
    pub cookie_file: Option<PathBuf>,
    /// How nodes are dialled whose address does not say.
    pub driver: Driver,
    /// Lets plain TCP listen outside of the loopback, and dial there.
    pub allow_plaintext: bool,
    /// The settings of TCP, plain or below TLS.
    pub tcp: TcpConfig,
    /// The settings of TLS.
    pub tls: TlsConfig,
    /// Addresses of nodes, asked before every other source.
    pub nodes: BTreeMap<NodeName, Address>,
    /// A file of addresses, read again when it changes; asked after [`nodes`](Self::nodes). See [`FileMap`].
    pub discovery_file: Option<PathBuf>,
    /// Ports of which this node takes the first free one, where it listens on no certain one: at the host of its name
    /// unless that carries a port, and in place of port 0.
    #[serde(deserialize_with = "mapper::ports_or_off")]
    pub ports: Option<PortRange>,
    /// Whether nodes of one host are found by name, whatever their ports.
    pub mapper: MapperConfig,
    /// Where Prometheus may read what this node counts, at `/metrics`: without encryption and without a password.
    #[serde(deserialize_with = "tcp::address_or_off")]
    pub metrics_listen: Option<SocketAddr>,
    /// Which nodes are looked for, and for which services.
    pub services: ServicesConfig,
    /// Which registered actors peers may reach, and who may.
    pub access: AccessList,
    /// What inbound connections get before they have proved who they are.
    pub strangers: StrangersConfig,

    /// Discovery and dial together.
    #[serde(deserialize_with = "units::duration")]
    pub connect_timeout: Duration,
    /// The whole handshake, on both sides.
    #[serde(deserialize_with = "units::duration")]
    pub handshake_timeout: Duration,
    /// Waiting for room to send.
    #[serde(deserialize_with = "units::duration")]
    pub send_timeout: Duration,
    /// A call as a whole, unless it names its own.
    #[serde(deserialize_with = "units::duration")]
    pub call_timeout: Duration,
    /// An sbcast as a whole, unless it names its own.
    #[serde(deserialize_with = "units::duration")]
    pub sbcast_timeout: Duration,
    /// Closes an outgoing connection that nobody used for so long. A call in flight is use.
    #[serde(deserialize_with = "units::duration_or_off")]
    pub client_idle: Option<Duration>,
    /// Closes an incoming connection that nobody used for so long.
    #[serde(deserialize_with = "units::duration_or_off")]
    pub acceptor_idle: Option<Duration>,
    /// Drops the result of an `async_call` that nobody fetched for so long.
    #[serde(deserialize_with = "units::duration_or_off")]
    pub promise_ttl: Option<Duration>,
    /// How long a shutdown waits for work in progress; zero does not wait.
    #[serde(deserialize_with = "units::duration")]
    pub drain_timeout: Duration,

    /// A peer silent for so long is dead, give or take `tick / tick_intensity`. Announced to peers: each node is
    /// judged by its own tick, so they need not be equal.
    #[serde(deserialize_with = "units::duration")]
    pub tick: Duration,
    /// Signs of life this node sends within one tick when it has nothing else to say.
    pub tick_intensity: u32,
    /// Closes a connection whose peer ticks but reads nothing.
    #[serde(deserialize_with = "units::duration")]
    pub write_stall_timeout: Duration,
    /// The pause after the first failed connect; it doubles up to [`backoff_max`](Self::backoff_max).
    #[serde(deserialize_with = "units::duration")]
    pub backoff_min: Duration,
    /// The longest pause between connects.
    #[serde(deserialize_with = "units::duration")]
    pub backoff_max: Duration,
    /// Connections to one node; keys beyond share them by hash.
    pub connections_per_node_max: usize,
    /// A connection with nothing to do looks again for so long before it sleeps, if that paid off lately. It saves
    /// waking a core that sleeps, where that is dear (virtual machines: about 20 µs): a lone call between two cores took
    /// 21 µs instead of 58 with 50 µs of it. Where both ends share a core it costs: 0.7 of the rate without.
    #[serde(deserialize_with = "units::duration_or_off")]
    pub idle_spin: Option<Duration>,

    /// The largest message, request or reply.
    #[serde(deserialize_with = "units::bytes")]
    pub message_bytes_max: usize,
    /// Larger messages travel in pieces of this size, between the others.
    #[serde(deserialize_with = "units::bytes")]
    pub fragment_bytes: usize,
    /// Bytes accepted for sending and not yet sent, per connection.
    #[serde(deserialize_with = "units::bytes")]
    pub unsent_bytes_max: usize,
    /// Calls without an answer, per connection.
    pub in_flight_max: usize,
    /// Pieces of messages that are not complete yet, per connection.
    #[serde(deserialize_with = "units::bytes")]
    pub reassembly_bytes_max: usize,
    /// Open streams, per connection.
    pub streams_max: usize,
    /// Items of a stream sent ahead of its reader.
    #[serde(deserialize_with = "units::bytes")]
    pub stream_window_bytes: usize,
    /// Compresses what this node sends; what it receives may be compressed either way.
    pub compress: Compress,
    /// Smaller messages are not compressed; 0 compresses all.
    #[serde(deserialize_with = "units::bytes")]
    pub compress_threshold_bytes: usize,

    /// Messages of peers waiting for one actor.
    pub mailbox_messages_max: usize,
    /// Bytes of peers' messages waiting for one actor.
    #[serde(deserialize_with = "units::bytes")]
    pub mailbox_bytes_max: usize,
    /// Waiting for room in a full mailbox before the peer is told `Busy`; zero does not wait.
    #[serde(deserialize_with = "units::duration")]
    pub mailbox_patience: Duration,
    /// Bytes of requests accepted from one connection and not yet answered.
    #[serde(deserialize_with = "units::bytes")]
    pub acceptor_bytes_max: usize,
    /// Actor and message names a peer may define, per connection.
    pub routes_max: usize,
    /// Names registered on this node.
    pub names_max: usize,
    /// The most members of groups on this node, and the most that are known of each peer.
    pub group_members_max: usize,
    /// The most monitors of this node; and the most monitors, and links, that each peer may have here.
    pub monitors_max: usize,
    /// Incoming connections that have not proved who they are.
    pub half_open_max: usize,
    /// Incoming connections.
    pub acceptors_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        const KIB: usize = 1 << 10;
        const MIB: usize = 1 << 20;
        Self {
            name: None,
            cluster: "farcall".to_owned(),
            hidden: false,
            cookie_file: None,
            driver: Driver::Tcp,
            allow_plaintext: false,
            tcp: TcpConfig::default(),
            tls: TlsConfig::default(),
            nodes: BTreeMap::new(),
            discovery_file: None,
            ports: None,
            metrics_listen: None,
            mapper: MapperConfig::default(),
            services: ServicesConfig::default(),
            access: AccessList::off(),
            strangers: StrangersConfig::default(),
            connect_timeout: Duration::from_secs(5),
            handshake_timeout: Duration::from_secs(5),
            send_timeout: Duration::from_secs(5),
            call_timeout: Duration::from_secs(15),
            sbcast_timeout: Duration::from_secs(15),
            client_idle: None,
            acceptor_idle: None,
            promise_ttl: None,
            drain_timeout: Duration::from_secs(30),
            tick: Duration::from_secs(10),
            tick_intensity: 4,
            write_stall_timeout: Duration::from_secs(30),
            backoff_min: Duration::from_millis(100),
            backoff_max: Duration::from_secs(30),
            connections_per_node_max: 64,
            idle_spin: None,
            message_bytes_max: 16 * MIB,
            fragment_bytes: 64 * KIB,
            unsent_bytes_max: 32 * MIB,
            in_flight_max: 65_536,
            reassembly_bytes_max: 64 * MIB,
            streams_max: 1024,
            stream_window_bytes: 256 * KIB,
            compress: Compress::Off,
            compress_threshold_bytes: KIB,
            mailbox_messages_max: 65_536,
            mailbox_bytes_max: 16 * MIB,
            mailbox_patience: Duration::from_millis(10),
            acceptor_bytes_max: 32 * MIB,
            routes_max: 4096,
            names_max: 65_536,
            group_members_max: 65_536,
            monitors_max: 1 << 20,
            half_open_max: GateLimits::default().half_open_max,
            acceptors_max: 4096,
        }
    }
}

impl Config {
    /// The largest file.
    pub const FILE_BYTES_MAX: u64 = 1 << 20;
    /// The longest name of a cluster, in bytes.
    pub const CLUSTER_BYTES_MAX: usize = 64;
    /// The most entries of [`nodes`](Self::nodes).
    pub const NODES_MAX: usize = 65_536;
    /// The file that [`load`](Self::load) reads if it is there and `FARCALL_CONFIG` names no other.
    pub const FILE_DEFAULT: &'static str = "farcall.toml";

    /// Defaults, then the file, then the environment; validated.
    ///
    /// The file is what `FARCALL_CONFIG` names, which must be there, or else `farcall.toml` in the working directory,
    /// which need not. The variables are those of [`KeyDoc::variable`]. Paths inside are relative to the working directory.
    ///
    /// # Errors
    /// [`ConfigError`]: also for a `FARCALL_` variable that means nothing, because it was meant to mean something.
    pub fn load() -> Result<Self, ConfigError> {
        Self::load_from(std::env::vars_os(), Self::FILE_DEFAULT)
    }

    /// As [`load`](Self::load), with an environment and a default file of the caller's choice.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_from<K: Into<OsString>, V: Into<OsString>>(
        variables: impl IntoIterator<Item = (K, V)>,
        file_default: impl AsRef<Path>,
    ) -> Result<Self, ConfigError> {
        let variables: Vec<(OsString, OsString)> =
            variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        let named =
            variables.iter().find(|(name, _)| name == layers::FILE_VARIABLE).map(|(_, path)| Path::new(path));
        let mut table = match named {
            Some(path) => read_file(path)?,
            None => match read_file(file_default.as_ref()) {
                Err(ConfigError::Unreadable { reason, .. }) if reason.kind() == io::ErrorKind::NotFound => {
                    Table::new()
                }
                read => read?,
            },
        };
        layers::overlay(&mut table, variables)?;
        Self::validated(table)
    }

    /// Defaults, then this file, and nothing else; validated.
    ///
    /// # Errors
    /// [`ConfigError`] if the file cannot be read or is not accepted.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        Self::validated(read_file(path.as_ref())?)
    }

    /// Defaults, then this TOML text, and nothing else; validated.
    ///
    /// # Errors
    /// [`ConfigError`] if the text is not accepted.
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        Self::validated(layers::read(text, &Origin::Text)?)
    }

    /// Whether the settings are allowed, each alone and all together. A node asks this at its start, whatever built
    /// the configuration.
    ///
    /// # Errors
    /// [`ConfigError::NotAllowed`] for the first setting that is not.
    pub fn validate(&self) -> Result<(), ConfigError> {
        check::check(self)
    }

    /// The sources of addresses this configuration names: [`nodes`](Self::nodes), then
    /// [`discovery_file`](Self::discovery_file), then the port that the node's name carries, then the mapper of its host if
    /// [`mapper`](Self::mapper) is used, then the host part of its name at the port of [`driver`](Self::driver).
    pub fn discovery(&self) -> Chain {
        let nodes = self.nodes.iter().map(|(node, address)| (node.clone(), address.clone()));
        let mut chain = Chain::new().then(StaticMap::from_iter(nodes));
        if let Some(path) = &self.discovery_file {
            chain = chain.then(FileMap::new(path));
        }
        if self.mapper.mode == MapperUse::Auto {
            chain = chain.then(self.port_mapper());
        }
        chain.then(NameAtHost { port: self.port(self.driver) })
    }

    /// Where this node asks for ports.
    fn port_mapper(&self) -> PortMapper {
        let mapper = PortMapper::new(self.mapper.port);
        match &self.name {
            Some(name) => mapper.own_host(name.host(), self.mapper.own_ip()),
            None => mapper,
        }
    }

    /// The port of nodes that have no address of their own.
    pub fn port(&self, driver: Driver) -> u16 {
        match driver {
            Driver::Tcp => self.tcp.port,
            Driver::Tls => self.tls.port,
        }
    }

    /// What to listen on with this driver, for a node of this name; empty if it does not listen. A port that the name
    /// carries is that of [`driver`](Self::driver).
    ///
    /// # Errors
    /// [`AddressError`] if the host part of the name is needed and is no host.
    pub fn listen_on(&self, driver: Driver, name: &NodeName) -> Result<Vec<ListenOn>, AddressError> {
        let listen = match driver {
            Driver::Tcp => &self.tcp.listen,
            Driver::Tls => &self.tls.listen,
        };
        match listen {
            Listen::Auto if driver == self.driver => {
                Ok(vec![ListenOn::Host(Address::of_node(name, self.port(driver))?)])
            }
            Listen::Auto | Listen::Off => Ok(Vec::new()),
            Listen::On(sockets) => Ok(sockets.iter().copied().map(ListenOn::Socket).collect()),
        }
    }

    /// Whether this node dials or accepts TLS connections at all.
    pub fn uses_tls(&self) -> bool {
        self.driver == Driver::Tls
            || self.tls.certificate.is_some()
            || !self.tls.ca.is_empty()
            || matches!(self.tls.listen, Listen::On(_))
            || self.nodes.values().any(|address| address.driver() == Some(Driver::Tls))
    }

    /// Whether this node needs a cookie: plain TCP always does.
    pub fn needs_cookie(&self) -> bool {
        let plain = self.driver == Driver::Tcp
            || matches!(self.tcp.listen, Listen::On(_))
            || self.nodes.values().any(|address| address.driver() == Some(Driver::Tcp));
        plain || self.tls.auth.needs_cookie()
    }

    fn validated(table: Table) -> Result<Self, ConfigError> {
        let config = layers::build(table)?;
        config.validate()?;
        Ok(config)
    }
}

fn read_file(path: &Path) -> Result<Table, ConfigError> {
    let unreadable = |reason| ConfigError::Unreadable { path: path.to_owned(), reason };
    // Opening a named pipe would wait for its writer.
    if !fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(unreadable(io::Error::other("it is no regular file")));
    }
    let mut text = String::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(Config::FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > Config::FILE_BYTES_MAX {
        return Err(ConfigError::TooLarge { path: path.to_owned() });
    }
    layers::read(&text, &Origin::File(path.to_owned()))
}
