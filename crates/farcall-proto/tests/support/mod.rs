//! Two links over two pipes in virtual time: the one fixture of the link's tests.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part of the fixture")]

pub mod fuzz_entries;
pub mod pipe;
pub mod server;

use std::time::{Duration, Instant};

use farcall_proto::failure::{Failure, NotSent};
use farcall_proto::link::frame::Frame;
use farcall_proto::link::handshake::{Extensions, PeerParams};
use farcall_proto::link::outbox::Body;
use farcall_proto::link::{
    AcceptorLink, Casted, ClientLink, Limits, LossCause, Outcome, RouteKey, Slice, Submit, SubmitKind, Ticket,
};
use farcall_proto::trace::TraceContext;
use pipe::Pipe;
use server::Server;

/// What a side with these limits announces.
pub fn params(limits: &Limits) -> PeerParams {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    PeerParams {
        message_bytes_max: number(limits.message_bytes_max),
        fragment_bytes: number(limits.fragment_bytes),
        in_flight_max: number(limits.in_flight_max),
        reassembly_bytes_max: number(limits.reassembly_bytes_max),
        tick_ms: u32::try_from(limits.tick.as_millis()).unwrap_or(u32::MAX),
        tick_intensity: limits.tick_intensity,
        compress: 0,
        flags: 0,
        extensions: Extensions::default(),
    }
}

/// A route by the names of its actor and its message.
pub fn route<'a>(actor: &'a str, message: &'a str) -> RouteKey<'a> {
    RouteKey { actor, message, version: 1, fingerprint: 7, requirement: "", identity: None }
}

/// An asking and an answering link, the bytes between them, and the clock.
pub struct Pair {
    pub now: Instant,
    pub client: ClientLink<u32>,
    pub acceptor: AcceptorLink<u32>,
    pub server: Server,
    /// From the client to the acceptor.
    pub up: Pipe,
    pub down: Pipe,
    /// Tokens that came back to callers.
    pub woken: Vec<u32>,
    /// The trace of what is sent next.
    pub trace: Option<TraceContext>,
    next_token: u32,
    acceptor_params: PeerParams,
    /// Why either side ended the connection.
    pub ended: Option<LossCause>,
}

impl Pair {
    /// Two sides alike, shaken hands.
    pub fn new(limits: Limits) -> Self {
        let mut pair = Self::opening(limits.clone(), limits);
        pair.connect();
        pair
    }

    /// Limits small enough that tests meet them.
    pub fn small() -> Self {
        Self::new(Limits { fragment_bytes: 1024, ..Limits::default() })
    }

    /// The client has not heard of the acceptor yet.
    pub fn opening(client: Limits, acceptor: Limits) -> Self {
        let now = Instant::now();
        Self {
            now,
            acceptor: AcceptorLink::new(acceptor.clone(), &params(&client), now),
            client: ClientLink::new(client, now),
            server: Server::default(),
            up: Pipe::default(),
            down: Pipe::default(),
            woken: Vec::new(),
            trace: None,
            next_token: 0,
            acceptor_params: params(&acceptor),
            ended: None,
        }
    }

    pub fn connect(&mut self) {
        self.client.handle_connected(&self.acceptor_params, self.now);
    }

    pub fn submit(
        &mut self,
        kind: SubmitKind,
        route: RouteKey<'_>,
        payload: &[u8],
        timeout: Option<Duration>,
    ) -> Result<Ticket, NotSent> {
        let deadline = timeout.map(|timeout| self.now + timeout);
        let body = Body::Borrowed(payload);
        let trace = self.trace.as_ref();
        let request = Submit { kind, route, body, compressed: false, trace, deadline };
        let ticket = self.client.submit(request, self.next_token, self.now)?;
        self.next_token += 1;
        Ok(ticket)
    }

    pub fn call(&mut self, actor: &str, message: &str, payload: &[u8]) -> Ticket {
        self.submit(SubmitKind::Call, route(actor, message), payload, None).unwrap()
    }

    pub fn call_within(&mut self, actor: &str, message: &str, payload: &[u8], timeout: Duration) -> Ticket {
        self.submit(SubmitKind::Call, route(actor, message), payload, Some(timeout)).unwrap()
    }

    pub fn open(&mut self, window: u32, items: u32, bytes: u32) -> Ticket {
        let payload = server::script(items, bytes);
        self.submit(SubmitKind::Open { window }, route("streamer", "items"), &payload, None).unwrap()
    }

