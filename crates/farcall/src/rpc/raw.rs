//! Requests whose message is not a Rust type of this program: bytes and a layout learnt from `describe`.
//!
//! [`RawCall`] is to [`RawMessage`] what the verbs of a node are to typed messages.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use farcall_proto::link::{Outcome, SubmitKind};
use farcall_proto::peer::Target;

use super::call::inflated;
use super::cast::{send, shared_body};
use super::exchange::{Layout, Site, Times};
use super::stream::{RawItems, opened, opening};
use super::{Caller, Named};
use crate::error::CallError;

/// A message as bytes: its payload in postcard, and how it is known on the wire.
#[derive(Debug, Clone, Copy)]
pub struct RawMessage<'a> {
    /// The wire name.
    pub name: &'a str,
    /// The version of the layout.
    pub version: u16,
    /// The fingerprint of request and result.
    pub fingerprint: u64,
    /// The encoded message.
    pub payload: &'a [u8],
}

/// Calls and casts with [`RawMessage`]s: for tools that learn messages from `describe`.
#[derive(Debug)]
pub struct RawCall<'a> {
    pub(crate) caller: &'a Arc<Caller>,
    pub(crate) target: &'a Target,
    pub(crate) actor: Named<'a>,
}

impl<'a> RawCall<'a> {
    fn site(&self, message: &RawMessage<'a>) -> Site<'a> {
        let layout = Layout {
            name: message.name,
            version: message.version,
            fingerprint: message.fingerprint,
            identity: None,
        };
        Site { target: self.target, actor: self.actor, message: layout }
    }

    /// Calls and gives the encoded answer.
    ///
    /// # Errors
    /// [`CallError`], as any call.
    ///
    /// # Cancel safety
    /// As [`Call`](super::Call).
    pub async fn call(&self, message: RawMessage<'a>, timeout: Duration) -> Result<Vec<u8>, CallError> {
        let site = self.site(&message);
        let times = Times { timeout: Some(timeout), send_timeout: None };
        let now = Instant::now();
        let mut exchange = times.exchange(SubmitKind::Call, timeout, self.caller, now);
        let payload = Bytes::copy_from_slice(message.payload);
        exchange
            .start(self.caller, &site, shared_body(&payload), std::task::Waker::noop(), now)
            .map_err(|failure| site.error(failure))?;
        match std::future::poll_fn(|cx| exchange.poll(self.caller, &site, cx)).await {
            Outcome::Failure(failure) => Err(site.error(failure)),
            Outcome::Answered { answer, compressed } => {
                inflated(self.caller, answer.as_slice(), compressed).map_err(|failed| site.error(failed))
            }
        }
    }

    /// Asks for many encoded answers; `timeout` is for opening the stream.
    ///
    /// # Errors
    /// [`CallError`] of a request that was not accepted.
    ///
    /// # Cancel safety
    /// As [`OpenStream`](super::OpenStream): dropped, the stream is cancelled.
    pub async fn stream(&self, message: RawMessage<'a>, timeout: Duration) -> Result<RawItems, CallError> {
        let payload = Bytes::copy_from_slice(message.payload);
        let (site, mut exchange) = (self.site(&message), opening(self.caller, Some(timeout)));
        let payload = shared_body(&payload);
        let started = exchange.start(self.caller, &site, payload, std::task::Waker::noop(), Instant::now());
        started.map_err(|failure| site.error(failure))?;
        Ok(RawItems(opened(self.caller, site, exchange).await?))
    }

    /// Casts.
    ///
    /// # Errors
    /// [`CallError`] if it was surely not sent.
    pub fn cast(&self, message: RawMessage<'a>) -> Result<super::Sent<'a>, CallError> {
        let site = self.site(&message);
        let payload = Bytes::copy_from_slice(message.payload);
        let (conn, casted) =
            send(self.caller, &site, &shared_body(&payload)).map_err(|failure| site.error(failure))?;
        Ok(super::cast::sent(self.caller, site, conn, casted))
    }
}
