//! The answering side: says nothing of itself before the initiator has proved itself.

use std::ops::RangeInclusive;

use super::cookie::Keyring;
use super::error::{HandshakeError, KeyIds};
use super::keys::{ChannelBinding, Label, RoleKey, RoleKeys, Transcript};
use super::messages::{
    Accept, Challenge, DeclineReason, Empty, Hello, Kind, Received, Refuse, write, write_proved,
    write_refusal,
};
use super::{Admission, Established, Local, Step};
use crate::identity::CertificateNames;
use crate::peer::{Incarnation, NodeName};

/// The answering side of a handshake, waiting for its next message.
pub struct Responder {
    state: State,
    terms: Terms,
}

/// What else a peer must meet that has proved itself.
#[derive(Default)]
struct Terms {
    admission: Admission,
    certificate: Option<CertificateNames>,
    /// Processes that have the name of another one that lives.
    namesakes: Vec<(NodeName, Incarnation)>,
}

enum State {
    Hello(AwaitHello),
    Proof(AwaitProof),
    Ready(AwaitReady),
}

impl Responder {
    /// Waits for a greeting on a channel bound by `binding`.
    ///
    /// `nonce` is 32 fresh bytes from the operating system. Any cookie of the keyring is accepted and answered under.
    pub fn new(local: Local, keyring: &Keyring, binding: ChannelBinding, nonce: [u8; 32]) -> Self {
        let keys = keyring.cookies().map(|cookie| RoleKeys::derive(cookie, &local.cluster)).collect();
        let state = AwaitHello { local, keys: Keys(keys), transcript: Transcript::new(binding), nonce };
        Self { state: State::Hello(state), terms: Terms::default() }
    }

    /// The same handshake with this answer for a peer that proves itself; no effect once it has.
    ///
    /// A peer that wants another node is told that first.
    pub fn with_admission(mut self, admission: Admission) -> Self {
        self.terms.admission = admission;
        self
    }

    /// The same handshake with a peer that has shown this certificate: it must be for the name that the peer gives.
    ///
    /// Without this the name is only what the peer says; whoever holds the cookie may say any.
    pub fn with_certificate(mut self, names: CertificateNames) -> Self {
        self.terms.certificate = Some(names);
        self
    }

    /// The same handshake, in which these processes are turned away although they prove their names.
    pub fn turning_away(mut self, namesakes: Vec<(NodeName, Incarnation)>) -> Self {
        self.terms.namesakes = namesakes;
        self
    }

    /// Takes a frame without its length; what is to be sent goes to the end of `out`.
    ///
    /// # Errors
    /// [`HandshakeError`]: the connection is to be closed, after `out` is sent if there is something in it.
    pub fn handle(self, frame: &[u8], out: &mut Vec<u8>) -> Result<Step<Self>, HandshakeError> {
        let terms = self.terms;
        let step = match self.state {
            State::Hello(state) => state
                .handle(frame, out)
                .map(|state| Step::Continue(Self { state: State::Proof(state), terms })),
            State::Proof(state) => state
                .handle(frame, terms, out)
                .map(|state| Step::Continue(Self { state: State::Ready(state), terms: Terms::default() })),
            State::Ready(state) => state.handle(frame).map(Step::Done),
        };
        if step.as_ref().is_err_and(HandshakeError::is_told_generically) {
            write_refusal(out, Refuse::Generic);
        }
        step
    }
}

impl std::fmt::Debug for Responder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.state {
            State::Hello(_) => "Responder(awaiting hello)",
            State::Proof(_) => "Responder(awaiting proof)",
            State::Ready(_) => "Responder(awaiting ready)",
        })
    }
}

/// The keys of every accepted cookie, the primary one's first.
struct Keys(Vec<RoleKeys>);

impl Keys {
    fn ids(&self) -> KeyIds {
        KeyIds(self.0.iter().map(|keys| keys.id).collect())
    }
}

struct AwaitHello {
    local: Local,
    keys: Keys,
    transcript: Transcript,
    nonce: [u8; 32],
}

impl AwaitHello {
    fn handle(mut self, frame: &[u8], out: &mut Vec<u8>) -> Result<AwaitProof, HandshakeError> {
        let received = Received::new(frame, Kind::Hello)?;
        if received.kind != Kind::Hello {
            return Err(received.unexpected(Kind::Hello));
        }
        // Versions first: the rest of a newer hello may look different.
        let theirs = Hello::versions(received.body())?;
        let version = match highest_common(&self.local.versions, &theirs) {
            Some(version) => version,
            None => {
                let ours = self.local.versions;
                write_refusal(out, Refuse::Version { min: *ours.start(), max: *ours.end() });
                return Err(HandshakeError::NoCommonVersion { ours, theirs });
            }
        };
        let hello: Hello = received.read(&mut self.transcript)?;
        let challenge = Challenge { version, nonce: self.nonce };
        write(out, &mut self.transcript, Kind::Challenge, &challenge);
        let Self { local, keys, transcript, .. } = self;
        Ok(AwaitProof { version, hello, local, keys, transcript })
    }
}

