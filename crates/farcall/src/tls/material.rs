//! Certificates, keys and lists as they are read: from files, or from texts that a program keeps elsewhere.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use farcall_proto::identity::CertificateNames;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use webpki::{BorrowedCertRevocationList, anchor_from_trusted_cert};
use zeroize::Zeroizing;

use super::error::TlsError;
use super::facts::Facts;
use crate::config::TlsConfig;

/// What TLS is made from: this node's certificate and key, the authorities it believes, and lists of revoked
/// certificates. All of it is PEM.
///
/// ```no_run
/// # fn secret(name: &str) -> Vec<u8> { std::fs::read(name).unwrap() }
/// use farcall::{Driver, Node, TlsMaterial};
///
/// let material = TlsMaterial::new()
///     .identity(&secret("node.pem"), &secret("node-key.pem"))?
///     .authority(&secret("ca.pem"))?;
/// let node = Node::builder("alpha@10.0.0.1").driver(Driver::Tls).tls(material);
/// # Ok::<(), farcall::TlsError>(())
/// ```
#[derive(Default)]
pub struct TlsMaterial {
    pub(super) identity: Option<Identity>,
    pub(super) authorities: Vec<CertificateDer<'static>>,
    pub(super) revoked: Vec<CertificateRevocationListDer<'static>>,
}

/// A certificate with those between it and its authority, and its key.
pub(super) struct Identity {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
    /// What errors call the certificate and the key.
    pub(super) named: String,
    pub(super) key_named: String,
}

impl Clone for TlsMaterial {
    fn clone(&self) -> Self {
        let identity = self.identity.as_ref();
        let identity = identity.map(|own| Identity {
            chain: own.chain.clone(),
            key: own.key.clone_key(),
            named: own.named.clone(),
            key_named: own.key_named.clone(),
        });
        Self { identity, authorities: self.authorities.clone(), revoked: self.revoked.clone() }
    }
}

impl std::fmt::Debug for TlsMaterial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsMaterial").field("authorities", &self.authorities.len()).finish_non_exhaustive()
    }
}

impl TlsMaterial {
    /// The most certificates in a chain, authorities, or lists in one file.
    pub const ITEMS_MAX: usize = 64;
    /// The largest file, in bytes.
    pub const FILE_BYTES_MAX: u64 = 1 << 20;

    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// With this certificate (those between it and its authority may follow in the same text) and its key.
    ///
    /// # Errors
    /// [`TlsError`] if either is not there or does not read.
    pub fn identity(self, certificate_pem: &[u8], key_pem: &[u8]) -> Result<Self, TlsError> {
        self.identity_from("the certificate", certificate_pem, "the key", key_pem)
    }

    /// Believing these authorities too.
    ///
    /// # Errors
    /// [`TlsError`] if there is none, or one does not read.
    pub fn authority(self, ca_pem: &[u8]) -> Result<Self, TlsError> {
        self.authority_from("the authority", ca_pem)
    }

    /// With these lists of revoked certificates too.
    ///
    /// # Errors
    /// [`TlsError`] if there is none, or one does not read.
    pub fn revocation_list(self, crl_pem: &[u8]) -> Result<Self, TlsError> {
        self.revoked_from("the revocation list", crl_pem)
    }

    /// Whether nobody but its owner and its group can use this key file: a key that everybody can use may be anybody's.
    /// The group may read it, because that is how containers are given secrets.
    ///
    /// # Errors
    /// [`TlsError::KeyOpen`], or [`TlsError::Unreadable`] if it cannot be looked at.
    pub fn check_key_file(path: &Path) -> Result<(), TlsError> {
        let unreadable = |reason| TlsError::Unreadable { source_name: name("tls.key", path), reason };
        let mode = fs::metadata(path).map_err(unreadable)?.mode() & 0o7777;
        match mode & 0o027 {
            0 => Ok(()),
            _ => Err(TlsError::KeyOpen { path: path.to_owned(), mode }),
        }
    }

