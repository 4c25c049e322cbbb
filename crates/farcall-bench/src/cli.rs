//! What a remote call costs: farcall beside a bare tokio program, two processes on loopback.
//!
//! `farcall-bench run` starts itself again as a server and a client for every sample; README.md says how to
//! read what it prints.

mod bare;
mod certificates;
mod child;
mod farcall_side;
mod meter;
mod report;
mod runner;
mod side;
mod usage;
mod workload;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand};

use child::{Note, ServerSeat, end_with_parent, tell};
use meter::{Meter, Plan};
use runner::Settings;
use workload::Placement;

/// Measures remote calls between two processes on this machine.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measures and prints a table.
    Run(Run),
    /// Prints the names of implementations and workloads.
    List,
    /// The answering process of a sample.
    #[command(hide = true)]
    Server(Role),
    /// The calling process of a sample.
    #[command(hide = true)]
    Client(Caller),
}

#[derive(Args)]
struct Run {
    /// Two short rounds: an impression, not a result.
    #[arg(long)]
    quick: bool,
    /// Implementations, separated by commas; all without it.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Workloads, separated by commas or given repeatedly; all without it.
    #[arg(long, value_delimiter = ',')]
    workload: Vec<String>,
    /// Where the processes run, instead of what each workload states.
    #[arg(long)]
    placement: Option<Placement>,
    /// How often everything is measured [default: 5, quick 2].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: Option<u32>,
    /// How long each window is [default: 2, quick 0.5].
    #[arg(long, value_parser = seconds)]
    seconds: Option<Duration>,
    /// Writes everything, each round included, to this file.
    #[arg(long)]
    json: Option<PathBuf>,
}

#[derive(Args)]
struct Role {
    #[arg(long)]
    side: String,
    #[arg(long)]
    core: Option<usize>,
}

#[derive(Args)]
struct Caller {
    #[command(flatten)]
    role: Role,
    #[arg(long)]
    address: SocketAddr,
    #[arg(long)]
    workload: String,
    #[arg(long, value_parser = seconds)]
    warmup_s: Duration,
    #[arg(long, value_parser = seconds)]
    window_s: Duration,
}

fn main() -> Result<()> {
    match Arguments::parse().command {
        Command::Run(run) => measure(run),
        Command::List => list(),
        Command::Server(role) => serve(&role),
        Command::Client(caller) => call(&caller),
    }
}

fn measure(run: Run) -> Result<()> {
    let settings = settings(&run)?;
    if cfg!(debug_assertions) {
        eprintln!("built without --release: the figures say nothing about a release");
    }
    let report = runner::run(&settings)?;
    print!("{report}");
    if let Some(path) = run.json {
        let json = serde_json::to_vec_pretty(&report)?;
        std::fs::write(&path, json).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

fn settings(run: &Run) -> Result<Settings> {
    let sides = if run.only.is_empty() {
        side::SIDES.iter().collect()
    } else {
        run.only.iter().map(|name| side::find(name)).collect::<Result<_>>()?
    };
    let workloads = if run.workload.is_empty() {
        workload::WORKLOADS.iter().collect()
    } else {
        run.workload.iter().map(|name| workload::find(name)).collect::<Result<_>>()?
    };
    let (rounds, window, warmup) = if run.quick {
        (2, Duration::from_millis(500), Duration::from_millis(200))
    } else {
        (5, Duration::from_secs(2), Duration::from_millis(500))
    };
    Ok(Settings {
        sides,
        workloads,
        placement: run.placement,
        rounds: run.rounds.unwrap_or(rounds),
        plan: Plan { warmup, window: run.seconds.unwrap_or(window) },
    })
}

fn list() -> Result<()> {
    println!("implementations");
    for side in side::SIDES {
        println!("  {:<20} {}", side.name, side.about);
    }
    println!("workloads");
    for workload in &workload::WORKLOADS {
        println!("  {:<20} {}, {:?}", workload.name, workload.placement.label(), workload.traffic);
    }
    Ok(())
}

fn serve(role: &Role) -> Result<()> {
    let side = side::find(&role.side)?;
    let seat = ServerSeat::take();
    role.core.map_or(Ok(()), usage::pin)?;
    match (side.server)(&seat)? {}
}

fn call(caller: &Caller) -> Result<()> {
    let side = side::find(&caller.role.side)?;
    let workload = workload::find(&caller.workload)?;
    let plan = Plan { warmup: caller.warmup_s, window: caller.window_s };
    end_with_parent();
    caller.role.core.map_or(Ok(()), usage::pin)?;
    let meter = Rc::new(Meter::new(plan, workload.sample_every())?);
    let sample = (side.client)(caller.address, workload, meter)?;
    tell(&Note::Sample(sample))
}

fn seconds(text: &str) -> Result<Duration> {
    let seconds: f64 = text.parse()?;
    if !(0.01..=600.0).contains(&seconds) {
        bail!("between 0.01 and 600 seconds, please");
    }
    Ok(Duration::try_from_secs_f64(seconds)?)
}
