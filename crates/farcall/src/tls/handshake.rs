//! The TLS handshake in either role, and what it gives to the handshake of the nodes inside it.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use farcall_proto::identity::{CertificateNames, host_without_port};
use farcall_proto::link::handshake::{Cookie, Keyring};
use farcall_proto::peer::NodeName;
use rustls::pki_types::ServerName;
use rustls::{AlertDescription, CertificateError, CommonState, Connection, OtherError};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
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
    #[error("TLS: {}", told(error))]
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

/// As a person reads it: what is wrong with a certificate, without the shape of the error around it.
fn told(error: &io::Error) -> String {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(why)))) => {
            format!("the peer's certificate is not believed: {why}")
        }
        Some(rustls::Error::InvalidCertificate(why)) => {
            format!("the peer's certificate is not believed: {}", why_not(why))
        }
        Some(rustls::Error::NoCertificatesPresented) => "the peer showed no certificate".to_owned(),
        Some(rustls::Error::AlertReceived(alert)) => format!("the peer refused: {}", alert_text(*alert)),
        Some(rustls::Error::InvalidMessage(why)) => {
            format!("what the peer sent is no TLS ({why:?}): does one of the two have driver = \"tcp\"?")
        }
        Some(error) => error.to_string(),
        None => match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
                "the peer closed the connection during the handshake; does it speak TLS here?".to_owned()
            }
            _ => error.to_string(),
        },
    }
}

fn why_not(error: &CertificateError) -> String {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "it has ended",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "it has not begun yet: are the clocks right?"
        }
        CertificateError::Revoked => "it was revoked",
        CertificateError::UnknownIssuer => "no authority of tls.ca gave it out",
        CertificateError::InvalidPurpose => "it is not for this purpose (server and client authentication)",
        other => return other.to_string(),
    }
    .to_owned()
}

fn alert_text(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::CertificateExpired => "our certificate has ended, or its clock is wrong".to_owned(),
        AlertDescription::CertificateRevoked => "our certificate was revoked".to_owned(),
        AlertDescription::UnknownCA => "no authority that it believes gave out our certificate".to_owned(),
        AlertDescription::CertificateRequired => "it wants a certificate and we have none".to_owned(),
        AlertDescription::BadCertificate | AlertDescription::CertificateUnknown => {
            "it does not believe our certificate; its log says why".to_owned()
        }
        AlertDescription::NoApplicationProtocol => "it does not speak farcall".to_owned(),
        AlertDescription::ProtocolVersion => {
            "it speaks no version of TLS that we do (tls.version_min)".to_owned()
        }
        alert => format!("{alert:?}"),
    }
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
        let mut metered = Metered { io: stream, bytes: 0, bytes_max: usize::MAX };
        let connecting = TlsConnector::from(Arc::new(config)).connect(server_name(node), &mut metered);
        let session = match connecting.await {
            Ok(secured) => secured.into_inner().1,
            Err(error) => return Err(TlsHandshakeError::Io { error, silent: metered.bytes == 0 }),
        };
        self.finish(metered.io, Connection::Client(session))
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
            Err(error) => {
                let silent = metered.bytes == 0;
                if !silent {
                    // On its own, so that the peer holds no place in its handshake any longer. There are no more of them
                    // than handshakes are let in within its time: each has paid for that at the gate.
                    tokio::spawn(farewell(metered.io));
                }
                return Err(TlsHandshakeError::Io { error, silent });
            }
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

/// Lets the alert arrive that says why: a socket closed with something unread in it takes back what it has sent.
async fn farewell(mut stream: TcpStream) {
    let read = async {
        let _ = stream.shutdown().await;
        let (mut chunk, mut left) = ([0; 1024], FAREWELL_BYTES);
        while let Ok(bytes) = stream.read(&mut chunk).await
            && bytes > 0
            && left > bytes
        {
            left -= bytes;
        }
    };
    let _ = tokio::time::timeout(FAREWELL, read).await;
}

/// How long, and for how many bytes, a refused peer is listened to so that it hears why.
const FAREWELL: Duration = Duration::from_millis(250);
const FAREWELL_BYTES: usize = 16 * 1024;

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

    /// All records at once: when a handshake fails, one write is all there is, and the alert stands last.
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
