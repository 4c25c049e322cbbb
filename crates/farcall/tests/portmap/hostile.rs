//! What anybody may say to a farcall node's mapper, and what comes of it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use farcall_proto::link::handshake::Keyring;
use farcall_proto::portmap::epmd::{self, Entry, Request};
use farcall_proto::portmap::{
    Answer, Challenge, Hello, Mark, Name, Presence, Register, RegisterRefused, Wanted,
};

use crate::fixture::{Host, cookie};

fn connect(host: &Host) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", host.mapper)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

/// One request, and everything that comes back until the other side hangs up.
fn say(host: &Host, bytes: &[u8]) -> Vec<u8> {
    let mut stream = connect(host);
    let mut answer = Vec::new();
    // The other side may hang up before it has read everything.
    let _ = stream.write_all(bytes);
    let _ = stream.read_to_end(&mut answer);
    answer
}

fn wanted(name: &str) -> Wanted {
    let mark = Mark { tls: false, pid: 4 };
    Wanted { name: Name::parse(name.as_bytes()).unwrap(), presence: Presence { port: 1, mark } }
}

fn message(stream: &mut TcpStream) -> Vec<u8> {
    let mut prefix = [0; 2];
    stream.read_exact(&mut prefix).unwrap();
    let mut bytes = vec![0; epmd::request_length(prefix).unwrap()];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

/// Registers over TCP, where the mapper cannot see whose process this is.
fn register(host: &Host, name: &str, keyring: Option<&Keyring>) -> (Answer, TcpStream) {
    let mut stream = connect(host);
    stream.write_all(&Hello::encode()).unwrap();
    let challenge = Challenge::decode(&message(&mut stream)).unwrap();
    let cookies = keyring.map(|keyring| (keyring, "farcall"));
    stream.write_all(&Register::new(wanted(name), challenge, cookies).encode()).unwrap();
    (Answer::decode(&message(&mut stream)).unwrap(), stream)
}

#[actix::test]
async fn over_tcp_a_registration_needs_the_cookie() {
    let host = Host::with_ports(1);
    let _alpha = host.start("alpha").await.unwrap();
    for keyring in [None, Some(Keyring::new(cookie(2)))] {
        assert_eq!(register(&host, "mallory", keyring.as_ref()).0, Answer::NotProved);
    }
    let ours = Keyring::new(cookie(1));
    let taken = register(&host, "alpha", Some(&ours)).0;
    assert!(matches!(taken, Answer::Refused(RegisterRefused::Taken(_))), "{taken:?}");
    let (answer, stream) = register(&host, "friend", Some(&ours));
    assert_eq!(answer, Answer::Held);
    host.lists(&["alpha", "friend"]).await;
    drop(stream);
    host.lists(&["alpha"]).await;
}

#[actix::test]
async fn epmds_registration_is_refused_and_so_is_whatever_would_end_the_mapper() {
    let host = Host::with_ports(1);
    let _alpha = host.start("alpha").await.unwrap();
    let alive = Request::Alive2(Entry { name: wanted("erl").name, port: 1, extra: Vec::new() });
    assert_eq!(say(&host, &alive.encode()), epmd::encode_alive2_refused());
    for tag in *b"kd" {
        assert_eq!(say(&host, &Request::Refused(tag).encode()), b"");
    }
    assert_eq!(say(&host, b"\0\x06salpha"), b"");
    assert_eq!(host.names().await, ["alpha"]);
}

#[actix::test]
async fn nonsense_ends_its_connection_and_nothing_else() {
    let host = Host::with_ports(1);
    let _alpha = host.start("alpha").await.unwrap();
    for nonsense in [
        &b"\0\0"[..],
        b"\xff\xffxxxx",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\0\x01Q",
        b"\0\x02F\x09",
        b"\0\x01z",
        b"\0\x05x\0\0\0\0",
    ] {
        assert_eq!(say(&host, nonsense), b"", "{nonsense:?}");
    }
    assert_eq!(host.names().await, ["alpha"]);
}

#[actix::test]
async fn idle_clients_are_cut_and_too_many_are_closed_at_once() {
    let host = Host::with_ports(1);
    let _alpha = host.start("alpha").await.unwrap();
    let begun = Instant::now();
    let mut idle: Vec<TcpStream> = (0..80).map(|_| connect(&host)).collect();
    // The last ones have no place; each is told so by the end of its connection.
    assert!(matches!(idle.last_mut().unwrap().read(&mut [0]), Ok(0) | Err(_)));
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    assert!(matches!(idle[0].read(&mut [0]), Ok(0) | Err(_)));
    assert!(begun.elapsed() >= Duration::from_secs(4), "{:?}", begun.elapsed());
    host.lists(&["alpha"]).await;
}
