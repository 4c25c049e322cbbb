//! `cast`: one way, nothing comes back, unless asked with `acked`.

use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use farcall_proto::failure::{Failure, NotSent};
use farcall_proto::link::outbox::Body;
use farcall_proto::link::{Casted, Outcome, SubmitKind};
use farcall_proto::peer::Target;
use farcall_proto::trace::TraceContext;

use super::encode::with_encoded;
use super::exchange::{Exchange, Site, Times, packed};
use super::{Caller, Named};
use crate::clock;
use crate::conn::{Conn, Encoded, RoomWait};
use crate::error::CallError;
use crate::message::RemoteMessage;

/// A cast that was accepted for sending.
///
/// `cast(..)?` is gen_rpc's cast with one improvement: what was surely not sent is an error. With
/// `cast(..).acked().await` ([`Acked`]) it is exrpc's safe_cast: resolves when the actor's mailbox has it.
#[derive(Debug)]
pub struct Sent<'a> {
    caller: &'a Caller,
    site: Site<'a>,
    conn: Arc<Conn>,
    casted: Casted,
}

/// Queues a cast; a full queue is an error, never a wait.
pub(crate) fn cast<'a, M: RemoteMessage>(
    caller: &'a Caller,
    target: &'a Target,
    actor: Named<'a>,
    message: &M,
) -> Result<Sent<'a>, CallError> {
    let site = Site { target, actor, message: M::INFO.into() };
    let queued = with_encoded(message, |payload| send(caller, &site, &payload));
    let (conn, casted) = queued.and_then(|queued| queued).map_err(|failure| site.error(failure))?;
    Ok(Sent { caller, site, conn, casted })
}

/// How often a cast looks for a connection again when the one it found took nothing new.
const TRIES: usize = 3;

/// Queues a cast of bytes that are encoded already.
pub(super) fn send(
    caller: &Caller,
    site: &Site<'_>,
    payload: &Encoded<'_>,
) -> Result<(Arc<Conn>, Casted), NotSent> {
    let Site { target, actor, message } = site;
    let mut asked = caller.context.tracer.casts(target.node(), actor.name, message.name);
    let queued = queue(caller, site, payload, asked.context());
    asked.ended(queued.as_ref().map(|_| ()).map_err(NotSent::reason));
    queued
}

fn queue(
    caller: &Caller,
    site: &Site<'_>,
    payload: &Encoded<'_>,
    trace: Option<&TraceContext>,
) -> Result<(Arc<Conn>, Casted), NotSent> {
    site.check()?;
    // It has no deadline, and nothing else needs the exact time.
    let now = clock::lately();
    let mut tries = 0;
    loop {
        let conn = caller.clients.conn(site.target, now)?;
        let packed = packed(caller, &conn, payload);
        let (body, compressed) = match &packed {
            Some(packed) => (Body::Shared(packed.clone()), true),
            None => (payload.body(), false),
        };
        tries += 1;
        match conn.cast(&site.route(), body, compressed, trace, now) {
            Ok(casted) => return Ok((conn, casted)),
            Err(NotSent::Disconnected(_)) if tries < TRIES => {}
            Err(failure) => {
                if matches!(failure, NotSent::QueueFull { .. }) {
                    caller.context.metrics.casts_not_queued.up();
                }
                return Err(failure);
            }
        }
    }
}

/// Asks what became of a cast.
pub trait Acked {
    /// Resolves when the actor's mailbox has the cast, or with the reason why it never will: exrpc's safe_cast.
    ///
    /// # Errors
    /// [`CallError`]: not sent, refused by the peer (no such actor, not permitted, busy), or unknown because the
    /// connection was lost or the time (`call_timeout`) is over.
    ///
    /// # Cancel safety
    /// Dropping it gives up the question, not the cast.
    fn acked(self) -> impl Future<Output = Result<(), CallError>> + Send;
}

impl Acked for Result<Sent<'_>, CallError> {
    async fn acked(self) -> Result<(), CallError> {
        let Sent { caller, site, conn, casted } = self?;
        let now = Instant::now();
        let times = Times::default();
        let mut exchange: Exchange =
            times.exchange(SubmitKind::Deliver, caller.context.config.call_timeout, caller, now);
        let mut room: Option<RoomWait> = None;
        let outcome = std::future::poll_fn(|cx| {
            if !exchange.is_waiting() {
                drop(room.take());
                match conn.confirm(casted, Some(exchange.deadline()), cx.waker().clone()) {
                    Ok(ticket) => exchange.adopt(conn.clone(), ticket),
                    Err(Failure::NotSent(NotSent::QueueFull { .. })) => {
                        room = Some(conn.wait_for_room(cx.waker().clone()));
                        return std::task::Poll::Pending;
                    }
                    Err(failure) => return std::task::Poll::Ready(Outcome::Failure(failure)),
                }
            }
            exchange.poll(caller, &site, cx)
        });
        let limit = caller.context.config.call_timeout;
        match tokio::time::timeout(limit, outcome).await {
            Ok(Outcome::Answered { .. }) => Ok(()),
            Ok(Outcome::Failure(failure)) => Err(site.error(failure)),
            Err(_) => Err(site.error(farcall_proto::failure::Unknown::Timeout)),
        }
    }
}

/// The body of a cast to many: the same bytes for each.
pub(super) fn shared_body(bytes: &bytes::Bytes) -> Encoded<'_> {
    const SMALL_BYTES: usize = 4096;
    if bytes.len() <= SMALL_BYTES { Encoded::Small(bytes) } else { Encoded::Large(bytes.clone()) }
}

/// A cast of bytes, for those who ask what became of it.
pub(super) fn sent<'a>(caller: &'a Caller, site: Site<'a>, conn: Arc<Conn>, casted: Casted) -> Sent<'a> {
    Sent { caller, site, conn, casted }
}
