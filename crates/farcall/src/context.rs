//! What every part of one node shares: who it is, what it may, what it counts.

use std::any::Any;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use farcall_proto::gate::{Gate, GateLimits};
use farcall_proto::link::Limits;
use farcall_proto::link::handshake::{Keyring, Local, PeerParams};
use farcall_proto::peer::{Incarnation, NodeName};
use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;

use crate::binding;
use crate::config::Config;
use crate::discovery::Discovery;
use crate::heartbeat::Heart;
use crate::log_switch::LogSwitch;
use crate::logging::{RateLimit, limited};
use crate::members::Members;
use crate::metrics::Metrics;
use crate::registry::Registry;
use crate::tls::Tls;
use crate::trace::Tracer;
use crate::turns::Turns;

/// The protocol versions this node speaks.
const VERSIONS: std::ops::RangeInclusive<u8> = 1..=1;

/// The cookies that a node starts with.
pub(crate) struct Cookies {
    /// None if certificates alone count.
    pub(crate) keyring: Option<Keyring>,
    /// Where they were read; none if the program gave them.
    pub(crate) file: Option<PathBuf>,
}

/// What the program gives besides settings.
pub(crate) struct Given {
    pub(crate) discovery: Arc<dyn Discovery>,
    pub(crate) log_switch: Option<LogSwitch>,
    pub(crate) tracer: Tracer,
}

