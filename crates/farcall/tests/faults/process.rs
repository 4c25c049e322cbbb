//! Peer processes: this binary, started again to run nothing but a node.
//!
//! A peer goes on until its standard input closes, so it ends with the test that started it, however that ends; the
//! kernel kills it too when the thread of its test is gone, which also reaches one that is stopped.

use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::time::Instant;

use actix::prelude::*;
use farcall::Driver;
use farcall::error::NotSent;
use farcall::prelude::*;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::actors::{Ask, Counter, Fell, Health, HowAreYou, Mortal, Offer, Offered, Raise, Sever, Total};
use crate::fixture::{QUICK, cookie, driver};
use crate::pki::{authority, pass_on};

/// Where a test process finds that it is to be a peer: the node's settings as TOML.
const SETTINGS: &str = "FAULTS_PEER_SETTINGS";

/// What a peer says when it listens, in front of its address.
const LISTENS: &str = "peer listens on ";

/// A node in a process of its own. Dropping it kills the process.
pub struct Peer {
    child: Child,
    /// Kept open: the peer's test harness writes to it now and then.
    _stdout: Lines<BufReader<ChildStdout>>,
    pub target: Target,
    pub address: SocketAddr,
    settings: String,
}

impl Peer {
    /// A peer on a free port, with [`QUICK`] settings.
    pub fn start(name: &str) -> Self {
        Self::start_with(name, QUICK)
    }

    /// A peer on a free port, with these settings.
    pub fn start_with(name: &str, settings: &str) -> Self {
        Self::run(Command::new(own_path()), name, "127.0.0.1:0", settings, Stdio::inherit())
    }

    /// A peer that may have so many files open.
    pub fn start_with_files_max(name: &str, files_max: u32) -> Self {
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("ulimit -n {files_max}; exec \"$0\" \"$@\"")).arg(own_path());
        Self::run(command, name, "127.0.0.1:0", QUICK, Stdio::inherit())
    }

    /// A peer that logs everything it can, and what it logs.
    pub fn start_talkative(name: &str) -> (Self, ChildStderr) {
        let mut command = Command::new(own_path());
        command.env("RUST_LOG", "trace");
        let mut peer = Self::run(command, name, "127.0.0.1:0", QUICK, Stdio::piped());
        let log = peer.child.stderr.take().unwrap();
        (peer, log)
    }

    fn run(mut command: Command, name: &str, listen: &str, settings: &str, stderr: Stdio) -> Self {
        let settings = settings.to_owned();
        let driver = driver();
        let whole = format!(
            "name = \"{name}@127.0.0.1\"\ndriver = \"{driver}\"\n{settings}\n[{driver}]\nlisten = [\"{listen}\"]\n"
        );
        pass_on(&mut command);
        let mut child = command
            .args(["--exact", "process::peer_process", "--nocapture"])
            .env(SETTINGS, whole)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = lines.by_ref().map(Result::unwrap).find(|line| line.starts_with(LISTENS));
        let address = line.expect("the peer listens").trim_start_matches(LISTENS).parse().unwrap();
        let target = format!("{name}@127.0.0.1").parse().unwrap();
        Self { child, _stdout: lines, target, address, settings }
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        kill(pid, signal).unwrap();
    }

    /// Freezes the process; gives when. It stands still when this returns.
    pub fn freeze(&self) -> Instant {
        let now = Instant::now();
        self.signal(Signal::SIGSTOP);
        while !self.stands_still() {
            std::thread::yield_now();
        }
        now
    }

    /// Whether each of its threads is stopped: a signal that was sent may still be on its way to some.
    fn stands_still(&self) -> bool {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        threads.map(|thread| std::fs::read_to_string(thread.unwrap().path().join("stat")).unwrap()).all(
            |stat| {
                // The state stands behind the name, which is in parentheses.
                stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T'))
            },
        )
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// Kills it at once; gives when.
    pub fn kill(&mut self) -> Instant {
        let now = Instant::now();
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        now
    }

    /// Waits until it ended by itself; true if a signal ended it.
    pub fn died(&mut self) -> bool {
        self.child.wait().unwrap().code().is_none()
    }

    /// The same node at the same place, started anew after its end.
    pub fn restart(&mut self) {
        let (name, listen) = (self.target.node().as_str(), self.address.to_string());
        let name = name.split('@').next().unwrap().to_owned();
        *self = Self::run(Command::new(own_path()), &name, &listen, &self.settings, Stdio::inherit());
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may be dead already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn own_path() -> std::path::PathBuf {
    std::env::current_exe().unwrap()
}

/// How much memory this process has in use.
pub fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split_whitespace().nth(1).unwrap().parse().unwrap();
    pages * 4096
}

/// No test of its own: what a peer runs. Started as a test by itself it finds no settings and is done.
#[test]
fn peer_process() {
    let Ok(settings) = std::env::var(SETTINGS) else { return };
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).unwrap();
    let _ = env_logger::try_init();
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    System::new().block_on(run_peer(&settings));
}

