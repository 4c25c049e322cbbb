//! A stranger in front of either role, from its first byte to the end of the handshake.
//!
//! The input is a script of what it sends. It holds the cookies, so it can put a right proof behind any body: only then
//! are the later states met with bytes that nobody expects. What each frame should lead to is computed a second time
//! here, straight from the description of the handshake.

use farcall_proto::identity::{self, CertificateNames};
use farcall_proto::link::handshake::{
    Admission, ChannelBinding, Cookie, Extensions, HandshakeError, Initiator, Keyring, Local, PeerParams,
    PreAuthFramer, PreAuthLimits, Responder, Step,
};
use farcall_proto::peer::{Incarnation, NodeName};
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use super::Script;

const CLUSTER: &str = "fuzz";
const OWN: &str = "victim@10.0.0.1";
const OTHER: &str = "stranger@10.0.0.2";
/// The primary cookie, one that is still accepted, and one that nobody knows.
const SECRETS: [&[u8]; 3] =
    [b"the first cookie of these", b"the second cookie of these", b"a cookie of nobody here"];
const NONCE: [u8; 32] = [7; 32];

const HELLO: u8 = 1;
const CHALLENGE: u8 = 2;
const PROOF: u8 = 3;
const ACCEPT: u8 = 4;
const READY: u8 = 5;
const DECLINE: u8 = 7;

/// A handshake with a peer that does as it likes. The first byte chooses the role that is attacked, and its terms.
pub fn pre_auth(input: &[u8]) {
    is_let_in(input);
}

/// The same, and whether the handshake went through.
pub fn is_let_in(input: &[u8]) -> bool {
    let mut script = Script(input);
    let mut line = Line::new(script.byte());
    while !script.0.is_empty() && line.victim.is_some() {
        let step = script.byte();
        let wire = line.next(step % 8, &mut script);
        let piece = match step >> 6 {
            0 => usize::MAX,
            1 => 1000,
            2 => 33,
            _ => 1,
        };
        line.deliver(&wire, piece);
    }
    line.finish()
}

/// The role under attack.
#[allow(clippy::large_enum_variant, reason = "there is one at a time")]
enum Victim {
    Responder(Responder),
    Initiator(Initiator),
}

impl Victim {
    /// What waits now, or who is at the other end.
    fn handle(
        self,
        frame: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(Option<Self>, Option<NodeName>), HandshakeError> {
        Ok(match self {
            Self::Responder(state) => match state.handle(frame, out)? {
                Step::Continue(state) => (Some(Self::Responder(state)), None),
                Step::Done(established) => (None, Some(established.peer)),
            },
            Self::Initiator(state) => match state.handle(frame, out)? {
                Step::Continue(state) => (Some(Self::Initiator(state)), None),
                Step::Done(established) => (None, Some(established.peer)),
            },
        })
    }
}

struct Line {
    victim: Option<Victim>,
    framer: PreAuthFramer,
    limits: PreAuthLimits,
    /// The certificate that the stranger has shown to a responder.
    certificate: Option<CertificateNames>,
    admission: Admission,
    /// Kind of the message that is due, from the stranger.
    due: u8,
    /// All that was said, both ways, as the proofs cover it.
    said: Vec<u8>,
    /// The cookie that the stranger has proved, if it has.
    proved: Option<&'static [u8]>,
    taken_bytes: usize,
    piece_max: usize,
    done: bool,
}

impl Line {
    fn new(terms: u8) -> Self {
        let [primary, accepted, _] = SECRETS.map(|secret| Cookie::new(secret).unwrap());
        let keyring = Keyring::new(primary).accepting(accepted).unwrap();
        let local = Local {
            name: name(OWN),
            incarnation: Incarnation(1),
            params: params(false),
            cluster: CLUSTER.to_owned(),
            versions: 1..=1,
        };
        let mut said = Vec::new();
        let binding = ChannelBinding::None;
        let admission = match terms >> 1 & 3 {
            0 | 1 => Admission::Open,
            2 => Admission::Busy,
            _ => Admission::Draining,
        };
        let limits = if terms & 32 == 0 { PreAuthLimits::default() } else { PreAuthLimits::LEAST };
        let certificate = certificate(terms >> 3 & 3);
        let (victim, due) = if terms & 1 == 0 {
            let mut victim = Responder::new(local, &keyring, binding, NONCE).with_admission(admission);
            if let Some(names) = &certificate {
                victim = victim.with_certificate(names.clone());
            }
            (Victim::Responder(victim), HELLO)
        } else {
            let victim = Initiator::start(local, name(OTHER), &keyring, binding, NONCE, &mut said);
            (Victim::Initiator(victim), CHALLENGE)
        };
        Self {
            victim: Some(victim),
            framer: PreAuthFramer::with_limits(limits),
            limits,
            certificate,
            admission,
            due,
            said,
            proved: None,
            taken_bytes: 0,
            piece_max: 0,
            done: false,
        }
    }

