//! Serving the mapper: look-ups and lists for anybody in epmd's words, registrations with proof.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use farcall_proto::portmap::epmd::{self, Entry, Request};
use farcall_proto::portmap::{Answer, Challenge, Hello, Holding, List, Name, Owner, Register, Table, Wanted};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Duplex;
use super::register::read_message;
use crate::context::{Context, random};
use crate::logging::{Foreign, limited};
use crate::socket;

/// Sockets of a mapper that does not serve yet.
pub(super) struct Bound {
    ports: Vec<TcpListener>,
    #[cfg(target_os = "linux")]
    user: Option<tokio::net::UnixListener>,
}

/// What all connections share.
struct Shared {
    context: Arc<Context>,
    table: Mutex<Table>,
    /// Connections that hold no name.
    strangers: Arc<Semaphore>,
}

/// Who is at the other end.
#[derive(Debug, Clone, Copy)]
struct From {
    owner: Owner,
    /// Whether it is a process of this host.
    here: bool,
}

/// Connections without a name at a time; those beyond are closed at once.
const STRANGERS_MAX: usize = 64;
/// All that one of them may take.
const STRANGER_WITHIN: Duration = Duration::from_secs(5);
/// After an error of `accept` itself, so long until the next try.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

impl Bound {
    /// Listens on all addresses of the mapper or on none. The port decides who serves; the socket of this user is beside
    /// it, and without it nodes of this user prove themselves by the cookie.
    pub(super) fn bind(context: &Context) -> Result<Self, (SocketAddr, io::Error)> {
        let mapper = &context.config.mapper;
        let listen = |ip| {
            let address = SocketAddr::new(ip, mapper.port);
            socket::listen(address, true).map_err(|error| (address, error))
        };
        let ports = mapper.listen.iter().copied().map(listen).collect::<Result<_, _>>()?;
        Ok(Self {
            ports,
            #[cfg(target_os = "linux")]
            user: tokio::net::UnixListener::bind(super::socket_name(context))
                .inspect_err(|error| {
                    log::warn!(
                        target: "farcall", node:% = context.name;
                        "the port mapper's socket for this user is somebody else's, only the cookie counts: {error}"
                    );
                })
                .ok(),
        })
    }

    /// Serves until it is dropped, this node's name first.
    pub(super) async fn serve(self, context: &Arc<Context>, own: &Wanted) {
        let strangers = Arc::new(Semaphore::new(STRANGERS_MAX));
        let shared = Shared { context: context.clone(), table: Mutex::default(), strangers };
        let shared = Arc::new(shared);
        shared.table.lock().register(own.name.clone(), own.presence).expect("the table was empty");
        let ports = futures::future::join_all(self.ports.into_iter().map(|port| accept(port, &shared)));
        #[cfg(target_os = "linux")]
        futures::future::join(ports, accept_ours(self.user, &shared)).await;
        #[cfg(not(target_os = "linux"))]
        ports.await;
    }
}

async fn accept(port: TcpListener, shared: &Arc<Shared>) {
    loop {
        match port.accept().await {
            Ok((stream, from)) => {
                let own = stream.local_addr().map(|own| own.ip());
                let here = from.ip().to_canonical().is_loopback() || own.is_ok_and(|own| own == from.ip());
                shared.take(stream, From { owner: Owner::Unknown, here });
            }
            Err(error) => shared.cannot_accept(&error).await,
        }
    }
}

#[cfg(target_os = "linux")]
async fn accept_ours(user: Option<tokio::net::UnixListener>, shared: &Arc<Shared>) {
    let Some(user) = user else { return };
    loop {
        match user.accept().await {
            Ok((stream, _)) => {
                let owner = match super::is_ours(&stream) {
                    Ok(true) => Owner::Ours,
                    _ => Owner::Unknown,
                };
                shared.take(stream, From { owner, here: true });
            }
            Err(error) => shared.cannot_accept(&error).await,
        }
    }
}

impl Shared {
    fn take(self: &Arc<Self>, stream: impl Duplex + 'static, from: From) {
        let Ok(permit) = self.strangers.clone().try_acquire_owned() else {
            self.complain("mapper_full", "too many connections to the port mapper; one was closed");
            return;
        };
        tokio::spawn(Arc::clone(self).converse(stream, from, permit));
    }

    async fn cannot_accept(&self, error: &io::Error) {
        self.complain("mapper_accept", format_args!("the port mapper cannot accept: {error}; trying again"));
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }

