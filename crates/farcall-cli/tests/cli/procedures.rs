//! The page of the manual on certificates and cookies, run block by block as it is written, against two nodes in
//! processes of their own.
//!
//! A node calls the other one all the time and writes down how that goes; so after each block it is seen whether a link
//! was lost, and whether a new one can be made.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use actix::prelude::*;
use farcall::prelude::*;
use serde::{Deserialize, Serialize};
use tokio::signal::unix::{SignalKind, signal};

use crate::fixture::{folder, shell};

const PAGE: &str = include_str!("../../../farcall/src/manual/procedures.md");
const DAY: u64 = 24 * 3600;

#[test]
fn every_procedure_of_the_manual_does_what_it_says() {
    let mut stage = Rehearsal::new();

    stage.first_certificates(); // 1

    // 2. A new cookie.
    let old = stage.read("alpha/cookie");
    stage.run("old-cookie");
    for (step, lines) in
        [("cat old-cookie new-cookie", 2), ("cat new-cookie old-cookie", 2), ("cat new-cookie |", 1)]
    {
        stage.run(step);
        stage.reads_again(&NODES);
        assert_eq!(stage.read("beta/cookie").lines().count(), lines);
        stage.lost_no_link();
        stage.can_connect_anew();
    }
    assert_ne!(stage.read("alpha/cookie"), old);

    // 3. A new certificate.
    let before = stage.status("beta").certificate_left_s;
    assert!(before > 300 * DAY, "{before}");
    stage.run("--days 90 --force");
    stage.reads_again(&["beta"]);
    let after = stage.status("beta").certificate_left_s;
    assert!((89 * DAY..=90 * DAY).contains(&after), "{after}");
    stage.lost_no_link();
    stage.can_connect_anew();

    // 4. A new authority.
    for round in ["farcall cert ca", "farcall cert node", "cat authority-2/ca.pem"] {
        stage.run(round);
        stage.reads_again(&NODES);
        stage.lost_no_link();
        stage.can_connect_anew();
    }

    // 5. A node is sent away.
    stage.run("farcall cert revoke");
    stage.reads_again(&["alpha"]);
    stage.lost_no_link();
    stage.run("kill -USR1");
    stage.wait("alpha refuses beta, whoever dials", |stage| {
        let (alpha, beta) = (stage.status("alpha").refused, stage.status("beta").refused);
        alpha.contains("it was revoked") && beta.contains("our certificate was revoked")
    });
    // Beta may hear of it before alpha has written it down.
    stage.wait("alpha says so in its log", |stage| {
        stage
            .log("alpha")
            .lines()
            .any(|line| line.contains("refused a connection") && line.contains("it was revoked"))
    });
    let before = NODES.map(|node| stage.status(node));
    stage.wait("more calls are refused", |stage| {
        NODES.iter().zip(&before).all(|(node, before)| stage.status(node).asked > before.asked + 10)
    });
    assert_eq!(NODES.map(|node| stage.status(node).answered), before.map(|before| before.answered));
    stage.is_at_its_end();
}

const NODES: [&str; 2] = ["alpha", "beta"];

/// The page, as far as it was run, and the folder it is run in.
struct Rehearsal {
    home: PathBuf,
    blocks: std::vec::IntoIter<Block>,
    /// Dials of each node since all were connected.
    dials: [u64; 2],
    /// How often each has read its files again.
    read: [usize; 2],
}

/// A block of the page that is to be run, or a file it shows.
enum Block {
    Commands(String),
    File(String, String),
}

impl Rehearsal {
    fn new() -> Self {
        let home = folder("procedures");
        let own = std::env::current_exe().unwrap();
        let script =
            format!("#!/bin/sh\nexec '{}' --exact procedures::service_process --nocapture\n", own.display());
        fs::create_dir(home.join("bin")).unwrap();
        write_executable(&home.join("bin/my-service"), &script);
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_farcall"), home.join("bin/farcall")).unwrap();
        let ports = free_ports();
        let text = PAGE.replace("7101", &ports[0]).replace("7102", &ports[1]);
        Self { home, blocks: blocks(&text).into_iter(), dials: [0; 2], read: [0; 2] }
    }

