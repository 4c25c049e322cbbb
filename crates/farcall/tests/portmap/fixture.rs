//! A host of its own for each test: a mapper's port and a range, and nodes on it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use actix::prelude::*;
use farcall::config::MapperUse;
use farcall::error::CallError;
use farcall::prelude::*;
use farcall::{Address, Cookie, NodeBuilder, PortMapper, StartError};
use nix::sys::signal::Signal;

/// Says which node answers.
#[farcall::message(result = String)]
#[derive(Debug)]
pub struct Who;

/// The ports of one host.
const BLOCK: u16 = 8;

/// A mapper's port, and a range of ports beside it.
#[derive(Debug, Clone, Copy)]
pub struct Host {
    pub mapper: u16,
    pub first: u16,
    pub last: u16,
}

impl Host {
    /// With so many ports, at most seven, all free at this moment: of a block that belongs to this process and call, below
    /// the ports that the system gives to others.
    pub fn with_ports(count: u16) -> Self {
        static CALLS: AtomicU32 = AtomicU32::new(0);
        assert!(count < BLOCK);
        let free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
        loop {
            let block = std::process::id().wrapping_add(CALLS.fetch_add(1, Ordering::Relaxed) * 97) % 2500;
            let mapper = 10_000 + u16::try_from(block).unwrap() * BLOCK;
            if (mapper..=mapper + count).all(free) {
                return Self { mapper, first: mapper + 1, last: mapper + count };
            }
        }
    }

    /// What a node of this host is configured with.
    pub fn settings(&self) -> String {
        let Self { mapper, first, last } = self;
        format!("ports = \"{first}..={last}\"\n[mapper]\nuse = \"auto\"\nport = {mapper}\n")
    }

    pub fn builder(&self, name: &str) -> NodeBuilder {
        let config = Config::from_toml(&format!("name = \"{name}@127.0.0.1\"\n{}", self.settings())).unwrap();
        Node::from_config(config).cookie(cookie(1))
    }

    pub async fn start(&self, name: &str) -> Result<Node, StartError> {
        let node = self.builder(name).start().await?;
        answer(&node);
        Ok(node)
    }

    /// A node that listens nowhere, and looks for others.
    pub async fn looker(&self) -> Node {
        self.builder("looker").no_listener().start().await.unwrap()
    }

    pub fn at(&self) -> Address {
        format!("127.0.0.1:{}", self.mapper).parse().unwrap()
    }

    /// The names that the mapper lists; none if there is no mapper.
    pub async fn names(&self) -> Vec<String> {
        let names = PortMapper::names(&self.at()).await.unwrap_or_default();
        names.into_iter().map(|(name, _)| name).collect()
    }

    /// Waits until it lists exactly these.
    pub async fn lists(&self, names: &[&str]) {
        eventually("the mapper lists them", || async move {
            let mut listed = self.names().await;
            listed.sort();
            (listed == names).then_some(()).ok_or(listed)
        })
        .await;
    }
}

pub fn cookie(letter: u8) -> Cookie {
    Cookie::new(&[letter; 32]).unwrap()
}

/// Says who it is.
pub fn answer(node: &Node) {
    let name = node.name().short().to_owned();
    node.serve("who", move |_: Who| std::future::ready(name.clone())).unwrap();
}

pub async fn ask(from: &Node, name: &str) -> Result<String, CallError> {
    let target: Target = format!("{name}@127.0.0.1").parse().unwrap();
    from.call(&target, "who", Who).await
}

pub fn port(node: &Node) -> u16 {
    node.listening_on()[0].port()
}

/// Waits for an event, with a deadline that is for a busy machine.
pub async fn eventually<T, E: std::fmt::Debug, F: Future<Output = Result<T, E>>>(
    what: &str,
    mut look: impl FnMut() -> F,
) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match look().await {
            Ok(found) => return found,
            Err(last) => assert!(Instant::now() < deadline, "{what}: never; last: {last:?}"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Where a test process finds that it is to be a node.
const SETTINGS: &str = "PORTMAP_NODE_SETTINGS";
const COOKIE: &str = "PORTMAP_NODE_COOKIE";
const RUNS: &str = "node runs";
const FAILED: &str = "node failed: ";

/// A node in a process of its own, which ends with this value.
pub struct Process(Child);

impl Process {
    pub fn start(host: &Host, name: &str) -> Self {
        let command = Command::new(std::env::current_exe().unwrap());
        Self::run(command, host, name, 1).unwrap_or_else(|said| panic!("{name} does not start: {said}"))
    }

    /// With another cookie perhaps, and as another user perhaps, which only root can ask for; else what it says.
    pub fn run(mut command: Command, host: &Host, name: &str, cookie: u8) -> Result<Self, String> {
        let mut child = command
            .env(COOKIE, cookie.to_string())
            .args(["--exact", "fixture::node_process", "--nocapture"])
            .env(SETTINGS, format!("name = \"{name}@127.0.0.1\"\n{}", host.settings()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let said = lines.find(|line| line.starts_with(RUNS) || line.starts_with(FAILED));
        let process = Self(child);
        match said {
            Some(said) if said == RUNS => Ok(process),
            said => Err(said.unwrap_or_default()),
        }
    }

    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    pub fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may be dead already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// No test of its own: what a process runs. Started as a test by itself it finds no settings and is done.
#[test]
fn node_process() {
    let Ok(settings) = std::env::var(SETTINGS) else { return };
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).unwrap();
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    System::new().block_on(async {
        let config = Config::from_toml(&settings).unwrap();
        assert_eq!(config.mapper.mode, MapperUse::Auto);
        let letter = std::env::var(COOKIE).unwrap().parse().unwrap();
        let node = match Node::from_config(config).cookie(cookie(letter)).start().await {
            Ok(node) => node,
            Err(error) => return println!("\n{FAILED}{error}"),
        };
        answer(&node);
        println!("\n{RUNS}");
        std::io::stdout().flush().unwrap();
        std::future::pending::<()>().await;
    });
}
