//! Verbs to many targets: multicall, abcast, sbcast, eval_everywhere. The message is encoded once.

use std::future::IntoFuture;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use farcall_proto::failure::{Failure, NotSent};
use farcall_proto::link::{Outcome, SubmitKind};
use farcall_proto::peer::{NodeName, Target};
use futures::future::BoxFuture;

use super::call::value_of;
use super::cast::{send, shared_body};
use super::encode::shared;
use super::exchange::{Exchange, Layout, Site, Times};
use super::{Caller, Named};
use crate::error::CallError;
use crate::message::{RemoteMessage, Value};

/// Every node that can be asked: this one and all with a living connection, as `[node() | nodes()]` in gen_rpc.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct All;

/// Whom a verb to many goes to: a list, or [`All`]. A target may stand in it more than once.
#[derive(Debug, Clone)]
pub struct Targets(Choice);

#[derive(Debug, Clone)]
enum Choice {
    All,
    These(Vec<Target>),
}

impl From<All> for Targets {
    fn from(_: All) -> Self {
        Self(Choice::All)
    }
}

impl From<Vec<Target>> for Targets {
    fn from(targets: Vec<Target>) -> Self {
        Self(Choice::These(targets))
    }
}

impl From<&Vec<Target>> for Targets {
    fn from(targets: &Vec<Target>) -> Self {
        Self(Choice::These(targets.clone()))
    }
}

impl From<&[Target]> for Targets {
    fn from(targets: &[Target]) -> Self {
        Self(Choice::These(targets.to_vec()))
    }
}

impl<const N: usize> From<[Target; N]> for Targets {
    fn from(targets: [Target; N]) -> Self {
        Self(Choice::These(targets.into()))
    }
}

impl<const N: usize> From<&[Target; N]> for Targets {
    fn from(targets: &[Target; N]) -> Self {
        Self(Choice::These(targets.to_vec()))
    }
}

impl From<Vec<NodeName>> for Targets {
    fn from(nodes: Vec<NodeName>) -> Self {
        Self(Choice::These(nodes.into_iter().map(Target::new).collect()))
    }
}

impl Targets {
    fn list(self, caller: &Caller) -> Vec<Target> {
        match self.0 {
            Choice::These(targets) => targets,
            Choice::All => {
                let this = std::iter::once(caller.context.name.clone());
                this.chain(caller.clients.nodes()).map(Target::new).collect()
            }
        }
    }
}

/// One request to many targets, in flight at once.
struct Fan {
    caller: Arc<Caller>,
    actor: String,
    requirement: String,
    message: Layout<'static>,
    parts: Vec<(Target, Result<Exchange, Failure>)>,
}

impl Fan {
    fn start(
        caller: &Arc<Caller>,
        targets: Targets,
        actor: Named<'_>,
        message: Layout<'static>,
        payload: Result<Bytes, NotSent>,
        kind: SubmitKind,
        timeout: Duration,
    ) -> Self {
        let now = Instant::now();
        let begin = |target: &Target| {
            let payload = payload.as_ref().map_err(|failure| Failure::from(failure.clone()))?;
            let site = Site { target, actor, message };
            let mut exchange = Times::default().exchange(kind, timeout, caller, now);
            // Whoever waits for the whole fan polls each part, which leaves its own waker.
            exchange.start(caller, &site, shared_body(payload), std::task::Waker::noop(), now)?;
            Ok(exchange)
        };
        let targets = targets.list(caller);
        let parts =
            targets.into_iter().map(|target| (begin(&target), target)).map(|(part, target)| (target, part));
        Self {
            caller: caller.clone(),
            parts: parts.collect(),
            actor: actor.name.to_owned(),
            requirement: actor.requirement.to_owned(),
            message,
        }
    }

    /// The outcome of each part, in the order of the targets.
    async fn outcomes<T>(
        self,
        read: impl Fn(&Caller, &Site<'_>, Outcome) -> Result<T, CallError>,
    ) -> Vec<(Target, Result<T, CallError>)> {
        let Self { caller, actor, requirement, message, parts } = self;
        let actor = Named { name: &actor, requirement: &requirement };
        let (caller, read) = (&caller, &read);
        let waits = parts.into_iter().map(|(target, part)| async move {
            let site = Site { target: &target, actor, message };
            let result = match part {
                Err(failure) => Err(site.error(failure)),
                Ok(mut exchange) => {
                    let outcome = std::future::poll_fn(|cx| exchange.poll(caller, &site, cx)).await;
                    read(caller, &site, outcome)
                }
            };
            (target, result)
        });
        futures::future::join_all(waits).await
    }
}

/// A multicall that has not begun: set its options, then `.await` it. Answers come in the order of the targets.
///
/// # Cancel safety
/// Dropped while it waits, every unanswered call of it is cancelled.
#[must_use = "a multicall is sent when it is awaited"]
pub struct MultiCall<'a, M> {
    pub(crate) caller: &'a Arc<Caller>,
    pub(crate) targets: Targets,
    pub(crate) actor: Named<'a>,
    pub(crate) message: M,
    pub(crate) timeout: Option<Duration>,
}

