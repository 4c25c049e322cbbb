//! What is wrong with a configuration, said so that the next attempt succeeds.

use std::fmt;
use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Why a configuration is not used. Nothing of it took effect.
///
/// Errors name the key, the value and what is allowed. They never show text from behind an unknown key, and no lines
/// of the file, because a secret may stand there by mistake.
#[derive(Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        reason: io::Error,
    },
    /// The file is larger than [`Config::FILE_BYTES_MAX`](super::Config::FILE_BYTES_MAX).
    #[error("the configuration {} is larger than the limit of 1 MiB", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The text is no TOML.
    #[error("{origin}, line {line}: {reason}")]
    Syntax {
        /// Where the text came from.
        origin: Origin,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no such key.
    #[error("{origin}: unknown key {key:?}{}", did_you_mean(near))]
    UnknownKey {
        /// Where it was found.
        origin: Origin,
        /// The key, cut after 64 characters.
        key: String,
        /// Keys that look like it.
        near: Vec<&'static str>,
    },
    /// There is no such variable, though its name begins with `FARCALL_`.
    #[error("unknown environment variable {name}{}", did_you_mean(near))]
    UnknownVariable {
        /// The variable, cut after 64 characters.
        name: String,
        /// Variables that look like it.
        near: Vec<String>,
    },
    /// A secret was put where a configuration is read.
    #[error(
        "{origin}: {key} is a secret and is never part of a configuration; write it to a file that only its owner can \
         read, and name that file with cookie_file"
    )]
    Secret {
        /// Where it was found.
        origin: Origin,
        /// The key or variable; never its value.
        key: String,
    },
    /// A value is of the wrong kind.
    #[error("{origin}: {key}: {reason}")]
    Value {
        /// Where it was found.
        origin: Origin,
        /// The key.
        key: String,
        /// What is wrong with the value.
        reason: String,
    },
    /// A value is not allowed, alone or beside another one.
    #[error("{key} = {value} is not allowed: {allowed}")]
    NotAllowed {
        /// The key.
        key: &'static str,
        /// The value.
        value: String,
        /// What is allowed.
        allowed: String,
    },
}

impl fmt::Debug for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Where a setting came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A text given by the application.
    Text,
    /// A file.
    File(PathBuf),
    /// An environment variable.
    Variable(String),
    /// File and environment together.
    Whole,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text => f.write_str("configuration"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::Whole => f.write_str("file and environment together"),
        }
    }
}

fn did_you_mean(near: &[impl AsRef<str>]) -> String {
    match near.iter().map(AsRef::as_ref).collect::<Vec<_>>() {
        near if near.is_empty() => String::new(),
        near => format!("; did you mean {}?", near.join(" or ")),
    }
}
