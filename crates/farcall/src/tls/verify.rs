//! Whether a peer's certificate is to be believed: its chain in both directions, and for a dial its name too.
//!
//! The name of whoever dials is not known before it says it; the handshake inside TLS checks that one
//! (`Responder::with_certificate`). The web's rule for host names is not asked: a node's name is what counts.

use std::cmp::Reverse;
use std::fmt;
use std::sync::Arc;

use farcall_proto::identity::CertificateNames;
use farcall_proto::peer::NodeName;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, ServerName, TrustAnchor, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
};
use webpki::{
    CertRevocationList, EndEntityCert, KeyUsage, OwnedCertRevocationList, RevocationOptionsBuilder,
};
use x509_parser::parse_x509_crl;

use super::error::TlsError;
use super::facts::Facts;
use super::material::{TlsMaterial, malformed};

/// The most certificates between one and its authority. Each may cost whoever looks a signature, and no path that is
/// believed is longer.
const BETWEEN_MAX: usize = 8;

/// The authorities that are believed, and what they have revoked.
pub(super) struct Chain {
    anchors: Vec<TrustAnchor<'static>>,
    subjects: Vec<DistinguishedName>,
    revoked: Vec<CertRevocationList<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chain").field("authorities", &self.anchors.len()).finish_non_exhaustive()
    }
}

impl Chain {
    pub(super) fn new(
        material: &TlsMaterial,
        algorithms: WebPkiSupportedAlgorithms,
    ) -> Result<Self, TlsError> {
        let unread =
            |what| move |error: webpki::Error| malformed("the TLS material", what, error.to_string());
        let anchors = material.authorities.iter().map(|certificate| {
            let anchor = webpki::anchor_from_trusted_cert(certificate).map_err(unread("certificate"))?;
            Ok(anchor.to_owned())
        });
        let anchors = anchors.collect::<Result<Vec<TrustAnchor<'static>>, TlsError>>()?;
        let revoked = newest_first(&material.revoked).into_iter().map(|list| {
            let list = OwnedCertRevocationList::from_der(list).map_err(unread("revocation list"))?;
            Ok(list.into())
        });
        let revoked = revoked.collect::<Result<Vec<_>, TlsError>>()?;
        let subjects = anchors.iter().map(|anchor| DistinguishedName::in_sequence(&anchor.subject));
        Ok(Self { subjects: subjects.collect(), anchors, revoked, algorithms })
    }

    /// Whether the certificate was given out by one of the authorities, holds now and was not revoked.
    fn check(
        &self,
        certificate: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        now: UnixTime,
        usage: KeyUsage,
    ) -> Result<(), Error> {
        if between.len() > BETWEEN_MAX {
            return Err(Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(LongChain)))));
        }
        let lists: Vec<&CertRevocationList<'_>> = self.revoked.iter().collect();
        // An authority without a list has revoked nothing; an old list still says what it says.
        let revocation = RevocationOptionsBuilder::new(&lists)
            .ok()
            .map(|options| options.with_status_policy(webpki::UnknownStatusPolicy::Allow).build());
        let checked = EndEntityCert::try_from(certificate).and_then(|certificate| {
            let algorithms = self.algorithms.all;
            let path = certificate.verify_for_usage(
                algorithms,
                &self.anchors,
                between,
                now,
                usage,
                revocation,
                None,
            );
            path.map(drop)
        });
        checked.map_err(refused)
    }
}

/// Of several lists of one authority only the first is looked at, so that has to be the one made last.
fn newest_first<'a>(
    lists: &'a [CertificateRevocationListDer<'static>],
) -> Vec<&'a CertificateRevocationListDer<'static>> {
    let mut sorted: Vec<_> = lists.iter().collect();
    sorted.sort_by_cached_key(|list| {
        let made = parse_x509_crl(list).ok();
        Reverse(made.map(|(_, list)| (list.last_update().timestamp(), list.crl_number().cloned())))
    });
    sorted
}

/// The alert that the peer gets, and the text of the log.
fn refused(error: webpki::Error) -> Error {
    use webpki::Error as E;
    Error::InvalidCertificate(match error {
        E::CertExpired { .. } => CertificateError::Expired,
        E::CertNotValidYet { .. } => CertificateError::NotValidYet,
        E::CertRevoked => CertificateError::Revoked,
        E::UnknownIssuer => CertificateError::UnknownIssuer,
        // Authorities of one name and different keys: that of another cluster, most often, or one that was replaced.
        E::InvalidSignatureForPublicKey => CertificateError::UnknownIssuer,
        E::InvalidCrlSignatureForPublicKey => CertificateError::BadSignature,
        E::RequiredEkuNotFoundContext(_) => CertificateError::InvalidPurpose,
        error => CertificateError::Other(OtherError(Arc::new(error))),
    })
}

