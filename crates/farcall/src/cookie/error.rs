//! Why there are no cookies: the file, what is wrong with it, and the remedy.

use std::io;
use std::path::PathBuf;

use farcall_proto::link::handshake::{CookieError, KeyringError};
use thiserror::Error;

/// Why there are no cookies. Every text names the file, and the remedy where there is one.
#[derive(Debug, Error)]
pub enum CookieFileError {
    /// No environment variable says where it is.
    #[error("no place for the cookie file: set FARCALL_COOKIE_FILE, XDG_CONFIG_HOME or HOME")]
    NoPlace,
    /// There is none to be read again.
    #[error("this node has no cookie file to read again: the program gave it its cookies, or it needs none")]
    NoFile,
    /// It is not there.
    #[error("cookie file {} does not exist", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// Whoever can change the link can choose the cookie.
    #[error("cookie file {} is a symbolic link: name the file itself", path.display())]
    Symlink {
        /// The file.
        path: PathBuf,
    },
    /// It is a directory, a pipe or a device.
    #[error("cookie file {} is not a regular file", path.display())]
    NotAFile {
        /// The file.
        path: PathBuf,
    },
    /// Its group or everybody can use it, so the cookie may be known already.
    #[error(
        "cookie file {} has mode {mode:04o}, so others can use it: chmod 600 {}, and have a new cookie made if \
         they may have read this one", path.display(), path.display()
    )]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Its owner could read and replace it.
    #[error(
        "cookie file {} (mode {mode:04o}) belongs to user {owner}, this process runs as {own}: chown {own} {}",
        path.display(), path.display()
    )]
    Owner {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// Who owns it.
        owner: u32,
        /// Who this process is.
        own: u32,
    },
    /// There is no cookie in it.
    #[error("cookie file {} is empty: remove it to have a new one made", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// It is too long to be a cookie file.
    #[error("cookie file {} is longer than {limit_bytes} bytes", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The most there may be.
        limit_bytes: usize,
    },
    /// A line of it is no cookie.
    #[error("cookie file {}, line {line}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        source: CookieError,
    },
    /// It has too many lines.
    #[error("cookie file {}", path.display())]
    TooMany {
        /// The file.
        path: PathBuf,
        /// How many there may be.
        source: KeyringError,
    },
    /// The system has no random bytes to give.
    #[error("no random bytes for a new cookie")]
    Random(#[source] getrandom::Error),
    /// The file system refused.
    #[error("cannot {doing} cookie file {}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
}
