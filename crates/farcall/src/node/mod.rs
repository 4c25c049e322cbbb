//! The node: this process as others see it, and the handle an application holds.

mod builder;
mod describe;
mod ending;
mod exporter;
mod function;
mod guard;
mod layout;
mod listen;
mod look;
mod own;
mod peers;
mod settings;
mod watch;

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use actix::Addr;
use farcall_proto::failure::Failure;
use farcall_proto::link::Outcome;
use farcall_proto::link::handshake::Keyring;
use farcall_proto::peer::{Incarnation, NodeName, Target};
use parking_lot::Mutex;

pub use builder::{NodeBuilder, StartError};
pub use describe::{ActorDescription, MessageDescription, NodeDescription};
use exporter::Exporter;
pub use guard::NameGuard;
pub use layout::Layout;

use crate::acceptor::Acceptors;
use crate::access::AccessList;
use crate::batch::RemoteActor;
use crate::cluster::Cluster;
use crate::config::Config;
use crate::cookie::CookieFileError;
use crate::driver::Driver;
use crate::error::CallError;
use crate::items::Items;
use crate::listener::Listening;
use crate::message::{RemoteMessage, Value};
use crate::metrics::MetricsSnapshot;
use crate::portmap::PortMap;
use crate::registry::{RESERVED, RegisterError};
use crate::rpc::{
    AbcastReport, Call, Caller, MultiCall, Named, OpenStream, Promise, RawCall, Remote, Sbcast, Sent, Targets,
};
use crate::services::Services;
use crate::tls::{TlsError, TlsMaterial};

/// A handle to this process's node. Cloning is cheap; every clone is the same node.
///
/// Several nodes may live in one process. A node goes on until [`shutdown`](Node::shutdown) or the end of the
/// actix system it was started in; dropping handles does not end it.
#[derive(Clone)]
pub struct Node(Arc<Inner>);

struct Inner {
    caller: Arc<Caller>,
    cluster: Arc<Cluster>,
    /// Once they are used.
    services: OnceLock<Services>,
    acceptors: Arc<Acceptors>,
    listeners: Mutex<Vec<Listening>>,
    /// The name in the port mapper of this host, if that is used.
    portmap: Mutex<Option<PortMap>>,
    /// Where Prometheus reads, if it may.
    exporter: Mutex<Option<Exporter>>,
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Node").field(self.name()).finish()
    }
}

impl Node {
    /// Starts to put a node together: `Node::builder("alpha@127.0.0.1").start().await?`.
    pub fn builder(name: impl Into<String>) -> NodeBuilder {
        NodeBuilder::new(name.into())
    }

    /// A node as a [`Config`] says, most often from [`Config::load`]; finish with `.start().await?`.
    pub fn from_config(config: Config) -> NodeBuilder {
        NodeBuilder::from_config(config)
    }

    /// This node's name.
    pub fn name(&self) -> &NodeName {
        &self.0.caller.context.name
    }

    /// Which start of the node this is.
    pub fn incarnation(&self) -> Incarnation {
        self.0.caller.context.incarnation
    }

    /// Its configuration.
    pub fn config(&self) -> &Config {
        &self.0.caller.context.config
    }

    /// The addresses it listens on, with their real ports; those of plain TCP first.
    pub fn listening_on(&self) -> Vec<SocketAddr> {
        self.0.listeners.lock().iter().map(|listening| listening.address).collect()
    }

    /// The addresses it listens on with this driver, with their real ports.
    pub fn listening_with(&self, driver: Driver) -> Vec<SocketAddr> {
        let listeners = self.0.listeners.lock();
        let of_driver = listeners.iter().filter(|listening| listening.driver == driver);
        of_driver.map(|listening| listening.address).collect()
    }

    /// Where Prometheus can read what this node counts, with its real port (`metrics_listen`).
    pub fn metrics_on(&self) -> Option<SocketAddr> {
        self.0.exporter.lock().as_ref().map(|exporter| exporter.address)
    }

    // ----- names -----

