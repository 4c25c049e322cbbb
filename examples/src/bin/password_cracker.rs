//! A password is looked for by many processes: a server splits the work, workers come, go and die, and it is found all the same.
//!
//! `cargo run -p farcall-examples --bin password_cracker` ends by itself, in a few seconds.
//!
//! ```text
//! client ── Crack ──► server ── Search(range) ──► worker 1     each a process of its own
//!        ◄─ Progress ──       ── Search(range) ──► worker 2    killed in the middle: its range
//!                             ── Search(range) ──► worker 3    goes to somebody else
//! ```
//! A search changes nothing, so a range whose worker died may be searched again: that is decided by who knows the work, and
//! not by the runtime, which never repeats a request by itself.

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::collections::{BTreeMap, VecDeque};
use std::error::Error;
use std::io::{BufRead, IsTerminal, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use farcall::cluster::{GroupEvent, Member};
use farcall::prelude::*;
use futures::StreamExt;
use sha2::{Digest, Sha256};
use tokio::sync::{Mutex, Notify};

const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz";
const LENGTH: u32 = 4;
/// The words of one request: a tenth of a second of work in a debug build.
const RANGE: u64 = 6_000;
const ALL: u64 = 26_u64.pow(LENGTH);
/// The workers: a group, which they join and leave.
const WORKERS: &str = "workers";

/// Looks through a range of words for the one with this hash.
#[farcall::message(result = Option<String>)]
struct Search {
    hash: [u8; 32],
    from: u64,
    to: u64,
}

/// Finds the word with this hash; tells how far it is, and at the end the word.
#[farcall::message(stream = Progress)]
struct Crack {
    hash: [u8; 32],
}

/// How far it is.
#[farcall::data]
#[derive(Debug, Clone)]
struct Progress {
    searched: u64,
    workers: u32,
    found: Option<String>,
}

/// The word of this number.
fn word(mut number: u64) -> String {
    let mut letters: Vec<u8> = Vec::new();
    for _ in 0..LENGTH {
        let place = usize::try_from(number % 26).unwrap_or_default();
        letters.extend(LETTERS.get(place));
        number /= 26;
    }
    letters.iter().rev().map(|letter| char::from(*letter)).collect()
}

fn hash(word: &str) -> [u8; 32] {
    Sha256::digest(word.as_bytes()).into()
}

/// What a worker does; a function is enough, and runs where it does not hold up the node.
async fn search(Search { hash: wanted, from, to }: Search) -> Option<String> {
    let look = move || (from..to.min(ALL)).map(word).find(|word| hash(word) == wanted);
    tokio::task::spawn_blocking(look).await.ok().flatten()
}

/// Splits the work, and gives each range to somebody who is there.
#[derive(RemoteActor)]
#[remote(Crack)]
struct Server {
    node: Node,
}

impl Actor for Server {
    type Context = Context<Self>;
}

impl Handler<Crack> for Server {
    type Result = MessageResult<Crack>;

    fn handle(&mut self, Crack { hash }: Crack, _: &mut Context<Self>) -> Self::Result {
        let (sender, items) = Items::channel(16);
        let work = Arc::new(Work {
            node: self.node.clone(),
            hash,
            state: Mutex::new(State {
                open: (0..ALL.div_ceil(RANGE)).collect(),
                searched: 0,
                workers: 0,
                found: None,
            }),
            changed: Notify::new(),
        });
        actix::spawn(hire(work.clone()));
        actix::spawn(async move {
            loop {
                let changed = work.changed.notified();
                let progress = work.progress().await;
                let ended = progress.found.is_some() || progress.searched >= ALL;
                // The client is gone, or everything is said.
                if sender.send(progress).await.is_err() || ended {
                    return;
                }
                changed.await;
            }
        });
        MessageResult(items)
    }
}

/// One password that is looked for.
struct Work {
    node: Node,
    hash: [u8; 32],
    state: Mutex<State>,
    changed: Notify,
}

struct State {
    /// Ranges that nobody searches now, by number.
    open: VecDeque<u64>,
    searched: u64,
    workers: u32,
    found: Option<String>,
}

impl Work {
    async fn progress(&self) -> Progress {
        let state = self.state.lock().await;
        Progress { searched: state.searched, workers: state.workers, found: state.found.clone() }
    }

    fn range(number: u64) -> Range<u64> {
        number * RANGE..((number + 1) * RANGE).min(ALL)
    }
}

/// Everybody who joins the group gets work, as long as he is there.
async fn hire(work: Arc<Work>) {
    let mut events = work.node.group(WORKERS).subscribe();
    while let Some(Ok(event)) = events.next().await {
        if let GroupEvent::Joined(_, member) = event {
            actix::spawn(employ(work.clone(), member));
        }
        if work.state.lock().await.found.is_some() {
            return;
        }
    }
}

/// Gives one worker range after range. When he dies, the one that he had is open again.
async fn employ(work: Arc<Work>, worker: Member) {
    let target = Target::from(&worker.node);
    work.state.lock().await.workers += 1;
    work.changed.notify_one();
    loop {
        let number = {
            let mut state = work.state.lock().await;
            if state.found.is_some() {
                break;
            }
            state.open.pop_front()
        };
        // Nothing is open now; somebody may still die.
        let Some(number) = number else {
            if work.state.lock().await.searched >= ALL {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        };
        let Range { start: from, end: to } = Work::range(number);
        let answer =
            work.node.call(&target, worker.actor.as_str(), Search { hash: work.hash, from, to }).await;
        let mut state = work.state.lock().await;
        match answer {
            Ok(found) => {
                state.searched += to - from;
                state.found = state.found.take().or(found);
                work.changed.notify_one();
            }
            // It may have been searched, or not: searching it again does no harm.
            Err(error) => {
                log::info!("{}: range {number} is open again: {error}", worker.node);
                state.open.push_front(number);
                break;
            }
        }
    }
    work.state.lock().await.workers -= 1;
    work.changed.notify_one();
}

/// The workers' processes. None of them outlives this one.
struct Fleet {
    folder: PathBuf,
    server: String,
    processes: BTreeMap<u32, Child>,
}

impl Fleet {
    fn start(&mut self, number: u32) -> Result<(), Box<dyn Error>> {
        let child = Command::new(std::env::current_exe()?)
            .args(["worker", &number.to_string(), &self.server])
            .arg(&self.folder)
            // Its standard input ends when this process does, and then so does it.
            .stdin(Stdio::piped())
            .spawn()?;
        self.processes.insert(number, child);
        Ok(())
    }

    /// SIGKILL: it gets no chance to say goodbye.
    fn kill(&mut self, number: u32) -> Result<(), Box<dyn Error>> {
        let mut child = self.processes.remove(&number).ok_or("there is no such worker")?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// It leaves in good order: what it searches is finished first.
    async fn dismiss(&mut self, number: u32) -> Result<(), Box<dyn Error>> {
        let mut child = self.processes.remove(&number).ok_or("there is no such worker")?;
        child.stdin.take().ok_or("it listens")?.write_all(b"leave\n")?;
        tokio::task::spawn_blocking(move || child.wait()).await??;
        Ok(())
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for child in self.processes.values_mut() {
            // Both fail only for a process that is gone already.
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// What a worker's process does: joins, works, and leaves when it is told to, or when whoever started it is gone.
async fn work(number: &str, server: &str, folder: &Path) -> Result<(), Box<dyn Error>> {
    // The port in its name is where the server finds it.
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let node = Node::builder(format!("worker{number}@127.0.0.1:{port}"));
    let node = node.cookie_file(folder.join("cookie")).node("server@127.0.0.1", server).start().await?;
    node.serve("search", search)?;
    node.group(WORKERS).join("search")?;
    node.connect(&"server@127.0.0.1".parse()?).await?;
    let told = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line).map(|_| line)
    });
    if told.await??.is_empty() {
        std::process::exit(0);
    }
    node.shutdown().await;
    Ok(())
}

/// A bar of forty places; on a terminal always in the same line.
fn show(progress: &Progress, tenth: &mut u64) {
    let Progress { searched, workers, .. } = progress;
    let places = usize::try_from(searched * 40 / ALL).unwrap_or(40);
    let bar = format!(
        "[{}{}] {:3} %, {workers} workers",
        "#".repeat(places),
        ".".repeat(40 - places),
        searched * 100 / ALL
    );
    if std::io::stdout().is_terminal() {
        print!("\r{bar}");
        let _ = std::io::stdout().flush();
    } else if searched * 10 / ALL > *tenth {
        *tenth = searched * 10 / ALL;
        println!("{bar}");
    }
}

#[actix::main]
async fn main() -> Result<(), Box<dyn Error>> {
    env_logger::init();
    let args: Vec<String> = std::env::args().collect();
    if let [_, role, number, server, folder] = args.as_slice()
        && role == "worker"
    {
        return work(number, server, Path::new(folder)).await;
    }
    let folder = std::env::temp_dir().join(format!("farcall-cracker-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let server = Node::builder("server@127.0.0.1").listen([([127, 0, 0, 1], 0).into()]);
    let server = server.cookie_file(folder.join("cookie")).start().await?;
    server.register("server", Server { node: server.clone() }.start())?.keep();
    let at = server.listening_on().first().ok_or("the server listens")?.to_string();
    let client = Node::builder("client@127.0.0.1").no_listener().cookie_file(folder.join("cookie"));
    let client = client.node("server@127.0.0.1", at.clone()).start().await?;
    let mut fleet = Fleet { folder, server: at, processes: BTreeMap::new() };
    for number in 1..=3 {
        fleet.start(number)?;
    }

    let secret = "rust";
    println!("looking for the word of {LENGTH} letters with hash {}..", hex(&hash(secret)));
    let target: Target = "server@127.0.0.1".parse()?;
    let mut told = client.stream(&target, "server", Crack { hash: hash(secret) }).await?;
    let (mut tenth, mut step, mut found) = (0, 0, None);
    while let Some(progress) = told.next().await {
        let progress = progress?;
        show(&progress, &mut tenth);
        // The story: each of these happens once, when another tenth is searched.
        if step < progress.searched * 10 / ALL {
            let happens = match step {
                0 => fleet.kill(1).map(|()| "worker 1 is killed")?,
                1 => fleet.start(4).map(|()| "worker 4 comes")?,
                2 => fleet.dismiss(2).await.map(|()| "worker 2 leaves")?,
                3 => fleet.kill(3).map(|()| "worker 3 is killed")?,
                _ => "",
            };
            step += 1;
            if !happens.is_empty() {
                println!("\n{happens}");
            }
        }
        found = progress.found.or(found);
    }
    println!("\nfound: {}", found.unwrap_or_else(|| "nothing, which cannot be".to_owned()));
    drop(fleet);
    client.shutdown().await;
    server.shutdown().await;
    Ok(())
}

/// The first bytes of a hash.
fn hex(hash: &[u8]) -> String {
    hash.iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}
