//! The four steps of a small call without sockets, threads and actors: two links, and the bytes between them.
//!
//! ```text
//! caller   encode, submit, transmit ──► read, decode   handler
//!          read, decode ◄── encode, append, transmit
//! ```

use std::error::Error;
use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use farcall::RemoteMessage;
use farcall::message::{decode_value, encode_value};
use farcall_proto::link::frame::{Head, RequestId};
use farcall_proto::link::outbox::Body;
use farcall_proto::link::{
    AcceptorLink, ClientLink, Inbound, Limits, Outcome, Payload, RouteKey, Slice, Submit, SubmitKind, Ticket,
};

use crate::messages::Small;
use crate::meter::{Meter, boundary};

type Failure = Box<dyn Error>;

/// Calls outstanding at a time.
const OUTSTANDING: u64 = 64;

/// As the pump of an acceptor takes them.
const SLICE_FRAMES: usize = 128;
const SLICE_BYTES: usize = 64 * 1024;

/// Both halves of a connection and what is kept between the steps.
struct Pair {
    client: ClientLink<u64>,
    acceptor: AcceptorLink<u64>,
    now: Instant,
    tickets: Vec<Ticket>,
    ids: Vec<RequestId>,
    woken: Vec<u64>,
    scratch: Vec<u8>,
    transmit: Vec<u8>,
    read: BytesMut,
    slice: Slice,
}

/// Runs the steps one after the other, for all calls that are outstanding.
pub(crate) fn run(meter: &Meter) -> Result<(), Failure> {
    let limits = Limits::default();
    let now = Instant::now();
    let params = limits.announce(0);
    let mut client = ClientLink::new(limits.clone(), now);
    client.handle_connected(&params, now);
    let mut pair = Pair {
        client,
        acceptor: AcceptorLink::new(limits, &params, now),
        now,
        tickets: Vec::new(),
        ids: Vec::new(),
        woken: Vec::new(),
        scratch: Vec::new(),
        transmit: Vec::new(),
        read: BytesMut::new(),
        slice: Slice::default(),
    };
    let small = Small::sample();
    while meter.goes_on() {
        let counts = meter.counts();
        let step_ends = || {
            if counts {
                boundary();
            }
        };
        pair.ask(&small)?;
        step_ends();
        let asked = pair.take_requests()?;
        step_ends();
        pair.answer(&small)?;
        step_ends();
        let answered = pair.take_answers()?;
        if (asked, answered) != (OUTSTANDING, OUTSTANDING) {
            return Err(format!("{asked} requests and {answered} answers came through").into());
        }
        meter.finish(OUTSTANDING);
    }
    Ok(())
}

/// Calls in one segment: one round.
pub(crate) const PER_SEGMENT: u64 = OUTSTANDING;

impl Pair {
    fn ask(&mut self, small: &Small) -> Result<(), Failure> {
        let info = Small::INFO;
        let route = RouteKey {
            actor: "answerer",
            message: info.name,
            version: info.version,
            fingerprint: info.fingerprint,
            requirement: "",
            identity: std::num::NonZeroUsize::new(std::ptr::from_ref(info).addr()),
        };
        let deadline = Some(self.now + Duration::from_secs(5));
        for token in 0..OUTSTANDING {
            self.scratch.clear();
            encode_value(small, &mut self.scratch)?;
            let body = Body::Borrowed(&self.scratch);
            let request =
                Submit { kind: SubmitKind::Call, route, body, compressed: false, trace: None, deadline };
            self.tickets.push(self.client.submit(request, token, self.now)?);
        }
        self.client.poll_transmit(&mut self.transmit, self.now);
        Ok(())
    }

    fn take_requests(&mut self) -> Result<u64, Failure> {
        let mut taken = 0;
        self.read.extend_from_slice(&self.transmit);
        self.acceptor.received(self.now);
        self.acceptor.handle_data(&mut self.read, SLICE_FRAMES, SLICE_BYTES, &mut self.slice)?;
        let chunk = &self.slice.chunk;
        for item in self.slice.items.drain(..) {
            let Inbound::Request(request) = item else { continue };
            let small: Small = match request.payload {
                Payload::Chunk { start, end } => {
                    decode_value(chunk.get(start as usize..end as usize).unwrap_or_default())?
                }
                Payload::Whole(bytes) => decode_value(&bytes)?,
            };
            black_box(small);
            self.ids.push(request.id);
            taken += 1;
        }
        Ok(taken)
    }

    fn answer(&mut self, small: &Small) -> Result<(), Failure> {
        self.scratch.clear();
        let count = self.ids.len();
        for id in self.ids.drain(..) {
            let head = Head::reply(id, false, false);
            let start = self.scratch.len();
            self.scratch.extend_from_slice(head.as_bytes());
            let body = self.scratch.len();
            encode_value(small, &mut self.scratch)?;
            let sealed = head.sealed(self.scratch.len() - body);
            if let Some(place) = self.scratch.get_mut(start..body) {
                place.copy_from_slice(sealed.as_bytes());
            }
        }
        self.acceptor.push_replies(&self.scratch, count);
        self.acceptor.poll_transmit(&mut self.transmit, self.now);
        Ok(())
    }

    fn take_answers(&mut self) -> Result<u64, Failure> {
        let mut taken = 0;
        self.read.extend_from_slice(&self.transmit);
        self.client.handle_data(&mut self.read, self.now)?;
        self.client.poll_woken(&mut self.woken);
        self.woken.clear();
        for ticket in self.tickets.drain(..) {
            let Some(Outcome::Answered { answer, .. }) = self.client.poll_outcome(ticket, |_| ()) else {
                continue;
            };
            black_box(decode_value::<Small>(answer.as_slice())?);
            taken += 1;
        }
        Ok(taken)
    }
}
