//! Keys and proofs computed a second time, straight from the description, to forge and to compare.

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::fixture::Side;

pub(crate) fn role_key(secret: &[u8], cluster: &str, role: &str) -> [u8; 32] {
    let mut key = [0; 32];
    Hkdf::<Sha256>::new(Some(cluster.as_bytes()), secret).expand(role.as_bytes(), &mut key).unwrap();
    key
}

fn proof(key: &[u8], label: &str, said: &[u8]) -> [u8; 32] {
    let transcript = Sha256::digest([said, b"no-cb"].concat());
    let mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.chain_update(label.as_bytes()).chain_update(transcript).finalize().into_bytes().0
}

/// An accept by this side under this secret, closing what was said so far; it is added to that.
pub(crate) fn accept(said: &mut Vec<u8>, side: &Side, secret: &[u8]) -> Vec<u8> {
    let local = &side.local;
    let message = postcard::to_allocvec(&(&local.name, local.incarnation, &local.params)).unwrap();
    let key = role_key(secret, &local.cluster, "farcall responder");
    proved(said, 4, &message, &key, "farcall accept")
}

/// Any message under proof, on a plain connection; it is added to what was said so far.
pub(crate) fn proved(said: &mut Vec<u8>, kind: u8, message: &[u8], key: &[u8], label: &str) -> Vec<u8> {
    let length = u32::try_from(1 + message.len() + 32).unwrap();
    let head = [&length.to_le_bytes()[..], &[kind], message].concat();
    said.extend_from_slice(&head);
    let proof = proof(key, label, said);
    said.extend_from_slice(&proof);
    [&head[..], &proof].concat()
}
