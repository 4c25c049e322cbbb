//! What a certificate says, read once.

use std::net::IpAddr;

use farcall_proto::identity::CertificateNames;
use pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::{SubjectPublicKeyInfo, X509Name};

use super::date::{Date, Validity};
use super::pem::colons;

/// A certificate, with what it says in the words of farcall.
#[derive(Debug, Clone)]
pub(crate) struct Certificate {
    pub(crate) der: CertificateDer<'static>,
    pub(crate) subject: String,
    pub(crate) issuer: String,
    /// Whom it speaks for.
    pub(crate) names: CertificateNames,
    pub(crate) is_authority: bool,
    pub(crate) validity: Validity,
    pub(crate) usable_as_server: bool,
    pub(crate) usable_as_client: bool,
    /// The kind of its key and its size: `ECDSA 256 bits`.
    pub(crate) key_kind: String,
    /// Its public key, as the key itself is encoded.
    pub(crate) public_key: Vec<u8>,
    pub(crate) serial: Vec<u8>,
    /// The subject as it is encoded: what issuers and subjects are compared by.
    pub(crate) raw_subject: Vec<u8>,
    pub(crate) raw_issuer: Vec<u8>,
    common_name: Option<String>,
    organisation: Option<String>,
}

impl Certificate {
    pub(crate) fn read(der: CertificateDer<'static>) -> Result<Self, String> {
        let parsed = parse(&der)?;
        let extended = parsed.extended_key_usage().map_err(|error| unreadable(&error))?;
        // As in rustls: without the extension it is for everything, and `any` in it means nothing.
        let usable = |of: fn(&x509_parser::extensions::ExtendedKeyUsage<'_>) -> bool| {
            extended.as_ref().is_none_or(|extension| of(extension.value))
        };
        let (validity, key) = (parsed.validity(), parsed.public_key());
        Ok(Self {
            subject: parsed.subject().to_string(),
            issuer: parsed.issuer().to_string(),
            names: names(&parsed)?,
            is_authority: parsed.is_ca(),
            validity: Validity { from: validity.not_before.into(), until: validity.not_after.into() },
            usable_as_server: usable(|usages| usages.server_auth),
            usable_as_client: usable(|usages| usages.client_auth),
            key_kind: key_kind(key),
            public_key: key.subject_public_key.data.to_vec(),
            serial: parsed.raw_serial().to_vec(),
            raw_subject: parsed.subject().as_raw().to_vec(),
            raw_issuer: parsed.issuer().as_raw().to_vec(),
            common_name: first(parsed.subject(), |name| name.iter_common_name().next()),
            organisation: first(parsed.subject(), |name| name.iter_organization().next()),
            der: der.clone(),
        })
    }

    /// The cluster that an authority made by this command is for; none for other authorities, whose organisation is
    /// something else.
    pub(crate) fn cluster(&self) -> Option<&str> {
        let ours = self.common_name.as_ref().is_some_and(|name| name.starts_with(AUTHORITY_NAME));
        self.organisation.as_deref().filter(|_| ours && self.is_authority)
    }

    /// Whether the issuer of this one is that one: by its name and by its signature.
    pub(crate) fn is_signed_by(&self, issuer: &Self) -> bool {
        let (Ok(own), Ok(issuer_read)) = (parse(&self.der), parse(&issuer.der)) else { return false };
        self.raw_issuer == issuer.raw_subject && own.verify_signature(Some(issuer_read.public_key())).is_ok()
    }

    /// The fingerprint that other programs show too.
    pub(crate) fn fingerprint(&self) -> String {
        colons(&Sha256::digest(&self.der))
    }

    pub(crate) fn serial(&self) -> String {
        colons(&self.serial)
    }

    /// Whom it speaks for, in a sentence: the nodes it names, else its hosts.
    pub(crate) fn speaks_for(&self) -> String {
        let node = |(cluster, name)| format!("{name} of cluster {cluster}");
        let nodes: Vec<String> = self.names.nodes().map(node).collect();
        match nodes.is_empty() {
            true => self.names.to_string(),
            false => nodes.join(" and "),
        }
    }

    /// How long it is valid, in words.
    pub(crate) fn standing(&self, now: Date) -> String {
        let Validity { from, until } = self.validity;
        format!("from {from} until {until}: {}", self.validity.describe(now))
    }
}

/// What the common name of an authority of ours begins with.
pub(crate) const AUTHORITY_NAME: &str = "farcall authority ";

/// Parses it again where something is needed that borrows; all of it, nothing may follow.
fn parse<'a>(der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, String> {
    match parse_x509_certificate(der) {
        Ok(([], parsed)) => Ok(parsed),
        Ok(_) => Err("something follows the certificate".to_owned()),
        Err(error) => Err(unreadable(&error)),
    }
}

fn unreadable(error: &dyn std::fmt::Display) -> String {
    format!("the certificate cannot be read: {error}")
}

fn names(parsed: &X509Certificate<'_>) -> Result<CertificateNames, String> {
    let mut names = CertificateNames::default();
    let Some(extension) = parsed.subject_alternative_name().map_err(|error| unreadable(&error))? else {
        return Ok(names);
    };
    for name in &extension.value.general_names {
        match name {
            GeneralName::URI(uri) => names.uris.push((*uri).to_owned()),
            GeneralName::DNSName(host) => names.dns.push((*host).to_owned()),
            GeneralName::IPAddress(octets) => names.ips.extend(address(octets)),
            _ => {}
        }
    }
    Ok(names)
}

fn address(octets: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(octets).map(IpAddr::from);
    four.or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from)).ok()
}

fn first<'a>(
    name: &'a X509Name<'a>,
    pick: impl Fn(&'a X509Name<'a>) -> Option<&'a x509_parser::x509::AttributeTypeAndValue<'a>>,
) -> Option<String> {
    pick(name)?.as_str().ok().map(str::to_owned)
}

fn key_kind(key: &SubjectPublicKeyInfo<'_>) -> String {
    match key.parsed() {
        Ok(PublicKey::RSA(rsa)) => format!("RSA, {} bits", rsa.key_size()),
        Ok(PublicKey::EC(point)) => format!("ECDSA, {} bits", point.key_size()),
        _ if key.algorithm.algorithm.to_id_string() == ED25519 => "Ed25519".to_owned(),
        _ => format!("of the kind {}", key.algorithm.algorithm.to_id_string()),
    }
}

const ED25519: &str = "1.3.101.112";
