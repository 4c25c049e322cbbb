//! Messages into bytes, outside every lock: a user's `Serialize` never runs under one.

use std::cell::Cell;

use bytes::Bytes;
use farcall_proto::failure::NotSent;

use crate::conn::Encoded;
use crate::message::RemoteMessage;
use crate::spare;

thread_local! {
    /// The buffer messages are encoded into; one per thread.
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A larger message keeps its own buffer, which then travels without being copied again.
const LARGE_BYTES: usize = 16 * 1024;

/// Encodes a message and hands the bytes to `send`.
pub(super) fn with_encoded<M: RemoteMessage, R>(
    message: &M,
    send: impl FnOnce(Encoded<'_>) -> R,
) -> Result<R, NotSent> {
    let mut scratch = SCRATCH.take();
    scratch.clear();
    if scratch.capacity() == 0 {
        // The last message was large and took it along; this one may be large too.
        scratch = spare::take_any();
    }
    if let Err(error) = message.encode(&mut scratch) {
        SCRATCH.set(scratch);
        return Err(NotSent::Encode(error.to_string().into()));
    }
    if scratch.len() > LARGE_BYTES {
        return Ok(send(Encoded::Large(spare::share(scratch))));
    }
    let result = send(Encoded::Small(&scratch));
    SCRATCH.set(scratch);
    Ok(result)
}

/// Encodes a message for more than one target.
pub(super) fn shared<M: RemoteMessage>(message: &M) -> Result<Bytes, NotSent> {
    let mut payload = Vec::new();
    message.encode(&mut payload).map_err(|error| NotSent::Encode(error.to_string().into()))?;
    Ok(payload.into())
}
