//! The protocol spoken by hand, with either driver: what a peer does that keeps to no rule behind the handshake.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use farcall::Driver;
use farcall_proto::link::handshake::{
    ChannelBinding, HandshakeError, Initiator, Keyring, PreAuthFramer, Responder, Step,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use crate::anybody::Anybody;
use crate::fixture::{cookie, driver, speaks_for};
use crate::pki::{Identity, authority};
use crate::process::Peer;

/// A connection in our own hands.
pub trait Connection: Read + Write + Send {}

impl<S: Read + Write + Send> Connection for S {}

pub type Socket = Box<dyn Connection>;

/// A socket to the peer that nobody vouches for.
pub fn stranger(peer: &Peer) -> TcpStream {
    let socket = TcpStream::connect(peer.address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
    socket
}

/// A connection whose handshake is done, under this name.
pub fn authenticated(peer: &Peer, name: &str) -> Socket {
    let (mut socket, binding) = secured(stranger(peer), name);
    let local = speaks_for(&format!("{name}@127.0.0.1"));
    let (keyring, mut out) = (Keyring::new(cookie()), Vec::new());
    let want = peer.target.node().clone();
    let party = Initiator::start(local, want, &keyring, binding, [9; 32], &mut out);
    socket.write_all(&std::mem::take(&mut out)).unwrap();
    shake(&mut *socket, party, Initiator::handle);
    socket
}

/// Proves itself to whoever dialled, under this whole name.
pub fn answer(stream: TcpStream, name: &str) -> Socket {
    let (mut socket, binding): (Socket, _) = match driver() {
        Driver::Tcp => (Box::new(stream), ChannelBinding::None),
        Driver::Tls => {
            let session =
                ServerConnection::new(Arc::new(server_config(&authority().identity(name)))).unwrap();
            let mut stream = StreamOwned::new(session, stream);
            while stream.conn.is_handshaking() {
                stream.conn.complete_io(&mut stream.sock).unwrap();
            }
            let key = stream.conn.export_keying_material([0; 32], EXPORTER, None).unwrap();
            (Box::new(stream), ChannelBinding::Exporter(key))
        }
    };
    let party = Responder::new(speaks_for(name), &Keyring::new(cookie()), binding, [3; 32]);
    shake(&mut *socket, party, Responder::handle);
    socket
}

const EXPORTER: &[u8] = b"EXPORTER-Channel-Binding";
const ALPN: &[u8] = b"farcall/1";

/// TLS if this run is about it, with a certificate for the short name.
pub fn secured(stream: TcpStream, name: &str) -> (Socket, ChannelBinding) {
    if driver() == Driver::Tcp {
        return (Box::new(stream), ChannelBinding::None);
    }
    let identity = authority().identity(&format!("{name}@127.0.0.1"));
    let (stream, key) = tls_to(stream, Some(&identity));
    (Box::new(stream), ChannelBinding::Exporter(key))
}

/// A TLS session with a node, and what it exports; panics if the node ends it.
pub fn tls_to(
    stream: TcpStream,
    identity: Option<&Identity>,
) -> (StreamOwned<ClientConnection, TcpStream>, [u8; 32]) {
    let session =
        ClientConnection::new(Arc::new(client_config(identity)), ServerName::try_from("x").unwrap());
    let mut stream = StreamOwned::new(session.unwrap(), stream);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock).unwrap();
    }
    let key = stream.conn.export_keying_material([0; 32], EXPORTER, None).unwrap();
    (stream, key)
}

fn shake<P>(
    socket: &mut dyn Connection,
    mut party: P,
    handle: impl Fn(P, &[u8], &mut Vec<u8>) -> Result<Step<P>, HandshakeError>,
) {
    let (mut framer, mut out) = (PreAuthFramer::new(), Vec::new());
    loop {
        let frame = loop {
            if let Some(frame) = framer.next_frame().unwrap() {
                break frame;
            }
            let mut chunk = [0; 512];
            let bytes = socket.read(&mut chunk).unwrap();
            assert!(bytes > 0, "the peer refused the handshake");
            framer.feed(&chunk[..bytes]);
        };
        let step = handle(party, &frame, &mut out).unwrap();
        socket.write_all(&std::mem::take(&mut out)).unwrap();
        match step {
            Step::Continue(next) => party = next,
            Step::Done(_) => return,
        }
    }
}

fn parts(identity: &Identity) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let certificate = CertificateDer::from_pem_slice(identity.certificate.as_bytes()).unwrap();
    (vec![certificate], PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap())
}

/// Believes whoever answers: what is tested is whether the other side believes us.
pub fn client_config(identity: Option<&Identity>) -> ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody));
    let mut config = match identity.map(parts) {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).unwrap(),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![ALPN.to_vec()];
    config
}

fn server_config(identity: &Identity) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority().pem().as_bytes()).unwrap()).unwrap();
    let verifier =
        rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
            .build();
    let builder =
        ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let (chain, key) = parts(identity);
    let mut config =
        builder.with_client_cert_verifier(verifier.unwrap()).with_single_cert(chain, key).unwrap();
    config.alpn_protocols = vec![ALPN.to_vec()];
    config
}
