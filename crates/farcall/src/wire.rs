//! One connection of either driver, once its handshake is done: what a pump moves bytes over.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Weak;
use std::task::{Context, Poll};

use rustls::Connection;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::heartbeat::Beats;
use crate::socket::SharedStream;
use crate::tls::TlsStream;

/// A connection of either driver.
#[derive(Debug)]
pub(crate) enum Wire {
    Plain(SharedStream),
    Tls(Box<TlsStream>),
}

impl Wire {
    /// Over plain TCP.
    pub(crate) fn plain(stream: TcpStream) -> Self {
        Self::Plain(SharedStream::new(stream))
    }

    /// Over TLS.
    pub(crate) fn tls(stream: TlsStream) -> Self {
        Self::Tls(Box::new(stream))
    }

    /// Takes it off the reactor of this thread, for another one.
    pub(crate) fn detach(self) -> io::Result<Detached> {
        let held = || io::Error::other("the connection is in use elsewhere");
        match self {
            Self::Plain(stream) => {
                let stream = stream.take_apart().ok_or_else(held)?;
                Ok(Detached { stream: stream.into_std()?, session: None })
            }
            Self::Tls(stream) => {
                let (stream, session, incoming) = stream.take_apart().ok_or_else(held)?;
                Ok(Detached { stream: stream.into_std()?, session: Some((session, incoming)) })
            }
        }
    }

    /// Dropped before it was shut in order, it sends nothing more.
    pub(crate) fn take_back_when_dropped(&self) {
        match self {
            Self::Plain(stream) => stream.take_back_when_dropped(),
            Self::Tls(stream) => stream.take_back_when_dropped(),
        }
    }

    /// Who can send a tick in place of a pump that is kept from it.
    pub(crate) fn beats(&self) -> Weak<dyn Beats> {
        match self {
            Self::Plain(stream) => stream.beats(),
            Self::Tls(stream) => stream.beats(),
        }
    }
}

/// A connection on its way from one thread to another.
pub(crate) struct Detached {
    stream: std::net::TcpStream,
    /// With what was read and not opened yet.
    session: Option<(Connection, Vec<u8>)>,
}

impl Detached {
    /// Puts it on the reactor of this thread.
    pub(crate) fn attach(self) -> io::Result<Wire> {
        let stream = TcpStream::from_std(self.stream)?;
        Ok(match self.session {
            None => Wire::plain(stream),
            Some((session, incoming)) => Wire::tls(TlsStream::put_together(stream, session, incoming)),
        })
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, pieces),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, pieces),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
