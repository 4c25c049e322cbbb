//! Registering at a mapper that somebody else serves: a node of this user, a node that knows the cookie, or epmd.

use std::io;
use std::time::Duration;

use farcall_proto::portmap::epmd::{self, Entry, Request};
use farcall_proto::portmap::{Answer, Challenge, Hello, Mapper, Register, RegisterRefused, Wanted};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Duplex, own_mapper};
use crate::context::Context;
use crate::discovery::PortMapper;

/// What came of it.
pub(super) enum Asked {
    /// The name is held as long as this connection.
    Held(Box<dyn Duplex>, Mapper),
    /// Somebody has it, as this text says.
    Taken(String),
    /// It does not take this node, for this reason.
    Refused(String),
    /// Nobody answers, for this reason.
    Nobody(String),
}

/// The longest that one attempt takes.
const WITHIN: Duration = Duration::from_secs(2);

/// Asks whoever serves: through the socket of this user, else on the mapper's port.
pub(super) async fn ask(context: &Context, wanted: &Wanted) -> Asked {
    let at = own_mapper(context).map_or_else(|error| error.to_string(), |at| at.to_string());
    match tokio::time::timeout(WITHIN, try_all(context, wanted)).await {
        Ok(Ok(asked)) => asked,
        Ok(Err(error)) => Asked::Nobody(format!("the port mapper on {at} does not answer: {error}")),
        Err(_) => Asked::Nobody(format!(
            "what listens on {at} is silent, and seems to be no port mapper: set mapper.port, or mapper.use = \"off\""
        )),
    }
}

async fn try_all(context: &Context, wanted: &Wanted) -> io::Result<Asked> {
    #[cfg(target_os = "linux")]
    if let Ok(stream) = tokio::net::UnixStream::connect(super::socket_name(context)).await
        && super::is_ours(&stream).unwrap_or(false)
        && let Ok(Some(asked)) = by_dialogue(context, wanted, stream).await
    {
        return Ok(asked);
    }
    if let Some(asked) = by_dialogue(context, wanted, connect(context).await?).await? {
        return Ok(asked);
    }
    at_epmd(context, wanted).await
}

async fn connect(context: &Context) -> io::Result<TcpStream> {
    let at = own_mapper(context)?;
    TcpStream::connect((at.host(), at.port())).await
}

/// Nothing if the other side does not know our dialogue: it hangs up on the first message then, as epmd does.
async fn by_dialogue(
    context: &Context,
    wanted: &Wanted,
    mut stream: impl Duplex + 'static,
) -> io::Result<Option<Asked>> {
    stream.write_all(&Hello::encode()).await?;
    let challenge = match read_message(&mut stream).await {
        Ok(message) => Challenge::decode(&message).map_err(io::Error::other)?,
        Err(error) if hung_up(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    let keyring = context.keyring();
    let cookies = keyring.as_ref().map(|keyring| (keyring, context.config.cluster.as_str()));
    stream.write_all(&Register::new(wanted.clone(), challenge, cookies).encode()).await?;
    let answer = Answer::decode(&read_message(&mut stream).await?).map_err(io::Error::other)?;
    Ok(Some(match answer {
        Answer::Held => Asked::Held(Box::new(stream), Mapper::Farcall),
        Answer::Refused(RegisterRefused::Taken(by)) => {
            Asked::Taken(RegisterRefused::Taken(by).to_string().replacen("the name is ", "it is ", 1))
        }
        Answer::Refused(full) => Asked::Refused(format!("the port mapper refuses this node: {full}")),
        Answer::NotProved => Asked::Refused(
            "the port mapper is served by a node of another user or container, and refuses this one: give both the same \
             cookie and the same cluster, or this one another mapper.port"
                .to_owned(),
        ),
    }))
}

fn hung_up(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
}

/// A message without its length.
pub(super) async fn read_message(stream: &mut (impl Duplex + ?Sized)) -> io::Result<Vec<u8>> {
    let mut prefix = [0; epmd::LENGTH_BYTES];
    stream.read_exact(&mut prefix).await?;
    let mut message = vec![0; epmd::request_length(prefix).map_err(io::Error::other)?];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

async fn at_epmd(context: &Context, wanted: &Wanted) -> io::Result<Asked> {
    let mut stream = connect(context).await?;
    let entry = Entry::new(wanted.name.clone(), wanted.presence);
    stream.write_all(&Request::Alive2(entry).encode()).await?;
    let mut answer = vec![stream.read_u8().await?];
    let length = answer.first().copied().map(epmd::alive2_answer_length).transpose();
    answer.resize(length.map_err(io::Error::other)?.unwrap_or_default(), 0);
    if let Some(rest) = answer.get_mut(1..) {
        stream.read_exact(rest).await?;
    }
    Ok(match epmd::decode_alive2_answer(&answer).map_err(io::Error::other)? {
        true => Asked::Held(Box::new(stream), Mapper::Epmd),
        false => refused_by_epmd(context, wanted).await?,
    })
}

/// epmd says no and not why; who has the name can be asked.
async fn refused_by_epmd(context: &Context, wanted: &Wanted) -> io::Result<Asked> {
    let held = PortMapper::look_up(&own_mapper(context)?, &wanted.name).await.map_err(io::Error::other)?;
    Ok(match held {
        Some((port, Some(mark))) => Asked::Taken(format!(
            "it is held by process {}, which listens on port {port}, as epmd says",
            mark.pid
        )),
        Some((port, None)) => {
            Asked::Taken(format!("it is held by an Erlang node, which listens on port {port}, as epmd says"))
        }
        None => Asked::Refused("epmd refuses this node and knows nobody of its name".to_owned()),
    })
}
