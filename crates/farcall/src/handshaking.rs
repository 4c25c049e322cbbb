//! Runs the handshakes over a socket, in either role and with either driver. The rules are in
//! `farcall_proto::link::handshake`, and those of certificates in [`tls`](crate::tls).
//!
//! ```text
//! tcp:  socket ─────────────────────────▶ hello, proof, …    the cookie, bound to nothing
//! tls:  socket ─▶ TLS, certificates ────▶ hello, proof, …    bound to this session
//! ```

use std::io;

use bytes::BytesMut;
use farcall_proto::link::handshake::{
    Admission, ChannelBinding, Established, HandshakeError, Initiator, Keyring, PreAuthFramer, PreAuthLimits,
    Responder, Step,
};
use farcall_proto::peer::{Incarnation, NodeName};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::context::{Context, random};
use crate::driver::Driver;
use crate::tls::{Channel, TlsHandshakeError};
use crate::wire::Wire;

/// Why a handshake did not end well.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Protocol(#[from] HandshakeError),
    #[error("the connection ended during the handshake: {0}")]
    Io(io::Error),
    #[error(transparent)]
    Tls(#[from] TlsHandshakeError),
    #[error(
        "the peer speaks TLS here, and this side does not: one of the two has the wrong driver (driver, or tls:// in an \
         address)"
    )]
    SpeaksTls,
    #[error("the peer closed the connection during the handshake")]
    Closed {
        /// It had said nothing at all.
        silent: bool,
    },
    #[error("no random numbers: {0}")]
    Random(#[from] getrandom::Error),
    #[error("this node has no {0}, which this connection needs")]
    Unprepared(&'static str),
}

impl From<io::Error> for Error {
    /// What a session says of its own, and the alerts of its peer, are about TLS.
    fn from(error: io::Error) -> Self {
        match error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) {
            true => Self::Tls(TlsHandshakeError::Io { error, silent: false }),
            false => Self::Io(error),
        }
    }
}

impl Error {
    /// A short stable word for logs and counters.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Protocol(error) => error.reason(),
            Self::Io(_) => "handshake_io",
            Self::Tls(error) => error.reason(),
            Self::SpeaksTls => "speaks_tls",
            Self::Closed { .. } => "handshake_closed",
            Self::Random(_) => "random",
            Self::Unprepared(_) => "unprepared",
        }
    }

    /// Whether the peer had proved itself all the same, and was sent away for another reason.
    pub(crate) fn was_proved(&self) -> bool {
        use HandshakeError as E;
        matches!(self, Self::Protocol(E::WrongNode { .. } | E::NotAdmitted { .. }))
    }

    /// Whether the peer went away without a word.
    pub(crate) fn is_silent(&self) -> bool {
        match self {
            Self::Closed { silent } => *silent,
            Self::Tls(error) => error.is_silent(),
            _ => false,
        }
    }

    /// Whether there is nothing to hold against the peer: it is only of another version, or the fault is ours.
    pub(crate) fn is_harmless(&self) -> bool {
        match self {
            Self::Protocol(error) => matches!(error, HandshakeError::NoCommonVersion { .. }),
            Self::Random(_) | Self::Unprepared(_) => true,
            _ => false,
        }
    }
}

/// A connection whose peer is known.
pub(crate) struct Proven {
    pub(crate) wire: Wire,
    pub(crate) established: Established,
    /// What came behind the handshake.
    pub(crate) rest: BytesMut,
}

/// One side of a handshake, whichever.
trait Party: Sized {
    fn handle(self, frame: &[u8], out: &mut Vec<u8>) -> Result<Step<Self>, HandshakeError>;
}

impl Party for Initiator {
    fn handle(self, frame: &[u8], out: &mut Vec<u8>) -> Result<Step<Self>, HandshakeError> {
        Self::handle(self, frame, out)
    }
}

impl Party for Responder {
    fn handle(self, frame: &[u8], out: &mut Vec<u8>) -> Result<Step<Self>, HandshakeError> {
        Self::handle(self, frame, out)
    }
}

/// Dials' side. Gives what the peer proved, and the bytes behind its last message.
pub(crate) async fn initiate(
    stream: TcpStream,
    driver: Driver,
    context: &Context,
    want: NodeName,
) -> Result<Proven, Error> {
    let (mut wire, channel) = match driver {
        Driver::Tcp => (Wire::plain(stream), None),
        Driver::Tls => {
            let tls = context.tls.as_ref().ok_or(Error::Unprepared("TLS settings"))?;
            let (stream, channel) = tls.connect(stream, &want).await?;
            (Wire::tls(stream), Some(channel))
        }
    };
    let (keyring, binding) = terms(context, channel.as_ref())?;
    let mut out = Vec::new();
    let party = Initiator::start(context.local(), want, &keyring, binding, random()?, &mut out);
    let (established, rest) =
        run(&mut wire, party, out, context).await.map_err(|error| explained(error, driver))?;
    Ok(Proven { wire, established, rest })
}

