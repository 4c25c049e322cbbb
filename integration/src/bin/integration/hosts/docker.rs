//! Nodes in containers.

use std::net::IpAddr;
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use nix::unistd::Uid;

use super::Hosts;
use super::compose::{self, Compose};
use crate::fault::{Fault, Result, failed, skipped};
use crate::plan::{Family, Plan};
use crate::shell::{self, run};

/// Containers on a network of their own.
pub(crate) struct Docker {
    compose: Compose,
    version: String,
}

/// The version of the engine; an error if none answers.
pub(crate) fn engine() -> Result<String> {
    run("docker", &["version", "--format", "{{.Server.Version}}"])
}

impl Docker {
    /// Makes the network and the containers, and starts the nodes.
    pub(crate) fn build(plan: Plan, image: &str) -> Result<Self> {
        let version = engine()?;
        if run("docker", &["image", "inspect", "--format", "{{.Id}}", image]).is_err() {
            return failed(format!("there is no image {image}: make image"));
        }
        let user = Uid::effective().is_root().then_some(compose::IMAGE_USER);
        plan.prepare(user)?;
        let mut docker = Self { compose: Compose::new(plan, image), version };
        // Whatever was made until something fails is removed again.
        if let Err(fault) = docker.compose.create() {
            docker.remove();
            return Err(fault);
        }
        for node in 0..docker.plan().nodes {
            if let Err(fault) = docker.start(node) {
                docker.remove();
                return Err(fault);
            }
        }
        Ok(docker)
    }

    fn container(&self, node: usize) -> String {
        self.compose.container(node)
    }

    fn inspect(&self, node: usize, what: &str) -> Result<String> {
        run("docker", &["inspect", "--format", what, &self.container(node)])
    }

    fn connect(&self, node: usize, as_host: &str) -> Result<()> {
        let address = self.compose.address(node);
        let (flag, address) = match address {
            IpAddr::V4(address) => ("--ip", address.to_string()),
            IpAddr::V6(address) => ("--ip6", address.to_string()),
        };
        let (network, container) = (self.compose.network(), self.container(node));
        run("docker", &["network", "connect", flag, &address, "--alias", as_host, &network, &container])
            .map(drop)
    }

    fn is_connected(&self, node: usize) -> Result<bool> {
        let networks =
            self.inspect(node, "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}")?;
        Ok(networks.split_whitespace().any(|name| name == self.compose.network()))
    }
}

impl Hosts for Docker {
    fn kind(&self) -> String {
        format!("containers, Docker Engine {}", self.version)
    }

    fn plan(&self) -> &Plan {
        &self.compose.plan
    }

    fn start(&mut self, node: usize) -> Result<()> {
        run("docker", &["start", &self.container(node)]).map(drop)
    }

    fn signal(&mut self, node: usize, signal: Signal) -> Result<()> {
        run("docker", &["kill", "--signal", signal.as_str(), &self.container(node)]).map(drop)
    }

    fn freeze(&mut self, node: usize) -> Result<()> {
        run("docker", &["pause", &self.container(node)]).map(drop)
    }

    fn thaw(&mut self, node: usize) -> Result<()> {
        if self.inspect(node, "{{.State.Paused}}")? == "false" {
            return Ok(());
        }
        run("docker", &["unpause", &self.container(node)]).map(drop)
    }

    fn ended(&mut self, node: usize) -> Result<Option<i32>> {
        let state = self.inspect(node, "{{.State.Running}} {{.State.ExitCode}}")?;
        match state.split_once(' ') {
            Some(("true", _)) => Ok(None),
            Some((_, code)) => code.parse().map(Some).map_err(|_| Fault::Failed(format!("exit code {code}"))),
            None => failed(format!("docker says of {}: {state}", self.container(node))),
        }
    }

    fn inside(&self, node: usize) -> Result<Vec<String>> {
        if !Uid::effective().is_root() {
            return skipped("only root may enter the network of a container");
        }
        if !shell::is_there("nsenter") {
            return skipped("there is no nsenter here");
        }
        let pid = self.inspect(node, "{{.State.Pid}}")?;
        Ok(["nsenter", "-t", &pid, "-n", "--"].map(str::to_owned).into())
    }

    fn unplug(&mut self, node: usize) -> Result<()> {
        if !self.is_connected(node)? {
            return Ok(());
        }
        run("docker", &["network", "disconnect", &self.compose.network(), &self.container(node)]).map(drop)
    }

    fn plug(&mut self, node: usize) -> Result<()> {
        if self.is_connected(node)? {
            return Ok(());
        }
        let host = self.plan().host(node);
        self.connect(node, &host)
    }

    fn address(&self, node: usize) -> Result<IpAddr> {
        Ok(self.compose.address(node))
    }

    fn readdress(&mut self, node: usize) -> Result<()> {
        self.unplug(node)?;
        self.compose.readdress(node);
        self.plug(node)
    }

    fn point_to_twin(&mut self, twin: bool) -> Result<()> {
        let node = self.plan().nodes;
        self.unplug(node)?;
        self.connect(node, if twin { "n2" } else { "twin" })
    }

    fn log(&self, node: usize) -> Result<String> {
        let mut logs = Command::new("docker");
        logs.args(["logs", &self.container(node)]).stdin(Stdio::null());
        let done = logs.output()?;
        let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        Ok(format!("{out}{err}"))
    }

    fn remove(&mut self) {
        // A container that is paused cannot be removed by every engine.
        for node in 0..=self.plan().nodes {
            let _ = self.thaw(node);
        }
        if let Err(fault) = self.compose.remove() {
            eprintln!("not everything could be removed: {fault}");
        }
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        self.remove();
    }
}

/// The address of a node in the network of this number.
pub(crate) fn address(family: Family, network: u16, node: usize, life: u16) -> IpAddr {
    let host =
        u8::try_from(10 + node).unwrap_or(u8::MAX).saturating_add(u8::try_from(life * 40).unwrap_or(0));
    let [high, low] = network.to_be_bytes();
    match family {
        Family::V4 => IpAddr::from([10, 64 + high % 64, low, host]),
        Family::V6 => IpAddr::from([0xfd66, 0xfa2c, network, 0, 0, 0, 0, u16::from(host)]),
    }
}
