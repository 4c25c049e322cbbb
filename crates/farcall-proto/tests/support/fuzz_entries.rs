//! What the fuzz targets run, and the tests that replay their corpus: no bytes of a peer may panic a link or make it
//! hold more than its limits.
//!
//! [`frame`], [`portmap`], [`notices`], [`link_client`] and [`link_acceptor`] take bytes of the wire (for the links the first byte says into how
//! large pieces the rest is split); [`pre_auth`] and [`fragments`] take scripts, and know what must come of them.

#[path = "fuzz_entries/fragments.rs"]
mod fragments;
#[path = "fuzz_entries/stranger.rs"]
mod stranger;

use std::time::{Duration, Instant};

use bytes::BytesMut;
use farcall_proto::cluster::groups::{Feed, Groups};
use farcall_proto::cluster::notices::{NOTICES_MAX, Said, decode, encode};
use farcall_proto::cluster::signals::{ActorId, ChannelId, SignalLimits, Signals};
use farcall_proto::failure::NotSent;
use farcall_proto::link::frame::Frame;
use farcall_proto::link::handshake::{Extensions, PeerParams};
use farcall_proto::link::outbox::Body;
use farcall_proto::link::{
    AcceptorLink, ClientLink, Inbound, Limits, LossCause, NextItem, Payload, RequestKind, RouteKey, Slice,
    Submit, SubmitKind,
};
use farcall_proto::peer::{Incarnation, NodeName};
use farcall_proto::portmap::{Answer, Challenge, Hello, List, Register, epmd};

#[allow(unused_imports, reason = "each binary runs some of the entries")]
pub use self::{fragments::fragments, stranger::is_let_in, stranger::pre_auth};

/// Limits that a few bytes can meet.
pub fn tight() -> Limits {
    Limits {
        message_bytes_max: 8 << 10,
        fragment_bytes: 1024,
        unsent_bytes_max: 16 << 10,
        in_flight_max: 8,
        reassembly_bytes_max: 16 << 10,
        streams_max: 4,
        routes_max: 8,
        ..Limits::default()
    }
}

fn peer() -> PeerParams {
    PeerParams {
        message_bytes_max: 8 << 10,
        fragment_bytes: 1024,
        in_flight_max: 8,
        reassembly_bytes_max: 16 << 10,
        tick_ms: 10_000,
        tick_intensity: 4,
        compress: 0,
        flags: 0,
        extensions: Extensions::default(),
    }
}

fn pieces(input: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (size, rest) = input.split_first().map_or((0, input), |(size, rest)| (*size, rest));
    rest.chunks(match size {
        0 => usize::MAX,
        size => usize::from(size),
    })
}

