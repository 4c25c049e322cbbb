//! A cluster that scenarios break: what they do with it, and what they see of it.

use std::collections::BTreeMap;
use std::time::Duration;

use farcall_integration::control::{self, Answer, Ask, Load, Status};
use farcall_integration::journal::{self, Call, Life, Line, now_us};
use nix::sys::signal::Signal;

use crate::fault::{Fault, Result, failed, unless};
use crate::hosts::{Hosts, network};
use crate::shell::{eventually, pause};

/// How long a node may take to answer the harness; a busy machine takes its time.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a healed cluster may take until everybody reaches everybody.
pub(crate) const HEALED_WITHIN: Duration = Duration::from_secs(30);

/// A cluster, and what the scenarios know of it.
pub(crate) struct Lab {
    pub(crate) hosts: Box<dyn Hosts>,
    /// When the scenario began that is running.
    pub(crate) since: u64,
    twin_ran: bool,
}

/// What a call to a peer came to.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    pub(crate) class: String,
    pub(crate) text: String,
    pub(crate) time: Duration,
}

impl Lab {
    pub(crate) fn new(hosts: Box<dyn Hosts>) -> Self {
        Self { hosts, since: now_us(), twin_ran: false }
    }

    pub(crate) fn count(&self) -> usize {
        self.hosts.plan().nodes
    }

    pub(crate) fn name(&self, node: usize) -> String {
        self.hosts.plan().name(node)
    }

    /// All nodes but these.
    pub(crate) fn others(&self, but: &[usize]) -> Vec<usize> {
        (0..self.count()).filter(|node| !but.contains(node)).collect()
    }

    /// Skips the scenario if the cluster has fewer nodes than this.
    pub(crate) fn needs(&self, nodes: usize) -> Result<()> {
        if self.count() >= nodes {
            return Ok(());
        }
        Err(Fault::Skipped(format!("needs {nodes} nodes, there are {}", self.count())))
    }

    pub(crate) fn ask(&self, node: usize, what: &Ask) -> Result<Answer> {
        self.ask_within(node, what, PATIENCE)
    }

    pub(crate) fn ask_within(&self, node: usize, what: &Ask, patience: Duration) -> Result<Answer> {
        let host = self.hosts.plan().host(node);
        let answer = control::ask(&self.hosts.plan().node_folder(node), what, patience);
        match answer.map_err(|error| Fault::Failed(format!("{host} does not follow: {error}")))? {
            Answer::Failed(why) => failed(format!("{host} cannot: {why}")),
            answer => Ok(answer),
        }
    }

    pub(crate) fn status(&self, node: usize) -> Result<Status> {
        match self.ask(node, &Ask::Status)? {
            Answer::Status(status) => Ok(*status),
            other => failed(format!("asked for a status, and was told {other:?}")),
        }
    }

    pub(crate) fn lines(&self, node: usize, what: &Ask) -> Result<Vec<String>> {
        match self.ask_within(node, what, Duration::from_secs(60))? {
            Answer::Lines(lines) => Ok(lines),
            other => failed(format!("asked for lines, and was told {other:?}")),
        }
    }

    pub(crate) fn probe(&self, node: usize, peer: usize, limit: Duration) -> Result<Outcome> {
        let limit_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        let ask = Ask::Probe { peer: self.name(peer), limit_ms };
        self.outcome(node, &ask, limit)
    }

    pub(crate) fn outcome(&self, node: usize, ask: &Ask, limit: Duration) -> Result<Outcome> {
        match self.ask_within(node, ask, limit + PATIENCE)? {
            Answer::Outcome { class, text, us } => {
                Ok(Outcome { class, text, time: Duration::from_micros(us) })
            }
            other => failed(format!("asked for an outcome, and was told {other:?}")),
        }
    }

    /// These nodes call and cast from now on like this.
    pub(crate) fn load(&self, nodes: &[usize], load: Load) -> Result<()> {
        nodes.iter().try_for_each(|node| self.ask(*node, &Ask::Load(load)).map(drop))
    }

    /// The load of most scenarios: what a machine with two cores can do beside everything else.
    pub(crate) fn usual(&self) -> Load {
        let pairs = u32::try_from(self.count() * (self.count() - 1)).unwrap_or(u32::MAX).max(1);
        let each = (1200 / pairs).clamp(2, 100);
        Load { calls_per_s: each, casts_per_s: each, work_per_s: 0, limit_ms: 2000 }
    }

    pub(crate) fn load_all(&self) -> Result<()> {
        self.load(&self.others(&[]), self.usual())
    }

