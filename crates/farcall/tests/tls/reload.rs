//! New certificates, authorities and revocations while everything runs.

use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, SystemTime};

use actix::System;
use farcall::prelude::*;
use farcall::{Driver, TlsError, TlsMaterial};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::by_hand::{Manner, client_config, session_to};
use crate::fixture::{
    Book, Sleep, Total, any_port, bare, eventually, handshake_failure, meets, says, secure, secure_with,
    started, target,
};
use crate::log_lines;
use crate::pem_files::PemFiles;
use crate::pki::{Authority, Identity, authority};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A certificate that ends so many days from now, a moment later.
fn lasting(authority: &Authority, node: &str, days: u32) -> Identity {
    let end = SystemTime::now() + days * DAY + Duration::from_secs(3600);
    authority.identity_with(node, |params| params.not_after = end.into())
}

/// How many days a node's own certificate still holds.
fn days_left(node: &Node) -> u64 {
    node.metrics().certificate_left_s / DAY.as_secs()
}

fn from_files(name: &str, files: &PemFiles) -> farcall::NodeBuilder {
    let builder = bare(name).driver(Driver::Tls).listen_tls([any_port()]);
    builder.configure(|config| files.name_in(&mut config.tls))
}

/// The certificate that a listener shows.
async fn shown_by(address: SocketAddr) -> CertificateDer<'static> {
    let config = client_config(Some(&authority().identity("looks@127.0.0.1")), &Manner::default());
    let session = session_to(address, config).await.unwrap();
    session.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

fn der(identity: &Identity) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(identity.certificate.as_bytes()).unwrap()
}

#[actix::test]
async fn new_files_are_used_by_the_next_handshake_and_what_is_up_stays_up() {
    let (name, book) = ("beta@127.0.0.1", Book::default());
    let files = PemFiles::of(name);
    files.identity(&lasting(authority(), name, 20));
    let beta = started(from_files(name, &files), &book).await;
    let alpha = started(secure("alpha@127.0.0.1"), &book).await;
    assert!(meets(&alpha, &beta).await && meets(&beta, &alpha).await);
    let flying = alpha.async_call(&target(&beta), "counter", Sleep { ms: 600 });
    let flying_back = beta.async_call(&target(&alpha), "counter", Sleep { ms: 600 });
    assert_eq!(days_left(&beta), 20);

    let new = lasting(authority(), name, 50);
    files.identity(&new);
    assert_eq!(days_left(&beta), 20, "files are read only when that is asked");
    beta.reload_tls().await.unwrap();
    assert_eq!(days_left(&beta), 50);
    assert_eq!(shown_by(beta.listening_on()[0]).await, der(&new));
    assert!(alpha.call(&target(&beta).with_key(1), "counter", Total).await.is_ok(), "who comes");
    assert!(beta.call(&target(&alpha).with_key(1), "counter", Total).await.is_ok(), "whom it dials");
    assert_eq!((flying.await.unwrap(), flying_back.await.unwrap()), (600, 600));
    for node in [&alpha, &beta] {
        assert_eq!((node.metrics().dials, node.metrics().clients_lost), (2, 0), "{node:?}");
    }
}

/// To this very process: every node in it that listens to it reads its files.
fn hang_up() {
    kill(Pid::this(), Signal::SIGHUP).unwrap();
}

/// Where a process finds that it is to be the one that is hung up on.
const ALONE: &str = "FARCALL_TEST_HANGUP";

#[test]
fn a_hangup_signal_makes_a_node_read_its_files_unless_that_is_off() {
    if std::env::var_os(ALONE).is_some() {
        return System::new().block_on(is_hung_up_on());
    }
    // In a process of its own: the signal is for all nodes of one.
    let mut child = Command::new(std::env::current_exe().unwrap());
    let name = "reload::a_hangup_signal_makes_a_node_read_its_files_unless_that_is_off";
    let ended = child.args(["--exact", name, "--nocapture"]).env(ALONE, "1").output().unwrap();
    assert!(ended.status.success(), "{:?}\n{}", ended.status, String::from_utf8_lossy(&ended.stderr));
    assert!(String::from_utf8_lossy(&ended.stdout).contains("1 passed"));
}

