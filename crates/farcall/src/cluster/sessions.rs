//! Sessions with other nodes, and what rests on them: monitors and links.
//!
//! It is decided by [`farcall_proto::cluster::signals`]; here are the connections and actors that it is decided about.
//! Whatever it decides is done in that order: watchers are told under the lock, and what could call back is done after it.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use actix::Recipient;
use actix_rt::ArbiterHandle;
use farcall_proto::cluster::groups::{Feed, GroupBreach, GroupEvent, Groups};
use farcall_proto::cluster::members::{LinkId, Peer};
use farcall_proto::cluster::sessions::Pauses;
use farcall_proto::cluster::signals::{
    ActorId, ChannelId, DownReason, Lookup, MonitorId, Output, SignalLimits, Signals, TooMany,
};
use farcall_proto::cluster::spawns::Spawns;
use farcall_proto::peer::{Incarnation, NodeName, Target};
use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::sync::{Notify, broadcast, oneshot};

use super::attending;
use super::ear::Ear;
use super::factories::Factory;
use super::monitors::{Down, Exit, LinkError, Monitor, ToWhom, Watcher};
use super::sharing::groups_of;
use super::wire::{NOTICES_PER_BATCH, Said};
use crate::batch::Batch;
use crate::order::{End, EndGuard, Order, Released};
use crate::registry::Registration;
use crate::rpc::Caller;

/// What this node shares with others, and is told by them.
pub(crate) struct Cluster {
    own: Weak<Cluster>,
    pub(super) caller: Arc<Caller>,
    arbiter: ArbiterHandle,
    /// Requests for actors on other nodes.
    tokens: AtomicU64,
    /// So many notices of monitors and links go together: half of what a message may have, with the longest names.
    notices_max: usize,
    pub(super) inner: Mutex<Inner>,
}

pub(super) struct Inner {
    node: NodeName,
    signals: Signals<Watcher>,
    pub(super) sessions: HashMap<ChannelId, Session, ahash::RandomState>,
    /// Those that this node began, by the other one's name.
    asked: HashMap<NodeName, ChannelId, ahash::RandomState>,
    /// Those that peers began, by their connection and their own number.
    answered: HashMap<(LinkId, u64), ChannelId, ahash::RandomState>,
    /// Actors that somebody watches.
    pub(super) watched: HashMap<ActorId, Watched, ahash::RandomState>,
    traps: HashMap<ActorId, Recipient<Exit>, ahash::RandomState>,
    /// Sessions that have ended and are still spoken of.
    gone: Vec<ChannelId>,
    pub(super) factories: HashMap<Box<str>, Arc<Factory>, ahash::RandomState>,
    pub(super) spawns: Spawns,
    pub(super) groups: Groups,
    /// Made with its first subscriber: its places are reserved at once.
    pub(super) group_events: Option<broadcast::Sender<GroupEvent>>,
    /// When sessions that were lost are begun again.
    pub(super) pauses: Pauses,
    /// Groups are used here: sessions are begun wherever this node asks.
    pub(super) shares: bool,
    last: u64,
}

pub(super) struct Session {
    pub(super) node: NodeName,
    /// Its connection, once it is known.
    pub(super) link: Option<LinkId>,
    /// Whom groups are shared with, once it is known.
    pub(super) sharer: Option<Incarnation>,
    pub(super) feed: Feed,
    /// Of whoever sends what is to be said.
    pub(super) speak: Arc<Notify>,
    /// Told when its connection is known, or it has ended.
    opened: Arc<Notify>,
    key: Option<(LinkId, u64)>,
}

pub(super) struct Watched {
    name: Arc<str>,
    pub(super) recipient: Recipient<Batch>,
    /// Dropped, the actor need not say when it ends.
    _release: oneshot::Sender<Released>,
}

/// What is asked of an actor after the lock.
pub(super) type After = (Recipient<Batch>, Order);

/// One that has ended meanwhile drops the order, and so says that it has ended.
pub(super) fn obey((recipient, order): After) {
    recipient.do_send(order.into());
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cluster")
    }
}

