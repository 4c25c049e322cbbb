//! How a farcall node registers at the mapper of another: four messages on one connection, which stays open then.
//!
//! ```text
//! node                      mapper
//! Hello       F 1           ─────▶
//!             ◀─────        Challenge   C nonce
//! Register    R what proof  ─────▶
//!             ◀─────        Answer      A ok | taken by | full | not proved
//! ```
//! In place of `Register` a process of another host may ask for all names, with a proof of its own:
//!
//! ```text
//! List        L proof        ─────▶
//!             ◀─────        the names in epmd's form, and the end; nothing if it was not proved
//! ```
//! Each is framed as a request of epmd's, so that both are spoken on one port; an epmd that gets a `Hello` hangs up.
//! What is proved is that the node belongs to this host and user, which the mapper sees at a Unix socket, or that it has a
//! cookie: HMAC-SHA-256 over the mapper's nonce and the whole registration. The mapper proves nothing: whoever lies about
//! ports is found out in the handshake of the nodes.

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use thiserror::Error;
use zeroize::Zeroizing;

use super::epmd::{EpmdError, Fields, framed};
use super::{Mark, Name, Presence, RegisterRefused};
use crate::link::handshake::{Cookie, Keyring};

const HELLO: u8 = b'F';
const CHALLENGE: u8 = b'C';
const REGISTER: u8 = b'R';
const LIST: u8 = b'L';
const ANSWER: u8 = b'A';
const VERSION: u8 = 1;

const NONCE_BYTES: usize = 32;
const PROOF_BYTES: usize = 32;
/// A proof belongs to this dialogue and to nothing else that a cookie is used for.
const KEY_INFO: &[u8] = b"farcall port mapper";
/// A proof for a list is none for a registration.
const LIST_KEY_INFO: &[u8] = b"farcall port mapper list";

/// Bytes that are not what the dialogue waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DialogueError {
    /// Another message, or none.
    #[error("unexpected message")]
    Unexpected,
    /// A version that this release does not speak.
    #[error("version {0} of the dialogue is not spoken here")]
    Version(u8),
    /// A field is not what it should be.
    #[error(transparent)]
    Field(#[from] EpmdError),
}

/// The first message of the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hello;

impl Hello {
    /// Whether a request on the mapper's port begins this dialogue, and not one of epmd's.
    pub fn is_it(request: &[u8]) -> bool {
        request.first() == Some(&HELLO)
    }

    /// With its length.
    pub fn encode() -> Vec<u8> {
        framed(&[HELLO, VERSION])
    }

    /// Reads it, without its length.
    ///
    /// # Errors
    /// [`DialogueError`]: it is none.
    pub fn decode(bytes: &[u8]) -> Result<Self, DialogueError> {
        match bytes {
            [HELLO, VERSION] => Ok(Self),
            [HELLO, version, ..] => Err(DialogueError::Version(*version)),
            _ => Err(DialogueError::Unexpected),
        }
    }
}

/// The mapper's answer: what a proof has to cover.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Challenge {
    /// Fresh for each connection.
    pub nonce: [u8; NONCE_BYTES],
}

impl Challenge {
    /// With its length.
    pub fn encode(&self) -> Vec<u8> {
        framed(&[&[CHALLENGE][..], &self.nonce].concat())
    }

    /// Reads it, without its length.
    ///
    /// # Errors
    /// [`DialogueError`]: it is none.
    pub fn decode(bytes: &[u8]) -> Result<Self, DialogueError> {
        match bytes.split_first() {
            Some((&CHALLENGE, nonce)) => {
                nonce.try_into().map(|nonce| Self { nonce }).map_err(|_| DialogueError::Unexpected)
            }
            _ => Err(DialogueError::Unexpected),
        }
    }
}

/// What a node wants to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The name.
    pub name: Name,
    /// Where it listens.
    pub presence: Presence,
}

impl Wanted {
    fn encode(&self) -> Vec<u8> {
        let Presence { port, mark } = self.presence;
        let name = self.name.as_str().as_bytes();
        let length = [u8::try_from(name.len()).expect("a name has at most 255 bytes")];
        [&[REGISTER][..], &encode_presence(port, mark), &length, name].concat()
    }
}

fn encode_presence(port: u16, mark: Mark) -> [u8; 7] {
    let ([a, b], [c, d, e, f]) = (port.to_be_bytes(), mark.pid.to_be_bytes());
    [a, b, u8::from(mark.tls), c, d, e, f]
}

fn decode_presence(fields: &mut Fields<'_>) -> Result<Presence, DialogueError> {
    let [a, b, tls, c, d, e, f] = fields.array()?;
    let (port, pid) = (u16::from_be_bytes([a, b]), u32::from_be_bytes([c, d, e, f]));
    match (port, tls) {
        (1.., 0 | 1) => Ok(Presence { port, mark: Mark { tls: tls == 1, pid } }),
        _ => Err(DialogueError::Unexpected),
    }
}

/// The registration, with the proof if there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Register {
    wanted: Wanted,
    proof: Option<[u8; PROOF_BYTES]>,
}

/// Whose connection it is, as far as the system says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// A process of this host, of the mapper's user or of root: seen at a Unix socket.
    Ours,
    /// Anybody.
    Unknown,
}

/// A registration that may be carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven(pub Wanted);

impl Register {
    /// A registration, with a proof by the first of these cookies; a node without cookies has to be seen as
    /// [`Owner::Ours`].
    pub fn new(wanted: Wanted, challenge: Challenge, cookies: Option<(&Keyring, &str)>) -> Self {
        let proof = cookies.map(|(keyring, cluster)| {
            mac(keyring.primary(), cluster, challenge, &wanted).finalize().into_bytes().0
        });
        Self { wanted, proof }
    }