    /// What the files of a configuration hold. It blocks for as long as the file system does.
    ///
    /// A node reads them by itself; this is for programs that have to look before they start one.
    ///
    /// # Errors
    /// [`TlsError`] if a file is missing or does not read, or others can use the key. That the certificate is good for
    /// a node is found out by [`NodeBuilder::start`](crate::NodeBuilder::start).
    pub fn from_files(config: &TlsConfig) -> Result<Self, TlsError> {
        let mut material = Self::default();
        match (&config.certificate, &config.key) {
            (Some(certificate), Some(key)) => {
                let certificate_pem = file("tls.certificate", certificate)?;
                Self::check_key_file(key)?;
                let key_pem = file("tls.key", key)?;
                let (named, key_named) = (name("tls.certificate", certificate), name("tls.key", key));
                material = material.identity_from(&named, &certificate_pem, &key_named, &key_pem)?;
            }
            (None, None) => {}
            (Some(_), None) => return Err(missing("tls.key", "tls.certificate is")),
            (None, Some(_)) => return Err(missing("tls.certificate", "tls.key is")),
        }
        for path in &config.ca {
            material = material.authority_from(&name("tls.ca", path), &file("tls.ca", path)?)?;
        }
        for path in &config.crl {
            material = material.revoked_from(&name("tls.crl", path), &file("tls.crl", path)?)?;
        }
        Ok(material)
    }

    /// Whom the certificate of [`identity`](Self::identity) names; nobody without one.
    ///
    /// # Errors
    /// [`TlsError::Malformed`] if it is no certificate.
    pub fn names(&self) -> Result<CertificateNames, TlsError> {
        let own = self.identity.as_ref().and_then(|own| own.chain.first());
        let facts = own.map(Facts::read).transpose();
        let facts = facts.map_err(|reason| malformed("the certificate", "certificate", reason))?;
        Ok(facts.map(|facts| facts.names).unwrap_or_default())
    }

    fn identity_from(
        mut self,
        named: &str,
        certificate_pem: &[u8],
        key_named: &str,
        key_pem: &[u8],
    ) -> Result<Self, TlsError> {
        let chain = items::<CertificateDer<'static>>(named, "certificate", certificate_pem)?;
        let key = match PrivateKeyDer::from_pem_slice(key_pem) {
            Ok(key) => key,
            Err(rustls::pki_types::pem::Error::NoItemsFound) => {
                return Err(TlsError::Empty { source_name: key_named.to_owned(), what: "private key" });
            }
            // Its text may hold a part of the key.
            Err(_) => return Err(malformed(key_named, "private key", "it is no PEM".to_owned())),
        };
        let (named, key_named) = (named.to_owned(), key_named.to_owned());
        self.identity = Some(Identity { chain, key, named, key_named });
        Ok(self)
    }

    fn authority_from(mut self, named: &str, pem: &[u8]) -> Result<Self, TlsError> {
        let authorities = items::<CertificateDer<'static>>(named, "certificate", pem)?;
        // Tried here, where the file is known.
        let unread = |error: webpki::Error| malformed(named, "certificate", error.to_string());
        authorities.iter().try_for_each(|one| anchor_from_trusted_cert(one).map(drop)).map_err(unread)?;
        self.authorities.extend(authorities);
        Ok(self)
    }

    fn revoked_from(mut self, named: &str, pem: &[u8]) -> Result<Self, TlsError> {
        let lists = items::<CertificateRevocationListDer<'static>>(named, "revocation list", pem)?;
        let unread = |error: webpki::Error| malformed(named, "revocation list", error.to_string());
        lists
            .iter()
            .try_for_each(|one| BorrowedCertRevocationList::from_der(one).map(drop))
            .map_err(unread)?;
        self.revoked.extend(lists);
        Ok(self)
    }
}

pub(super) fn missing(key: &'static str, why: &'static str) -> TlsError {
    TlsError::Missing { key, why }
}

pub(super) fn malformed(source_name: &str, what: &'static str, reason: String) -> TlsError {
    TlsError::Malformed { source_name: source_name.to_owned(), what, reason }
}

