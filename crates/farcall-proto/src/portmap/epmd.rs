//! What epmd says, as far as farcall speaks it: look-up, listing, and a node's own registration.
//!
//! ```text
//! ┌─────────┬─────┬──────┐
//! │ u16 len │ tag │ body │  a request; len counts tag and body; big-endian throughout
//! └─────────┴─────┴──────┘  an answer has no length: it says its own, or ends with the connection
//! ```
//! | tag | request | body | answer |
//! |---|---|---|---|
//! | `x` 120 | ALIVE2: a name is to be held as long as this connection | port, type, protocol, versions, name, extra | `y` 121, result, u16; or `v` 118, result, u32 |
//! | `z` 122 | PORT_PLEASE2: where is this name | name | `w` 119, result 1; or 0 and an entry as in ALIVE2 |
//! | `n` 110 | NAMES | nothing | u32 port of the mapper, then a line `name N at port P` for each |
//! | `d` 100, `k` 107, `s` 115 | DUMP, KILL, STOP | – | farcall refuses these |

use thiserror::Error;

use super::{Mark, Name, Presence};

/// The longest request that is read: a name and its extra, with room for what others put there.
pub const REQUEST_BYTES_MAX: usize = 2048;
/// The longest answer to a look-up.
pub const FOUND_BYTES_MAX: usize = 14 + 2 * u16::MAX as usize;
/// The longest list of names that is read: an epmd may know more than we would hold.
pub const NAMES_BYTES_MAX: usize = 1 << 20;

/// What we write of a name or an extra, neither of which is longer if it is ours.
const PART_BYTES_MAX: usize = 1024;

/// The bytes in front of a request.
pub const LENGTH_BYTES: usize = 2;

const ALIVE2: u8 = b'x';
const ALIVE2_ANSWER: u8 = b'y';
const ALIVE2_X_ANSWER: u8 = b'v';
const PORT_PLEASE2: u8 = b'z';
const PORT2_ANSWER: u8 = b'w';
const NAMES: u8 = b'n';

/// A hidden node: Erlang's tools list it, and its nodes are not to connect to it by themselves.
const HIDDEN: u8 = 72;
/// TCP.
const PROTOCOL: u8 = 0;
/// Versions of Erlang's distribution; a farcall node speaks none.
const VERSION: u16 = 0;

/// Bytes that are no request, or no answer, of epmd's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum EpmdError {
    /// A length beyond the limit, or none.
    #[error("a request has 1 to {REQUEST_BYTES_MAX} bytes, not {0}")]
    Length(usize),
    /// It ends in the middle, or goes on behind its end.
    #[error("the length of a field does not fit")]
    Cut,
    /// A tag that nobody defined.
    #[error("unknown tag {0}")]
    Tag(u8),
    /// The name is none.
    #[error("the name is no name")]
    Name,
    /// A line of a list cannot be read.
    #[error("a line of the list is no name at a port")]
    Line,
}

/// The length of the request behind this prefix.
///
/// # Errors
/// [`EpmdError::Length`] if it is beyond the limit: nothing needs to be allocated for it.
pub fn request_length(prefix: [u8; LENGTH_BYTES]) -> Result<usize, EpmdError> {
    match usize::from(u16::from_be_bytes(prefix)) {
        length @ 1..=REQUEST_BYTES_MAX => Ok(length),
        length => Err(EpmdError::Length(length)),
    }
}

/// Puts the length in front of a request.
pub fn framed(request: &[u8]) -> Vec<u8> {
    let length = u16::try_from(request.len()).expect("no message of ours is longer than 64 KiB");
    [&length.to_be_bytes(), request].concat()
}

/// What a mapper is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Hold this name.
    Alive2(Entry),
    /// Where is it?
    PortPlease2(Name),
    /// Who is there?
    Names,
    /// To dump its state, to end, or to forget a name: known, and refused.
    Refused(u8),
}

impl Request {
    /// Reads a request without its length.
    ///
    /// # Errors
    /// [`EpmdError`]: it is none.
    pub fn decode(bytes: &[u8]) -> Result<Self, EpmdError> {
        let (tag, body) = bytes.split_first().ok_or(EpmdError::Length(0))?;
        match *tag {
            ALIVE2 => Ok(Self::Alive2(Entry::decode(&mut Fields(body))?)),
            PORT_PLEASE2 => Name::parse(body).map(Self::PortPlease2).map_err(|_| EpmdError::Name),
            NAMES if body.is_empty() => Ok(Self::Names),
            NAMES => Err(EpmdError::Cut),
            b'd' | b'k' | b's' => Ok(Self::Refused(*tag)),
            tag => Err(EpmdError::Tag(tag)),
        }
    }

    /// The request with its length.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self {
            Self::Alive2(entry) => {
                bytes.push(ALIVE2);
                entry.encode(&mut bytes);
            }
            Self::PortPlease2(name) => {
                bytes.push(PORT_PLEASE2);
                bytes.extend(name.as_str().as_bytes());
            }
            Self::Names => bytes.push(NAMES),
            Self::Refused(tag) => bytes.push(*tag),
        }
        framed(&bytes)
    }
}