    /// With its length.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.wanted.encode();
        bytes.extend(self.proof.iter().flatten());
        framed(&bytes)
    }

    /// Reads it, without its length.
    ///
    /// # Errors
    /// [`DialogueError`]: it is none.
    pub fn decode(bytes: &[u8]) -> Result<Self, DialogueError> {
        let mut fields = Fields(bytes);
        if fields.array()? != [REGISTER] {
            return Err(DialogueError::Unexpected);
        }
        let presence = decode_presence(&mut fields)?;
        let [length] = fields.array()?;
        let name = Name::parse(fields.take(length.into())?).map_err(|_| EpmdError::Name)?;
        let proof = match fields.0.is_empty() {
            true => None,
            false => Some(fields.array()?),
        };
        match fields.0.is_empty() {
            true => Ok(Self { wanted: Wanted { name, presence }, proof }),
            false => Err(DialogueError::Unexpected),
        }
    }

    /// The registration, if its node is one of this host and user or proves any of these cookies; takes the same time
    /// whichever byte of the proof differs.
    pub fn check(
        self,
        owner: Owner,
        challenge: Challenge,
        cookies: Option<(&Keyring, &str)>,
    ) -> Option<Proven> {
        let proves = |proof: &[u8; PROOF_BYTES]| {
            let (keyring, cluster) = cookies?;
            let mut macs = keyring.cookies().map(|cookie| mac(cookie, cluster, challenge, &self.wanted));
            macs.any(|mac| mac.verify_slice(proof).is_ok()).then_some(())
        };
        match owner == Owner::Ours || self.proof.as_ref().and_then(proves).is_some() {
            true => Some(Proven(self.wanted)),
            false => None,
        }
    }
}

fn mac(cookie: &Cookie, cluster: &str, challenge: Challenge, wanted: &Wanted) -> Hmac<Sha256> {
    keyed(cookie, cluster, KEY_INFO).chain_update(challenge.nonce).chain_update(wanted.encode())
}

fn keyed(cookie: &Cookie, cluster: &str, info: &[u8]) -> Hmac<Sha256> {
    let mut key = Zeroizing::new([0; 32]);
    let hkdf = Hkdf::<Sha256>::new(Some(cluster.as_bytes()), cookie.secret());
    hkdf.expand(info, key.as_mut_slice()).expect("32 bytes are one block of HKDF");
    Hmac::<Sha256>::new_from_slice(key.as_slice()).expect("HMAC takes keys of any length")
}

/// A request for all names, with the proof of a cookie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List {
    proof: [u8; PROOF_BYTES],
}

impl List {
    /// Whether what follows the challenge is this, and not a registration.
    pub fn is_it(bytes: &[u8]) -> bool {
        bytes.first() == Some(&LIST)
    }

    /// With a proof by the first of these cookies.
    pub fn new(challenge: Challenge, keyring: &Keyring, cluster: &str) -> Self {
        let mac = keyed(keyring.primary(), cluster, LIST_KEY_INFO).chain_update(challenge.nonce);
        Self { proof: mac.finalize().into_bytes().0 }
    }

    /// With its length.
    pub fn encode(&self) -> Vec<u8> {
        framed(&[&[LIST][..], &self.proof].concat())
    }

    /// Reads it, without its length.
    ///
    /// # Errors
    /// [`DialogueError`]: it is none.
    pub fn decode(bytes: &[u8]) -> Result<Self, DialogueError> {
        match bytes.split_first() {
            Some((&LIST, proof)) => {
                proof.try_into().map(|proof| Self { proof }).map_err(|_| DialogueError::Unexpected)
            }
            _ => Err(DialogueError::Unexpected),
        }
    }

    /// Whether it proves any of these cookies; takes the same time whichever byte of the proof differs.
    pub fn is_proved(&self, challenge: Challenge, keyring: &Keyring, cluster: &str) -> bool {
        let mut macs = keyring
            .cookies()
            .map(|cookie| keyed(cookie, cluster, LIST_KEY_INFO).chain_update(challenge.nonce));
        macs.any(|mac| mac.verify_slice(&self.proof).is_ok())
    }
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The name is held as long as the connection.
    Held,
    /// It is not held; nothing has changed.
    Refused(RegisterRefused),
    /// It is not held: the mapper is another user's, and the cookie was not proved.
    NotProved,
}

impl Answer {
    /// With its length.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Held => framed(&[ANSWER, 0]),
            Self::Refused(RegisterRefused::Taken(by)) => {
                framed(&[&[ANSWER, 1][..], &encode_presence(by.port, by.mark)].concat())
            }
            Self::Refused(RegisterRefused::Full) => framed(&[ANSWER, 2]),
            Self::NotProved => framed(&[ANSWER, 3]),
        }
    }

    /// Reads it, without its length.
    ///
    /// # Errors
    /// [`DialogueError`]: it is none.
    pub fn decode(bytes: &[u8]) -> Result<Self, DialogueError> {
        match bytes {
            [ANSWER, 0] => Ok(Self::Held),
            [ANSWER, 1, by @ ..] if by.len() == 7 => {
                Ok(Self::Refused(RegisterRefused::Taken(decode_presence(&mut Fields(by))?)))
            }
            [ANSWER, 2] => Ok(Self::Refused(RegisterRefused::Full)),
            [ANSWER, 3] => Ok(Self::NotProved),
            _ => Err(DialogueError::Unexpected),
        }
    }
}
