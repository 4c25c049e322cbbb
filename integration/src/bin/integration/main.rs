//! Clusters of farcall nodes, in containers or as processes, and what happens when they are broken on purpose.
//!
//! ```text
//! main ── run        scenarios one after the other, and their table
//!      │    ── scenarios   what is done, and what has to come of it
//!      │    ── check       what has to hold whatever is done
//!      ── soak       random faults for a long time, and a plot of it
//!      │         ── lab    a cluster as scenarios see it
//!      │              ── hosts   containers, or processes
//!      ── cluster    a cluster that stays up
//! ```
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is for people at a terminal")]

mod check;
mod cluster;
mod fault;
mod hosts;
mod lab;
mod plan;
mod plot;
mod run;
mod scenarios;
mod shell;
mod soak;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Args, Parser, Subcommand};
use farcall::Driver;

use crate::fault::{Fault, Result, failed};
use crate::hosts::Hosts;
use crate::hosts::docker::Docker;
use crate::hosts::local::{self, Local};
use crate::lab::Lab;
use crate::plan::{Family, Plan};
use crate::scenarios::{ALL, Scenario};

/// Clusters of farcall nodes, in containers or as processes, and faults on purpose.
#[derive(Debug, Parser)]
#[command(name = "integration", version, verbatim_doc_comment)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the scenarios and print a table; the exit code is the verdict
    Run(Run),
    /// Break a cluster at random for a long time; report and plot at the end
    Soak(Soak),
    /// List the scenarios
    List,
    /// Start a cluster in containers that stays up
    Up(Up),
    /// Open the console on a node of the cluster that is up
    Shell {
        /// The node, counted from 1
        #[arg(long, default_value_t = 1)]
        node: usize,
    },
    /// Remove the cluster that is up
    Down,
}

