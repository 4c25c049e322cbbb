//! Runs the handshake over a socket, in either role. The rules are in `farcall_proto::link::handshake`.

use bytes::BytesMut;
use farcall_proto::link::handshake::{
    Admission, ChannelBinding, Established, HandshakeError, Initiator, PreAuthFramer, Responder, Step,
};
use farcall_proto::peer::NodeName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::context::{Context, random};

/// Why a handshake did not end well.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Protocol(#[from] HandshakeError),
    #[error("the connection ended during the handshake: {0}")]
    Io(#[from] std::io::Error),
    #[error("the peer closed the connection during the handshake")]
    Closed,
    #[error("no random numbers: {0}")]
    Random(#[from] getrandom::Error),
}

impl Error {
    /// A short stable word for logs and counters.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Protocol(error) => error.reason(),
            Self::Io(_) => "handshake_io",
            Self::Closed => "handshake_closed",
            Self::Random(_) => "random",
        }
    }
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
pub(crate) async fn initiate<I>(
    io: &mut I,
    context: &Context,
    want: NodeName,
) -> Result<(Established, BytesMut), Error>
where
    I: AsyncRead + AsyncWrite + Unpin,
{
    let mut out = Vec::new();
    let (local, keyring) = (context.local(), context.keyring());
    let party = Initiator::start(local, want, &keyring, ChannelBinding::None, random()?, &mut out);
    run(io, party, out).await
}

/// Acceptors' side.
pub(crate) async fn respond<I>(
    io: &mut I,
    context: &Context,
    admission: Admission,
) -> Result<(Established, BytesMut), Error>
where
    I: AsyncRead + AsyncWrite + Unpin,
{
    let party = Responder::new(context.local(), &context.keyring(), ChannelBinding::None, random()?);
    run(io, party.with_admission(admission), Vec::new()).await
}

async fn run<I, P>(io: &mut I, mut party: P, mut out: Vec<u8>) -> Result<(Established, BytesMut), Error>
where
    I: AsyncRead + AsyncWrite + Unpin,
    P: Party,
{
    let mut framer = PreAuthFramer::new();
    let mut chunk = [0; 1024];
    loop {
        if !out.is_empty() {
            io.write_all(&out).await?;
            out.clear();
        }
        let Some(frame) = framer.next_frame()? else {
            let bytes = io.read(&mut chunk).await?;
            if bytes == 0 {
                return Err(Error::Closed);
            }
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
