//! Cuts the bytes of a peer that has not proved itself into frames, and holds little for it.

use bytes::{Buf, Bytes, BytesMut};

use super::error::HandshakeError;
use super::messages::FRAME_BYTES_MAX;

/// How much a peer may send before it has proved itself. A connection that passes either is closed.
///
/// Less than [`LEAST`](Self::LEAST) refuses honest peers. A longer frame than the default is of no use: no handshake
/// message may be longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PreAuthLimits {
    /// The longest frame, in bytes behind its length. It is refused by its length, before anything is reserved for it.
    pub frame_bytes_max: usize,
    /// All frames of one side together, in bytes, lengths included. Bytes behind the handshake do not count: a peer may
    /// send its first requests right behind its last message.
    pub total_bytes_max: usize,
}

impl PreAuthLimits {
    /// What the longest handshake of this protocol takes: two names of 255 bytes, and all extensions in their full
    /// length. The greeting is its longest frame, and its sender says the most.
    pub const LEAST: Self = Self { frame_bytes_max: 2724, total_bytes_max: 2802 };
}

impl Default for PreAuthLimits {
    fn default() -> Self {
        Self {
            frame_bytes_max: PreAuthFramer::FRAME_BYTES_MAX,
            total_bytes_max: PreAuthFramer::TOTAL_BYTES_MAX,
        }
    }
}

/// Cuts a stranger's bytes into handshake frames.
///
/// Feed what was read, take frames until there is none, read again: then it never holds more than one unfinished
/// frame and one read. Take no frame after the handshake is done: what is left belongs to the link.
#[derive(Debug, Default)]
pub struct PreAuthFramer {
    buffer: BytesMut,
    taken_bytes: usize,
    limits: PreAuthLimits,
}

impl PreAuthFramer {
    /// The default of [`PreAuthLimits::frame_bytes_max`], and the longest handshake message of this protocol.
    pub const FRAME_BYTES_MAX: usize = FRAME_BYTES_MAX;
    /// The default of [`PreAuthLimits::total_bytes_max`]: five times what the longest handshake takes,
    /// for later versions that say more in theirs.
    pub const TOTAL_BYTES_MAX: usize = 16 * 1024;

    /// A framer that has read nothing, with the default limits.
    pub fn new() -> Self {
        Self::default()
    }

    /// A framer that has read nothing, with these limits.
    pub fn with_limits(limits: PreAuthLimits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Takes bytes as they came from the socket.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole frame without its length, or `None` if more bytes are needed.
    ///
    /// # Errors
    /// [`HandshakeError::FrameTooLarge`], [`HandshakeError::TooManyBytes`] and, for a frame of no bytes,
    /// [`HandshakeError::Malformed`], each as soon as the length is there. The connection is then to be closed.
    pub fn next_frame(&mut self) -> Result<Option<Bytes>, HandshakeError> {
        let Some(prefix) = self.buffer.first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
        let bytes = usize::try_from(u32::from_le_bytes(*prefix)).unwrap_or(usize::MAX);
        let PreAuthLimits { frame_bytes_max, total_bytes_max } = self.limits;
        if bytes > frame_bytes_max {
            return Err(HandshakeError::FrameTooLarge { bytes, limit_bytes: frame_bytes_max });
        }
        if bytes == 0 {
            return Err(HandshakeError::Malformed { message: "frame" });
        }
        if self.taken_bytes.saturating_add(LENGTH_BYTES).saturating_add(bytes) > total_bytes_max {
            return Err(HandshakeError::TooManyBytes { limit_bytes: total_bytes_max });
        }
        if self.buffer.len() < LENGTH_BYTES + bytes {
            return Ok(None);
        }
        self.taken_bytes += LENGTH_BYTES + bytes;
        self.buffer.advance(LENGTH_BYTES);
        Ok(Some(self.buffer.split_to(bytes).freeze()))
    }

    /// What came behind the last frame taken.
    pub fn into_rest(self) -> BytesMut {
        self.buffer
    }
}

const LENGTH_BYTES: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(body: &[u8]) -> Vec<u8> {
        [&u32::try_from(body.len()).unwrap().to_le_bytes(), body].concat()
    }

