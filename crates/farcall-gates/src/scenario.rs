//! What is counted: a table of workloads, and how what callgrind wrote about each of them is to be read.

use std::error::Error;

use crate::links;
use crate::meter::Meter;
use crate::nodes::{self, Placement, Traffic};

/// One workload, run in a process of its own.
#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    work: Work,
    /// Calls or casts in one segment.
    pub(crate) per_segment: u64,
    /// For each thread, from the first on, the names of its segments, over and over.
    pub(crate) threads: &'static [&'static [&'static str]],
}

#[derive(Debug)]
enum Work {
    Links,
    Nodes(Traffic, Placement),
}

/// All of them, in the order of the report.
pub(crate) const SCENARIOS: [Scenario; 6] = [
    Scenario {
        name: "steps",
        work: Work::Links,
        per_segment: links::PER_SEGMENT,
        threads: &[&["request_encode", "request_decode", "answer_encode", "answer_decode"]],
    },
    Scenario {
        name: "call_w64",
        work: Work::Nodes(Traffic::Calls { outstanding: 64 }, Placement::Apart),
        per_segment: 64 * 10,
        threads: &[&["call_w64_client"], &["call_w64_server"]],
    },
    Scenario {
        name: "call_w1024",
        work: Work::Nodes(Traffic::Calls { outstanding: 1024 }, Placement::Apart),
        per_segment: 1024 * 2,
        threads: &[&["call_w1024_client"], &["call_w1024_server"]],
    },
    Scenario {
        name: "call_w1",
        work: Work::Nodes(Traffic::Calls { outstanding: 1 }, Placement::Apart),
        per_segment: 100,
        threads: &[&["call_w1_client"], &["call_w1_server"]],
    },
    Scenario {
        name: "cast",
        work: Work::Nodes(Traffic::Casts { at_a_time: 64 }, Placement::Apart),
        per_segment: 64 * 10,
        threads: &[&["cast_client"], &["cast_server"]],
    },
    Scenario {
        name: "call_500KiB",
        work: Work::Nodes(Traffic::Large, Placement::Together),
        per_segment: 8,
        threads: &[&["call_500KiB_both"]],
    },
];

impl Scenario {
    /// The one of this name.
    pub(crate) fn find(name: &str) -> Result<&'static Self, Box<dyn Error>> {
        SCENARIOS.iter().find(|scenario| scenario.name == name).ok_or_else(|| {
            let names: Vec<_> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
            format!("nothing is called {name:?}; there are {}", names.join(", ")).into()
        })
    }

    /// Does the work. Means something only under callgrind.
    pub(crate) fn run(&self) -> Result<(), Box<dyn Error>> {
        match self.work {
            Work::Links => links::run(&Meter::new(self.per_segment)),
            Work::Nodes(traffic, placement) => nodes::run(traffic, placement, self.per_segment),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_workload_comes_to_its_end() {
        for scenario in &SCENARIOS {
            scenario.run().unwrap_or_else(|error| panic!("{}: {error}", scenario.name));
        }
    }
}
