//! Calls to whoever serves.

use std::future::IntoFuture;
use std::time::{Duration, Instant};

use farcall_proto::cluster::groups::Member;
use farcall_proto::cluster::services::{NoNode, Report, Rule, RuleError, report, runs, surely_elsewhere};
use farcall_proto::failure::{Failed, NotSent};
use farcall_proto::peer::{NodeName, Target};
use futures::future::BoxFuture;

use super::Services;
use super::callbacks::CallbackFailure;
use crate::error::CallError;
use crate::message::{RemoteMessage, Value, decode_value};
use crate::rpc::{RawCall, RawMessage, deadline_after};

/// Why a call to a service has no answer.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceError {
    /// Nobody serves it: nothing was sent.
    #[error(transparent)]
    NoNode(#[from] NoNode),
    /// The last of the nodes that were tried gave no answer.
    #[error(transparent)]
    Call(#[from] CallError),
}

impl ServiceError {
    /// Whether it may have run somewhere.
    pub fn may_have_run(&self) -> bool {
        match self {
            Self::NoNode(_) => false,
            Self::Call(error) => error.may_have_run(),
        }
    }
}

impl Services {
    /// Calls somebody who offers a service: `services.call("header", Render { .. }).await?`.
    ///
    /// Options before the `.await`: [`timeout`](ServiceCall::timeout), [`failed_if`](ServiceCall::failed_if).
    ///
    /// # Errors
    /// [`ServiceError`].
    ///
    /// # Cancel safety
    /// Dropping the future cancels the call, wherever it is.
    pub fn call<'a, M>(&'a self, service: &'a str, message: M) -> ServiceCall<'a, M>
    where
        M: RemoteMessage,
        M::Result: Value,
    {
        ServiceCall { services: self, service, message, timeout: None, failed_if: None }
    }

    /// Calls services at once, each with its message; the answers are in the order of the calls.
    ///
    /// # Cancel safety
    /// Dropping the future cancels all of them.
    pub async fn call_each<M>(
        &self,
        calls: impl IntoIterator<Item = (String, M)>,
    ) -> Vec<Result<M::Result, ServiceError>>
    where
        M: RemoteMessage,
        M::Result: Value,
    {
        let called = calls.into_iter().map(async |(service, message)| self.call(&service, message).await);
        futures::future::join_all(called).await
    }

    /// Calls every node that offers a service, those that drain excepted:
    /// `services.call_all("header", Version).matching("^web")?.await?.report()`.
    ///
    /// # Cancel safety
    /// Dropping the future cancels all of them.
    pub fn call_all<'a, M>(&'a self, service: &'a str, message: M) -> CallAll<'a, M>
    where
        M: RemoteMessage,
        M::Result: Value,
    {
        CallAll { services: self, service, message, timeout: None, matching: None }
    }

    /// Sends one way to somebody who offers a service; set [`percentage`](ServiceCast::percentage), then
    /// [`send`](ServiceCast::send).
    pub fn cast<'a, M: RemoteMessage>(&'a self, service: &'a str, message: M) -> ServiceCast<'a, M> {
        ServiceCast { services: self, service, message, percentage: 100 }
    }

    /// Calls one node that offers a service, with an encoded message.
    async fn call_at<M>(
        &self,
        member: &Member,
        payload: &[u8],
        within: Duration,
    ) -> Result<M::Result, CallError>
    where
        M: RemoteMessage,
        M::Result: Value,
    {
        let target = Target::from(&member.node);
        let (caller, actor) = (self.0.cluster.caller(), member.actor.as_str().into());
        let raw = RawCall { caller, target: &target, actor };
        let answer = raw.call(raw_message::<M>(payload), within).await?;
        decode_value(&answer).map_err(|error| {
            let failed = Failed::ReplyDecode(error.to_string());
            CallError::new(failed, &target, &member.actor, M::INFO.name)
        })
    }

    fn encoded<M: RemoteMessage>(&self, service: &str, message: &M) -> Result<Vec<u8>, CallError> {
        let mut payload = Vec::new();
        let own = || Target::from(&self.0.cluster.caller().context.name);
        let error = |why: String| CallError::new(NotSent::Encode(why.into()), &own(), service, M::INFO.name);
        message.encode(&mut payload).map_err(|why| error(why.to_string()))?;
        Ok(payload)
    }
}

fn raw_message<M: RemoteMessage>(payload: &[u8]) -> RawMessage<'_> {
    let info = M::INFO;
    RawMessage { name: info.name, version: info.version, fingerprint: info.fingerprint, payload }
}

