//! `ping`: a sign of life, answered by the peer's connection and not by an actor.

use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use farcall_proto::failure::NotSent;
use farcall_proto::link::{Arrival, Outcome, SubmitKind};
use farcall_proto::peer::Target;

use super::exchange::{Exchange, Layout, Site};
use super::{Caller, Named};
use crate::conn::Conn;
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

/// Measures the way over one connection and back, unless that goes on already; the time is kept with the connection.
pub(crate) async fn probe(conn: Arc<Conn>) {
    let begun = Instant::now();
    if !conn.is_up() || !conn.flow().begin_probe(begun) {
        return;
    }
    let mut ticket = None;
    let answered = std::future::poll_fn(|cx| {
        let waiting = match ticket {
            Some(ticket) => ticket,
            None => match conn.ping(Some(begun + PROBE_TIMEOUT), cx.waker().clone()) {
                Ok(fresh) => *ticket.insert(fresh),
                Err(_) => return Poll::Ready(false),
            },
        };
        let mut arrival = Arrival::EMPTY;
        match conn.poll_arrival(waiting, &mut arrival, cx.waker()) {
            true => Poll::Ready(matches!(arrival.into_outcome(), Outcome::Answered { .. })),
            false => Poll::Pending,
        }
    });
    let answered = answered.await;
    conn.flow().end_probe(answered.then(|| begun.elapsed()));
}

/// A probe without an answer ends with its connection, or then; the next look begins another one.
const PROBE_TIMEOUT: Duration = Duration::from_secs(30);
