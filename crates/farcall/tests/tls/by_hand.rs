//! Peers spoken by hand: TLS with any certificate, version and protocol, and the handshake of the nodes inside it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use farcall::Keyring;
use farcall_proto::link::handshake::{
    ChannelBinding, Established, HandshakeError, Initiator, Local, PeerParams, PreAuthFramer, Responder, Step,
};
use farcall_proto::peer::Incarnation;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ServerConfig, SupportedProtocolVersion};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

use crate::anybody::Anybody;
use crate::fixture::cookie;
use crate::pki::{CLUSTER, Identity};

pub const ALPN: &[u8] = b"farcall/1";
const EXPORTER: &[u8] = b"EXPORTER-Channel-Binding";
/// Nothing here takes longer.
pub const SOON: Duration = Duration::from_secs(10);

/// Which versions of TLS are spoken.
pub type Versions = &'static [&'static SupportedProtocolVersion];
pub const TLS13: Versions = &[&rustls::version::TLS13];
pub const TLS12: Versions = &[&rustls::version::TLS12];

/// How a TLS client or server presents itself.
pub struct Manner {
    pub versions: Versions,
    pub alpn: Vec<Vec<u8>>,
}

impl Default for Manner {
    /// As a node does.
    fn default() -> Self {
        Self { versions: TLS13, alpn: vec![ALPN.to_vec()] }
    }
}

/// Believes whoever answers: what is tested is whether the other side believes us.
pub fn client_config(identity: Option<&Identity>, manner: &Manner) -> Arc<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(manner.versions);
    let builder = builder.unwrap().dangerous().with_custom_certificate_verifier(Arc::new(Anybody));
    let mut config = match identity.map(parts) {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).unwrap(),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols.clone_from(&manner.alpn);
    Arc::new(config)
}

/// Asks for a certificate and believes any.
pub fn server_config(identity: &Identity, manner: &Manner) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(manner.versions);
    let (chain, key) = parts(identity);
    let builder = builder.unwrap().with_client_cert_verifier(Arc::new(Anybody));
    let mut config = builder.with_single_cert(chain, key).unwrap();
    config.alpn_protocols.clone_from(&manner.alpn);
    Arc::new(config)
}

fn parts(identity: &Identity) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let chain = CertificateDer::pem_slice_iter(identity.certificate.as_bytes());
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
    (chain.collect::<Result<_, _>>().unwrap(), key)
}

/// A TLS session with whoever listens there.
pub async fn session_to(
    address: SocketAddr,
    config: Arc<ClientConfig>,
) -> io::Result<client::TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    TlsConnector::from(config).connect(ServerName::try_from("x").unwrap(), stream).await
}

/// What a session exports.
pub fn binding(session: &client::TlsStream<TcpStream>) -> ChannelBinding {
    ChannelBinding::Exporter(session.get_ref().1.export_keying_material([0; 32], EXPORTER, None).unwrap())
}

/// The certificate that was shown, read by the listener that refuses it: whatever comes back ends this.
pub async fn dial_badly(address: SocketAddr, config: Arc<ClientConfig>) -> io::Error {
    let ended = async {
        let mut session = session_to(address, config).await?;
        // The client of TLS 1.3 is done before its certificate is looked at.
        let mut bytes = Vec::new();
        session.read_to_end(&mut bytes).await?;
        Err(io::Error::other(format!("it ended without an alert, after {bytes:?}")))
    };
    let ended: io::Result<()> = tokio::time::timeout(SOON, ended).await.expect("it is refused soon");
    ended.unwrap_err()
}

/// Introduces itself under a name to a node that was dialled by hand.
pub async fn introduce(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    name: &str,
    want: &str,
    (keyring, binding): (&Keyring, ChannelBinding),
) -> Result<Established, HandshakeError> {
    let mut out = Vec::new();
    let party =
        Initiator::start(speaks_for(name), want.parse().unwrap(), keyring, binding, [9; 32], &mut out);
    stream.write_all(&out).await.unwrap();
    shake(stream, party, Initiator::handle).await
}

/// How an introduction begins.
pub fn greeting(name: &str, want: &str, (keyring, binding): (&Keyring, ChannelBinding)) -> Vec<u8> {
    let mut out = Vec::new();
    let _ = Initiator::start(speaks_for(name), want.parse().unwrap(), keyring, binding, [9; 32], &mut out);
    out
}

async fn shake<P>(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    mut party: P,
    handle: impl Fn(P, &[u8], &mut Vec<u8>) -> Result<Step<P>, HandshakeError>,
) -> Result<Established, HandshakeError> {
    let (mut framer, mut out) = (PreAuthFramer::new(), Vec::new());
    loop {
        let frame = loop {
            if let Some(frame) = framer.next_frame()? {
                break frame;
            }
            let mut chunk = [0; 512];
            let bytes = tokio::time::timeout(SOON, stream.read(&mut chunk)).await.unwrap().unwrap();
            assert!(bytes > 0, "the peer ended the handshake without a word");
            framer.feed(&chunk[..bytes]);
        };
        let step = handle(party, &frame, &mut out);
        stream.write_all(&std::mem::take(&mut out)).await.unwrap();
        stream.flush().await.unwrap();
        match step? {
            Step::Continue(next) => party = next,
            Step::Done(established) => return Ok(established),
        }
    }
}

/// Listens with this TLS, and answers every handshake under this name and the cookie of the tests.
pub async fn impostor(config: Arc<ServerConfig>, name: &str) -> SocketAddr {
    let name = name.to_owned();
    listening(move |stream| {
        let (acceptor, name) = (TlsAcceptor::from(config.clone()), name.clone());
        async move {
            let Ok(mut session) = acceptor.accept(stream).await else { return };
            let exporter = session.get_ref().1.export_keying_material([0; 32], EXPORTER, None).unwrap();
            let keyring = Keyring::new(cookie());
            let responder =
                Responder::new(speaks_for(&name), &keyring, ChannelBinding::Exporter(exporter), [3; 32]);
            if shake(&mut session, responder, Responder::handle).await.is_ok() {
                stay(session).await;
            }
        }
    })
    .await
}

/// Keeps a connection until its peer ends it.
async fn stay(mut session: server::TlsStream<TcpStream>) {
    let _ = session.read_to_end(&mut Vec::new()).await;
}

/// Listens on a free port and serves each connection in a task of its own.
pub async fn listening<F, Fut>(serve: F) -> SocketAddr
where
    F: Fn(TcpStream) -> Fut + 'static,
    Fut: Future<Output = ()> + 'static,
{
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    actix_rt::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            actix_rt::spawn(serve(stream));
        }
    });
    address
}

/// What somebody says in a handshake who speaks the protocol by hand.
fn speaks_for(name: &str) -> Local {
    Local {
        name: name.parse().unwrap(),
        incarnation: Incarnation(7),
        params: PeerParams {
            message_bytes_max: 16 << 20,
            fragment_bytes: 64 << 10,
            in_flight_max: 1024,
            reassembly_bytes_max: 64 << 20,
            tick_ms: 10_000,
            tick_intensity: 4,
            compress: 0,
            flags: 0,
            extensions: Default::default(),
        },
        cluster: CLUSTER.to_owned(),
        versions: 1..=1,
    }
}
