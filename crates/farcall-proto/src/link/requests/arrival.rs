//! Where an outcome is put for its caller.

use super::{Answer, InlineBytes, Outcome};
use crate::failure::Failure;

/// A place for what comes in for a request. It is filled where it lies, for moving a small answer about costs as much as
/// decoding it.
#[derive(Debug)]
pub struct Arrival {
    pub(super) inline: InlineBytes,
    pub(super) len: u8,
    pub(super) compressed: bool,
    /// Anything but a small answer.
    pub(super) other: Option<Box<Outcome>>,
}

impl Arrival {
    /// A place for one outcome.
    pub const EMPTY: Self = Self { inline: InlineBytes::EMPTY, len: 0, compressed: false, other: None };

    /// The payload of an answer, and whether it is compressed.
    ///
    /// # Errors
    /// What there is instead of an answer.
    pub fn answer(&self) -> Result<(&[u8], bool), &Failure> {
        match self.other.as_deref() {
            None => Ok((self.inline.get(self.len), self.compressed)),
            Some(Outcome::Answered { answer, compressed }) => Ok((answer.as_slice(), *compressed)),
            Some(Outcome::Failure(failure)) => Err(failure),
        }
    }

    /// The outcome as a value of its own.
    pub fn into_outcome(self) -> Outcome {
        match self.other {
            None => {
                let answer = Answer::Inline { bytes: self.inline, len: self.len };
                Outcome::Answered { answer, compressed: self.compressed }
            }
            Some(outcome) => *outcome,
        }
    }

    /// Puts a failure there.
    pub fn fail(&mut self, failure: impl Into<Failure>) {
        self.other = Some(Box::new(Outcome::Failure(failure.into())));
    }
}
