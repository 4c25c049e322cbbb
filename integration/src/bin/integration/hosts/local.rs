//! Nodes as processes of this machine: in network namespaces of their own where that is allowed, else on loopback.
//!
//! In namespaces the harness is in one too, so nothing of the machine's own network is touched:
//! ```text
//!  namespace of the harness:   bridge ── v1 ── v2 ── v3
//!                                         │     │     │
//!  namespaces of the nodes:             eth0  eth0  eth0
//! ```

use std::fs::{self, File};
use std::io::Write;
use std::net::IpAddr;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid};

use super::Hosts;
use super::network::INTERFACE;
use crate::fault::{Fault, Result, failed, skipped, unless};
use crate::plan::{Family, Places, Plan, with_port};
use crate::shell::{eventually, run};

/// Says that this process is in a namespace of its own already.
const INSIDE: &str = "INTEGRATION_IN_NAMESPACE";

/// What connects the nodes.
const BRIDGE: &str = "farcall0";

/// Processes.
pub(crate) struct Local {
    plan: Plan,
    namespaces: bool,
    children: Vec<Option<Child>>,
    /// What became of those that ended.
    codes: Vec<Option<i32>>,
    lives: Vec<u8>,
    twin_is_n2: bool,
}

/// Starts this program again in a network namespace of its own; gives its exit code, or None if it is in one already or
/// that is not allowed here.
pub(crate) fn enter_namespace() -> Result<Option<i32>> {
    if std::env::var_os(INSIDE).is_some() {
        return Ok(None);
    }
    let mut flags = vec!["--net"];
    if !Uid::effective().is_root() {
        flags.extend(["--user", "--map-root-user"]);
    }
    let mut trial = flags.clone();
    trial.extend(["--", "true"]);
    if run("unshare", &trial).is_err() {
        return Ok(None);
    }
    let mut command = Command::new("unshare");
    command
        .args(flags)
        .arg("--")
        .arg(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .env(INSIDE, "1");
    let status = command.status()?;
    Ok(Some(status.code().unwrap_or(130)))
}

impl Local {
    /// Starts the nodes.
    pub(crate) fn build(plan: Plan) -> Result<Self> {
        plan.prepare(None)?;
        let namespaces = std::env::var_os(INSIDE).is_some() && make_bridge().is_ok();
        let slots = plan.nodes + 1;
        let mut local = Self {
            plan,
            namespaces,
            children: (0..slots).map(|_| None).collect(),
            codes: vec![None; slots],
            lives: vec![0; slots],
            twin_is_n2: false,
        };
        local.write_addresses()?;
        for node in 0..local.plan.nodes {
            local.start(node)?;
        }
        Ok(local)
    }

    fn addresses_file(&self) -> std::path::PathBuf {
        self.plan.folder.join("addresses")
    }

    fn write_addresses(&self) -> Result<()> {
        let mut text = String::new();
        for node in 0..self.plan.nodes {
            let real = if node == 1 && self.twin_is_n2 { self.plan.nodes } else { node };
            let address = with_port(self.address(real)?, self.plan.port());
            text.push_str(&format!("\"{}\" = \"{address}\"\n", self.plan.name(node)));
        }
        // Whole or not at all: nodes read it while it changes.
        let new = self.addresses_file().with_extension("new");
        fs::write(&new, text)?;
        Ok(fs::rename(new, self.addresses_file())?)
    }

    fn pid(&self, node: usize) -> Result<Pid> {
        let child = self.children.get(node).and_then(Option::as_ref);
        let pid = child.and_then(|child| i32::try_from(child.id()).ok());
        pid.map(Pid::from_raw).ok_or_else(|| Fault::Failed(format!("{} does not run", self.plan.host(node))))
    }

    fn cable(node: usize) -> String {
        format!("v{}", node + 1)
    }

    /// The cable between the bridge and a process that has just been started.
    fn lay_cable(&self, node: usize) -> Result<()> {
        let (cable, pid) = (Self::cable(node), self.pid(node)?.to_string());
        // A predecessor's may not be gone completely yet.
        let _ = run("ip", &["link", "del", &cable]);
        // The same after a restart: the others remember it for a while.
        let card = format!("02:00:00:00:00:{node:02x}");
        run(
            "ip",
            &[
                "link", "add", &cable, "type", "veth", "peer", "name", INTERFACE, "address", &card, "netns",
                &pid,
            ],
        )?;
        run("ip", &["link", "set", &cable, "master", BRIDGE, "up"])?;
        let (address, length) = match self.address(node)? {
            IpAddr::V4(address) => (address.to_string(), 24),
            IpAddr::V6(address) => (address.to_string(), 64),
        };
        let address = format!("{address}/{length}");
        let mut add = vec!["addr", "add", &address, "dev", INTERFACE];
        if self.plan.family == Family::V6 {
            add.push("nodad");
        }
        for words in [["link", "set", "lo", "up"].as_slice(), &["link", "set", INTERFACE, "up"], &add] {
            let mut inside = self.inside(node)?;
            inside.push("ip".to_owned());
            inside.extend(words.iter().map(|word| (*word).to_owned()));
            let words: Vec<&str> = inside.iter().map(String::as_str).collect();
            if let Some((first, rest)) = words.split_first() {
                run(first, rest)?;
            }
        }
        Ok(())
    }

    fn command(&self, node: usize) -> Result<Command> {
        let program = self.plan.programs.join("farcall-node");
        let mut command = match self.namespaces {
            // It waits for its cable.
            true => {
                let mut command = Command::new("unshare");
                command.args(["--net", "--", "sh", "-c", "read -r go && exec \"$0\""]).arg(program);
                command
            }
            false => Command::new(program),
        };
        let folder = self.plan.node_folder(node);
        let places = Places {
            folder: folder.to_string_lossy().into_owned(),
            cookie: self.plan.cookie_file().to_string_lossy().into_owned(),
            tls: self.plan.tls_folder().to_string_lossy().into_owned(),
        };
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("FARCALL_")) {
            command.env_remove(name);
        }
        command.envs(self.plan.settings(node, &places));
        command.env("FARCALL_DISCOVERY_FILE", self.addresses_file());
        command.env("INTEGRATION_DIES_WITH_PARENT", "1");
        if !self.namespaces {
            let listen = format!("FARCALL_{}_LISTEN", self.plan.driver.as_str().to_uppercase());
            command.env(listen, with_port(self.address(node)?, self.port(node)));
        }
        let log = File::options().create(true).append(true).open(folder.join("log"))?;
        command.stdin(Stdio::piped()).stdout(log.try_clone()?).stderr(log);
        Ok(command)
    }

    fn port(&self, _node: usize) -> u16 {
        self.plan.port()
    }

    /// Notes the end of a process, if it has ended.
    fn reap(&mut self, node: usize) -> Result<()> {
        if let Some(slot) = self.children.get_mut(node)
            && let Some(child) = slot
            && let Some(status) = child.try_wait()?
        {
            let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
            *slot = None;
            if let Some(noted) = self.codes.get_mut(node) {
                *noted = code;
            }
        }
        Ok(())
    }
}

