//! A batch on its way to the socket: small frames in one buffer, what is large by reference.

use std::io::IoSlice;

use bytes::{Buf, Bytes};

/// What a link hands to its writer at a time. Large bodies are not copied into it: the writer gathers them from where
/// they are.
#[derive(Debug, Default)]
pub struct Outgoing {
    bytes: Vec<u8>,
    shared: Vec<Shared>,
    /// Bytes of it all, and how many of them are written.
    len: usize,
    written: usize,
    /// Where the rest begins: in `bytes`, and in `shared`.
    bytes_at: usize,
    shared_at: usize,
}

#[derive(Debug)]
struct Shared {
    /// It stands behind so many of `bytes`.
    behind: usize,
    /// What of it is not written.
    rest: Bytes,
}

/// What is shorter is copied: a reference costs more.
const SHARED_BYTES_MIN: usize = 4 * 1024;

impl Outgoing {
    /// How many bytes the batch has.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many of them are written.
    pub fn written(&self) -> usize {
        self.written
    }

    /// Whether nothing is left to write.
    pub fn is_written(&self) -> bool {
        self.written == self.len
    }

    /// Makes room for the next batch.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.shared.clear();
        (self.len, self.written, self.bytes_at, self.shared_at) = (0, 0, 0, 0);
    }

    /// Gives the memory back; only of a batch that is written.
    pub fn shrink(&mut self) {
        if self.is_written() {
            *self = Self::default();
        }
    }

    /// Appends a copy.
    pub fn copy(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.len += bytes.len();
    }

    /// Appends a part of a body: by reference, unless it is so short that a copy costs less.
    pub(super) fn share(&mut self, body: &Bytes, start: usize, end: usize) {
        if end.saturating_sub(start) < SHARED_BYTES_MIN {
            return self.copy(body.get(start..end).unwrap_or_default());
        }
        self.len += end - start;
        self.shared.push(Shared { behind: self.bytes.len(), rest: body.slice(start..end) });
    }

    /// Empties `bytes` into this batch.
    pub(super) fn append(&mut self, bytes: &mut Vec<u8>) {
        self.len += bytes.len();
        self.bytes.append(bytes);
    }

    /// Makes `bytes` the whole batch; gives the buffer of the last one.
    pub(super) fn replace(&mut self, bytes: Vec<u8>) -> Vec<u8> {
        self.clear();
        self.len = bytes.len();
        std::mem::replace(&mut self.bytes, bytes)
    }

    /// What is left of it, as far as it lies in one piece.
    pub fn piece(&self) -> &[u8] {
        match self.shared.get(self.shared_at) {
            None => self.bytes.get(self.bytes_at..).unwrap_or_default(),
            Some(shared) if shared.behind == self.bytes_at => &shared.rest,
            Some(shared) => self.bytes.get(self.bytes_at..shared.behind).unwrap_or_default(),
        }
    }

    /// Whether the rest lies in more than one piece.
    pub fn is_scattered(&self) -> bool {
        self.shared.len() > self.shared_at
    }

    /// The pieces that are left, as many as `slices` has room for; says how many these are.
    pub fn pieces<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut at = self.bytes_at;
        let shared = self.shared.get(self.shared_at..).unwrap_or_default();
        let between = shared.iter().flat_map(|shared| {
            let bytes = self.bytes.get(std::mem::replace(&mut at, shared.behind)..shared.behind);
            [bytes.unwrap_or_default(), &*shared.rest]
        });
        let last = shared.last().map_or(self.bytes_at, |shared| shared.behind);
        let behind = self.bytes.get(last..).unwrap_or_default();
        let pieces = between.chain([behind]).filter(|piece| !piece.is_empty());
        slices.iter_mut().zip(pieces).map(|(slice, piece)| *slice = IoSlice::new(piece)).count()
    }

    /// So many bytes more are written.
    pub fn advance(&mut self, mut bytes: usize) {
        self.written += bytes;
        while let Some(shared) = self.shared.get_mut(self.shared_at) {
            let before = bytes.min(shared.behind - self.bytes_at);
            self.bytes_at += before;
            bytes -= before;
            let count = bytes.min(shared.rest.len());
            shared.rest.advance(count);
            bytes -= count;
            if self.bytes_at < shared.behind || !shared.rest.is_empty() {
                return;
            }
            // It is written: nobody has to wait for the rest of the batch to have its memory back.
            shared.rest = Bytes::new();
            self.shared_at += 1;
        }
        self.bytes_at += bytes;
    }

    /// Moves all of it into one buffer, for whoever writes no vectors.
    pub(super) fn flatten(mut self) -> Vec<u8> {
        if self.shared.is_empty() {
            return self.bytes;
        }
        let mut flat = Vec::with_capacity(self.len);
        while !self.is_written() {
            let piece = self.piece();
            flat.extend_from_slice(piece);
            let bytes = piece.len();
            self.advance(bytes);
        }
        flat
    }
}

impl From<Vec<u8>> for Outgoing {
    fn from(bytes: Vec<u8>) -> Self {
        let mut outgoing = Self::default();
        outgoing.replace(bytes);
        outgoing
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Copies and shares in turn; gives what has to come out.
    fn filled(lens: &[usize]) -> (Outgoing, Vec<u8>) {
        let (mut outgoing, mut flat) = (Outgoing::default(), Vec::new());
        for (index, len) in lens.iter().enumerate() {
            let part: Vec<u8> = (0..=250).cycle().skip(index).take(*len).collect();
            flat.extend_from_slice(&part);
            if index % 2 == 0 {
                outgoing.copy(&part);
            } else {
                outgoing.share(&Bytes::from(part), 0, *len);
            }
        }
        (outgoing, flat)
    }

    #[test]
    fn what_is_short_is_copied_and_what_is_long_is_not() {
        let (outgoing, _) = filled(&[10, SHARED_BYTES_MIN - 1]);
        assert!(!outgoing.is_scattered());
        let (outgoing, flat) = filled(&[10, SHARED_BYTES_MIN]);
        assert!(outgoing.is_scattered());
        assert_eq!((outgoing.len(), outgoing.piece()), (flat.len(), &flat[..10]));
    }

    proptest! {
        #[test]
        fn every_byte_comes_out_once_and_in_order_however_little_is_written_at_a_time(
            lens in prop::collection::vec(prop_oneof![0_usize..40, 4000_usize..9000], 0..7),
            step in 1_usize..10_000,
            room in 1_usize..5,
        ) {
            let (mut outgoing, flat) = filled(&lens);
            prop_assert_eq!(outgoing.len(), flat.len());
            let mut written = Vec::new();
            while !outgoing.is_written() {
                prop_assert_eq!(outgoing.written(), written.len());
                let mut slices = [IoSlice::new(&[]); 4];
                let count = outgoing.pieces(&mut slices[..room.min(4)]);
                prop_assert!(count > 0 && *slices[0] == *outgoing.piece());
                let gathered: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.iter().copied()).collect();
                let taken = step.min(gathered.len());
                written.extend_from_slice(&gathered[..taken]);
                outgoing.advance(taken);
            }
            prop_assert_eq!(&written, &flat);
            prop_assert_eq!(filled(&lens).0.flatten(), flat);
        }
    }
}
