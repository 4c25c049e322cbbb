//! The fields of a frame, one by one.

use super::{Definition, FLAG_TRACED, RequestId};
use crate::link::ProtocolError;
use crate::trace::TRACE_BYTES;

/// Reads fixed fields off the front; a short frame is an error, never a panic.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    fn chunk<const N: usize>(&mut self) -> Result<&'a [u8; N], ProtocolError> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(ProtocolError::Truncated)?;
        self.0 = rest;
        Ok(head)
    }

    pub(super) fn take<const N: usize>(&mut self) -> Result<[u8; N], ProtocolError> {
        self.chunk().copied()
    }

    pub(super) fn trace(&mut self, flags: u8) -> Result<Option<&'a [u8; TRACE_BYTES]>, ProtocolError> {
        if flags & FLAG_TRACED == 0 { Ok(None) } else { self.chunk().map(Some) }
    }

    pub(super) fn u8(&mut self) -> Result<u8, ProtocolError> {
        self.take::<1>().map(|[byte]| byte)
    }

    pub(super) fn u32(&mut self) -> Result<u32, ProtocolError> {
        self.take().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, ProtocolError> {
        self.take().map(u64::from_le_bytes)
    }

    pub(super) fn id(&mut self) -> Result<RequestId, ProtocolError> {
        Ok(RequestId { slot: self.u32()?, generation: self.u32()? })
    }

    pub(super) fn definition(&mut self) -> Result<Definition, ProtocolError> {
        match postcard::take_from_bytes(self.0) {
            Ok((definition, _optional)) => Ok(definition),
            Err(_) => Err(ProtocolError::BadDefinition),
        }
    }
}
