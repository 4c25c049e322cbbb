//! From segments to figures: how many instructions and allocations one call takes, in the middle of many segments.

use std::collections::{BTreeMap, HashMap};
use std::error::Error;

use crate::callgrind;
use crate::dump::Dump;
use crate::meter::SEGMENTS;
use crate::scenario::Scenario;

/// What one call takes on one side, or one step of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Figure {
    pub(crate) instructions: f64,
    pub(crate) allocations: f64,
    /// From the segment with the fewest instructions to the one with the most, relative to the median.
    pub(crate) spread: f64,
}

/// Processes per workload. In each of them the bytes may fall into the reads a little differently, for all its life.
const RUNS: usize = 5;

/// Counts a workload.
pub(crate) fn figures(scenario: &Scenario) -> Result<Vec<(&'static str, Figure)>, Box<dyn Error>> {
    let mut segments: BTreeMap<&str, Vec<Dump>> = BTreeMap::new();
    for _ in 0..RUNS {
        for (dumps, names) in callgrind::count(scenario)?.into_iter().zip(scenario.threads) {
            let (found, wanted) = (dumps.len(), names.len() * SEGMENTS);
            if found != wanted {
                return Err(format!("{}: {found} segments instead of {wanted}", scenario.name).into());
            }
            for (dump, name) in dumps.into_iter().zip(names.iter().cycle()) {
                segments.entry(name).or_default().push(dump);
            }
        }
    }
    let names = scenario.threads.iter().copied().flatten();
    names
        .map(|name| {
            let dumps = segments.get(name).map(Vec::as_slice).unwrap_or_default();
            let figure = figure(dumps, scenario.per_segment);
            Ok((*name, figure.ok_or_else(|| format!("{name} was not counted"))?))
        })
        .collect()
}

fn figure(dumps: &[Dump], per_segment: u64) -> Option<Figure> {
    let instructions = sorted(dumps, |dump| dump.instructions);
    let allocations = sorted(dumps, |dump| dump.allocations);
    let middle = median(&instructions)?;
    let spread = ratio(instructions.last()? - instructions.first()?, middle);
    Some(Figure {
        instructions: ratio(middle, per_segment),
        allocations: ratio(median(&allocations)?, per_segment),
        spread,
    })
}

fn sorted(dumps: &[Dump], of: impl Fn(&Dump) -> u64) -> Vec<u64> {
    let mut all: Vec<u64> = dumps.iter().map(of).collect();
    all.sort_unstable();
    all
}

fn median(sorted: &[u64]) -> Option<u64> {
    sorted.get(sorted.len() / 2).copied()
}

/// Counts stay far below 2^53, where this is exact.
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}

/// For each row, the functions that take most of one call, each by itself: instructions and name.
pub(crate) fn hottest(
    scenario: &Scenario,
    how_many: usize,
) -> Result<Vec<(&'static str, Hot)>, Box<dyn Error>> {
    let mut own: BTreeMap<&str, HashMap<String, u64>> = BTreeMap::new();
    for (dumps, names) in callgrind::count(scenario)?.into_iter().zip(scenario.threads) {
        for (dump, name) in dumps.into_iter().zip(names.iter().cycle()) {
            let row = own.entry(name).or_default();
            dump.own.into_iter().for_each(|(function, cost)| *row.entry(function).or_default() += cost);
        }
    }
    let calls = scenario.per_segment * SEGMENTS as u64;
    let hot = |row: HashMap<String, u64>| {
        let mut row: Vec<_> = row.into_iter().collect();
        row.sort_by(|(left, a), (right, b)| b.cmp(a).then_with(|| left.cmp(right)));
        row.into_iter().take(how_many).map(|(function, cost)| (ratio(cost, calls), function)).collect()
    };
    Ok(own.into_iter().map(|(name, row)| (name, hot(row))).collect())
}

/// Instructions in one call, and of which function.
pub(crate) type Hot = Vec<(f64, String)>;

#[cfg(test)]
mod tests {
    use super::*;

    fn dump(instructions: u64, allocations: u64) -> Dump {
        Dump { instructions, allocations, ..Dump::default() }
    }

    #[test]
    fn one_odd_segment_does_not_show_in_the_figure() {
        let dumps = [dump(1000, 20), dump(1010, 20), dump(9000, 25)];
        let figure = figure(&dumps, 10).unwrap();
        assert_eq!((figure.instructions, figure.allocations), (101.0, 2.0));
        assert!(figure.spread > 7.0);
    }
}
