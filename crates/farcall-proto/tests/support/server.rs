//! A scripted peer: what a message is called says how it is answered.
//!
//! `echo` answers with its payload, `fault` with a refusal, `never` not at all, `large` with as many bytes as its
//! payload says, `items` with as many items of such a size as its payload says.

use farcall_proto::failure::Rejected;
use farcall_proto::link::frame::{Definition, RequestId};
use farcall_proto::link::outbox::Body;
use farcall_proto::link::{AcceptorLink, Credit, Inbound, Payload, Request, RequestKind, Slice};
use farcall_proto::trace::TraceContext;

/// One message as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    pub actor: String,
    pub payload: Vec<u8>,
    pub kind: RequestKind,
    pub deadline_ms: u32,
    pub trace: Option<TraceContext>,
}

/// The script, and what it saw.
#[derive(Default)]
pub struct Server {
    pub routes: Vec<Definition>,
    pub received: Vec<Received>,
    pub cancelled: Vec<RequestId>,
    /// Casts by route, so that a confirm can say which one was meant.
    casts: Vec<Vec<Vec<u8>>>,
    streams: Vec<Stream>,
    /// `never` answers that are owed.
    pub owed: Vec<RequestId>,
}

struct Stream {
    id: RequestId,
    left: u32,
    bytes: usize,
}

/// The payload of a `large` or an `items` request.
pub fn script(count: u32, bytes: u32) -> Vec<u8> {
    [count.to_le_bytes(), bytes.to_le_bytes()].concat()
}

fn scripted(payload: &[u8]) -> (u32, usize) {
    let number = |at: usize| u32::from_le_bytes(payload[at..at + 4].try_into().unwrap());
    (number(0), number(4) as usize)
}

impl Server {
    pub fn handle(&mut self, link: &mut AcceptorLink<u32>, slice: &mut Slice) {
        let chunk = slice.chunk.clone();
        for item in slice.items.drain(..) {
            match item {
                Inbound::Define { route, definition } => {
                    assert_eq!(route as usize, self.routes.len());
                    self.routes.push(*definition);
                    self.casts.push(Vec::new());
                }
                Inbound::Request(request) => self.request(link, request, &chunk),
                Inbound::Cancel(id) => {
                    self.cancelled.push(id);
                    if let Some(at) = self.owed.iter().position(|owed| *owed == id) {
                        self.owed.remove(at);
                        link.reply_fault(id, &Rejected::Cancelled.into());
                    }
                }
                Inbound::Confirm { id, route, cast } => {
                    let payload = &self.casts[route as usize][usize::try_from(cast).unwrap()];
                    link.reply(id, false, Body::Borrowed(&payload[..payload.len().min(8)]));
                }
            }
        }
        self.stream(link);
    }

    fn request(&mut self, link: &mut AcceptorLink<u32>, request: Request, chunk: &[u8]) {
        let payload = match &request.payload {
            Payload::Chunk { start, end } => chunk[*start as usize..*end as usize].to_vec(),
            Payload::Whole(bytes) => bytes.to_vec(),
        };
        let Request { kind, id, route, deadline_ms, trace, .. } = request;
        let Definition { actor, message, .. } = &self.routes[route as usize];
        let (actor, trace) = (actor.clone(), trace.map(|trace| *trace));
        self.received.push(Received { actor, payload: payload.clone(), kind, deadline_ms, trace });
        match (kind, message.as_str()) {
            (RequestKind::Cast { nth }, _) => {
                assert_eq!(usize::try_from(nth).unwrap(), self.casts[route as usize].len());
                self.casts[route as usize].push(payload);
            }
            (RequestKind::Deliver, _) => link.reply(id, false, Body::Borrowed(&[])),
            (RequestKind::Open { window }, _) => {
                let (left, bytes) = scripted(&payload);
                link.open_stream(id, window);
                self.streams.push(Stream { id, left, bytes });
            }
            (RequestKind::Call, "fault") => link.reply_fault(id, &Rejected::NoSuchActor.into()),
            (RequestKind::Call, "never") => self.owed.push(id),
            (RequestKind::Call, "large") => {
                let answer = vec![7; scripted(&payload).1];
                link.reply(id, false, Body::Shared(answer.into()));
            }
            (RequestKind::Call, _) => link.reply(id, false, Body::Borrowed(&payload)),
        }
    }

    /// Sends what there is credit for.
    pub fn stream(&mut self, link: &mut AcceptorLink<u32>) {
        self.streams.retain_mut(|stream| {
            while stream.left > 0 {
                match link.poll_credit(stream.id, || stream.id.slot) {
                    Credit::Ready => {
                        stream.left -= 1;
                        let item = vec![stream.left.to_le_bytes()[0]; stream.bytes];
                        assert!(link.push_item(stream.id, false, Body::Borrowed(&item)));
                    }
                    Credit::Wait => return true,
                    Credit::Cancelled => {
                        link.reply_fault(stream.id, &Rejected::Cancelled.into());
                        return false;
                    }
                }
            }
            link.reply(stream.id, false, Body::Borrowed(&[]));
            false
        });
    }

    /// What one actor received, in its order.
    pub fn payloads_of(&self, actor: &str) -> Vec<Vec<u8>> {
        self.received.iter().filter(|r| r.actor == actor).map(|r| r.payload.clone()).collect()
    }
}