/// Acceptors' side.
pub(crate) async fn respond(
    stream: TcpStream,
    driver: Driver,
    context: &Context,
    admission: Admission,
    turned_away: Vec<(NodeName, Incarnation)>,
) -> Result<Proven, Error> {
    let (mut wire, channel) = match driver {
        Driver::Tcp => (Wire::plain(stream), None),
        Driver::Tls => {
            let tls = context.tls.as_ref().ok_or(Error::Unprepared("TLS settings"))?;
            let (stream, channel) = tls.accept(stream, context.config.strangers.tls_bytes_max).await?;
            (Wire::tls(stream), Some(channel))
        }
    };
    let (keyring, binding) = terms(context, channel.as_ref())?;
    let party = Responder::new(context.local(), &keyring, binding, random()?)
        .with_admission(admission)
        .turning_away(turned_away);
    let party = match channel.and_then(|channel| channel.peer) {
        Some(names) => party.with_certificate(names),
        None => party,
    };
    let ran = run(&mut wire, party, Vec::new(), context).await;
    let (established, rest) = ran.map_err(|error| explained(error, driver))?;
    Ok(Proven { wire, established, rest })
}

/// What has to be proved on a channel: the cookies, or where certificates alone count what only its two ends know.
fn terms(context: &Context, channel: Option<&Channel>) -> Result<(Keyring, ChannelBinding), Error> {
    let cookies = || context.keyring().ok_or(Error::Unprepared("cookie"));
    let Some(channel) = channel else { return Ok((cookies()?, ChannelBinding::None)) };
    let binding = ChannelBinding::Exporter(channel.exporter);
    match context.config.tls.auth.needs_cookie() {
        true => Ok((cookies()?, binding)),
        false => Ok((channel.as_keyring().ok_or(Error::Unprepared("key of the session"))?, binding)),
    }
}

/// The first bytes of a TLS record, read as the length of a frame, are longer than any: without TLS, that is what they
/// are. And whoever shook hands within TLS has not been silent: that was work.
fn explained(error: Error, driver: Driver) -> Error {
    match error {
        Error::Closed { .. } if driver == Driver::Tls => Error::Closed { silent: false },
        Error::Protocol(HandshakeError::FrameTooLarge { bytes, .. })
            if driver == Driver::Tcp && is_tls_record(bytes) =>
        {
            Error::SpeaksTls
        }
        error => error,
    }
}

/// An alert or a message of the handshake, of SSL 3.1 or later, by the four bytes that stand where a length is due.
fn is_tls_record(length: usize) -> bool {
    matches!(u32::try_from(length).map(u32::to_le_bytes), Ok([21 | 22, 3, 1..=4, _]))
}

async fn run<I, P>(
    io: &mut I,
    mut party: P,
    mut out: Vec<u8>,
    context: &Context,
) -> Result<(Established, BytesMut), Error>
where
    I: AsyncRead + AsyncWrite + Unpin,
    P: Party,
{
    let strangers = &context.config.strangers;
    let mut framer = PreAuthFramer::with_limits(PreAuthLimits {
        frame_bytes_max: strangers.frame_bytes_max,
        total_bytes_max: strangers.bytes_max,
    });
    let mut chunk = [0; 1024];
    let mut silent = true;
    loop {
        if !out.is_empty() {
            io.write_all(&out).await?;
            out.clear();
        }
        let Some(frame) = framer.next_frame()? else {
            let bytes = match io.read(&mut chunk).await {
                Ok(0) => return Err(Error::Closed { silent }),
                Err(error) if silent && error.kind() == io::ErrorKind::ConnectionReset => {
                    return Err(Error::Closed { silent });
                }
                read => read?,
            };
            silent = false;
            framer.feed(chunk.get(..bytes).unwrap_or_default());
            continue;
        };
        match party.handle(&frame, &mut out) {
            Ok(Step::Continue(next)) => party = next,
            Ok(Step::Done(established)) => {
                io.write_all(&out).await?;
                return Ok((established, framer.into_rest()));
            }
            Err(error) => {
                // The peer gets its one refusal; that it may not arrive changes nothing here.
                let _ = io.write_all(&out).await;
                let _ = io.shutdown().await;
                return Err(error.into());
            }
        }
    }
}
