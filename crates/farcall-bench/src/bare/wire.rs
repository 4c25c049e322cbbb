//! Frames on a socket, both directions at once.
//!
//! ```text
//! len u32 | kind u8 | flags u8 | generation u16 | slot u32 | route u32 | payload of len bytes
//! ```
//! Reading goes on while writing waits: two programs that only write would stop each other for ever.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll};

use anyhow::{Result, bail};
use postcard::ser_flavors::Flavor;
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// What a payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A small message.
    Echo,
    /// A large one.
    Blob,
    /// One as applications have them.
    Record,
}

/// What stands before a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What the payload is.
    pub kind: Kind,
    /// Which use of the slot this is.
    pub generation: u16,
    /// Whose call this is.
    pub slot: u32,
}

impl Header {
    fn encode(self, len: u32) -> [u8; HEADER_BYTES] {
        let kind = self.kind as u8;
        let route = 0u32; // one target: the place of a field that a runtime needs
        let [l0, l1, l2, l3] = len.to_le_bytes();
        let [g0, g1] = self.generation.to_le_bytes();
        let [s0, s1, s2, s3] = self.slot.to_le_bytes();
        let [r0, r1, r2, r3] = route.to_le_bytes();
        [l0, l1, l2, l3, kind, 0, g0, g1, s0, s1, s2, s3, r0, r1, r2, r3]
    }

    fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<(Self, usize)> {
        let [l0, l1, l2, l3, kind, _flags, g0, g1, s0, s1, s2, s3, _route @ ..] = *bytes;
        let kind = match kind {
            0 => Kind::Echo,
            1 => Kind::Blob,
            2 => Kind::Record,
            other => bail!("no frame has kind {other}"),
        };
        let len = usize::try_from(u32::from_le_bytes([l0, l1, l2, l3]))?;
        if len > PAYLOAD_BYTES_MAX {
            bail!("a payload of {len} bytes is over the limit of {PAYLOAD_BYTES_MAX}");
        }
        let generation = u16::from_le_bytes([g0, g1]);
        Ok((Self { kind, generation, slot: u32::from_le_bytes([s0, s1, s2, s3]) }, len))
    }
}

/// Bytes received; frames are read in place.
pub struct Input {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Input {
    fn new() -> Self {
        Self { bytes: vec![0; 2 * READ_BYTES], start: 0, end: 0 }
    }

    /// Takes the next whole frame, if there is one.
    pub fn next(&mut self) -> Result<Option<(Header, &[u8])>> {
        let Some((header, len)) = self.header()? else { return Ok(None) };
        let payload = self.start + HEADER_BYTES;
        let frame_end = payload + len;
        if frame_end > self.end {
            return Ok(None);
        }
        self.start = frame_end;
        Ok(self.bytes.get(payload..frame_end).map(|payload| (header, payload)))
    }

    fn header(&self) -> Result<Option<(Header, usize)>> {
        let received = self.bytes.get(self.start..self.end).unwrap_or_default();
        received.first_chunk().map(Header::decode).transpose()
    }

    /// Where the next bytes go. A large frame gets room for exactly the rest of it, at the front of the buffer,
    /// so that it is read straight into its place; small ones are read by the chunk.
    fn room(&mut self) -> Result<&mut [u8]> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        let unread = self.end - self.start;
        let missing = self.header()?.map_or(0, |(_, len)| (HEADER_BYTES + len).saturating_sub(unread));
        let wanted = if missing > READ_BYTES { missing } else { READ_BYTES };
        if self.bytes.len() - self.end < wanted {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, unread);
            if self.bytes.len() < unread + wanted {
                self.bytes.resize(unread + wanted, 0);
            }
        }
        Ok(self.bytes.get_mut(self.end..self.end + wanted).unwrap_or_default())
    }

    fn received(&mut self, count: usize) {
        self.end += count;
    }
}

/// Frames that wait to be sent. A chunk takes frames until it is large, and is used again after it was sent:
/// small frames leave together in one write, a large one is never moved to make room for another.
pub struct Output {
    chunks: VecDeque<Vec<u8>>,
    sent: usize,
    waiting: usize,
    spare: Vec<Vec<u8>>,
}

impl Output {
    fn new() -> Self {
        Self { chunks: VecDeque::new(), sent: 0, waiting: 0, spare: Vec::new() }
    }

    /// Bytes that were not sent yet.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// Appends a frame.
    pub fn push<T: Serialize>(&mut self, header: Header, message: &T) -> Result<()> {
        let mut chunk = match self.chunks.pop_back() {
            Some(open) if open.len() < CHUNK_BYTES => open,
            other => {
                self.chunks.extend(other);
                self.spare.pop().unwrap_or_default()
            }
        };
        let begin = chunk.len();
        chunk.extend_from_slice(&header.encode(0));
        let encoded = postcard::serialize_with_flavor(message, Append(&mut chunk));
        let len = u32::try_from(chunk.len() - begin - HEADER_BYTES)?;
        if let Some(place) = chunk.get_mut(begin..).and_then(<[u8]>::first_chunk_mut) {
            *place = header.encode(len);
        }
        self.waiting += chunk.len() - begin;
        self.chunks.push_back(chunk);
        Ok(encoded?)
    }

    fn next(&self) -> Option<&[u8]> {
        self.chunks.front().and_then(|chunk| chunk.get(self.sent..))
    }

