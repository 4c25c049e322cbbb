//! A private key: made, read and written without ever being shown, and believed only if nobody else could read it.

use std::path::Path;

use farcall::{TlsError, TlsMaterial};
use pki_types::pem::PemObject;
use pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rcgen::KeyPair;
use zeroize::Zeroizing;

use super::pem::encode;
use super::{file, wrong};
use crate::report::Report;

/// A private key; wiped when it is dropped.
pub(crate) struct Secret(Zeroizing<KeyPair>);

impl Secret {
    /// A new one, for ECDSA on the curve P-256: every program that speaks TLS knows it.
    pub(crate) fn generate() -> Result<Self, Report> {
        match KeyPair::generate() {
            Ok(pair) => Ok(Self(Zeroizing::new(pair))),
            Err(error) => Err(Report::here("key", format!("no key can be made: {error}"), "")),
        }
    }

    /// The key in a file, whoever may read that.
    pub(crate) fn read(path: &Path) -> Result<Self, Report> {
        let content = file::read(path)?;
        // What is wrong is not quoted: it may be a part of the key.
        let Ok(der) = PrivateKeyDer::from_pem_slice(&content).map(Zeroizing::new) else {
            let remedy =
                "name a PEM file with -----BEGIN PRIVATE KEY-----; one that is encrypted cannot be used";
            return Err(wrong(path, "no private key in it", remedy));
        };
        let pair = pair(&der).ok_or_else(|| {
            let remedy =
                "nodes take keys for ECDSA on P-256 and P-384, Ed25519, and RSA of 2048 bits or more";
            wrong(path, "the key is broken, or of a kind that nodes do not take", remedy)
        })?;
        Ok(Self(Zeroizing::new(pair)))
    }

    pub(crate) fn pair(&self) -> &KeyPair {
        &self.0
    }

    /// The public key that belongs to it.
    pub(crate) fn public_key(&self) -> &[u8] {
        self.0.public_key_raw()
    }

    pub(crate) fn pem(&self) -> Zeroizing<String> {
        encode("PRIVATE KEY", self.0.serialized_der())
    }
}

/// Reads a key in any form that nodes take.
fn pair(der: &PrivateKeyDer<'_>) -> Option<KeyPair> {
    let wrapped = |algorithms: &[&[u8]], key: &[u8]| {
        algorithms.iter().find_map(|algorithm| {
            let wrapped = pkcs8(algorithm, key)?;
            KeyPair::try_from(&PrivatePkcs8KeyDer::from(wrapped.as_slice())).ok()
        })
    };
    match der {
        PrivateKeyDer::Pkcs1(key) => wrapped(&[RSA], key.secret_pkcs1_der()),
        PrivateKeyDer::Sec1(key) => wrapped(&[P256, P384], key.secret_sec1_der()),
        other => KeyPair::try_from(other).ok(),
    }
}

/// An older form of a key within the PKCS #8 form, which is the one that is read here (RFC 5208, 5).
fn pkcs8(algorithm: &[u8], key: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    const VERSION: &[u8] = &[0x02, 0x01, 0x00];
    const OCTET_STRING: u8 = 0x04;
    const SEQUENCE: u8 = 0x30;
    let octets = head(OCTET_STRING, key.len())?;
    let inside = VERSION.len() + algorithm.len() + octets.len() + key.len();
    let sequence = head(SEQUENCE, inside)?;
    let mut der = Zeroizing::new(Vec::with_capacity(sequence.len() + inside));
    for part in [&sequence, VERSION, algorithm, &octets, key] {
        der.extend_from_slice(part);
    }
    Some(der)
}

/// A tag and a length in as few bytes as it takes, for up to 64 KiB.
fn head(tag: u8, length: usize) -> Option<Vec<u8>> {
    Some(match u16::try_from(length).ok()?.to_be_bytes() {
        [0, low @ ..0x80] => vec![tag, low],
        [0, low] => vec![tag, 0x81, low],
        [high, low] => vec![tag, 0x82, high, low],
    })
}

/// Algorithm identifiers: `rsaEncryption`, and `ecPublicKey` with each curve.
const RSA: &[u8] = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";
const P256: &[u8] = b"\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07";
const P384: &[u8] = b"\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22";

/// Whether this key file is one that a node takes.
pub(crate) fn is_private(path: &Path) -> Result<(), Report> {
    let refused = |error: TlsError| {
        Report::here(
            "key_file",
            error.to_string(),
            "the key is to be readable by its owner alone, or its group",
        )
    };
    TlsMaterial::check_key_file(path).map_err(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_back_from_what_is_written() {
        let made = Secret::generate().unwrap();
        let read = KeyPair::from_pem(&made.pem()).unwrap();
        assert_eq!(read.public_key_raw(), made.public_key());
    }

    #[test]
    fn an_older_form_of_a_key_is_read_too() {
        // What stands in the newer form is the older one, and it is the last of it.
        for (kind, algorithm, length) in
            [(&rcgen::PKCS_ECDSA_P256_SHA256, P256, 0x6d), (&rcgen::PKCS_ECDSA_P384_SHA384, P384, 0x9e)]
        {
            let made = KeyPair::generate_for(kind).unwrap();
            let newer = made.serialized_der();
            let older = &newer[newer.len() - length..];
            assert_eq!(*pkcs8(algorithm, older).unwrap(), newer);
            let read = pair(&PrivateKeyDer::Sec1(older.into())).unwrap();
            assert_eq!(read.public_key_raw(), made.public_key_raw());
        }
        assert!(pair(&PrivateKeyDer::Sec1(b"nothing"[..].into())).is_none());
        assert!(pair(&PrivateKeyDer::Pkcs1(b"nothing"[..].into())).is_none());
    }

    #[test]
    fn lengths_take_as_few_bytes_as_they_can() {
        let head = |length| head(0x30, length);
        assert_eq!((head(0x7f), head(0x80)), (Some(vec![0x30, 0x7f]), Some(vec![0x30, 0x81, 0x80])));
        assert_eq!((head(0xff), head(0x100)), (Some(vec![0x30, 0x81, 0xff]), Some(vec![0x30, 0x82, 1, 0])));
        assert_eq!(head(0x1_0000), None);
    }
}
