//! Nobody is talked into less: no plain text where TLS was meant, no older TLS, no other protocol inside it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use farcall::config::TlsVersion;
use farcall::prelude::*;
use farcall::{Driver, Keyring};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::by_hand::{
    Manner, TLS12, binding, client_config, dial_badly, impostor, introduce, listening, server_config,
    session_to,
};
use crate::fixture::{
    Book, Total, any_port, bare, cookie, dialling, eventually, handshake_failure, says, secure, started,
};
use crate::pki::authority;

const BETA: &str = "beta@127.0.0.1";
/// A refusal comes at once, not when a timeout is over; the rest is for a busy machine.
const QUICK: Duration = Duration::from_secs(2);

#[actix::test]
async fn a_node_that_means_tls_never_falls_back_to_plain_text() {
    let said: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
    let kept = said.clone();
    // Answers as a plain node would refuse, then as one that knows only plain text.
    let plain = listening(move |mut stream| {
        let kept = kept.clone();
        async move {
            let mut chunk = [0; 4096];
            let bytes = stream.read(&mut chunk).await.unwrap_or_default();
            kept.lock().push(chunk[..bytes].to_vec());
            let _ = stream.write_all(b"\x06\0\0\0plain!").await;
        }
    })
    .await;
    let book = Book::default();
    let asks = started(dialling("asks@127.0.0.1"), &book).await;
    book.put_tls(BETA, plain);
    let begun = Instant::now();
    for _ in 0..3 {
        handshake_failure(&asks, BETA).await;
        tokio::time::sleep(Duration::from_millis(2)).await; // the backoff of these nodes is 1 ms
    }
    assert!(begun.elapsed() < QUICK, "{:?}", begun.elapsed());
    let said = said.lock();
    assert!(said.len() >= 3, "{} connections", said.len());
    for first in said.iter() {
        // A record of the handshake, of any version: nothing else was ever tried.
        assert_eq!(first[..2], [22, 3], "{first:?}");
    }
}

#[actix::test]
async fn a_plain_client_on_the_tls_port_is_refused_at_once_and_told_what_is_wrong() {
    let book = Book::default();
    let beta = started(secure(BETA), &book).await;
    book.put(BETA, &format!("tcp://{}", beta.listening_on()[0]));
    let asks = started(bare("asks@127.0.0.1"), &book).await;
    let begun = Instant::now();
    let told = handshake_failure(&asks, BETA).await;
    assert!(begun.elapsed() < QUICK, "{:?}", begun.elapsed());
    assert!(told.contains("the peer speaks TLS here"), "{told}");
    says(&beta, "what the peer sent is no TLS").await;
}

#[actix::test]
async fn a_tls_client_on_the_plain_port_is_refused_at_once_and_told_what_is_wrong() {
    let book = Book::default();
    let beta = started(bare(BETA).listen([any_port()]), &book).await;
    book.put_tls(BETA, beta.listening_on()[0]);
    let asks = started(dialling("asks@127.0.0.1"), &book).await;
    let begun = Instant::now();
    let told = handshake_failure(&asks, BETA).await;
    assert!(begun.elapsed() < QUICK, "{:?}", begun.elapsed());
    assert!(told.contains("does it speak TLS here?"), "{told}");
    says(&beta, "the peer speaks TLS here").await;
}

/// Introduces itself over TLS in this manner, and is let in.
async fn is_let_in(node: &Node, manner: &Manner) {
    let name = "eve@127.0.0.1";
    let config = client_config(Some(&authority().identity(name)), manner);
    let mut session = session_to(node.listening_with(Driver::Tls)[0], config).await.unwrap();
    let (keyring, bound) = (Keyring::new(cookie()), binding(&session));
    introduce(&mut session, name, node.name().as_str(), (&keyring, bound)).await.unwrap();
    eventually("it is in", || node.inbound() == [name.parse().unwrap()]).await;
}

/// Dials a server of this manner, and is connected.
async fn connects_to(node: &Node, book: &Book, manner: &Manner) {
    let name = "eve@127.0.0.1";
    book.put_tls(name, impostor(server_config(&authority().identity(name), manner), name).await);
    let pending = node.async_call(&name.parse().unwrap(), "counter", Total);
    eventually("it is connected", || node.nodes() == [name.parse().unwrap()]).await;
    drop(pending);
}

#[actix::test]
async fn a_peer_that_knows_only_tls_1_2_is_refused_in_both_roles_unless_the_setting_allows_it() {
    let old = Manner { versions: TLS12, ..Manner::default() };
    let book = Book::default();
    let strict = started(secure("strict@127.0.0.1"), &book).await;
    let eve = authority().identity("eve@127.0.0.1");
    let told = dial_badly(strict.listening_on()[0], client_config(Some(&eve), &old)).await;
    assert!(told.to_string().contains("ProtocolVersion"), "{told}");
    says(&strict, "refused a connection").await;
    book.put_tls("eve@127.0.0.1", impostor(server_config(&eve, &old), "eve@127.0.0.1").await);
    let told = handshake_failure(&strict, "eve@127.0.0.1").await;
    assert!(told.contains("tls.version_min"), "{told}");

    let allows = secure("allows@127.0.0.1").configure(|config| config.tls.version_min = TlsVersion::V1_2);
    let allows = started(allows, &book).await;
    is_let_in(&allows, &old).await;
    connects_to(&allows, &book, &old).await;
}

#[actix::test]
async fn a_peer_that_means_another_protocol_or_none_is_refused_in_both_roles() {
    let eve = authority().identity("eve@127.0.0.1");
    for (alpn, alert) in [
        (vec![b"h2".to_vec(), b"http/1.1".to_vec()], Some("NoApplicationProtocol")),
        (vec![b"farcall/2".to_vec()], Some("NoApplicationProtocol")),
        (vec![], None),
    ] {
        let book = Book::default();
        let node = started(secure("node@127.0.0.1"), &book).await;
        let other = Manner { alpn: alpn.clone(), ..Manner::default() };
        let told = dial_badly(node.listening_on()[0], client_config(Some(&eve), &other)).await;
        assert!(alert.is_none_or(|alert| told.to_string().contains(alert)), "{alpn:?}: {told}");
        eventually("it is counted", || node.metrics().handshakes_failed == 1).await;
        assert!(node.inbound().is_empty());
        book.put_tls("eve@127.0.0.1", impostor(server_config(&eve, &other), "eve@127.0.0.1").await);
        let told = handshake_failure(&node, "eve@127.0.0.1").await;
        assert!(told.contains("does not speak farcall") || told.contains("means something else"), "{told}");
    }
    let many = Manner { alpn: vec![b"h2".to_vec(), b"farcall/1".to_vec()], ..Manner::default() };
    let book = Book::default();
    let node = started(secure("node@127.0.0.1"), &book).await;
    is_let_in(&node, &many).await;
    connects_to(&node, &book, &many).await;
}
