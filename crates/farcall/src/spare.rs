//! Large buffers, used again: the memory of a fresh one costs a page fault for every 4 KiB, which is more than all the
//! rest that a payload of 500 KiB costs.
//!
//! Each thread keeps a few of those that it dropped last. Whoever needs one takes it from there.

use std::cell::RefCell;

use bytes::Bytes;
use farcall_proto::link::Memory;

/// Where links put large frames together.
pub(crate) const MEMORY: Memory = Memory { take, share };

thread_local! {
    static SPARE: RefCell<Spare> = const { RefCell::new(Spare { buffers: Vec::new(), bytes: 0 }) };
}

struct Spare {
    /// The one that was dropped last is the last: its memory is probably still in the cache.
    buffers: Vec<Vec<u8>>,
    bytes: usize,
}

/// What is smaller is left to the allocator, which is good at it.
const BUFFER_BYTES_MIN: usize = 32 * 1024;

/// What a thread keeps at most, in all.
const SPARE_BYTES_MAX: usize = 4 << 20;

/// No content is held in a buffer larger than so many times its size: every limit counts content.
const WASTE_MAX: usize = 2;

/// An empty buffer with room for so many bytes.
pub(crate) fn take(bytes: usize) -> Vec<u8> {
    if bytes >= BUFFER_BYTES_MIN
        && let Ok(Some(buffer)) = SPARE.try_with(|spare| spare.borrow_mut().take(bytes, bytes * WASTE_MAX))
    {
        return buffer;
    }
    Vec::with_capacity(bytes)
}

/// The buffer that was dropped last, whatever its size, for what may become large.
pub(crate) fn take_any() -> Vec<u8> {
    SPARE.try_with(|spare| spare.borrow_mut().take(0, usize::MAX)).ok().flatten().unwrap_or_default()
}

/// Keeps a buffer for the next who needs one, or frees it.
pub(crate) fn give(buffer: Vec<u8>) {
    // While a thread ends, its spare buffers may be gone already.
    let _ = SPARE.try_with(|spare| spare.borrow_mut().give(buffer));
}

/// Shares the content; when the last reference is dropped, the buffer is kept.
pub(crate) fn share(buffer: Vec<u8>) -> Bytes {
    if buffer.capacity() < BUFFER_BYTES_MIN {
        return buffer.into();
    }
    if buffer.len() < buffer.capacity() / WASTE_MAX {
        let content = Bytes::copy_from_slice(&buffer);
        give(buffer);
        return content;
    }
    Bytes::from_owner(Shared(buffer))
}

/// Frees what this thread keeps.
pub(crate) fn clear() {
    let _ = SPARE.try_with(|spare| *spare.borrow_mut() = Spare { buffers: Vec::new(), bytes: 0 });
}

impl Spare {
    fn take(&mut self, bytes: usize, bytes_max: usize) -> Option<Vec<u8>> {
        let fits = |buffer: &Vec<u8>| (bytes..=bytes_max).contains(&buffer.capacity());
        let at = self.buffers.iter().rposition(fits)?;
        let buffer = self.buffers.remove(at);
        self.bytes -= buffer.capacity();
        Some(buffer)
    }

    fn give(&mut self, mut buffer: Vec<u8>) {
        let bytes = buffer.capacity();
        if bytes < BUFFER_BYTES_MIN || self.bytes + bytes > SPARE_BYTES_MAX {
            return;
        }
        buffer.clear();
        self.bytes += bytes;
        self.buffers.push(buffer);
    }
}

struct Shared(Vec<u8>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        give(std::mem::take(&mut self.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In a thread of its own: what one test leaves behind is not seen by another.
    fn alone(test: impl FnOnce() + Send + 'static) {
        std::thread::spawn(test).join().unwrap();
    }

    #[test]
    fn a_large_buffer_is_used_again_when_its_last_reference_is_dropped() {
        alone(|| {
            let mut buffer = take(100_000);
            buffer.resize(100_000, 7);
            let place = buffer.as_ptr();
            let shared = share(buffer);
            let again = shared.slice(..1);
            drop(shared);
            let other = take(100_000);
            assert_ne!(other.as_ptr(), place, "it is still read");
            assert_eq!(*again, [7]);
            drop(again);
            let buffer = take(60_000);
            assert_eq!((buffer.as_ptr(), buffer.len()), (place, 0));
        });
    }

    #[test]
    fn a_thread_keeps_no_more_than_its_limit_and_nothing_after_it_is_cleared() {
        alone(|| {
            (0..100).for_each(|_| give(Vec::with_capacity(100_000)));
            assert_eq!(SPARE.with_borrow(|spare| (spare.buffers.len(), spare.bytes)), (41, 4_100_000));
            give(Vec::with_capacity(SPARE_BYTES_MAX + 1));
            give(Vec::with_capacity(BUFFER_BYTES_MIN - 1));
            assert_eq!(SPARE.with_borrow(|spare| spare.buffers.len()), 41);
            clear();
            assert_eq!(SPARE.with_borrow(|spare| (spare.buffers.len(), spare.bytes)), (0, 0));
        });
    }

    #[test]
    fn small_content_never_holds_a_large_buffer() {
        alone(|| {
            give(Vec::with_capacity(1 << 20));
            assert!(
                take(40_000).capacity() < 1 << 20,
                "a frame that is put together holds no more than it counts"
            );
            let mut buffer = take_any();
            assert_eq!(buffer.capacity(), 1 << 20);
            buffer.resize(40_000, 7);
            let shared = share(buffer);
            assert_eq!((shared.len(), shared[39_999]), (40_000, 7));
            assert_eq!(take_any().capacity(), 1 << 20, "it was given back at once");
        });
    }

    #[test]
    fn a_buffer_that_is_too_small_is_not_taken_for_a_larger_need() {
        alone(|| {
            give(Vec::with_capacity(40_000));
            assert!(take(50_000).capacity() >= 50_000);
            assert_eq!(take_any().capacity(), 40_000);
            assert_eq!(take_any().capacity(), 0);
        });
    }
}
