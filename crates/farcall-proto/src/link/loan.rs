//! Large frames are read where they are put together, and so copied once less.

use bytes::Bytes;

use super::frame::{FLAG_ABORT, FLAG_FIRST, Kind};

/// Where the buffers come from that large frames are put together in, and how they are shared.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    /// Gives an empty buffer with room for so many bytes.
    pub take: fn(usize) -> Vec<u8>,
    /// Shares a full one.
    pub share: fn(Vec<u8>) -> Bytes,
}

impl Default for Memory {
    /// Fresh ones each time.
    fn default() -> Self {
        Self { take: Vec::with_capacity, share: Bytes::from }
    }
}

/// The place of what is missing of a fragment, lent to whoever reads the socket.
#[derive(Debug)]
pub struct Loan {
    pub(super) stream: u32,
    pub(super) data: Vec<u8>,
    pub(super) missing: usize,
}

impl Loan {
    /// Whether bytes that begin so, with no whole frame among them, may be worth a loan.
    pub fn is_worth_asking(bytes: &[u8]) -> bool {
        bytes.get(4) == Some(&(Kind::Fragment as u8))
    }

    /// What was put together so far; the bytes that are missing belong behind it.
    pub fn data(&mut self) -> &mut Vec<u8> {
        &mut self.data
    }

    /// How many bytes are missing.
    pub fn missing(&self) -> usize {
        self.missing
    }

    /// So many bytes were appended to [`Loan::data`].
    pub fn received(&mut self, bytes: usize) {
        self.missing = self.missing.saturating_sub(bytes);
    }
}

/// The head of a fragment whose data may still be on its way.
#[derive(Debug, Clone, Copy)]
pub(super) struct FragmentHead {
    /// What the frame says it is long, without the length itself.
    pub(super) len: usize,
    pub(super) stream: u32,
    pub(super) total: Option<u32>,
    /// How many bytes the head takes, the length included.
    pub(super) bytes: usize,
}

impl FragmentHead {
    /// The head at the front of `bytes`, if it is that of a fragment with data, and complete.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let (len, rest) = bytes.split_first_chunk()?;
        let ([kind, flags, _, _], rest) = rest.split_first_chunk()?;
        if *kind != Kind::Fragment as u8 || flags & FLAG_ABORT != 0 {
            return None;
        }
        let (stream, rest) = rest.split_first_chunk()?;
        let (total, rest) = if flags & FLAG_FIRST != 0 {
            let (total, rest) = rest.split_first_chunk()?;
            (Some(u32::from_le_bytes(*total)), rest)
        } else {
            (None, rest)
        };
        let (len, stream) = (u32::from_le_bytes(*len) as usize, u32::from_le_bytes(*stream));
        Some(Self { len, stream, total, bytes: bytes.len() - rest.len() })
    }
}
