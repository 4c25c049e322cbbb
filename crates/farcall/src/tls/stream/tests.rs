//! What a session tells its writer and its reader, with a peer in our own hands that reads as slowly as it likes.

use std::io::{self, Read, Write};
use std::net;
use std::sync::Arc;

use futures::poll;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

/// A session over a real socket, and its other end by hand.
async fn pair() -> (TlsStream, Peer) {
    // So little that records wait. Less still would make the kernel wait for acknowledgements that it delays.
    pair_with(16 * 1024).await
}

/// As [`pair`], with so much room in the kernel on either side.
async fn pair_with(buffer_bytes: usize) -> (TlsStream, Peer) {
    let (client, server) = sessions();
    let listener = net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    SockRef::from(&stream).set_send_buffer_size(buffer_bytes).unwrap();
    let (socket, _) = listener.accept().unwrap();
    SockRef::from(&socket).set_recv_buffer_size(buffer_bytes).unwrap();
    (TlsStream::new(stream, client.into()), Peer { socket, session: server })
}

/// The other end: a blocking socket and its session.
struct Peer {
    socket: net::TcpStream,
    session: ServerConnection,
}

impl Peer {
    /// Everything until the end of the connection, as it was on the wire.
    fn read_wire(&mut self) -> Vec<u8> {
        let mut wire = Vec::new();
        self.socket.read_to_end(&mut wire).unwrap();
        wire
    }

    /// Opens what was on the wire; what is left of a record that is not whole, is left.
    fn open(&mut self, mut wire: &[u8]) -> Vec<u8> {
        let mut plain = Vec::new();
        while !wire.is_empty() {
            self.session.read_tls(&mut wire).unwrap();
            self.session.process_new_packets().unwrap();
            match self.session.reader().read_to_end(&mut plain) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => panic!("{error}"),
            }
        }
        plain
    }

    /// Seals these bytes in a record of their own.
    fn seal(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.session.writer().write_all(bytes).unwrap();
        let mut wire = Vec::new();
        while self.session.wants_write() {
            self.session.write_tls(&mut wire).unwrap();
        }
        wire
    }

    fn send(&mut self, bytes: &[u8]) {
        let wire = self.seal(bytes);
        self.socket.write_all(&wire).unwrap();
    }

    /// Reads on in a thread of its own until the end; gives what was said.
    fn read_aside(mut self) -> std::thread::JoinHandle<(Vec<u8>, Self)> {
        std::thread::spawn(move || {
            let wire = self.read_wire();
            (self.open(&wire), self)
        })
    }
}

/// Two ends of one session, their handshake done in memory.
fn sessions() -> (ClientConnection, ServerConnection) {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(vec!["x".to_owned()]).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    let client = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
    let client = client.unwrap().with_root_certificates(roots).with_no_client_auth();
    let server = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let key = PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
    let mut server =
        server.unwrap().with_no_client_auth().with_single_cert(vec![cert.der().clone()], key).unwrap();
    server.send_tls13_tickets = 0;
    let mut client = ClientConnection::new(client.into(), ServerName::try_from("x").unwrap()).unwrap();
    let mut server = ServerConnection::new(server.into()).unwrap();
    while client.is_handshaking() || server.is_handshaking() {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        server.read_tls(&mut &*wire).unwrap();
        server.process_new_packets().unwrap();
        wire.clear();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        let mut rest = &*wire;
        while !rest.is_empty() {
            client.read_tls(&mut rest).unwrap();
            client.process_new_packets().unwrap();
        }
    }
    (client, server)
}

/// Bytes that show it when one is lost, doubled or out of place.
fn counted(bytes: usize) -> Vec<u8> {
    (0_u32..).flat_map(u32::to_le_bytes).take(bytes).collect()
}

/// How long each record is that is whole, headers included, and what is left of one that is not.
fn records(mut wire: &[u8]) -> (Vec<usize>, usize) {
    let mut whole = Vec::new();
    while let Some([_, _, _, high, low]) = wire.first_chunk::<5>() {
        let bytes = 5 + usize::from(u16::from_be_bytes([*high, *low]));
        let Some(rest) = wire.get(bytes..) else { break };
        whole.push(bytes);
        wire = rest;
    }
    (whole, wire.len())
}