/// The highest version that both ranges hold.
fn highest_common(ours: &RangeInclusive<u8>, theirs: &RangeInclusive<u8>) -> Option<u8> {
    let highest = *ours.end().min(theirs.end());
    (ours.contains(&highest) && theirs.contains(&highest)).then_some(highest)
}

struct AwaitProof {
    version: u8,
    hello: Hello,
    local: Local,
    keys: Keys,
    transcript: Transcript,
}

impl AwaitProof {
    fn handle(mut self, frame: &[u8], terms: Terms, out: &mut Vec<u8>) -> Result<AwaitReady, HandshakeError> {
        let received = Received::new(frame, Kind::Proof)?;
        match received.kind {
            Kind::Proof => {}
            Kind::Refuse => {
                return Err(received.read_refusal(&self.local.versions, self.keys.ids())?);
            }
            _ => return Err(received.unexpected(Kind::Proof)),
        }
        let candidates = self.keys.0.iter().map(|keys| (keys, &keys.initiator));
        let (Empty, keys) = received
            .read_proved(&mut self.transcript, Label::Proof, candidates)?
            .ok_or_else(|| HandshakeError::AuthFailed { tried: self.keys.ids() })?;
        // From here on the peer has proved itself, and may be told the truth.
        let Self { version, hello, local, mut transcript, .. } = self;
        if let Some(reason) = declines(&hello, &local, &terms) {
            let proof_by = (&keys.responder, Label::Decline);
            write_proved(out, &mut transcript, Kind::Decline, &reason, proof_by);
            return Err(match reason {
                DeclineReason::WrongNode => {
                    HandshakeError::WrongNode { peer: hello.name, wanted: hello.want, own: local.name }
                }
                DeclineReason::WrongCertificate => HandshakeError::WrongCertificate {
                    peer: hello.name,
                    certificate: terms.certificate.unwrap_or_default(),
                },
                reason => HandshakeError::NotAdmitted { peer: hello.name, reason },
            });
        }
        let accept = Accept { name: local.name, incarnation: local.incarnation, params: local.params };
        write_proved(out, &mut transcript, Kind::Accept, &accept, (&keys.responder, Label::Accept));
        let established = Established {
            peer: hello.name,
            incarnation: hello.incarnation,
            version,
            params: hello.params,
            key_id: keys.id,
        };
        Ok(AwaitReady { established, versions: local.versions, key: keys.initiator.clone(), transcript })
    }
}

/// Why a peer that has proved itself is not taken, if it is not.
fn declines(hello: &Hello, local: &Local, terms: &Terms) -> Option<DeclineReason> {
    // First: whoever claims a name that is not its own learns nothing else.
    if terms.certificate.as_ref().is_some_and(|names| !names.vouches_for(&local.cluster, &hello.name)) {
        return Some(DeclineReason::WrongCertificate);
    }
    if hello.want != local.name {
        return Some(DeclineReason::WrongNode);
    }
    if terms.namesakes.iter().any(|(name, number)| *name == hello.name && *number == hello.incarnation) {
        return Some(DeclineReason::NameInUse);
    }
    match terms.admission {
        Admission::Open => None,
        Admission::Busy => Some(DeclineReason::Busy),
        Admission::Draining => Some(DeclineReason::Draining),
    }
}

struct AwaitReady {
    established: Established,
    versions: RangeInclusive<u8>,
    key: RoleKey,
    transcript: Transcript,
}

impl AwaitReady {
    fn handle(mut self, frame: &[u8]) -> Result<Established, HandshakeError> {
        let tried = KeyIds(vec![self.established.key_id]);
        let received = Received::new(frame, Kind::Ready)?;
        match received.kind {
            Kind::Ready => {}
            Kind::Refuse => return Err(received.read_refusal(&self.versions, tried)?),
            _ => return Err(received.unexpected(Kind::Ready)),
        }
        let key = [((), &self.key)];
        match received.read_proved(&mut self.transcript, Label::Ready, key)? {
            Some((Empty, ())) => Ok(self.established),
            None => Err(HandshakeError::AuthFailed { tried }),
        }
    }
}
