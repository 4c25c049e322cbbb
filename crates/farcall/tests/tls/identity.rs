//! Who a certificate speaks for: each thing that can be wrong with one, shown by whoever dials and by whoever answers.
//!
//! No node starts with such a certificate (see `starting.rs`), so the wrong one is always a peer spoken by hand.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use farcall::error::{Failure, NotSent};
use farcall::prelude::*;
use farcall::{Keyring, TlsMaterial};
use farcall_proto::identity;
use farcall_proto::link::handshake::{DeclineReason, HandshakeError};
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, SanType};

use crate::by_hand::{
    Manner, binding, client_config, dial_badly, impostor, introduce, server_config, session_to,
};
use crate::fixture::{
    Add, Book, Total, cookie, eventually, handshake_failure, meets, says, secure, secure_with, started,
    target,
};
use crate::pki::{Authority, CLUSTER, Identity, authority};

const EVE: &str = "eve@127.0.0.1";
const DAY: Duration = Duration::from_secs(24 * 3600);

/// What the refusing side says of the certificate, and which alert the other side gets.
type Refusal = (&'static str, &'static str);

/// A node that believes the authority of this run, and what it revoked.
async fn believer(name: &str, book: &Book, revoked: &[&Identity]) -> Node {
    let list = authority().revoked(revoked);
    let material = authority().material(name).revocation_list(list.as_bytes()).unwrap();
    started(secure_with(name, material), book).await
}

/// Shows a certificate to a node by dialling it, and to another one by answering it as eve.
async fn show_to_both(identity: &Identity, (why, alert): Refusal, revoked: &[&Identity]) {
    let book = Book::default();
    let answers = believer("answers@127.0.0.1", &book, revoked).await;
    let config = client_config(Some(identity), &Manner::default());
    let told = dial_badly(answers.listening_on()[0], config).await;
    assert!(told.to_string().contains(alert), "told {told}, and it should be {alert}");
    says(&answers, why).await;
    // Nodes of other tests have this name too and may have said it.
    eventually("it has failed", || answers.metrics().handshakes_failed == 1).await;
    assert!(answers.inbound().is_empty());

    book.put_tls(EVE, impostor(server_config(identity, &Manner::default()), EVE).await);
    let asks = believer("asks@127.0.0.1", &book, revoked).await;
    let said = handshake_failure(&asks, EVE).await;
    assert!(said.contains(why), "{said}");
    assert!(asks.nodes().is_empty());
    // The node that was dialled is no exception for connections of keys.
    let error =
        asks.call(&EVE.parse::<Target>().unwrap().with_key("key"), "counter", Total).await.unwrap_err();
    assert!(matches!(error.failure(), Failure::NotSent(NotSent::HandshakeFailed(_))), "{error}");
}

fn eve_with(change: impl FnOnce(&mut CertificateParams)) -> Identity {
    authority().identity_with(EVE, change)
}

#[actix::test]
async fn a_certificate_that_everybody_should_believe_is_believed_in_both_roles() {
    // Without it, every refusal below could have another reason.
    let (book, eve) = (Book::default(), authority().identity(EVE));
    let answers = believer("answers@127.0.0.1", &book, &[]).await;
    let config = client_config(Some(&eve), &Manner::default());
    let mut session = session_to(answers.listening_on()[0], config).await.unwrap();
    let (keyring, bound) = (Keyring::new(cookie()), binding(&session));
    introduce(&mut session, EVE, "answers@127.0.0.1", (&keyring, bound)).await.unwrap();
    eventually("it is in", || answers.inbound() == [EVE.parse().unwrap()]).await;

    book.put_tls(EVE, impostor(server_config(&eve, &Manner::default()), EVE).await);
    let asks = believer("asks@127.0.0.1", &book, &[]).await;
    let pending = asks.async_call(&EVE.parse().unwrap(), "counter", Total);
    eventually("it is connected", || asks.nodes() == [EVE.parse().unwrap()]).await;
    drop(pending);
}

#[actix::test]
async fn a_certificate_that_has_ended_is_refused_in_both_roles() {
    let ended = eve_with(|params| {
        params.not_before = (SystemTime::now() - 3 * DAY).into();
        params.not_after = (SystemTime::now() - DAY).into();
    });
    show_to_both(&ended, ("it has ended", "CertificateExpired"), &[]).await;
}