impl Cluster {
    /// Hears of connections and names of this node from now on. Its tasks run on this arbiter.
    pub(crate) fn new(caller: Arc<Caller>, arbiter: ArbiterHandle) -> Arc<Self> {
        let limits = SignalLimits { monitors_max: caller.context.config.monitors_max };
        let inner = Inner {
            node: caller.context.name.clone(),
            signals: Signals::new(limits),
            sessions: HashMap::default(),
            asked: HashMap::default(),
            answered: HashMap::default(),
            watched: HashMap::default(),
            traps: HashMap::default(),
            gone: Vec::new(),
            factories: HashMap::default(),
            spawns: Spawns::default(),
            groups: groups_of(&caller),
            group_events: None,
            pauses: Pauses::default(),
            shares: false,
            last: 0,
        };
        let half = caller.context.config.message_bytes_max / 2;
        let notices_max = (half / (2 * NAME_BYTES)).clamp(1, NOTICES_PER_BATCH);
        let cluster = Arc::new_cyclic(|own| Self {
            own: own.clone(),
            caller,
            arbiter,
            tokens: AtomicU64::new(0),
            notices_max,
            inner: Mutex::new(inner),
        });
        let context = &cluster.caller.context;
        context.members.set_listener(Arc::new(Ear(cluster.own.clone())));
        let weak = cluster.own.clone();
        context.registry.tell_when_over(move |id| {
            if let Some(cluster) = weak.upgrade() {
                let panicked = End::now() == End::Panicked;
                let reason = if panicked { DownReason::Panicked } else { DownReason::Normal };
                cluster.actor_ended(ActorId(id), reason);
            }
        });
        cluster
    }

    /// What its requests go through.
    pub(crate) fn caller(&self) -> &Arc<Caller> {
        &self.caller
    }

    // ----- what an application asks for -----

    /// Watches an actor; `Monitor` is told.
    pub(crate) fn monitor(&self, target: &Target, actor: &str) -> Result<Monitor, TooMany> {
        let (sender, receiver) = oneshot::channel();
        let down = down_of(target, actor);
        let watcher = Watcher { down: Box::new(down.clone()), to: ToWhom::Waiting(sender) };
        let id = self.watch(target.node(), actor, watcher)?;
        Ok(Monitor::new(self.own.clone(), id, receiver, down))
    }

    /// Watches an actor; this one is told.
    pub(crate) fn monitor_for(
        &self,
        target: &Target,
        actor: &str,
        to: Recipient<Down>,
    ) -> Result<MonitorId, TooMany> {
        let watcher = Watcher { down: Box::new(down_of(target, actor)), to: ToWhom::Actor(to) };
        self.watch(target.node(), actor, watcher)
    }

    fn watch(&self, node: &NodeName, actor: &str, watcher: Watcher) -> Result<MonitorId, TooMany> {
        let channel = self.way_to(node);
        self.act(None, |inner, lookup, out| inner.signals.monitor(channel, actor, watcher, lookup, out))
    }

    /// Ends a monitor; false if it has ended.
    pub(crate) fn demonitor(&self, id: MonitorId) -> bool {
        self.act(None, |inner, _, out| inner.signals.demonitor(id, out)).is_some()
    }

    /// Links an actor of this node to another one.
    pub(crate) fn link(&self, own: &str, target: &Target, other: &str) -> Result<(), LinkError> {
        let no_such_actor = || LinkError::NoSuchActor(own.to_owned());
        if !self.caller.context.registry.contains(own) {
            return Err(no_such_actor());
        }
        let channel = self.way_to(target.node());
        self.act(None, |inner, lookup, out| {
            let actor = lookup(own).ok_or_else(no_such_actor)?;
            Ok(inner.signals.link(actor, own, channel, other, lookup, out)?)
        })
    }

    /// Ends a link, whichever side began it.
    pub(crate) fn unlink(&self, own: &str, target: &Target, other: &str) -> bool {
        self.act(None, |inner, _, out| {
            let node = target.node();
            let own_node = (*node == self.caller.context.name).then_some(ChannelId::OWN);
            let to_it = inner.sessions.iter().filter(|(_, session)| session.node == *node).map(|(id, _)| *id);
            let channels: Vec<_> = to_it.chain(own_node).collect();
            // Each of them: the other side may have linked the two as well.
            channels.into_iter().filter(|channel| inner.signals.unlink(own, *channel, other, out)).count() > 0
        })
    }

