//! With which certificates, keys and files a node does not start, and what it says of them.

use std::time::{Duration, SystemTime};

use farcall::config::Auth;
use farcall::{Driver, Node, StartError, TlsMaterial};

use crate::fixture::{any_port, cookie, start_error};
use crate::pem_files::PemFiles;
use crate::pki::{Authority, authority};

const NAME: &str = "alpha@127.0.0.1";
const DAY: Duration = Duration::from_secs(24 * 3600);

/// What is said of these files, once they were spoilt.
async fn said_of(spoil: impl FnOnce(&PemFiles)) -> (PemFiles, String) {
    let files = PemFiles::of(NAME);
    spoil(&files);
    let error = start_error(builder(&files)).await;
    assert!(matches!(error, StartError::Tls(_)), "{error:?}");
    (files, error.to_string())
}

fn builder(files: &PemFiles) -> farcall::NodeBuilder {
    let builder = Node::builder(NAME).cookie(cookie()).driver(Driver::Tls).listen_tls([any_port()]);
    builder.configure(|config| files.name_in(&mut config.tls))
}

/// Whether a text names a setting together with its file.
fn names(said: &str, setting: &str, file: &std::path::Path) -> bool {
    said.contains(&format!("{setting}: {}", file.display()))
}

#[actix::test]
async fn a_node_starts_with_good_files() {
    // Without it, everything below could be refused for another reason.
    builder(&PemFiles::of(NAME)).start().await.unwrap();
}

#[actix::test]
async fn a_node_does_not_start_with_a_certificate_that_has_ended_or_not_begun() {
    for (from, until, what) in [(-3, -2, "ended 2 days ago"), (3, 5, "begins in")] {
        let (files, said) = said_of(|files| {
            let at = |days: i32| match u32::try_from(days) {
                Ok(days) => SystemTime::now() + days * DAY,
                Err(_) => SystemTime::now() - days.unsigned_abs() * DAY,
            };
            files.identity(&authority().identity_with(NAME, |params| {
                (params.not_before, params.not_after) = (at(from).into(), at(until).into());
            }));
        })
        .await;
        assert!(names(&said, "tls.certificate", &files.certificate()), "{said}");
        assert!(said.contains(what) && said.contains("`farcall cert node`"), "{said}");
    }
}

#[actix::test]
async fn a_node_does_not_start_with_the_certificate_of_another_one() {
    let (files, said) = said_of(|files| files.identity(&authority().identity("beta@127.0.0.1"))).await;
    assert!(names(&said, "tls.certificate", &files.certificate()), "{said}");
    assert!(said.contains("is for farcall://farcall/beta@127.0.0.1"), "{said}");
    assert!(said.contains("this node is alpha@127.0.0.1"), "{said}");
}

#[actix::test]
async fn a_node_does_not_start_with_the_key_of_another_certificate() {
    let (files, said) = said_of(|files| {
        let other = authority().identity(NAME);
        files.put(&files.key(), &other.key, 0o600);
    })
    .await;
    assert!(names(&said, "tls.key", &files.key()), "{said}");
    assert!(names(&said, "tls.certificate", &files.certificate()), "{said}");
    assert!(said.contains("does not belong to"), "{said}");
}

#[actix::test]
async fn a_node_does_not_start_with_a_key_that_everybody_can_use() {
    for mode in [0o644, 0o604, 0o602, 0o620, 0o666] {
        let (files, said) = said_of(|files| {
            let key = std::fs::read_to_string(files.key()).unwrap();
            files.put(&files.key(), &key, mode);
        })
        .await;
        assert!(names(&said, "tls.key", &files.key()), "{said}");
        let file = files.key().display().to_string();
        assert!(said.contains(&format!("mode {mode:04o}")), "{said}");
        assert!(said.contains(&format!("chmod 600 {file}")), "{said}");
    }
    let files = PemFiles::of(NAME);
    let key = std::fs::read_to_string(files.key()).unwrap();
    files.put(&files.key(), &key, 0o640);
    assert!(builder(&files).start().await.is_ok(), "the group may read it");
}

