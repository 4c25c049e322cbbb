//! Which driver leads to a node and which it listens with: settings, address books, files and the environment.

use std::ffi::OsString;
use std::net::TcpListener;

use actix::prelude::*;
use farcall::config::Auth;
use farcall::prelude::*;
use farcall::{Driver, StaticMap};

use crate::fixture::{
    Add, Book, Counter, Total, any_port, bare, cookie, dialling, meets, says, secure, started, target,
};
use crate::log_lines;
use crate::pem_files::PemFiles;
use crate::pki::authority;

#[actix::test]
async fn one_node_takes_plain_and_encrypted_connections_side_by_side() {
    let book = Book::default();
    let both = dialling("both@127.0.0.1").listen([any_port()]).listen_tls([any_port()]);
    let both = started(both, &book).await;
    let (plain, encrypted) = (both.listening_with(Driver::Tcp), both.listening_with(Driver::Tls));
    assert_eq!((plain.len(), encrypted.len()), (1, 1));
    assert_eq!(both.listening_on(), [plain[0], encrypted[0]]);
    // One has no TLS at all, and the other no cookie that plain TCP would need.
    let at = |driver: &str, address| format!("{driver}://{address}");
    let simple = bare("simple@127.0.0.1").node("both@127.0.0.1", at("tcp", plain[0])).start().await.unwrap();
    let secret = dialling("secret@127.0.0.1").node("both@127.0.0.1", at("tls", encrypted[0]));
    let secret = secret.start().await.unwrap();
    for (node, driver) in [(&simple, "tcp"), (&secret, "tls")] {
        assert!(meets(node, &both).await);
        let line = says(&both, &format!(" peer={} ", node.name())).await;
        assert!(line.contains(&format!(" driver={driver} ")), "{line}");
    }
    assert_eq!(both.inbound(), [secret.name().clone(), simple.name().clone()]);
}

#[actix::test]
async fn each_node_of_the_settings_has_its_own_driver_and_address() {
    let (plain, encrypted) = (
        started(bare("plain@127.0.0.1").listen([any_port()]), &Book::default()).await,
        started(secure("encrypted@127.0.0.1"), &Book::default()).await,
    );
    let addresses = [
        (plain.name().clone(), format!("tcp://{}", plain.listening_on()[0])),
        (encrypted.name().clone(), format!("tls://{}", encrypted.listening_on()[0])),
    ];
    // The driver of the settings is for those whose address does not say, so both are the same here.
    for driver in [Driver::Tcp, Driver::Tls] {
        let name = format!("by-{driver}@127.0.0.1");
        let mut builder = dialling(&name).driver(driver);
        for (node, address) in &addresses {
            builder = builder.node(node.as_str(), address);
        }
        let asks = builder.start().await.unwrap();
        assert!(meets(&asks, &plain).await && meets(&asks, &encrypted).await);
    }
    // Without a driver in the address, it counts.
    let bare_address = encrypted.listening_on()[0].to_string();
    for (driver, reaches) in [(Driver::Tls, true), (Driver::Tcp, false)] {
        let name = format!("bare-{driver}@127.0.0.1");
        let asks = dialling(&name).driver(driver).node("encrypted@127.0.0.1", &bare_address);
        assert_eq!(meets(&asks.start().await.unwrap(), &encrypted).await, reaches, "{driver}");
    }
}

#[actix::test]
async fn discovery_says_with_which_driver_a_node_is_dialled() {
    let book = Book::default();
    let plain = started(bare("plain@127.0.0.1").listen([any_port()]), &book).await;
    let encrypted = started(secure("encrypted@127.0.0.1"), &book).await;
    let asks = dialling("asks@127.0.0.1").driver(Driver::Tcp).discovery(book).start().await.unwrap();
    assert!(meets(&asks, &plain).await && meets(&asks, &encrypted).await);
    let address = |node: &Node| node.listening_on()[0].to_string().parse::<farcall::Address>().unwrap();
    let map = StaticMap::new()
        .node(plain.name().clone(), address(&plain).with_driver(Driver::Tcp))
        .node(encrypted.name().clone(), address(&encrypted).with_driver(Driver::Tls));
    let asks = dialling("also@127.0.0.1").discovery(map).start().await.unwrap();
    assert!(meets(&asks, &plain).await && meets(&asks, &encrypted).await);
}

/// Asks the node inside, for whoever stands outside.
#[farcall::message(result = u64)]
#[derive(Debug)]
struct PassOn {
    amount: u64,
}