/// A call to a service that has not begun: set its options, then `.await` it.
///
/// # Cancel safety
/// Nothing is sent before the first poll. Dropped later, the call is cancelled where it is.
#[must_use = "a call is made when it is awaited"]
pub struct ServiceCall<'a, M: RemoteMessage> {
    services: &'a Services,
    service: &'a str,
    message: M,
    timeout: Option<Duration>,
    failed_if: Option<fn(&M::Result) -> bool>,
}

impl<M: RemoteMessage> ServiceCall<'_, M> {
    /// How long all of it may take, other nodes included. Default: `call_timeout`.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Which answers are failures to [callbacks](super::ServiceCallbacks): `.failed_if(Result::is_err)`.
    pub fn failed_if(mut self, failed: fn(&M::Result) -> bool) -> Self {
        self.failed_if = Some(failed);
        self
    }
}

impl Services {
    /// Calls one after the other, until one has answered or it may have run.
    async fn call_any<M>(
        &self,
        service: &str,
        payload: &[u8],
        deadline: Instant,
    ) -> Result<M::Result, ServiceError>
    where
        M: RemoteMessage,
        M::Result: Value,
    {
        let (mut tried, mut last): (Vec<NodeName>, Option<CallError>) = (Vec::new(), None);
        loop {
            let member = match (self.choose(service, &tried), last) {
                (Ok(member), _) => member,
                // Somebody was there, and says more than that nobody is left.
                (Err(_), Some(error)) => return Err(error.into()),
                (Err(none), None) => return Err(none.into()),
            };
            let left = deadline.saturating_duration_since(Instant::now());
            match self.call_at::<M>(&member, payload, left).await {
                Ok(answer) => return Ok(answer),
                Err(error) if surely_elsewhere(error.failure()) && Instant::now() < deadline => {
                    tried.push(member.node);
                    last = Some(error);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl<'a, M> IntoFuture for ServiceCall<'a, M>
where
    M: RemoteMessage,
    M::Result: Value,
{
    type Output = Result<M::Result, ServiceError>;
    type IntoFuture = BoxFuture<'a, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { services, service, timeout, failed_if, .. } = self;
        let payload = services.encoded(service, &self.message);
        Box::pin(async move {
            let (begun, callbacks) = (Instant::now(), services.callbacks());
            let default = services.0.cluster.caller().context.config.call_timeout;
            let deadline = deadline_after(begun, timeout.unwrap_or(default));
            let result = match payload {
                Ok(payload) => services.call_any::<M>(service, &payload, deadline).await,
                Err(error) => Err(error.into()),
            };
            let message = M::INFO.name;
            callbacks.measure(service, message, begun.elapsed());
            match &result {
                Ok(answer) if failed_if.is_some_and(|failed| failed(answer)) => {
                    callbacks.failure(service, message, CallbackFailure::Application);
                }
                Ok(_) => callbacks.success(service, message),
                Err(ServiceError::NoNode(_)) => {
                    callbacks.failure(service, message, CallbackFailure::NoNode);
                }
                Err(ServiceError::Call(error)) => {
                    callbacks.failure(service, message, CallbackFailure::Transport(error));
                }
            }
            result
        })
    }
}

/// A call to every node that offers a service: set its options, then `.await` it.
///
/// # Cancel safety
/// As [`ServiceCall`].
#[must_use = "a call is made when it is awaited"]
pub struct CallAll<'a, M> {
    services: &'a Services,
    service: &'a str,
    message: M,
    timeout: Option<Duration>,
    matching: Option<Rule>,
}

impl<M> CallAll<'_, M> {
    /// How long each may take. Default: `call_timeout`.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Only nodes whose names match this regular expression, in the part before the `@` or in the whole.
    ///
    /// # Errors
    /// [`RuleError`]: it is none.
    pub fn matching(mut self, nodes: &str) -> Result<Self, RuleError> {
        self.matching = Some(Rule::new(nodes, [""; 0])?);
        Ok(self)
    }
}

/// What every node answered, in the order of their names.
#[derive(Debug)]
pub struct CallAllReport<R>(pub Vec<(NodeName, Result<R, CallError>)>);

impl<R: PartialEq> CallAllReport<R> {
    /// Whether all of them gave the same answer; those that gave none are told apart by the reason.
    pub fn report(self) -> Option<Report<Result<R, String>>> {
        let answers = self.0.into_iter();
        report(answers.map(|(node, answer)| (node, answer.map_err(|error| error.to_string()))).collect())
    }
}

impl<'a, M> IntoFuture for CallAll<'a, M>
where
    M: RemoteMessage,
    M::Result: Value,
{
    type Output = Result<CallAllReport<M::Result>, ServiceError>;
    type IntoFuture = BoxFuture<'a, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { services, service, timeout, matching, .. } = self;
        let payload = services.encoded(service, &self.message);
        Box::pin(async move {
            let begun = Instant::now();
            let payload = payload?;
            let mut members: Vec<_> = services
                .candidates(service)
                .into_iter()
                .filter(|candidate| !candidate.draining)
                .map(|candidate| candidate.member)
                .collect();
            if let Some(nodes) = &matching {
                members.retain(|member| nodes.matches(&member.node));
            }
            members.sort();
            members.dedup_by(|one, other| one.node == other.node);
            if members.is_empty() {
                let why = "no node that is connected, matches and does not drain offers it";
                return Err(NoNode { service: service.to_owned(), why }.into());
            }
            let default = services.0.cluster.caller().context.config.call_timeout;
            let within = timeout.unwrap_or(default);
            let calls = members.iter().map(|member| services.call_at::<M>(member, &payload, within));
            let answers = futures::future::join_all(calls).await;
            services.callbacks().measure(service, M::INFO.name, begun.elapsed());
            let nodes = members.into_iter().map(|member| member.node);
            Ok(CallAllReport(nodes.zip(answers).collect()))
        })
    }
}

/// A cast to a service that was not sent yet.
#[must_use = "a cast is sent with send()"]
pub struct ServiceCast<'a, M> {
    services: &'a Services,
    service: &'a str,
    message: M,
    percentage: u8,
}

