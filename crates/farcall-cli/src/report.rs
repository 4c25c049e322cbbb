//! What went wrong, for a person and for a program: what happened, whether it ran, what to do.

use farcall::CallError;
use farcall::error::Class;
use serde::Serialize;

/// Why the command did not do what it was asked to.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Report {
    /// `not_sent`, `rejected`, `failed`, `unknown`, or `other`.
    pub(crate) class: &'static str,
    /// A stable word, like `queue_full`.
    pub(crate) reason: &'static str,
    /// Whether the handler may have started.
    pub(crate) may_have_run: bool,
    /// What happened.
    pub(crate) message: String,
    /// What to do about it.
    pub(crate) remedy: String,
    #[serde(skip)]
    pub(crate) exit: u8,
}

impl Report {
    /// Something on this side, before anything was sent.
    pub(crate) fn here(reason: &'static str, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        let (message, remedy) = (message.into(), remedy.into());
        Self { class: "other", reason, may_have_run: false, message, remedy, exit: 1 }
    }

    /// The node does not have what was asked for: found out before anything was sent to the actor.
    pub(crate) fn rejected(
        reason: &'static str,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let (message, remedy) = (message.into(), remedy.into());
        Self {
            class: "rejected",
            reason,
            may_have_run: false,
            message,
            remedy,
            exit: exit_of(Class::Rejected),
        }
    }

    /// It ran, and its answer cannot be read.
    pub(crate) fn unreadable(message: impl Into<String>) -> Self {
        let remedy = "it ran: `--raw` prints the bytes of an answer as they are".to_owned();
        let (class, exit) = ("failed", exit_of(Class::Failed));
        Self { class, reason: "reply_decode", may_have_run: true, message: message.into(), remedy, exit }
    }
}

impl From<CallError> for Report {
    fn from(error: CallError) -> Self {
        let class = match error.class() {
            Class::NotSent => "not_sent",
            Class::Rejected => "rejected",
            Class::Failed => "failed",
            Class::Unknown => "unknown",
        };
        Self {
            class,
            reason: error.reason(),
            may_have_run: error.may_have_run(),
            message: error.to_string(),
            remedy: error.remedy().to_owned(),
            exit: exit_of(error.class()),
        }
    }
}

fn exit_of(class: Class) -> u8 {
    match class {
        Class::NotSent => 3,
        Class::Rejected => 4,
        Class::Failed => 5,
        Class::Unknown => 6,
    }
}