#[actix::test]
async fn a_node_does_not_start_without_what_its_way_of_proving_needs() {
    let files = PemFiles::of(NAME);
    for auth in [Auth::Both, Auth::Certificate] {
        let with = |change: fn(&mut farcall::config::TlsConfig)| {
            builder(&files).configure(|config| {
                config.tls.auth = auth;
                change(&mut config.tls);
            })
        };
        let said = start_error(with(|tls| tls.ca.clear())).await.to_string();
        assert!(said.starts_with("tls.ca is not set"), "{said}");
        let said = start_error(with(|tls| (tls.certificate, tls.key) = (None, None))).await.to_string();
        assert!(said.starts_with("tls.certificate is not set"), "{said}");
        let said = start_error(with(|tls| tls.key = None)).await.to_string();
        assert!(said.starts_with("tls.key is not set"), "{said}");
        let said = start_error(with(|tls| tls.certificate = None)).await.to_string();
        assert!(said.starts_with("tls.certificate is not set"), "{said}");
    }
    // With the cookie alone, whoever listens needs a certificate all the same, of whatever origin.
    let listening = builder(&files).configure(|config| {
        config.tls.auth = Auth::Cookie;
        (config.tls.certificate, config.tls.key) = (None, None);
    });
    let said = start_error(listening).await.to_string();
    assert!(said.contains("tls.certificate is not set") && said.contains("listens"), "{said}");
}

#[actix::test]
async fn a_file_that_cannot_be_read_or_is_no_pem_is_named_with_its_setting() {
    type Place = fn(&PemFiles) -> std::path::PathBuf;
    let places: [(&str, Place, u32); 4] = [
        ("tls.certificate", PemFiles::certificate, 0o644),
        ("tls.key", PemFiles::key, 0o600),
        ("tls.ca", PemFiles::ca, 0o644),
        ("tls.crl", PemFiles::crl, 0o644),
    ];
    let garbage = "-----BEGIN CERTIFICATE-----\nno base64 at all!\n-----END CERTIFICATE-----\n";
    let torn = "-----BEGIN CERTIFICATE-----\nMIIB\n";
    let empty_der = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let of_list = "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n";
    for (setting, place, mode) in places {
        for text in [None, Some(""), Some("words"), Some(garbage), Some(torn), Some(empty_der), Some(of_list)]
        {
            let files = PemFiles::of(NAME);
            let path = place(&files);
            files.revoked(&authority().revoked(&[]));
            match text {
                Some(text) => files.put(&path, text, mode),
                None => std::fs::remove_file(&path).unwrap(),
            }
            let error = builder(&files).configure(|config| config.tls.crl = vec![files.crl()]);
            let error = start_error(error).await;
            assert!(matches!(error, StartError::Tls(_)), "{error:?}");
            let said = error.to_string();
            assert!(names(&said, setting, &path), "{text:?}: {said}");
        }
    }
}

#[actix::test]
async fn what_is_wrong_with_material_from_the_program_is_said_without_a_file() {
    let (own, other) = (authority().identity(NAME), authority().identity(NAME));
    let mixed = TlsMaterial::new().identity(own.certificate.as_bytes(), other.key.as_bytes()).unwrap();
    let mixed = mixed.authority(authority().pem().as_bytes()).unwrap();
    let said = start_error(Node::builder(NAME).cookie(cookie()).tls(mixed).no_listener()).await.to_string();
    assert!(said.contains("the key does not belong to the certificate"), "{said}");
    assert!(TlsMaterial::new().authority(b"words").is_err());
    assert!(TlsMaterial::new().identity(b"words", own.key.as_bytes()).is_err());
    let error = TlsMaterial::new().identity(own.certificate.as_bytes(), b"hunter2").unwrap_err();
    assert!(!format!("{error:?} {error}").contains("hunter2"), "{error:?}");
    // An authority that did not give out this node's own certificate is no reason: it is there for the others.
    let foreign = TlsMaterial::new().identity(own.certificate.as_bytes(), own.key.as_bytes()).unwrap();
    let foreign = foreign.authority(Authority::new().pem().as_bytes()).unwrap();
    assert!(Node::builder(NAME).cookie(cookie()).tls(foreign).no_listener().start().await.is_ok());
}
