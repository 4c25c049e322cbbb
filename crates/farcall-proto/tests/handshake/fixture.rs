//! Two sides and the line between them.

use std::collections::VecDeque;

use farcall_proto::identity::CertificateNames;
use farcall_proto::link::handshake::{
    Admission, ChannelBinding, Cookie, Established, Extensions, HandshakeError, Initiator, Keyring, Local,
    PeerParams, PreAuthFramer, Responder, Step,
};
use farcall_proto::peer::{Incarnation, NodeName};

pub(crate) const COOKIE: &[u8] = b"the cookie of all these nodes";
pub(crate) const ALPHA: &str = "alpha@10.0.0.1";
pub(crate) const BETA: &str = "beta@10.0.0.2";
/// The messages of a whole handshake, in order.
pub(crate) const MESSAGES: usize = 5;

pub(crate) fn name(text: &str) -> NodeName {
    text.parse().unwrap()
}

pub(crate) fn cookie(bytes: &[u8]) -> Cookie {
    Cookie::new(bytes).unwrap()
}

pub(crate) fn params(seed: u32) -> PeerParams {
    let mut extensions = Extensions::default();
    extensions.insert(700, b"later").unwrap();
    PeerParams {
        message_bytes_max: 16 << 20,
        fragment_bytes: 64 << 10,
        in_flight_max: 1000 + seed,
        reassembly_bytes_max: 64 << 20,
        tick_ms: 10_000,
        tick_intensity: 4,
        compress: 0b11,
        flags: 0x8000_0000,
        extensions,
    }
}

/// Everything that one side brings to a handshake.
#[derive(Clone)]
pub(crate) struct Side {
    pub(crate) local: Local,
    pub(crate) keyring: Keyring,
    pub(crate) binding: ChannelBinding,
    pub(crate) nonce: [u8; 32],
    /// Whom it dials, if it is the one that dials.
    pub(crate) want: NodeName,
    pub(crate) admission: Admission,
    /// What the other side has shown on its way here.
    pub(crate) certificate: Option<CertificateNames>,
    /// Who is turned away although it proves its name.
    pub(crate) namesakes: Vec<(NodeName, Incarnation)>,
}

impl Side {
    pub(crate) fn start(&self, out: &mut Vec<u8>) -> Initiator {
        let want = self.want.clone();
        Initiator::start(self.local.clone(), want, &self.keyring, self.binding, self.nonce, out)
    }

    pub(crate) fn respond(&self) -> Responder {
        let responder = Responder::new(self.local.clone(), &self.keyring, self.binding, self.nonce)
            .with_admission(self.admission)
            .turning_away(self.namesakes.clone());
        match &self.certificate {
            Some(names) => responder.with_certificate(names.clone()),
            None => responder,
        }
    }
}

/// Alpha, which dials beta.
pub(crate) fn alpha() -> Side {
    side(ALPHA, 0xa1, 1)
}

/// Beta, which answers.
pub(crate) fn beta() -> Side {
    side(BETA, 0xb2, 2)
}

fn side(own: &str, nonce: u8, number: u8) -> Side {
    Side {
        local: Local {
            name: name(own),
            incarnation: Incarnation(0x1111_1111_1111_1111 * u64::from(number)),
            params: params(number.into()),
            cluster: "tests".to_owned(),
            versions: 1..=1,
        },
        keyring: Keyring::new(cookie(COOKIE)),
        binding: ChannelBinding::None,
        nonce: [nonce; 32],
        want: name(BETA),
        admission: Admission::Open,
        certificate: None,
        namesakes: Vec::new(),
    }
}

/// Either side of a handshake.
pub(crate) trait Handshake: Sized {
    fn take(self, frame: &[u8], out: &mut Vec<u8>) -> Result<Step<Self>, HandshakeError>;
}

impl Handshake for Initiator {
    fn take(self, frame: &[u8], out: &mut Vec<u8>) -> Result<Step<Self>, HandshakeError> {
        self.handle(frame, out)
    }
}

impl Handshake for Responder {
    fn take(self, frame: &[u8], out: &mut Vec<u8>) -> Result<Step<Self>, HandshakeError> {
        self.handle(frame, out)
    }
}

/// How far a side got.
#[derive(Debug)]
pub(crate) enum Progress<S> {
    Waiting(S),
    Done(Established),
    Failed(HandshakeError),
}