/// What became of a cast.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Casted {
    /// It is on its way to this node.
    Sent(NodeName),
    /// It is one of those that were not to run.
    NotExecuted,
}

impl<M: RemoteMessage> ServiceCast<'_, M> {
    /// How many of a hundred such casts run: a sample of them is enough. Default: 100.
    pub fn percentage(mut self, percentage: u8) -> Self {
        self.percentage = percentage;
        self
    }

    /// Sends it, or not.
    ///
    /// # Errors
    /// [`ServiceError`]: it was surely not sent.
    pub fn send(self) -> Result<Casted, ServiceError> {
        if !runs(self.percentage, crate::cluster::random()) {
            return Ok(Casted::NotExecuted);
        }
        let (services, service) = (self.services, self.service);
        let payload = services.encoded(service, &self.message)?;
        let (mut tried, mut last): (Vec<NodeName>, Option<CallError>) = (Vec::new(), None);
        loop {
            let member = match (services.choose(service, &tried), last) {
                (Ok(member), _) => member,
                (Err(_), Some(error)) => return Err(error.into()),
                (Err(none), None) => return Err(none.into()),
            };
            let target = Target::from(&member.node);
            let (caller, actor) = (services.0.cluster.caller(), member.actor.as_str().into());
            let raw = RawCall { caller, target: &target, actor };
            match raw.cast(raw_message::<M>(&payload)) {
                Ok(_) => return Ok(Casted::Sent(member.node)),
                Err(error) => {
                    tried.push(member.node);
                    last = Some(error);
                }
            }
        }
    }
}