impl<'a, M: RemoteMessage> MultiCall<'a, M>
where
    M::Result: Value,
{
    /// One deadline for the whole set. Default: `call_timeout`.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// The version the actors must have, as a semver requirement.
    pub fn require_version(mut self, requirement: &'a str) -> Self {
        self.actor.requirement = requirement;
        self
    }
}

impl<'a, M: RemoteMessage> IntoFuture for MultiCall<'a, M>
where
    M::Result: Value,
{
    type Output = Vec<(Target, Result<M::Result, CallError>)>;
    type IntoFuture = BoxFuture<'a, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let timeout = self.timeout.unwrap_or(self.caller.context.config.call_timeout);
            let payload = shared(&self.message);
            let info = M::INFO.into();
            let fan =
                Fan::start(self.caller, self.targets, self.actor, info, payload, SubmitKind::Call, timeout);
            fan.outcomes(value_of).await
        })
    }
}

/// An sbcast that has not begun: set its options, then `.await` it.
///
/// # Cancel safety
/// Dropped while it waits, messages not written yet are withdrawn; the others are delivered all the same.
#[must_use = "an sbcast is sent when it is awaited"]
pub struct Sbcast<'a, M> {
    pub(crate) caller: &'a Arc<Caller>,
    pub(crate) targets: Targets,
    pub(crate) actor: Named<'a>,
    pub(crate) message: Result<Bytes, NotSent>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) kind: PhantomData<fn() -> M>,
}

impl<'a, M: RemoteMessage> Sbcast<'a, M> {
    pub(crate) fn new(caller: &'a Arc<Caller>, targets: Targets, actor: Named<'a>, message: &M) -> Self {
        Self { caller, targets, actor, message: shared(message), timeout: None, kind: PhantomData }
    }

    /// One deadline for the whole set. Default: `sbcast_timeout`.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }
}

/// Where an sbcast arrived. Every target is in exactly one of the two lists, in the order asked.
#[derive(Debug, Default)]
pub struct SbcastReport {
    /// The message is in the mailbox of the named actor there.
    pub delivered: Vec<Target>,
    /// It is not, or nobody can say, and why.
    pub failed: Vec<(Target, CallError)>,
}

impl<'a, M: RemoteMessage> IntoFuture for Sbcast<'a, M> {
    type Output = SbcastReport;
    type IntoFuture = BoxFuture<'a, SbcastReport>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { caller, targets, actor, message, timeout, .. } = self;
        Box::pin(async move {
            let timeout = timeout.unwrap_or(caller.context.config.sbcast_timeout);
            let info = M::INFO.into();
            let fan = Fan::start(caller, targets, actor, info, message, SubmitKind::Deliver, timeout);
            let mut report = SbcastReport::default();
            let receipt = |_: &Caller, site: &Site<'_>, outcome| match outcome {
                Outcome::Answered { .. } => Ok(()),
                Outcome::Failure(failure) => Err(site.error(failure)),
            };
            for (target, result) in fan.outcomes(receipt).await {
                match result {
                    Ok(()) => report.delivered.push(target),
                    Err(error) => report.failed.push((target, error)),
                }
            }
            report
        })
    }
}

/// What an abcast or eval_everywhere could say at once: local knowledge only.
#[derive(Debug, Default)]
pub struct AbcastReport {
    /// Accepted for sending.
    pub queued: Vec<Target>,
    /// Surely not sent, and why.
    pub not_queued: Vec<(Target, CallError)>,
}

/// One-way to the named actor of every target.
pub(crate) fn abcast<M: RemoteMessage>(
    caller: &Caller,
    targets: Targets,
    actor: Named<'_>,
    message: &M,
) -> AbcastReport {
    let payload = shared(message);
    let mut report = AbcastReport::default();
    for target in targets.list(caller) {
        let site = Site { target: &target, actor, message: M::INFO.into() };
        let queued = match &payload {
            Ok(payload) => send(caller, &site, &shared_body(payload)).map(|_| ()),
            Err(failure) => Err(failure.clone()),
        };
        match queued {
            Ok(()) => report.queued.push(target),
            Err(failure) => {
                let error = site.error(failure);
                report.not_queued.push((target, error));
            }
        }
    }
    report
}
