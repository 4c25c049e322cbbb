//! A cluster in containers that stays up, to look at and to play with.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::time::Duration;

use nix::unistd::Uid;

use crate::fault::{Fault, Result, failed, unless};
use crate::hosts::compose::{self, Compose};
use crate::hosts::docker;
use crate::plan::Plan;
use crate::shell::{eventually, run};

/// What it is called. There is one.
pub(crate) const PROJECT: &str = "farcall-cluster";

/// How long it may take until every node answers.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// Starts it, and waits until every node says that it is well.
pub(crate) fn up(plan: Plan, image: &str) -> Result<ExitCode> {
    docker::engine()?;
    if plan.folder.exists() {
        return failed("there is a cluster already: make cluster-down");
    }
    plan.prepare(Uid::effective().is_root().then_some(compose::IMAGE_USER))?;
    let mut compose = Compose::new(plan, image);
    let started = compose.create().and_then(|()| compose.up()).and_then(|()| ready(&compose));
    if let Err(fault) = started {
        let _ = down();
        return Err(fault);
    }
    let (plan, network) = (&compose.plan, compose.network());
    println!("{} nodes are up on the network {network}, over {}:", plan.nodes, plan.driver);
    for node in 0..plan.nodes {
        println!("  {:<10} {}", plan.name(node), compose.address(node));
    }
    println!("make cluster-shell opens the console on n1, make cluster-down removes everything");
    Ok(ExitCode::SUCCESS)
}

fn ready(compose: &Compose) -> Result<()> {
    println!("waiting until every node is well");
    for node in 0..compose.plan.nodes {
        let container = compose.container(node);
        eventually("every node is well", READY_WITHIN, || {
            let health = run("docker", &["inspect", "--format", "{{.State.Health.Status}}", &container])?;
            unless(health == "healthy", || format!("{container} is {health}"))
        })?;
    }
    Ok(())
}

/// Becomes the console on one of its nodes.
pub(crate) fn shell(node: usize) -> Result<ExitCode> {
    let host = format!("n{node}");
    let container = format!("{PROJECT}-{host}");
    if run("docker", &["inspect", "--format", "{{.State.Running}}", &container]).as_deref() != Ok("true") {
        return failed(format!("{container} does not run: make cluster"));
    }
    let terminal = std::io::IsTerminal::is_terminal(&std::io::stdin());
    let mut command = Command::new("docker");
    // The node's own level of logging is not that of the console.
    command.args([
        "exec",
        "-e",
        "RUST_LOG=off",
        if terminal { "-it" } else { "-i" },
        &container,
        "/farcall",
        "shell",
    ]);
    command.arg(format!("{host}@{host}"));
    let settings =
        run("docker", &["inspect", "--format", "{{range .Config.Env}}{{println .}}{{end}}", &container])?;
    if settings.lines().any(|line| line == "FARCALL_DRIVER=tls") {
        command.args(["--certificate", &format!("/run/tls/health@{host}.pem")]);
        command.args(["--key", &format!("/run/tls/health@{host}-key.pem")]);
    }
    Err(Fault::Failed(format!("docker cannot be run: {}", command.exec())))
}

/// Removes it, whatever state it is in.
pub(crate) fn down() -> Result<ExitCode> {
    let folder = std::env::temp_dir().join(PROJECT);
    if !folder.exists() {
        println!("there is no cluster");
        return Ok(ExitCode::SUCCESS);
    }
    compose::remove(PROJECT, &folder.join("compose.yaml"))?;
    std::fs::remove_dir_all(folder)?;
    println!("removed");
    Ok(ExitCode::SUCCESS)
}
