//! Bytes in, frames out: cuts the byte stream into frames and puts fragments together again.
//!
//! Bounded: one frame at most `frame_bytes_max`, refused by its announced length before a byte of it is stored;
//! open fragment streams by count and by the sum of their announced totals.

use bytes::{Bytes, BytesMut};
use hashbrown::HashMap;

use super::frame::{Frame, HEAD_BYTES_MAX};
use super::loan::{FragmentHead, Loan, Memory};
use super::{FRAGMENT_BYTES_OPENING, Limits, ProtocolError};

/// The receiving half of a link.
#[derive(Debug)]
pub struct Inbox {
    frame_bytes_max: usize,
    message_bytes_max: usize,
    reassembly_bytes_max: usize,
    streams_max: usize,
    open: HashMap<u32, Partial, ahash::RandomState>,
    open_bytes: usize,
    /// Complete since a loan was settled.
    settled: Option<Bytes>,
    memory: Memory,
}

#[derive(Debug)]
struct Partial {
    data: Vec<u8>,
    total: usize,
}

impl Partial {
    fn check_room(&self, bytes: usize) -> Result<(), ProtocolError> {
        let fits = bytes > 0 && self.data.len() + bytes <= self.total;
        if fits { Ok(()) } else { Err(ProtocolError::FragmentBreaksTotal) }
    }

    /// Grows by doubling, but never beyond what was announced and counted.
    fn reserve(&mut self, bytes: usize) {
        let len = self.data.len();
        if self.data.capacity() < len + bytes {
            self.data.reserve_exact(len.max(bytes).min(self.total - len));
        }
    }
}

/// Less than this is not worth a read of its own.
const LOAN_BYTES_MIN: usize = 4 * 1024;

/// The smallest `len` a frame can have: kind, flags, reserved.
const LEN_MIN: usize = 4;

impl Inbox {
    /// An inbox with these limits of our own side.
    pub fn new(limits: &Limits) -> Self {
        Self {
            // What was queued before the handshake is cut for this, whatever this side announces.
            frame_bytes_max: limits.fragment_bytes.max(FRAGMENT_BYTES_OPENING).saturating_add(HEAD_BYTES_MAX),
            message_bytes_max: limits.message_bytes_max.saturating_add(HEAD_BYTES_MAX),
            reassembly_bytes_max: limits.reassembly_bytes_max,
            streams_max: limits.streams_max,
            open: HashMap::default(),
            open_bytes: 0,
            settled: None,
            memory: Memory::default(),
        }
    }

    /// Uses other memory for large frames.
    pub fn use_memory(&mut self, memory: Memory) {
        self.memory = memory;
    }

    /// Starts again with nothing taken in, as after a loss.
    pub fn reset(&mut self) {
        self.open = HashMap::default();
        (self.open_bytes, self.settled) = (0, None);
    }

    /// How long the next frame in `bytes` is, its `len` included, once it is complete.
    ///
    /// # Errors
    /// [`ProtocolError::FrameTooLarge`] as soon as the announced length is over the limit.
    pub fn next_frame_bytes(&self, bytes: &[u8]) -> Result<Option<usize>, ProtocolError> {
        let Some(len) = bytes.first_chunk::<4>() else { return Ok(None) };
        let len = u32::from_le_bytes(*len) as usize;
        if len > self.frame_bytes_max {
            return Err(ProtocolError::FrameTooLarge { bytes: len, limit: self.frame_bytes_max });
        }
        if len < LEN_MIN {
            return Err(ProtocolError::Truncated);
        }
        Ok((bytes.len() >= 4 + len).then_some(4 + len))
    }

    /// Cuts at most `frames_max` whole frames, of at most `bytes_max` bytes together, off the front of `buffer`.
    /// At least one frame is cut if one is complete.
    ///
    /// # Errors
    /// As [`Inbox::next_frame_bytes`].
    pub fn cut(
        &self,
        buffer: &mut BytesMut,
        frames_max: usize,
        bytes_max: usize,
    ) -> Result<Bytes, ProtocolError> {
        let mut end = 0;
        for _ in 0..frames_max {
            let Some(frame) = self.next_frame_bytes(buffer.get(end..).unwrap_or_default())? else { break };
            if end > 0 && end + frame > bytes_max {
                break;
            }
            end += frame;
        }
        Ok(buffer.split_to(end).freeze())
    }