/// One node, without its actors.
pub(crate) struct Context {
    pub(crate) name: NodeName,
    pub(crate) incarnation: Incarnation,
    /// What the ticks of all connections keep step with.
    pub(crate) started: Instant,
    pub(crate) config: Config,
    pub(crate) registry: Arc<Registry>,
    pub(crate) metrics: Metrics,
    pub(crate) discovery: Arc<dyn Discovery>,
    pub(crate) logs: RateLimit,
    pub(crate) heart: Arc<Heart>,
    /// None for a node that has nothing to do with TLS.
    pub(crate) tls: Option<Tls>,
    /// Who of the strangers is let in.
    pub(crate) gate: Mutex<Gate>,
    /// How many connections to one node are made at a time.
    pub(crate) turns: Turns,
    /// Who is there.
    pub(crate) members: Arc<Members>,
    /// Outgoing connections begun, also those that came to nothing.
    epochs: AtomicU64,
    /// What references in messages read by this node are bound to.
    binding: OnceLock<Weak<dyn Any + Send + Sync>>,
    /// None if certificates alone count.
    keyring: RwLock<Option<Keyring>>,
    /// Where the cookies can be read again; none if the program gave them.
    pub(crate) cookie_file: Option<PathBuf>,
    /// Makes spans of requests.
    pub(crate) tracer: Tracer,
    /// What the program lets operators change of its log.
    pub(crate) log_switch: Option<LogSwitch>,
    draining: AtomicBool,
    drain_begun: Notify,
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Context {
    pub(crate) fn new(
        name: NodeName,
        config: Config,
        cookies: Cookies,
        tls: Option<Tls>,
        registry: Arc<Registry>,
        given: Given,
    ) -> std::io::Result<Arc<Self>> {
        let Given { discovery, log_switch, tracer } = given;
        let incarnation = Incarnation(u64::from_le_bytes(random().map_err(std::io::Error::other)?));
        let heart = Heart::start(config.tick, config.tick_intensity)?;
        let gate = Mutex::new(Gate::new(gate_limits(&config), Instant::now()));
        Ok(Arc::new(Self {
            name,
            incarnation,
            started: Instant::now(),
            config,
            registry,
            metrics: Metrics::default(),
            discovery,
            logs: RateLimit::new(),
            heart,
            tls,
            gate,
            turns: Turns::default(),
            members: Members::new(),
            epochs: AtomicU64::new(0),
            binding: OnceLock::new(),
            keyring: RwLock::new(cookies.keyring),
            cookie_file: cookies.file,
            tracer,
            log_switch,
            draining: AtomicBool::new(false),
            drain_begun: Notify::new(),
        }))
    }

    /// The number of the next outgoing connection, from 1.
    pub(crate) fn next_epoch(&self) -> u64 {
        self.epochs.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// From now on, references in messages read by this node are bound to this.
    pub(crate) fn set_binding(&self, to: Weak<dyn Any + Send + Sync>) {
        // A node is put together once.
        let _ = self.binding.set(to);
    }

    /// Until the guard is dropped, references read on this thread are bound to this node.
    pub(crate) fn bind(&self) -> Option<binding::Bound> {
        self.binding.get().map(binding::enter)
    }

    /// The cookies accepted now.
    pub(crate) fn keyring(&self) -> Option<Keyring> {
        self.keyring.read().clone()
    }

    /// Accepts these cookies from now on; connections that are up stay.
    pub(crate) fn set_keyring(&self, keyring: Keyring) {
        *self.keyring.write() = Some(keyring);
    }

    /// What this node says of itself in a handshake.
    pub(crate) fn local(&self) -> Local {
        Local {
            name: self.name.clone(),
            incarnation: self.incarnation,
            params: self.params(),
            cluster: self.config.cluster.clone(),
            versions: VERSIONS,
        }
    }

    /// What this node announces of itself.
    pub(crate) fn params(&self) -> PeerParams {
        let flags = if self.config.hidden { PeerParams::HIDDEN } else { 0 };
        PeerParams { flags, ..self.limits().announce(crate::compress::INFLATES) }
    }

    /// What a peer on this node's own loopback would have announced.
    pub(crate) fn own_params(&self) -> PeerParams {
        self.own_limits().announce(crate::compress::INFLATES)
    }

    /// The bounds of this node's connection to itself: nobody is at its other end who could be silent, and an
    /// arbiter that was busy for long is no reason to lose it.
    pub(crate) fn own_limits(&self) -> Limits {
        Limits { tick: OWN_TICK, ..self.limits() }
    }

    /// The bounds of each connection.
    pub(crate) fn limits(&self) -> Limits {
        let config = &self.config;
        Limits {
            message_bytes_max: config.message_bytes_max,
            fragment_bytes: config.fragment_bytes,
            unsent_bytes_max: config.unsent_bytes_max,
            in_flight_max: config.in_flight_max,
            reassembly_bytes_max: config.reassembly_bytes_max,
            streams_max: config.streams_max,
            routes_max: config.routes_max,
            tick: config.tick,
            tick_intensity: u8::try_from(config.tick_intensity).unwrap_or(u8::MAX),
            ticks_from: Some(self.started),
            write_stall_timeout: config.write_stall_timeout,
            promise_ttl: config.promise_ttl,
        }
    }

    /// One line per second and reason about what a peer did.
    pub(crate) fn log_limited(
        &self,
        level: log::Level,
        reason: &'static str,
        peer: &NodeName,
        what: impl std::fmt::Display,
    ) {
        limited!(self.logs, Instant::now(), reason, level, node:% = self.name, peer:% = peer; "{what}");
    }

    /// No new work from now on.
    pub(crate) fn begin_draining(&self) {
        self.draining.store(true, Ordering::Release);
        self.drain_begun.notify_waiters();
    }

    /// Whether this node is shutting down.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Resolves when this node begins to shut down.
    pub(crate) async fn drained(&self) {
        loop {
            let begun = self.drain_begun.notified();
            tokio::pin!(begun);
            begun.as_mut().enable();
            if self.is_draining() {
                return;
            }
            begun.await;
        }
    }
}

fn gate_limits(config: &Config) -> GateLimits {
    let strangers = &config.strangers;
    GateLimits {
        half_open_max: config.half_open_max,
        half_open_per_source_max: strangers.half_open_per_source_max,
        accept_rate: strangers.accept_rate,
        accept_rate_per_source: strangers.accept_rate_per_source,
        delay_min: strangers.delay_min,
        delay_max: strangers.delay_max,
        sources_max: strangers.sources_max,
        limit_loopback: strangers.limit_loopback,
    }
}

/// How often this node asks itself whether it is there.
const OWN_TICK: Duration = Duration::from_secs(24 * 3600);

/// Bytes from the operating system.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], getrandom::Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}