    /// The bytes of the stranger's next write.
    fn next(&self, action: u8, script: &mut Script<'_>) -> Vec<u8> {
        match action {
            // As it should be.
            0 => self.message(self.due, &good_body(self.due), self.secret(0)),
            // A body of its own, under proof where one is due.
            1 => {
                let (secret, bytes) = (script.byte(), script.byte());
                self.message(self.due, script.take(bytes.into()), self.secret(secret))
            }
            // A good body with changes, as long as it may be or short, under proof where one is due.
            2 => {
                let (secret, changes) = (script.byte(), script.byte());
                let mut body = body_with(self.due, params(changes & 8 != 0));
                script.change(&mut body, changes % 8);
                self.message(self.due, &body, self.secret(secret))
            }
            // Any kind, with its good body.
            3 => {
                let (kind, secret) = (script.byte() % 10, script.byte());
                self.message(kind, &good_body(kind), self.secret(secret))
            }
            // A good message with changes behind its proof.
            4 => {
                let changes = script.byte() % 8;
                let mut wire = self.message(self.due, &good_body(self.due), self.secret(0));
                script.change(&mut wire, changes);
                wire
            }
            // Any frame.
            5 => {
                let bytes = script.byte();
                framed(script.take(bytes.into()))
            }
            // A long frame; its first bytes are chosen.
            6 => {
                let (bytes, kind) = (usize::from(script.byte()) * 17, script.byte());
                let mut body = vec![0; bytes];
                body.iter_mut()
                    .zip([&[kind][..], b"FARC\x01\x01"].concat())
                    .for_each(|(to, from)| *to = from);
                framed(&body)
            }
            // No frame at all.
            _ => {
                let bytes = script.byte();
                script.take(bytes.into()).to_vec()
            }
        }
    }

    fn secret(&self, choice: u8) -> &'static [u8] {
        SECRETS[usize::from(choice) % SECRETS.len()]
    }

    /// A whole message, under proof if its kind has one.
    fn message(&self, kind: u8, body: &[u8], secret: &[u8]) -> Vec<u8> {
        let unproved = [&[kind], body].concat();
        let Some((label, role)) = proof_of(kind) else { return framed(&unproved) };
        let mut wire = framed(&[&unproved[..], &[0; 32]].concat());
        wire.truncate(4 + unproved.len());
        let proof = proof(secret, label, role, &[&self.said, &wire]);
        wire.extend_from_slice(&proof);
        wire
    }

    fn deliver(&mut self, wire: &[u8], piece: usize) {
        for piece in wire.chunks(piece) {
            if self.victim.is_none() {
                return;
            }
            self.piece_max = self.piece_max.max(piece.len());
            self.framer.feed(piece);
            while let Some(victim) = self.victim.take() {
                match self.framer.next_frame() {
                    Ok(Some(frame)) => self.victim = self.handle(victim, &frame),
                    Ok(None) => {
                        self.victim = Some(victim);
                        break;
                    }
                    Err(error) => assert!(
                        ["frame_too_large", "too_many_bytes", "malformed"].contains(&error.reason()),
                        "{error}"
                    ),
                }
            }
        }
    }

    /// One frame goes in: what comes out is compared with what is known here.
    fn handle(&mut self, victim: Victim, frame: &[u8]) -> Option<Victim> {
        self.taken_bytes += 4 + frame.len();
        assert!(frame.len() <= self.limits.frame_bytes_max);
        assert!(self.taken_bytes <= self.limits.total_bytes_max);
        let right = self.right_proof(frame);
        let (dialled, kind) = (matches!(victim, Victim::Responder(_)), frame.first().copied());
        let mut out = Vec::new();
        let result = victim.handle(frame, &mut out);
        assert!(out.len() <= 4 + PreAuthFramer::FRAME_BYTES_MAX, "one answer at most");
        let proved = result.is_ok() && proof_of(self.due).is_some();
        assert!(!proved || (kind == Some(self.due) && right.is_some()), "kind {kind:?} without proof");
        match result.as_ref().err().map(HandshakeError::reason) {
            Some("auth_failed") => assert!(right.is_none(), "a right proof was refused"),
            Some("declined" | "wrong_name" | "wrong_node" | "wrong_certificate" | "not_admitted") => {
                assert!(right.is_some(), "told without proof")
            }
            _ => {}
        }
        if proved {
            self.proved = right;
        }
        let told = !dialled || self.proved.is_some();
        assert!(told || !contains(&out, OWN.as_bytes()), "a stranger learns no name");
        self.said.extend_from_slice(&framed(frame));
        self.said.extend_from_slice(&out);
        self.due = match self.due {
            HELLO => PROOF,
            CHALLENGE => ACCEPT,
            _ => READY,
        };
        let (victim, peer) = result.unwrap_or_default();
        self.done = peer.is_some();
        match (peer, dialled) {
            (Some(peer), true) => {
                let vouches = |names: &CertificateNames| names.vouches_for(CLUSTER, &peer);
                assert!(self.certificate.as_ref().is_none_or(vouches), "{peer} is not in its certificate");
                assert_eq!(self.admission, Admission::Open);
            }
            (Some(peer), false) => assert_eq!(peer.as_str(), OTHER, "the one that was dialled"),
            (None, _) => {}
        }
        victim
    }