    fn sent(&mut self, count: usize) {
        self.sent += count;
        self.waiting -= count;
        if self.chunks.front().is_some_and(|chunk| chunk.len() == self.sent) {
            self.sent = 0;
            if let Some(mut chunk) = self.chunks.pop_front()
                && self.spare.len() < SPARE_CHUNKS_MAX
            {
                chunk.clear();
                self.spare.push(chunk);
            }
        }
    }
}

/// Postcard's output, straight behind the header.
struct Append<'a>(&'a mut Vec<u8>);

impl Flavor for Append<'_> {
    type Output = ();

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

/// One connection.
pub struct Wire {
    stream: TcpStream,
    /// What has arrived.
    pub input: Input,
    /// What is to be sent.
    pub output: Output,
}

impl Wire {
    /// Speaks frames on a connected socket.
    pub fn new(stream: TcpStream) -> Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self { stream, input: Input::new(), output: Output::new() })
    }

    /// Reads something, writing whatever can be written before and meanwhile.
    pub async fn fill(&mut self) -> Result<()> {
        poll_fn(|cx| {
            self.poll_write(cx)?;
            let mut buffer = ReadBuf::new(self.input.room()?);
            match Pin::new(&mut self.stream).poll_read(cx, &mut buffer)? {
                Poll::Pending => Poll::Pending,
                Poll::Ready(()) if buffer.filled().is_empty() => {
                    Poll::Ready(Err(io::Error::from(ErrorKind::UnexpectedEof).into()))
                }
                Poll::Ready(()) => {
                    let count = buffer.filled().len();
                    self.input.received(count);
                    Poll::Ready(Ok(()))
                }
            }
        })
        .await
    }

    /// Writes as much as the socket takes now, and waits only while more than `waiting_max` bytes are left.
    pub async fn flush(&mut self, waiting_max: usize) -> Result<()> {
        poll_fn(|cx| {
            self.poll_write(cx)?;
            if self.output.waiting() > waiting_max { Poll::Pending } else { Poll::Ready(Ok(())) }
        })
        .await
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Result<()> {
        while let Some(bytes) = self.output.next() {
            match Pin::new(&mut self.stream).poll_write(cx, bytes)? {
                Poll::Ready(count) => self.output.sent(count),
                Poll::Pending => break,
            }
        }
        Ok(())
    }
}

const HEADER_BYTES: usize = 16;
const PAYLOAD_BYTES_MAX: usize = 16 << 20;
const READ_BYTES: usize = 64 << 10;
/// More than 1,024 small frames, so that these leave in one write.
const CHUNK_BYTES: usize = 256 << 10;
const SPARE_CHUNKS_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::{BLOB_BYTES, Blob, Echo};

    fn frames() -> Vec<u8> {
        let mut output = Output::new();
        for slot in 0..3 {
            let header = Header { kind: Kind::Echo, generation: 7, slot };
            output.push(header, &Echo::numbered(slot)).unwrap();
        }
        let header = Header { kind: Kind::Blob, generation: 8, slot: 3 };
        output.push(header, &Blob::of(BLOB_BYTES)).unwrap();
        let mut bytes = Vec::new();
        while let Some(chunk) = output.next() {
            bytes.extend_from_slice(chunk);
            let count = chunk.len();
            output.sent(count);
        }
        assert_eq!(output.waiting(), 0);
        bytes
    }

    #[test]
    fn frames_survive_being_split_anywhere() {
        let bytes = frames();
        for piece in [1, 15, 17, 80, 1000, 64 << 10] {
            let mut input = Input::new();
            let mut seen = Vec::new();
            for part in bytes.chunks(piece) {
                let mut part = part;
                while !part.is_empty() {
                    let room = input.room().unwrap();
                    let count = room.len().min(part.len());
                    room[..count].copy_from_slice(&part[..count]);
                    part = &part[count..];
                    input.received(count);
                    while let Some((header, payload)) = input.next().unwrap() {
                        match header.kind {
                            Kind::Echo => {
                                assert_eq!(
                                    postcard::from_bytes::<Echo>(payload).unwrap(),
                                    Echo::numbered(header.slot)
                                );
                            }
                            Kind::Record => panic!("nobody sent one"),
                            Kind::Blob => {
                                assert_eq!(
                                    postcard::from_bytes::<Blob>(payload).unwrap(),
                                    Blob::of(BLOB_BYTES)
                                );
                            }
                        }
                        seen.push((header.slot, header.generation));
                    }
                }
            }
            assert_eq!(seen, [(0, 7), (1, 7), (2, 7), (3, 8)], "pieces of {piece}");
        }
    }

    #[test]
    fn a_header_that_announces_too_much_is_refused_before_anything_is_allocated() {
        let mut input = Input::new();
        let mut header = Header { kind: Kind::Blob, generation: 0, slot: 0 }.encode(u32::MAX);
        input.room().unwrap()[..HEADER_BYTES].copy_from_slice(&header);
        input.received(HEADER_BYTES);
        assert!(input.next().is_err() && input.room().is_err());
        header[4] = 9;
        assert!(Header::decode(&header).is_err());
    }

    #[test]
    fn small_frames_share_a_chunk_and_chunks_are_used_again() {
        let mut output = Output::new();
        let header = Header { kind: Kind::Echo, generation: 0, slot: 0 };
        for _ in 0..1024 {
            output.push(header, &Echo::numbered(0)).unwrap();
        }
        assert_eq!(output.chunks.len(), 1);
        output.sent(output.waiting());
        assert_eq!((output.waiting(), output.spare.len()), (0, 1));
        output.push(header, &Echo::numbered(0)).unwrap();
        assert_eq!((output.waiting(), output.spare.len()), (80, 0));
    }
}
