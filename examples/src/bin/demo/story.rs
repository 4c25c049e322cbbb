//! What the reader sees: chapters, and one line for each step with what was expected and what was seen.

use std::fmt::Display;
use std::time::{Duration, Instant};

use farcall::prelude::*;

/// The story so far.
pub(crate) struct Story {
    begun: Instant,
    step_begun: Instant,
    chapters: u32,
    steps: u32,
    broken: u32,
}

impl Story {
    pub(crate) fn begin() -> Self {
        let now = Instant::now();
        println!("farcall: give an actor a name, and call it from any node.");
        println!(
            "Each line tells what was done, what came of it, and how long that took. `ok` means: as expected."
        );
        Self { begun: now, step_begun: now, chapters: 0, steps: 0, broken: 0 }
    }

    /// Begins a chapter.
    pub(crate) fn chapter(&mut self, title: &str, about: &str) {
        self.chapters += 1;
        println!("\n{}. {title}\n   {about}", self.chapters);
        self.step_begun = Instant::now();
    }

    /// One step: what was done, what was expected, what was seen, and whether that is the same.
    pub(crate) fn step(&mut self, what: &str, expected: impl Display, seen: impl Display, fine: bool) {
        let took = format!("  ({})", time(self.step_begun.elapsed()));
        self.line(what, expected, seen, &took, fine);
    }

    /// As [`step`](Story::step), for what was only looked at.
    pub(crate) fn fact(&mut self, what: &str, expected: impl Display, seen: impl Display, fine: bool) {
        self.line(what, expected, seen, "", fine);
    }

    fn line(&mut self, what: &str, expected: impl Display, seen: impl Display, took: &str, fine: bool) {
        self.steps += 1;
        if fine {
            println!("   ok   {what:<58} {seen}{took}");
        } else {
            self.broken += 1;
            println!("   NOT  {what:<58} expected {expected}, saw {seen}{took}");
        }
        self.step_begun = Instant::now();
    }

    /// Something that was looked at and must be so.
    pub(crate) fn holds(&mut self, what: &str, seen: bool) {
        self.fact(what, "yes", if seen { "yes" } else { "no" }, seen);
    }

    /// A step that is fine if both are equal.
    pub(crate) fn same<T: PartialEq + Display>(&mut self, what: &str, expected: T, seen: T) {
        let fine = expected == seen;
        self.step(what, expected, seen, fine);
    }

    /// A step that is fine if the answer is the expected one.
    pub(crate) fn answer<T: PartialEq + Display>(
        &mut self,
        what: &str,
        expected: T,
        seen: Result<T, CallError>,
    ) {
        match seen {
            Ok(seen) => self.same(what, expected, seen),
            Err(error) => self.step(what, expected, told(&error), false),
        }
    }

    /// A step that is fine if it fails in this class, with this truth about whether the handler may have run.
    pub(crate) fn refusal<T: Display>(
        &mut self,
        what: &str,
        class: Class,
        may_have_run: bool,
        seen: Result<T, CallError>,
    ) {
        let expected = format!("{class}, {}", ran(may_have_run));
        match seen {
            Ok(answer) => self.step(what, expected, format!("the answer {answer}"), false),
            Err(error) => {
                let fine = error.class() == class && error.may_have_run() == may_have_run;
                self.step(what, expected, told(&error), fine);
            }
        }
    }

    /// The last line; true if every step was fine.
    pub(crate) fn end(self) -> bool {
        let took = time(self.begun.elapsed());
        match self.broken {
            0 => println!("\nAll {} steps went as told, in {took}.", self.steps),
            broken => println!("\n{broken} of {} steps did NOT go as told.", self.steps),
        }
        self.broken == 0
    }
}

/// An error in plain words: what it says, and what that means for the caller.
pub(crate) fn told(error: &CallError) -> String {
    format!("{}: {}", ran(error.may_have_run()), error.failure())
}

fn ran(may_have_run: bool) -> &'static str {
    if may_have_run { "may have run" } else { "surely did not run" }
}

/// A duration with few digits.
pub(crate) fn time(took: Duration) -> String {
    match took {
        t if t < Duration::from_millis(1) => format!("{} µs", t.as_micros()),
        t if t < Duration::from_secs(1) => format!("{:.1} ms", t.as_secs_f64() * 1e3),
        t => format!("{:.1} s", t.as_secs_f64()),
    }
}
