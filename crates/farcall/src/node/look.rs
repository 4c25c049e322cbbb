//! A look inside: what the parts of a node say of themselves, put together as [`NodeView`].

use std::sync::Arc;
use std::time::{Duration, Instant};

use farcall_proto::failure::{NotSent, Rejected};
use farcall_proto::peer::Target;

use super::Node;
use super::own::{Inspect, Operate};
use crate::acceptor::Acceptors;
use crate::client::Client;
use crate::cluster::GroupName;
use crate::config::Config;
use crate::conn::Conn;
use crate::error::CallError;
use crate::flow::{Flow, Load};
use crate::inspect::{
    ActorView, Bucket, EventView, GroupView, LimitView, LinkState, LinkView, MemberView, MetricView,
    NodeState, NodeView, Order, OrderRefused, Publisher, Times, TroubleView,
};
use crate::log_switch::LogSwitch;
use crate::message::RemoteMessage;
use crate::metrics::MetricKind;
use crate::registry::{RESERVED, Registration};

/// Nobody needs numbers more often.
const PUBLISH_MIN: Duration = Duration::from_millis(100);

/// So many entries of each list are told; a view stays far below the largest message.
const LISTED_MAX: usize = 4096;

impl Node {
    /// This node as it is now: its links, actors, groups, limits, and what happened lately.
    ///
    /// Each number is read by itself, so two that belong together may differ by what happens meanwhile. Where it is
    /// called on an arbiter, it also begins a ping over each outgoing link, whose time the next look tells; to
    /// `client_idle` that is a use of the link.
    pub fn inspect(&self) -> NodeView {
        self.inspect_after(0)
    }

    /// As [`Node::inspect`], with the events behind this number only, for whoever looks again and again.
    pub fn inspect_after(&self, event: u64) -> NodeView {
        let now = Instant::now();
        let context = &self.0.caller.context;
        let mut listed = Listed::default();
        let view = NodeView {
            node: context.name.to_string(),
            incarnation: context.incarnation.0,
            farcall: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            at_us: us(now.saturating_duration_since(context.started)),
            draining: context.is_draining(),
            listening: self.listening(),
            metrics: self.metric_views(),
            limits: limits(&context.config),
            nodes: listed.take(self.node_states()),
            links: listed.take(self.link_views(now)),
            actors: listed.take(context.registry.all().iter().map(|actor| actor_view(actor))),
            groups: listed.take(self.group_views()),
            events: self.event_views(event),
            left_out: listed.left_out,
        };
        self.probe();
        view
    }

    /// A peer as it is now. Its time is its own: see [`NodeView::at_us`].
    ///
    /// # Errors
    /// [`CallError`], as of a call; `Unauthorized` if `access.inspect` of the peer does not list this node.
    ///
    /// # Cancel safety
    /// Dropping it gives up the question.
    pub async fn inspect_node(&self, target: &Target) -> Result<NodeView, CallError> {
        self.inspect_node_after(target, 0).await
    }

    /// As [`Node::inspect_node`], with the events behind this number only.
    ///
    /// # Errors
    /// As [`Node::inspect_node`].
    ///
    /// # Cancel safety
    /// Dropping it gives up the question.
    pub async fn inspect_node_after(&self, target: &Target, event: u64) -> Result<NodeView, CallError> {
        let answer = self.call(target, RESERVED, Inspect { after: event }).await?;
        answer.ok_or_else(|| may_not_look::<Inspect>(target))
    }

    /// Has a node do something, if its `access.operate` lists this one; this node itself always may.
    ///
    /// The outer error is of the call, the inner one says why nothing was done.
    ///
    /// # Errors
    /// [`CallError`], as of a call; [`OrderRefused`].
    ///
    /// # Cancel safety
    /// Dropped before the end, the order may have been followed.
    pub async fn operate_node(
        &self,
        target: &Target,
        order: Order,
    ) -> Result<Result<(), OrderRefused>, CallError> {
        self.call(target, RESERVED, Operate { order }).await
    }

    /// Hands what [`Node::inspect`] tells to the `metrics` facade, at once and then every so often, until the node has
    /// shut down; at least 100 ms lie in between. To be called on an arbiter.
    ///
    /// Requests pay nothing for it: they are counted anyway. Names and labels are those of
    /// [`prometheus`](crate::inspect::prometheus); a histogram is handed over as its buckets (`_bucket` with `le`).
    pub fn publish_metrics(&self, every: Duration) {
        let node = self.clone();
        actix_rt::spawn(async move {
            let mut publisher = Publisher::default();
            let mut ticker = tokio::time::interval(every.max(PUBLISH_MIN));
            ticker.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            while node.0.caller.context.registry.contains(RESERVED) {
                ticker.tick().await;
                publisher.publish(&node.inspect_after(u64::MAX));
            }
        });
    }