/// What the nodes are connected by, and a way to them for this process.
fn make_bridge() -> Result<()> {
    run("ip", &["link", "set", "lo", "up"])?;
    // Of an earlier cluster of this process.
    let _ = run("ip", &["link", "del", BRIDGE]);
    run("ip", &["link", "add", BRIDGE, "type", "bridge"])?;
    run("ip", &["link", "set", BRIDGE, "up"]).map(drop)
}

impl Hosts for Local {
    fn kind(&self) -> String {
        let place = if self.namespaces {
            "in network namespaces"
        } else {
            "on loopback, without faults of the network"
        };
        format!("processes {place}")
    }

    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn start(&mut self, node: usize) -> Result<()> {
        self.reap(node)?;
        unless(self.pid(node).is_err(), || format!("{} runs already", self.plan.host(node)))?;
        let mut child = self.command(node)?.spawn()?;
        let input = child.stdin.take();
        if let Some(slot) = self.children.get_mut(node) {
            *slot = Some(child);
        }
        if self.namespaces {
            // Until it is in its own namespace, the cable would go nowhere.
            let (pid, own) = (self.pid(node)?, fs::read_link("/proc/self/ns/net")?);
            eventually("the process is in its namespace", Duration::from_secs(5), || {
                let its = fs::read_link(format!("/proc/{pid}/ns/net"))?;
                unless(its != own, || "not yet".to_owned())
            })?;
            self.lay_cable(node)?;
        }
        match input {
            Some(mut input) if self.namespaces => Ok(input.write_all(b"go\n")?),
            _ => Ok(()),
        }
    }

