//! Certificates for the two processes of a sample: the parent makes an authority, its children their own certificates.

use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result};
use farcall::TlsMaterial;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};

/// Where a child finds the key of its parent's authority; it is good for this run and nothing else.
const KEY: &str = "FARCALL_BENCH_AUTHORITY_KEY";

/// Gives a child what it needs to make certificates.
pub fn pass_on(command: &mut Command) -> Result<()> {
    static KEY_PEM: OnceLock<String> = OnceLock::new();
    let pem = match KEY_PEM.get() {
        Some(pem) => pem,
        None => {
            let fresh = KeyPair::generate()?.serialize_pem();
            KEY_PEM.get_or_init(|| fresh)
        }
    };
    command.env(KEY, pem);
    Ok(())
}

/// What the node of this name needs for TLS.
pub fn material(node: &str) -> Result<TlsMaterial> {
    let key = std::env::var(KEY).context("only a child of this program has an authority")?;
    let authority_key = KeyPair::from_pem(&key)?;
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.distinguished_name.push(DnType::CommonName, "the authority of a benchmark");
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let authority_pem = authority.self_signed(&authority_key)?.pem();
    let issuer = Issuer::new(authority, authority_key);
    let mut params = CertificateParams::new(Vec::new())?;
    params.subject_alt_names = vec![SanType::URI(format!("farcall://farcall/{node}").try_into()?)];
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, &issuer)?.pem();
    let material = TlsMaterial::new().identity(certificate.as_bytes(), key.serialize_pem().as_bytes())?;
    Ok(material.authority(authority_pem.as_bytes())?)
}
