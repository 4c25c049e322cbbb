//! Fragments in every order: streams that are begun, continued, interleaved, given up, repeated and overrun.
//!
//! The input is a script of what the peer sends. A second, simple account of the open streams says what the link has
//! to make of each fragment; the two must agree after every step.

use std::collections::BTreeMap;
use std::time::Instant;

use bytes::BytesMut;
use farcall_proto::link::frame::{
    self, Definition, Frame, HEAD_BYTES_MAX, Head, Kind, NO_DEADLINE, RequestId,
};
use farcall_proto::link::outbox::Body;
use farcall_proto::link::{
    AcceptorLink, ClientLink, Inbound, Limits, NextItem, Payload, RouteKey, Slice, Submit, SubmitKind, Ticket,
};

use super::{Script, peer, tight};

const ID: RequestId = RequestId { slot: 0, generation: 0 };
/// The request that a client has open as a stream of items.
const ITEMS: u32 = 1;

/// A peer that fragments as it likes. The first byte chooses the role that is attacked.
pub fn fragments(input: &[u8]) {
    let mut script = Script(input);
    let mut line = Line::new(script.byte() % 2 == 0);
    while !script.0.is_empty() && line.up {
        let step = script.byte();
        line.next(step % 8, u32::from(step >> 3 & 7), &mut script);
        let piece = match step >> 6 {
            0 => usize::MAX,
            1 => 1000,
            2 => 61,
            _ => 7,
        };
        line.deliver(piece);
    }
    line.finish();
}

/// What a fragment has to lead to.
enum Verdict {
    Nothing,
    Whole(Vec<u8>),
    Broken,
}

/// The streams that are open, as the rules say.
struct Account {
    limits: Limits,
    /// Announced total, and what came.
    open: BTreeMap<u32, (usize, Vec<u8>)>,
}

impl Account {
    fn announced_bytes(&self) -> usize {
        self.open.values().map(|(total, _)| total).sum()
    }

    fn fragment(&mut self, stream: u32, total: Option<u32>, data: &[u8]) -> Verdict {
        if let Some(total) = total {
            let total = total as usize;
            let fits = total <= self.limits.message_bytes_max + HEAD_BYTES_MAX
                && self.open.len() < self.limits.streams_max
                && self.announced_bytes() + total <= self.limits.reassembly_bytes_max;
            if !fits || self.open.insert(stream, (total, Vec::new())).is_some() {
                return Verdict::Broken;
            }
        }
        let Some((total, came)) = self.open.get_mut(&stream) else { return Verdict::Broken };
        came.extend_from_slice(data);
        if data.is_empty() || came.len() > *total {
            return Verdict::Broken;
        }
        if came.len() < *total {
            return Verdict::Nothing;
        }
        self.open.remove(&stream).map_or(Verdict::Nothing, |(_, whole)| Verdict::Whole(whole))
    }
}

/// The link under attack.
#[allow(clippy::large_enum_variant, reason = "there is one at a time")]
enum Victim {
    Acceptor(AcceptorLink<u32>),
    Client(ClientLink<u32>, Vec<Ticket>),
}

/// What the frames sent and not yet delivered have to lead to.
#[derive(Default)]
struct Due {
    /// Payloads that an acceptor hands on.
    payloads: Vec<Vec<u8>>,
    /// The link ends.
    broken: bool,
    /// It may end: items beyond the credit.
    may_break: bool,
}

struct Line {
    victim: Victim,
    up: bool,
    now: Instant,
    account: Account,
    /// The frames that the peer is cutting up, and how much of each is sent.
    cutting: BTreeMap<u32, (Vec<u8>, usize)>,
    wire: Vec<u8>,
    last: Vec<u8>,
    due: Due,
    buffer: BytesMut,
}

impl Line {
    fn new(accepts: bool) -> Self {
        let now = Instant::now();
        let limits = tight();
        let mut line = Self {
            victim: if accepts { acceptor(&limits, now) } else { client(&limits, now) },
            up: true,
            now,
            account: Account { limits, open: BTreeMap::new() },
            cutting: BTreeMap::new(),
            wire: Vec::new(),
            last: Vec::new(),
            due: Due::default(),
            buffer: BytesMut::new(),
        };
        if accepts {
            let text = |text: &str| text.to_owned();
            let (actor, message, requirement) = (text("a"), text("m"), text(""));
            let definition = Definition { actor, message, version: 1, fingerprint: 1, requirement };
            frame::write_define(0, &definition, &mut line.wire);
            line.deliver(usize::MAX);
        }
        line
    }