/// A node as a mapper has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name, without a host.
    pub name: Name,
    /// The port it listens on.
    pub port: u16,
    /// What it says of itself; see [`Mark`].
    pub extra: Vec<u8>,
}

impl Entry {
    /// A farcall node.
    pub fn new(name: Name, presence: Presence) -> Self {
        Self { name, port: presence.port, extra: presence.mark.to_extra() }
    }

    /// The mark of a farcall node.
    pub fn mark(&self) -> Option<Mark> {
        Mark::of_extra(&self.extra)
    }

    fn encode(&self, to: &mut Vec<u8>) {
        to.extend(self.port.to_be_bytes());
        to.extend([HIDDEN, PROTOCOL]);
        to.extend([VERSION.to_be_bytes(), VERSION.to_be_bytes()].concat());
        for part in [self.name.as_str().as_bytes(), &self.extra] {
            let part = part.get(..part.len().min(PART_BYTES_MAX)).unwrap_or_default();
            to.extend(u16::try_from(part.len()).expect("it was cut to 1 KiB").to_be_bytes());
            to.extend(part);
        }
    }

    /// Type, protocol and versions are Erlang's business.
    fn decode(fields: &mut Fields<'_>) -> Result<Self, EpmdError> {
        let port = fields.number()?;
        fields.take(6)?;
        let length = fields.number()?;
        let name = Name::parse(fields.take(length.into())?).map_err(|_| EpmdError::Name)?;
        let length = fields.number()?;
        let extra = fields.take(length.into())?.to_vec();
        // An old epmd puts a byte behind it.
        Ok(Self { name, port, extra })
    }
}

/// The answer to a look-up, which is all there is until the connection ends.
pub fn encode_found(found: Option<&Entry>) -> Vec<u8> {
    match found {
        None => vec![PORT2_ANSWER, 1],
        Some(entry) => {
            let mut bytes = vec![PORT2_ANSWER, 0];
            entry.encode(&mut bytes);
            bytes
        }
    }
}

/// Reads the answer to a look-up.
///
/// # Errors
/// [`EpmdError`]: it is none.
pub fn decode_found(bytes: &[u8]) -> Result<Option<Entry>, EpmdError> {
    let mut fields = Fields(bytes);
    match fields.take(2)? {
        [PORT2_ANSWER, 0] => Entry::decode(&mut fields).map(Some),
        [PORT2_ANSWER, _] => Ok(None),
        other => Err(EpmdError::Tag(other.first().copied().unwrap_or_default())),
    }
}

/// The answer to ALIVE2 of a mapper that refuses it.
pub fn encode_alive2_refused() -> Vec<u8> {
    vec![ALIVE2_ANSWER, 1, 0, 0]
}

/// How long the answer to ALIVE2 is that begins with this byte.
///
/// # Errors
/// [`EpmdError::Tag`]: no answer to ALIVE2 begins so.
pub fn alive2_answer_length(tag: u8) -> Result<usize, EpmdError> {
    match tag {
        ALIVE2_ANSWER => Ok(4),
        ALIVE2_X_ANSWER => Ok(6),
        tag => Err(EpmdError::Tag(tag)),
    }
}

/// Whether this answer to ALIVE2 says that the name is held now.
///
/// # Errors
/// [`EpmdError`]: it is no such answer.
pub fn decode_alive2_answer(bytes: &[u8]) -> Result<bool, EpmdError> {
    match bytes {
        [ALIVE2_ANSWER, result, _, _] | [ALIVE2_X_ANSWER, result, _, _, _, _] => Ok(*result == 0),
        [ALIVE2_ANSWER | ALIVE2_X_ANSWER, ..] | [] => Err(EpmdError::Cut),
        [tag, ..] => Err(EpmdError::Tag(*tag)),
    }
}

/// The list of names, as a mapper on this port gives it.
pub fn encode_names<'a>(mapper: u16, names: impl Iterator<Item = (&'a Name, u16)>) -> Vec<u8> {
    let mut bytes = u32::from(mapper).to_be_bytes().to_vec();
    for (name, port) in names {
        bytes.extend(format!("name {name} at port {port}\n").bytes());
    }
    bytes
}

/// Reads a list of names, in its order.
///
/// # Errors
/// [`EpmdError`]: it is none.
pub fn decode_names(bytes: &[u8]) -> Result<Vec<(Name, u16)>, EpmdError> {
    let mut fields = Fields(bytes);
    fields.take(4)?;
    let text = std::str::from_utf8(fields.0).map_err(|_| EpmdError::Line)?;
    let line = |line: &str| {
        let (name, port) = line.strip_prefix("name ")?.rsplit_once(" at port ")?;
        Some((Name::parse(name.as_bytes()).ok()?, port.parse().ok()?))
    };
    text.lines().map(|text| line(text).ok_or(EpmdError::Line)).collect()
}

/// What is left of a message.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], EpmdError> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(EpmdError::Cut)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], EpmdError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(EpmdError::Cut)?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(super) fn number(&mut self) -> Result<u16, EpmdError> {
        self.array().map(u16::from_be_bytes)
    }
}
