//! What a cluster is made of: names, settings, certificates, the cookie.

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use farcall::{CookieFile, Driver};
use nix::unistd::{Gid, Uid, chown};

use crate::fault::{Fault, Result};
use crate::shell;

/// How long a peer may be silent, give or take a quarter (T and k of the fault catalogue).
pub(crate) const TICK: std::time::Duration = std::time::Duration::from_secs(4);

/// Which addresses nodes use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Family {
    V4,
    V6,
}

/// A cluster that is to be.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// What its containers, networks and folders are called.
    pub(crate) project: String,
    pub(crate) nodes: usize,
    pub(crate) driver: Driver,
    pub(crate) family: Family,
    /// Everything about it that stands on a disk.
    pub(crate) folder: PathBuf,
    /// Where `farcall` and `farcall-node` are.
    pub(crate) programs: PathBuf,
}

impl Plan {
    /// The name of a node, counted from 0. The one behind the last is another process that says it is n2.
    pub(crate) fn name(&self, node: usize) -> String {
        let host = if node == self.nodes { "n2".to_owned() } else { self.host(node) };
        format!("{host}@{host}")
    }

    /// The host name of a node.
    pub(crate) fn host(&self, node: usize) -> String {
        if node == self.nodes { "twin".to_owned() } else { format!("n{}", node + 1) }
    }

    /// The folder of a node: its journal, its socket.
    pub(crate) fn node_folder(&self, node: usize) -> PathBuf {
        self.folder.join(self.host(node))
    }

    pub(crate) fn cookie_file(&self) -> PathBuf {
        self.folder.join("cookie")
    }

    pub(crate) fn tls_folder(&self) -> PathBuf {
        self.folder.join("tls")
    }

    pub(crate) fn port(&self) -> u16 {
        if self.driver == Driver::Tls { 5370 } else { 5369 }
    }

    /// Makes folders, the cookie and certificates, and gives them to the user of the nodes if that is another one.
    pub(crate) fn prepare(&self, user: Option<u32>) -> Result<()> {
        fs::create_dir_all(&self.folder)?;
        fs::set_permissions(&self.folder, PermissionsExt::from_mode(0o755))?;
        for node in 0..=self.nodes {
            let folder = self.node_folder(node);
            fs::create_dir_all(&folder)?;
            // The node in a container may be another user than whoever runs this.
            fs::set_permissions(&folder, PermissionsExt::from_mode(0o777))?;
        }
        CookieFile::load_or_create(&self.cookie_file()).map_err(|error| Fault::Failed(error.to_string()))?;
        if self.driver == Driver::Tls {
            let farcall = self.programs.join("farcall");
            let (farcall, tls) = (farcall.to_string_lossy(), self.tls_folder());
            let folder = tls.to_string_lossy();
            shell::run(&farcall, &["cert", "ca", "--dir", &folder])?;
            for node in 0..self.nodes {
                let health = format!("health@{}", self.host(node));
                shell::run(&farcall, &["cert", "node", &self.name(node), &health, "--dir", &folder])?;
            }
        }
        if let Some(user) = user {
            hand_over(user, &self.cookie_file())?;
            for entry in fs::read_dir(self.tls_folder()).into_iter().flatten().flatten() {
                let path = entry.path();
                if !path.ends_with("ca-key.pem") {
                    hand_over(user, &path)?;
                }
            }
        }
        Ok(())
    }

    /// The settings of a node, whose files it finds in these places.
    pub(crate) fn settings(&self, node: usize, places: &Places) -> Vec<(String, String)> {
        let (name, driver) = (self.name(node), self.driver);
        let every = if self.family == Family::V4 { "0.0.0.0" } else { "[::]" };
        let peers: Vec<String> = (0..self.nodes).map(|node| self.name(node)).collect();
        let mut settings: Vec<(String, String)> = [
            ("FARCALL_NAME", name.clone()),
            ("FARCALL_CLUSTER", "farcall".to_owned()),
            ("FARCALL_COOKIE_FILE", places.cookie.clone()),
            ("FARCALL_DRIVER", driver.to_string()),
            ("FARCALL_TICK", format!("{}s", TICK.as_secs())),
            ("FARCALL_BACKOFF_MAX", "2s".to_owned()),
            ("FARCALL_DRAIN_TIMEOUT", "10s".to_owned()),
            // The allocator gives back what was freed: memory that stays is held by somebody, and C6 judges that.
            (
                "GLIBC_TUNABLES",
                "glibc.malloc.mmap_threshold=32768:glibc.malloc.trim_threshold=65536".to_owned(),
            ),
            ("INTEGRATION_PEERS", peers.join(",")),
            ("INTEGRATION_DIR", places.folder.clone()),
            ("RUST_LOG", std::env::var("RUST_LOG").unwrap_or_else(|_| "info".to_owned())),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        let listen = format!("FARCALL_{}_LISTEN", driver.as_str().to_uppercase());
        settings.push((listen, format!("{every}:{}", self.port())));
        let mut more = |name: &str, value: String| settings.push((name.to_owned(), value));
        if self.family == Family::V6 {
            more("FARCALL_TCP_V6_ONLY", "true".to_owned());
        }
        // `make cluster OBSERVE=1`: only Prometheus is on that network besides.
        if std::env::var_os("OBSERVE").is_some_and(|observe| observe == "1") {
            more("FARCALL_METRICS_LISTEN", format!("{every}:9464"));
        }
        match driver {
            Driver::Tcp => more("FARCALL_ALLOW_PLAINTEXT", "true".to_owned()),
            Driver::Tls => {
                let tls = &places.tls;
                more("FARCALL_TLS_CERTIFICATE", format!("{tls}/{name}.pem"));
                more("FARCALL_TLS_KEY", format!("{tls}/{name}-key.pem"));
                more("FARCALL_TLS_CA", format!("{tls}/ca.pem"));
                more("FARCALL_TLS_CRL", format!("{tls}/crl.pem"));
            }
        }
        settings
    }

    /// Every text that may stand in no log: the cookie and the keys.
    pub(crate) fn secrets(&self) -> Result<Vec<Vec<u8>>> {
        let cookie = fs::read(self.cookie_file())?;
        let cookie = cookie.trim_ascii().to_vec();
        let mut secrets =
            vec![crate::check::hex(&cookie).into_bytes(), crate::check::base64(&cookie), cookie];
        for entry in fs::read_dir(self.tls_folder()).into_iter().flatten().flatten() {
            if !entry.file_name().to_string_lossy().ends_with("-key.pem") {
                continue;
            }
            let text = fs::read_to_string(entry.path())?;
            secrets.extend(
                text.lines()
                    .filter(|line| !line.starts_with("-----") && line.len() >= 16)
                    .map(|line| line.as_bytes().to_vec()),
            );
        }
        Ok(secrets)
    }
}

fn hand_over(user: u32, path: &Path) -> Result<()> {
    Ok(chown(path, Some(Uid::from_raw(user)), Some(Gid::from_raw(user)))?)
}

/// Where a node finds its files.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    pub(crate) folder: String,
    pub(crate) cookie: String,
    pub(crate) tls: String,
}

/// An address as it stands in a file of addresses.
pub(crate) fn with_port(address: IpAddr, port: u16) -> String {
    std::net::SocketAddr::new(address, port).to_string()
}