    /// The peer's next step: frames go to the end of `wire`, and what they have to lead to into `due`.
    fn next(&mut self, action: u8, stream: u32, script: &mut Script<'_>) {
        match action {
            // A stream begins as it should.
            0 | 1 => {
                let (what, size, part) = (script.byte(), script.byte(), script.byte());
                let whole = inner(what, usize::from(size) * 36);
                let total = u32::try_from(whole.len()).unwrap();
                self.cutting.insert(stream, (whole, 0));
                self.cut(stream, Some(total), usize::from(part) * 5);
            }
            // It goes on.
            2 => {
                let part = script.byte();
                self.cut(stream, None, usize::from(part) * 5);
            }
            // It goes on to its end, and now and then by a byte beyond it.
            3 => {
                if script.byte() % 4 == 3
                    && let Some((whole, _)) = self.cutting.get_mut(&stream)
                {
                    whole.push(0);
                }
                while self.cutting.get(&stream).is_some_and(|(whole, at)| *at < whole.len()) {
                    self.cut(stream, None, 1024);
                }
            }
            // It is given up.
            4 => {
                self.cutting.remove(&stream);
                self.account.open.remove(&stream);
                self.last.clear();
                frame::write_abort(stream, &mut self.last);
                self.wire.extend_from_slice(&self.last);
            }
            // The last fragment comes again.
            5 => {
                let last = self.last.clone();
                if let Ok(Frame::Fragment { stream, total, abort: false, data }) =
                    Frame::parse(last.get(4..).unwrap_or_default())
                {
                    self.send(stream, total, data);
                }
            }
            // Any total, any bytes.
            6 => {
                let (flags, bytes) = (script.byte(), script.byte());
                let total = u32::from(script.byte()) << (flags & 31);
                let total = if flags & 32 == 0 { Some(total) } else { None };
                self.send(stream, total, script.take(bytes.into()));
            }
            // Something small between them.
            _ => match script.byte() % 4 {
                0 => frame::write_ping(7, &mut self.wire),
                1 => frame::write_ping(0, &mut self.wire),
                2 => frame::write_pong(u64::from(script.byte()), &mut self.wire),
                _ => Head::void().write(&[], &mut self.wire),
            },
        }
    }

    /// Sends the next part of what the stream cuts up; of no such stream, bytes of nothing.
    fn cut(&mut self, stream: u32, total: Option<u32>, bytes: usize) {
        let part = match self.cutting.get_mut(&stream) {
            Some((whole, at)) => {
                let end = (*at + bytes).min(whole.len());
                let part = whole[*at..end].to_vec();
                *at = end;
                part
            }
            None => vec![1; bytes],
        };
        self.send(stream, total, &part);
    }

    fn send(&mut self, stream: u32, total: Option<u32>, data: &[u8]) {
        self.last.clear();
        Head::fragment(stream, total).write(data, &mut self.last);
        self.wire.extend_from_slice(&self.last);
        if self.due.broken {
            return;
        }
        match self.account.fragment(stream, total, data) {
            Verdict::Nothing => {}
            Verdict::Broken => self.due.broken = true,
            Verdict::Whole(whole) => self.due_of(&whole),
        }
    }

    /// What a frame that is complete has to lead to.
    fn due_of(&mut self, whole: &[u8]) {
        let in_flight_max = self.account.limits.in_flight_max;
        let accepts = matches!(self.victim, Victim::Acceptor(_));
        match Frame::parse(whole) {
            Ok(Frame::Cast { route: 0, payload, .. }) if accepts => self.due.payloads.push(payload.to_vec()),
            Ok(
                Frame::Request { id, route: 0, payload, .. }
                | Frame::Deliver { id, route: 0, payload, .. }
                | Frame::Open { id, route: 0, payload, .. },
            ) if accepts => {
                // Over the limit it is refused, which harms nobody else.
                if (id.slot as usize) < in_flight_max {
                    self.due.payloads.push(payload.to_vec());
                }
            }
            Ok(Frame::Reply { .. } | Frame::Item { opened: true, .. }) if !accepts => {}
            Ok(Frame::Item { .. }) if !accepts => self.due.may_break = true,
            _ => self.due.broken = true,
        }
    }

    fn deliver(&mut self, piece: usize) {
        let wire = std::mem::take(&mut self.wire);
        let mut payloads = Vec::new();
        for piece in wire.chunks(piece) {
            self.buffer.extend_from_slice(piece);
            let result = match &mut self.victim {
                Victim::Acceptor(link) => accept(link, &mut self.buffer, self.now, &mut payloads),
                Victim::Client(link, tickets) => read(link, tickets, &mut self.buffer, self.now),
            };
            let held_bytes = self.reassembly_bytes();
            assert!(held_bytes <= self.account.limits.reassembly_bytes_max, "{held_bytes} bytes are held");
            if let Err(error) = result {
                assert!(self.due.broken || self.due.may_break, "ended without a reason: {error}");
                self.up = false;
                return;
            }
        }
        let due = std::mem::take(&mut self.due);
        assert!(!due.broken, "a rule was broken and nothing came of it");
        assert!(self.buffer.is_empty(), "whole frames are taken");
        assert_eq!(self.reassembly_bytes(), self.account.announced_bytes());
        assert_eq!(payloads, due.payloads);
    }