    fn complain(&self, reason: &'static str, what: impl std::fmt::Display) {
        limited!(
            self.context.logs, Instant::now(), reason, log::Level::Warn, node:% = self.context.name; "{what}"
        );
    }

    /// One request, and if it was a registration, its life.
    async fn converse(self: Arc<Self>, mut stream: impl Duplex, from: From, permit: OwnedSemaphorePermit) {
        let asked = tokio::time::timeout(STRANGER_WITHIN, self.answer(&mut stream, from)).await;
        let held = match asked {
            Ok(Ok(held)) => held,
            Ok(Err(error)) => {
                let what =
                    format_args!("a request to the port mapper was refused: {}", Foreign(&error)).to_string();
                self.complain("mapper_request", what);
                None
            }
            Err(_) => None,
        };
        drop(permit);
        let Some((name, holding)) = held else { return };
        // Dropped with the runtime too, and then the table goes with it.
        let _ = stream.read(&mut [0; 1]).await;
        self.table.lock().end(&name, holding);
        log::info!(target: "farcall", node:% = self.context.name, name:% = name; "the port mapper lost a node");
    }

    async fn answer(&self, stream: &mut impl Duplex, from: From) -> io::Result<Option<(Name, Holding)>> {
        let request = read_message(stream).await?;
        if Hello::is_it(&request) {
            Hello::decode(&request).map_err(io::Error::other)?;
            return self.register(stream, from).await;
        }
        let answer = match Request::decode(&request).map_err(io::Error::other)? {
            Request::PortPlease2(name) => {
                let found = self.table.lock().find(&name);
                epmd::encode_found(found.map(|presence| Entry::new(name, presence)).as_ref())
            }
            Request::Names if from.here => self.names(),
            Request::Names => {
                let why = "names are listed for processes of this host, and for whoever proves the cookie";
                return Err(io::Error::other(why));
            }
            Request::Alive2(entry) => {
                let name = entry.name;
                let what = format!(
                    "a node {name:?} that is not farcall's wants to register (ALIVE2): start epmd first"
                );
                self.complain("mapper_alive2", Foreign(what));
                epmd::encode_alive2_refused()
            }
            Request::Refused(_) => {
                return Err(io::Error::other("the mapper ends with its node, not on request"));
            }
        };
        stream.write_all(&answer).await?;
        stream.shutdown().await?;
        Ok(None)
    }

    /// All names, in epmd's form.
    fn names(&self) -> Vec<u8> {
        let table = self.table.lock();
        let names = table.all().map(|(name, presence)| (name, presence.port));
        epmd::encode_names(self.context.config.mapper.port, names)
    }

    async fn register(&self, stream: &mut impl Duplex, from: From) -> io::Result<Option<(Name, Holding)>> {
        let challenge = Challenge { nonce: random().map_err(io::Error::other)? };
        stream.write_all(&challenge.encode()).await?;
        let keyring = self.context.keyring();
        let cookies = keyring.as_ref().map(|keyring| (keyring, self.context.config.cluster.as_str()));
        let message = read_message(stream).await?;
        if List::is_it(&message) {
            let list = List::decode(&message).map_err(io::Error::other)?;
            if !cookies.is_some_and(|(keyring, cluster)| list.is_proved(challenge, keyring, cluster)) {
                return Err(io::Error::other(
                    "names are listed for whoever proves the cookie; this one did not",
                ));
            }
            let names = self.names();
            stream.write_all(&names).await?;
            stream.shutdown().await?;
            return Ok(None);
        }
        let register = Register::decode(&message).map_err(io::Error::other)?;
        let Some(proven) = register.check(from.owner, challenge, cookies) else {
            stream.write_all(&Answer::NotProved.encode()).await?;
            self.complain(
                "mapper_proof",
                "a process of another user did not prove the cookie to the port mapper",
            );
            return Ok(None);
        };
        let Wanted { name, presence } = proven.0;
        // By itself, so that the lock is not held while the answer is written.
        let registered = self.table.lock().register(name.clone(), presence);
        let answer = registered.map_or_else(Answer::Refused, |_| Answer::Held);
        let written = stream.write_all(&answer.encode()).await;
        match (registered, written) {
            (Ok(holding), Ok(())) => Ok(Some((name, holding))),
            (Ok(holding), Err(error)) => {
                self.table.lock().end(&name, holding);
                Err(error)
            }
            (Err(_), written) => written.map(|()| None),
        }
    }
}
