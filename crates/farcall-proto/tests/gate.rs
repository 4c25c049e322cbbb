//! The gate against a model that forgets nothing and counts everything anew, and what holds whatever strangers do.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that panics has failed, as it should"
)]

use core::net::IpAddr;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use farcall_proto::gate::{Gate, GateLimits, Leaving, Pass, Refusal};
use proptest::prelude::*;

/// What can happen before a gate.
#[derive(Debug, Clone)]
enum Step {
    Admit(usize),
    /// One of those that are in, counted around.
    Leave(usize, Leaving),
    Blame(usize),
    /// The clock goes by so many microseconds, forwards or backwards.
    Wait(i64),
}

/// The third from last is loopback; the last two are of the same source as the first and the third.
const ADDRESSES: [&str; 9] = [
    "192.0.2.1",
    "192.0.2.2",
    "2001:db8:0:1::1",
    "2001:db8:0:2::1",
    "0:0:c000:201::1",
    "192.0.2.3",
    "127.0.0.1",
    "::ffff:192.0.2.1",
    "2001:db8:0:1:2:3:4:5",
];

fn address(index: usize) -> IpAddr {
    ADDRESSES[index].parse().unwrap()
}

/// The name of a source, so that equal names are equal sources; none for loopback.
fn source(index: usize) -> Option<&'static str> {
    match ADDRESSES[index] {
        "127.0.0.1" => None,
        "::ffff:192.0.2.1" => Some("192.0.2.1"),
        "2001:db8:0:1:2:3:4:5" => Some("2001:db8:0:1::1"),
        other => Some(other),
    }
}

fn leaving() -> impl Strategy<Value = Leaving> {
    prop_oneof![Just(Leaving::Proved), Just(Leaving::Silent), Just(Leaving::Gone), Just(Leaving::Failed)]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (0..ADDRESSES.len()).prop_map(Step::Admit),
        5 => (any::<usize>(), leaving()).prop_map(|(which, how)| Step::Leave(which, how)),
        1 => (0..ADDRESSES.len()).prop_map(Step::Blame),
        3 => (-50_000i64..500_000).prop_map(Step::Wait),
        1 => (0i64..10_000_000).prop_map(Step::Wait),
    ];
    proptest::collection::vec(step, 1..200)
}

prop_compose! {
    fn limits(sources_max: std::ops::Range<usize>)(
        half_open_max in 1usize..12,
        half_open_per_source_max in 1usize..5,
        accept_rate in 1u32..40,
        accept_rate_per_source in 1u32..8,
        delay_min in 1u64..300,
        delay_max in 1u64..3000,
        sources_max in sources_max,
    ) -> GateLimits {
        let (delay_min, delay_max) = (Duration::from_millis(delay_min), Duration::from_millis(delay_max));
        GateLimits {
            half_open_max, half_open_per_source_max, accept_rate, accept_rate_per_source, delay_min, delay_max,
            sources_max, limit_loopback: false,
        }
    }
}

/// A time in nanoseconds since the start.
type Nanos = u128;

/// What the model knows of one source, or of all: everything that ever happened.
#[derive(Default)]
struct Story {
    half_open: usize,
    /// +1 for a token given back, -1 for one taken.
    tokens: Vec<(Nanos, i8)>,
    /// How its connections ended; `Gone` stands for a blame.
    ends: Vec<(Nanos, Leaving)>,
}

impl Story {
    fn has_token(&self, rate: u32, now: Nanos) -> bool {
        let (rate, token) = (Nanos::from(rate), 1_000_000_000);
        let (mut level, mut last) = (rate * token, 0);
        for (at, change) in self.tokens.iter().copied().chain([(now, 0)]) {
            level = (level + (at - last) * rate).min(rate * token);
            level = match change {
                1 => (level + token).min(rate * token),
                -1 => level - token,
                _ => level,
            };
            last = at;
        }
        level >= token
    }

    fn remaining(&self, limits: &GateLimits, now: Nanos) -> Nanos {
        let (mut failures, mut blames, mut last) = (0, 0, 0);
        for (at, end) in self.ends.iter().copied() {
            if end == Leaving::Proved {
                failures = 0;
                continue;
            }
            if at - last >= delay(limits, failures + blames) + limits.delay_max.as_nanos() {
                (failures, blames) = (0, 0);
            }
            *if end == Leaving::Failed { &mut failures } else { &mut blames } += 1;
            last = at;
        }
        (last + delay(limits, failures + blames)).saturating_sub(now)
    }
}

