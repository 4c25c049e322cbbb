//! What a caller learns when there is no answer: what happened, whose fault, whether it ran, what to do.

use std::fmt;
use std::sync::Arc;

pub use farcall_proto::failure::{Failed, Failure, Limit, NotSent, Rejected, Unknown};
use farcall_proto::peer::Target;

/// Why a request has no answer.
///
/// [`class`](CallError::class) and [`may_have_run`](CallError::may_have_run) answer what a caller has to know to
/// decide; [`failure`](CallError::failure) has the precise reason for a `match`. Names the node, the actor and
/// the message; never contains a payload, a secret or a stack trace. Cloning is cheap.
///
/// ```
/// use farcall::error::{CallError, Class};
///
/// fn retry_is_safe(error: &CallError) -> bool {
///     !error.may_have_run() && error.class() == Class::NotSent
/// }
/// ```
#[derive(Clone)]
pub struct CallError(Arc<Inner>);

struct Inner {
    failure: Failure,
    target: Target,
    actor: String,
    message: String,
}

/// The four classes of [`CallError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Nothing was written: surely not executed. Try again, here or elsewhere.
    NotSent,
    /// The peer refused before running it: surely not executed.
    Rejected,
    /// The handler started and gave no answer.
    Failed,
    /// It may have been executed: no answer in time, or the connection was lost.
    Unknown,
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotSent => "not sent",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        })
    }
}

impl CallError {
    pub(crate) fn new(
        failure: impl Into<Failure>,
        target: &Target,
        actor: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        let (failure, target) = (failure.into(), target.clone());
        Self(Arc::new(Inner { failure, target, actor: actor.into(), message: message.into() }))
    }

    /// Which of the four classes.
    pub fn class(&self) -> Class {
        match self.0.failure {
            Failure::NotSent(_) => Class::NotSent,
            Failure::Rejected(_) => Class::Rejected,
            Failure::Failed(_) => Class::Failed,
            Failure::Unknown(_) => Class::Unknown,
        }
    }

    /// Whether the handler may have started. `false` means: surely not, so trying again cannot run it twice.
    pub fn may_have_run(&self) -> bool {
        matches!(self.0.failure, Failure::Failed(_) | Failure::Unknown(_))
    }

    /// The precise reason.
    pub fn failure(&self) -> &Failure {
        &self.0.failure
    }

    /// Where the request was meant to go.
    pub fn target(&self) -> &Target {
        &self.0.target
    }

    /// The name of the actor it was meant for.
    pub fn actor(&self) -> &str {
        &self.0.actor
    }

    /// The wire name of the message.
    pub fn message(&self) -> &str {
        &self.0.message
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { failure, target, actor, message } = &*self.0;
        write!(f, "{message} to {actor} on {target}: {failure}")
    }
}

impl fmt::Debug for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallError")
            .field("class", &self.class())
            .field("failure", &self.0.failure)
            .field("target", &self.0.target)
            .field("actor", &self.0.actor)
            .field("message", &self.0.message)
            .finish()
    }
}

impl std::error::Error for CallError {}
