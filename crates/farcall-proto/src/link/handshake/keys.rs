//! From a cookie to proofs: keys per role, and the transcript that every proof covers.

use hkdf::HkdfExtract;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

use super::cookie::{Cookie, KeyId};

/// The length of a proof in bytes: a whole HMAC-SHA-256, never shortened.
pub(super) const PROOF_BYTES: usize = 32;

/// What ties a handshake to the channel it runs on.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub enum ChannelBinding {
    /// Plain TCP has nothing to bind to.
    #[default]
    None,
    /// The keying material that TLS exports (`EXPORTER-Channel-Binding`): equal at both ends of one TLS session and
    /// nowhere else, so whoever terminates TLS in between cannot pass the proofs on.
    Exporter([u8; 32]),
}

impl ChannelBinding {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::None => b"no-cb",
            Self::Exporter(bytes) => bytes,
        }
    }
}

impl std::fmt::Debug for ChannelBinding {
    /// Exported keying material is no business of a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Exporter(_) => "Exporter(..)",
        })
    }
}

/// Says which message a proof stands in. Labels differ, and so do the keys of the two roles: either alone would keep
/// a proof from being used in another place.
#[derive(Debug, Clone, Copy)]
pub(super) enum Label {
    Proof,
    Accept,
    Decline,
    Ready,
}

impl Label {
    fn bytes(self) -> &'static [u8] {
        match self {
            Self::Proof => b"farcall proof",
            Self::Accept => b"farcall accept",
            Self::Decline => b"farcall decline",
            Self::Ready => b"farcall ready",
        }
    }
}

/// The two keys that a cookie gives in a cluster, one per role.
pub(super) struct RoleKeys {
    pub(super) initiator: RoleKey,
    pub(super) responder: RoleKey,
    pub(super) id: KeyId,
}

impl RoleKeys {
    /// HKDF-SHA-256 with the cluster as salt and the role as info.
    pub(super) fn derive(cookie: &Cookie, cluster: &str) -> Self {
        let mut extract = HkdfExtract::<Sha256>::new(Some(cluster.as_bytes()));
        extract.input_ikm(cookie.secret());
        let (mut pseudorandom, hkdf) = extract.finalize();
        pseudorandom.as_mut_slice().zeroize();
        let role = |info: &[u8]| {
            let mut key = Zeroizing::new([0; 32]);
            hkdf.expand(info, key.as_mut_slice()).expect("32 bytes are one block of HKDF");
            RoleKey(key)
        };
        Self {
            initiator: role(b"farcall initiator"),
            responder: role(b"farcall responder"),
            id: cookie.key_id(),
        }
    }
}

/// The key with which one role proves. Every copy is wiped.
#[derive(Clone)]
pub(super) struct RoleKey(Zeroizing<[u8; 32]>);

impl RoleKey {
    fn mac(&self, label: Label, transcript: &Transcript) -> Hmac<Sha256> {
        let mac = Hmac::<Sha256>::new_from_slice(self.0.as_slice()).expect("HMAC takes keys of any length");
        mac.chain_update(label.bytes()).chain_update(transcript.digest())
    }

    /// The proof of everything so far.
    pub(super) fn prove(&self, label: Label, transcript: &Transcript) -> [u8; PROOF_BYTES] {
        self.mac(label, transcript).finalize().into_bytes().0
    }

    /// Whether this is the proof of everything so far; takes the same time whichever byte differs.
    pub(super) fn verify(&self, label: Label, transcript: &Transcript, proof: &[u8]) -> bool {
        self.mac(label, transcript).verify_slice(proof).is_ok()
    }
}

/// Every byte of the conversation so far, both directions in order, hashed as it goes.
#[derive(Clone)]
pub(super) struct Transcript {
    bytes: Sha256,
    binding: ChannelBinding,
}

impl Transcript {
    pub(super) fn new(binding: ChannelBinding) -> Self {
        Self { bytes: Sha256::new(), binding }
    }

    /// Adds bytes as they are on the wire, length prefix and all.
    pub(super) fn append(&mut self, wire: &[u8]) {
        self.bytes.update(wire);
    }

    /// Frames say their own length, so where they end and the binding begins cannot be mistaken.
    fn digest(&self) -> [u8; 32] {
        self.bytes.clone().chain_update(self.binding.bytes()).finalize().0
    }
}
