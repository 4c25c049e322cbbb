//! Why something did not end as it should.

use std::fmt;

/// Why a step, a scenario or the whole run ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is not as it should be.
    Failed(String),
    /// It cannot be tried here.
    Skipped(String),
    /// Somebody pressed Ctrl-C.
    Interrupted,
}

pub(crate) type Result<T> = std::result::Result<T, Fault>;

/// It is not as it should be, for this reason.
pub(crate) fn failed<T>(why: impl Into<String>) -> Result<T> {
    Err(Fault::Failed(why.into()))
}

/// It cannot be tried here, for this reason.
pub(crate) fn skipped<T>(why: impl Into<String>) -> Result<T> {
    Err(Fault::Skipped(why.into()))
}

/// Fails with these words unless it is so.
pub(crate) fn unless(right: bool, why: impl FnOnce() -> String) -> Result<()> {
    if right { Ok(()) } else { failed(why()) }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(why) => f.write_str(why),
            Self::Skipped(why) => write!(f, "skipped: {why}"),
            Self::Interrupted => f.write_str("interrupted"),
        }
    }
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<nix::Error> for Fault {
    fn from(error: nix::Error) -> Self {
        Self::Failed(error.to_string())
    }
}