impl<S> Progress<S> {
    pub(crate) fn established(self) -> Established {
        match self {
            Self::Done(established) => established,
            Self::Failed(error) => panic!("{error}"),
            Self::Waiting(_) => panic!("still waiting"),
        }
    }

    pub(crate) fn error(&self) -> &HandshakeError {
        match self {
            Self::Failed(error) => error,
            Self::Done(_) => panic!("the handshake went through"),
            Self::Waiting(_) => panic!("still waiting"),
        }
    }

    pub(crate) fn reason(&self) -> &'static str {
        self.error().reason()
    }

    pub(crate) fn is_done(&self) -> bool {
        matches!(self, Self::Done(_))
    }
}

/// One end of the line: a framer and a state, as a connection's task would hold them.
struct End<S> {
    framer: PreAuthFramer,
    progress: Progress<S>,
}

impl<S: Handshake> End<S> {
    fn new(state: S) -> Self {
        Self { framer: PreAuthFramer::new(), progress: Progress::Waiting(state) }
    }

    fn receive(mut self, bytes: &[u8], out: &mut Vec<u8>) -> Self {
        self.framer.feed(bytes);
        while let Progress::Waiting(state) = self.progress {
            self.progress = match self.framer.next_frame() {
                Err(error) => Progress::Failed(error),
                Ok(None) => return Self { progress: Progress::Waiting(state), ..self },
                Ok(Some(frame)) => match state.take(&frame, out) {
                    Ok(Step::Continue(state)) => Progress::Waiting(state),
                    Ok(Step::Done(established)) => Progress::Done(established),
                    Err(error) => Progress::Failed(error),
                },
            };
        }
        self
    }
}

/// What became of a conversation, and every write of it as it was sent (before anyone touched it).
pub(crate) struct Outcome {
    pub(crate) initiator: Progress<Initiator>,
    pub(crate) responder: Progress<Responder>,
    pub(crate) from_initiator: Vec<Vec<u8>>,
    pub(crate) from_responder: Vec<Vec<u8>>,
    /// What each side was left with behind its last frame.
    pub(crate) rests: (Vec<u8>, Vec<u8>),
}

impl Outcome {
    /// All writes in the order they were made, as long as the sides took turns.
    pub(crate) fn writes(&self) -> Vec<Vec<u8>> {
        let mut writes = Vec::new();
        for turn in 0..self.from_initiator.len().max(self.from_responder.len()) {
            writes.extend(self.from_initiator.get(turn).cloned());
            writes.extend(self.from_responder.get(turn).cloned());
        }
        writes
    }

    pub(crate) fn assert_nobody_is_up(&self) {
        assert!(!self.initiator.is_done() && !self.responder.is_done());
    }
}

/// Lets two sides talk over an honest line.
pub(crate) fn converse(dialler: &Side, acceptor: &Side) -> Outcome {
    converse_over(dialler, acceptor, |_, wire| wire)
}

/// Lets two sides talk over a line that may change the n-th message (from 0, both directions counted together).
pub(crate) fn converse_over(
    dialler: &Side,
    acceptor: &Side,
    mut line: impl FnMut(usize, Vec<u8>) -> Vec<u8>,
) -> Outcome {
    let mut hello = Vec::new();
    let mut initiator = End::new(dialler.start(&mut hello));
    let mut responder = End::new(acceptor.respond());
    let (mut from_initiator, mut from_responder) = (vec![hello.clone()], Vec::new());
    let mut under_way = VecDeque::from([(true, hello)]);
    let mut number = 0;
    while let Some((to_responder, wire)) = under_way.pop_front() {
        let wire = line(number, wire);
        number += 1;
        let mut out = Vec::new();
        if to_responder {
            responder = responder.receive(&wire, &mut out);
        } else {
            initiator = initiator.receive(&wire, &mut out);
        }
        if !out.is_empty() {
            let log = if to_responder { &mut from_responder } else { &mut from_initiator };
            log.push(out.clone());
            under_way.push_back((!to_responder, out));
        }
    }
    Outcome {
        initiator: initiator.progress,
        responder: responder.progress,
        from_initiator,
        from_responder,
        rests: (initiator.framer.into_rest().to_vec(), responder.framer.into_rest().to_vec()),
    }
}

/// The frame without its length.
pub(crate) fn body(wire: &[u8]) -> &[u8] {
    &wire[4..]
}

pub(crate) fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
