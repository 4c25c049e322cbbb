//! Opening the sockets of a node that starts: where it is configured, on a free port of a range, and not to a network by mistake.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::StartError;
use crate::acceptor::{Acceptors, Stop};
use crate::config::{Config, ListenOn, MapperUse, PortRange};
use crate::context::Context;
use crate::discovery::{Address, PortMapper};
use crate::door::Door;
use crate::driver::Driver;
use crate::listener::{Listener, Listening};

/// Listeners of a node that has not started yet: dropped, they close.
#[derive(Default)]
pub(super) struct Opened(pub(super) Vec<Listening>);

impl Opened {
    /// Resolves when the sockets are closed, or when their arbiter is too busy to close them soon.
    pub(super) async fn close(mut self) {
        let listeners = std::mem::take(&mut self.0);
        listeners.iter().for_each(|listening| listening.actor.do_send(Stop));
        let closed = futures::future::join_all(listeners.into_iter().map(|listening| listening.closed));
        let _ = tokio::time::timeout(CLOSE_WITHIN, closed).await;
    }

    pub(super) fn keep(mut self) -> Vec<Listening> {
        std::mem::take(&mut self.0)
    }
}

/// How long the error of a start waits for that.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);

impl Drop for Opened {
    fn drop(&mut self) {
        for listening in &self.0 {
            listening.actor.do_send(Stop);
        }
    }
}

/// Listens on everything that is configured.
pub(super) async fn listen(context: &Arc<Context>, acceptors: &Arc<Acceptors>) -> Result<Opened, StartError> {
    let mut places = Vec::new();
    for driver in [Driver::Tcp, Driver::Tls] {
        for place in context.config.listen_on(driver, &context.name)? {
            let (address, has_port) = match place {
                ListenOn::Socket(address) => (address, address.port() != 0),
                ListenOn::Host(host) => (resolve(&host).await?, Address::port_in_name(&context.name)),
            };
            check_exposure(address, driver, context)?;
            let ports = context.config.ports.as_ref().filter(|_| !has_port);
            places.push((address, driver, ports));
        }
    }
    let mut opened = Opened::default();
    if places.is_empty() {
        return Ok(opened);
    }
    let door = Door::start(context, acceptors).map_err(StartError::System)?;
    for (address, driver, ports) in places {
        opened.0.push(match ports {
            Some(ports) => first_free(ports, address.ip(), driver, &door).await?,
            None => Listener::start_on(address, driver, &door)
                .map_err(|error| StartError::Listen { address: address.to_string(), error })?,
        });
    }
    Ok(opened)
}

/// Listens on the first port of the range that is free.
async fn first_free(
    range: &PortRange,
    host: IpAddr,
    driver: Driver,
    door: &Arc<Door>,
) -> Result<Listening, StartError> {
    for port in range.ports() {
        let address = SocketAddr::new(host, port);
        match Listener::start_on(address, driver, door) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(error) => return Err(StartError::Listen { address: address.to_string(), error }),
            Ok(listening) => return Ok(listening),
        }
    }
    let tried = holders(range, &door.context().config).await;
    Err(StartError::NoFreePort { range: range.clone(), host, tried })
}

/// Every port of the range and what holds it: the names are the mapper's, as far as there is one.
async fn holders(range: &PortRange, config: &Config) -> String {
    let mapper = match config.mapper.mode {
        MapperUse::Auto => Address::new(config.mapper.own_ip().to_string(), config.mapper.port).ok(),
        MapperUse::Off => None,
    };
    let names = match &mapper {
        Some(at) => PortMapper::names(at).await.unwrap_or_default(),
        None => Vec::new(),
    };
    let holder = |port| match names.iter().find(|(_, of)| *of == port) {
        Some((name, _)) => format!("{port} is {name}'s"),
        None => format!("{port} is in use"),
    };
    range.ports().map(holder).collect::<Vec<_>>().join(", ")
}

/// Whoever opens plain TCP to a network has to say that it is meant.
fn check_exposure(address: SocketAddr, driver: Driver, context: &Context) -> Result<(), StartError> {
    match (driver, &context.tls) {
        (Driver::Tls, Some(tls)) => Ok(tls.can_listen()?),
        _ if address.ip().to_canonical().is_loopback() => Ok(()),
        _ if !context.config.allow_plaintext => Err(StartError::Plaintext { address }),
        _ => {
            log::warn!(
                target: "farcall", node:% = context.name, address:% = address;
                "plain TCP is open to the network (allow_plaintext): what nodes say is neither hidden nor protected"
            );
            Ok(())
        }
    }
}

/// The first address of a host name.
async fn resolve(host: &Address) -> Result<SocketAddr, StartError> {
    let failed = |error| StartError::Listen { address: host.to_string(), error };
    let mut found = tokio::net::lookup_host((host.host(), host.port())).await.map_err(failed)?;
    found
        .next()
        .ok_or_else(|| failed(io::Error::new(io::ErrorKind::NotFound, "the host name has no address")))
}