    pub fn cast(&mut self, actor: &str, payload: &[u8]) -> Casted {
        let trace = self.trace.as_ref();
        self.client.cast(&route(actor, "note"), Body::Borrowed(payload), false, trace).unwrap()
    }

    pub fn confirm(&mut self, cast: Casted, timeout: Option<Duration>) -> Result<Ticket, Failure> {
        let deadline = timeout.map(|timeout| self.now + timeout);
        let ticket = self.client.confirm(cast, deadline, self.next_token)?;
        self.next_token += 1;
        Ok(ticket)
    }

    /// Moves bytes until nothing moves any more at this moment.
    pub fn run(&mut self) {
        let mut slice = Slice::default();
        loop {
            let (client, acceptor, now) = (&mut self.client, &mut self.acceptor, self.now);
            let mut moved = self.up.write(now, |batch| client.poll_transmit(batch, now));
            moved |= self.down.write(now, |batch| acceptor.poll_transmit(batch, now));
            while self.acceptor.wants_read() && self.up.read(now) {
                moved = true;
                self.acceptor.received(now);
                self.serve(&mut slice);
            }
            while self.down.read(now) {
                moved = true;
                if let Err(error) = self.client.handle_data(&mut self.down.arrived, now) {
                    self.ended = Some(error.into());
                }
            }
            let mut granted = Vec::new();
            self.acceptor.poll_woken(&mut granted);
            if !granted.is_empty() {
                moved = true;
                self.server.stream(&mut self.acceptor);
            }
            self.client.poll_woken(&mut self.woken);
            if !moved || self.ended.is_some() {
                return;
            }
        }
    }

    /// The acceptor handles all that has arrived.
    pub fn serve(&mut self, slice: &mut Slice) {
        loop {
            if let Err(error) = self.acceptor.handle_data(&mut self.up.arrived, 16, 64 << 10, slice) {
                self.ended = Some(error.into());
                return;
            }
            if slice.chunk.is_empty() {
                return;
            }
            self.server.handle(&mut self.acceptor, slice);
        }
    }

    /// Lets time pass, stopping at every instant at which anything happens.
    pub fn advance(&mut self, by: Duration) {
        let until = self.now + by;
        while self.ended.is_none() {
            let client_io = self.up.io(&self.down);
            let acceptor_io = self.down.io(&self.up);
            let timeouts = [self.client.poll_timeout(&client_io), self.acceptor.poll_timeout(&acceptor_io)];
            let arrivals = [self.up.next_arrival(), self.down.next_arrival()];
            let next = timeouts.into_iter().chain(arrivals.into_iter().flatten()).min().unwrap();
            let done = next > until;
            self.now = next.clamp(self.now, until);
            let client = self.client.handle_timeout(self.now, &client_io);
            let acceptor = self.acceptor.handle_timeout(self.now, &acceptor_io);
            self.ended = client.err().or(acceptor.err());
            self.run();
            if done {
                return;
            }
        }
    }

    /// The connection breaks: of what flies to the acceptor, `keep` more bytes arrive.
    pub fn cut(&mut self, keep: usize) {
        self.up.cut(keep);
        self.serve(&mut Slice::default());
        let written = self.up.written();
        let unsent = NotSent::Disconnected("cut".into());
        self.client.handle_lost(unsent, LossCause::Closed, written, self.now);
        self.acceptor.handle_lost();
        self.client.poll_woken(&mut self.woken);
    }

    pub fn outcome(&mut self, ticket: Ticket) -> Option<Outcome> {
        self.client.poll_outcome(ticket, |_| ())
    }

    /// The bytes of an answer that must be there.
    pub fn answer(&mut self, ticket: Ticket) -> Vec<u8> {
        match self.outcome(ticket) {
            Some(Outcome::Answered { answer, .. }) => answer.as_slice().to_vec(),
            other => panic!("no answer: {other:?}"),
        }
    }

    /// The failure that must be there.
    pub fn failure(&mut self, ticket: Ticket) -> Failure {
        match self.outcome(ticket) {
            Some(Outcome::Failure(failure)) => failure,
            other => panic!("no failure: {other:?}"),
        }
    }
}

/// The frames in a stretch of the wire.
pub fn frames(mut wire: &[u8]) -> Vec<Frame<'_>> {
    let mut frames = Vec::new();
    while let Some((len, rest)) = wire.split_first_chunk::<4>() {
        let len = u32::from_le_bytes(*len) as usize;
        frames.push(Frame::parse(&rest[..len]).unwrap());
        wire = &rest[len..];
    }
    frames
}