    #[test]
    fn an_oversized_length_is_refused_before_its_bytes_come_and_nothing_is_reserved() {
        for length in [4097, u32::MAX] {
            let mut framer = PreAuthFramer::new();
            framer.feed(&length.to_le_bytes());
            let error = framer.next_frame().unwrap_err();
            assert_eq!(error.reason(), "frame_too_large");
            assert!(framer.buffer.capacity() < 4096, "{}", framer.buffer.capacity());
        }
    }

    #[test]
    fn other_limits_hold_instead_of_the_defaults() {
        let limits = PreAuthLimits { frame_bytes_max: 10, total_bytes_max: 20 };
        let mut framer = PreAuthFramer::with_limits(limits);
        framer.feed(&framed(&[9; 10]));
        assert_eq!(framer.next_frame().unwrap().unwrap().len(), 10);
        framer.feed(&framed(&[9; 3]));
        let error = framer.next_frame().unwrap_err();
        assert_eq!(error, HandshakeError::TooManyBytes { limit_bytes: 20 });

        let mut framer = PreAuthFramer::with_limits(limits);
        framer.feed(&11u32.to_le_bytes());
        let error = framer.next_frame().unwrap_err();
        assert_eq!(error, HandshakeError::FrameTooLarge { bytes: 11, limit_bytes: 10 });
    }

    #[test]
    fn limits_without_a_bound_do_not_overflow() {
        let boundless = PreAuthLimits { frame_bytes_max: usize::MAX, total_bytes_max: usize::MAX };
        let mut framer = PreAuthFramer::with_limits(boundless);
        framer.feed(&framed(b"first"));
        assert!(framer.next_frame().unwrap().is_some());
        framer.feed(&u32::MAX.to_le_bytes());
        assert_eq!(framer.next_frame().unwrap(), None);
    }

    #[test]
    fn a_frame_of_the_largest_size_passes_and_an_empty_one_does_not() {
        let mut framer = PreAuthFramer::new();
        framer.feed(&framed(&[9; 4096]));
        assert_eq!(framer.next_frame().unwrap().unwrap().len(), 4096);
        framer.feed(&framed(&[]));
        assert_eq!(framer.next_frame().unwrap_err().reason(), "malformed");
    }

    #[test]
    fn the_frame_that_would_pass_16_kib_in_all_is_refused_by_its_length_alone() {
        let mut framer = PreAuthFramer::new();
        for _ in 0..3 {
            framer.feed(&framed(&[9; 4096]));
            assert!(framer.next_frame().unwrap().is_some());
        }
        framer.feed(&4096u32.to_le_bytes());
        assert_eq!(framer.next_frame().unwrap_err().reason(), "too_many_bytes");
    }

    #[test]
    fn bytes_behind_the_last_frame_are_left_for_the_link_however_many() {
        let mut framer = PreAuthFramer::new();
        framer.feed(&framed(b"last"));
        framer.feed(&[0xff; 100_000]);
        assert_eq!(&framer.next_frame().unwrap().unwrap()[..], b"last");
        assert_eq!(&framer.into_rest()[..], &[0xff; 100_000][..]);
    }

    #[test]
    fn a_frame_may_come_byte_by_byte() {
        let mut framer = PreAuthFramer::new();
        let bytes = framed(b"hello");
        for byte in &bytes[..bytes.len() - 1] {
            framer.feed(std::slice::from_ref(byte));
            assert_eq!(framer.next_frame().unwrap(), None);
        }
        framer.feed(&bytes[bytes.len() - 1..]);
        assert_eq!(&framer.next_frame().unwrap().unwrap()[..], b"hello");
    }
}