/// An input that is read as decisions; behind its end every byte is zero.
struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or_default()
    }

    /// So many bytes, or what is left.
    fn take(&mut self, bytes: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(bytes.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// Changes bytes: one is set, flipped, put in or taken out at a time.
    fn change(&mut self, bytes: &mut Vec<u8>, changes: u8) {
        for _ in 0..changes {
            let (how, at, value) = (self.byte(), usize::from(self.byte()), self.byte());
            let at = at.min(bytes.len());
            match (how % 4, bytes.get_mut(at)) {
                (0, Some(byte)) => *byte = value,
                (1, Some(byte)) => *byte ^= value,
                (2, Some(_)) => drop(bytes.remove(at)),
                _ => bytes.insert(at, value),
            }
        }
    }
}

/// One frame: parsing it only reads.
pub fn frame(input: &[u8]) {
    let _ = Frame::parse(input);
}

/// Whatever anybody may say to a port mapper, or answer in its name.
pub fn portmap(input: &[u8]) {
    let _ = (epmd::Request::decode(input), epmd::decode_found(input), epmd::decode_names(input));
    let _ = (epmd::decode_alive2_answer(input), Hello::decode(input), Challenge::decode(input));
    let _ = Answer::decode(input);
    if let Ok(list) = List::decode(input) {
        assert_eq!(list.encode().get(epmd::LENGTH_BYTES..), Some(input), "it is written as it was read");
    }
    if let Ok(register) = Register::decode(input) {
        assert_eq!(register.encode().get(epmd::LENGTH_BYTES..), Some(input), "it is written as it was read");
    }
}

/// Whatever a peer may say in a session: it is read back as it was written, and kept within the limits of what hears it.
pub fn notices(input: &[u8]) {
    let Ok(all) = decode(input) else { return };
    assert!(all.len() <= NOTICES_MAX);
    let written = encode(&all).unwrap_or_default();
    assert_eq!(decode(&written), Ok(all.clone()), "it is read back as it was written");
    let (channel, limits) = (ChannelId(1), SignalLimits { monitors_max: 8 });
    let mut signals = Signals::<()>::new(limits);
    signals.channel_up(channel);
    let (own, peer) = (peer_name("own@h"), peer_name("peer@h"));
    let (mut groups, mut feed, mut out) = (Groups::new(own, 8), Feed::default(), Vec::new());
    let lookup = |name: &str| (name.len() % 2 == 1).then_some(ActorId(name.len() as u64));
    for said in all {
        match said {
            Said::Signal(notice) => signals.handle(channel, notice, &lookup, &mut out),
            Said::Groups(notice) => {
                feed.hear(&notice);
                if groups.handle(channel, &peer, Incarnation(1), notice).is_err() {
                    break;
                }
            }
        }
        assert!(signals.len().1 <= 16 && groups.len().1 <= 8);
    }
}

fn peer_name(name: &str) -> NodeName {
    name.parse().unwrap_or_else(|_| unreachable!("it is a name"))
}

/// A hostile acceptor in front of a client with one request of each kind under way.
pub fn link_client(input: &[u8]) {
    let limits = tight();
    let now = Instant::now();
    let mut link = ClientLink::new(limits.clone(), now);
    link.handle_connected(&peer(), now);
    let route =
        RouteKey { actor: "a", message: "m", version: 1, fingerprint: 1, requirement: "", identity: None };
    let kinds = [SubmitKind::Call, SubmitKind::Deliver, SubmitKind::Open { window: 512 }, SubmitKind::Call];
    let mut tickets = Vec::new();
    for (kind, token) in kinds.into_iter().zip(0u32..) {
        let deadline = Some(now + Duration::from_secs(5));
        let request =
            Submit { kind, route, body: Body::Borrowed(b"x"), compressed: false, trace: None, deadline };
        tickets.extend(link.submit(request, token, now));
    }
    let (mut buffer, mut batch, mut woken) = (BytesMut::new(), Vec::new(), Vec::new());
    for piece in pieces(input) {
        buffer.extend_from_slice(piece);
        let before = buffer.len();
        if link.handle_data(&mut buffer, now).is_err() {
            break;
        }
        assert!(buffer.len() <= before && link.reassembly_bytes() <= limits.reassembly_bytes_max);
        // This peer is read only now and then: what is written for it stays within its bound.
        if piece.len() % 2 == 0 {
            link.poll_transmit(&mut batch, now);
        }
        assert!(link.unsent_bytes() <= (2 << 20) + limits.unsent_bytes_max, "pongs are bounded");
        if let Some(ticket) = tickets.get(2) {
            while let NextItem::Item { .. } | NextItem::Opened = link.poll_item(*ticket, || 2) {}
        }
    }
    link.expire(now + Duration::from_secs(60));
    link.handle_lost(NotSent::Disconnected("end".into()), LossCause::Closed, 0, now);
    link.poll_woken(&mut woken);
    for (at, ticket) in tickets.into_iter().enumerate() {
        match at {
            2 => while let NextItem::Item { .. } | NextItem::Opened = link.poll_item(ticket, || 2) {},
            _ => assert!(link.poll_outcome(ticket, |_| ()).is_some(), "every request ends"),
        }
        let token = u32::try_from(at).unwrap_or(u32::MAX);
        let times = woken.iter().filter(|woken| **woken == token).count();
        assert!(if at == 2 { times >= 1 } else { times == 1 }, "token {token} came back {times} times");
    }
    assert_eq!((link.in_flight(), link.unsent_bytes(), link.reassembly_bytes()), (0, 0, 0));
}

/// A hostile client in front of an acceptor that answers everything and is rarely read.
pub fn link_acceptor(input: &[u8]) {
    let limits = tight();
    let now = Instant::now();
    let mut link: AcceptorLink<u32> = AcceptorLink::new(limits.clone(), &peer(), now);
    let (mut buffer, mut batch, mut slice) = (BytesMut::new(), Vec::new(), Slice::default());
    'pieces: for piece in pieces(input) {
        buffer.extend_from_slice(piece);
        while link.wants_read() {
            if link.handle_data(&mut buffer, 4, 4096, &mut slice).is_err() {
                break 'pieces;
            }
            assert!(link.reassembly_bytes() <= limits.reassembly_bytes_max);
            assert!(link.in_flight() <= limits.in_flight_max, "what is refused is answered at once");
            if slice.chunk.is_empty() {
                break;
            }
            answer(&mut link, &mut slice);
            // Four frames of at most a message each, and their answers.
            assert!(link.unsent_bytes() <= limits.unsent_bytes_max + 4 * (limits.message_bytes_max + 64));
        }
        if piece.len() % 2 == 0 {
            link.poll_transmit(&mut batch, now);
        }
    }
    link.handle_lost();
    assert_eq!((link.unsent_bytes(), link.reassembly_bytes()), (0, 0));
}

fn answer(link: &mut AcceptorLink<u32>, slice: &mut Slice) {
    let mut out = Vec::new();
    link.poll_woken(&mut out);
    let chunk = slice.chunk.clone();
    for item in slice.items.drain(..) {
        match item {
            Inbound::Request(request) => {
                let payload = match &request.payload {
                    Payload::Chunk { start, end } => {
                        chunk.get(*start as usize..*end as usize).unwrap_or_default()
                    }
                    Payload::Whole(bytes) => bytes,
                };
                match request.kind {
                    RequestKind::Cast { .. } => {}
                    RequestKind::Open { window } => {
                        link.open_stream(request.id, window);
                        if link.poll_credit(request.id, || 1) == farcall_proto::link::Credit::Ready {
                            link.push_item(request.id, false, Body::Borrowed(payload));
                        }
                        link.reply(request.id, false, Body::Borrowed(&[]));
                    }
                    RequestKind::Call | RequestKind::Deliver => {
                        link.reply(request.id, false, Body::Borrowed(payload));
                    }
                }
            }
            Inbound::Confirm { id, .. } => link.reply(id, false, Body::Borrowed(&[])),
            Inbound::Cancel(_) | Inbound::Define { .. } => {}
        }
    }
}