    /// Follows an order here.
    pub(super) fn follow(&self, order: Order) -> Result<(), OrderRefused> {
        let invalid = |why: String| OrderRefused::Invalid { why };
        match order {
            Order::Log { level, module } => {
                let switch: &LogSwitch =
                    self.0.caller.context.log_switch.as_ref().ok_or(OrderRefused::NoLogSwitch)?;
                let level = level.parse().map_err(|_| {
                    invalid(format!("{level:?} is none of off, error, warn, info, debug and trace"))
                })?;
                switch.set(&module, level).map_err(|error| invalid(error.to_string()))
            }
            Order::Drain => {
                let node = self.clone();
                actix_rt::spawn(async move { node.shutdown().await });
                Ok(())
            }
            Order::Disconnect { node } => {
                self.disconnect(&node.parse().map_err(|error| invalid(format!("{error}")))?);
                Ok(())
            }
        }
    }

    fn listening(&self) -> Vec<String> {
        let listeners = self.0.listeners.lock();
        listeners.iter().map(|listening| format!("{}://{}", listening.driver, listening.address)).collect()
    }

    fn metric_views(&self) -> Vec<MetricView> {
        let config = self.config();
        let view = |metric: crate::metrics::Metric| MetricView {
            name: metric.name.to_owned(),
            counter: metric.kind == MetricKind::Counter,
            help: metric.help.to_owned(),
            value: metric.value,
            limit: limit_of(metric.name, config),
        };
        self.metrics().each().into_iter().map(view).collect()
    }

    fn node_states(&self) -> impl Iterator<Item = NodeState> {
        let members = self.0.caller.context.members.clone();
        members.peers().into_iter().map(move |peer| NodeState {
            draining: members.is_draining(&peer.name),
            node: peer.name.to_string(),
            incarnation: peer.incarnation.0,
            hidden: peer.hidden,
        })
    }

    fn link_views(&self, now: Instant) -> impl Iterator<Item = LinkView> {
        let clients = self.0.caller.clients.all();
        let outgoing: Vec<_> = clients.iter().flat_map(|client| links_of(client, now)).collect();
        outgoing.into_iter().chain(incoming(&self.0.acceptors, now))
    }

    fn group_views(&self) -> Vec<GroupView> {
        let view = |name: GroupName| {
            let member = |member: crate::cluster::Member| MemberView {
                node: member.node.to_string(),
                actor: member.actor,
            };
            let members = self.0.cluster.members(&name).into_iter().take(LISTED_MAX).map(member);
            GroupView { members: members.collect(), scope: name.scope, group: name.group }
        };
        let names = self.0.cluster.all_groups();
        // Names beyond what is told are counted, and their members not looked for.
        let all = names.iter().enumerate().map(|(nth, name)| match nth < LISTED_MAX {
            true => view(name.clone()),
            false => GroupView { scope: String::new(), group: String::new(), members: Vec::new() },
        });
        all.collect()
    }

    fn event_views(&self, after: u64) -> Vec<EventView> {
        let context = &self.0.caller.context;
        let events = context.logs.recent.after(after).into_iter();
        let view = |event: crate::recent::Event| EventView {
            nth: event.nth,
            at_us: us(event.at.saturating_duration_since(context.started)),
            level: event.level.to_string(),
            reason: event.reason.to_owned(),
            peer: event.peer,
            text: event.text,
        };
        events.map(view).collect()
    }

    /// Measures the ways to the nodes that this one asks, for the next look.
    fn probe(&self) {
        if tokio::runtime::Handle::try_current().is_err() {
            return;
        }
        for conn in self.0.caller.clients.conns().into_iter().take(LISTED_MAX) {
            if conn.is_up() && !conn.flow().is_probing() {
                tokio::spawn(crate::rpc::probe(conn));
            }
        }
    }
}

/// `access.inspect` of the peer does not list this node.
pub(super) fn may_not_look<M: RemoteMessage>(target: &Target) -> CallError {
    CallError::new(Rejected::Unauthorized, target, RESERVED, M::INFO.name)
}

/// What is told of each list, and what is not.
#[derive(Default)]
struct Listed {
    left_out: u64,
}

impl Listed {
    fn take<T>(&mut self, all: impl IntoIterator<Item = T>) -> Vec<T> {
        let mut all = all.into_iter();
        let told = all.by_ref().take(LISTED_MAX).collect();
        self.left_out += all.count() as u64;
        told
    }
}

