//! The processes: this program started again as another node, found through a file, and never outliving the story.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use farcall::NodeBuilder;
use farcall::prelude::*;

use crate::Stage;
use crate::actors;
use crate::story::Story;

/// The other nodes' processes, and the folder with the cookie and the addresses.
pub(crate) struct Fleet {
    folder: PathBuf,
    processes: BTreeMap<String, Child>,
    addresses: BTreeMap<String, String>,
}

impl Fleet {
    fn new() -> Result<Self, Box<dyn Error>> {
        let folder = std::env::temp_dir().join(format!("farcall-demo-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        Ok(Self { folder, processes: BTreeMap::new(), addresses: BTreeMap::new() })
    }

    /// Starts a node in a process of its own and notes where it listens. Gives the process and the address, in words.
    pub(crate) async fn start(&mut self, name: &str) -> Result<String, Box<dyn Error>> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["node", name])
            .arg(&self.folder)
            // Its standard input ends when this process does, and then so does it.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = child.stdout.take();
        let id = child.id();
        self.processes.insert(name.to_owned(), child);
        let first_line = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            output.map(|output| BufReader::new(output).read_line(&mut line)).transpose().map(|_| line)
        });
        let line = tokio::time::timeout(START_TIMEOUT, first_line).await???;
        let address = line.trim().to_owned();
        address.parse::<SocketAddr>().map_err(|_| format!("{name} did not start"))?;
        self.enter(name, &address)?;
        Ok(format!("process {id}, at {address}"))
    }

    /// Ends a process at once with SIGKILL: it gets no chance to say goodbye.
    pub(crate) fn kill(&mut self, name: &str) -> Result<(), Box<dyn Error>> {
        let mut child = self.processes.remove(name).ok_or("there is no such process")?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// Replaces the file that all nodes look addresses up in; by a rename, so that nobody reads half of it.
    fn enter(&mut self, name: &str, address: &str) -> Result<(), Box<dyn Error>> {
        self.addresses.insert(format!("{name}@127.0.0.1"), address.to_owned());
        let lines: String = self.addresses.iter().map(|(name, at)| format!("{name} = {at}\n")).collect();
        let new = self.folder.join("nodes.new");
        std::fs::File::create(&new)?.write_all(lines.as_bytes())?;
        std::fs::rename(new, self.folder.join("nodes"))?;
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
        // Nothing depends on it: the folder is in the system's own place for what is temporary.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// How long a process may take until its node listens.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// Starts alpha here and the others in processes of their own, and waits until they answer.
pub(crate) async fn set_up(story: &mut Story) -> Result<Stage, Box<dyn Error>> {
    let mut fleet = Fleet::new()?;
    let alpha = builder("alpha", &fleet.folder).start().await?;
    actors::register(&alpha)?;
    let address = alpha.listening_on().first().ok_or("alpha listens")?.to_string();
    fleet.enter("alpha", &address)?;
    let seen = format!("process {}, at {address}", std::process::id());
    story.step("alpha is this program", "", seen, true);
    for name in ["beta", "gamma", "delta"] {
        let seen = fleet.start(name).await?;
        story.step(&format!("{name} starts"), "", seen, true);
    }
    let [beta, gamma, delta] = ["beta", "gamma", "delta"].map(|name| format!("{name}@127.0.0.1").parse());
    let own = Target::from(alpha.name());
    let stage = Stage { alpha, own, beta: beta?, gamma: gamma?, delta: delta?, fleet };
    story.holds("alpha has no connection yet", stage.alpha.nodes().is_empty());
    Ok(stage)
}

fn builder(name: &str, folder: &Path) -> NodeBuilder {
    Node::builder(format!("{name}@127.0.0.1"))
        .listen([([127, 0, 0, 1], 0).into()])
        // Whoever needs the cookie first makes it. It lives as long as the story.
        .cookie_file(folder.join("cookie"))
        .configure(|config| config.discovery_file = Some(folder.join("nodes")))
}

/// What beta, gamma and delta do: say where they listen, and answer until the storyteller is gone.
pub(crate) async fn run_node(name: &str, folder: &Path) -> Result<(), Box<dyn Error>> {
    // A handler of this story panics on purpose; a stranger need not see its backtrace between the lines.
    std::panic::set_hook(Box::new(|info| log::warn!("{info}")));
    let leftover = folder.to_owned();
    std::thread::spawn(move || {
        let mut rest = Vec::new();
        // An end and an error mean the same: the storyteller is gone, in whatever way.
        let _ = std::io::stdin().read_to_end(&mut rest);
        // Killed, it could not tidy up.
        let _ = std::fs::remove_dir_all(leftover);
        std::process::exit(0);
    });
    let node = builder(name, folder).start().await?;
    actors::register(&node)?;
    println!("{}", node.listening_on().first().ok_or("a node of the story listens")?);
    // Ctrl-C reaches every process of a terminal; only the storyteller decides.
    loop {
        tokio::signal::ctrl_c().await?;
    }
}
