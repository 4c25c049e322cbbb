//! A whole process that stands still and goes on: the one thing that cannot be tested within one process.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use actix::prelude::*;
use farcall::NodeBuilder;
use farcall::prelude::*;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::fixture::{Add, Counter, PhoneBook, Total, builder, eventually};
use crate::pki::pass_on;

/// What the child says before the address it listens on.
const LISTENING: &str = "listening on ";

fn quick(name: &str) -> NodeBuilder {
    builder(name).configure(|config| config.tick = Duration::from_millis(400))
}

/// The other process: this binary again, with a node that has a counter. Ends when its stdin does.
#[actix::test]
#[ignore = "run by g9, in a process of its own"]
async fn child() {
    let node = quick("beta").start().await.unwrap();
    node.register("counter", Counter::default().start()).unwrap().keep();
    writeln!(std::io::stdout(), "{LISTENING}{}", node.listening_on()[0]).unwrap();
    let parent_is_gone = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    parent_is_gone.await.unwrap().unwrap();
}

struct Frozen(Child);

impl Frozen {
    async fn start(phone_book: &PhoneBook) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        pass_on(&mut command);
        let mut process = command
            .args(["frozen::child", "--exact", "--ignored", "--nocapture"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let frozen = Self(process);
        let listens = tokio::task::spawn_blocking(move || {
            let address = |line: String| Some(line.split_once(LISTENING)?.1.parse().unwrap());
            output.lines().find_map(|line| address(line.unwrap())).expect("the child ended")
        });
        let address =
            tokio::time::timeout(Duration::from_secs(10), listens).await.expect("the child is silent");
        phone_book.put("beta@127.0.0.1".parse().unwrap(), address.unwrap());
        frozen
    }

    fn id(&self) -> Pid {
        Pid::from_raw(self.0.id().try_into().unwrap())
    }

    /// Returns when every thread of it stands still.
    async fn stop(&self) {
        kill(self.id(), Signal::SIGSTOP).unwrap();
        let looks = WaitPidFlag::WUNTRACED | WaitPidFlag::WNOHANG;
        let stopped = || matches!(waitpid(self.id(), Some(looks)).unwrap(), WaitStatus::Stopped(..));
        eventually("it stands still", stopped).await;
    }

    fn go_on(&self) {
        kill(self.id(), Signal::SIGCONT).unwrap();
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[actix::test]
async fn g9_a_node_that_stood_still_delivers_nothing_its_callers_have_given_up() {
    let phone_book = PhoneBook::default();
    let frozen = Frozen::start(&phone_book).await;
    let alpha = quick("alpha").discovery(phone_book).start().await.unwrap();
    let beta: Target = "beta@127.0.0.1".parse().unwrap();
    assert_eq!(alpha.call(&beta, "counter", Total).await.unwrap(), 0);

    frozen.stop().await;
    let calls: Vec<_> = (0..20).map(|_| alpha.async_call(&beta, "counter", Add { amount: 1 })).collect();
    for _ in 0..20 {
        alpha.cast(&beta, "counter", Add { amount: 1 }).unwrap();
    }
    for call in calls {
        assert_eq!(call.await.unwrap_err().class(), Class::Unknown, "told that the connection is lost");
    }
    // It finds all of it in its socket when it goes on, and must not act on it.
    frozen.go_on();
    let deadline = Instant::now() + Duration::from_secs(10);
    let total = loop {
        match alpha.call(&beta, "counter", Total).await {
            Ok(total) => break total,
            Err(error) => assert!(Instant::now() < deadline, "it does not come back: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert_eq!(total, 0);
}
