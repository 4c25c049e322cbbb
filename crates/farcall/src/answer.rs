//! Answers on their way out: collected while a batch runs, written together; later ones by themselves.

use std::sync::Arc;

use bytes::Bytes;
use farcall_proto::failure::{Failed, Fault};
use farcall_proto::link::Credit;
use farcall_proto::link::frame::{Head, RequestId, write_fault};
use farcall_proto::link::outbox::Body;
use futures::StreamExt;

use crate::batch::Want;
use crate::message::{Answering, EncodeError, EncodedItems};
use crate::port::{AnswerPort, Pushed};
use crate::spare;
use crate::trace::Served;

/// The answers of one batch, encoded one behind the other.
#[derive(Debug)]
pub(crate) struct Replies {
    port: Arc<AnswerPort>,
    frames: Vec<u8>,
    /// Bytes of `frames` that are whole: what is behind them a panicking `Serialize` left.
    whole: usize,
    count: usize,
}

impl Replies {
    pub(crate) fn new(port: Arc<AnswerPort>) -> Self {
        Self { port, frames: Vec::new(), whole: 0, count: 0 }
    }

    pub(crate) fn port(&self) -> &Arc<AnswerPort> {
        &self.port
    }

    /// Answers with a fault.
    pub(crate) fn fault(&mut self, id: RequestId, fault: &Fault) {
        self.frames.truncate(self.whole);
        write_fault(id, fault, &mut self.frames);
        self.note_whole();
    }

    fn note_whole(&mut self) {
        self.whole = self.frames.len();
        self.count += 1;
    }

    /// Where the answer to this request goes.
    pub(crate) fn answer_to<'a>(
        &'a mut self,
        id: RequestId,
        want: Want,
        served: &'a mut Served,
    ) -> AnswerTo<'a> {
        AnswerTo { replies: self, id, want, served }
    }

    fn value(&mut self, id: RequestId, encode: &mut dyn FnMut(&mut Vec<u8>) -> Result<(), EncodeError>) {
        if self.frames.capacity() == 0 {
            self.frames = self.port.take_scratch();
        }
        let start = self.frames.len();
        let head = Head::reply(id, false, false);
        self.frames.extend_from_slice(head.as_bytes());
        let body = self.frames.len();
        if let Err(error) = encode(&mut self.frames) {
            self.frames.truncate(start);
            self.fault(id, &Failed::ReplyDecode(error.to_string()).into());
            return;
        }
        let bytes = self.frames.len() - body;
        if bytes <= self.port.inline_reply_bytes_max() {
            if let Some(place) = self.frames.get_mut(start..body) {
                place.copy_from_slice(head.sealed(bytes).as_bytes());
            }
            self.note_whole();
            return;
        }
        // Too large to travel inside the batch, or worth compressing.
        let payload = if start == 0 {
            spare::share(std::mem::take(&mut self.frames)).slice(body..)
        } else {
            let payload = Bytes::copy_from_slice(self.frames.get(body..).unwrap_or_default());
            self.frames.truncate(start);
            payload
        };
        self.port.reply(id, payload);
    }

    /// Hands everything collected to the connection.
    pub(crate) fn flush(&mut self) {
        if self.count > 0 {
            self.port.push_replies(self.frames.get(..self.whole).unwrap_or_default(), self.count);
            self.count = 0;
        }
        self.whole = 0;
        if self.frames.capacity() > 0 {
            self.port.give_scratch(std::mem::take(&mut self.frames));
        }
    }
}

/// The answer to one request of a batch.
pub(crate) struct AnswerTo<'a> {
    replies: &'a mut Replies,
    id: RequestId,
    want: Want,
    served: &'a mut Served,
}

impl Answering for AnswerTo<'_> {
    fn value(&mut self, encode: &mut dyn FnMut(&mut Vec<u8>) -> Result<(), EncodeError>) {
        self.replies.value(self.id, encode);
    }

    fn items(&mut self, items: EncodedItems) {
        let served = std::mem::take(self.served);
        Responder::new(self.replies.port.clone(), self.id, self.want, served).items(items);
    }
}

/// An answer that comes later. Dropped without one, it says that the actor stopped.
#[derive(Debug)]
pub(crate) struct Responder {
    port: Option<Arc<AnswerPort>>,
    id: RequestId,
    want: Want,
    served: Served,
}

impl Responder {
    pub(crate) fn new(port: Arc<AnswerPort>, id: RequestId, want: Want, served: Served) -> Self {
        Self { port: Some(port), id, want, served }
    }
}

impl Answering for Responder {
    fn value(&mut self, encode: &mut dyn FnMut(&mut Vec<u8>) -> Result<(), EncodeError>) {
        let mut payload = Vec::new();
        // Before the port is taken: a `Serialize` that panics is answered by the drop.
        let encoded = encode(&mut payload);
        let Some(port) = self.port.take() else { return };
        match encoded {
            Ok(()) => port.reply(self.id, spare::share(payload)),
            Err(error) => {
                let fault: Fault = Failed::ReplyDecode(error.to_string()).into();
                self.served.ended(fault.reason());
                port.reply_fault(self.id, &fault);
            }
        }
    }

    fn items(&mut self, items: EncodedItems) {
        // Whoever wants one value of a stream is refused before it runs; were it not, the drop would answer.
        let Want::Items { window } = self.want else { return };
        let Some(port) = self.port.take() else { return };
        if !port.open_stream(self.id, window) {
            return;
        }
        actix_rt::spawn(send_items(port, self.id, items, std::mem::take(&mut self.served)));
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        if let Some(port) = self.port.take() {
            let failed = if std::thread::panicking() { Failed::Panicked } else { Failed::ActorStopped };
            let fault: Fault = failed.into();
            self.served.ended(fault.reason());
            port.reply_fault(self.id, &fault);
        }
    }
}

/// Sends items while the caller has credit; ends when they end, or when the caller gives up.
async fn send_items(port: Arc<AnswerPort>, id: RequestId, mut items: EncodedItems, _until_the_end: Served) {
    let mut ended = EndOfItems { port: Some(port.clone()), id };
    loop {
        let credit = std::future::poll_fn(|cx| port.poll_credit(id, cx)).await;
        if credit == Credit::Cancelled {
            break;
        }
        let next = futures::future::select(items.next(), port.cancelled(id)).await;
        let next = match next {
            futures::future::Either::Left((next, _)) => next,
            futures::future::Either::Right(_) => break,
        };
        match next {
            Some(Ok(payload)) => match port.push_item(id, Bytes::from(payload)) {
                Pushed::Sent => {}
                Pushed::Cancelled => break,
                Pushed::Ended => {
                    ended.port = None;
                    return;
                }
            },
            Some(Err(error)) => {
                ended.port = None;
                port.reply_fault(id, &Failed::ReplyDecode(error.to_string()).into());
                return;
            }
            None => {
                ended.port = None;
                port.end_items(id);
                return;
            }
        }
    }
    ended.port = None;
    port.reply_fault(id, &farcall_proto::failure::Rejected::Cancelled.into());
}

/// A producer that panics still ends its stream.
struct EndOfItems {
    port: Option<Arc<AnswerPort>>,
    id: RequestId,
}

impl Drop for EndOfItems {
    fn drop(&mut self) {
        if let Some(port) = self.port.take() {
            let failed = if std::thread::panicking() { Failed::Panicked } else { Failed::ActorStopped };
            port.reply_fault(self.id, &failed.into());
        }
    }
}

/// A body for the link, large ones shared.
pub(crate) fn body(payload: Bytes) -> Body<'static> {
    Body::Shared(payload)
}