    fn signal(&mut self, node: usize, signal: Signal) -> Result<()> {
        Ok(kill(self.pid(node)?, signal)?)
    }

    fn freeze(&mut self, node: usize) -> Result<()> {
        self.signal(node, Signal::SIGSTOP)?;
        let pid = self.pid(node)?;
        eventually("the process stands still", Duration::from_secs(5), || {
            for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
                let stat = fs::read_to_string(thread?.path().join("stat"))?;
                let state = stat.rsplit(')').next().unwrap_or_default().trim_start().to_owned();
                unless(state.starts_with('T'), || state)?;
            }
            Ok(())
        })
    }

    fn thaw(&mut self, node: usize) -> Result<()> {
        self.reap(node)?;
        if self.pid(node).is_ok() { self.signal(node, Signal::SIGCONT) } else { Ok(()) }
    }

    fn ended(&mut self, node: usize) -> Result<Option<i32>> {
        self.reap(node)?;
        if self.pid(node).is_ok() {
            return Ok(None);
        }
        Ok(self.codes.get(node).copied().flatten())
    }

    fn inside(&self, node: usize) -> Result<Vec<String>> {
        if !self.namespaces {
            return skipped(
                "no network namespaces are allowed here, and on loopback the network has no faults",
            );
        }
        let pid = self.pid(node)?.to_string();
        Ok(["nsenter", "-t", &pid, "-n", "--"].map(str::to_owned).into())
    }

    fn unplug(&mut self, node: usize) -> Result<()> {
        if !self.namespaces {
            return skipped("no network namespaces are allowed here, and on loopback there is no cable");
        }
        run("ip", &["link", "set", &Self::cable(node), "down"]).map(drop)
    }

    fn plug(&mut self, node: usize) -> Result<()> {
        if !self.namespaces || self.pid(node).is_err() {
            return Ok(());
        }
        run("ip", &["link", "set", &Self::cable(node), "up"]).map(drop)
    }

    fn address(&self, node: usize) -> Result<IpAddr> {
        let life = self.lives.get(node).copied().unwrap_or(0);
        let host = u8::try_from(10 + node).unwrap_or(u8::MAX).saturating_add(life * 40);
        Ok(match (self.namespaces, self.plan.family) {
            (true, Family::V4) => IpAddr::from([10, 66, 0, host]),
            (true, Family::V6) => IpAddr::from([0xfd66, 0xfa2c, 0, 0, 0, 0, 0, u16::from(host)]),
            (false, Family::V4) => IpAddr::from([127, 66, 0, host]),
            (false, Family::V6) => {
                return skipped("loopback has one IPv6 address only, and each node needs one");
            }
        })
    }

    fn readdress(&mut self, node: usize) -> Result<()> {
        if let Some(life) = self.lives.get_mut(node) {
            *life = (*life + 1) % 5;
        }
        self.write_addresses()
    }

    fn point_to_twin(&mut self, twin: bool) -> Result<()> {
        self.twin_is_n2 = twin;
        self.write_addresses()
    }

    fn log(&self, node: usize) -> Result<String> {
        match fs::read_to_string(self.plan.node_folder(node).join("log")) {
            Ok(log) => Ok(log),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
            Err(error) => failed(error.to_string()),
        }
    }

    fn remove(&mut self) {
        for child in self.children.iter_mut().filter_map(Option::take) {
            let mut child = child;
            // It may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        self.remove();
    }
}
