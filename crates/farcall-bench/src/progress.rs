//! What a run says while it runs: one line that is written over on a terminal, a line for each sample elsewhere.

use std::io::{IsTerminal, Write, stderr};
use std::time::Instant;

/// The progress of a run.
pub(crate) struct Progress {
    started: Instant,
    done: usize,
    total: usize,
    terminal: bool,
}

impl Progress {
    /// Nothing is done of so many samples.
    pub(crate) fn new(total: usize) -> Self {
        Self { started: Instant::now(), done: 0, total, terminal: stderr().is_terminal() }
    }

    /// One more is done.
    pub(crate) fn step(&mut self, what: &str, seen: &str) {
        self.done += 1;
        let left_s =
            self.started.elapsed().as_secs_f64() / self.done as f64 * (self.total - self.done) as f64;
        let (done, total) = (self.done, self.total);
        if self.terminal {
            // Failing to say so harms nobody.
            let _ = write!(stderr(), "\r\x1b[2K{} {done}/{total}, {left_s:.0} s left: {what}", self.bar());
            if done == total {
                let _ = writeln!(stderr());
            }
        } else {
            eprintln!("[{done:>3}/{total}] {what}: {seen}; {left_s:.0} s left");
        }
    }

    fn bar(&self) -> String {
        let full = (BAR * self.done).checked_div(self.total).unwrap_or(BAR);
        format!("[{}{}]", "#".repeat(full), ".".repeat(BAR - full))
    }
}

const BAR: usize = 30;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_is_full_at_the_end_and_not_before() {
        let mut progress = Progress { started: Instant::now(), done: 0, total: 3, terminal: false };
        assert_eq!(progress.bar().matches('#').count(), 0);
        (0..3).for_each(|_| progress.step("what", "seen"));
        assert_eq!(progress.bar().matches('#').count(), BAR);
    }
}
