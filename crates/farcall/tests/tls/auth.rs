//! What a peer must show: the certificate, the cookie, or both; and what two nodes that do not agree on it make of it.

use farcall::config::Auth;
use farcall::{Driver, Keyring, Node, NodeBuilder, TlsMaterial};

use crate::by_hand::{Manner, binding, client_config, introduce, session_to};
use crate::fixture::{
    Book, Total, any_port, bare, cookie, eventually, handshake_failure, meets, other_cookie, says, secure,
    started, target,
};
use crate::log_lines;
use crate::pem_files::PemFiles;
use crate::pki::{Authority, authority};

fn with_auth(builder: NodeBuilder, auth: Auth) -> NodeBuilder {
    builder.configure(|config| config.tls.auth = auth)
}

#[actix::test]
async fn the_right_ones_meet_whatever_is_to_be_shown() {
    for auth in [Auth::Both, Auth::Certificate, Auth::Cookie] {
        let book = Book::default();
        let alpha = started(with_auth(secure("alpha@127.0.0.1"), auth), &book).await;
        let beta = started(with_auth(secure("beta@127.0.0.1"), auth), &book).await;
        assert!(meets(&alpha, &beta).await && meets(&beta, &alpha).await, "{auth}");
    }
}

#[actix::test]
async fn a_wrong_cookie_with_the_right_certificate_is_refused_where_both_are_asked() {
    let book = Book::default();
    let right = started(secure("right@127.0.0.1"), &book).await;
    let wrong = started(secure("wrong@127.0.0.1").cookie(other_cookie()), &book).await;
    for (asks, answers) in [(&wrong, &right), (&right, &wrong)] {
        let told = handshake_failure(asks, answers.name().as_str()).await;
        assert!(told.contains("peer refused without a reason"), "{told}");
        says(answers, "peer could not prove that it holds our cookie").await;
        assert!(answers.inbound().is_empty() && asks.nodes().is_empty());
    }
}

#[actix::test]
async fn the_right_cookie_with_a_wrong_certificate_is_refused_where_both_are_asked() {
    let book = Book::default();
    let right = started(secure("right@127.0.0.1"), &book).await;
    let elsewhere = Authority::new();
    let own = elsewhere.identity("wrong@127.0.0.1");
    let material = TlsMaterial::new().identity(own.certificate.as_bytes(), own.key.as_bytes()).unwrap();
    let material = material.authority(authority().pem().as_bytes()).unwrap();
    let wrong = started(secure("wrong@127.0.0.1").tls(material), &book).await;
    let told = handshake_failure(&wrong, "right@127.0.0.1").await;
    assert!(told.contains("the peer refused"), "{told}");
    let told = handshake_failure(&right, "wrong@127.0.0.1").await;
    assert!(told.contains("no authority of tls.ca gave it out"), "{told}");
    assert!(right.inbound().is_empty() && wrong.inbound().is_empty());
}

#[actix::test]
async fn with_certificates_alone_there_is_no_cookie_file_and_none_is_made() {
    log_lines::keep();
    let (book, folder) = (Book::default(), PemFiles::empty());
    let path = folder.folder().join("cookie");
    let without_cookie = |name: &str| {
        let builder = Node::builder(name).tls(authority().material(name)).driver(Driver::Tls);
        with_auth(builder.listen_tls([any_port()]).cookie_file(&path), Auth::Certificate)
    };
    let alpha = started(without_cookie("alpha@127.0.0.1"), &book).await;
    let beta = started(without_cookie("beta@127.0.0.1"), &book).await;
    assert!(meets(&alpha, &beta).await && meets(&beta, &alpha).await);
    assert_eq!(std::fs::read_dir(folder.folder()).unwrap().count(), 0, "nothing was made");
    // It is not even looked at: this one could not be used.
    folder.put(&path, "", 0o666);
    let gamma = started(without_cookie("gamma@127.0.0.1"), &book).await;
    assert!(meets(&gamma, &beta).await);
    // Where the cookie counts too, it is made.
    std::fs::remove_file(&path).unwrap();
    let both = with_auth(without_cookie("both@127.0.0.1"), Auth::Both).start().await.unwrap();
    assert!(path.exists());
    drop(both);
}