async fn is_hung_up_on() {
    let book = Book::default();
    let (files, deaf_files) = (PemFiles::of("beta@127.0.0.1"), PemFiles::of("deaf@127.0.0.1"));
    files.identity(&lasting(authority(), "beta@127.0.0.1", 20));
    deaf_files.identity(&lasting(authority(), "deaf@127.0.0.1", 20));
    let beta = from_files("beta@127.0.0.1", &files).discovery(book.clone()).start().await.unwrap();
    // At once: a node that has started is not ended by it.
    hang_up();
    says(&beta, "TLS files are read again").await;
    let deaf = from_files("deaf@127.0.0.1", &deaf_files);
    let deaf = started(deaf.configure(|config| config.tls.reload_on_sighup = false), &book).await;
    let alpha = started(secure("alpha@127.0.0.1"), &book).await;
    assert!(alpha.ping(&target(&deaf)).await.is_ok());
    let flying = alpha.async_call(&target(&deaf), "counter", Sleep { ms: 300 });
    files.identity(&lasting(authority(), "beta@127.0.0.1", 50));
    deaf_files.identity(&lasting(authority(), "deaf@127.0.0.1", 50));
    hang_up();
    eventually("the files are read", || days_left(&beta) == 50).await;
    assert_eq!(flying.await.unwrap(), 300);
    assert_eq!(days_left(&deaf), 20);
    // As often as it comes.
    files.identity(&lasting(authority(), "beta@127.0.0.1", 70));
    hang_up();
    eventually("the files are read once more", || days_left(&beta) == 70).await;
}

#[actix::test]
async fn a_broken_new_file_leaves_the_old_ones_in_use_and_is_named() {
    let (name, book) = ("broken@127.0.0.1", Book::default());
    let files = PemFiles::of(name);
    let old = lasting(authority(), name, 20);
    files.identity(&old);
    let beta = started(from_files(name, &files), &book).await;
    let alpha = started(secure("alpha@127.0.0.1"), &book).await;
    assert!(meets(&alpha, &beta).await);
    type Spoil = fn(&PemFiles);
    let spoilt: [(&str, Spoil); 6] = [
        ("tls.certificate: ", |files| files.put(&files.certificate(), "words", 0o644)),
        ("tls.key: ", |files| files.put(&files.key(), &authority().identity("broken@127.0.0.1").key, 0o600)),
        ("tls.key: ", |files| {
            let key = std::fs::read_to_string(files.key()).unwrap();
            files.put(&files.key(), &key, 0o644);
        }),
        ("tls.ca: ", |files| std::fs::remove_file(files.ca()).unwrap()),
        ("tls.certificate: ", |files| files.identity(&authority().identity("other@127.0.0.1"))),
        ("tls.certificate: ", |files| {
            files.identity(&authority().identity_with("broken@127.0.0.1", |params| {
                params.not_before = (SystemTime::now() - 3 * DAY).into();
                params.not_after = (SystemTime::now() - DAY).into();
            }));
        }),
    ];
    for (nth, (named, spoil)) in (0_u32..).zip(spoilt) {
        files.identity(&old);
        files.authorities(&[authority()]);
        spoil(&files);
        let error = beta.reload_tls().await.unwrap_err().to_string();
        assert!(error.contains(named), "{error}");
        says(&beta, &format!("TLS files are not used, the old ones stay: {error}")).await;
        assert_eq!(shown_by(beta.listening_on()[0]).await, der(&old));
        assert!(alpha.call(&target(&beta).with_key(nth), "counter", Total).await.is_ok());
        assert!(beta.call(&target(&alpha).with_key(nth), "counter", Total).await.is_ok());
    }
    files.identity(&lasting(authority(), name, 50));
    beta.reload_tls().await.unwrap();
    assert_eq!((days_left(&beta), alpha.metrics().clients_lost), (50, 0));
}

#[actix::test]
async fn a_program_gives_its_node_new_certificates_itself() {
    let (name, book) = ("given@127.0.0.1", Book::default());
    let material = |days| authority().material_of(&lasting(authority(), name, days));
    let given = started(secure_with(name, material(20)), &book).await;
    let alpha = started(secure("alpha@127.0.0.1"), &book).await;
    assert!(meets(&alpha, &given).await);
    let new = lasting(authority(), name, 50);
    given.set_tls(authority().material_of(&new)).unwrap();
    assert_eq!((days_left(&given), shown_by(given.listening_on()[0]).await), (50, der(&new)));
    assert!(alpha.call(&target(&given).with_key(1), "counter", Total).await.is_ok());
    assert_eq!((alpha.metrics().dials, alpha.metrics().clients_lost), (2, 0));
    // What could not have been started with is not taken either.
    for (bad, why) in [
        (authority().material("other@127.0.0.1"), "is for farcall://farcall/other@127.0.0.1"),
        (TlsMaterial::new(), "tls.certificate is not set"),
    ] {
        let error = given.set_tls(bad).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
        assert_eq!(days_left(&given), 50);
    }
    // And there are no files behind it.
    let error = given.reload_tls().await.unwrap_err();
    assert!(
        matches!(error, TlsError::NoFiles(_)) && error.to_string().contains("from the program"),
        "{error}"
    );
    let plain = started(bare("plain@127.0.0.1"), &book).await;
    for error in [plain.set_tls(material(1)).unwrap_err(), plain.reload_tls().await.unwrap_err()] {
        assert!(error.to_string().contains("does not use TLS"), "{error}");
    }
}

