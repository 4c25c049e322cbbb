//! What a node says to its log, whatever is done to it: never the cookie, never what messages carry.

use std::io::{Read, Write};
use std::net::TcpStream;

use farcall::Cookie;
use farcall::prelude::*;

use crate::actors::{Add, Echo, Panic, Total};
use crate::fixture::{COOKIE, node, node_with};
use crate::process::Peer;

/// What no log line may contain.
const MARKER: &str = "payload-marker-4711";

#[actix::test]
async fn a_log_at_its_most_talkative_has_neither_the_cookie_nor_a_payload() {
    let (peer, mut log) = Peer::start_talkative("beta");
    let reader = std::thread::spawn(move || {
        let mut text = Vec::new();
        log.read_to_end(&mut text).unwrap();
        text
    });
    let alpha = node("alpha", &[&peer]).await;
    let beta = &peer.target;
    let marked = || MARKER.as_bytes().to_vec();
    assert_eq!(alpha.call(beta, "counter", Echo { bytes: marked() }).await.unwrap(), marked());
    alpha.call(beta, "nobody", Echo { bytes: marked() }).await.unwrap_err();
    alpha.cast(beta, "health", Echo { bytes: marked() }).acked().await.unwrap_err();
    alpha.cast(beta, "counter", Panic).unwrap();
    alpha.call(beta, "counter", Total).await.unwrap_err();
    let wrong = Cookie::new(format!("{MARKER}, a wrong cookie").as_bytes()).unwrap();
    let stranger = node_with("stranger", &[&peer], |builder| builder.cookie(wrong)).await;
    stranger.call(beta, "other", Add { amount: 1 }).await.unwrap_err();
    TcpStream::connect(peer.address).unwrap().write_all(MARKER.as_bytes()).unwrap();
    alpha.call(beta, "other", Add { amount: 1 }).await.unwrap();
    drop(peer);

    let log = reader.join().unwrap();
    let text = String::from_utf8_lossy(&log);
    // It did log: what follows would otherwise prove nothing.
    for expected in ["listening", "accepted", "refused Echo to nobody", "refused a connection"] {
        assert!(text.contains(expected), "{expected:?} is not in the log:\n{text}");
    }
    for secret in [COOKIE, MARKER] {
        assert!(!contains(&log, secret.as_bytes()), "{secret:?} is in the log:\n{text}");
        let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
        assert!(!text.to_lowercase().contains(&hex), "{secret:?} is in the log, in hexadecimal");
        let list = format!("{:?}", &secret.as_bytes()[..8]);
        assert!(
            !text.contains(list.trim_matches(['[', ']'])),
            "{secret:?} is in the log, as a list of bytes"
        );
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}
