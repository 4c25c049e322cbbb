//! The shared secrets of a cluster: one cookie to prove with, up to three more to accept during a rotation.
//!
//! Secrets are wiped from memory on drop, never printed, and named in logs by their [`KeyId`].

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use thiserror::Error;
use zeroize::Zeroizing;

/// A secret that the nodes of a cluster share.
///
/// The bytes are used as they are: a text cookie is its text. Cloning copies the secret; each copy is wiped.
#[derive(Clone)]
pub struct Cookie(Zeroizing<Box<[u8]>>);

impl Cookie {
    /// The shortest cookie, in bytes.
    pub const BYTES_MIN: usize = 16;
    /// The longest cookie, in bytes.
    pub const BYTES_MAX: usize = 1024;

    /// A cookie of these bytes, which are copied; wiping the original is the caller's part.
    ///
    /// # Errors
    /// [`CookieError`] if there are fewer than [`Self::BYTES_MIN`] or more than [`Self::BYTES_MAX`].
    pub fn new(bytes: &[u8]) -> Result<Self, CookieError> {
        match bytes.len() {
            0..Self::BYTES_MIN => Err(CookieError::TooShort { bytes: bytes.len() }),
            Self::BYTES_MIN..=Self::BYTES_MAX => Ok(Self(Zeroizing::new(bytes.into()))),
            _ => Err(CookieError::TooLong { bytes: bytes.len() }),
        }
    }

    /// The name of this cookie in logs: the first four bytes of its HMAC over `id`.
    pub fn key_id(&self) -> KeyId {
        let mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        let [a, b, c, d, ..] = mac.chain_update(b"id").finalize().into_bytes().0;
        KeyId([a, b, c, d])
    }

    /// The secret itself, for key derivation only.
    pub(crate) fn secret(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cookie({})", self.key_id())
    }
}

/// Names a cookie without telling it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId([u8; 4]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", u32::from_be_bytes(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why bytes are no cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CookieError {
    /// A short secret can be found by trying.
    #[error("cookie of {bytes} bytes is shorter than the minimum of {}", Cookie::BYTES_MIN)]
    TooShort {
        /// Its length.
        bytes: usize,
    },
    /// More likely the wrong file than a secret.
    #[error("cookie of {bytes} bytes is longer than the limit of {}", Cookie::BYTES_MAX)]
    TooLong {
        /// Its length.
        bytes: usize,
    },
}

/// The cookie this node proves itself with, and those it accepts from others.
///
/// A rotation without a lost link takes three rounds through the cluster: accept the new cookie everywhere, make it
/// the primary one everywhere (still accepting the old), drop the old.
#[derive(Debug, Clone)]
pub struct Keyring {
    primary: Cookie,
    accepted: Vec<Cookie>,
}

impl Keyring {
    /// How many cookies a keyring holds at most; each one costs a stranger's handshake a few microseconds.
    pub const COOKIES_MAX: usize = 4;

    /// A keyring of one cookie.
    pub fn new(primary: Cookie) -> Self {
        Self { primary, accepted: Vec::new() }
    }

    /// The same keyring, accepting this cookie too.
    ///
    /// # Errors
    /// [`KeyringError`] if it holds [`Self::COOKIES_MAX`] already.
    pub fn accepting(mut self, cookie: Cookie) -> Result<Self, KeyringError> {
        if self.cookies().count() >= Self::COOKIES_MAX {
            return Err(KeyringError);
        }
        self.accepted.push(cookie);
        Ok(self)
    }

    /// The cookie this node proves itself with.
    pub fn primary(&self) -> &Cookie {
        &self.primary
    }

    /// Every cookie it accepts, the primary one first.
    pub fn cookies(&self) -> impl Iterator<Item = &Cookie> {
        std::iter::once(&self.primary).chain(&self.accepted)
    }
}

/// One cookie too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("more than {} cookies: a rotation needs two", Keyring::COOKIES_MAX)]
pub struct KeyringError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_printed_by_its_id_only() {
        let ring = Keyring::new(Cookie::new(b"correct horse battery staple").unwrap());
        let text = format!("{ring:?} {:?}", ring.primary());
        assert!(!text.contains("horse") && !text.contains("99, 111"), "{text}");
        assert!(text.contains(&ring.primary().key_id().to_string()), "{text}");
    }

    #[test]
    fn a_cookie_has_at_least_16_bytes_and_at_most_1024() {
        assert_eq!(Cookie::new(&[7; 15]).unwrap_err(), CookieError::TooShort { bytes: 15 });
        assert!(Cookie::new(&[7; 16]).is_ok());
        assert!(Cookie::new(&[7; 1024]).is_ok());
        assert_eq!(Cookie::new(&[7; 1025]).unwrap_err(), CookieError::TooLong { bytes: 1025 });
    }

    #[test]
    fn a_fifth_cookie_is_refused() {
        let cookie = |n| Cookie::new(&[n; 16]).unwrap();
        let mut ring = Keyring::new(cookie(0));
        for n in 1..4 {
            ring = ring.accepting(cookie(n)).unwrap();
        }
        assert_eq!(ring.accepting(cookie(4)).unwrap_err(), KeyringError);
    }
}