    /// Exits of whoever is linked to an actor of this node go there, instead of ending it.
    pub(crate) fn trap_exits(&self, own: &str, to: Recipient<Exit>) -> Result<(), LinkError> {
        self.act(None, |inner, lookup, _| {
            let actor = lookup(own).ok_or_else(|| LinkError::NoSuchActor(own.to_owned()))?;
            inner.traps.insert(actor, to);
            Ok(())
        })
    }

    /// Monitors of this node, and monitors and links kept for its actors.
    pub(crate) fn watchers(&self) -> (usize, usize) {
        self.inner.lock().signals.len()
    }

    /// The number of the next request for an actor.
    pub(super) fn next_token(&self) -> u64 {
        self.tokens.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// A session with a node whose connection is known. None if there can be none.
    pub(super) async fn ready(&self, node: &NodeName) -> Option<ChannelId> {
        let channel = self.channel_to(node);
        loop {
            let opened = self.inner.lock().sessions.get(&channel)?.opened.clone();
            let opened = opened.notified();
            futures::pin_mut!(opened);
            opened.as_mut().enable();
            if self.inner.lock().sessions.get(&channel)?.link.is_some() {
                return Some(channel);
            }
            opened.await;
        }
    }

    /// A monitor that the far end is told of in another way.
    pub(super) fn expect(
        &self,
        channel: ChannelId,
        target: &Target,
        actor: &str,
    ) -> Result<Option<Monitor>, TooMany> {
        let (sender, receiver) = oneshot::channel();
        let down = down_of(target, actor);
        let watcher = Watcher { down: Box::new(down.clone()), to: ToWhom::Waiting(sender) };
        let id = self.act(None, |inner, _, _| inner.signals.expect(channel, actor, watcher))?;
        Ok(id.map(|id| Monitor::new(self.own.clone(), id, receiver, down)))
    }

    /// The way to a node for what an application asks: where this node asks over no connection and the other one has begun a
    /// session, that one. It may be a node that cannot be dialled.
    fn way_to(&self, node: &NodeName) -> ChannelId {
        // Outside of the lock: connections that end take it.
        let asks = self.caller.clients.connections(node) > 0;
        if !asks {
            let inner = self.inner.lock();
            let its = |(channel, session): (&ChannelId, &Session)| {
                (session.node == *node && session.key.is_some()).then_some(*channel)
            };
            if let Some(channel) = inner.sessions.iter().find_map(its) {
                return channel;
            }
        }
        self.channel_to(node)
    }

    /// The way to a node: a session that is there, or one that begins now.
    pub(super) fn channel_to(&self, node: &NodeName) -> ChannelId {
        if *node == self.caller.context.name {
            return ChannelId::OWN;
        }
        let mut inner = self.inner.lock();
        if let Some(channel) = inner.asked.get(node) {
            return *channel;
        }
        let (channel, speak) = inner.begin(node.clone(), None, None, None);
        inner.asked.insert(node.clone(), channel);
        drop(inner);
        let (cluster, node) = (self.own.clone(), node.clone());
        let begun = self.arbiter.spawn_fn(move || {
            if let Some(cluster) = cluster.upgrade() {
                actix_rt::spawn(attending::ask(cluster, channel, node, speak));
            }
        });
        if !begun {
            // The arbiter has ended, and the node with it.
            self.channel_down(channel, DownReason::NoConnection);
        }
        channel
    }

    // ----- what peers and connections say -----

    /// A peer begins a session on this connection. None if it has begun this one already.
    pub(super) fn attended(
        &self,
        peer: &Peer,
        link: LinkId,
        number: u64,
    ) -> Option<(ChannelId, Arc<Notify>)> {
        let mut inner = self.inner.lock();
        let key = (link, number);
        if inner.answered.contains_key(&key) {
            return None;
        }
        let begun = inner.begin(peer.name.clone(), Some(link), self.sharer(peer), Some(key));
        inner.answered.insert(key, begun.0);
        Some(begun)
    }

    /// The session that a peer began with this number on this connection.
    pub(super) fn session_of(&self, link: LinkId, number: u64) -> Option<ChannelId> {
        self.inner.lock().answered.get(&(link, number)).copied()
    }

    /// A session of this node has its connection.
    pub(super) fn attending(&self, channel: ChannelId, link: LinkId, node: &NodeName) {
        let peer = self.caller.context.members.behind(link, node);
        let sharer = peer.as_ref().and_then(|peer| self.sharer(peer));
        if let Some(session) = self.inner.lock().sessions.get_mut(&channel) {
            (session.link, session.sharer) = (Some(link), sharer);
            session.opened.notify_waiters();
        }
    }

    /// The far end has said this.
    pub(super) fn handle(&self, channel: ChannelId, notices: Vec<Said>) {
        let peer = self.inner.lock().sessions.get(&channel).map(|session| session.node.clone());
        let Some(peer) = peer else { return };
        let breach = self.act(Some(&peer), |inner, lookup, out| {
            for notice in notices {
                match notice {
                    Said::Signal(notice) => inner.signals.handle(channel, notice, lookup, out),
                    Said::Groups(notice) => inner.hear_of_groups(channel, notice)?,
                }
            }
            Ok(())
        });
        if let Err(breach) = breach {
            let breach: GroupBreach = breach;
            self.caller.context.log_limited(log::Level::Error, "groups", &peer, breach);
            self.channel_down(channel, DownReason::NoConnection);
        }
    }

    /// What is to be said next.
    pub(super) fn unsaid(&self, channel: ChannelId) -> Vec<Said> {
        let mut inner = self.inner.lock();
        let Inner { signals, sessions, groups, .. } = &mut *inner;
        let signals = signals.poll_transmit(channel, self.notices_max).into_iter().map(Said::Signal);
        let session = sessions.get_mut(&channel).filter(|session| session.sharer.is_some());
        let (of_groups, withheld) = session.map_or((None, None), |session| {
            (groups.poll(&mut session.feed), groups.withheld(&session.node, &session.feed))
        });
        let said = signals.chain(of_groups.map(Said::Groups)).collect();
        drop(inner);
        if let Some(withheld) = withheld {
            let context = &self.caller.context;
            context.log_limited(log::Level::Warn, "groups_withheld", &withheld.peer, &withheld);
        }
        said
    }

    /// Whether a session has not ended.
    pub(super) fn is_up(&self, channel: ChannelId) -> bool {
        self.inner.lock().sessions.contains_key(&channel)
    }

    /// A session has ended: whatever rested on it is down.
    pub(super) fn channel_down(&self, channel: ChannelId, reason: DownReason) {
        self.act(None, |inner, _, out| inner.end(channel, reason, out));
    }

    /// Ends every session: this node shuts down.
    pub(crate) fn shut_down(&self) {
        self.act(None, |inner, _, out| {
            let all: Vec<_> = inner.sessions.keys().copied().collect();
            all.into_iter().for_each(|channel| inner.end(channel, DownReason::NodeShutdown, out));
        });
    }

    fn actor_ended(&self, actor: ActorId, reason: DownReason) {
        self.act(None, |inner, _, out| {
            inner.traps.remove(&actor);
            inner.spawns.ended(actor);
            let left = inner.watched.get(&actor).map(|watched| watched.name.clone());
            let left = left.map(|name| inner.groups.ended(&name)).unwrap_or_default();
            inner.tell_groups(left, true);
            inner.signals.actor_ended(actor, reason, out);
        });
        // Its guard is dropped outside of the lock.
        let released = self.inner.lock().watched.remove(&actor);
        drop(released);
    }

    /// Changes something, and does what follows. Names are looked up as `peer` may see them; none is this node itself.
    pub(super) fn act<R>(
        &self,
        peer: Option<&NodeName>,
        change: impl FnOnce(&mut Inner, Lookup<'_>, &mut Vec<Output<Watcher>>) -> R,
    ) -> R {
        let registry = &self.caller.context.registry;
        let found: RefCell<HashMap<ActorId, Arc<Registration>>> = RefCell::default();
        let lookup = |name: &str| {
            let permitted = peer.is_none_or(|peer| registry.permits_peer(peer, name));
            let registration = registry.find(name).filter(|_| permitted)?;
            let actor = ActorId(registration.id());
            found.borrow_mut().insert(actor, registration);
            Some(actor)
        };
        let (mut out, mut after) = (Vec::new(), Vec::new());
        let mut inner = self.inner.lock();
        let result = change(&mut inner, &lookup, &mut out);
        while !out.is_empty() {
            for output in std::mem::take(&mut out) {
                match output {
                    Output::Watch(actor) => {
                        let found = found.borrow().get(&actor).cloned();
                        after.extend(found.and_then(|found| self.watch_end(&mut inner, actor, &found)));
                    }
                    output => after.extend(inner.follow(output, &mut out)),
                }
            }
        }
        let gone = std::mem::take(&mut inner.gone);
        gone.iter().for_each(|channel| drop(inner.sessions.remove(channel)));
        drop(inner);
        after.into_iter().for_each(obey);
        result
    }

    /// Asks an actor to say when it ends, once.
    pub(super) fn watch_end(&self, inner: &mut Inner, actor: ActorId, found: &Registration) -> Option<After> {
        if inner.watched.contains_key(&actor) {
            return None;
        }
        let (release, released) = oneshot::channel();
        let recipient = found.recipient.clone();
        inner.watched.insert(
            actor,
            Watched { name: found.name.clone(), recipient: recipient.clone(), _release: release },
        );
        let weak = self.own.clone();
        let guard = EndGuard::new(move |end| {
            if let Some(cluster) = weak.upgrade() {
                let panicked = end == End::Panicked;
                let reason = if panicked { DownReason::Panicked } else { DownReason::Stopped };
                cluster.actor_ended(actor, reason);
            }
        });
        Some((recipient, Order::Watch(guard, released)))
    }
}

impl Inner {
    fn begin(
        &mut self,
        node: NodeName,
        link: Option<LinkId>,
        sharer: Option<Incarnation>,
        key: Option<(LinkId, u64)>,
    ) -> (ChannelId, Arc<Notify>) {
        self.last += 1;
        let channel = ChannelId(self.last);
        let speak = Arc::new(Notify::new());
        self.signals.channel_up(channel);
        let (feed, opened) = (Feed::default(), Arc::default());
        let session = Session { node, link, sharer, feed, speak: speak.clone(), opened, key };
        self.sessions.insert(channel, session);
        (channel, speak)
    }

    fn end(&mut self, channel: ChannelId, reason: DownReason, out: &mut Vec<Output<Watcher>>) {
        let Some(session) = self.sessions.get(&channel) else { return };
        if self.asked.get(&session.node) == Some(&channel) {
            self.asked.remove(&session.node);
        }
        if let Some(key) = session.key {
            self.answered.remove(&key);
        }
        session.speak.notify_one();
        session.opened.notify_waiters();
        self.groups.channel_down(channel, &session.node);
        self.signals.channel_down(channel, reason, out);
        self.gone.push(channel);
    }

    pub(super) fn end_those(
        &mut self,
        which: impl Fn(&Session) -> bool,
        reason: DownReason,
        out: &mut Vec<Output<Watcher>>,
    ) {
        let chosen = self.sessions.iter().filter(|(_, session)| which(session)).map(|(channel, _)| *channel);
        let chosen: Vec<_> = chosen.collect();
        chosen.into_iter().for_each(|channel| self.end(channel, reason, out));
    }

    /// Does what was decided, but for orders, which are given after the lock.
    fn follow(&mut self, output: Output<Watcher>, out: &mut Vec<Output<Watcher>>) -> Option<After> {
        match output {
            Output::Watch(_) => {}
            Output::Down { token, reason } => token.tell(reason),
            Output::Speak(channel) => {
                if let Some(session) = self.sessions.get(&channel) {
                    session.speak.notify_one();
                }
            }
            Output::Overflow(channel) => self.end(channel, DownReason::NoConnection, out),
            Output::Exit { actor, channel, from, reason } => {
                let watched = self.watched.get(&actor)?;
                if let Some(trap) = self.traps.get(&actor) {
                    let node = self.sessions.get(&channel).map_or(&self.node, |session| &session.node);
                    let own = watched.name.to_string();
                    // Beyond the mailbox's capacity: one message for each link of its actor.
                    trap.do_send(Exit { own, node: node.clone(), actor: from, reason });
                } else if reason != DownReason::Normal {
                    return Some((watched.recipient.clone(), Order::Stop));
                }
            }
        }
        None
    }
}

/// The longest name of an actor or a group, with what stands around it.
pub(super) const NAME_BYTES: usize = 272;

fn down_of(target: &Target, actor: &str) -> Down {
    Down { node: target.node().clone(), actor: actor.to_owned(), reason: DownReason::NoConnection }
}
