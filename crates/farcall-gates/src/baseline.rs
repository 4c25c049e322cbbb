//! The committed figures, and the verdict on new ones.

use std::error::Error;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;

use crate::figures::Figure;

/// What was accepted, and by which compiler and C library it was made.
#[derive(Debug, PartialEq)]
pub(crate) struct Baseline {
    pub(crate) made_with: String,
    pub(crate) figures: Vec<(String, f64, f64)>,
}

/// How a count stands to what was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Within the slack.
    Same,
    /// Better by more than the slack: to be accepted, so that it does not get lost again unnoticed.
    Lower,
    /// Worse by more than the slack.
    Raised,
    /// Nothing was accepted yet.
    New,
}

/// What may change without a word, relatively.
const SLACK: f64 = 0.03;
/// And absolutely, for counts of a few or none: one allocation in fifty calls.
const SLACK_ALLOCATIONS: f64 = 0.02;

impl Verdict {
    pub(crate) fn on_instructions(before: Option<f64>, now: f64) -> Self {
        Self::on(before, now, 0.0)
    }

    pub(crate) fn on_allocations(before: Option<f64>, now: f64) -> Self {
        Self::on(before, now, SLACK_ALLOCATIONS)
    }

    fn on(before: Option<f64>, now: f64, absolute: f64) -> Self {
        let Some(before) = before else { return Self::New };
        let slack = (before * SLACK).max(absolute);
        if now > before + slack {
            Self::Raised
        } else if now < before - slack {
            Self::Lower
        } else {
            Self::Same
        }
    }

    /// Whether the check fails by it.
    pub(crate) fn fails(self) -> bool {
        matches!(self, Self::Raised | Self::New)
    }
}

impl Baseline {
    /// The committed one.
    pub(crate) fn load() -> Result<Self, Box<dyn Error>> {
        Self::parse(&std::fs::read_to_string(path())?)
    }

    fn parse(text: &str) -> Result<Self, Box<dyn Error>> {
        let table: toml::Table = text.parse()?;
        let made_with = table.get("made_with").and_then(toml::Value::as_str).unwrap_or_default().to_owned();
        let mut figures = Vec::new();
        for (name, value) in &table {
            let Some(figure) = value.as_table() else { continue };
            let number = |key| figure.get(key).and_then(toml::Value::as_float);
            let (Some(instructions), Some(allocations)) = (number("instructions"), number("allocations"))
            else {
                return Err(format!("{name} has no instructions or no allocations").into());
            };
            figures.push((name.clone(), instructions, allocations));
        }
        Ok(Self { made_with, figures })
    }

    /// Instructions and allocations that were accepted.
    pub(crate) fn find(&self, name: &str) -> Option<(f64, f64)> {
        let found = self.figures.iter().find(|(known, ..)| known == name);
        found.map(|(_, instructions, allocations)| (*instructions, *allocations))
    }

    /// Writes new figures in place of the committed ones.
    pub(crate) fn accept(figures: &[(&'static str, Figure)]) -> Result<PathBuf, Box<dyn Error>> {
        let path = path();
        std::fs::write(&path, Self::text(&made_with(), figures)?)?;
        Ok(path)
    }

    fn text(made_with: &str, figures: &[(&'static str, Figure)]) -> Result<String, std::fmt::Error> {
        let mut text = String::from(HEADING);
        writeln!(text, "made_with = {made_with:?}")?;
        for (name, Figure { instructions, allocations, .. }) in figures {
            writeln!(text, "\n[{name}]")?;
            writeln!(text, "instructions = {instructions:.1}\nallocations = {allocations:.4}")?;
        }
        Ok(text)
    }
}

const HEADING: &str =
    "# What one call takes. Written by `make gates-accept`; README.md says what the names mean.\n";

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("baseline.toml")
}

/// What else than this code makes the counts: the compiler and the C library.
pub(crate) fn made_with() -> String {
    let library = Command::new("getconf").arg("GNU_LIBC_VERSION").output();
    let library = library.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    format!("{}, {}", env!("GATES_COMPILER"), library.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let figure = Figure { instructions: 4356.25, allocations: 0.0159, spread: 0.1 };
        let text = Baseline::text("a compiler", &[("call", figure)]).unwrap();
        let read = Baseline::parse(&text).unwrap();
        let figures = vec![("call".to_owned(), 4356.2, 0.0159)];
        assert_eq!(read, Baseline { made_with: "a compiler".to_owned(), figures });
    }

    #[test]
    fn three_in_a_hundred_more_pass_and_four_do_not() {
        assert_eq!(Verdict::on_instructions(Some(1000.0), 1029.0), Verdict::Same);
        assert_eq!(Verdict::on_instructions(Some(1000.0), 1040.0), Verdict::Raised);
        assert_eq!(Verdict::on_instructions(Some(1000.0), 960.0), Verdict::Lower);
        assert!(Verdict::on_instructions(None, 1.0).fails());
    }

    #[test]
    fn an_allocation_where_there_was_none_does_not_pass() {
        assert_eq!(Verdict::on_allocations(Some(0.0), 0.016), Verdict::Same);
        assert_eq!(Verdict::on_allocations(Some(0.0), 1.0), Verdict::Raised);
    }
}