#[actix::test]
async fn an_edge_node_speaks_tls_to_the_outside_and_tcp_to_the_inside() {
    let book = Book::default();
    let inside = started(bare("inside@127.0.0.1").listen([any_port()]), &book).await;
    let edge = dialling("edge@127.0.0.1").driver(Driver::Tcp).listen_tls([any_port()]);
    let edge = started(edge, &book).await;
    assert!(edge.listening_with(Driver::Tcp).is_empty(), "nobody comes in without TLS");
    let (own, inner) = (edge.clone(), target(&inside));
    edge.serve("front", move |pass: PassOn| {
        let (own, inner) = (own.clone(), inner.clone());
        async move { own.call(&inner, "counter", Add { amount: pass.amount }).await.unwrap_or_default() }
    })
    .unwrap();
    let outside = started(dialling("outside@127.0.0.1"), &book).await;
    assert_eq!(outside.call(&target(&edge), "front", PassOn { amount: 7 }).await.unwrap(), 7);
    let (from_outside, from_edge) =
        (says(&edge, " peer=outside@127.0.0.1 ").await, says(&inside, " peer=edge@127.0.0.1 ").await);
    assert!(from_outside.contains(" driver=tls "), "{from_outside}");
    assert!(from_edge.contains(" driver=tcp "), "{from_edge}");
}

/// A port of this address that is free now.
fn free_port(host: &str) -> u16 {
    TcpListener::bind((host, 0)).unwrap().local_addr().unwrap().port()
}

#[actix::test]
async fn the_driver_alone_says_which_listener_is_on_by_itself() {
    for (driver, other) in [(Driver::Tls, Driver::Tcp), (Driver::Tcp, Driver::Tls)] {
        let name = format!("auto@127.0.0.77:{}", free_port("127.0.0.77"));
        let config = Config::from_toml(&format!("name = \"{name}\"\ndriver = \"{driver}\"")).unwrap();
        let node = Node::from_config(config).cookie(cookie()).tls(authority().material(&name));
        let node = node.start().await.unwrap();
        let at = name.trim_start_matches("auto@").parse().unwrap();
        assert_eq!((node.listening_with(driver), node.listening_with(other)), (vec![at], vec![]));
        node.shutdown().await;
    }
}

#[actix::test]
async fn a_node_whose_plain_listener_is_off_is_reached_over_tls_only() {
    let name = "closed@127.0.0.1";
    let text = format!("name = \"{name}\"\ntcp.listen = false\ntls.listen = [\"127.0.0.1:0\"]");
    let node = Node::from_config(Config::from_toml(&text).unwrap()).cookie(cookie());
    let node = node.tls(authority().material(name)).start().await.unwrap();
    assert!(node.listening_with(Driver::Tcp).is_empty());
    assert_eq!(node.listening_with(Driver::Tls).len(), 1);
}

#[actix::test]
async fn everything_is_configured_in_a_file_that_names_pem_files() {
    let (name, book) = ("from-file@127.0.0.1", Book::default());
    let files = PemFiles::of(name);
    let asks = started(secure("asks@127.0.0.1"), &book).await;
    let text = format!(
        r#"
            name = "{name}"
            driver = "tls"
            [tls]
            listen = ["127.0.0.1:0"]
            certificate = "{}"
            key = "{}"
            ca = ["{}"]
            auth = "both"
            version_min = "1.3"
            expiry_warning = "48h"
            [nodes]
            "asks@127.0.0.1" = "tls://{}"
        "#,
        files.certificate().display(),
        files.key().display(),
        files.ca().display(),
        asks.listening_on()[0],
    );
    let path = files.folder().join("farcall.toml");
    std::fs::write(&path, text).unwrap();
    let node = Node::from_config(Config::from_file(&path).unwrap()).cookie(cookie()).start().await.unwrap();
    node.register("counter", Counter::default().start()).unwrap().keep();
    book.enter(&node);
    assert!(meets(&asks, &node).await && meets(&node, &asks).await);
    assert_eq!(node.config().tls.expiry_warning.as_secs(), 48 * 3600);
}

#[actix::test]
async fn everything_is_configured_by_variables_alone() {
    log_lines::keep();
    let (name, book) = ("from-env@127.0.0.1", Book::default());
    let files = PemFiles::of(name);
    let list = authority().revoked(&[&authority().identity("gone@127.0.0.1")]);
    files.revoked(&list);
    let asks = dialling("asks@127.0.0.1").configure(|config| config.tls.auth = Auth::Certificate);
    let asks = started(asks, &book).await;
    let path = |path: std::path::PathBuf| path.into_os_string();
    let variables: [(&str, OsString); 10] = [
        ("FARCALL_NAME", name.into()),
        ("FARCALL_DRIVER", "tls".into()),
        ("FARCALL_TCP_LISTEN", "off".into()),
        ("FARCALL_TLS_LISTEN", "127.0.0.1:0".into()),
        ("FARCALL_TLS_CERTIFICATE", path(files.certificate())),
        ("FARCALL_TLS_KEY", path(files.key())),
        ("FARCALL_TLS_CA", path(files.ca())),
        ("FARCALL_TLS_CRL", path(files.crl())),
        ("FARCALL_TLS_AUTH", "certificate".into()),
        ("FARCALL_TLS_VERSION_MIN", "1.2".into()),
    ];
    let config = Config::load_from(variables, files.folder().join("no.toml")).unwrap();
    let node = started(Node::from_config(config), &book).await;
    assert_eq!(asks.call(&target(&node), "counter", Total).await.unwrap(), 0);
}
