//! Options of TCP sockets, set on both ends and read back, because a setting that does not take is worse than none.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

use crate::config::TcpConfig;
use crate::heartbeat::Beats;

/// What is queued in the kernel and not yet on the wire: small frames do not wait behind more than this.
const NOTSENT_LOWAT_BYTES: u32 = 128 * 1024;

/// Sets what the configuration says on a connected socket; `peer_gone_after` bounds how long unacknowledged bytes
/// are kept (`TCP_USER_TIMEOUT`).
pub(crate) fn configure(stream: &TcpStream, config: &TcpConfig, peer_gone_after: Duration) -> io::Result<()> {
    let socket = SockRef::from(stream);
    socket.set_tcp_nodelay(config.nodelay)?;
    let keepalive = TcpKeepalive::new()
        .with_time(config.keepalive_idle)
        .with_interval(config.keepalive_interval)
        .with_retries(config.keepalive_count);
    socket.set_tcp_keepalive(&keepalive)?;
    if let Some(bytes) = config.send_buffer_bytes {
        socket.set_send_buffer_size(bytes)?;
    }
    if let Some(bytes) = config.recv_buffer_bytes {
        socket.set_recv_buffer_size(bytes)?;
    }
    #[cfg(target_os = "linux")]
    {
        socket.set_tcp_user_timeout(Some(peer_gone_after))?;
        socket.set_tcp_notsent_lowat(NOTSENT_LOWAT_BYTES)?;
        if socket.tcp_keepalive_time()? != config.keepalive_idle {
            return Err(io::Error::other("the system did not take tcp.keepalive_idle"));
        }
    }
    Ok(())
}

/// From now on, what the kernel still has to send when the socket is dropped is thrown away, and the peer is told by a reset,
/// unless the connection was [shut in order](shut_in_order).
///
/// For an asking connection: its callers have been told that it was lost. Sent nevertheless, as the kernel does for minutes
/// by itself, their requests would run behind those of the next connection.
pub(crate) fn take_back_when_dropped(stream: &TcpStream) {
    // A system that does not do this does what it did before.
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

/// Ends the own half: what was written before arrives.
pub(crate) fn shut_in_order(stream: &TcpStream) -> io::Result<()> {
    let socket = SockRef::from(stream);
    socket.set_linger(None)?;
    socket.shutdown(std::net::Shutdown::Write)
}

/// Pending connections the kernel keeps for an acceptor that is busy.
const LISTEN_BACKLOG: i32 = 1024;

/// Listens on an address; an IPv6 one takes IPv4 peers too unless `v6_only`.
pub(crate) fn listen(address: SocketAddr, v6_only: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(v6_only)?;
    }
    // A node that restarts takes its port back although old connections still fade out.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(LISTEN_BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// A socket that its pump drives and that others may look after: no second file descriptor is spent on it.
///
/// The reading half is tokio's own, which knows that a read that did not fill its buffer has emptied the socket, and
/// so spares the system call that would say so.
#[derive(Debug)]
pub(crate) struct SharedStream {
    read: OwnedReadHalf,
    write: Arc<OwnedWriteHalf>,
}

impl SharedStream {
    pub(crate) fn new(stream: TcpStream) -> Self {
        let (read, write) = stream.into_split();
        Self { read, write: Arc::new(write) }
    }

    /// Who can write a tick into the socket, for as long as the connection lives.
    pub(crate) fn beats(&self) -> Weak<dyn Beats> {
        let weak: Weak<OwnedWriteHalf> = Arc::downgrade(&self.write);
        weak
    }

    /// See [`take_back_when_dropped`].
    pub(crate) fn take_back_when_dropped(&self) {
        take_back_when_dropped((*self.write).as_ref());
    }

    /// The socket; nothing if somebody else holds a part of it.
    pub(crate) fn take_apart(self) -> Option<TcpStream> {
        self.read.reunite(Arc::into_inner(self.write)?).ok()
    }
}

/// Hands bytes to the kernel without asking the reactor whether there is room: the arbiter that runs it may be the one
/// that is busy, and may never have looked at this socket yet.
pub(crate) fn send_now(stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    SockRef::from(stream).send_with_flags(bytes, NO_SIGNAL)
}

/// `MSG_NOSIGNAL`: a peer that is gone is an error and no signal, whatever the program does with SIGPIPE.
#[cfg(target_os = "linux")]
const NO_SIGNAL: i32 = 0x4000;
#[cfg(not(target_os = "linux"))]
const NO_SIGNAL: i32 = 0;

impl Beats for OwnedWriteHalf {
    fn try_beat(&self, tick: &[u8]) -> Vec<u8> {
        match send_now(self.as_ref(), tick) {
            Ok(written) if written > 0 => tick.get(written..).unwrap_or_default().to_vec(),
            _ => Vec::new(),
        }
    }
}

impl AsyncRead for SharedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.read).poll_read(cx, buf)
    }
}

impl SharedStream {
    /// Writes when the socket takes something.
    fn poll_try(
        &self,
        cx: &mut Context<'_>,
        write: impl Fn(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let stream: &TcpStream = (*self.write).as_ref();
        loop {
            ready!(stream.poll_write_ready(cx))?;
            match write(stream) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }
}

impl AsyncWrite for SharedStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_try(cx, |stream| stream.try_write(bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_try(cx, |stream| stream.try_write_vectored(pieces))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(shut_in_order((*self.write).as_ref()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn both_ends_of_a_connection_have_the_keepalive_that_was_configured() {
        let config = TcpConfig {
            keepalive_idle: Duration::from_secs(11),
            keepalive_interval: Duration::from_secs(7),
            keepalive_count: 3,
            ..TcpConfig::default()
        };
        let listener = listen(([127, 0, 0, 1], 0).into(), false).unwrap();
        let dialled = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        for stream in [&dialled, &accepted] {
            configure(stream, &config, Duration::from_secs(30)).unwrap();
            let socket = SockRef::from(stream);
            assert!(socket.keepalive().unwrap() && socket.tcp_nodelay().unwrap());
            assert_eq!(socket.tcp_keepalive_time().unwrap(), config.keepalive_idle);
            assert_eq!(socket.tcp_keepalive_interval().unwrap(), config.keepalive_interval);
            assert_eq!(socket.tcp_keepalive_retries().unwrap(), config.keepalive_count);
        }
    }
}