    /// The cookie whose proof of all that was said stands at the end of this frame, among those that may be used.
    fn right_proof(&self, frame: &[u8]) -> Option<&'static [u8]> {
        let (label, role) = proof_of(*frame.first()?)?;
        let (head, found) = frame.split_last_chunk::<32>()?;
        let length = framed(frame);
        let said: [&[u8]; 3] = [&self.said, length.get(..4)?, head];
        let allowed = match (self.proved, self.due) {
            (Some(secret), _) => vec![secret],
            (None, ACCEPT) => SECRETS.into_iter().take(1).collect(),
            (None, _) => SECRETS.into_iter().take(2).collect(),
        };
        allowed.into_iter().find(|secret| proof(secret, label, role, &said) == *found)
    }

    fn finish(self) -> bool {
        let held_bytes = self.framer.into_rest().len();
        let bound_bytes = 4 + self.limits.frame_bytes_max + self.piece_max;
        assert!(held_bytes <= bound_bytes, "{held_bytes} bytes are held, the bound is {bound_bytes}");
        self.done
    }
}

/// None, one for the stranger's own name, one for another name, one for its host.
fn certificate(choice: u8) -> Option<CertificateNames> {
    let node =
        |text| CertificateNames { uris: vec![identity::uri(CLUSTER, &name(text))], ..Default::default() };
    match choice {
        0 => None,
        1 => Some(node(OTHER)),
        2 => Some(node(OWN)),
        _ => Some(CertificateNames { ips: vec!["10.0.0.2".parse().unwrap()], ..Default::default() }),
    }
}

fn name(text: &str) -> NodeName {
    text.parse().unwrap()
}

/// With an extension that nobody knows, or with as many as there may be.
fn params(full: bool) -> PeerParams {
    let mut extensions = Extensions::default();
    extensions.insert(700, b"later").unwrap();
    for number in (701..).take(if full { Extensions::COUNT_MAX - 1 } else { 0 }) {
        extensions.insert(number, &[9; Extensions::VALUE_BYTES_MAX]).unwrap();
    }
    PeerParams {
        message_bytes_max: 1 << 20,
        fragment_bytes: 1 << 16,
        in_flight_max: 1000,
        reassembly_bytes_max: 1 << 21,
        tick_ms: 10_000,
        tick_intensity: 4,
        compress: 3,
        flags: 0,
        extensions,
    }
}

/// What an honest peer would send as the body of this kind.
fn good_body(kind: u8) -> Vec<u8> {
    body_with(kind, params(false))
}

fn body_with(kind: u8, params: PeerParams) -> Vec<u8> {
    let (own, other) = (OWN, OTHER);
    let body = match kind {
        HELLO => postcard::to_allocvec(&(*b"FARC", 1u8, 1u8, NONCE, other, Incarnation(2), own, params)),
        CHALLENGE => postcard::to_allocvec(&(1u8, NONCE)),
        ACCEPT => postcard::to_allocvec(&(other, Incarnation(2), params)),
        PROOF | READY => Ok(Vec::new()),
        _ => Ok(vec![0]),
    };
    body.unwrap()
}

/// Label and role of the proof that stands in a message of this kind.
fn proof_of(kind: u8) -> Option<(&'static str, &'static str)> {
    match kind {
        PROOF => Some(("farcall proof", "farcall initiator")),
        ACCEPT => Some(("farcall accept", "farcall responder")),
        READY => Some(("farcall ready", "farcall initiator")),
        DECLINE => Some(("farcall decline", "farcall responder")),
        _ => None,
    }
}

fn proof(secret: &[u8], label: &str, role: &str, said: &[&[u8]]) -> [u8; 32] {
    let mut key = [0; 32];
    Hkdf::<Sha256>::new(Some(CLUSTER.as_bytes()), secret).expand(role.as_bytes(), &mut key).unwrap();
    let transcript = said.iter().fold(Sha256::new(), |hash, bytes| hash.chain_update(bytes));
    let transcript = transcript.chain_update(b"no-cb").finalize();
    let mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
    mac.chain_update(label.as_bytes()).chain_update(transcript).finalize().into_bytes().0
}

fn framed(body: &[u8]) -> Vec<u8> {
    [&u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes(), body].concat()
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
