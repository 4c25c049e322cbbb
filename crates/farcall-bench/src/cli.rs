//! Arguments, and what they start.
//!
//! `farcall-bench run` starts itself again as a server and clients for every sample.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand};

use crate::child::{Note, ServerSeat, end_with_parent, tell};
use crate::meter::{Meter, Plan};
use crate::runner::{self, Settings};
use crate::side::{self, Side};
use crate::workload::{self, Placement, Workload};
use crate::{chart, erlang, scale, usage};

/// Measures remote calls between processes on this machine.
#[derive(Parser)]
#[command(name = "farcall-bench", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measures and prints a table.
    Run(Run),
    /// Measures how the cost of a call grows with connections, actors, payload and outstanding calls.
    Scale(Scale),
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
    /// One short round: an impression, not a result.
    #[arg(long)]
    quick: bool,
    /// Implementations, separated by commas; all without it.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Measures erpc between two Erlang nodes, too; needs erl.
    #[arg(long)]
    erlang: bool,
    /// Workloads, separated by commas or given repeatedly; all without it.
    #[arg(long, value_delimiter = ',')]
    workload: Vec<String>,
    /// Where the processes run, instead of what each workload states.
    #[arg(long)]
    placement: Option<Placement>,
    /// How often everything is measured [default: 5, quick 1].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: Option<u32>,
    /// How long each window is [default: 2, quick 0.3].
    #[arg(long, value_parser = seconds)]
    seconds: Option<Duration>,
    /// Writes everything, each round included, to this file.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Draws the rates into this file, as SVG.
    #[arg(long)]
    svg: Option<PathBuf>,
}

#[derive(Args)]
struct Scale {
    /// How long each window is.
    #[arg(long, value_parser = seconds, default_value = "1")]
    seconds: Duration,
    /// Writes all points to this file.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Draws the curves into this file, as SVG.
    #[arg(long)]
    svg: Option<PathBuf>,
}

#[derive(Args)]
struct Role {
    #[arg(long)]
    side: String,
    #[arg(long)]
    workload: String,
    #[arg(long)]
    core: Option<usize>,
}

#[derive(Args)]
struct Caller {
    #[command(flatten)]
    role: Role,
    #[arg(long)]
    address: Vec<SocketAddr>,
    #[arg(long, value_parser = seconds)]
    warmup_s: Duration,
    #[arg(long, value_parser = seconds)]
    window_s: Duration,
}

/// Runs the program, with these implementations besides its own.
///
/// # Errors
/// What went wrong, for a person to read.
pub fn main(more: &'static [Side]) -> Result<()> {
    side::add(more);
    match Arguments::parse().command {
        Command::Run(run) => measure(run),
        Command::Scale(scale) => grow(&scale),
        Command::List => list(),
        Command::Server(role) => serve(&role),
        Command::Client(caller) => call(&caller),
    }
}

fn warn_if_debug() {
    if cfg!(debug_assertions) {
        eprintln!("built without --release: the figures say nothing about a release");
    }
}

fn write(path: &Path, content: impl AsRef<[u8]>) -> Result<()> {
    std::fs::write(path, content).with_context(|| format!("cannot write {}", path.display()))
}

fn measure(run: Run) -> Result<()> {
    let settings = settings(&run)?;
    warn_if_debug();
    let report = runner::run(&settings)?;
    print!("{report}");
    if let Some(path) = run.json {
        write(&path, serde_json::to_vec_pretty(&report)?)?;
    }
    if let Some(path) = run.svg {
        write(&path, chart::bars(&report))?;
    }
    Ok(())
}

fn grow(scale: &Scale) -> Result<()> {
    warn_if_debug();
    let scalings = scale::run(scale.seconds)?;
    print!("{scalings}");
    if let Some(path) = &scale.json {
        write(path, serde_json::to_vec_pretty(&scalings)?)?;
    }
    if let Some(path) = &scale.svg {
        write(path, scalings.chart())?;
    }
    Ok(())
}

fn settings(run: &Run) -> Result<Settings> {
    let mut sides = if run.only.is_empty() {
        side::all().to_vec()
    } else {
        run.only.iter().map(|name| side::find(name)).collect::<Result<_>>()?
    };
    let is_erlang = |side: &&Side| side.name == erlang::SIDE.name;
    if run.erlang && !sides.iter().any(is_erlang) {
        sides.push(&erlang::SIDE);
    }
    // Found out before anything is measured: whether there is an Erlang, and which.
    for side in sides.iter_mut().filter(|side| is_erlang(side)) {
        *side = erlang::here()?;
    }
    let workloads = if run.workload.is_empty() {
        workload::all()
    } else {
        run.workload.iter().map(|name| workload::find(name)).collect::<Result<_>>()?
    };
    let (rounds, window, warmup) = if run.quick {
        (1, Duration::from_millis(300), Duration::from_millis(150))
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
    for side in side::every() {
        println!("  {:<20} {}", side.name, side.about);
    }
    println!("workloads");
    for workload in workload::all() {
        println!("  {:<20} {}, {:?}", workload.name, workload.placement.label(), workload.traffic);
    }
    Ok(())
}

fn serve(role: &Role) -> Result<()> {
    let side = side::find(&role.side)?;
    let workload: Workload = serde_json::from_str(&role.workload)?;
    let seat = ServerSeat::take();
    role.core.map_or(Ok(()), usage::pin)?;
    match (side.server)(&seat, &workload)? {}
}

fn call(caller: &Caller) -> Result<()> {
    let side = side::find(&caller.role.side)?;
    let workload: Workload = serde_json::from_str(&caller.role.workload)?;
    let plan = Plan { warmup: caller.warmup_s, window: caller.window_s };
    end_with_parent();
    caller.role.core.map_or(Ok(()), usage::pin)?;
    let meter = Rc::new(Meter::new(plan, workload.sample_every())?);
    let sample = (side.client)(&caller.address, &workload, meter)?;
    tell(&Note::Sample(sample))
}

fn seconds(text: &str) -> Result<Duration> {
    let seconds: f64 = text.parse()?;
    if !(0.01..=600.0).contains(&seconds) {
        bail!("between 0.01 and 600 seconds, please");
    }
    Ok(Duration::try_from_secs_f64(seconds)?)
}
