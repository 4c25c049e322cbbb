//! The folder of an authority: which file is where, and how a node's name becomes the name of a file.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use farcall::{CookieFile, NodeName};
use sha2::{Digest, Sha256};

use super::args::Folder;
use super::pem::hex;
use super::wrong;
use crate::report::Report;

/// The folder of an authority, with an absolute path: settings that name files in it hold wherever a node starts.
#[derive(Debug)]
pub(crate) struct Place {
    folder: PathBuf,
    /// The options that name it, for commands that a person is told to type.
    pub(crate) options: String,
}

impl Place {
    pub(crate) fn find(folder: &Folder) -> Result<Self, Report> {
        let (folder, options) = match &folder.dir {
            Some(dir) => (dir.clone(), format!(" --dir {}", dir.display())),
            None => {
                let cookie = CookieFile::default_path().map_err(|_| {
                    let what = "no place for certificates: none of FARCALL_COOKIE_FILE, XDG_CONFIG_HOME and HOME is set";
                    Report::here("certificate", what, "name a folder with --dir")
                })?;
                (cookie.with_file_name("tls"), String::new())
            }
        };
        let absolute = std::path::absolute(&folder).map_err(|error| {
            wrong(&folder, format!("cannot be made absolute: {error}"), "name another --dir")
        })?;
        // It goes into settings and documents, which are text.
        if absolute.to_str().is_none() {
            return Err(wrong(&absolute, "the name is not UTF-8", "name another --dir"));
        }
        Ok(Self { folder: absolute, options })
    }

    /// Makes the folder, for nobody else, if it is not there.
    pub(crate) fn make(&self) -> Result<(), Report> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&self.folder);
        made.map_err(|error| {
            wrong(&self.folder, format!("the folder cannot be made: {error}"), "name another --dir")
        })
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn authority(&self) -> PathBuf {
        self.folder.join(AUTHORITY)
    }

    pub(crate) fn authority_key(&self) -> PathBuf {
        self.folder.join("ca-key.pem")
    }

    pub(crate) fn revocations(&self) -> PathBuf {
        self.folder.join(REVOCATIONS)
    }

    /// Whether there is a list of revoked certificates.
    pub(crate) fn has_revocations(&self) -> bool {
        fs::exists(self.revocations()).unwrap_or(false)
    }

    pub(crate) fn certificate(&self, node: &NodeName) -> PathBuf {
        self.folder.join(certificate_file(node))
    }

    pub(crate) fn key(&self, node: &NodeName) -> PathBuf {
        self.folder.join(format!("{}{KEY}.pem", file_name(node)))
    }
}

/// What this command calls the file of a node's certificate.
pub(crate) fn certificate_file(node: &NodeName) -> String {
    format!("{}.pem", file_name(node))
}

/// Where this command puts the key of a certificate: `beta-key.pem` beside `beta.pem`.
pub(crate) fn key_beside(certificate: &Path) -> PathBuf {
    let mut name = certificate.file_stem().unwrap_or_default().to_owned();
    name.push(format!("{KEY}.pem"));
    certificate.with_file_name(name)
}

/// Where this command puts the authority of a certificate.
pub(crate) fn authority_beside(certificate: &Path) -> PathBuf {
    certificate.with_file_name(AUTHORITY)
}

/// Where this command puts what that authority has revoked, if that is there.
pub(crate) fn revocations_beside(certificate: &Path) -> Option<PathBuf> {
    Some(certificate.with_file_name(REVOCATIONS)).filter(|path| path.exists())
}

const AUTHORITY: &str = "ca.pem";
const REVOCATIONS: &str = "crl.pem";
const KEY: &str = "-key";

/// The longest file name without its ending; file systems take 255 bytes.
const FILE_NAME_BYTES_MAX: usize = 200;

/// A node's name as the name of a file in this folder and no other: percent-encoded, except for what is harmless.
/// It begins neither as a hidden file nor as an option, and never ends as that of a key does. Names that become too
/// long are cut and end in a hash of the whole.
fn file_name(node: &NodeName) -> String {
    let mut name = String::new();
    for (index, byte) in node.as_str().bytes().enumerate() {
        let inside = byte.is_ascii_alphanumeric() || b"@:_~+".contains(&byte);
        let harmless = inside || (index > 0 && b".-".contains(&byte));
        match harmless {
            true => name.push(char::from(byte)),
            false => name.push_str(&format!("%{byte:02X}")),
        }
    }
    if let Some(before) = name.strip_suffix(KEY) {
        name = format!("{before}%2Dkey");
    }
    if name.len() > FILE_NAME_BYTES_MAX {
        let hash = hex(&Sha256::digest(node.as_str()));
        name.truncate(FILE_NAME_BYTES_MAX - 1 - hash.len());
        name = format!("{name}~{hash}");
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_in_its_folder_and_is_one_file() {
        for (name, expected) in [
            ("beta@10.0.0.2", "beta@10.0.0.2"),
            ("beta@[::1]:5370", "beta@%5B::1%5D:5370"),
            ("../../etc/x@h", "%2E./..%2Fetc%2Fx@h"),
            (".hidden@h", "%2Ehidden@h"),
            ("-rf@h", "%2Drf@h"),
            ("a%2F@h", "a%252F@h"),
            ("größe@h", "gr%C3%B6%C3%9Fe@h"),
            ("beta@h-key", "beta@h%2Dkey"),
        ] {
            let expected = expected.replace("./..", ".%2F..");
            assert_eq!(file_name(&name.parse().unwrap()), expected, "{name}");
        }
    }

    #[test]
    fn the_certificate_of_one_node_is_never_the_key_of_another() {
        let place = Place { folder: "/x".into(), options: String::new() };
        let (short, long): (NodeName, NodeName) = ("beta@h".parse().unwrap(), "beta@h-key".parse().unwrap());
        assert_ne!(place.key(&short), place.certificate(&long));
        assert_eq!(place.key(&long), key_beside(&place.certificate(&long)));
        assert_eq!(place.authority(), authority_beside(&place.certificate(&long)));
    }

    #[test]
    fn long_names_are_cut_and_stay_apart() {
        let name = |end: &str| format!("{}@{end}", "ä".repeat(100)).parse::<NodeName>().unwrap();
        let (one, two) = (file_name(&name("h1")), file_name(&name("h2")));
        assert_eq!((one.len(), two.len()), (FILE_NAME_BYTES_MAX, FILE_NAME_BYTES_MAX));
        assert_ne!(one, two);
    }
}
