//! Looks which nodes there are, and connects to those that rules want.

use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use farcall_proto::cluster::members::NodeEvent;
use farcall_proto::cluster::services::Scans;
use farcall_proto::link::Outcome;
use farcall_proto::peer::{NodeName, Target};
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::sync::broadcast::error::RecvError;

use super::{Inner, Services};
use crate::discovery::{Address, PortMapper};
use crate::rpc::Caller;

/// Looks until the node ends, if there are rules.
pub(super) fn start(services: &Services) {
    if !services.0.rules.is_empty() {
        actix_rt::spawn(run(Arc::downgrade(&services.0), services.0.cluster.caller().clone()));
    }
}

async fn run(weak: Weak<Inner>, caller: Arc<Caller>) {
    let config = &caller.context.config.services;
    let (there, mut nodes) = caller.context.members.subscribe();
    let mut scans = Scans::new(config.intervals());
    let mut attempts = FuturesUnordered::new();
    let (mut world_at, mut hosts_at) = (Instant::now(), Instant::now());
    if let Some(inner) = weak.upgrade() {
        let wanted = there.iter().filter(|peer| inner.rules.wanted(&peer.name).is_some());
        wanted.for_each(|peer| scans.up(&peer.name));
    }
    loop {
        let Some(inner) = weak.upgrade() else { return };
        let now = Instant::now();
        if let Some(file) = config.hosts_file.as_ref().filter(|_| hosts_at <= now) {
            read_hosts(&inner, file).await;
            hosts_at = now + config.hosts_interval;
        }
        if world_at <= now {
            let named = world(&inner, &caller).await;
            scans.named(named, Instant::now());
            world_at = Instant::now() + config.world_interval;
        }
        for node in scans.poll(Instant::now()) {
            attempts.push(attempt(&caller, node));
        }
        let hosts_at = config.hosts_file.as_ref().map(|_| hosts_at);
        let next = [Some(world_at), hosts_at, scans.poll_timeout()].into_iter().flatten().min();
        let next = next.unwrap_or(world_at);
        tokio::select! {
            () = caller.context.drained() => return,
            () = tokio::time::sleep_until(next.into()) => {}
            () = inner.look.notified() => world_at = Instant::now(),
            Some((node, reached)) = attempts.next() => match reached {
                true => scans.up(&node),
                false => scans.failed(&node, Instant::now()),
            },
            event = nodes.recv() => match event {
                Ok(NodeEvent::Up(peer)) if inner.rules.wanted(&peer.name).is_some() => scans.up(&peer.name),
                Ok(NodeEvent::Draining(peer) | NodeEvent::Down(peer, _)) => {
                    scans.down(&peer.name, Instant::now());
                }
                Ok(_) => {}
                // The next look at the world finds out what was missed.
                Err(RecvError::Lagged(_)) => world_at = Instant::now(),
                Err(RecvError::Closed) => return,
            },
        }
    }
}

/// Connects to a node; gives whether it is there.
async fn attempt(caller: &Arc<Caller>, node: NodeName) -> (NodeName, bool) {
    let config = &caller.context.config;
    let limit = config.connect_timeout + config.handshake_timeout;
    let outcome = crate::rpc::ping(caller, &Target::from(&node), limit).await;
    let reached = matches!(outcome, Outcome::Answered { .. });
    (node, reached)
}

/// Every node that there is and that is wanted. A host or a discovery that does not answer names none, and holds up nobody
/// for longer than its own time.
async fn world(inner: &Inner, caller: &Caller) -> Vec<NodeName> {
    let context = &caller.context;
    let listed = tokio::time::timeout(ASKED_FOR, context.discovery.nodes());
    let hosts = futures::future::join_all(inner.hosts_or_own().into_iter().map(|host| on(context, host)));
    let (listed, on_hosts) = futures::join!(listed, hosts);
    let listed = match listed {
        Ok(Ok(listed)) => listed,
        Ok(Err(error)) => {
            context.log_limited(log::Level::Warn, "services_discovery", &context.name, error);
            Vec::new()
        }
        Err(_) => Vec::new(),
    };
    let mut nodes: Vec<_> = listed.into_iter().chain(on_hosts.into_iter().flatten()).collect();
    nodes.retain(|node| *node != context.name && inner.rules.wanted(node).is_some());
    nodes.sort();
    nodes.dedup();
    nodes
}

/// The longest that a discovery or a port mapper is waited for.
const ASKED_FOR: Duration = Duration::from_secs(2);

/// The nodes of a host, as its port mapper names them.
async fn on(context: &crate::context::Context, host: String) -> Vec<NodeName> {
    let mapper = &context.config.mapper;
    let at = match host == context.name.host() {
        true => mapper.own_ip().to_string(),
        false => host.clone(),
    };
    let Ok(at) = Address::new(at, mapper.port) else { return Vec::new() };
    let names = async {
        match context.keyring() {
            Some(keyring) => PortMapper::names_with(&at, &keyring, &context.config.cluster).await,
            None => PortMapper::names(&at).await,
        }
    };
    match tokio::time::timeout(ASKED_FOR, names).await {
        Ok(Ok(names)) => {
            names.into_iter().filter_map(|(short, _)| format!("{short}@{host}").parse().ok()).collect()
        }
        Ok(Err(error)) => {
            context.log_limited(log::Level::Debug, "services_host", &context.name, error);
            Vec::new()
        }
        Err(_) => Vec::new(),
    }
}

/// One host in each line; empty lines and comments with # are skipped. A file that cannot be read changes nothing.
async fn read_hosts(inner: &Inner, file: &Path) {
    let context = &inner.cluster.caller().context;
    let path = file.to_owned();
    let read = tokio::task::spawn_blocking(move || std::fs::read_to_string(path)).await;
    match read.unwrap_or_else(|error| Err(std::io::Error::other(error))) {
        Ok(text) => {
            let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
            let hosts = lines.filter(|line| !line.is_empty()).take(crate::config::ServicesConfig::HOSTS_MAX);
            let hosts: Vec<_> = hosts.map(str::to_owned).collect();
            *inner.hosts.lock() = hosts;
        }
        Err(error) => {
            let what = format!("services.hosts_file {}: {error}", file.display());
            context.log_limited(log::Level::Warn, "services_hosts_file", &context.name, what);
        }
    }
}