async fn run_peer(settings: &str) {
    let config = Config::from_toml(settings).unwrap();
    let name = config.name.as_ref().unwrap().to_string();
    let builder = Node::from_config(config).cookie(cookie());
    let builder = match driver() {
        Driver::Tcp => builder,
        Driver::Tls => builder.tls(authority().material(&name)),
    };
    let node = builder.start().await.unwrap();
    node.register("counter", Counter::default().start()).unwrap().keep();
    node.register("other", Counter::default().start()).unwrap().keep();
    let apart = Arbiter::new();
    let blocked = Counter::start_in_arbiter(&apart.handle(), |_| Counter::default());
    node.register("blocked", blocked).unwrap().keep();

    let own = node.clone();
    node.serve("health", move |_: HowAreYou| std::future::ready(health(&own))).unwrap();
    let own = node.clone();
    node.serve("sever", move |sever: Sever| {
        std::future::ready(own.kill_acceptors(&sever.from.parse().unwrap()) as u64)
    })
    .unwrap();
    let own = node.clone();
    node.serve("ask", move |ask: Ask| ask_other(own.clone(), ask)).unwrap();
    let own = node.clone();
    node.serve("offer", move |offered: Offer| std::future::ready(offer(&own, &offered))).unwrap();

    raise_and_fell(&node);

    let address = node.listening_on()[0];
    // The test harness has begun a line that it ends with its own verdict.
    println!("\n{LISTENS}{address}");
    std::io::stdout().flush().unwrap();
    std::future::pending::<()>().await;
}

/// A crowd of actors that is started, and stopped, as a whole.
fn raise_and_fell(node: &Node) {
    let raised = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let (own, all) = (node.clone(), raised.clone());
    node.serve("raise", move |raise: Raise| {
        for n in 0..raise.count {
            let actor = Mortal.start();
            own.register(&format!("m{n}"), actor.clone()).unwrap().keep();
            all.borrow_mut().push(actor);
        }
        std::future::ready(raise.count)
    })
    .unwrap();
    node.serve("fell", move |_: Fell| {
        let felled = raised.take();
        felled.iter().for_each(|actor| actor.do_send(Fell));
        std::future::ready(felled.len() as u64)
    })
    .unwrap();
}

fn health(node: &Node) -> Health {
    let metrics = node.metrics();
    Health {
        inbound: metrics.acceptors,
        half_open: metrics.half_open,
        refused: metrics.inbound_refused,
        handshakes_failed: metrics.handshakes_failed,
        protocol_errors: metrics.protocol_errors,
        delivered: metrics.delivered,
        resident_bytes: resident_bytes(),
        monitors: node.monitors().1 as u64,
    }
}

async fn ask_other(node: Node, ask: Ask) -> String {
    let to: Target = ask.to.parse().unwrap();
    match node.call(&to, "counter", Total).await {
        Ok(_) => String::new(),
        Err(error) => format!("{:?}: {error}", error.class()),
    }
}

/// Casts without a pause. The peer's pump runs on this very thread, so whatever is not sent at once has to wait.
fn offer(node: &Node, offer: &Offer) -> Offered {
    let to: Target = offer.to.parse().unwrap();
    let filler = vec![0x5a; usize::try_from(offer.bytes_each).unwrap()];
    let mut told =
        Offered { accepted: 0, queue_full: 0, otherwise_refused: 0, longest_us: 0, grown_bytes: 0 };
    let before = resident_bytes();
    for n in 0..offer.casts {
        let nth = crate::actors::Nth { n, filler: filler.clone() };
        let begun = Instant::now();
        let queued = node.cast(&to, "counter", nth);
        told.longest_us = told.longest_us.max(u64::try_from(begun.elapsed().as_micros()).unwrap());
        match queued.as_ref().map_err(CallError::failure) {
            Ok(_) => told.accepted += 1,
            Err(farcall::error::Failure::NotSent(NotSent::QueueFull { .. })) => told.queue_full += 1,
            Err(_) => told.otherwise_refused += 1,
        }
        told.grown_bytes = told.grown_bytes.max(resident_bytes().saturating_sub(before));
    }
    told
}