fn delay(limits: &GateLimits, count: u32) -> Nanos {
    let mut delay = if count == 0 { 0 } else { limits.delay_min.as_nanos() };
    for _ in 1..count {
        delay = (delay * 2).min(limits.delay_max.as_nanos());
    }
    delay.min(limits.delay_max.as_nanos())
}

/// The rules, written down once more and without any thrift.
struct Model {
    limits: GateLimits,
    now: Nanos,
    all: Story,
    sources: BTreeMap<&'static str, Story>,
    /// Sources that somebody has proved itself from.
    known: BTreeSet<&'static str>,
    /// Those inside, in the order of the world's: whether each took a token of all.
    paid: Vec<bool>,
}

impl Model {
    fn new(limits: GateLimits) -> Self {
        let (all, sources) = (Story::default(), BTreeMap::new());
        Self { limits, now: 0, all, sources, known: BTreeSet::new(), paid: Vec::new() }
    }

    /// The time at which somebody asked; it never goes back.
    fn hear(&mut self, micros: i64) {
        self.now = self.now.max(Nanos::from(micros.unsigned_abs()) * 1000);
    }

    fn verdict(&mut self, index: usize) -> Result<(), Refusal> {
        let (limits, now) = (self.limits.clone(), self.now);
        if let Some(name) = source(index) {
            let story = self.sources.entry(name).or_default();
            let remaining = story.remaining(&limits, now);
            if remaining > 0 {
                let remaining = Duration::from_nanos(remaining.try_into().unwrap());
                return Err(Refusal::Delayed { remaining });
            }
            if story.half_open >= limits.half_open_per_source_max {
                return Err(Refusal::SourceFull { limit: limits.half_open_per_source_max });
            }
            if !story.has_token(limits.accept_rate_per_source, now) {
                return Err(Refusal::SourceRate { limit: limits.accept_rate_per_source });
            }
        }
        if self.all.half_open >= limits.half_open_max {
            return Err(Refusal::Full { limit: limits.half_open_max });
        }
        if self.pays(index) && !self.all.has_token(limits.accept_rate, now) {
            return Err(Refusal::Rate { limit: limits.accept_rate });
        }
        Ok(())
    }

    /// Those that a connection from there is counted in.
    fn stories(&mut self, index: usize) -> impl Iterator<Item = &mut Story> {
        let of_source = source(index).map(|name| self.sources.entry(name).or_default());
        [&mut self.all].into_iter().chain(of_source)
    }

    fn pays(&self, index: usize) -> bool {
        !source(index).is_some_and(|name| self.known.contains(name))
    }

    fn enter(&mut self, index: usize) {
        let (now, pays) = (self.now, self.pays(index));
        self.paid.push(pays);
        for story in self.stories(index) {
            story.half_open += 1;
            story.tokens.push((now, -1));
        }
        if !pays {
            self.all.tokens.pop();
        }
    }

    /// `which` of those inside left, which came from `index`.
    fn leave(&mut self, which: usize, index: usize, how: Leaving) {
        let (now, paid) = (self.now, self.paid.swap_remove(which));
        let free = matches!(how, Leaving::Proved | Leaving::Silent);
        for story in self.stories(index) {
            story.half_open -= 1;
            if free {
                story.tokens.push((now, 1));
            }
            if matches!(how, Leaving::Proved | Leaving::Failed) {
                story.ends.push((now, how));
            }
        }
        if free && !paid {
            self.all.tokens.pop();
        }
        if how == Leaving::Proved {
            self.known.extend(source(index));
        }
    }

    fn blame(&mut self, index: usize) {
        let now = self.now;
        self.stories(index).for_each(|story| story.ends.push((now, Leaving::Gone)));
        if let Some(name) = source(index) {
            self.known.remove(name);
        }
    }
}

/// A gate, those it let in, and a clock that may go either way.
struct World {
    gate: Gate,
    inside: Vec<(usize, Pass)>,
    start: Instant,
    micros: i64,
}

impl World {
    fn new(limits: GateLimits) -> Self {
        let start = Instant::now();
        Self { gate: Gate::new(limits, start), inside: Vec::new(), start, micros: 0 }
    }

    fn now(&self) -> Instant {
        self.start + Duration::from_micros(self.micros.try_into().unwrap())
    }

    fn admit(&mut self, index: usize) -> Result<(), Refusal> {
        let pass = self.gate.admit(address(index), self.now())?;
        self.inside.push((index, pass));
        Ok(())
    }