#[actix::test]
async fn a_certificate_that_has_not_begun_is_refused_in_both_roles() {
    let early = eve_with(|params| params.not_before = (SystemTime::now() + DAY).into());
    show_to_both(&early, ("it has not begun yet: are the clocks right?", "CertificateExpired"), &[]).await;
}

#[actix::test]
async fn a_certificate_of_another_authority_is_refused_in_both_roles() {
    let foreign = Authority::new().identity(EVE);
    show_to_both(&foreign, ("no authority of tls.ca gave it out", "UnknownCA"), &[]).await;
}

#[actix::test]
async fn a_revoked_certificate_is_refused_in_both_roles_and_others_are_not() {
    let (gone, other) = (authority().identity(EVE), authority().identity(EVE));
    show_to_both(&gone, ("it was revoked", "CertificateRevoked"), &[&other, &gone]).await;
    let book = Book::default();
    let answers = believer("answers2@127.0.0.1", &book, &[&gone]).await;
    let asks = started(secure_with(EVE, authority().material_of(&other)), &book).await;
    assert!(meets(&asks, &answers).await, "another certificate of the same node");
}

#[actix::test]
async fn a_certificate_that_is_not_for_clients_does_not_dial_and_one_not_for_servers_does_not_answer() {
    let only = |purpose| eve_with(|params| params.extended_key_usages = vec![purpose]);
    let (server, client) =
        (only(ExtendedKeyUsagePurpose::ServerAuth), only(ExtendedKeyUsagePurpose::ClientAuth));
    let (book, why) = (Book::default(), "it is not for this purpose (server and client authentication)");
    let answers = believer("answers@127.0.0.1", &book, &[]).await;
    let config = client_config(Some(&server), &Manner::default());
    dial_badly(answers.listening_on()[0], config).await;
    says(&answers, why).await;
    book.put_tls(EVE, impostor(server_config(&client, &Manner::default()), EVE).await);
    let said = handshake_failure(&answers, EVE).await;
    assert!(said.contains(why), "{said}");
}

#[actix::test]
async fn whoever_dials_without_a_certificate_is_refused() {
    let answers = started(secure("answers@127.0.0.1"), &Book::default()).await;
    let told = dial_badly(answers.listening_on()[0], client_config(None, &Manner::default())).await;
    assert!(told.to_string().contains("CertificateRequired"), "{told}");
    says(&answers, "the peer showed no certificate").await;
    assert_eq!(answers.metrics().handshakes_failed, 1);
}

#[actix::test]
async fn a_chain_over_one_between_is_believed_and_without_the_one_between_it_is_not() {
    let (between, book) = (authority().below(), Book::default());
    let material = |name: &str| {
        let own = between.identity(name);
        let own = TlsMaterial::new().identity(own.certificate.as_bytes(), own.key.as_bytes()).unwrap();
        own.authority(authority().pem().as_bytes()).unwrap()
    };
    let alpha = started(secure_with("alpha@127.0.0.1", material("alpha@127.0.0.1")), &book).await;
    let beta = started(secure_with("beta@127.0.0.1", material("beta@127.0.0.1")), &book).await;
    assert!(meets(&alpha, &beta).await && meets(&beta, &alpha).await);
    let mut alone = between.identity(EVE);
    let end = alone.certificate.find("-----END").unwrap();
    let end = end + alone.certificate[end..].find('\n').unwrap() + 1;
    alone.certificate.truncate(end);
    show_to_both(&alone, ("no authority of tls.ca gave it out", "UnknownCA"), &[]).await;
}

/// Names in a certificate, in place of the URI of the node.
fn named(names: Vec<SanType>) -> Identity {
    eve_with(|params| params.subject_alt_names = names)
}

fn of_uri(cluster: &str, node: &str) -> SanType {
    SanType::URI(identity::uri(cluster, &node.parse().unwrap()).try_into().unwrap())
}

fn of_host(host: &str) -> SanType {
    host.parse::<IpAddr>().map_or_else(|_| SanType::DnsName(host.try_into().unwrap()), SanType::IpAddress)
}

