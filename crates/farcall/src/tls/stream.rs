//! A TLS session over a socket, as its pump drives it and as the heart may write a tick into it.
//!
//! It says how much was written in terms of whole records: what of a record is not yet with the kernel cannot be read by
//! anybody, so it was surely not sent. That is what makes "not sent" true over TLS as well.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, BufRead, IoSlice, Write};
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};

use parking_lot::Mutex;
use rustls::Connection;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio_util::io::poll_read_buf;

use crate::heartbeat::Beats;
use crate::socket::{send_now, shut_in_order, take_back_when_dropped};

/// A TLS session over a socket.
///
/// Whoever writes must offer again what was not taken: a part of it may be sealed already.
#[derive(Debug)]
pub(crate) struct TlsStream {
    read: OwnedReadHalf,
    /// What was read from the socket and not opened yet.
    incoming: Vec<u8>,
    opened: usize,
    /// Why nothing more is opened. What was good before it is read first.
    broken: Option<rustls::Error>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    socket: OwnedWriteHalf,
    session: Mutex<Session>,
}

struct Session {
    tls: Connection,
    /// Records on their way to the kernel, and how far they are.
    out: Vec<u8>,
    sent: usize,
    /// Where each record ends in `out`, and how much of the writer's bytes it holds.
    sealed: VecDeque<Sealed>,
    /// The writer's bytes in records that the kernel has, and that the writer was not told of.
    done: usize,
    goodbye: bool,
}

struct Sealed {
    end: usize,
    plain: usize,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("unsent", &(self.out.len() - self.sent)).finish_non_exhaustive()
    }
}

/// The most that one record holds (RFC 8446, 5.1).
const RECORD_BYTES: usize = 16 * 1024;
/// So many records are sealed before the kernel is asked to take them: as much as a pump writes at once.
const SEALED_MAX: usize = 4;
/// One read from the socket.
const READ_BYTES: usize = 64 * 1024;
/// A buffer above this is not kept by a connection that has nothing in it.
const KEPT_BYTES: usize = 2 * 1024;