    /// Runs the next block, in which this must stand; what it printed.
    #[track_caller]
    fn run(&mut self, with: &str) -> String {
        let commands = loop {
            match self.blocks.next().expect("the page has another block") {
                Block::Commands(commands) => break commands,
                Block::File(name, text) => fs::write(self.home.join(name), text).unwrap(),
            }
        };
        assert!(commands.contains(with), "the next block of the page is another one:\n{commands}");
        let path = std::env::var("PATH").unwrap();
        let mut shell = shell(&self.home, &commands);
        let output = shell
            .env("PATH", format!("{}:{path}", self.home.join("bin").display()))
            .env(PARENT, std::process::id().to_string())
            .env("RUST_LOG", "farcall=info")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{commands}\n{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.home.join(name)).unwrap()
    }

    fn log(&self, node: &str) -> String {
        self.read(&format!("{node}/log"))
    }

    /// How a node is doing.
    fn status(&self, node: &str) -> Status {
        let text = fs::read_to_string(self.home.join(node).join(STATUS)).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }

    #[track_caller]
    fn wait(&self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !holds(self) {
            let logs = NODES.map(|node| fs::read_to_string(self.home.join(node).join("log")));
            assert!(Instant::now() < deadline, "waited in vain: {what}\n{logs:#?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// From nothing to two nodes that talk.
    fn first_certificates(&mut self) {
        let printed = self.run("farcall cert ca");
        let settings: Vec<toml::Table> =
            printed.split("\n# ").skip(1).map(|one| format!("# {one}").parse().unwrap()).collect();
        assert_eq!(settings.len(), NODES.len(), "{printed}");
        self.run("mkdir alpha beta");
        self.run("alpha/cookie");
        for (node, printed) in NODES.iter().zip(&settings) {
            let written: toml::Table = self.read(&format!("{node}/farcall.toml")).parse().unwrap();
            assert_eq!((&written["name"], &written["driver"]), (&printed["name"], &printed["driver"]));
            let keys =
                |table: &toml::Table| table["tls"].as_table().unwrap().keys().cloned().collect::<Vec<_>>();
            let (written, mut printed) = (keys(&written), keys(printed));
            printed.retain(|key| key != "listen"); // that is its default
            assert_eq!(written, printed);
        }
        let checked = self.run("farcall cert check alpha");
        assert!(!checked.contains("FAILED") && !checked.contains("warning"), "{checked}");
        self.run("my-service");
        self.wait("both are connected", |stage| NODES.iter().all(|node| stage.status(node).answered > 0));
        // From here on, dials are counted.
        self.dials = NODES.map(|node| self.status(node).dials);
    }

    /// These nodes have read their files once more, and used them.
    #[track_caller]
    fn reads_again(&mut self, nodes: &[&str]) {
        for (node, times) in NODES.iter().zip(&mut self.read) {
            *times += usize::from(nodes.contains(node));
        }
        self.wait("the files are read again", |stage| {
            NODES.iter().zip(stage.read).all(|(node, times)| {
                let log = stage.log(node);
                let times_of = |line| log.matches(line).count() == times;
                times_of("TLS files are read again") && times_of("the cookie file is read again")
            })
        });
        let logs = NODES.map(|node| self.log(node)).concat();
        assert!(!logs.contains("are not used") && !logs.contains("is not used"), "{logs}");
        self.goes_on();
    }

    /// Each call that is made now is answered.
    #[track_caller]
    fn goes_on(&self) {
        let before = NODES.map(|node| self.status(node));
        self.wait("calls are answered", |stage| {
            NODES.iter().zip(&before).all(|(node, before)| stage.status(node).answered >= before.answered + 5)
        });
    }

    /// No link was lost and none was made anew, since this was last asked.
    #[track_caller]
    fn lost_no_link(&self) {
        for (node, dials) in NODES.iter().zip(self.dials) {
            let status = self.status(node);
            assert_eq!((status.dials, status.lost), (dials, 0), "{node}: {}", self.log(node));
        }
    }

    /// Each node ends its link, in good order, and makes another one.
    #[track_caller]
    fn can_connect_anew(&mut self) {
        for node in NODES {
            self.signal("USR2", node);
        }
        self.dials = self.dials.map(|dials| dials + 1);
        self.wait("they connect again", |stage| {
            NODES.iter().zip(stage.dials).all(|(node, dials)| stage.status(node).dials == dials)
        });
        self.goes_on();
        self.lost_no_link();
    }

    fn signal(&self, signal: &str, node: &str) {
        let pid = fs::read_to_string(self.home.join(node).join("pid")).unwrap_or_default();
        let _ = Command::new("kill").args(["-s", signal, pid.trim()]).stderr(Stdio::null()).status();
    }

    #[track_caller]
    fn is_at_its_end(&mut self) {
        assert!(self.blocks.next().is_none(), "the page has more than was run");
    }
}

impl Drop for Rehearsal {
    fn drop(&mut self) {
        NODES.iter().for_each(|node| self.signal("KILL", node));
    }
}

fn write_executable(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).unwrap();
}

/// Two that nobody listens on at the moment.
fn free_ports() -> [String; 2] {
    let held = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    held.map(|listener| listener.local_addr().unwrap().port().to_string())
}

/// What the page has to run, and the files it shows: a TOML block names its own in its first line.
fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    // Every other part is within fences.
    for fenced in page.split("\n```").skip(1).step_by(2) {
        let (language, text) = fenced.split_once('\n').unwrap();
        match language {
            "sh" => blocks.push(Block::Commands(text.to_owned())),
            "toml" => {
                let name = text.lines().next().unwrap().strip_prefix("# ").expect("a file is named");
                blocks.push(Block::File(name.to_owned(), text.to_owned()));
            }
            _ => {}
        }
    }
    blocks
}

// ----- the service -----

/// Where a process finds that it is the service, and whose: it ends with its parent.
const PARENT: &str = "PROCEDURES_PARENT";
const STATUS: &str = "status";

/// How it goes with calls to the other node.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Status {
    asked: u64,
    answered: u64,
    /// What the last call was told that was not answered.
    refused: String,
    dials: u64,
    lost: u64,
    certificate_left_s: u64,
}