    fn reassembly_bytes(&self) -> usize {
        match &self.victim {
            Victim::Acceptor(link) => link.reassembly_bytes(),
            Victim::Client(link, _) => link.reassembly_bytes(),
        }
    }

    fn finish(mut self) {
        match &mut self.victim {
            Victim::Acceptor(link) => link.handle_lost(),
            Victim::Client(link, _) => {
                let unsent = farcall_proto::failure::NotSent::Disconnected("end".into());
                link.handle_lost(unsent, farcall_proto::link::LossCause::Closed, 0, self.now);
            }
        }
        assert_eq!(self.reassembly_bytes(), 0);
    }
}

fn acceptor(limits: &Limits, now: Instant) -> Victim {
    Victim::Acceptor(AcceptorLink::new(limits.clone(), &peer(), now))
}

/// With a call in slot 0 and a stream of items in slot 1.
fn client(limits: &Limits, now: Instant) -> Victim {
    let mut link = ClientLink::new(limits.clone(), now);
    link.handle_connected(&peer(), now);
    let route =
        RouteKey { actor: "a", message: "m", version: 1, fingerprint: 1, requirement: "", identity: None };
    let mut submit = |kind, token| {
        let request = Submit {
            kind,
            route,
            body: Body::Borrowed(b"x"),
            compressed: false,
            trace: None,
            deadline: None,
        };
        link.submit(request, token, now).unwrap()
    };
    let tickets = vec![submit(SubmitKind::Call, 0), submit(SubmitKind::Open { window: 16 << 10 }, ITEMS)];
    Victim::Client(link, tickets)
}

/// The frame that a stream carries: one that may be cut, or now and then one that may not.
fn inner(what: u8, payload_bytes: usize) -> Vec<u8> {
    let payload = vec![what; payload_bytes];
    let id = RequestId { slot: u32::from(what >> 4), generation: 0 };
    let items = RequestId { slot: ITEMS, generation: 0 };
    let head = match what % 16 {
        0 | 1 => Head::request(Kind::Request, id, 0, NO_DEADLINE, false),
        2 => Head::request(Kind::Deliver, id, 0, 1000, true),
        3 => Head::open(id, 0, NO_DEADLINE, 512, false),
        4 | 5 => Head::cast(0, false),
        6 | 7 => Head::reply(ID, false, true),
        8 => Head::reply(ID, true, false),
        9 | 10 => Head::item(items, false),
        11 => Head::opened(items),
        12 => Head::request(Kind::Request, id, 1, NO_DEADLINE, false),
        13 => Head::fragment(1, Some(100)),
        14 => Head::raw(),
        _ => frame::confirm(id, 0, 0),
    };
    let mut whole = Vec::new();
    head.write(&payload, &mut whole);
    whole.drain(..4);
    whole
}

/// An acceptor that answers at once and is read at once; `payloads` is what it was asked.
fn accept(
    link: &mut AcceptorLink<u32>,
    buffer: &mut BytesMut,
    now: Instant,
    payloads: &mut Vec<Vec<u8>>,
) -> Result<(), farcall_proto::link::ProtocolError> {
    let (mut slice, mut batch) = (Slice::default(), Vec::new());
    loop {
        link.handle_data(buffer, 4, 4096, &mut slice)?;
        if slice.chunk.is_empty() {
            return Ok(());
        }
        let chunk = slice.chunk.clone();
        for item in slice.items.drain(..) {
            let Inbound::Request(request) = item else { continue };
            let payload = match &request.payload {
                Payload::Chunk { start, end } => &chunk[*start as usize..*end as usize],
                Payload::Whole(bytes) => bytes,
            };
            payloads.push(payload.to_vec());
            if !matches!(request.kind, farcall_proto::link::RequestKind::Cast { .. }) {
                link.reply(request.id, false, Body::Borrowed(&[]));
            }
        }
        assert_eq!(link.in_flight(), 0);
        link.poll_transmit(&mut batch, now);
    }
}

/// A client that takes what has come.
fn read(
    link: &mut ClientLink<u32>,
    tickets: &[Ticket],
    buffer: &mut BytesMut,
    now: Instant,
) -> Result<(), farcall_proto::link::ProtocolError> {
    let mut batch = Vec::new();
    link.handle_data(buffer, now)?;
    link.poll_transmit(&mut batch, now);
    if let Some(items) = tickets.get(ITEMS as usize) {
        while let NextItem::Item { .. } | NextItem::Opened = link.poll_item(*items, || ITEMS) {}
    }
    Ok(())
}