    /// Nobody begins anything more, and what was begun has ended.
    pub(crate) fn quiet(&self) -> Result<()> {
        let all = self.others(&[]);
        self.load(&all, Load::default())?;
        for node in all {
            eventually("every call has ended", Duration::from_secs(20), || {
                let status = self.status(node)?;
                unless(status.pending == 0 && status.unsent_bytes == 0, || {
                    format!(
                        "{} of {} pending, {} bytes unsent",
                        status.pending,
                        self.name(node),
                        status.unsent_bytes
                    )
                })
            })?;
        }
        Ok(())
    }

    /// Everybody reaches everybody.
    pub(crate) fn ready(&self) -> Result<()> {
        for node in 0..self.count() {
            eventually("it answers the harness", HEALED_WITHIN, || self.status(node))?;
        }
        for node in 0..self.count() {
            for peer in self.others(&[node]) {
                eventually("all reach each other", HEALED_WITHIN, || self.reaches(node, peer))?;
            }
        }
        Ok(())
    }

    pub(crate) fn reaches(&self, node: usize, peer: usize) -> Result<()> {
        let told = self.probe(node, peer, Duration::from_secs(2))?;
        unless(told.class == "ok", || {
            format!("{} calls {}: {} {}", self.name(node), self.name(peer), told.class, told.text)
        })
    }

    /// Everything that was broken is whole again, whatever it was.
    pub(crate) fn heal(&mut self) -> Result<()> {
        let (count, twin) = (self.count(), self.count());
        for node in 0..count {
            self.hosts.thaw(node)?;
        }
        if self.twin_ran {
            self.hosts.thaw(twin)?;
            if self.hosts.ended(twin)?.is_none() {
                self.kill(twin)?;
            }
            self.hosts.point_to_twin(false)?;
            self.twin_ran = false;
        }
        for node in 0..count {
            // A node without its cable would be started without an address.
            if self.hosts.ended(node)?.is_some() {
                self.hosts.plug(node)?;
                self.hosts.start(node)?;
            } else {
                self.hosts.plug(node)?;
                network::heal(self.hosts.as_ref(), node)?;
            }
        }
        self.ready()
    }

    pub(crate) fn start_twin(&mut self) -> Result<()> {
        let twin = self.count();
        self.twin_ran = true;
        self.hosts.start(twin)?;
        eventually("the twin answers the harness", HEALED_WITHIN, || self.status(twin)).map(drop)
    }

    /// Kills a node at once; gives when.
    pub(crate) fn kill(&mut self, node: usize) -> Result<u64> {
        let now = now_us();
        self.hosts.signal(node, Signal::SIGKILL)?;
        self.wait_ended(node, Duration::from_secs(10))?;
        Ok(now)
    }

    /// Waits until a node has ended; gives its exit code.
    pub(crate) fn wait_ended(&mut self, node: usize, within: Duration) -> Result<i32> {
        eventually("it has ended", within, || {
            self.hosts.ended(node)?.ok_or_else(|| Fault::Failed("it still runs".to_owned()))
        })
    }

    /// Starts a node that ended, and waits until it answers the harness.
    pub(crate) fn start(&mut self, node: usize) -> Result<()> {
        self.hosts.start(node)?;
        eventually("it answers the harness", HEALED_WITHIN, || self.status(node)).map(drop)
    }

    pub(crate) fn wait(&self, time: Duration) -> Result<()> {
        pause(time)
    }

    /// All lives of all nodes, by the folder of the node.
    pub(crate) fn journals(&self) -> Result<BTreeMap<usize, Vec<Life>>> {
        let mut all = BTreeMap::new();
        for node in 0..=self.count() {
            all.insert(node, journal::read(&self.hosts.plan().node_folder(node))?);
        }
        Ok(all)
    }

    /// The calls of a node that ended since then.
    pub(crate) fn calls(&self, node: usize, since: u64) -> Result<Vec<Call>> {
        let lives = journal::read(&self.hosts.plan().node_folder(node))?;
        let lines = lives.into_iter().flat_map(|life| life.lines);
        let calls = lines.filter_map(|line| match line {
            Line::Call(call) if call.ended >= since => Some(call),
            _ => None,
        });
        Ok(calls.collect())
    }

    /// What has been logged by a node since it first ran.
    pub(crate) fn logged(&self, node: usize, words: &str) -> Result<usize> {
        Ok(self.hosts.log(node)?.lines().filter(|line| line.contains(words)).count())
    }
}