/// What a cluster is like.
#[derive(Debug, Clone, Args)]
struct Shape {
    /// How many nodes
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(2..=20))]
    nodes: u8,
    /// How they are connected
    #[arg(long, default_value = "tls")]
    driver: Driver,
    /// Which addresses they have
    #[arg(long, value_enum, default_value = "v4")]
    ip: Family,
    /// The image of the containers
    #[arg(long, default_value = "farcall:local")]
    image: String,
    /// Where the programs are; default: beside this one
    #[arg(long)]
    programs: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Run {
    #[command(flatten)]
    shape: Shape,
    /// As processes of this machine, without Docker
    #[arg(long)]
    local: bool,
    /// Only these, by name, separated by commas
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Only those of the short matrix
    #[arg(long)]
    short: bool,
    /// Writes the table in Markdown to this file, too
    #[arg(long, value_name = "FILE")]
    table: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Soak {
    #[command(flatten)]
    shape: Shape,
    /// As processes of this machine, without Docker
    #[arg(long)]
    local: bool,
    /// For how long
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    minutes: u64,
    /// What the schedule of faults follows from; default: random, and printed
    #[arg(long)]
    seed: Option<u64>,
    /// Where the report and the plot go; default: target/soak/SEED
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Up {
    #[command(flatten)]
    shape: Shape,
}

fn main() -> ExitCode {
    let done = shell::watch_signals().and_then(|()| match Cli::parse().command {
        Command::Run(run) => scenarios_run(&run),
        Command::Soak(soak) => soak_run(&soak),
        Command::List => {
            for scenario in ALL {
                println!("{:<18} {:<8} {}", scenario.name, scenario.cases, scenario.what);
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Up(up) => cluster::up(plan(&up.shape, cluster::PROJECT)?, &up.shape.image),
        Command::Shell { node } => cluster::shell(node),
        Command::Down => cluster::down(),
    });
    match done {
        Ok(code) => code,
        Err(Fault::Interrupted) => ExitCode::from(130),
        Err(fault) => {
            eprintln!("integration: {fault}");
            ExitCode::FAILURE
        }
    }
}

fn plan(shape: &Shape, project: &str) -> Result<Plan> {
    let programs = match &shape.programs {
        Some(programs) => programs.clone(),
        None => std::env::current_exe()?.parent().map(PathBuf::from).unwrap_or_default(),
    };
    for program in ["farcall", "farcall-node"] {
        if !programs.join(program).is_file() {
            return failed(format!(
                "{} is not built: make image, or make integration",
                programs.join(program).display()
            ));
        }
    }
    let folder = std::env::temp_dir().join(project);
    let (nodes, driver, family) = (usize::from(shape.nodes), shape.driver, shape.ip);
    Ok(Plan {
        project: project.to_owned(),
        nodes,
        driver,
        family,
        folder,
        programs: programs.canonicalize()?,
    })
}

fn chosen(run: &Run) -> Result<Vec<&'static Scenario>> {
    if let Some(unknown) = run.only.iter().find(|name| ALL.iter().all(|scenario| scenario.name != **name)) {
        return failed(format!("there is no scenario {unknown}; `integration list` lists them"));
    }
    let wanted = |scenario: &&Scenario| {
        (run.only.is_empty() || run.only.iter().any(|name| *name == scenario.name))
            && (!run.short || scenario.short)
    };
    Ok(ALL.iter().filter(wanted).collect())
}

fn scenarios_run(run: &Run) -> Result<ExitCode> {
    let scenarios = chosen(run)?;
    on_cluster(&run.shape, run.local, |lab, head, begun| {
        let rows = run::all(lab, &scenarios)?;
        if let Some(file) = &run.table {
            std::fs::write(file, run::table(head, &rows))?;
        }
        let counts: Vec<_> =
            run::summary(&rows).into_iter().map(|(verdict, count)| format!("{count} {verdict}")).collect();
        let counts = counts.join(", ");
        Ok((
            format!("integration: {head}: {counts} in {:.0} s", begun.elapsed().as_secs_f64()),
            run::well(&rows),
        ))
    })
}

fn soak_run(soak: &Soak) -> Result<ExitCode> {
    let seed = match soak.seed {
        Some(seed) => seed,
        None => u64::from(getrandom::u32().map_err(|error| Fault::Failed(error.to_string()))?),
    };
    let folder = soak.report.clone().unwrap_or_else(|| PathBuf::from(format!("target/soak/{seed}")));
    let length = Duration::from_secs(soak.minutes * 60);
    on_cluster(&soak.shape, soak.local, |lab, head, _| {
        let told = soak::soak(lab, seed, length, &folder, head)?;
        Ok((format!("soak: {head}, seed {seed}: passed: {told}"), true))
    })
}

/// Builds a cluster, does this with it, and removes it whatever comes of it. What is done gives its last words, and whether
/// all is well.
fn on_cluster(
    shape: &Shape,
    local: bool,
    act: impl FnOnce(&mut Lab, &str, Instant) -> Result<(String, bool)>,
) -> Result<ExitCode> {
    if local && let Some(code) = local::enter_namespace()? {
        return Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)));
    }
    let begun = Instant::now();
    let plan = plan(shape, &format!("farcall-it-{}", std::process::id()))?;
    let (folder, project) = (plan.folder.clone(), plan.project.clone());
    let (nodes, driver, family) = (plan.nodes, plan.driver, format!("{:?}", plan.family).to_lowercase());
    println!("starting {nodes} nodes, {driver}, {family}");
    let hosts: Result<Box<dyn Hosts>> = match local {
        true => Local::build(plan).map(|local| Box::new(local) as Box<dyn Hosts>),
        false => Docker::build(plan, &shape.image).map(|docker| Box::new(docker) as Box<dyn Hosts>),
    };
    let done = hosts.and_then(|hosts| {
        let head = format!("{nodes} nodes, {driver}, {family}, {}", hosts.kind());
        println!("{head}");
        let mut lab = Lab::new(hosts);
        let done = act(&mut lab, &head, begun);
        if !matches!(done, Ok((_, true)) | Err(Fault::Interrupted)) {
            let kept = PathBuf::from("target/integration-failed").join(project);
            match run::keep(&lab, &kept) {
                Ok(()) => eprintln!("logs and journals of the nodes are in {}", kept.display()),
                Err(fault) => eprintln!("the logs could not be kept: {fault}"),
            }
        }
        lab.hosts.remove();
        done
    });
    // Of a cluster that is gone, secrets and sockets are of no use.
    let _ = std::fs::remove_dir_all(folder);
    let (words, well) = done?;
    println!("{words}");
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
