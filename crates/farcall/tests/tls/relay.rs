//! Somebody in the middle, who ends TLS on both sides and passes on what is inside.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use farcall::config::Auth;
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::by_hand::{Manner, client_config, listening, server_config, session_to};
use crate::fixture::{
    Add, Book, Total, bare, eventually, handshake_failure, meets, says, secure, secure_with, started, target,
};
use crate::pki::{Authority, Identity, authority};

/// Shows one certificate to whoever dials and another to the node behind, and passes on what they say to each other.
async fn relay(to: SocketAddr, as_server: &Identity, as_client: &Identity) -> (SocketAddr, Arc<AtomicU64>) {
    let server = TlsAcceptor::from(server_config(as_server, &Manner::default()));
    let client = client_config(Some(as_client), &Manner::default());
    let passed = Arc::new(AtomicU64::new(0));
    let counted = passed.clone();
    let address = listening(move |near| {
        let (server, client, counted) = (server.clone(), client.clone(), counted.clone());
        async move {
            let (Ok(mut near), Ok(mut far)) = (server.accept(near).await, session_to(to, client).await)
            else {
                return;
            };
            counted.fetch_add(1, Ordering::Relaxed);
            let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
        }
    })
    .await;
    (address, passed)
}

/// Bytes pass as they are: a relay that does not touch TLS is only a longer way.
async fn tube(to: SocketAddr) -> SocketAddr {
    listening(move |mut near| async move {
        let Ok(mut far) = TcpStream::connect(to).await else { return };
        let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
    })
    .await
}

/// Two nodes, and the one behind the relay is dialled through it; nothing may come of it.
async fn refused_through(
    alpha: farcall::NodeBuilder,
    beta: farcall::NodeBuilder,
    as_server: &Identity,
    as_client: &Identity,
) {
    let book = Book::default();
    let beta = started(beta, &book).await;
    let alpha = started(alpha, &book).await;
    assert!(meets(&alpha, &beta).await, "they meet without it");
    alpha.disconnect(beta.name());
    book.put_tls(beta.name().as_str(), tube(beta.listening_on()[0]).await);
    assert!(meets(&alpha, &beta).await, "they meet over a longer way");

    let (address, passed) = relay(beta.listening_on()[0], as_server, as_client).await;
    book.put_tls(beta.name().as_str(), address);
    let fresh = target(&beta).with_key("through the relay");
    let before = beta.metrics();
    let error = alpha.call(&fresh, "counter", Add { amount: 1 }).await.unwrap_err();
    assert!(error.to_string().contains("refused without a reason"), "{error}");
    assert_eq!(passed.load(Ordering::Relaxed), 1, "both sessions were made, and their content was passed on");
    says(&beta, "on this channel").await;
    // The beta of another test may have said it.
    let failed = before.handshakes_failed + 1;
    eventually("it has failed", || beta.metrics().handshakes_failed == failed).await;
    assert_eq!(beta.call(&target(&beta), "counter", Total).await.unwrap(), 0);
}

#[actix::test]
async fn a_relay_with_a_certificate_of_its_own_is_refused_where_the_cookie_counts() {
    // No authority is asked here, so TLS alone does not find it out.
    let cookie_alone = |name: &str| {
        let own = Authority::new().identity(name);
        let material = farcall::TlsMaterial::new().identity(own.certificate.as_bytes(), own.key.as_bytes());
        secure_with(name, material.unwrap()).configure(|config| config.tls.auth = Auth::Cookie)
    };
    let own = Authority::new().identity("relay@127.0.0.1");
    refused_through(cookie_alone("alpha@127.0.0.1"), cookie_alone("beta@127.0.0.1"), &own, &own).await;
}

#[actix::test]
async fn a_relay_with_the_stolen_keys_of_both_is_refused_where_both_are_asked() {
    let of = |name: &str| authority().identity(name);
    refused_through(
        secure("alpha@127.0.0.1"),
        secure("beta@127.0.0.1"),
        &of("beta@127.0.0.1"),
        &of("alpha@127.0.0.1"),
    )
    .await;
}

#[actix::test]
async fn a_relay_with_a_good_certificate_for_itself_is_found_out_by_its_name() {
    for auth in [Auth::Both, Auth::Certificate] {
        let book = Book::default();
        let set = |builder: farcall::NodeBuilder| builder.configure(|config| config.tls.auth = auth);
        let beta = started(set(secure("beta@127.0.0.1")), &book).await;
        let alpha = started(set(secure("alpha@127.0.0.1")), &book).await;
        let own = authority().identity("relay@127.0.0.1");
        let (address, passed) = relay(beta.listening_on()[0], &own, &own).await;
        book.put_tls("beta@127.0.0.1", address);
        let told = handshake_failure(&alpha, "beta@127.0.0.1").await;
        assert!(told.contains("it is for farcall://farcall/relay@127.0.0.1"), "{told}");
        assert_eq!((passed.load(Ordering::Relaxed), beta.inbound().len()), (0, 0));
    }
}

#[actix::test]
async fn a_relay_that_takes_tls_off_one_side_is_refused_although_the_cookie_is_right() {
    let book = Book::default();
    // The node behind answers over TLS; whoever dials is led to think that it does without.
    let cookie_alone =
        |builder: farcall::NodeBuilder| builder.configure(|config| config.tls.auth = Auth::Cookie);
    let beta = started(cookie_alone(secure("beta@127.0.0.1")), &book).await;
    let to = beta.listening_on()[0];
    let client = client_config(None, &Manner::default());
    let address = listening(move |mut near| {
        let connector = TlsConnector::from(client.clone());
        async move {
            let far = TcpStream::connect(to).await.unwrap();
            let mut far = connector.connect("x".try_into().unwrap(), far).await.unwrap();
            let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
        }
    })
    .await;
    book.put("beta@127.0.0.1", &format!("tcp://{address}"));
    let alpha = started(bare("alpha@127.0.0.1"), &book).await;
    let told = handshake_failure(&alpha, "beta@127.0.0.1").await;
    assert!(told.contains("refused without a reason"), "{told}");
    says(&beta, "on this channel").await;
}