thread_local! {
    /// Large buffers of connections that have nothing in them at the moment: one that is idle keeps none.
    static SPARE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// How many large buffers a thread keeps.
const SPARE_MAX: usize = 4;

/// A buffer with room, from those of this thread.
fn borrow_buffer() -> Vec<u8> {
    SPARE.with_borrow_mut(Vec::pop).unwrap_or_else(|| Vec::with_capacity(READ_BYTES))
}

/// Takes an empty buffer back if it is large.
fn return_buffer(buffer: &mut Vec<u8>) {
    if buffer.capacity() <= KEPT_BYTES {
        return;
    }
    let mut buffer = std::mem::take(buffer);
    // One that grew far beyond what it is for is not worth keeping.
    if buffer.capacity() <= 2 * READ_BYTES {
        buffer.clear();
        SPARE.with_borrow_mut(|spare| {
            if spare.len() < SPARE_MAX {
                spare.push(buffer);
            }
        });
    }
}

impl TlsStream {
    /// Goes on with a session whose handshake is done.
    pub(crate) fn new(stream: TcpStream, mut tls: Connection) -> Self {
        // The bound is ours: never more than `SEALED_MAX` records.
        tls.set_buffer_limit(None);
        let (read, socket) = stream.into_split();
        let sealed = VecDeque::new();
        let session = Session { tls, out: Vec::new(), sent: 0, sealed, done: 0, goodbye: false };
        let shared = Arc::new(Shared { socket, session: Mutex::new(session) });
        Self { read, incoming: Vec::new(), opened: 0, broken: None, shared }
    }

    /// Goes on elsewhere with what [`TlsStream::take_apart`] gave.
    pub(crate) fn put_together(stream: TcpStream, tls: Connection, incoming: Vec<u8>) -> Self {
        Self { incoming, ..Self::new(stream, tls) }
    }

    /// The socket, the session, and what was read and not opened; nothing if somebody else holds a part of it, or if the
    /// session has something to say that the kernel did not take: without it, the peer would read nothing that follows.
    pub(crate) fn take_apart(self) -> Option<(TcpStream, Connection, Vec<u8>)> {
        let Self { read, mut incoming, opened, shared, .. } = self;
        let Shared { socket, session } = Arc::into_inner(shared)?;
        incoming.drain(..opened.min(incoming.len()));
        let session = session.into_inner();
        let stream = read.reunite(socket).ok().filter(|_| session.out.is_empty())?;
        Some((stream, session.tls, incoming))
    }

    /// Who can write a tick into the session, for as long as the connection lives.
    pub(crate) fn beats(&self) -> Weak<dyn Beats> {
        let weak: Weak<Shared> = Arc::downgrade(&self.shared);
        weak
    }

    /// See [`take_back_when_dropped`].
    pub(crate) fn take_back_when_dropped(&self) {
        take_back_when_dropped(self.shared.socket.as_ref());
    }

    /// Opens what was read, as far as there is room for it.
    fn open(&mut self, buf: &mut ReadBuf<'_>) -> io::Result<Opened> {
        let before = buf.filled().len();
        let mut session = self.shared.session.lock();
        loop {
            if session.read_plain(buf)? {
                return Ok(Opened::End);
            }
            if buf.remaining() == 0 {
                return Ok(Opened::Full);
            }
            if let Some(error) = &self.broken {
                return match buf.filled().len() > before {
                    true => Ok(Opened::Full),
                    false => Err(io::Error::new(io::ErrorKind::InvalidData, error.clone())),
                };
            }
            let mut unopened = self.incoming.get(self.opened..).unwrap_or_default();
            if unopened.is_empty() {
                break;
            }
            self.opened += session.tls.read_tls(&mut unopened)?;
            let processed = session.tls.process_new_packets();
            if session.tls.wants_write() {
                // An alert that says why, or the answer to a new key. Behind records of the writer it waits for the
                // writer: what reached the kernel from here would not be told if the connection ends now.
                let alone = session.sealed.is_empty();
                session.collect()?;
                if alone {
                    // What goes wrong with it is found out by whoever writes; why the session ended is worth more here.
                    let _ = session.flush(&self.shared.socket);
                }
            }
            self.broken = processed.err();
        }
        drop(session);
        self.incoming.clear();
        self.opened = 0;
        return_buffer(&mut self.incoming);
        Ok(Opened::All)
    }
}

enum Opened {
    /// Nothing is left to be opened.
    All,
    /// There is no more room, or no more to be had.
    Full,
    /// The peer said goodbye.
    End,
}

impl Session {
    /// Hands out what is opened; true at the end of it all.
    fn read_plain(&mut self, buf: &mut ReadBuf<'_>) -> io::Result<bool> {
        let mut reader = self.tls.reader();
        while buf.remaining() > 0 {
            let bytes = match reader.fill_buf() {
                Ok([]) => return Ok(true),
                Ok(chunk) => {
                    let bytes = chunk.len().min(buf.remaining());
                    buf.put_slice(chunk.get(..bytes).unwrap_or_default());
                    bytes
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            };
            reader.consume(bytes);
        }
        Ok(false)
    }

    /// Takes records from the session to their way to the kernel.
    fn collect(&mut self) -> io::Result<()> {
        while self.tls.wants_write() {
            self.tls.write_tls(&mut self.out)?;
        }
        Ok(())
    }

    /// Seals the beginning of these pieces, one behind the other.
    fn seal(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<()> {
        if self.out.capacity() == 0 && pieces.iter().any(|piece| piece.len() > KEPT_BYTES) {
            self.out = borrow_buffer();
        }
        let records = pieces.iter().flat_map(|piece| piece.chunks(RECORD_BYTES));
        for plain in records.take(SEALED_MAX) {
            self.tls.writer().write_all(plain)?;
            self.collect()?;
            self.sealed.push_back(Sealed { end: self.out.len(), plain: plain.len() });
        }
        Ok(())
    }

    /// Hands records to the kernel until it takes no more; true if it has them all.
    fn flush(&mut self, socket: &OwnedWriteHalf) -> io::Result<bool> {
        self.flush_to(|unsent| socket.try_write(unsent))
    }

    /// What was taken before an error counts as done: the peer may have read it.
    fn flush_to(&mut self, mut write: impl FnMut(&[u8]) -> io::Result<usize>) -> io::Result<bool> {
        let mut failed = None;
        while let Some(unsent) = self.out.get(self.sent..).filter(|unsent| !unsent.is_empty()) {
            match write(unsent) {
                Ok(0) => failed = Some(io::ErrorKind::WriteZero.into()),
                Ok(bytes) => {
                    self.sent += bytes;
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => failed = Some(error),
            }
            break;
        }
        while let Some(sealed) = self.sealed.front().filter(|sealed| sealed.end <= self.sent) {
            self.done += sealed.plain;
            self.sealed.pop_front();
        }
        if let Some(error) = failed {
            return Err(error);
        }
        let all = self.sent == self.out.len();
        if all {
            self.out.clear();
            self.sent = 0;
            return_buffer(&mut self.out);
        }
        Ok(all)
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        loop {
            let opened = this.open(buf)?;
            if buf.filled().len() > before || !matches!(opened, Opened::All) {
                return Poll::Ready(Ok(()));
            }
            if this.incoming.capacity() == 0 {
                this.incoming = borrow_buffer();
            }
            let read = poll_read_buf(Pin::new(&mut this.read), cx, &mut this.incoming);
            match read {
                // Without a goodbye too: every frame says its length, so nothing can be cut short unnoticed.
                Poll::Ready(Ok(0)) => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    return_buffer(&mut this.incoming);
                    return Poll::Pending;
                }
            }
        }
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let shared = &*self.shared;
        loop {
            let mut session = shared.session.lock();
            if session.sealed.is_empty() && session.done == 0 {
                if pieces.iter().all(|piece| piece.is_empty()) {
                    return Poll::Ready(Ok(0));
                }
                session.seal(pieces)?;
            }
            let flushed = session.flush(&shared.socket);
            let done = std::mem::take(&mut session.done);
            drop(session);
            if done > 0 {
                // An error meets the next write again.
                return Poll::Ready(Ok(done));
            }
            flushed?;
            let stream: &TcpStream = shared.socket.as_ref();
            ready!(stream.poll_write_ready(cx))?;
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shared = &*self.shared;
        let stream: &TcpStream = shared.socket.as_ref();
        loop {
            let mut session = shared.session.lock();
            if !session.goodbye {
                session.goodbye = true;
                session.tls.send_close_notify();
                session.collect()?;
            }
            if session.flush(&shared.socket)? {
                return Poll::Ready(shut_in_order(stream));
            }
            drop(session);
            ready!(stream.poll_write_ready(cx))?;
        }
    }
}

impl Beats for Shared {
    fn try_beat(&self, tick: &[u8]) -> Vec<u8> {
        let mut session = self.session.lock();
        // What the socket does not take of it stays in front of everything else; what goes wrong, the pump finds out.
        if session.out.is_empty() && !session.goodbye {
            let sealed = session.tls.writer().write_all(tick).and_then(|()| session.collect());
            if sealed.is_ok() {
                let _ = session.flush_to(|unsent| send_now(self.socket.as_ref(), unsent));
            }
        }
        Vec::new()
    }
}

#[cfg(test)]
mod tests;
