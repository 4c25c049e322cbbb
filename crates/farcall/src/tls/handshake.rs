//! The TLS handshake in either role, and what it gives to the handshake of the nodes inside it.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use farcall_proto::identity::{CertificateNames, host_without_port};
use farcall_proto::link::handshake::{Cookie, Keyring};
use farcall_proto::peer::NodeName;
use rustls::pki_types::ServerName;
use rustls::{CommonState, Connection};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::facts::Facts;
use super::verify::OfDialled;
use super::{ALPN, Tls, TlsStream};

/// What the exported keying material is for (RFC 9266).
const EXPORTER_LABEL: &[u8] = b"EXPORTER-Channel-Binding";

/// What a finished TLS handshake gives to the handshake of the nodes.
pub(crate) struct Channel {
    /// Equal at both ends of this session and nowhere else.
    pub(crate) exporter: [u8; 32],
    /// Whom the peer's certificate names, if one was asked for.
    pub(crate) peer: Option<CertificateNames>,
}

impl Channel {
    /// Stands for the cookies where certificates alone count: only the two ends of the session know it.
    pub(crate) fn as_keyring(&self) -> Option<Keyring> {
        Cookie::new(&self.exporter).ok().map(Keyring::new)
    }
}

/// Why a TLS handshake did not end well.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsHandshakeError {
    #[error("TLS: {error}")]
    Io {
        error: io::Error,
        /// The peer had said nothing at all.
        silent: bool,
    },
    #[error("TLS: the peer did not ask for farcall, it means something else")]
    OtherProtocol,
    #[error("TLS: the peer's certificate cannot be read: {0}")]
    Certificate(String),
    #[error("TLS: {0}")]
    Session(#[from] rustls::Error),
    #[error("this node listens for TLS and has no certificate")]
    NoCertificate,
}

impl TlsHandshakeError {
    /// A short stable word for logs and counters.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Io { error, .. } => {
                match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
                    Some(rustls::Error::InvalidCertificate(_)) => "tls_certificate",
                    Some(rustls::Error::NoCertificatesPresented) => "tls_no_certificate",
                    Some(rustls::Error::AlertReceived(_)) => "tls_alert",
                    Some(_) => "tls",
                    None => "tls_io",
                }
            }
            Self::OtherProtocol => "tls_protocol",
            Self::Certificate(_) => "tls_certificate",
            Self::Session(_) => "tls",
            Self::NoCertificate => "tls_unprepared",
        }
    }

    /// Whether the peer went away without a word.
    pub(crate) fn is_silent(&self) -> bool {
        matches!(self, Self::Io { silent: true, .. })
    }
}

impl Tls {
    /// Dials' side: encrypts, and makes sure that the node that was dialled is at the other end.
    pub(crate) async fn connect(
        &self,
        stream: TcpStream,
        node: &NodeName,
    ) -> Result<(TlsStream, Channel), TlsHandshakeError> {
        let loaded = self.loaded.read().clone();
        let mut config = loaded.client.clone();
        let algorithms = config.crypto_provider().signature_verification_algorithms;
        let (chain, cluster) = (loaded.chain.clone(), self.cluster.clone());
        let verifier = OfDialled { chain, algorithms, cluster, node: node.clone() };
        config.dangerous().set_certificate_verifier(Arc::new(verifier));
        let connecting = TlsConnector::from(Arc::new(config)).connect(server_name(node), stream);
        let secured = connecting.await.map_err(|error| TlsHandshakeError::Io { error, silent: false })?;
        let (stream, session) = secured.into_inner();
        self.finish(stream, Connection::Client(session))
    }

    /// Acceptors' side; the peer may send so many bytes before it is done.
    pub(crate) async fn accept(
        &self,
        stream: TcpStream,
        bytes_max: usize,
    ) -> Result<(TlsStream, Channel), TlsHandshakeError> {
        let server = self.loaded.read().server.clone().ok_or(TlsHandshakeError::NoCertificate)?;
        let mut metered = Metered { io: stream, bytes: 0, bytes_max };
        let secured = match TlsAcceptor::from(server).accept(&mut metered).await {
            Ok(secured) => secured.into_inner().1,
            Err(error) => return Err(TlsHandshakeError::Io { error, silent: metered.bytes == 0 }),
        };
        self.finish(metered.io, Connection::Server(secured))
    }

    fn finish(
        &self,
        stream: TcpStream,
        session: Connection,
    ) -> Result<(TlsStream, Channel), TlsHandshakeError> {
        check_protocol(&session)?;
        let exporter = session.export_keying_material([0; 32], EXPORTER_LABEL, None)?;
        let peer = match (self.auth().needs_certificate(), session.peer_certificates()) {
            (false, _) => None,
            // rustls believes it by now.
            (true, Some([certificate, ..])) => {
                Some(Facts::read(certificate).map_err(TlsHandshakeError::Certificate)?.names)
            }
            (true, _) => return Err(TlsHandshakeError::Session(rustls::Error::NoCertificatesPresented)),
        };
        Ok((TlsStream::new(stream, session), Channel { exporter, peer }))
    }
}

fn check_protocol(session: &CommonState) -> Result<(), TlsHandshakeError> {
    match session.alpn_protocol() {
        Some(ALPN) => Ok(()),
        _ => Err(TlsHandshakeError::OtherProtocol),
    }
}

/// The host, for those on the way that sort connections by it; that it is the right node is checked by us.
fn server_name(node: &NodeName) -> ServerName<'static> {
    let host = host_without_port(node).to_owned();
    // An address is not sent, so a host that is no name of the web is not sent either.
    ServerName::try_from(host).unwrap_or_else(|_| IpAddr::V4(Ipv4Addr::UNSPECIFIED).into())
}

/// Counts what a stranger sends, and takes only so much.
struct Metered {
    io: TcpStream,
    bytes: usize,
    bytes_max: usize,
}

impl AsyncRead for Metered {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let limit = this.bytes_max;
        if this.bytes >= limit {
            let why =
                format!("more than {limit} bytes before the end of the handshake (strangers.tls_bytes_max)");
            return Poll::Ready(Err(io::Error::other(why)));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.io).poll_read(cx, buf))?;
        this.bytes += buf.filled().len() - before;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Metered {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