fn items<T: PemObject>(named: &str, what: &'static str, pem: &[u8]) -> Result<Vec<T>, TlsError> {
    let items = T::pem_slice_iter(pem).take(TlsMaterial::ITEMS_MAX + 1).collect::<Result<Vec<_>, _>>();
    match items {
        // Those behind the limit must not be left out in silence: one may be a list of revoked certificates.
        Ok(items) if items.len() > TlsMaterial::ITEMS_MAX => {
            let reason = format!("there are more than {} in it", TlsMaterial::ITEMS_MAX);
            Err(malformed(named, what, reason))
        }
        Ok(items) if items.is_empty() => Err(TlsError::Empty { source_name: named.to_owned(), what }),
        Ok(items) => Ok(items),
        Err(error) => Err(malformed(named, what, error.to_string())),
    }
}

fn name(key: &str, path: &Path) -> String {
    format!("{key}: {}", path.display())
}

fn file(key: &'static str, path: &Path) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    let unreadable = |reason| TlsError::Unreadable { source_name: name(key, path), reason };
    // Opening a named pipe would wait for its writer.
    if !fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(unreadable(io::Error::other("it is no regular file")));
    }
    let file = File::open(path).map_err(unreadable)?;
    // Room for all of it from the start: a buffer that grows would leave parts of a key behind.
    let size = usize::try_from(file.metadata().map_err(unreadable)?.len()).unwrap_or(usize::MAX);
    let limit = usize::try_from(TlsMaterial::FILE_BYTES_MAX).unwrap_or(usize::MAX);
    let mut bytes = Zeroizing::new(Vec::with_capacity(size.min(limit) + 1));
    file.take(TlsMaterial::FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    match bytes.len() > limit {
        true => Err(TlsError::TooLarge { source_name: name(key, path) }),
        false => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use rcgen::{CertificateParams, KeyPair, SanType};

    use super::*;

    /// A certificate for alpha on its host, and its key.
    fn alpha() -> [String; 2] {
        let mut params = CertificateParams::new(["web.example".to_owned()]).unwrap();
        params
            .subject_alt_names
            .push(SanType::URI("farcall://farcall/alpha@web.example".try_into().unwrap()));
        let key = KeyPair::generate().unwrap();
        [params.self_signed(&key).unwrap().pem(), key.serialize_pem()]
    }

    #[test]
    fn it_tells_whom_the_certificate_names() {
        let [certificate, key] = alpha();
        let material = TlsMaterial::new().identity(certificate.as_bytes(), key.as_bytes()).unwrap();
        let names = material.names().unwrap();
        let alpha = "alpha@web.example".parse().unwrap();
        assert_eq!(names.nodes().collect::<Vec<_>>(), [("farcall".to_owned(), alpha)]);
        assert_eq!(names.dns, ["web.example"]);
        assert_eq!(TlsMaterial::new().names().unwrap(), CertificateNames::default(), "nobody without one");
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let material = TlsMaterial::new().identity(broken.as_bytes(), key.as_bytes()).unwrap();
        assert!(matches!(material.names(), Err(TlsError::Malformed { .. })));
    }

    #[test]
    fn files_are_read_as_a_node_would_and_what_is_wrong_names_the_setting_and_the_file() {
        let folder = std::env::temp_dir().join(format!("farcall-material-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let [certificate, key] = ["node.pem", "node-key.pem"].map(|name| folder.join(name));
        for (path, text) in [&certificate, &key].into_iter().zip(alpha()) {
            fs::write(path, text).unwrap();
        }
        fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
        let config = TlsConfig {
            certificate: Some(certificate.clone()),
            key: Some(key.clone()),
            ca: vec![certificate.clone()],
            ..TlsConfig::default()
        };
        let read = TlsMaterial::from_files(&config).unwrap();
        assert_eq!((read.names().unwrap().uris.len(), read.authorities.len()), (1, 1));
        let none = TlsMaterial::from_files(&TlsConfig::default()).unwrap();
        assert!(none.identity.is_none());
        let said = |config: &TlsConfig| TlsMaterial::from_files(config).unwrap_err().to_string();
        let missing = TlsConfig { ca: vec![folder.join("none.pem")], ..config.clone() };
        assert!(said(&missing).starts_with("tls.ca: ") && said(&missing).contains("none.pem cannot be read"));
        let alone = TlsConfig { key: None, ..config.clone() };
        assert!(said(&alone).starts_with("tls.key is not set"));
        fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(said(&config).contains("has mode 0644"));
        fs::remove_dir_all(&folder).unwrap();
    }
}
