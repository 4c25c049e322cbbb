//! A folder with the PEM files of one node, as an operator would lay them out.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use farcall::config::TlsConfig;

use crate::pki::{Authority, Identity, authority};

/// Gone when it is dropped.
pub struct PemFiles(PathBuf);

impl PemFiles {
    /// Empty.
    pub fn empty() -> Self {
        let mut number = [0; 8];
        getrandom::fill(&mut number).unwrap();
        let path = std::env::temp_dir().join(format!("farcall-tls-{:016x}", u64::from_le_bytes(number)));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// With what a node of this name needs that believes the authority of this run.
    pub fn of(node: &str) -> Self {
        let files = Self::empty();
        files.identity(&authority().identity(node));
        files.authorities(&[authority()]);
        files
    }

    pub fn folder(&self) -> &Path {
        &self.0
    }

    pub fn certificate(&self) -> PathBuf {
        self.0.join("node.pem")
    }

    pub fn key(&self) -> PathBuf {
        self.0.join("node-key.pem")
    }

    pub fn ca(&self) -> PathBuf {
        self.0.join("ca.pem")
    }

    pub fn crl(&self) -> PathBuf {
        self.0.join("crl.pem")
    }

    /// Replaces certificate and key.
    pub fn identity(&self, identity: &Identity) {
        self.put(&self.certificate(), &identity.certificate, 0o644);
        self.put(&self.key(), &identity.key, 0o600);
    }

    /// Replaces the authorities, all of them in one file.
    pub fn authorities(&self, authorities: &[&Authority]) {
        let pems: Vec<_> = authorities.iter().map(|authority| authority.pem()).collect();
        self.put(&self.ca(), &pems.concat(), 0o644);
    }

    /// Replaces the list of revoked certificates.
    pub fn revoked(&self, list: &str) {
        self.put(&self.crl(), list, 0o644);
    }

    /// A file with this mode, there at once as a whole.
    pub fn put(&self, path: &Path, text: &str, mode: u32) {
        let draft = self.0.join("draft");
        fs::write(&draft, text).unwrap();
        fs::set_permissions(&draft, Permissions::from_mode(mode)).unwrap();
        fs::rename(&draft, path).unwrap();
    }

    /// Settings that name certificate, key and authorities.
    pub fn name_in(&self, config: &mut TlsConfig) {
        config.certificate = Some(self.certificate());
        config.key = Some(self.key());
        config.ca = vec![self.ca()];
    }
}

impl Drop for PemFiles {
    fn drop(&mut self) {
        // Nothing depends on it.
        let _ = fs::remove_dir_all(&self.0);
    }
}
