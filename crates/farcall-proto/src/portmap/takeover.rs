//! Who serves the mapper of a host: the first node there, and another when it ends.
//!
//! ```text
//!           ┌────────── Wait ◀──────────┬───────────────┐
//!           ▼                           │ nobody        │ lost
//! begin ─▶ Bind ── in use ──▶ Ask ──────┴── registered ─┴─▶ Hold
//!           └── bound ──▶ Serve                 └─ taken, refused ─▶ GiveUp at the start, Wait later
//! ```
//! That a port can be listened on only once decides between those who try at the same time.

use std::time::{Duration, Instant};

use super::RegisterRefused;

/// Whose mapper it is that has the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mapper {
    /// That of a farcall node.
    Farcall,
    /// Erlang's.
    Epmd,
}

/// What a node is to do next about its mapper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Try to listen on the mapper's port; then [`Event::Bound`], [`Event::InUse`] or [`Event::Refused`].
    Bind,
    /// Register at whoever listens there; then [`Event::Registered`], [`Event::Nobody`], [`Event::Taken`] or
    /// [`Event::Refused`].
    Ask,
    /// Let so much time pass; then [`Event::Waited`].
    Wait(Duration),
    /// Serve, the own name first.
    Serve,
    /// Hold the connection of the registration; [`Event::Lost`] when it ends.
    Hold,
    /// End with an error.
    GiveUp(GiveUp),
}

/// Why a node does not start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GiveUp {
    /// A living node has its name.
    Taken,
    /// The mapper does not take it.
    Refused,
    /// Somebody listens there who does not answer.
    Nobody,
}

/// What came of a [`Step`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The port is ours.
    Bound,
    /// Somebody listens there.
    InUse,
    /// The name is held there.
    Registered(Mapper),
    /// Nobody answers there.
    Nobody,
    /// The name is held by another node.
    Taken,
    /// It does not take us for another reason.
    Refused,
    /// The time has passed.
    Waited,
    /// The mapper that held our name is gone.
    Lost,
}

impl From<RegisterRefused> for Event {
    fn from(refused: RegisterRefused) -> Self {
        match refused {
            RegisterRefused::Taken(_) => Self::Taken,
            RegisterRefused::Full => Self::Refused,
        }
    }
}

/// The decision, from a node's start to its end.
#[derive(Debug)]
pub struct TakeOver {
    begun: Instant,
    /// Whether the name was held once; from then on nothing ends the node.
    was_in: bool,
    held_by: Option<Mapper>,
    /// An epmd that died is somebody's service: until then its place is left to it.
    epmd_until: Option<Instant>,
    failures: u32,
    after_wait: Step,
}

impl TakeOver {
    /// So long a name may still be held by a process that has just died: its mapper hears of it a moment later.
    pub const TAKEN_PATIENCE: Duration = Duration::from_millis(500);
    /// So long a starting node asks somebody who listens and does not answer.
    pub const NOBODY_PATIENCE: Duration = Duration::from_secs(3);
    /// So long an epmd that died may come back to its port.
    pub const EPMD_GRACE: Duration = Duration::from_secs(2);
    /// The shortest pause at its longest: short, because nobody finds this node meanwhile.
    const PAUSE_MIN: Duration = Duration::from_millis(50);
    /// The longest pause.
    const PAUSE_MAX: Duration = Duration::from_secs(1);

    /// A node that starts now, with [`Step::Bind`].
    pub fn begin(now: Instant) -> (Self, Step) {
        let machine = Self {
            begun: now,
            was_in: false,
            held_by: None,
            epmd_until: None,
            failures: 0,
            after_wait: Step::Bind,
        };
        (machine, Step::Bind)
    }

    /// Whether the name is known to a mapper.
    pub fn is_in(&self) -> bool {
        self.held_by.is_some()
    }

    /// What is next. `jitter` is a random number from 0 to 1, so that nodes which lost one mapper do not come in step.
    pub fn handle(&mut self, event: Event, now: Instant, jitter: f64) -> Step {
        match event {
            Event::Bound => self.is_held_by(Mapper::Farcall, Step::Serve),
            Event::Registered(by) => self.is_held_by(by, Step::Hold),
            Event::InUse => Step::Ask,
            Event::Waited => self.after_wait,
            Event::Lost => {
                let lost = self.held_by.take();
                self.epmd_until = (lost == Some(Mapper::Epmd)).then(|| now + Self::EPMD_GRACE);
                self.pause(now, jitter)
            }
            Event::Nobody => self.unless_over(Self::NOBODY_PATIENCE, GiveUp::Nobody, now, jitter),
            Event::Taken => self.unless_over(Self::TAKEN_PATIENCE, GiveUp::Taken, now, jitter),
            Event::Refused => self.unless_over(Duration::ZERO, GiveUp::Refused, now, jitter),
        }
    }

    fn is_held_by(&mut self, by: Mapper, step: Step) -> Step {
        (self.was_in, self.held_by, self.epmd_until, self.failures) = (true, Some(by), None, 0);
        step
    }

    fn unless_over(&mut self, patience: Duration, why: GiveUp, now: Instant, jitter: f64) -> Step {
        match !self.was_in && now.saturating_duration_since(self.begun) >= patience {
            true => Step::GiveUp(why),
            false => self.pause(now, jitter),
        }
    }

    fn pause(&mut self, now: Instant, jitter: f64) -> Step {
        let leave_it = self.epmd_until.is_some_and(|until| now < until);
        self.after_wait = if leave_it { Step::Ask } else { Step::Bind };
        let longest = Self::PAUSE_MIN.saturating_mul(1 << self.failures.min(10)).min(Self::PAUSE_MAX);
        self.failures = self.failures.saturating_add(1);
        Step::Wait(longest.mul_f64(0.1 + 0.9 * jitter.clamp(0.0, 1.0)))
    }
}
