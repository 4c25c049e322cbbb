//! Certificates for tests: one authority for each run, and a certificate for whoever needs one.

#![allow(dead_code, reason = "each binary uses its part of it")]

use std::process::Command;
use std::sync::OnceLock;

use farcall::TlsMaterial;
use farcall_proto::identity;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SanType, SerialNumber,
};

/// Where a process that a test starts finds the key of its parent's authority.
const KEY: &str = "FARCALL_TEST_AUTHORITY_KEY";

/// The cluster of nodes that are not told another.
pub const CLUSTER: &str = "farcall";

/// Who gives out certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    key_pem: String,
    /// What stands between its certificates and a believed authority, if it is not one itself.
    between: String,
}

/// The authority of this run, the same in the processes it starts with [`pass_on`].
pub fn authority() -> &'static Authority {
    static AUTHORITY: OnceLock<Authority> = OnceLock::new();
    AUTHORITY.get_or_init(|| match std::env::var(KEY) {
        Ok(key) => Authority::of(KeyPair::from_pem(&key).unwrap()),
        Err(_) => Authority::new(),
    })
}

/// A process that the test starts believes the same authority.
pub fn pass_on(command: &mut Command) {
    command.env(KEY, &authority().key_pem);
}

/// A certificate and its key, both PEM.
#[derive(Clone)]
pub struct Identity {
    pub certificate: String,
    pub key: String,
    pub serial: SerialNumber,
}

impl Authority {
    /// Another one than that of the run.
    pub fn new() -> Self {
        Self::of(KeyPair::generate().unwrap())
    }

    fn of(key: KeyPair) -> Self {
        let params = authority_params("the authority of a test", 1);
        let (key_pem, pem) = (key.serialize_pem(), params.self_signed(&key).unwrap().pem());
        Self { issuer: Issuer::new(params, key), pem, key_pem, between: String::new() }
    }

    /// One that this one vouches for: its own certificate stands behind those it gives out.
    pub fn below(&self) -> Self {
        let (key, params) = (KeyPair::generate().unwrap(), authority_params("one below", 0));
        let pem = params.signed_by(&key, &self.issuer).unwrap().pem();
        let (key_pem, between) = (key.serialize_pem(), pem.clone());
        Self { issuer: Issuer::new(params, key), pem, key_pem, between }
    }

    /// Its certificate.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate for a node, by its URI.
    pub fn identity(&self, node: &str) -> Identity {
        self.identity_with(node, |_| ())
    }

    /// A certificate for a node, changed before it is signed.
    pub fn identity_with(&self, node: &str, change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        let uri = identity::uri(CLUSTER, &node.parse().unwrap());
        params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        let serial = params.serial_number.get_or_insert_with(random_serial).clone();
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem() + &self.between;
        Identity { certificate, key: key.serialize_pem(), serial }
    }

    /// A list of revoked certificates.
    pub fn revoked(&self, identities: &[&Identity]) -> String {
        let revoked = |identity: &&Identity| RevokedCertParams {
            serial_number: identity.serial.clone(),
            revocation_time: rcgen::date_time_ymd(2026, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: rcgen::date_time_ymd(2026, 1, 1),
            next_update: rcgen::date_time_ymd(2126, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: identities.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer).unwrap().pem().unwrap()
    }

    /// What a node of this name needs that believes this authority.
    pub fn material(&self, node: &str) -> TlsMaterial {
        self.material_of(&self.identity(node))
    }

    /// What a node with this certificate needs that believes this authority.
    pub fn material_of(&self, identity: &Identity) -> TlsMaterial {
        let material = TlsMaterial::new().identity(identity.certificate.as_bytes(), identity.key.as_bytes());
        material.unwrap().authority(self.pem.as_bytes()).unwrap()
    }
}

fn authority_params(name: &str, authorities_below: u8) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(authorities_below));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.key_identifier_method = KeyIdMethod::Sha256;
    params
}

/// Sixteen bytes, positive.
fn random_serial() -> SerialNumber {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).unwrap();
    bytes[0] &= 0x7f;
    SerialNumber::from_slice(&bytes)
}
