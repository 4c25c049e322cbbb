//! Where in a value something is, as a person would point at it: `.items[3].amount`.

use std::fmt;

use super::DEPTH_MAX;

/// A place in a value; each place knows the one around it.
#[derive(Debug, Clone, Copy)]
pub(super) struct At<'a> {
    around: Option<&'a At<'a>>,
    step: Step<'a>,
    depth: usize,
}

#[derive(Debug, Clone, Copy)]
enum Step<'a> {
    Top,
    Field(&'a str),
    Index(usize),
    Key(&'a str),
    /// Inside something that JSON does not show: an option, a newtype.
    Within,
}

impl<'a> At<'a> {
    /// The value as a whole.
    pub(super) const TOP: At<'static> = At { around: None, step: Step::Top, depth: 0 };

    pub(super) fn field(&'a self, name: &'a str) -> Result<At<'a>, Problem> {
        self.down(Step::Field(name))
    }

    pub(super) fn index(&'a self, index: usize) -> Result<At<'a>, Problem> {
        self.down(Step::Index(index))
    }

    pub(super) fn key(&'a self, key: &'a str) -> Result<At<'a>, Problem> {
        self.down(Step::Key(key))
    }

    pub(super) fn within(&'a self) -> Result<At<'a>, Problem> {
        self.down(Step::Within)
    }

    fn down(&'a self, step: Step<'a>) -> Result<At<'a>, Problem> {
        if self.depth >= DEPTH_MAX {
            return Err(self.problem(format!("the type nests deeper than {DEPTH_MAX}")));
        }
        Ok(At { around: Some(self), step, depth: self.depth + 1 })
    }

    pub(super) fn problem(&self, what: impl Into<String>) -> Problem {
        Problem { path: self.to_string(), what: what.into() }
    }
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(around) = self.around {
            fmt::Display::fmt(around, f)?;
        }
        match self.step {
            Step::Top | Step::Within => Ok(()),
            Step::Field(name) => write!(f, ".{name}"),
            Step::Index(index) => write!(f, "[{index}]"),
            Step::Key(key) => write!(f, "[{key:?}]"),
        }
    }
}

/// A value and a layout that do not fit, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    path: String,
    what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => write!(f, "at the top: {}", self.what),
            path => write!(f, "at {path}: {}", self.what),
        }
    }
}
