//! What is wrong with certificates, keys and lists of authorities, said so that the next attempt succeeds.

use std::io;
use std::path::PathBuf;

use farcall_proto::identity::CertificateNames;
use farcall_proto::peer::NodeName;
use thiserror::Error;

/// Why TLS cannot be used, or not with these files. Texts name the setting and the file, and never a key.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A setting is needed and not there.
    #[error("{key} is not set, and {why}; `farcall cert` makes what is needed")]
    Missing {
        /// The setting.
        key: &'static str,
        /// What needs it.
        why: &'static str,
    },
    /// A file cannot be read.
    #[error("{source_name} cannot be read: {reason}")]
    Unreadable {
        /// The setting and the file.
        source_name: String,
        /// What the system said.
        #[source]
        reason: io::Error,
    },
    /// A file is larger than any of its kind.
    #[error("{source_name} is larger than the limit of 1 MiB")]
    TooLarge {
        /// The setting and the file.
        source_name: String,
    },
    /// Everybody can use the key, so it may be known already.
    #[error(
        "tls.key: {} has mode {mode:04o}, so others can use it: chmod 600 {}, and make a new key if they may have read \
         this one", path.display(), path.display()
    )]
    KeyOpen {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// There is nothing in it of what should be there.
    #[error("{source_name} holds no {what} in PEM form")]
    Empty {
        /// The setting and the file.
        source_name: String,
        /// What should be there.
        what: &'static str,
    },
    /// What is there does not read.
    #[error("{source_name} holds a {what} that does not read: {reason}")]
    Malformed {
        /// The setting and the file.
        source_name: String,
        /// What it should be.
        what: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// Certificate and key are not of one pair.
    #[error(
        "{key_name} does not belong to {source_name}: they were made at different times, or two files were mixed up"
    )]
    KeyMismatch {
        /// The setting and the file of the key.
        key_name: String,
        /// The setting and the file of the certificate.
        source_name: String,
    },
    /// The certificate is over or has not begun.
    #[error("{source_name} {what}; `farcall cert node` makes a new certificate")]
    NotNow {
        /// The setting and the file.
        source_name: String,
        /// When it ended or begins.
        what: String,
    },
    /// The certificate is for somebody else.
    #[error(
        "this node is {node}, and {source_name} is for {names}: no peer would believe it; `farcall cert node {node}` \
         makes one"
    )]
    WrongName {
        /// The setting and the file.
        source_name: String,
        /// This node.
        node: NodeName,
        /// Whom the certificate names.
        names: CertificateNames,
    },
    /// The TLS library does not take it.
    #[error("TLS cannot be set up: {0}")]
    Setup(#[from] rustls::Error),
    /// There are no files to be read again.
    #[error("this node has no TLS files to read again: it {0}")]
    NoFiles(&'static str),
}