/// Shows a certificate that is not eve's under her name: whoever dials is asked for its name only inside TLS.
async fn claim_to_both(identity: &Identity, of: &str) {
    let book = Book::default();
    let answers = started(secure("answers@127.0.0.1"), &book).await;
    let config = client_config(Some(identity), &Manner::default());
    let mut session = session_to(answers.listening_on()[0], config).await.unwrap();
    let (keyring, bound) = (Keyring::new(cookie()), binding(&session));
    let told = introduce(&mut session, EVE, "answers@127.0.0.1", (&keyring, bound)).await.unwrap_err();
    let reason = DeclineReason::WrongCertificate;
    assert!(matches!(&told, HandshakeError::Declined { reason: why } if *why == reason), "{told}");
    says(&answers, &format!("peer says it is {EVE}, and its certificate is for {of}")).await;
    assert_eq!((answers.metrics().handshakes_failed, answers.inbound().len()), (1, 0));

    book.put_tls(EVE, impostor(server_config(identity, &Manner::default()), EVE).await);
    let asks = started(secure("asks@127.0.0.1"), &book).await;
    let said = handshake_failure(&asks, EVE).await;
    assert!(said.contains(&format!("it is for {of}, and {EVE} was dialled")), "{said}");
}

#[actix::test]
async fn a_certificate_for_another_node_cannot_act_as_this_one_in_either_role() {
    let mallory = named(vec![of_uri(CLUSTER, "mallory@127.0.0.1")]);
    claim_to_both(&mallory, "farcall://farcall/mallory@127.0.0.1").await;
}

#[actix::test]
async fn a_certificate_for_the_same_node_of_another_cluster_is_refused_in_either_role() {
    claim_to_both(&named(vec![of_uri("staging", EVE)]), "farcall://staging/eve@127.0.0.1").await;
}

#[actix::test]
async fn a_certificate_for_another_host_is_refused_in_either_role() {
    claim_to_both(&named(vec![of_host("127.0.0.2")]), "IP:127.0.0.2").await;
}

#[actix::test]
async fn a_host_name_is_not_the_address_it_resolves_to() {
    claim_to_both(&named(vec![of_host("localhost")]), "DNS:localhost").await;
}

#[actix::test]
async fn a_certificate_that_names_a_node_is_for_that_one_only_whatever_host_it_names_besides() {
    let both = named(vec![of_uri(CLUSTER, "mallory@127.0.0.1"), of_host("127.0.0.1")]);
    claim_to_both(&both, "farcall://farcall/mallory@127.0.0.1, IP:127.0.0.1").await;
}

#[actix::test]
async fn a_certificate_without_names_is_for_nobody() {
    claim_to_both(&named(vec![]), "nobody").await;
}

#[actix::test]
async fn a_certificate_for_a_host_speaks_for_every_node_on_it() {
    let book = Book::default();
    let mut nodes = Vec::new();
    for (name, host) in
        [("one@127.0.0.1", "127.0.0.1"), ("two@127.0.0.1", "127.0.0.1"), ("three@localhost", "LocalHost")]
    {
        let identity = named(vec![of_host("10.9.9.9"), of_host(host)]);
        nodes.push(started(secure_with(name, authority().material_of(&identity)), &book).await);
    }
    for (asks, answers) in [(0, 1), (1, 0), (0, 2), (2, 1)] {
        assert!(meets(&nodes[asks], &nodes[answers]).await, "{:?} asks {:?}", nodes[asks], nodes[answers]);
    }
}

#[actix::test]
async fn the_certificate_of_one_node_cannot_be_used_as_another_by_whoever_holds_its_key() {
    let (book, of_alpha) = (Book::default(), authority().identity("alpha@127.0.0.1"));
    let beta = started(secure("beta@127.0.0.1"), &book).await;
    // The holder of alpha's key and of the cookie, who says that it is beta, and who is dialled as beta.
    let config = client_config(Some(&of_alpha), &Manner::default());
    let gamma = started(secure("gamma@127.0.0.1"), &book).await;
    let mut session = session_to(gamma.listening_on()[0], config).await.unwrap();
    let (keyring, bound) = (Keyring::new(cookie()), binding(&session));
    introduce(&mut session, "beta@127.0.0.1", "gamma@127.0.0.1", (&keyring, bound)).await.unwrap_err();
    assert!(gamma.inbound().is_empty());
    let posing = impostor(server_config(&of_alpha, &Manner::default()), "beta@127.0.0.1").await;
    book.put_tls("beta@127.0.0.1", posing);
    let error = gamma.call(&target(&beta), "counter", Add { amount: 1 }).await.unwrap_err();
    assert!(error.to_string().contains("it is for farcall://farcall/alpha@127.0.0.1"), "{error}");
    assert_eq!(beta.call(&target(&beta), "counter", Total).await.unwrap(), 0);
}
