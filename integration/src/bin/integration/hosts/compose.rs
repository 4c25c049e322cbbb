//! The Compose file of a cluster. `docker/compose.yaml` says what every node is; what differs from node to node is written here.

use std::fmt::Write;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use farcall::Driver;
use nix::unistd::{Gid, Uid};

use super::docker::address;
use crate::fault::{Fault, Result, failed};
use crate::plan::{Family, Places, Plan};
use crate::shell::{self, run};

/// The user of the image.
pub(crate) const IMAGE_USER: u32 = 10_001;

/// How many networks are tried until one is free.
const TRIES: u16 = 8;

/// A cluster as Compose sees it.
pub(crate) struct Compose {
    pub(crate) plan: Plan,
    image: String,
    /// Which of our networks.
    network: u16,
    /// How often each node has moved.
    lives: Vec<u16>,
}

impl Compose {
    pub(crate) fn new(plan: Plan, image: &str) -> Self {
        // Clusters that run side by side begin to look at different places.
        let network =
            plan.project.bytes().fold(7_u16, |sum, byte| sum.wrapping_mul(31).wrapping_add(u16::from(byte)));
        let lives = vec![0; plan.nodes + 1];
        Self { image: image.to_owned(), plan, network, lives }
    }

    pub(crate) fn container(&self, node: usize) -> String {
        format!("{}-{}", self.plan.project, self.plan.host(node))
    }

    pub(crate) fn network(&self) -> String {
        format!("{}-net", self.plan.project)
    }

    pub(crate) fn address(&self, node: usize) -> IpAddr {
        self.address_of(self.plan.family, node)
    }

    fn address_of(&self, family: Family, node: usize) -> IpAddr {
        address(family, self.network, node, self.lives.get(node).copied().unwrap_or(0))
    }

    /// From the next time it is connected, a node has another address.
    pub(crate) fn readdress(&mut self, node: usize) {
        if let Some(life) = self.lives.get_mut(node) {
            *life = (*life + 1) % 5;
        }
    }

    fn file(&self) -> PathBuf {
        self.plan.folder.join("compose.yaml")
    }

    /// Makes the network and the containers; nothing runs yet.
    pub(crate) fn create(&mut self) -> Result<()> {
        let mut last = Fault::Failed("never tried".to_owned());
        for _ in 0..TRIES {
            fs::write(self.file(), self.text()?)?;
            match self.compose(&["up", "--no-start"]) {
                Ok(_) => return Ok(()),
                // Another network has these addresses.
                Err(Fault::Failed(why)) if why.to_lowercase().contains("overlap") => {
                    last = Fault::Failed(why);
                    self.remove()?;
                    self.network = self.network.wrapping_add(1);
                }
                Err(fault) => return Err(fault),
            }
        }
        Err(last)
    }

    /// Starts all nodes but the twin, which stays as it is: in the background, until somebody removes them.
    pub(crate) fn up(&self) -> Result<()> {
        let mut words = vec!["up", "-d"];
        let hosts: Vec<String> = (0..self.plan.nodes).map(|node| self.plan.host(node)).collect();
        words.extend(hosts.iter().map(String::as_str));
        self.compose(&words).map(drop)
    }

    pub(crate) fn remove(&self) -> Result<()> {
        remove(&self.plan.project, &self.file())
    }

    fn compose(&self, words: &[&str]) -> Result<String> {
        compose(&self.plan.project, &self.file(), words)
    }

    fn text(&self) -> Result<String> {
        let base = base_file()?;
        let plan = &self.plan;
        let mut text = format!(
            "# Written by `integration`; what every node is stands in {}.\nservices:\n",
            base.display()
        );
        for node in 0..=plan.nodes {
            self.service(&base, node, &mut text);
        }
        let v4 = address(Family::V4, self.network, 0, 0).to_string();
        let v4 = v4.rsplit_once('.').map_or("", |(net, _)| net);
        let v6 = format!("fd66:fa2c:{:x}::", self.network);
        let name = self.network();
        let _ = write!(
            text,
            "networks:\n  cluster:\n    name: {name}\n    driver: bridge\n    enable_ipv6: true\n    ipam:\n      config:\n        \
             - subnet: {v4}.0/24\n        - subnet: \"{v6}/64\"\n\
             secrets:\n  cookie:\n    file: {}\n",
            plan.cookie_file().display()
        );
        Ok(text)
    }

    fn service(&self, base: &Path, node: usize, text: &mut String) {
        let (plan, base) = (&self.plan, base.display());
        let (host, container, image) = (plan.host(node), self.container(node), &self.image);
        let user = match Uid::effective().is_root() {
            true => format!("{IMAGE_USER}:{IMAGE_USER}"),
            false => format!("{}:{}", Uid::effective(), Gid::effective()),
        };
        let places = Places {
            folder: "/run/farcall".to_owned(),
            cookie: "/run/secrets/cookie".to_owned(),
            tls: "/run/tls".to_owned(),
        };
        let _ = write!(
            text,
            "  {host}:\n    extends:\n      file: {base}\n      service: node\n    image: {image}\n    \
             container_name: {container}\n    hostname: {host}\n    user: \"{user}\"\n    environment:\n"
        );
        for (name, value) in plan.settings(node, &places) {
            let _ = writeln!(text, "      {name}: \"{value}\"");
        }
        let folder = plan.node_folder(node);
        let _ = write!(text, "    volumes:\n      - {}:/run/farcall\n", folder.display());
        if plan.driver == Driver::Tls {
            // The authority's key stays outside.
            let (tls, name) = (plan.tls_folder(), plan.name(node));
            let health = format!("health@{host}");
            let own = [format!("{name}.pem"), format!("{name}-key.pem")];
            let of_health = [format!("{health}.pem"), format!("{health}-key.pem")];
            let of_health = if node == plan.nodes { [].as_slice() } else { &of_health };
            for file in own.iter().chain(of_health).map(String::as_str).chain(["ca.pem", "crl.pem"]) {
                let _ = writeln!(text, "      - {}:/run/tls/{file}:ro", tls.join(file).display());
            }
        }
        let (v4, v6) = (self.address_of(Family::V4, node), self.address_of(Family::V6, node));
        let _ = write!(
            text,
            "    secrets:\n      - cookie\n    networks:\n      cluster:\n        ipv4_address: {v4}\n        \
             ipv6_address: \"{v6}\"\n"
        );
    }
}

/// What every node is.
fn base_file() -> Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_owned).unwrap_or_default();
    // Where it was built, or where it is run.
    for folder in [root, PathBuf::from(".")] {
        if let Ok(path) = folder.join("docker/compose.yaml").canonicalize() {
            return Ok(path);
        }
    }
    failed("docker/compose.yaml is not here: run this in the folder of farcall's sources")
}

/// Removes containers and the network, whatever state they are in.
pub(crate) fn remove(project: &str, file: &Path) -> Result<()> {
    if !file.exists() {
        return Ok(());
    }
    compose(project, file, &["down", "--timeout", "12", "--remove-orphans", "--volumes"]).map(drop)
}

/// Runs Compose, whichever of its two forms is here.
pub(crate) fn compose(project: &str, file: &Path, words: &[&str]) -> Result<String> {
    let mut command = if run("docker", &["compose", "version"]).is_ok() {
        let mut command = Command::new("docker");
        command.arg("compose");
        command
    } else if shell::is_there("docker-compose") {
        Command::new("docker-compose")
    } else {
        return failed("there is neither `docker compose` nor `docker-compose` here");
    };
    command.args(["-p", project, "-f"]).arg(file).args(words);
    shell::output(&mut command)
}