    /// Takes a fragment in; gives the whole frame (without its `len`) with the last one.
    ///
    /// # Errors
    /// [`ProtocolError`] if the fragment fits no open stream, opens one too many, or breaks its announced total.
    pub fn fragment(
        &mut self,
        stream: u32,
        total: Option<u32>,
        abort: bool,
        data: &[u8],
    ) -> Result<Option<Bytes>, ProtocolError> {
        if abort {
            if let Some(partial) = self.open.remove(&stream) {
                self.open_bytes -= partial.total;
            }
            return Ok(None);
        }
        if let Some(total) = total {
            self.begin(stream, total as usize)?;
        }
        let partial = self.open.get_mut(&stream).ok_or(ProtocolError::FragmentOfNoStream)?;
        partial.check_room(data.len())?;
        partial.reserve(data.len());
        partial.data.extend_from_slice(data);
        Ok(self.take_whole(stream))
    }

    /// The frame of a stream, if that is complete.
    fn take_whole(&mut self, stream: u32) -> Option<Bytes> {
        if self.open.get(&stream).is_none_or(|partial| partial.data.len() < partial.total) {
            return None;
        }
        let whole = self.open.remove(&stream)?;
        self.open_bytes -= whole.total;
        Some((self.memory.share)(whole.data))
    }

    /// Lends the place of the rest of a fragment of which only the beginning has come, if there is much of it. `buffer`
    /// must not begin with a whole frame, and is empty afterwards. Until the loan is settled nothing else is taken in.
    ///
    /// # Errors
    /// As [`Inbox::next_frame_bytes`] and [`Inbox::fragment`].
    pub fn lend(&mut self, buffer: &mut BytesMut) -> Result<Option<Loan>, ProtocolError> {
        let Some(head) = FragmentHead::read(buffer) else { return Ok(None) };
        let frame_bytes = 4 + head.len;
        if head.len > self.frame_bytes_max || frame_bytes < buffer.len() + LOAN_BYTES_MIN {
            return Ok(None);
        }
        if let Some(total) = head.total {
            self.begin(head.stream, total as usize)?;
        }
        let partial = self.open.get_mut(&head.stream).ok_or(ProtocolError::FragmentOfNoStream)?;
        partial.check_room(frame_bytes - head.bytes)?;
        partial.reserve(frame_bytes - head.bytes);
        let mut data = std::mem::take(&mut partial.data);
        data.extend_from_slice(buffer.get(head.bytes..).unwrap_or_default());
        let missing = frame_bytes - buffer.len();
        buffer.clear();
        Ok(Some(Loan { stream: head.stream, data, missing }))
    }

    /// Takes back what was lent.
    pub fn settle(&mut self, loan: Loan) {
        if let Some(partial) = self.open.get_mut(&loan.stream) {
            partial.data = loan.data;
            self.settled = self.take_whole(loan.stream);
        }
    }

    /// What is complete since a loan was settled.
    pub fn take_settled(&mut self) -> Option<Bytes> {
        self.settled.take()
    }

    fn begin(&mut self, stream: u32, total: usize) -> Result<(), ProtocolError> {
        if total > self.message_bytes_max {
            return Err(ProtocolError::FrameTooLarge { bytes: total, limit: self.message_bytes_max });
        }
        if self.open.len() >= self.streams_max || self.open_bytes + total > self.reassembly_bytes_max {
            return Err(ProtocolError::TooManyStreams);
        }
        if self.open.contains_key(&stream) {
            return Err(ProtocolError::StreamOpenedTwice);
        }
        // The first allocation does not trust the announcement; a stream that really comes grows by doubling.
        let data = (self.memory.take)(total.min(TRUSTED_BYTES));
        self.open.insert(stream, Partial { data, total });
        self.open_bytes += total;
        Ok(())
    }

    /// Bytes announced by the streams that are open now.
    pub fn reassembly_bytes(&self) -> usize {
        self.open_bytes
    }
}

/// What is reserved for a fragmented frame before its bytes come.
const TRUSTED_BYTES: usize = 1 << 20;

/// Reads the frame that a complete reassembly holds. Fragments do not nest.
///
/// # Errors
/// [`ProtocolError`] if it is no frame, or one that never needs fragments.
pub fn parse_reassembled(bytes: &[u8]) -> Result<Frame<'_>, ProtocolError> {
    let frame = Frame::parse(bytes)?;
    match frame {
        Frame::Request { .. }
        | Frame::Cast { .. }
        | Frame::Deliver { .. }
        | Frame::Open { .. }
        | Frame::Reply { .. }
        | Frame::Item { .. } => Ok(frame),
        _ => Err(ProtocolError::FragmentOfControl),
    }
}

#[cfg(test)]
mod tests;