    /// Puts an actor under a name that peers may call. Dropping the guard, or the actor's end, takes it out.
    ///
    /// A name has 1 to 255 bytes and no control characters; there are at most `names_max` of them. State the actor's
    /// version with `.version("1.4.0")?` on the guard; keep the name for good with `.keep()`. The actor may run on any
    /// arbiter.
    ///
    /// # Errors
    /// [`RegisterError`]: the name is taken by a living actor, reserved, or no name.
    pub fn register<A: RemoteActor>(&self, name: &str, actor: Addr<A>) -> Result<NameGuard, RegisterError> {
        refuse_reserved(name)?;
        let messages = A::entries().iter().map(crate::batch::Entry::info).collect();
        let registry = &self.0.caller.context.registry;
        let id = registry.insert(name, messages, actor.recipient())?;
        Ok(NameGuard::new(registry.clone(), name, id))
    }

    /// Puts a function under a name: one task per request, gen_rpc's M:F. It stays until
    /// [`unregister`](Node::unregister) or the end of the node. To be called on an arbiter, where its tasks will run.
    ///
    /// # Errors
    /// As [`Node::register`].
    pub fn serve<M, F, Fut>(&self, name: &str, function: F) -> Result<(), RegisterError>
    where
        M: RemoteMessage,
        F: Fn(M) -> Fut + Unpin + 'static,
        Fut: Future<Output = M::Result> + 'static,
    {
        self.register(name, function::start(function))?.keep();
        Ok(())
    }

    /// Takes a name out; false if nobody had it. What waits in the actor's mailbox still runs; new requests are
    /// `NoSuchActor`.
    pub fn unregister(&self, name: &str) -> bool {
        name != RESERVED && self.0.caller.context.registry.remove(name, None)
    }

    /// The registered names, sorted.
    pub fn names(&self) -> Vec<String> {
        let all = self.0.caller.context.registry.all();
        all.iter().map(|found| found.name.to_string()).filter(|name| name != RESERVED).collect()
    }

    /// How many messages wait in each actor's mailbox (limit `mailbox_messages_max`).
    pub fn backlogs(&self) -> BTreeMap<String, usize> {
        let all = self.0.caller.context.registry.all();
        all.iter().map(|found| (found.name.to_string(), found.backlog.messages())).collect()
    }

    /// Replaces the access list, for connections that are up and for local calls too. It holds for requests read
    /// from now on; those in a mailbox already still run.
    pub fn set_access(&self, access: AccessList) {
        self.0.caller.context.registry.set_access(access);
    }

    /// Accepts and uses these cookies in handshakes from now on; connections that are up stay.
    pub fn set_keyring(&self, keyring: Keyring) {
        self.0.caller.context.set_keyring(keyring);
    }

    /// Reads the cookie file again: its cookies are accepted and used in handshakes from now on, in place of those
    /// of before; connections that are up stay. A SIGHUP does the same where it makes [`reload_tls`](Node::reload_tls).
    ///
    /// # Errors
    /// [`CookieFileError`]: everything is as before. [`CookieFileError::NoFile`] if the program gave the cookies.
    ///
    /// # Cancel safety
    /// Dropped before the end, nothing has changed.
    pub async fn reload_cookies(&self) -> Result<(), CookieFileError> {
        watch::reload_cookies(&self.0.caller.context).await
    }

    /// Reads the files of `[tls]` again. Handshakes from now on use them; connections that are up stay, also those
    /// of peers whose certificates the new files do not believe ([`kill_acceptors`](Node::kill_acceptors) and
    /// [`kill_clients`](Node::kill_clients) end those). A SIGHUP does the same, unless `tls.reload_on_sighup` is off,
    /// and reads the cookie file again too.
    ///
    /// # Errors
    /// [`TlsError`]: everything is as before.
    ///
    /// # Cancel safety
    /// Dropped before the end, the files may still be taken.
    pub async fn reload_tls(&self) -> Result<(), TlsError> {
        watch::reload(&self.0.caller.context).await
    }

    /// Uses these certificates, keys and authorities in handshakes from now on, in place of those it was built with.
    ///
    /// # Errors
    /// [`TlsError`]: everything is as before.
    pub fn set_tls(&self, material: TlsMaterial) -> Result<(), TlsError> {
        match &self.0.caller.context.tls {
            Some(tls) => tls.replace(material),
            None => Err(TlsError::NoFiles("does not use TLS")),
        }
    }

    // ----- verbs -----