/// Is greeted.
#[farcall::message(result = u64)]
struct Greet;

#[derive(Default, RemoteActor)]
#[remote(Greet)]
struct Greeter {
    times: u64,
}

impl Actor for Greeter {
    type Context = Context<Self>;
}

impl Handler<Greet> for Greeter {
    type Result = u64;
    fn handle(&mut self, _: Greet, _: &mut Context<Self>) -> u64 {
        self.times += 1;
        self.times
    }
}

/// Not a test: what `my-service` runs, in the folder of its node.
#[actix::test]
async fn service_process() {
    let Ok(parent) = std::env::var(PARENT) else { return };
    env_logger::init();
    let other = if Path::new("../alpha").canonicalize().unwrap() == std::env::current_dir().unwrap() {
        "beta"
    } else {
        "alpha"
    };
    let other = Config::from_file(format!("../{other}/farcall.toml")).unwrap().name.unwrap();
    let node = Node::from_config(Config::load().unwrap()).start().await.unwrap();
    node.register("greeter", Greeter::default().start()).unwrap().keep();
    actix::spawn(end_connections(node.clone()));
    actix::spawn(disconnect(node.clone(), other.clone()));
    let (target, mut status) = (Target::new(other), Status::default());
    while Path::new("/proc").join(&parent).exists() {
        status.asked += 1;
        match node.call(&target, "greeter", Greet).timeout(Duration::from_secs(5)).await {
            Ok(_) => status.answered += 1,
            Err(error) => status.refused = error.to_string(),
        }
        let metrics = node.metrics();
        (status.dials, status.lost) = (metrics.dials, metrics.clients_lost);
        status.certificate_left_s = metrics.certificate_left_s;
        fs::write("status.new", serde_json::to_vec(&status).unwrap()).unwrap();
        fs::rename("status.new", STATUS).unwrap();
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    std::process::exit(0);
}

/// As the page has it.
async fn end_connections(node: Node) {
    let mut asked = signal(SignalKind::user_defined1()).unwrap();
    while asked.recv().await.is_some() {
        for peer in node.inbound().into_iter().chain(node.nodes()) {
            node.kill_acceptors(&peer);
            node.kill_clients(&peer);
        }
    }
}

/// So that the next call needs a handshake.
async fn disconnect(node: Node, other: NodeName) {
    let mut asked = signal(SignalKind::user_defined2()).unwrap();
    while asked.recv().await.is_some() {
        node.disconnect(&other);
    }
}
