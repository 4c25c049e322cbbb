//! Starting an actor on a node, as its caller sees it.

use std::future::IntoFuture;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::{Duration, Instant};

use farcall_proto::cluster::signals::TooMany;
use farcall_proto::failure::{Failure, NotSent, Unknown};
use farcall_proto::peer::Target;
use futures::future::BoxFuture;

use super::factories::{Spawn, SpawnRefused, Spawning, layout_of};
use super::monitors::{LinkError, Monitor};
use super::sessions::Cluster;
use crate::error::CallError;
use crate::message::{EncodeError, Schema, Value, encode_value};
use crate::registry::RESERVED;
use crate::rpc::{Call, Remote, deadline_after};

/// Why an actor was not started.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum SpawnError {
    /// The request came to nothing; [`may_have_run`](CallError::may_have_run) says whether the actor may be there.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The node refused: nothing was started.
    #[error("factory {factory:?} at {target} started nothing: {refused}")]
    Refused {
        /// Which factory.
        factory: String,
        /// Where.
        target: Target,
        /// Why.
        refused: SpawnRefused,
    },
    /// The arguments could not be encoded: nothing was started.
    #[error("the arguments could not be encoded: {0}")]
    Encode(String),
    /// There are too many monitors on this node: nothing was started.
    #[error(transparent)]
    TooMany(#[from] TooMany),
    /// It was started, and could not be linked.
    #[error("it was started, and not linked: {0}")]
    Link(#[from] LinkError),
}

impl From<EncodeError> for SpawnError {
    fn from(error: EncodeError) -> Self {
        Self::Encode(error.to_string())
    }
}

/// An actor that a node was asked to start.
pub struct Spawned<A> {
    /// Where it is.
    pub actor: Remote<A>,
    /// Tells when it ends, if that was asked for.
    pub monitor: Option<Monitor>,
}

impl<A> std::fmt::Debug for Spawned<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spawned").field("actor", &self.actor).field("monitor", &self.monitor).finish()
    }
}

/// An actor that is to be started on a node: set options, then `.await` it.
///
/// # Cancel safety
/// Nothing is sent before the first poll. Dropped later, the actor may be started or not; if it is not
/// [detached](SpawnRemote::detached), it stops when this node goes.
#[must_use = "an actor is started when this is awaited"]
pub struct SpawnRemote<'a, A, Args> {
    pub(crate) cluster: &'a Arc<Cluster>,
    pub(crate) target: &'a Target,
    pub(crate) factory: &'a str,
    pub(crate) args: Args,
    pub(crate) name: Option<String>,
    pub(crate) link: Option<&'a str>,
    pub(crate) monitor: bool,
    pub(crate) detached: bool,
    pub(crate) timeout: Option<Duration>,
    pub(crate) kind: PhantomData<fn() -> A>,
}

impl<'a, A, Args> SpawnRemote<'a, A, Args> {
    /// What it is called there. Without this it gets a name of its own, made of the factory's and a number.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Watches it from its beginning: [`Spawned::monitor`] is there.
    pub fn monitor(mut self) -> Self {
        self.monitor = true;
        self
    }

    /// Links it to this actor of this node, as [`Node::link`](crate::Node::link).
    pub fn link(mut self, own: &'a str) -> Self {
        self.link = Some(own);
        self
    }

    /// It stays when this node goes.
    pub fn detached(mut self) -> Self {
        self.detached = true;
        self
    }

    /// How long it may take. Default: `call_timeout`.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }
}

impl<'a, A, Args> IntoFuture for SpawnRemote<'a, A, Args>
where
    A: 'static,
    Args: Value + Schema,
{
    type Output = Result<Spawned<A>, SpawnError>;
    type IntoFuture = BoxFuture<'a, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let caller = &self.cluster.caller;
            let timeout = self.timeout.unwrap_or(caller.context.config.call_timeout);
            let deadline = deadline_after(Instant::now(), timeout);
            let token = self.cluster.next_token();
            let number = caller.context.incarnation.0;
            let name = self.name.unwrap_or_else(|| format!("{}#{number:016x}.{token}", self.factory));
            let mut args = Vec::new();
            encode_value(&self.args, &mut args)?;
            let (factory, layout, detached) = (self.factory.to_owned(), layout_of::<Args>(), self.detached);
            let spawn = Spawn { factory, args, layout, token, name, detached, session: 0, monitor: None };
            let asked = Asked { cluster: self.cluster, target: self.target, deadline };
            let mut monitor = asked.repeatedly(&spawn, self.monitor).await?;
            let is_own = *self.target.node() == caller.context.name;
            if self.monitor && is_own {
                monitor = Some(self.cluster.monitor(self.target, &spawn.name)?);
            }
            if let Some(own) = self.link {
                self.cluster.link(own, self.target, &spawn.name)?;
            }
            let actor = Remote::new(self.target.clone(), spawn.name, caller);
            Ok(Spawned { actor, monitor })
        })
    }
}

/// A request for an actor, until the time is over.
struct Asked<'a> {
    cluster: &'a Arc<Cluster>,
    target: &'a Target,
    deadline: Instant,
}

impl Asked<'_> {
    /// Asks, and asks again when a connection was lost: the node starts one actor at most for all of it.
    async fn repeatedly(&self, spawn: &Spawn, monitored: bool) -> Result<Option<Monitor>, SpawnError> {
        loop {
            let (answer, monitor) = self.once(spawn, monitored).await?;
            let failed = match answer {
                Ok(Spawning::Started) => return Ok(monitor),
                Ok(Spawning::Refused(SpawnRefused::NoSession)) if Instant::now() < self.deadline => continue,
                Ok(Spawning::Refused(refused)) => {
                    let (factory, target) = (spawn.factory.clone(), self.target.clone());
                    return Err(SpawnError::Refused { factory, target, refused });
                }
                Err(failed) => failed,
            };
            let lost = matches!(
                failed.failure(),
                Failure::Unknown(Unknown::LinkLost(_)) | Failure::NotSent(NotSent::Disconnected(_))
            );
            if !lost || Instant::now() >= self.deadline {
                return Err(failed.into());
            }
        }
    }

    async fn once(
        &self,
        spawn: &Spawn,
        monitored: bool,
    ) -> Result<(Result<Spawning, CallError>, Option<Monitor>), SpawnError> {
        let left = || self.deadline.saturating_duration_since(Instant::now());
        let caller = &self.cluster.caller;
        let is_own = *self.target.node() == caller.context.name;
        let (mut message, mut monitor) = (spawn.clone(), None);
        if monitored && !is_own {
            // Without a session the call says by itself why the node cannot be reached.
            let ready = tokio::time::timeout(left(), self.cluster.ready(self.target.node())).await;
            if let Ok(Some(channel)) = ready {
                message.session = channel.0;
                monitor = self.cluster.expect(channel, self.target, &spawn.name)?;
            }
            message.monitor = Some(monitor.as_ref().and_then(Monitor::id).map_or(0, |id| id.0));
        }
        // The session rests on the common connection, whatever the key.
        let (actor, timeout) = (RESERVED.into(), Some(left()));
        let target = &Target::from(self.target.node());
        let answer = Call { caller, target, actor, message, timeout, send_timeout: None }.await;
        Ok((answer, monitor))
    }
}
