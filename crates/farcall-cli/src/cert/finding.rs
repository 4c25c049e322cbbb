//! What came of one check: it holds, it is a worry, it failed, or it was not looked at; and what to do.

use serde::Serialize;

use crate::output::Output;
use crate::report::Report;

/// One thing that was looked at.
#[derive(Serialize)]
pub(crate) struct Finding {
    /// A stable word, like `key_file`.
    check: &'static str,
    pub(crate) result: Verdict,
    message: String,
    /// What to do; empty if there is nothing.
    remedy: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    Ok,
    Warning,
    Failed,
    /// Not looked at, for want of something to hold it against.
    Skipped,
}

impl Finding {
    pub(crate) fn ok(check: &'static str, message: impl Into<String>) -> Self {
        Self { check, result: Verdict::Ok, message: message.into(), remedy: String::new() }
    }

    pub(crate) fn failed(check: &'static str, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        let (message, remedy) = (message.into(), remedy.into());
        Self { check, result: Verdict::Failed, message, remedy }
    }

    pub(crate) fn warning(
        check: &'static str,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { result: Verdict::Warning, ..Self::failed(check, message, remedy) }
    }

    pub(crate) fn skipped(
        check: &'static str,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { result: Verdict::Skipped, ..Self::failed(check, message, remedy) }
    }

    pub(crate) fn print(&self, output: &mut Output) -> Result<(), Report> {
        if output.is_json() {
            return output.document(self);
        }
        let word = match self.result {
            Verdict::Ok => "ok",
            Verdict::Warning => "warning",
            Verdict::Failed => "FAILED",
            Verdict::Skipped => "skipped",
        };
        output.line(&format!("{word:7}  {}", self.message))?;
        match self.remedy.is_empty() {
            true => Ok(()),
            false => output.line(&format!("         what to do: {}", self.remedy)),
        }
    }
}