/// Writes for as long as it is taken; gives how much that was.
async fn write_until_pending(stream: &mut TlsStream, bytes: &[u8]) -> usize {
    let mut told = 0;
    loop {
        match poll!(std::pin::pin!(stream.write(&bytes[told..]))) {
            Poll::Ready(written) => told += written.unwrap(),
            Poll::Pending => return told,
        }
    }
}

#[tokio::test]
async fn a_writer_is_told_of_exactly_the_records_that_the_kernel_has_as_a_whole() {
    // As the pump offers it: everything from the place that it was told of.
    let bytes = counted(8 << 20);
    // So little that no record of full length fits.
    let (mut stream, mut peer) = pair_with(4096).await;
    let told = write_until_pending(&mut stream, &bytes).await;
    assert!(told < bytes.len() && told.is_multiple_of(RECORD_BYTES), "{told}");
    // The kernel sends what it has, although nobody writes any more.
    drop(stream);
    let wire = peer.read_wire();
    let (whole, torn) = records(&wire);
    assert!(torn > 0, "nothing was torn, so nothing is shown: {whole:?}");
    assert_eq!(told, whole.len() * RECORD_BYTES);
    let kept = wire.len() - torn;
    assert_eq!(peer.open(&wire[..kept]), bytes[..told]);
}

