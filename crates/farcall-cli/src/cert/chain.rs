//! What a peer would say of a certificate: the judgement of webpki, which is also that of rustls, and what it means.

use std::time::Duration;

use pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{
    ALL_VERIFICATION_ALGS, CertRevocationList, EndEntityCert, Error, ExtendedKeyUsageValidator,
    KeyPurposeIdIter, KeyUsage, OwnedCertRevocationList, RevocationOptions, RevocationOptionsBuilder,
    anchor_from_trusted_cert,
};

use super::certificate::Certificate;
use super::date::Date;
use super::revocations::Revocations;

/// A certificate, those sent with it, and the authorities that are believed.
pub(crate) struct Chain {
    pub(crate) leaf: Certificate,
    pub(crate) between: Vec<Certificate>,
    pub(crate) authorities: Vec<Certificate>,
}

/// What the certificate is to be used as.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Role {
    /// Whatever it is for.
    Any,
    Server,
    Client,
}

impl Chain {
    /// Whether the certificate leads to an authority at the point of its validity that is nearest to now: that it has
    /// ended is told apart.
    pub(crate) fn verify(&self, role: Role, lists: &[Revocations]) -> Result<(), Error> {
        let lists: Vec<CertRevocationList<'_>> = lists
            .iter()
            .map(|list| OwnedCertRevocationList::from_der(&list.der).map(CertRevocationList::from))
            .collect::<Result<_, _>>()?;
        let lists: Vec<&CertRevocationList<'_>> = lists.iter().collect();
        // Without a list there is nothing to look up, which is no error.
        let revocation: Option<RevocationOptions<'_>> =
            RevocationOptionsBuilder::new(&lists).ok().map(RevocationOptionsBuilder::build);
        let anchors: Vec<TrustAnchor<'_>> = self
            .authorities
            .iter()
            .map(|authority| anchor_from_trusted_cert(&authority.der))
            .collect::<Result<_, _>>()?;
        let between: Vec<CertificateDer<'_>> = self.between.iter().map(|one| one.der.clone()).collect();
        let leaf = EndEntityCert::try_from(&self.leaf.der)?;
        let at = self.leaf.validity.nearest(Date::now()).time().unix_timestamp();
        let at = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(at).unwrap_or(0)));
        let (algorithms, usage) = (ALL_VERIFICATION_ALGS, Usage::from(role));
        leaf.verify_for_usage(algorithms, &anchors, &between, at, usage, revocation, None).map(|_| ())
    }

    /// The authority that signed it, if it is one of those that are believed.
    pub(crate) fn authority(&self) -> Option<&Certificate> {
        let last = self.between.last().unwrap_or(&self.leaf);
        self.authorities.iter().find(|one| self.leaf.is_signed_by(one) || last.is_signed_by(one))
    }

    /// What the error says of this certificate, and what to do.
    pub(crate) fn explain(&self, error: &Error) -> (String, String) {
        let (subject, issuer) = (&self.leaf.subject, &self.leaf.issuer);
        let (what, remedy) = match error {
            Error::UnknownIssuer => (
                format!("it was made by {issuer}, which is no authority that was given"),
                "name that authority with --ca, or make the certificate anew: farcall cert node NAME",
            ),
            Error::InvalidSignatureForPublicKey => (
                format!("it says that {issuer} made it, but the signature is not of that authority's key"),
                "name the authority that made it with --ca: an older or newer one may have the same name",
            ),
            Error::CaUsedAsEndEntity => (
                format!("{subject} is an authority, not a node"),
                "make a certificate for the node: farcall cert node NAME",
            ),
            Error::CertExpired { .. } | Error::CertNotValidYet { .. } => (
                "a certificate between it and the authority is not valid".to_owned(),
                "put the current one behind the certificate in its file",
            ),
            Error::CertRevoked => (
                "a certificate between it and the authority is revoked".to_owned(),
                "make a new one: farcall cert node NAME",
            ),
            Error::UnknownRevocationStatus => (
                format!("no list is by {issuer}, so none says anything about it"),
                "name the list of that authority with --crl",
            ),
            Error::UnsupportedSignatureAlgorithmContext(_)
            | Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => (
                "it is signed in a way that nodes do not accept".to_owned(),
                "sign it with ECDSA on P-256 or P-384, Ed25519, or RSA of 2048 bits or more, and SHA-256 or better",
            ),
            Error::UnsupportedCertVersion => (
                "it is no X.509 certificate of version 3".to_owned(),
                "make a certificate for the node: farcall cert node NAME",
            ),
            other => (format!("nodes refuse it: {other}"), "make a new one: farcall cert node NAME"),
        };
        (what, remedy.to_owned())
    }
}

/// What the extended key usage must permit.
enum Usage {
    Any,
    Only(KeyUsage),
}

impl From<Role> for Usage {
    fn from(role: Role) -> Self {
        match role {
            Role::Any => Self::Any,
            Role::Server => Self::Only(KeyUsage::server_auth()),
            Role::Client => Self::Only(KeyUsage::client_auth()),
        }
    }
}

impl ExtendedKeyUsageValidator for Usage {
    fn validate(&self, purposes: KeyPurposeIdIter<'_, '_>) -> Result<(), Error> {
        match self {
            Self::Any => Ok(()),
            Self::Only(usage) => usage.validate(purposes),
        }
    }
}
