//! Counts instructions and allocations of farcall's hot path and holds them against a committed baseline.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command says what it found")]

mod baseline;
mod callgrind;
mod dump;
mod figures;
mod links;
mod messages;
mod meter;
mod nodes;
mod report;
mod scenario;

use std::error::Error;
use std::process::ExitCode;

use baseline::Baseline;
use figures::figures;
use scenario::{SCENARIOS, Scenario};

const USAGE: &str = "farcall-gates check | accept | hottest <workload> | run <workload>";

/// Functions that `hottest` lists of each row.
const HOTTEST: usize = 25;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments.as_slice() {
        ["check"] => check(),
        ["accept"] => accept().map(|()| true),
        ["hottest", name] => hottest(name).map(|()| true),
        ["run", name] => Scenario::find(name).and_then(Scenario::run).map(|()| true),
        _ => Err(USAGE.into()),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("farcall-gates: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether everything is as it was accepted.
fn check() -> Result<bool, Box<dyn Error>> {
    let baseline = Baseline::load()?;
    let (table, passed) = report::report(&baseline, &baseline::made_with(), &all()?);
    println!("{table}");
    Ok(passed)
}

fn accept() -> Result<(), Box<dyn Error>> {
    println!("{}", Baseline::accept(&all()?)?.display());
    Ok(())
}

fn all() -> Result<Vec<(&'static str, figures::Figure)>, Box<dyn Error>> {
    let mut all = Vec::new();
    for scenario in &SCENARIOS {
        all.extend(figures(scenario)?);
    }
    Ok(all)
}

fn hottest(name: &str) -> Result<(), Box<dyn Error>> {
    for (row, functions) in figures::hottest(Scenario::find(name)?, HOTTEST)? {
        println!("{row}");
        for (instructions, function) in functions {
            println!("{instructions:9.1}  {function}");
        }
    }
    Ok(())
}
