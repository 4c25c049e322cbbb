//! A node with something to call, and the command.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actix::prelude::*;
use farcall::prelude::*;

/// Adds and tells the total.
#[farcall::message(result = u64)]
pub struct Add {
    pub amount: u64,
}

/// Tells the total.
#[farcall::message(result = u64)]
pub struct Total;

/// Comes back as it is.
#[farcall::message(result = Item)]
pub struct Mirror {
    pub item: Item,
}

/// Something with most kinds of fields.
#[farcall::data]
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    pub label: String,
    pub content: Vec<u8>,
    pub shape: Shape,
    pub tags: Vec<Option<u16>>,
}

/// One of several.
#[farcall::data]
#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    Point,
    Circle { radius: f64 },
}

/// Answers after a while.
#[farcall::message(result = u64)]
pub struct Sleep {
    pub ms: u64,
}

/// Panics.
#[farcall::message]
pub struct Panic;

/// Counts from 0, so many numbers.
#[farcall::message(stream = u64)]
pub struct Count {
    pub to: u64,
}

/// Answers with something that only programs can read.
#[farcall::message(result = Hidden)]
pub struct Hide;

/// Holds an opaque type.
#[farcall::data]
pub struct Hidden {
    #[remote(opaque)]
    pub number: std::num::NonZeroU8,
}

#[derive(RemoteActor)]
#[remote(Add, Total, Mirror, Sleep, Panic, Count, Hide)]
pub struct Counter {
    pub total: Arc<AtomicU64>,
}

impl Actor for Counter {
    type Context = Context<Self>;
}

impl Handler<Add> for Counter {
    type Result = u64;
    fn handle(&mut self, add: Add, _: &mut Context<Self>) -> u64 {
        self.total.fetch_add(add.amount, Ordering::SeqCst) + add.amount
    }
}

impl Handler<Total> for Counter {
    type Result = u64;
    fn handle(&mut self, _: Total, _: &mut Context<Self>) -> u64 {
        self.total.load(Ordering::SeqCst)
    }
}

impl Handler<Mirror> for Counter {
    type Result = MessageResult<Mirror>;
    fn handle(&mut self, mirror: Mirror, _: &mut Context<Self>) -> Self::Result {
        MessageResult(mirror.item)
    }
}

impl Handler<Sleep> for Counter {
    type Result = ResponseFuture<u64>;
    fn handle(&mut self, sleep: Sleep, _: &mut Context<Self>) -> Self::Result {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(sleep.ms)).await;
            sleep.ms
        })
    }
}

impl Handler<Panic> for Counter {
    type Result = ();
    fn handle(&mut self, _: Panic, _: &mut Context<Self>) {
        panic!("on purpose");
    }
}

impl Handler<Count> for Counter {
    type Result = MessageResult<Count>;
    fn handle(&mut self, count: Count, _: &mut Context<Self>) -> Self::Result {
        MessageResult(Items::new(futures::stream::iter(0..count.to)))
    }
}

impl Handler<Hide> for Counter {
    type Result = MessageResult<Hide>;
    fn handle(&mut self, _: Hide, _: &mut Context<Self>) -> Self::Result {
        MessageResult(Hidden { number: std::num::NonZeroU8::MIN })
    }
}

/// A node named beta with a counter of version 1.4.0, its cookie file, and a folder of its own.
pub struct Cluster {
    pub node: Node,
    pub total: Arc<AtomicU64>,
    pub folder: PathBuf,
}

/// Its name.
pub const BETA: &str = "beta@127.0.0.1";

impl Cluster {
    /// Starts it; `test` names its folder.
    pub async fn start(test: &str) -> Self {
        let folder = folder(test);
        let any_port = ([127, 0, 0, 1], 0).into();
        let node = Node::builder(BETA).listen([any_port]).cookie_file(folder.join("cookie")).start().await;
        let (node, total) = (node.unwrap(), Arc::new(AtomicU64::new(0)));
        let counter = Counter { total: total.clone() }.start();
        node.register("counter", counter).unwrap().version("1.4.0").unwrap().keep();
        Self { node, total, folder }
    }

    pub fn cookie_file(&self) -> PathBuf {
        self.folder.join("cookie")
    }

    pub fn address(&self) -> String {
        self.node.listening_on()[0].to_string()
    }

    /// Runs the command with the cookie file and the address of this node.
    pub async fn run(&self, args: &[&str]) -> Ended {
        self.run_with(args, "").await
    }

    /// As [`run`](Self::run), with this on its standard input.
    pub async fn run_with(&self, args: &[&str], input: impl Into<Vec<u8>>) -> Ended {
        let mut command = command(&self.folder);
        command.args(args).arg("--cookie-file").arg(self.cookie_file()).args(["--at", &self.address()]);
        run(command, input).await
    }
}

/// An empty folder for one test.
pub fn folder(test: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{test}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// The command at home in this folder, without the settings of whoever runs the tests.
pub fn command(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_farcall"));
    let ours = std::env::vars_os().map(|(name, _)| name);
    for name in ours.filter(|name| name.to_string_lossy().starts_with("FARCALL_")) {
        command.env_remove(name);
    }
    command
        .env_remove("XDG_CONFIG_HOME")
        .env_remove("RUST_LOG")
        .env_remove("RUST_BACKTRACE")
        .env("HOME", folder)
        .current_dir(folder);
    command
}

/// A shell that runs these lines where the command would run, and finds it.
pub fn shell(folder: &Path, lines: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-eu", "-c", lines]).current_dir(folder);
    // As the command is run elsewhere: without the settings of whoever runs the tests.
    for (name, value) in command(folder).get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    let ours = Path::new(env!("CARGO_BIN_EXE_farcall")).parent().unwrap();
    shell.env("PATH", format!("{}:{}", ours.display(), std::env::var("PATH").unwrap()));
    shell
}

/// What came of it.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ended {
    /// It went well, silently; what it printed.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!((self.code, self.err.as_str()), (Some(0), ""), "{self:?}");
        self.out
    }

    /// It failed with this code and printed no answer; what it said.
    #[track_caller]
    pub fn failed(self, code: i32) -> String {
        assert_eq!((self.code, self.out.as_str()), (Some(code), ""), "{self:?}");
        self.err
    }
}

/// Runs it while the node in this process goes on.
pub async fn run(mut command: Command, input: impl Into<Vec<u8>>) -> Ended {
    let input = input.into();
    let run = move || {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A command that does not read its input may be gone before it is written.
        let _ = child.stdin.take().unwrap().write_all(&input);
        let output = child.wait_with_output().unwrap();
        Ended {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}

/// Waits until something holds, for five seconds at most.
pub async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + Duration::from_secs(5);
    while !holds() {
        assert!(std::time::Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
