//! The two child processes of a sample: what they tell their parent, and how the parent keeps them.
//!
//! Notes are lines of JSON on the child's standard output. A child ends when its standard input does, so none
//! outlives a parent that was killed; and a parent that goes on kills the children it drops.

use std::io::{BufRead, BufReader, Write, stdin, stdout};
use std::net::SocketAddr;
use std::process::{Child as Process, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use serde::{Deserialize, Serialize};

use crate::meter::ClientSample;
use crate::usage::Usage;
use crate::{certificates, erlang};

/// What a child tells its parent.
#[derive(Debug, Serialize, Deserialize)]
pub enum Note {
    /// The server listens here.
    Listening(Vec<SocketAddr>),
    /// The server answers a request for its figures.
    Figures(ServerFigures),
    /// The client has one connection and is about to open more.
    Base,
    /// So many milliseconds from nothing to the first answer.
    Started(f64),
    /// The client's window begins.
    Open,
    /// The client's window is over.
    Close,
    /// What the client has seen.
    Sample(ClientSample),
}

/// What a server has done since it started.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct ServerFigures {
    /// Time since it started.
    pub at_s: f64,
    /// Messages handled.
    pub handled: u64,
    /// Its cost.
    pub usage: Usage,
}

/// Sends a note from a child to its parent.
pub fn tell(note: &Note) -> Result<()> {
    let mut line = serde_json::to_vec(note)?;
    line.push(b'\n');
    let mut out = stdout().lock();
    out.write_all(&line)?;
    out.flush().context("the parent is gone")
}

/// What a server process has besides its own code: a way to its parent.
pub struct ServerSeat {
    handled: Arc<AtomicU64>,
}

impl ServerSeat {
    /// Starts answering the parent. To be called before pinning: the answers come from a thread that is free to
    /// run anywhere, and so come at once while the pinned one works.
    pub fn take() -> Self {
        let handled = Arc::new(AtomicU64::new(0));
        let counted = handled.clone();
        let started = Instant::now();
        std::thread::spawn(move || {
            for _request in stdin().lock().lines().map_while(Result::ok) {
                let figures = Usage::now().map(|usage| ServerFigures {
                    at_s: started.elapsed().as_secs_f64(),
                    handled: counted.load(Ordering::Relaxed),
                    usage,
                });
                if figures.and_then(|figures| tell(&Note::Figures(figures))).is_err() {
                    break;
                }
            }
            std::process::exit(0);
        });
        Self { handled }
    }

    /// Tells the parent where the server listens.
    pub fn listening(&self, addresses: impl IntoIterator<Item = SocketAddr>) -> Result<()> {
        tell(&Note::Listening(addresses.into_iter().collect()))
    }

    /// Where the server counts messages it has handled; where there are many, best once for several.
    pub fn counter(&self) -> Arc<AtomicU64> {
        self.handled.clone()
    }
}

/// Ends this process when its parent closes the pipe to it.
pub fn end_with_parent() {
    std::thread::spawn(|| {
        for _ in stdin().lock().lines().map_while(Result::ok) {}
        std::process::exit(1);
    });
}

/// A child as its parent holds it; killed when dropped.
pub struct Child {
    role: &'static str,
    process: Process,
    stdin: ChildStdin,
    notes: Receiver<Note>,
}

impl Child {
    /// Runs this program once more with other arguments.
    pub fn spawn(role: &'static str, arguments: &[String]) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        certificates::pass_on(&mut command)?;
        erlang::pass_on(&mut command);
        let mut process = command
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start the {role}"))?;
        let (stdin, stdout) = (process.stdin.take(), process.stdout.take());
        let (stdin, stdout) = stdin.zip(stdout).ok_or_else(|| anyhow!("no pipes to the {role}"))?;
        let (sender, notes) = channel();
        // Ends with the child's output, which ends with the child.
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let Ok(note) = serde_json::from_str(&line) else { break };
                if sender.send(note).is_err() {
                    break;
                }
            }
        });
        Ok(Self { role, process, stdin, notes })
    }

    /// Waits for the child's next note.
    pub fn note(&self, within: Duration) -> Result<Note> {
        self.notes.recv_timeout(within).map_err(|error| match error {
            RecvTimeoutError::Timeout => anyhow!("the {} said nothing for {within:?}", self.role),
            RecvTimeoutError::Disconnected => anyhow!("the {} ended early", self.role),
        })
    }

    /// Asks a server for its figures.
    pub fn figures(&mut self) -> Result<ServerFigures> {
        self.stdin.write_all(b"figures\n").with_context(|| format!("the {} is gone", self.role))?;
        match self.note(ANSWER_WITHIN)? {
            Note::Figures(figures) => Ok(figures),
            other => bail!("the {} said {other:?} instead of its figures", self.role),
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Either fails only for a child that is gone already, which is what is wanted.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A child that is alive answers in microseconds; on a crowded machine perhaps not.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(20);
