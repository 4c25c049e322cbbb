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

    /// A stable word for the precise reason, like `queue_full`: for metrics, logs and scripts.
    pub fn reason(&self) -> &'static str {
        self.0.failure.reason()
    }

    /// What a person can do about it: one sentence, without a full stop.
    pub fn remedy(&self) -> &'static str {
        match &self.0.failure {
            Failure::NotSent(reason) => remedy_not_sent(reason),
            Failure::Rejected(reason) => remedy_rejected(reason),
            Failure::Failed(reason) => remedy_failed(reason),
            Failure::Unknown(_) => {
                "it may have run: ask the actor what happened, or send it again if running it twice does no harm"
            }
        }
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

// The wildcards below are for reasons that a later release of the protocol adds.

fn remedy_not_sent(reason: &NotSent) -> &'static str {
    match reason {
        NotSent::NoAddress(_) => {
            "tell where the node is: in [nodes] of the configuration, in the discovery file, or by its name, name@host"
        }
        NotSent::ConnectFailed(_) => {
            "is the node running, does it listen on that address and port, and does a firewall let it through?"
        }
        NotSent::HandshakeFailed(_) => {
            "do both sides use the same cookie file, cluster name and driver, is each certificate good and for its node, and is the node's whole name as it was dialled? The log of that node says what it refused"
        }
        NotSent::QueueFull { .. } => "send more slowly, wait for answers, or raise the limit that it names",
        NotSent::DeadlineBeforeWrite => {
            "allow more time, or send less: the queue to this node moves too slowly"
        }
        NotSent::TooLarge { .. } => "send less at once, or raise message_bytes_max on both sides",
        NotSent::Encode(_) => "the message's own Serialize refuses this value: mend the message",
        NotSent::Draining(_) => "ask another node, or this one after its restart",
        NotSent::BadRequest(_) => "mend the request",
        NotSent::AlreadyTaken => "a promise gives its answer once: keep it",
        _ => "nothing was sent: try again",
    }
}

fn remedy_rejected(reason: &Rejected) -> &'static str {
    match reason {
        Rejected::NoSuchActor => "see the names that are registered there with `farcall names`",
        Rejected::NoSuchMessage => {
            "see what the actor accepts with `farcall describe`, and its #[remote(..)] list"
        }
        Rejected::Incompatible(_) => {
            "build both sides from the same message, or count its version up and let it read the older one with from(..)"
        }
        Rejected::Unauthorized => "permit the actor in the access list of that node",
        Rejected::WrongVersion { .. } => "ask a node with the version you need, or require less",
        Rejected::Busy(_) => "try again later, or spread the load: the actor gets more than it handles",
        Rejected::Expired => "allow more time, or spread the load: the request waited too long",
        Rejected::Decode(_) => {
            "both sides disagree about the message's layout: build them from the same source"
        }
        Rejected::Draining => "ask another node, or this one after its restart",
        Rejected::ActorStopped => "try again when the actor is registered again",
        _ => "it did not run: try again",
    }
}

fn remedy_failed(reason: &Failed) -> &'static str {
    match reason {
        Failed::Panicked => "the handler has a bug: the log of that node has the panic",
        Failed::ActorStopped => {
            "the handler dropped its answer or its actor stopped: the log of that node may say why"
        }
        Failed::ReplyTooLarge { .. } => {
            "answer with less or with a stream, or raise message_bytes_max on both sides"
        }
        Failed::ReplyDecode(_) => {
            "both sides disagree about the answer's layout: build them from the same source"
        }
        _ => "it began to run: send it again only if running it twice does no harm",
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

#[cfg(test)]
mod tests {
    use super::*;

    fn error(failure: impl Into<Failure>) -> CallError {
        CallError::new(failure, &"beta@127.0.0.1".parse().unwrap(), "counter", "Add")
    }

    #[test]
    fn an_error_says_what_happened_whether_it_ran_and_what_to_do() {
        let refused = error(NotSent::HandshakeFailed("no".into()));
        assert_eq!((refused.class(), refused.reason()), (Class::NotSent, "handshake_failed"));
        assert!(refused.remedy().contains("same cookie file"));
        assert!(!refused.may_have_run());
        let lost = error(Unknown::LinkLost("reset".into()));
        assert_eq!((lost.class(), lost.reason()), (Class::Unknown, "link_lost"));
        assert!(lost.remedy().contains("may have run"));
    }

    #[test]
    fn reasons_are_words_for_programs_and_remedies_are_one_sentence() {
        let limit = Limit { name: "unsent_bytes_max", value: 1 };
        let failures: [Failure; 12] = [
            NotSent::NoAddress("x".into()).into(),
            NotSent::QueueFull { limit }.into(),
            NotSent::TooLarge { bytes: 2, limit: 1 }.into(),
            NotSent::AlreadyTaken.into(),
            NotSent::Disconnected("x".into()).into(),
            Rejected::NoSuchActor.into(),
            Rejected::Incompatible("x".into()).into(),
            Rejected::Cancelled.into(),
            Failed::Panicked.into(),
            Failed::ReplyTooLarge { bytes: 2, limit: 1 }.into(),
            Unknown::Timeout.into(),
            Unknown::LinkLost("x".into()).into(),
        ];
        for error in failures.into_iter().map(error) {
            let (reason, remedy) = (error.reason(), error.remedy());
            assert!(reason.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{reason}");
            assert!(!remedy.is_empty() && !remedy.ends_with('.') && !remedy.contains('\n'), "{remedy}");
        }
    }
}