    /// Calls the named actor and gives its answer: `node.call(&beta, "counter", Add { amount: 1 }).await?`.
    ///
    /// Options before the `.await`: [`timeout`](Call::timeout), [`send_timeout`](Call::send_timeout),
    /// [`require_version`](Call::require_version).
    ///
    /// # Errors
    /// [`CallError`], in one of four classes: not sent, rejected, failed, unknown.
    ///
    /// # Cancel safety
    /// Dropping the future cancels the call; see [`Call`].
    pub fn call<'a, M>(&'a self, target: &'a Target, actor: impl Into<Named<'a>>, message: M) -> Call<'a, M>
    where
        M: RemoteMessage,
        M::Result: Value,
    {
        let (caller, actor) = (&*self.0.caller, actor.into());
        Call { caller, target, actor, message, timeout: None, send_timeout: None }
    }

    /// Sends one way. `Ok` means accepted for sending; `.acked().await` on the result waits until the actor's
    /// mailbox has it.
    ///
    /// # Errors
    /// [`CallError`] if it was surely not sent: queue full, in backoff after a failed connect, too large.
    pub fn cast<'a, M: RemoteMessage>(
        &'a self,
        target: &'a Target,
        actor: impl Into<Named<'a>>,
        message: M,
    ) -> Result<Sent<'a>, CallError> {
        crate::rpc::cast_message(&self.0.caller, target, actor.into(), &message)
    }

    /// Begins a call and gives a promise of its answer: `.await` it, or look with
    /// [`nb_yield`](Promise::nb_yield). It is queued before this returns; a full queue is not waited for, and the
    /// promise tells of it. Its deadline is `call_timeout` from now.
    ///
    /// # Cancel safety
    /// Dropping the promise cancels the call.
    pub fn async_call<'a, M>(
        &self,
        target: &Target,
        actor: impl Into<Named<'a>>,
        message: M,
    ) -> Promise<M::Result>
    where
        M: RemoteMessage,
        M::Result: Value,
    {
        Promise::begin(&self.0.caller, target, actor.into(), &message)
    }

    /// Calls the named actor on many nodes at once; answers in the order of the targets, one deadline for all.
    ///
    /// # Cancel safety
    /// See [`MultiCall`].
    pub fn multicall<'a, M>(
        &'a self,
        targets: impl Into<Targets>,
        actor: impl Into<Named<'a>>,
        message: M,
    ) -> MultiCall<'a, M>
    where
        M: RemoteMessage,
        M::Result: Value,
    {
        let (caller, targets, actor) = (&self.0.caller, targets.into(), actor.into());
        MultiCall { caller, targets, actor, message, timeout: None }
    }

    /// Sends one way to the named actor on many nodes; returns at once with what is known here. Full queues are not
    /// waited for: the report names those targets.
    pub fn abcast<'a, M: RemoteMessage>(
        &self,
        targets: impl Into<Targets>,
        actor: impl Into<Named<'a>>,
        message: M,
    ) -> AbcastReport {
        crate::rpc::abcast(&self.0.caller, targets.into(), actor.into(), &message)
    }

    /// Sends to the named actor on many nodes and waits until each mailbox has it, or says why not.
    ///
    /// # Cancel safety
    /// See [`Sbcast`].
    pub fn sbcast<'a, M: RemoteMessage>(
        &'a self,
        targets: impl Into<Targets>,
        actor: impl Into<Named<'a>>,
        message: M,
    ) -> Sbcast<'a, M> {
        Sbcast::new(&self.0.caller, targets.into(), actor.into(), &message)
    }

    /// Runs a function on many nodes, one way: a cast to the handler that [`serve`](Node::serve) put there.
    pub fn eval_everywhere<'a, M: RemoteMessage>(
        &self,
        targets: impl Into<Targets>,
        function: impl Into<Named<'a>>,
        message: M,
    ) -> AbcastReport {
        self.abcast(targets, function, message)
    }

    /// Asks for many answers: `let mut items = node.stream(&beta, "counter", Watch).await?`.
    ///
    /// # Errors
    /// Awaiting it gives the [`CallError`] of a request that was not accepted.
    ///
    /// # Cancel safety
    /// Dropping the stream cancels it; see [`RemoteStream`](crate::rpc::RemoteStream).
    pub fn stream<'a, M, T>(
        &'a self,
        target: &'a Target,
        actor: impl Into<Named<'a>>,
        message: M,
    ) -> OpenStream<'a, M>
    where
        M: RemoteMessage<Result = Items<T>>,
        T: Value,
    {
        OpenStream { caller: &self.0.caller, target, actor: actor.into(), message, timeout: None }
    }

    /// A typed reference to an actor under a name on a node; it travels in messages.
    pub fn actor<A: RemoteActor>(&self, name: &str, target: &Target) -> Remote<A> {
        Remote::new(target.clone(), name.to_owned(), &self.0.caller)
    }

    /// The same reference, used through this node.
    pub fn bind<A>(&self, reference: &Remote<A>) -> Remote<A> {
        reference.bound(&self.0.caller)
    }

    /// Calls and casts with messages as bytes, for tools.
    pub fn raw<'a>(&'a self, target: &'a Target, actor: impl Into<Named<'a>>) -> RawCall<'a> {
        RawCall { caller: &self.0.caller, target, actor: actor.into() }
    }

    // ----- nodes -----

    /// Nodes with a living outgoing connection, sorted, each once, without this node and hidden ones. Others are found
    /// with [`nodes_that`](Node::nodes_that).
    pub fn nodes(&self) -> Vec<NodeName> {
        self.0.caller.clients.nodes()
    }

    /// Nodes that are connected to this one, one entry per inbound connection, sorted.
    pub fn inbound(&self) -> Vec<NodeName> {
        let mut peers = self.0.acceptors.peers();
        peers.sort();
        peers
    }

    /// How many outgoing connections to a node are up, those of keys included.
    pub fn connections(&self, node: &NodeName) -> usize {
        self.0.caller.clients.connections(node)
    }

    /// The number of the connection, up or being made, that took the last request to this target. None if there is none,
    /// because nothing was sent yet or the last one has ended.
    ///
    /// Asked right after two requests, the same number says that both went over one connection: they arrive in this order,
    /// and the first one if the second one does (G1, G2). Each attempt at a connection has a number of its own, larger than
    /// all before it on this node.
    pub fn epoch(&self, target: &Target) -> Option<u64> {
        self.0.caller.clients.epoch(target)
    }

    /// Requests without an answer (limit `in_flight_max`) and bytes not yet written (limit `unsent_bytes_max`), summed
    /// over all connections to a node.
    pub fn load(&self, node: &NodeName) -> (usize, usize) {
        self.0.caller.clients.load(node)
    }

    /// The time a sign of life takes to the peer and back; connects if need be.
    ///
    /// # Errors
    /// [`CallError`]: the peer cannot be reached, or gave no sign within `call_timeout`.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub async fn ping(&self, target: &Target) -> Result<Duration, CallError> {
        self.ping_within(target, self.config().call_timeout).await
    }

    /// As [`Node::ping`], within this time.
    ///
    /// # Errors
    /// As [`Node::ping`].
    ///
    /// # Cancel safety
    /// As [`Node::ping`].
    pub async fn ping_within(&self, target: &Target, timeout: Duration) -> Result<Duration, CallError> {
        let begun = Instant::now();
        let error = |failure: Failure| CallError::new(failure, target, RESERVED, "ping");
        match crate::rpc::ping(&self.0.caller, target, timeout).await {
            Outcome::Answered { .. } => Ok(begun.elapsed()),
            Outcome::Failure(failure) => Err(error(failure)),
        }
    }

    /// What a node exposes: its actors with their versions, messages and schemas.
    ///
    /// What the peer's access list does not permit is not told.
    ///
    /// # Errors
    /// [`CallError`], as [`Node::call`] within `call_timeout`.
    ///
    /// # Cancel safety
    /// As a call.
    pub async fn describe(&self, target: &Target) -> Result<NodeDescription, CallError> {
        self.call(target, RESERVED, own::Describe { actor: None }).await
    }

    /// What a node exposes under one name.
    ///
    /// # Errors
    /// [`CallError`]; a node without that name gives an empty description.
    ///
    /// # Cancel safety
    /// As a call.
    pub async fn describe_actor(&self, target: &Target, actor: &str) -> Result<NodeDescription, CallError> {
        self.call(target, RESERVED, own::Describe { actor: Some(actor.to_owned()) }).await
    }

    /// Resolves when the name is registered at the target, which need not even run yet. Waits for `call_timeout`
    /// at most; bound it otherwise with [`wait_for_within`](Node::wait_for_within).
    ///
    /// A name that the peer's access list does not permit to this node is not told: it is waited for as one that is not
    /// there.
    ///
    /// # Errors
    /// When the time is over: `Rejected(NoSuchActor)` if the peer is there and the name is not, else the last
    /// [`CallError`].
    ///
    /// # Cancel safety
    /// Dropping the future ends the wait.
    pub async fn wait_for(&self, target: &Target, actor: &str) -> Result<(), CallError> {
        self.wait_for_within(target, actor, self.config().call_timeout).await
    }

    /// As [`Node::wait_for`], within this time.
    ///
    /// # Errors
    /// As [`Node::wait_for`].
    ///
    /// # Cancel safety
    /// As [`Node::wait_for`].
    pub async fn wait_for_within(
        &self,
        target: &Target,
        actor: &str,
        timeout: Duration,
    ) -> Result<(), CallError> {
        let deadline = crate::rpc::deadline_after(Instant::now(), timeout);
        let no_such_actor = || {
            let failure = Failure::Rejected(farcall_proto::failure::Rejected::NoSuchActor);
            CallError::new(failure, target, actor, "WaitFor")
        };
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let within_ms = u32::try_from(left.min(own::WAIT_MAX).as_millis()).unwrap_or(u32::MAX);
            let wait = own::WaitFor { actor: actor.to_owned(), within_ms };
            let error = match self.call(target, RESERVED, wait).timeout(left).await {
                Ok(true) => return Ok(()),
                Ok(false) if deadline <= Instant::now() + RETRY_EVERY => return Err(no_such_actor()),
                Ok(false) => continue,
                Err(error) => error,
            };
            if error.may_have_run() && deadline <= Instant::now() {
                return Err(no_such_actor());
            }
            if deadline <= Instant::now() + RETRY_EVERY {
                return Err(error);
            }
            // The peer does not run yet, or went away: asked again until the time is over.
            tokio::time::sleep(RETRY_EVERY).await;
        }
    }

    /// Closes the connections to a node in good order: what is in flight finishes. The next request connects again. Those
    /// over which the node asks this one stay: they are its own.
    pub fn disconnect(&self, node: &NodeName) {
        for conn in self.0.caller.clients.conns_to(node) {
            conn.begin_close("disconnected on request");
        }
    }

    /// Ends the client actors of a node at once, as if they had died: requests in flight end as unknown.
    pub fn kill_clients(&self, node: &NodeName) {
        self.0.caller.clients.stop(Some(node));
    }

    /// Ends the inbound connections of a node at once; gives how many there were.
    pub fn kill_acceptors(&self, node: &NodeName) -> usize {
        self.0.acceptors.stop(Some(node))
    }

    /// The counters and gauges of this node at this moment. Each is read by itself, so two that belong together
    /// may differ by what happens meanwhile.
    pub fn metrics(&self) -> MetricsSnapshot {
        let context = &self.0.caller.context;
        context.metrics.nodes.set(context.members.peers().len() as u64);
        let ((asked, kept), (own, known)) = (self.0.cluster.watchers(), self.0.cluster.group_members());
        context.metrics.monitors.set(asked as u64);
        context.metrics.monitors_kept.set(kept as u64);
        context.metrics.group_members.set(own as u64);
        context.metrics.group_members_known.set(known as u64);
        context.metrics.names.set(context.registry.len() as u64);
        context.metrics.stranger_sources.set(context.gate.lock().sources() as u64);
        let left = context.tls.as_ref().and_then(crate::tls::Tls::expires_in).unwrap_or_default();
        context.metrics.certificate_left_s.set(left.as_secs());
        context.metrics.snapshot()
    }

    /// Whether it is shutting down.
    pub fn is_draining(&self) -> bool {
        self.0.caller.context.is_draining()
    }

    /// Resolves when the node begins to shut down.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub async fn draining(&self) {
        self.0.caller.context.drained().await;
    }
}

/// How often a wait for a peer that does not answer yet is tried again.
const RETRY_EVERY: Duration = Duration::from_millis(50);

fn refuse_reserved(name: &str) -> Result<(), RegisterError> {
    if name == RESERVED {
        return Err(RegisterError::BadName { name: name.to_owned(), why: "the name is farcall's own" });
    }
    Ok(())
}