#[tokio::test]
async fn records_that_the_kernel_took_before_an_error_count_as_written() {
    let (stream, _peer) = pair().await;
    let mut session = stream.shared.session.lock();
    session.seal(&[IoSlice::new(&counted(3 * RECORD_BYTES))]).unwrap();
    // Two records and a half, and then the peer is gone.
    let mut takes = vec![session.sealed[1].end + RECORD_BYTES / 2];
    let flushed = session.flush_to(|_| takes.pop().ok_or(io::ErrorKind::ConnectionReset.into()));
    assert_eq!(flushed.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(session.done, 2 * RECORD_BYTES);
}

#[tokio::test]
async fn what_was_not_taken_is_offered_again_and_arrives_once_and_in_order() {
    let bytes = counted(3 << 20);
    let (mut stream, peer) = pair().await;
    let told = write_until_pending(&mut stream, &bytes).await;
    let reading = peer.read_aside();
    stream.write_all(&bytes[told..]).await.unwrap();
    // Everything was told, so everything is with the kernel: no flush and no farewell is needed for it.
    drop(stream);
    assert!(reading.join().unwrap().0 == bytes);
}

#[tokio::test]
async fn writes_of_every_size_arrive_as_they_were_made() {
    let (mut stream, peer) = pair().await;
    let reading = peer.read_aside();
    let bytes = counted(400_000);
    let mut from = 0;
    for size in (1..).map(|n| n * n * 7 % 90_000 + 1) {
        let until = bytes.len().min(from + size);
        stream.write_all(&bytes[from..until]).await.unwrap();
        from = until;
        if from == bytes.len() {
            break;
        }
    }
    stream.write_all(&[]).await.unwrap();
    drop(stream);
    assert!(reading.join().unwrap().0 == bytes);
}

#[tokio::test]
async fn a_farewell_comes_behind_everything_else_and_ends_the_peers_reading() {
    let (mut stream, peer) = pair().await;
    let bytes = counted(200_000);
    let reading = peer.read_aside();
    stream.write_all(&bytes).await.unwrap();
    stream.shutdown().await.unwrap();
    stream.shutdown().await.unwrap();
    let (read, mut peer) = reading.join().unwrap();
    assert!(read == bytes);
    assert!(peer.session.process_new_packets().unwrap().peer_has_closed());
    // And the other way: what was said before the end is read first.
    peer.send(b"the last words");
    peer.session.send_close_notify();
    let farewell = peer.seal(b"");
    peer.socket.write_all(&farewell).unwrap();
    let mut last = Vec::new();
    stream.read_to_end(&mut last).await.unwrap();
    assert_eq!(last, b"the last words");
}

#[tokio::test]
async fn an_end_without_a_farewell_is_an_end_and_no_error() {
    let (mut stream, mut peer) = pair().await;
    peer.send(b"words");
    let torn = peer.seal(b"more words");
    peer.socket.write_all(&torn[..torn.len() - 1]).unwrap();
    drop(peer);
    let mut read = Vec::new();
    stream.read_to_end(&mut read).await.unwrap();
    assert_eq!(read, b"words", "half a record is nothing");
}

#[tokio::test]
async fn a_tick_goes_between_batches_and_never_into_one_or_behind_a_farewell() {
    let (mut stream, peer) = pair().await;
    let beats = stream.beats().upgrade().unwrap();
    stream.write_all(b"one ").await.unwrap();
    assert!(beats.try_beat(b"tick ").is_empty(), "all of it is ours to send");
    stream.write_all(b"two ").await.unwrap();
    // Records wait for the kernel: the writer goes on in the midst of what it offered.
    let bytes = counted(1 << 20);
    let told = write_until_pending(&mut stream, &bytes).await;
    assert!(beats.try_beat(b"never").is_empty());
    let reading = peer.read_aside();
    stream.write_all(&bytes[told..]).await.unwrap();
    stream.shutdown().await.unwrap();
    assert!(beats.try_beat(b"never").is_empty());
    drop((stream, beats));
    assert!(reading.join().unwrap().0 == [&b"one tick two "[..], &bytes].concat());
}

#[tokio::test]
async fn a_tick_goes_out_although_the_reactor_has_not_looked_at_the_socket_yet() {
    let (stream, mut peer) = pair().await;
    let (socket, session, incoming) = stream.take_apart().unwrap();
    // As a connection that comes from the door, and whose first request keeps the arbiter busy.
    let socket = TcpStream::from_std(socket.into_std().unwrap()).unwrap();
    let stream = TlsStream::put_together(socket, session, incoming);
    stream.beats().upgrade().unwrap().try_beat(b"tick");
    let mut wire = [0; 64];
    peer.socket.set_read_timeout(Some(std::time::Duration::from_secs(5))).unwrap();
    let bytes = peer.socket.read(&mut wire).unwrap();
    assert_eq!(peer.open(&wire[..bytes]), b"tick");
}

#[tokio::test]
async fn a_tick_that_the_kernel_does_not_take_is_not_counted_as_the_writers() {
    let (mut stream, peer) = pair().await;
    let beats = stream.beats().upgrade().unwrap();
    // As long as a record, so that soon one is stuck half-way.
    let tick = vec![b't'; RECORD_BYTES];
    let mut ticks = 0;
    while stream.shared.session.lock().out.is_empty() {
        assert!(beats.try_beat(&tick).is_empty());
        ticks += 1;
        // The writer polls now and then, which is how the kernel's room becomes known.
        assert!(matches!(poll!(std::pin::pin!(stream.write(&[]))), Poll::Ready(Ok(0))));
    }
    assert!(beats.try_beat(b"another").is_empty(), "one that waits is enough");
    let bytes = counted(100_000);
    assert_eq!(write_until_pending(&mut stream, &bytes).await, 0, "it waits behind the tick");
    let reading = peer.read_aside();
    stream.write_all(&bytes).await.unwrap();
    drop((stream, beats));
    let (read, _) = reading.join().unwrap();
    assert!(read == [tick.repeat(ticks), bytes].concat(), "{} bytes and {ticks} ticks", read.len());
}

#[tokio::test]
async fn nothing_is_lost_when_a_session_goes_on_elsewhere() {
    let (mut stream, mut peer) = pair().await;
    let said: Vec<Vec<u8>> = (0..5).map(|nth| vec![nth; 700]).collect();
    let wire: Vec<u8> = said.iter().flat_map(|said| peer.seal(said)).collect();
    // The last record is torn: a part of it is read here, and the rest comes when it has moved.
    let (now, later) = wire.split_at(wire.len() - 10);
    peer.socket.write_all(now).unwrap();
    let mut read = vec![0; 1000];
    stream.read_exact(&mut read).await.unwrap();
    let (socket, session, incoming) = stream.take_apart().unwrap();
    // Some of it is opened and not read, some is not even opened, some is still with the kernel.
    let socket = TcpStream::from_std(socket.into_std().unwrap()).unwrap();
    let mut stream = TlsStream::put_together(socket, session, incoming);
    peer.socket.write_all(later).unwrap();
    let mut rest = vec![0; 5 * 700 - 1000];
    stream.read_exact(&mut rest).await.unwrap();
    assert!([read, rest].concat() == said.concat());
    // Both ways.
    stream.write_all(b"and back").await.unwrap();
    drop(stream);
    let (back, _) = peer.read_aside().join().unwrap();
    assert_eq!(back, b"and back");
}

#[tokio::test]
async fn a_session_that_somebody_looks_after_is_not_taken_apart() {
    let (stream, _peer) = pair().await;
    let beats = stream.beats();
    let held = beats.upgrade();
    assert!(stream.take_apart().is_none());
    drop(held);
    assert!(beats.upgrade().is_none(), "and it is gone then");
}

#[tokio::test]
async fn a_small_reader_gets_everything_bit_by_bit() {
    let (mut stream, mut peer) = pair().await;
    let bytes = counted(100_000);
    let sent = bytes.clone();
    let writing = std::thread::spawn(move || {
        sent.chunks(9000).for_each(|part| peer.send(part));
        peer.session.send_close_notify();
        peer.send(b"");
    });
    let (mut read, mut chunk) = (Vec::new(), [0; 777]);
    loop {
        match stream.read(&mut chunk).await.unwrap() {
            0 => break,
            count => read.extend_from_slice(&chunk[..count]),
        }
    }
    writing.join().unwrap();
    assert!(read == bytes);
}

#[tokio::test]
async fn a_changed_bit_is_an_error_and_nothing_of_its_record_is_read() {
    let (mut stream, mut peer) = pair().await;
    peer.send(b"good");
    let mut wire = peer.seal(b"bad");
    let last = wire.len() - 1;
    wire[last] ^= 1;
    peer.socket.write_all(&wire).unwrap();
    let mut read = Vec::new();
    let error = stream.read_to_end(&mut read).await.unwrap_err();
    assert_eq!((error.kind(), &*read), (io::ErrorKind::InvalidData, &b"good"[..]));
    // The peer hears why.
    drop(stream);
    let wire = peer.read_wire();
    peer.session.read_tls(&mut &*wire).unwrap();
    let told = peer.session.process_new_packets().unwrap_err();
    assert_eq!(told, rustls::Error::AlertReceived(rustls::AlertDescription::BadRecordMac));
}

#[tokio::test]
async fn what_ends_a_session_hands_no_record_to_the_kernel_that_its_writer_is_not_told_of() {
    let bytes = counted(8 << 20);
    let (mut stream, mut peer) = pair().await;
    let told = write_until_pending(&mut stream, &bytes).await;
    // The kernel has room again, and before the writer is asked again, the peer's side breaks.
    let (mut wire, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        let count = peer.socket.read(&mut chunk).unwrap();
        wire.extend_from_slice(&chunk[..count]);
        let room = stream.shared.socket.writable();
        if tokio::time::timeout(std::time::Duration::from_millis(10), room).await.is_ok() {
            break;
        }
    }
    let mut broken = peer.seal(b"bad");
    *broken.last_mut().unwrap() ^= 1;
    peer.socket.write_all(&broken).unwrap();
    stream.read_to_end(&mut Vec::new()).await.unwrap_err();
    drop(stream);
    wire.extend(peer.read_wire());
    let (whole, torn) = records(&wire);
    assert_eq!(told, whole.len() * RECORD_BYTES, "{torn} bytes of the next one");
}
