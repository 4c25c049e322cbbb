//! TLS as farcall uses it: who this node is, whom it believes, and new files without a lost connection.
//!
//! ```text
//! files or texts ─▶ TlsMaterial ─▶ Loaded ─▶ every new handshake       live connections keep what they began with
//! ```
//! Sessions are never resumed: a certificate that was revoked or ran out must not come back through an old ticket.

mod error;
mod facts;
mod handshake;
mod material;
mod stream;
mod verify;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use farcall_proto::peer::NodeName;
use parking_lot::{Mutex, RwLock};
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::server::NoServerSessionStorage;
use rustls::version::{TLS12, TLS13};
use rustls::{CipherSuite, ClientConfig, ServerConfig, SupportedProtocolVersion};

pub use error::TlsError;
pub(crate) use facts::span;
pub(crate) use handshake::{Channel, TlsHandshakeError};
pub use material::TlsMaterial;
pub(crate) use stream::TlsStream;

use self::facts::Facts;
use self::material::{Identity, missing};
use self::verify::{Chain, OfDialler};
use crate::config::{Auth, Config, TlsConfig, TlsVersion};

/// Both ends must mean this protocol, whatever else speaks TLS on the port.
const ALPN: &[u8] = b"farcall/1";

/// TLS of one node.
#[derive(Debug)]
pub(crate) struct Tls {
    node: NodeName,
    cluster: Arc<str>,
    config: TlsConfig,
    /// Whether it reads files; else the program gives it texts.
    from_files: bool,
    loaded: RwLock<Arc<Loaded>>,
    /// Held while files are read and taken: of two that read at once, the later one counts.
    reloading: Mutex<()>,
}

/// What handshakes use until it is replaced.
#[derive(Debug)]
struct Loaded {
    /// None without a certificate: such a node only dials.
    server: Option<Arc<ServerConfig>>,
    /// Without a verifier of use: each dial has its own, for the node it means.
    client: ClientConfig,
    chain: Option<Arc<Chain>>,
    own: Option<Facts>,
}

impl Tls {
    /// TLS as the configuration says; the material is read from its files unless it is given.
    pub(crate) fn new(
        node: &NodeName,
        config: &Config,
        material: Option<TlsMaterial>,
    ) -> Result<Self, TlsError> {
        let from_files = material.is_none();
        let material = material.map_or_else(|| TlsMaterial::from_files(&config.tls), Ok)?;
        let (node, cluster) = (node.clone(), Arc::<str>::from(config.cluster.as_str()));
        let loaded = Loaded::new(material, &config.tls, &node, &cluster)?;
        let (config, loaded) = (config.tls.clone(), RwLock::new(Arc::new(loaded)));
        Ok(Self { node, cluster, config, from_files, loaded, reloading: Mutex::new(()) })
    }

    /// Whether there are files to be read again.
    pub(crate) fn is_from_files(&self) -> bool {
        self.from_files
    }

    /// Reads the files again; handshakes from now on use them. After an error everything is as before.
    pub(crate) fn reload(&self) -> Result<(), TlsError> {
        if !self.from_files {
            return Err(TlsError::NoFiles(
                "got its certificates from the program, which can give it new ones",
            ));
        }
        let _alone = self.reloading.lock();
        self.replace(TlsMaterial::from_files(&self.config)?)
    }

    /// Handshakes from now on use this. After an error everything is as before.
    pub(crate) fn replace(&self, material: TlsMaterial) -> Result<(), TlsError> {
        let fresh = Loaded::new(material, &self.config, &self.node, &self.cluster)?;
        let mut loaded = self.loaded.write();
        if fresh.server.is_none() && loaded.server.is_some() {
            return Err(missing("tls.certificate", "whoever had one may be listening for TLS with it"));
        }
        *loaded = Arc::new(fresh);
        Ok(())
    }

    /// What a peer must show.
    pub(crate) fn auth(&self) -> Auth {
        self.config.auth
    }

    /// Whether connections can be accepted.
    pub(crate) fn can_listen(&self) -> Result<(), TlsError> {
        match self.loaded.read().server {
            Some(_) => Ok(()),
            None => Err(missing("tls.certificate", "whoever listens for TLS needs one")),
        }
    }

    /// How long this node's certificate still holds: nothing without one, zero if it is over.
    pub(crate) fn expires_in(&self) -> Option<Duration> {
        let loaded = self.loaded.read();
        loaded.own.as_ref().map(|own| own.left(SystemTime::now()).unwrap_or_default())
    }
}

