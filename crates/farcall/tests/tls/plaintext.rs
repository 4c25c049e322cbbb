//! Plain TCP stays on its host, unless somebody says that it may leave.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use farcall::error::{Failure, NotSent};
use farcall::prelude::*;
use farcall::{Driver, StartError};

use crate::fixture::{Book, Total, any_port, bare, dialling, meets, says, start_error, started};
use crate::log_lines;

/// Open to every network this machine is on, at a free port.
fn everywhere() -> [SocketAddr; 2] {
    [([0, 0, 0, 0], 0).into(), (std::net::Ipv6Addr::UNSPECIFIED, 0).into()]
}

#[actix::test]
async fn plain_tcp_that_is_open_to_a_network_does_not_start_unless_it_is_said_to_be_meant() {
    let outside: SocketAddr = "192.0.2.1:5369".parse().unwrap();
    for address in everywhere().into_iter().chain([outside]) {
        let error = start_error(bare("open@127.0.0.1").listen([any_port(), address])).await;
        assert!(matches!(error, StartError::Plaintext { address: named } if named == address), "{error:?}");
        let said = error.to_string();
        for word in
            ["plain TCP", &address.to_string(), "driver = \"tls\"", "farcall cert", "allow_plaintext = true"]
        {
            assert!(said.contains(word), "{word}: {said}");
        }
    }
    // The host part of the name counts as an address that was asked for.
    let error = start_error(Node::builder("open@0.0.0.0").cookie(crate::fixture::cookie())).await;
    assert!(matches!(error, StartError::Plaintext { .. }), "{error:?}");
    // A closed door needs no permission, nor does one for TLS.
    bare("open@192.0.2.1").start().await.unwrap();
    let secret = dialling("secret@127.0.0.1").listen_tls(everywhere()[..1].to_vec()).start().await.unwrap();
    assert_eq!(secret.listening_with(Driver::Tls).len(), 1);
}

#[actix::test]
async fn plain_tcp_that_is_meant_starts_and_says_that_it_is_open() {
    for (name, address) in ["open4@127.0.0.1", "open6@127.0.0.1"].into_iter().zip(everywhere()) {
        let builder = bare(name).listen([address]).configure(|config| config.allow_plaintext = true);
        let node = builder.start().await.unwrap();
        let line = says(&node, "plain TCP is open to the network").await;
        assert!(line.starts_with("WARN ") && line.contains("neither hidden nor protected"), "{line}");
    }
    let quiet = bare("inside@127.0.0.1").listen([any_port()]).start().await.unwrap();
    let lines = log_lines::of(quiet.name().as_str());
    assert!(!lines.iter().any(|line| line.starts_with("WARN ")), "{lines:?}");
}

#[actix::test]
async fn plain_tcp_to_another_host_is_not_even_dialled_unless_it_may_leave() {
    let book = Book::default();
    book.put("far@192.0.2.1", "192.0.2.1:5369");
    book.put("far6@192.0.2.1", "[2001:db8::1]:5369");
    let asks = started(bare("asks@127.0.0.1"), &book).await;
    for name in ["far@192.0.2.1", "far6@192.0.2.1"] {
        let (to, begun): (Target, _) = (name.parse().unwrap(), Instant::now());
        let error = asks.call(&to, "counter", Total).await.unwrap_err();
        // A packet would be answered by nobody until the timeout of the connect, five seconds from now.
        assert!(begun.elapsed() < Duration::from_secs(2), "after {:?}", begun.elapsed());
        let Failure::NotSent(NotSent::ConnectFailed(why)) = error.failure() else { panic!("{error:?}") };
        for word in ["plain TCP to", "would leave this host", "driver = \"tls\"", "allow_plaintext = true"] {
            assert!(why.contains(word), "{word}: {why}");
        }
    }
    // With the permission it is dialled, and with TLS it needs none: what comes back is of another kind.
    book.put("far7@192.0.2.1", "tls://192.0.2.1:5369");
    let short = |config: &mut Config| config.connect_timeout = Duration::from_millis(200);
    let may = bare("may@127.0.0.1").configure(|config| config.allow_plaintext = true).configure(short);
    let may = started(may, &book).await;
    let with_tls = started(dialling("with-tls@127.0.0.1").configure(short), &book).await;
    for (node, name) in [(&may, "far@192.0.2.1"), (&with_tls, "far7@192.0.2.1")] {
        let error = node.call(&name.parse().unwrap(), "counter", Total).await.unwrap_err();
        assert!(!error.to_string().contains("would leave this host"), "{error}");
    }
}

#[actix::test]
async fn every_address_of_the_loopback_is_on_this_host() {
    let book = Book::default();
    for (name, at) in
        [("one@127.0.0.1", "127.0.0.1:0"), ("two@127.0.0.1", "127.1.2.3:0"), ("three@127.0.0.1", "[::1]:0")]
    {
        let node = started(bare(name).listen([at.parse().unwrap()]), &book).await;
        let asks = started(bare("asks@127.0.0.1"), &book).await;
        assert!(meets(&asks, &node).await, "{at}");
    }
}
