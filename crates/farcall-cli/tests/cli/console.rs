//! The console at a terminal, which is a real one as far as it can tell: `script` makes it, and the test answers what a
//! terminal is asked.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use crate::fixture::{BETA, Cluster, command, eventually};

/// Where the cursor is, a terminal is asked with this, and says so.
const ASKS_FOR_PLACE: &[u8] = b"\x1b[6n";
const PLACE: &[u8] = b"\x1b[1;1R";

struct Terminal {
    child: Child,
    keys: ChildStdin,
    shown: Receiver<Vec<u8>>,
    screen: Vec<u8>,
    answered: usize,
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Terminal {
    fn start(cluster: &Cluster, arguments: &str) -> Self {
        let farcall = env!("CARGO_BIN_EXE_farcall");
        let (at, cookie) = (cluster.address(), cluster.cookie_file());
        // `exec`, as some shells stay, and then end by the Ctrl-C that was for the console.
        let line = format!(
            "exec '{farcall}' shell {BETA} --at {at} --cookie-file '{}' {arguments}",
            cookie.display()
        );
        let mut script = Command::new("script");
        script.env("SHELL", "/bin/sh");
        // It leaves nothing behind, and ends with the code of what it runs.
        script.args(["-q", "-e", "-c", &line, "/dev/null"]);
        let ours = command(&cluster.folder);
        script.envs(ours.get_envs().filter_map(|(name, value)| Some((name, value?))));
        script
            .env("TERM", "xterm")
            .env("XDG_STATE_HOME", cluster.folder.join("state"))
            .env_remove("NO_COLOR");
        script.current_dir(&cluster.folder);
        let mut child =
            script.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let (keys, mut out) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (tell, shown) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(bytes @ 1..) = out.read(&mut buffer) {
                if tell.send(buffer[..bytes].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { child, keys, shown, screen: Vec::new(), answered: 0 }
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    fn questions(&self) -> usize {
        self.screen.windows(ASKS_FOR_PLACE.len()).filter(|part| *part == ASKS_FOR_PLACE).count()
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.screen).into_owned()
    }

    /// Waits until this was shown since the last time; what is asked meanwhile is answered.
    fn wait_for(&mut self, wanted: &str) {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            if let Ok(shown) = self.shown.recv_timeout(Duration::from_millis(20)) {
                self.screen.extend(shown);
            }
            let asked =
                self.screen.windows(ASKS_FOR_PLACE.len()).filter(|part| *part == ASKS_FOR_PLACE).count();
            while self.answered < asked {
                self.answered += 1;
                let _ = self.keys.write_all(PLACE);
            }
            if let Some(at) = self.text().find(wanted) {
                // What was shown before is not looked at again.
                self.screen = self.text().split_off(at + wanted.len()).into_bytes();
                self.answered = self.questions();
                return;
            }
            assert!(Instant::now() < deadline, "waited in vain for {wanted:?}:\n{}", self.text());
        }
    }

    fn ended(mut self) -> Option<i32> {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < deadline, "it goes on:\n{}", self.text());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Runs what blocks while the node in this process goes on.
async fn typing<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(run).await.unwrap()
}

#[actix::test]
async fn lines_are_typed_completed_remembered_and_ended() {
    let cluster = Cluster::start("console").await;
    let mut terminal = Terminal::start(&cluster, "");
    let terminal = typing(move || {
        terminal.wait_for("beta@127.0.0.1");
        terminal.press("call counter Add {\"amount\": 40}\r");
        terminal.wait_for("40\r\n");
        terminal.wait_for("> ");
        // An actor, a message and a field, each from its beginning.
        terminal.press("call cou\tTo\t\r");
        terminal.wait_for("40\r\n");
        terminal.wait_for("> ");
        terminal.press("call counter Add {\"am\t2}\r");
        terminal.wait_for("42\r\n");
        terminal.wait_for("> ");
        terminal.press(" call counter Add {\"amount\": 0}\r");
        terminal.wait_for("42\r\n");
        terminal.wait_for("> ");
        terminal.press("call nobody Total\r");
        terminal.wait_for("nobody is not registered");
        terminal.wait_for("what to do");
        terminal.wait_for("> ");
        // What runs too long ends, and the console goes on.
        terminal.press("call counter Sleep {\"ms\": 60000} --timeout 50s\r");
        terminal.wait_for("\r\n");
        terminal
    })
    .await;
    eventually("the call runs", || cluster.node.inspect().links.iter().any(|link| link.in_flight > 0)).await;
    let mut terminal = terminal;
    let code = typing(move || {
        terminal.press("\x03");
        terminal.wait_for("interrupted before it was done");
        terminal.wait_for("> ");
        terminal.press("\x04");
        terminal.ended()
    })
    .await;
    assert_eq!(code, Some(0));
    assert_eq!(cluster.total.load(Ordering::SeqCst), 42);
    let history = cluster.folder.join("state/farcall/history");
    assert_eq!(std::fs::metadata(&history).unwrap().permissions().mode() & 0o777, 0o600);
    let lines = std::fs::read_to_string(&history).unwrap();
    assert!(lines.contains("call counter Add {\"amount\": 40}"), "{lines}");
    assert!(!lines.contains("\"amount\": 0"), "a line that begins with a space is not kept:\n{lines}");
    // The next console knows what was typed in the last one.
    let mut terminal = Terminal::start(&cluster, "");
    let code = typing(move || {
        terminal.wait_for("beta@127.0.0.1");
        terminal.press("\x1b[A");
        terminal.wait_for("Sleep");
        terminal.press("\x03");
        terminal.wait_for("> ");
        terminal.press("exit\r");
        terminal.wait_for("exit");
        terminal.ended()
    })
    .await;
    assert_eq!(code, Some(0));
}

#[actix::test]
async fn two_consoles_that_are_nodes_see_and_call_each_other() {
    let folder = crate::fixture::folder("consoles");
    let free = || std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let ports = [free(), free()].map(|socket| socket.local_addr().unwrap().port());
    let names =
        [("master", ports[0]), ("slave", ports[1])].map(|(name, port)| format!("{name}@127.0.0.1:{port}"));
    let start = |name: &str| {
        let mut shell = command(&folder);
        shell.args(["shell", "--listen", "--name", name, "--cookie-file"]).arg(folder.join("cookie"));
        crate::shell::Typed::spawn(shell)
    };
    // The first node makes the cookie of both.
    let node = farcall::Node::builder("x@127.0.0.1").no_listener().cookie_file(folder.join("cookie"));
    let node = node.start().await.unwrap();
    let (mut master, mut slave) = (start(&names[0]), start(&names[1]));
    for (console, name) in [(&mut master, &names[0]), (&mut slave, &names[1])] {
        let told = console.told().await;
        assert!(told.starts_with(&format!("{name} is up on 127.0.0.1:")), "{told}");
    }
    let call = format!("call {} console Echo {{\"text\": \"hello\"}}", names[1]);
    assert_eq!(master.text(&call).await, "\"hello\"");
    assert_eq!(slave.text(&format!("call {} console Echo {{\"text\": \"you\"}}", names[0])).await, "\"you\"");
    // Without a node, each looks at itself, and sees the other one.
    for (console, other) in [(&mut master, &names[1]), (&mut slave, &names[0])] {
        let node = console.line("nodes --json").await;
        assert_eq!((node["node"].as_str(), node["hidden"].as_bool()), (Some(other.as_str()), Some(false)));
    }
    assert_eq!(
        master.text(&format!("cast {} console Say {{\"text\": \"ahoy\"}}", names[1])).await,
        "delivered: the actor's mailbox has it"
    );
    assert_eq!(slave.told().await, "somebody says: ahoy");
    assert_eq!((master.end().await, slave.end().await), (Some(0), Some(0)));
    node.shutdown().await;
}