impl Loaded {
    fn new(
        material: TlsMaterial,
        config: &TlsConfig,
        node: &NodeName,
        cluster: &str,
    ) -> Result<Self, TlsError> {
        let auth = config.auth;
        if auth.needs_certificate() {
            let why = "tls.auth asks every node for a certificate";
            if material.identity.is_none() {
                return Err(missing("tls.certificate", why));
            }
            if material.authorities.is_empty() {
                return Err(missing("tls.ca", "tls.auth asks peers for certificates of an authority"));
            }
        }
        let provider = provider();
        let chain = match material.authorities.is_empty() {
            true => None,
            false => Some(Arc::new(Chain::new(&material, provider.signature_verification_algorithms)?)),
        };
        let own = material.identity.as_ref().map(|own| check_own(own, auth, node, cluster)).transpose()?;
        let versions: &[&SupportedProtocolVersion] = match config.version_min {
            TlsVersion::V1_3 => &[&TLS13],
            TlsVersion::V1_2 => &[&TLS13, &TLS12],
        };
        let server = match &material.identity {
            Some(own) => {
                let asked = chain.clone().filter(|_| auth.needs_certificate());
                Some(Arc::new(server(own, asked, provider.clone(), versions)?))
            }
            None => None,
        };
        let client = client(material.identity.as_ref(), provider, versions)?;
        Ok(Self { server, client, chain, own })
    }
}

/// What encrypts. AES-128 goes before AES-256, rustls' first choice: nobody breaks either, and every byte costs less.
fn provider() -> Arc<CryptoProvider> {
    let mut provider = rustls::crypto::ring::default_provider();
    provider.cipher_suites.sort_by_key(|known| known.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256);
    Arc::new(provider)
}

/// A certificate that no peer would believe is found out here, not by them.
fn check_own(own: &Identity, auth: Auth, node: &NodeName, cluster: &str) -> Result<Facts, TlsError> {
    let first = own.chain.first().ok_or(missing("tls.certificate", "there is none in the file"))?;
    let unread = |reason| material::malformed(&own.named, "certificate", reason);
    let source_name = own.named.clone();
    let facts = Facts::read(first).map_err(unread)?;
    if let Some(what) = facts.not_now(SystemTime::now()) {
        return Err(TlsError::NotNow { source_name, what });
    }
    if auth.needs_certificate() && !facts.names.vouches_for(cluster, node) {
        return Err(TlsError::WrongName { source_name, node: node.clone(), names: facts.names });
    }
    Ok(facts)
}

fn unusable(own: &Identity, error: rustls::Error) -> TlsError {
    let Identity { named, key_named, .. } = own;
    match error {
        rustls::Error::InconsistentKeys(_) => {
            TlsError::KeyMismatch { key_name: key_named.clone(), source_name: named.clone() }
        }
        // The one other thing that is looked at here.
        rustls::Error::General(reason) => material::malformed(key_named, "private key", reason),
        error => TlsError::Setup(error),
    }
}

fn server(
    own: &Identity,
    asked: Option<Arc<Chain>>,
    provider: Arc<CryptoProvider>,
    versions: &[&'static SupportedProtocolVersion],
) -> Result<ServerConfig, TlsError> {
    let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(versions)?;
    let builder = match asked {
        Some(chain) => builder.with_client_cert_verifier(Arc::new(OfDialler { chain })),
        None => builder.with_no_client_auth(),
    };
    let built = builder.with_single_cert(own.chain.clone(), own.key.clone_key());
    let mut config = built.map_err(|error| unusable(own, error))?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    // Without it, what TLS 1.2 exports is not of this session alone (RFC 7627, RFC 9266).
    config.require_ems = true;
    Ok(config)
}

fn client(
    own: Option<&Identity>,
    provider: Arc<CryptoProvider>,
    versions: &[&'static SupportedProtocolVersion],
) -> Result<ClientConfig, TlsError> {
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions)?;
    // Believes nobody until a dial says whom it means.
    let builder = builder.with_root_certificates(rustls::RootCertStore::empty());
    let mut config = match own {
        Some(own) => {
            let built = builder.with_client_auth_cert(own.chain.clone(), own.key.clone_key());
            built.map_err(|error| unusable(own, error))?
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    config.require_ems = true;
    Ok(config)
}