#[actix::test]
async fn with_the_cookie_alone_nobody_is_asked_for_a_certificate_and_any_name_goes() {
    let book = Book::default();
    let beta = started(with_auth(secure("beta@127.0.0.1"), Auth::Cookie), &book).await;
    // A node without a certificate, by its settings.
    let material = TlsMaterial::new().authority(authority().pem().as_bytes()).unwrap();
    let alpha = bare("alpha@127.0.0.1").driver(Driver::Tls).tls(material.clone());
    let alpha = started(with_auth(alpha, Auth::Cookie), &book).await;
    assert!(meets(&alpha, &beta).await);
    // One that listens keeps a certificate: its peers would be refused, and delayed, for its own fault.
    let error = beta.set_tls(material.clone()).unwrap_err().to_string();
    assert!(error.contains("tls.certificate is not set"), "{error}");
    assert!(alpha.call(&target(&beta).with_key(1), "counter", Total).await.is_ok());
    // By hand: no certificate, and a name of its own choice.
    let name = "anybody@203.0.113.7";
    let mut session =
        session_to(beta.listening_on()[0], client_config(None, &Manner::default())).await.unwrap();
    let (keyring, bound) = (Keyring::new(cookie()), binding(&session));
    introduce(&mut session, name, "beta@127.0.0.1", (&keyring, bound)).await.unwrap();
    eventually("it is in", || beta.inbound().contains(&name.parse().unwrap())).await;
    // Whoever dials still looks at who answers, as long as it has an authority to ask.
    let foreign = secure("foreign@127.0.0.1").tls(Authority::new().material("foreign@127.0.0.1"));
    let foreign = started(with_auth(foreign, Auth::Cookie), &book).await;
    let told = handshake_failure(&alpha, "foreign@127.0.0.1").await;
    assert!(told.contains("no authority of tls.ca gave it out"), "{told}");
    let trusting = bare("trusting@127.0.0.1").driver(Driver::Tls).tls(TlsMaterial::new());
    let trusting = started(with_auth(trusting, Auth::Cookie), &book).await;
    assert!(meets(&trusting, &foreign).await);
    // And the cookie is asked of everybody.
    let wrong = bare("wrong@127.0.0.1").driver(Driver::Tls).tls(material).cookie(other_cookie());
    let wrong = started(with_auth(wrong, Auth::Cookie), &book).await;
    let told = handshake_failure(&wrong, "beta@127.0.0.1").await;
    assert!(told.contains("peer refused without a reason"), "{told}");
}

#[actix::test]
async fn nodes_that_do_not_agree_on_what_is_to_be_shown_refuse_each_other() {
    // Certificates all have, and all are good: what differs is what the keys of the handshake are made from.
    for (one, other) in [(Auth::Both, Auth::Certificate), (Auth::Cookie, Auth::Certificate)] {
        let book = Book::default();
        let alpha = started(with_auth(secure("alpha@127.0.0.1"), one), &book).await;
        let beta = started(with_auth(secure("beta@127.0.0.1"), other), &book).await;
        for (asks, answers) in [(&alpha, &beta), (&beta, &alpha)] {
            let error = asks.call(&target(answers), "counter", crate::fixture::Total).await.unwrap_err();
            assert!(error.to_string().contains("refused"), "{one} and {other}: {error}");
            says(answers, "refused a connection").await;
            assert!(answers.inbound().is_empty() && asks.nodes().is_empty());
        }
    }
    // One that asks for certificates does not let in one that has none, whatever it knows.
    let book = Book::default();
    let strict = started(secure("strict@127.0.0.1"), &book).await;
    let lax = bare("lax@127.0.0.1").driver(Driver::Tls).tls(TlsMaterial::new());
    let lax = started(with_auth(lax, Auth::Cookie), &book).await;
    let told = handshake_failure(&lax, "strict@127.0.0.1").await;
    assert!(told.contains("it wants a certificate and we have none"), "{told}");
    says(&strict, "the peer showed no certificate").await;
}

#[actix::test]
async fn a_node_that_asks_for_certificates_does_not_believe_a_name_that_only_the_cookie_vouches_for() {
    let book = Book::default();
    let strict = started(secure("strict@127.0.0.1"), &book).await;
    let own = authority().identity("mallory@127.0.0.1");
    let config = client_config(Some(&own), &Manner::default());
    let mut session = session_to(strict.listening_on()[0], config).await.unwrap();
    let (keyring, bound) = (Keyring::new(cookie()), binding(&session));
    let told = introduce(&mut session, "alpha@127.0.0.1", "strict@127.0.0.1", (&keyring, bound)).await;
    assert!(told.is_err());
    assert!(strict.inbound().is_empty());
}