fn links_of(client: &Arc<Client>, now: Instant) -> Vec<LinkView> {
    let key = client.key();
    let idle = LinkView {
        peer: key.node.to_string(),
        outgoing: true,
        lane: key.lane,
        state: LinkState::Idle,
        epoch: 0,
        at: String::new(),
        age_us: 0,
        rtt_us: None,
        messages_in: 0,
        messages_out: 0,
        bytes_in: 0,
        bytes_out: 0,
        unsent_bytes: 0,
        in_flight: 0,
        ticks_missed: 0,
    };
    let links: Vec<_> = client.conns().iter().map(|conn| outgoing(conn, &idle, now)).collect();
    if !links.is_empty() {
        return links;
    }
    let state = match client.backing_off(now) {
        Some((left, why)) => LinkState::Backoff {
            left_ms: u64::try_from(left.as_millis()).unwrap_or(u64::MAX),
            why: NotSent::to_string(&why),
        },
        None => LinkState::Idle,
    };
    vec![LinkView { state, ..idle }]
}

fn outgoing(conn: &Conn, idle: &LinkView, now: Instant) -> LinkView {
    let state = match (conn.closing(), conn.is_up()) {
        (Some(why), _) => LinkState::Closing { why: why.to_owned() },
        (None, true) => LinkState::Up,
        (None, false) => LinkState::Connecting,
    };
    let (flow, mut load) = (conn.flow(), conn.load(now));
    // Whoever looks does not see itself.
    load.in_flight = load.in_flight.saturating_sub(usize::from(flow.is_probing()));
    let rtt_us = flow.rtt(now).map(us);
    if state == LinkState::Connecting {
        load.ticks_missed = 0;
    }
    carried(LinkView { state, epoch: conn.epoch(), rtt_us, ..idle.clone() }, flow, &load, now)
}

fn incoming(acceptors: &Acceptors, now: Instant) -> impl Iterator<Item = LinkView> {
    acceptors.numbered().into_iter().map(move |(epoch, port)| {
        let link = LinkView {
            peer: port.peer().to_string(),
            outgoing: false,
            lane: 0,
            state: LinkState::Up,
            epoch,
            at: String::new(),
            age_us: 0,
            rtt_us: None,
            messages_in: 0,
            messages_out: 0,
            bytes_in: 0,
            bytes_out: 0,
            unsent_bytes: 0,
            in_flight: 0,
            ticks_missed: 0,
        };
        carried(link, port.flow(), &port.load(now), now)
    })
}

fn carried(link: LinkView, flow: &Flow, load: &Load, now: Instant) -> LinkView {
    let up = flow.up();
    let at = up.and_then(|up| up.at).map(|(address, driver)| format!("{driver}://{address}"));
    let (bytes_in, bytes_out) = flow.bytes();
    LinkView {
        at: at.unwrap_or_default(),
        age_us: up.map_or(0, |up| us(now.saturating_duration_since(up.since))),
        messages_in: load.traffic.messages_in,
        messages_out: load.traffic.messages_out,
        bytes_in,
        bytes_out,
        unsent_bytes: load.unsent_bytes as u64,
        in_flight: load.in_flight as u64,
        ticks_missed: load.ticks_missed,
        ..link
    }
}

fn actor_view(actor: &Registration) -> ActorView {
    let tally = actor.backlog.tally();
    let trouble = |(reason, count): (&str, u64)| TroubleView { reason: reason.to_owned(), count };
    let buckets = tally.times().into_iter().map(|(below_us, count)| Bucket { below_us, count });
    ActorView {
        name: actor.name.to_string(),
        version: actor.version.as_ref().map(ToString::to_string),
        waiting: actor.backlog.messages() as u64,
        waiting_bytes: actor.backlog.bytes() as u64,
        handled: tally.handled(),
        troubles: tally.troubles().into_iter().map(trouble).collect(),
        times: Times { buckets: buckets.collect() },
    }
}

/// The limit of a gauge.
fn limit_of(metric: &str, config: &Config) -> Option<LimitView> {
    let (name, value) = match metric {
        "acceptors" => ("acceptors_max", config.acceptors_max),
        "half_open" => ("half_open_max", config.half_open_max),
        "stranger_sources" => ("strangers.sources_max", config.strangers.sources_max),
        "monitors" => ("monitors_max", config.monitors_max),
        "group_members" => ("group_members_max", config.group_members_max),
        "names" => ("names_max", config.names_max),
        _ => return None,
    };
    Some(LimitView { name: name.to_owned(), value: value as u64 })
}

/// Those that hold for each link and each mailbox.
fn limits(config: &Config) -> Vec<LimitView> {
    let limits = [
        ("unsent_bytes_max", config.unsent_bytes_max),
        ("in_flight_max", config.in_flight_max),
        ("mailbox_messages_max", config.mailbox_messages_max),
        ("mailbox_bytes_max", config.mailbox_bytes_max),
        ("acceptor_bytes_max", config.acceptor_bytes_max),
        ("message_bytes_max", config.message_bytes_max),
        ("reassembly_bytes_max", config.reassembly_bytes_max),
        ("connections_per_node_max", config.connections_per_node_max),
        ("tick_intensity", config.tick_intensity as usize),
    ];
    limits.into_iter().map(|(name, value)| LimitView { name: name.to_owned(), value: value as u64 }).collect()
}

fn us(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
