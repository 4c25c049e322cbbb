//! The dialling side: greets, proves itself first, and believes nothing before the answer is proved.

use std::ops::RangeInclusive;

use super::cookie::Keyring;
use super::error::{HandshakeError, KeyIds};
use super::keys::{ChannelBinding, Label, RoleKeys, Transcript};
use super::messages::{
    Accept, Challenge, DeclineReason, Empty, Hello, Kind, Received, Refuse, write, write_proved,
    write_refusal,
};
use super::{Established, Local, Step};
use crate::peer::NodeName;

/// The dialling side of a handshake, waiting for its next message.
pub struct Initiator(State);

enum State {
    Challenge(AwaitChallenge),
    Accept(AwaitAccept),
}

impl Initiator {
    /// Begins a handshake with the node `want`, on a channel bound by `binding`: writes the greeting to `out`.
    ///
    /// `nonce` is 32 fresh bytes from the operating system. This side proves itself with the keyring's primary
    /// cookie, and accepts the answer under the same one only.
    pub fn start(
        local: Local,
        want: NodeName,
        keyring: &Keyring,
        binding: ChannelBinding,
        nonce: [u8; 32],
        out: &mut Vec<u8>,
    ) -> Self {
        let keys = RoleKeys::derive(keyring.primary(), &local.cluster);
        let mut transcript = Transcript::new(binding);
        write(out, &mut transcript, Kind::Hello, &Hello::new(&local, &want, nonce));
        Self(State::Challenge(AwaitChallenge { offered: local.versions, want, keys, transcript }))
    }

    /// Takes a frame without its length; what is to be sent goes to the end of `out`.
    ///
    /// # Errors
    /// [`HandshakeError`]: the connection is to be closed, after `out` is sent if there is something in it.
    pub fn handle(self, frame: &[u8], out: &mut Vec<u8>) -> Result<Step<Self>, HandshakeError> {
        let step = match self.0 {
            State::Challenge(state) => {
                state.handle(frame, out).map(|next| Step::Continue(Self(State::Accept(next))))
            }
            State::Accept(state) => state.handle(frame, out).map(Step::Done),
        };
        if step.as_ref().is_err_and(HandshakeError::is_told_generically) {
            write_refusal(out, Refuse::Generic);
        }
        step
    }
}

impl std::fmt::Debug for Initiator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.0 {
            State::Challenge(_) => "Initiator(awaiting challenge)",
            State::Accept(_) => "Initiator(awaiting accept)",
        })
    }
}

struct AwaitChallenge {
    offered: RangeInclusive<u8>,
    want: NodeName,
    keys: RoleKeys,
    transcript: Transcript,
}

impl AwaitChallenge {
    fn handle(mut self, frame: &[u8], out: &mut Vec<u8>) -> Result<AwaitAccept, HandshakeError> {
        let received = Received::new(frame, Kind::Challenge)?;
        match received.kind {
            Kind::Challenge => {}
            Kind::Refuse => return Err(received.read_refusal(&self.offered, KeyIds(vec![self.keys.id]))?),
            _ => return Err(received.unexpected(Kind::Challenge)),
        }
        let challenge: Challenge = received.read(&mut self.transcript)?;
        // Its nonce matters only as a part of the transcript.
        let version = challenge.version;
        if !self.offered.contains(&version) {
            return Err(HandshakeError::VersionNotOffered { chosen: version, offered: self.offered });
        }
        write_proved(out, &mut self.transcript, Kind::Proof, &Empty, (&self.keys.initiator, Label::Proof));
        let Self { offered, want, keys, transcript } = self;
        Ok(AwaitAccept { version, offered, want, keys, transcript })
    }
}

struct AwaitAccept {
    version: u8,
    offered: RangeInclusive<u8>,
    want: NodeName,
    keys: RoleKeys,
    transcript: Transcript,
}

impl AwaitAccept {
    fn handle(mut self, frame: &[u8], out: &mut Vec<u8>) -> Result<Established, HandshakeError> {
        let received = Received::new(frame, Kind::Accept)?;
        match received.kind {
            Kind::Accept => {}
            Kind::Decline => return Err(self.declined(&received)?),
            Kind::Refuse => return Err(received.read_refusal(&self.offered, KeyIds(vec![self.keys.id]))?),
            _ => return Err(received.unexpected(Kind::Accept)),
        }
        let key = [((), &self.keys.responder)];
        let (accept, ()): (Accept, ()) =
            received.read_proved(&mut self.transcript, Label::Accept, key)?.ok_or_else(|| self.unproved())?;
        if accept.name != self.want {
            return Err(HandshakeError::WrongName { dialled: self.want, answered: accept.name });
        }
        write_proved(out, &mut self.transcript, Kind::Ready, &Empty, (&self.keys.initiator, Label::Ready));
        Ok(Established {
            peer: accept.name,
            incarnation: accept.incarnation,
            version: self.version,
            params: accept.params,
            key_id: self.keys.id,
        })
    }

    fn declined(&mut self, received: &Received<'_>) -> Result<HandshakeError, HandshakeError> {
        let key = [((), &self.keys.responder)];
        let (reason, ()): (DeclineReason, ()) = received
            .read_proved(&mut self.transcript, Label::Decline, key)?
            .ok_or_else(|| self.unproved())?;
        Ok(HandshakeError::Declined { reason })
    }

    fn unproved(&self) -> HandshakeError {
        HandshakeError::AuthFailed { tried: KeyIds(vec![self.keys.id]) }
    }
}