    /// Whoever left, if anyone was in.
    fn leave(&mut self, which: usize, how: Leaving) -> Option<(usize, usize)> {
        let which = which.checked_rem(self.inside.len())?;
        let (index, pass) = self.inside.swap_remove(which);
        self.gate.leave(pass, how, self.now());
        Some((which, index))
    }

    fn blame(&mut self, index: usize) {
        self.gate.blame(address(index), self.now());
    }

    fn wait(&mut self, micros: i64) {
        self.micros = (self.micros + micros).max(0);
    }

    /// The sources of those inside, each with its count.
    fn half_open(&self) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::new();
        for name in self.inside.iter().filter_map(|(index, _)| source(*index)) {
            *counts.entry(name).or_default() += 1;
        }
        counts
    }
}

proptest! {
    #[test]
    fn the_gate_decides_by_the_rules_as_the_model_writes_them(limits in limits(100..101), steps in steps()) {
        let mut world = World::new(limits.clone());
        let mut model = Model::new(limits);
        for step in steps {
            match step {
                Step::Admit(index) => {
                    model.hear(world.micros);
                    let verdict = model.verdict(index);
                    prop_assert_eq!(world.admit(index), verdict);
                    if verdict.is_ok() {
                        model.enter(index);
                    }
                }
                Step::Leave(which, how) => {
                    if let Some((which, index)) = world.leave(which, how) {
                        model.hear(world.micros);
                        model.leave(which, index, how);
                    }
                }
                Step::Blame(index) => {
                    world.blame(index);
                    model.hear(world.micros);
                    model.blame(index);
                }
                Step::Wait(micros) => world.wait(micros),
            }
            prop_assert_eq!(world.gate.half_open(), model.all.half_open);
        }
    }

    #[test]
    fn no_limit_is_passed_and_no_source_in_its_handshake_is_forgotten(
        limits in limits(0..5),
        steps in steps(),
    ) {
        let mut world = World::new(limits.clone());
        for step in steps {
            match step {
                Step::Admit(index) => {
                    let before = world.half_open();
                    let verdict = world.admit(index);
                    // A table that is too small refuses new sources, and only while each of it is in its handshake.
                    if verdict == Err(Refusal::SourcesFull { limit: limits.sources_max }) {
                        prop_assert_eq!(before.len(), limits.sources_max);
                        prop_assert!(source(index).is_some_and(|name| !before.contains_key(name)));
                    }
                }
                Step::Leave(which, how) => drop(world.leave(which, how)),
                Step::Blame(index) => world.blame(index),
                Step::Wait(micros) => world.wait(micros),
            }
            let half_open = world.half_open();
            prop_assert_eq!(world.gate.half_open(), world.inside.len());
            prop_assert!(world.inside.len() <= limits.half_open_max);
            prop_assert!(half_open.values().all(|count| *count <= limits.half_open_per_source_max));
            let sources = world.gate.sources();
            prop_assert!((half_open.len()..=limits.sources_max).contains(&sources), "{sources} sources");
        }
        while world.leave(0, Leaving::Failed).is_some() {}
        world.wait(1_000_000_000);
        // Each try forgets two; a table of nothing lets in only what is no source.
        let loopback = ADDRESSES.iter().position(|text| *text == "127.0.0.1").unwrap();
        for _ in 0..3 {
            prop_assert_eq!(world.admit(loopback), Ok(()));
            world.leave(0, Leaving::Proved);
        }
        prop_assert_eq!((world.gate.half_open(), world.gate.sources()), (0, 0));
    }

    #[test]
    fn peers_that_prove_themselves_are_refused_only_when_too_many_do_so_at_once(
        limits in limits(100..101),
        steps in steps(),
    ) {
        let limits = GateLimits {
            accept_rate: u32::try_from(limits.half_open_max).unwrap(),
            accept_rate_per_source: u32::try_from(limits.half_open_per_source_max).unwrap(),
            ..limits
        };
        let mut world = World::new(limits.clone());
        for step in steps {
            match step {
                Step::Admit(index) => {
                    let half_open = world.half_open();
                    let of_source = source(index).and_then(|name| half_open.get(name)).copied().unwrap_or(0);
                    let all = world.inside.len();
                    let expected = if of_source == limits.half_open_per_source_max {
                        Err(Refusal::SourceFull { limit: of_source })
                    } else if all == limits.half_open_max {
                        Err(Refusal::Full { limit: all })
                    } else {
                        Ok(())
                    };
                    prop_assert_eq!(world.admit(index), expected);
                }
                Step::Leave(which, _) | Step::Blame(which) => drop(world.leave(which, Leaving::Proved)),
                Step::Wait(micros) => world.wait(micros),
            }
        }
    }
}
