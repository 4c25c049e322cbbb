//! `ping`: a sign of life, answered by the peer's connection and not by an actor.

use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use farcall_proto::failure::NotSent;
use farcall_proto::link::{Outcome, SubmitKind};
use farcall_proto::peer::Target;

use super::exchange::{Exchange, Layout, Site};
use super::{Caller, Named};
use crate::registry::RESERVED;

/// Asks a peer for a sign of life; connects if need be.
pub(crate) async fn ping(caller: &Arc<Caller>, target: &Target, timeout: Duration) -> Outcome {
    let now = Instant::now();
    let message = Layout { name: "ping", version: 1, fingerprint: 0, identity: None };
    let site = Site { target, actor: Named::from(RESERVED), message };
    let mut exchange = Exchange::new(SubmitKind::Call, timeout, timeout, now);
    std::future::poll_fn(|cx| {
        while !exchange.is_waiting() {
            let conn = match caller.clients.conn(target, now) {
                Ok(conn) => conn,
                Err(failure) => return Poll::Ready(Outcome::Failure(failure.into())),
            };
            match conn.ping(Some(exchange.deadline()), cx.waker().clone()) {
                Ok(ticket) => exchange.adopt(conn, ticket),
                // Closing: the next look finds or makes another connection.
                Err(NotSent::Disconnected(_)) => {}
                Err(failure) => return Poll::Ready(Outcome::Failure(failure.into())),
            }
        }
        exchange.poll(caller, &site, cx)
    })
    .await
}