/// A stranger's way to have many signatures looked at.
#[derive(Debug, thiserror::Error)]
#[error("there are more than {BETWEEN_MAX} certificates between it and its authority")]
struct LongChain;

/// The certificate is good, and for somebody else.
#[derive(Debug, thiserror::Error)]
#[error("it is for {names}, and {node} was dialled")]
struct NotForNode {
    names: CertificateNames,
    node: NodeName,
}

/// Checks the certificate of the node that was dialled.
#[derive(Debug)]
pub(super) struct OfDialled {
    /// None: the certificate is not asked, the cookie inside the session is.
    pub(super) chain: Option<Arc<Chain>>,
    pub(super) algorithms: WebPkiSupportedAlgorithms,
    pub(super) cluster: Arc<str>,
    pub(super) node: NodeName,
}

impl ServerCertVerifier for OfDialled {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(chain) = &self.chain else { return Ok(ServerCertVerified::assertion()) };
        chain.check(end_entity, intermediates, now, KeyUsage::server_auth())?;
        let facts = Facts::read(end_entity);
        let facts = facts.map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))?;
        if facts.names.vouches_for(&self.cluster, &self.node) {
            return Ok(ServerCertVerified::assertion());
        }
        let wrong = NotForNode { names: facts.names, node: self.node.clone() };
        Err(Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(wrong)))))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Checks the certificate of whoever dials in; its name is checked when it has said it.
#[derive(Debug)]
pub(super) struct OfDialler {
    pub(super) chain: Arc<Chain>,
}

impl ClientCertVerifier for OfDialler {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.chain.subjects
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.chain.check(end_entity, intermediates, now, KeyUsage::client_auth())?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.chain.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.chain.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{
        BasicConstraints, CertificateParams, CertificateRevocationListParams, IsCa, Issuer, KeyIdMethod,
        KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd,
    };

    use super::*;

    #[test]
    fn a_chain_of_more_certificates_than_any_needs_is_refused_before_a_signature_is_looked_at() {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let key = KeyPair::generate().unwrap();
        let authority = params.self_signed(&key).unwrap();
        let issuer = Issuer::new(params, key);
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::default().signed_by(&key, &issuer).unwrap();
        let material = TlsMaterial::new().authority(authority.pem().as_bytes()).unwrap();
        let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms;
        let chain = Chain::new(&material, algorithms).unwrap();
        let checked = |between: &[CertificateDer<'_>]| {
            chain.check(certificate.der(), between, UnixTime::now(), KeyUsage::client_auth())
        };
        let between = vec![authority.der().clone(); BETWEEN_MAX + 1];
        checked(&between[1..]).unwrap();
        let Err(Error::InvalidCertificate(CertificateError::Other(OtherError(why)))) = checked(&between)
        else {
            panic!("it is looked at");
        };
        assert!(why.to_string().contains("more than 8 certificates between"), "{why}");
    }

    #[test]
    fn of_two_lists_of_an_authority_the_newer_one_counts_in_whichever_order_they_are_given() {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let authority = params.self_signed(&key).unwrap();
        let issuer = Issuer::new(params, key);
        let mut params = CertificateParams::default();
        params.serial_number = Some(SerialNumber::from(7));
        let certificate = params.signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap();
        let list = |day, number: u64, revoked: &[u64]| {
            let entry = |serial: &u64| RevokedCertParams {
                serial_number: SerialNumber::from(*serial),
                revocation_time: date_time_ymd(2026, 1, 1),
                reason_code: None,
                invalidity_date: None,
            };
            let params = CertificateRevocationListParams {
                this_update: date_time_ymd(2026, 1, day),
                next_update: date_time_ymd(2126, 1, 1),
                crl_number: SerialNumber::from(number),
                issuing_distribution_point: None,
                revoked_certs: revoked.iter().map(entry).collect(),
                key_identifier_method: KeyIdMethod::Sha256,
            };
            params.signed_by(&issuer).unwrap().pem().unwrap()
        };
        let (old, number, new) = (list(1, 1, &[]), list(2, 9, &[]), list(2, 10, &[7]));
        for order in [[&old, &number, &new], [&new, &number, &old], [&number, &new, &old]] {
            let mut material = TlsMaterial::new().authority(authority.pem().as_bytes()).unwrap();
            for pem in order {
                material = material.revocation_list(pem.as_bytes()).unwrap();
            }
            let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms;
            let chain = Chain::new(&material, algorithms).unwrap();
            let checked =
                chain.check(certificate.der(), &[], UnixTime::now(), KeyUsage::client_auth()).unwrap_err();
            assert_eq!(checked, Error::InvalidCertificate(CertificateError::Revoked));
        }
    }
}
