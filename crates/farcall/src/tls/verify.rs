//! Whether a peer's certificate is to be believed: its chain in both directions, and for a dial its name too.
//!
//! The name of whoever dials is not known before it says it; the handshake inside TLS checks that one
//! (`Responder::with_certificate`). The web's rule for host names is not asked: a node's name is what counts.

use std::fmt;
use std::sync::Arc;

use farcall_proto::identity::CertificateNames;
use farcall_proto::peer::NodeName;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
};
use webpki::{
    CertRevocationList, EndEntityCert, KeyUsage, OwnedCertRevocationList, RevocationOptionsBuilder,
};

use super::error::TlsError;
use super::facts::Facts;
use super::material::{TlsMaterial, malformed};

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
        let revoked = material.revoked.iter().map(|list| {
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