#[actix::test]
async fn the_authority_is_replaced_in_three_steps_and_no_link_is_lost() {
    let (book, old, new) = (Book::default(), Authority::new(), Authority::new());
    let mut nodes = Vec::new();
    for name in ["alpha@127.0.0.1", "beta@127.0.0.1"] {
        let files = PemFiles::empty();
        files.identity(&old.identity(name));
        files.authorities(&[&old]);
        nodes.push((started(from_files(name, &files), &book).await, files));
    }
    let (alpha, beta) = (&nodes[0].0, &nodes[1].0);
    let mut key = 0;
    // At each moment, also between two nodes of which one is a step ahead, new connections are made both ways.
    let mut all_is_well = async || {
        key += 1;
        for (asks, answers) in [(alpha, beta), (beta, alpha)] {
            assert!(meets(asks, answers).await, "on the link that is up");
            let fresh = target(answers).with_key(key);
            assert!(asks.call(&fresh, "counter", Total).await.is_ok(), "{asks:?} anew, step {key}");
        }
    };
    all_is_well().await;
    type Step<'a> = &'a dyn Fn(&Node, &PemFiles);
    let steps: [Step<'_>; 3] = [
        &|_, files| files.authorities(&[&old, &new]),
        &|node, files| files.identity(&new.identity(node.name().as_str())),
        &|_, files| files.authorities(&[&new]),
    ];
    for step in steps {
        for (node, files) in &nodes {
            step(node, files);
            node.reload_tls().await.unwrap();
            all_is_well().await;
        }
    }
    for node in [alpha, beta] {
        // The common link and one for each moment.
        assert_eq!((node.metrics().dials, node.metrics().clients_lost), (8, 0), "{node:?}");
    }
    // The old authority is really out.
    let late = started(secure_with("late@127.0.0.1", old.material("late@127.0.0.1")), &book).await;
    let told = handshake_failure(&late, "alpha@127.0.0.1").await;
    assert!(told.contains("no authority"), "{told}");
}

#[actix::test]
async fn a_peer_that_is_revoked_makes_no_new_connection_and_its_link_stays_until_it_is_ended() {
    let (book, revoked) = (Book::default(), authority().identity("alpha@127.0.0.1"));
    let files = PemFiles::of("beta@127.0.0.1");
    files.revoked(&authority().revoked(&[]));
    let beta = from_files("beta@127.0.0.1", &files).configure(|config| config.tls.crl = vec![files.crl()]);
    let beta = started(beta, &book).await;
    let alpha = started(secure_with("alpha@127.0.0.1", authority().material_of(&revoked)), &book).await;
    assert!(meets(&alpha, &beta).await && meets(&beta, &alpha).await);

    files.revoked(&authority().revoked(&[&revoked]));
    beta.reload_tls().await.unwrap();
    let error = alpha.call(&target(&beta).with_key(1), "counter", Total).await.unwrap_err();
    assert!(error.to_string().contains("our certificate was revoked"), "{error}");
    let error = beta.call(&target(&alpha).with_key(1), "counter", Total).await.unwrap_err();
    assert!(error.to_string().contains("it was revoked"), "{error}");
    assert!(meets(&alpha, &beta).await && meets(&beta, &alpha).await, "what is up stays");
    assert_eq!((alpha.metrics().clients_lost, beta.inbound().len()), (0, 1));

    assert_eq!(beta.kill_acceptors(alpha.name()), 1);
    beta.kill_clients(alpha.name());
    eventually("both links are gone", || alpha.nodes().is_empty() && beta.nodes().is_empty()).await;
    let told = handshake_failure(&alpha, "beta@127.0.0.1").await;
    assert!(told.contains("our certificate was revoked"), "{told}");
    let told = handshake_failure(&beta, "alpha@127.0.0.1").await;
    assert!(told.contains("it was revoked"), "{told}");
}

#[actix::test]
async fn the_end_of_a_certificate_is_a_gauge_and_a_warning_ahead_of_time() {
    let book = Book::default();
    for (name, days, warned) in [("soon@127.0.0.1", 29, true), ("later@127.0.0.1", 31, false)] {
        let material = authority().material_of(&lasting(authority(), name, days));
        let node = started(secure_with(name, material), &book).await;
        assert_eq!(days_left(&node), u64::from(days));
        if warned {
            let line = says(&node, "the certificate ends in 29 days").await;
            assert!(line.starts_with("WARN "), "{line}");
        }
        // The watch looks before anything else of this arbiter goes on after it.
        assert!(node.ping(&target(&node)).await.is_ok());
        let lines = log_lines::of(name);
        assert_eq!(lines.iter().any(|line| line.contains("the certificate ends in")), warned, "{lines:?}");
    }
    let name = "told@127.0.0.1";
    let told = secure_with(name, authority().material_of(&lasting(authority(), name, 40)));
    let told = started(told.configure(|config| config.tls.expiry_warning = 60 * DAY), &book).await;
    says(&told, "the certificate ends in 40 days").await;
    let without = started(bare("without@127.0.0.1"), &book).await;
    assert_eq!(without.metrics().certificate_left_s, 0);
}
