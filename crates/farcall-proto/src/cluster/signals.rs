//! Who is told when an actor ends: monitors and links, on this node and over channels to others.
//!
//! ```text
//!   watcher's node                            watched node
//!   monitor(..) ──── Monitor { reference } ────►  placed, or at once:
//!        token ◄──── Down { reference, reason } ── the actor ended, or there is none
//!        token ◄──── the channel ended: NoConnection, or NodeShutdown
//! ```
//! A channel is an ordered way to one start of one node, and back; it ends as a whole. Every monitor ends in exactly one
//! [`Down`](Output::Down), unless it is taken back first. A link is the same in both directions at once: when one of the
//! two ends, the other one is told to, once.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;

#[cfg(test)]
mod tests;

/// Why an actor is down, as far as its watcher can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DownReason {
    /// It gave its name back: its guard was dropped, or the name was unregistered.
    Normal,
    /// A handler of it panicked.
    Panicked,
    /// It stopped, or the thread that ran it ended.
    Stopped,
    /// There was no actor of this name when the monitor arrived.
    NoSuchActor,
    /// The connection to its node was lost, or could not be made. It may live.
    NoConnection,
    /// Its node shut down in good order.
    NodeShutdown,
    /// Its node is watched more than it allows (`monitors_max`). It may live.
    Refused,
    /// Its node said a reason that this version does not know.
    Other,
}

impl fmt::Display for DownReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Normal => "it gave its name back",
            Self::Panicked => "a handler of it panicked",
            Self::Stopped => "it stopped",
            Self::NoSuchActor => "there is no actor of this name",
            Self::NoConnection => "the connection to its node is lost, or could not be made",
            Self::NodeShutdown => "its node shut down",
            Self::Refused => "its node keeps no more monitors",
            Self::Other => "its node says a reason that this version does not know",
        })
    }
}

/// What one end of a channel says to the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// Tell me when this actor of yours ends. The number is the watcher's.
    Monitor {
        /// Which monitor.
        reference: u64,
        /// Whom.
        actor: String,
    },
    /// Do not tell me.
    Demonitor {
        /// Which monitor.
        reference: u64,
    },
    /// It has ended. Nothing more comes of this monitor.
    Down {
        /// Which monitor.
        reference: u64,
        /// Why.
        reason: DownReason,
    },
    /// These two are linked.
    Link {
        /// An actor of whoever says this.
        from: String,
        /// An actor of whoever hears this.
        to: String,
    },
    /// They are not.
    Unlink {
        /// An actor of whoever says this.
        from: String,
        /// An actor of whoever hears this.
        to: String,
    },
    /// One of two that are linked has ended. They are linked no more.
    Exit {
        /// The one that has ended, of whoever says this.
        from: String,
        /// The other one.
        to: String,
        /// Why.
        reason: DownReason,
    },
}

/// A channel, by a number that this node gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelId(pub u64);

impl ChannelId {
    /// This node itself: always there.
    pub const OWN: Self = Self(0);
}

/// A monitor, by a number that this node gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MonitorId(pub u64);

/// One registration of an actor of this node: a name used again has another number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ActorId(pub u64);

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output<T> {
    /// Tell this watcher.
    Down {
        /// What it gave when it began to watch.
        token: T,
        /// Why.
        reason: DownReason,
    },
    /// Say when this actor ends, with [`Signals::actor_ended`]. Asked once for each.
    Watch(ActorId),
    /// This actor of this node is linked to one that has ended.
    Exit {
        /// Whom to tell, or to end.
        actor: ActorId,
        /// Over which channel they were linked.
        channel: ChannelId,
        /// Who has ended.
        from: String,
        /// Why.
        reason: DownReason,
    },
    /// There is something to say on this channel.
    Speak(ChannelId),
    /// More waits to be said on this channel than is kept: end it.
    Overflow(ChannelId),
}

/// What bounds the tables.
#[derive(Debug, Clone, Copy)]
pub struct SignalLimits {
    /// Monitors of this node, and links; and each channel's, of the actors here.
    pub monitors_max: usize,
}

impl Default for SignalLimits {
    fn default() -> Self {
        Self { monitors_max: 1 << 20 }
    }
}

/// There are as many monitors or links as `monitors_max` allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there are {limit} monitors and links, the most that monitors_max allows")]
pub struct TooMany {
    /// The limit.
    pub limit: usize,
}

/// Every monitor and link of one node. `T` is what a watcher is told by.
#[derive(Debug)]
pub struct Signals<T> {
    limits: SignalLimits,
    channels: HashMap<ChannelId, Channel>,
    /// Monitors of this node's own.
    asked: HashMap<MonitorId, Asked<T>>,
    /// Actors of this node that somebody watches or is linked to.
    actors: HashMap<ActorId, Actor>,
    next: u64,
}

#[derive(Debug, Default)]
struct Channel {
    /// In the order in which it is said.
    unsaid: VecDeque<Unsaid>,
    asked: HashSet<MonitorId>,
    /// By the number that the watcher gave.
    placed: HashMap<u64, ActorId>,
    links: HashMap<Pair, ActorId>,
    /// Whoever sends was told that there is something.
    told: bool,
}

/// The name of an actor of this node, and of the other one, at the far end of a channel.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Pair {
    own: String,
    other: String,
}

#[derive(Debug)]
enum Unsaid {
    /// Said only if it is still asked.
    Monitor(MonitorId),
    Notice(Notice),
}

#[derive(Debug)]
struct Asked<T> {
    channel: ChannelId,
    actor: String,
    token: T,
    said: bool,
}

#[derive(Debug, Default)]
struct Actor {
    watchers: HashSet<(ChannelId, u64)>,
    links: HashSet<(ChannelId, Pair)>,
}

/// Whom a name of this node belongs to now.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<ActorId>;

impl<T> Signals<T> {
    /// Nobody watches anybody.
    pub fn new(limits: SignalLimits) -> Self {
        let channels = HashMap::from([(ChannelId::OWN, Channel::default())]);
        Self { limits, channels, asked: HashMap::new(), actors: HashMap::new(), next: 0 }
    }

    /// A channel begins; what is to be said on it waits until it is fetched.
    pub fn channel_up(&mut self, channel: ChannelId) {
        self.channels.entry(channel).or_default();
    }

    /// A channel has ended: everything that rested on it is down.
    pub fn channel_down(&mut self, channel: ChannelId, reason: DownReason, out: &mut Vec<Output<T>>) {
        let Some(ended) = self.channels.remove(&channel) else { return };
        for monitor in ended.asked {
            if let Some(asked) = self.asked.remove(&monitor) {
                out.push(Output::Down { token: asked.token, reason });
            }
        }
        for (reference, actor) in ended.placed {
            self.forget(actor, |known| known.watchers.remove(&(channel, reference)));
        }
        for (pair, actor) in ended.links {
            let entry = (channel, pair);
            self.forget(actor, |known| known.links.remove(&entry));
            let (_, Pair { other: from, .. }) = entry;
            out.push(Output::Exit { actor, channel, from, reason });
        }
    }

    /// Watches an actor at the far end of a channel.
    ///
    /// # Errors
    /// [`TooMany`]: nothing has changed. Over a channel that is gone, the watcher is told at once.
    pub fn monitor(
        &mut self,
        channel: ChannelId,
        actor: &str,
        token: T,
        lookup: Lookup<'_>,
        out: &mut Vec<Output<T>>,
    ) -> Result<MonitorId, TooMany> {
        if self.asked.len() >= self.limits.monitors_max {
            return Err(TooMany { limit: self.limits.monitors_max });
        }
        self.next += 1;
        let monitor = MonitorId(self.next);
        let Some(known) = self.channels.get_mut(&channel) else {
            out.push(Output::Down { token, reason: DownReason::NoConnection });
            return Ok(monitor);
        };
        known.asked.insert(monitor);
        self.asked.insert(monitor, Asked { channel, actor: actor.to_owned(), token, said: false });
        self.say(channel, Unsaid::Monitor(monitor), lookup, out);
        Ok(monitor)
    }

    /// As [`Signals::monitor`], where the far end is told of it in another way. None if the channel is gone.
    ///
    /// # Errors
    /// [`TooMany`]: nothing has changed.
    pub fn expect(
        &mut self,
        channel: ChannelId,
        actor: &str,
        token: T,
    ) -> Result<Option<MonitorId>, TooMany> {
        if self.asked.len() >= self.limits.monitors_max {
            return Err(TooMany { limit: self.limits.monitors_max });
        }
        let Some(known) = self.channels.get_mut(&channel) else { return Ok(None) };
        self.next += 1;
        let monitor = MonitorId(self.next);
        known.asked.insert(monitor);
        self.asked.insert(monitor, Asked { channel, actor: actor.to_owned(), token, said: true });
        Ok(Some(monitor))
    }

    /// Watches no longer; gives the watcher back, if it was not told yet.
    pub fn demonitor(&mut self, monitor: MonitorId, out: &mut Vec<Output<T>>) -> Option<T> {
        let asked = self.asked.remove(&monitor)?;
        if let Some(channel) = self.channels.get_mut(&asked.channel) {
            channel.asked.remove(&monitor);
        }
        if asked.said {
            let notice = Notice::Demonitor { reference: monitor.0 };
            self.say(asked.channel, Unsaid::Notice(notice), &|_| None, out);
        }
        Some(asked.token)
    }

    /// Links an actor of this node, `own`, with one at the far end of a channel. Linked once is linked.
    ///
    /// # Errors
    /// [`TooMany`]: nothing has changed. Over a channel that is gone, the own actor is told at once.
    pub fn link(
        &mut self,
        actor: ActorId,
        own: &str,
        channel: ChannelId,
        other: &str,
        lookup: Lookup<'_>,
        out: &mut Vec<Output<T>>,
    ) -> Result<(), TooMany> {
        if !self.channels.contains_key(&channel) {
            let reason = DownReason::NoConnection;
            out.push(Output::Exit { actor, channel, from: other.to_owned(), reason });
            return Ok(());
        }
        let pair = Pair { own: own.to_owned(), other: other.to_owned() };
        if self.place_link(actor, channel, pair, out)? {
            let notice = Notice::Link { from: own.to_owned(), to: other.to_owned() };
            self.say(channel, Unsaid::Notice(notice), lookup, out);
        }
        Ok(())
    }

    /// Ends a link; false if there is none.
    pub fn unlink(&mut self, own: &str, channel: ChannelId, other: &str, out: &mut Vec<Output<T>>) -> bool {
        let pair = Pair { own: own.to_owned(), other: other.to_owned() };
        let found = self.take_link(channel, pair).is_some();
        if found {
            let notice = Notice::Unlink { from: own.to_owned(), to: other.to_owned() };
            self.say(channel, Unsaid::Notice(notice), &|_| None, out);
        }
        found
    }

    /// An actor of this node has ended, or its name is no longer its own.
    pub fn actor_ended(&mut self, actor: ActorId, reason: DownReason, out: &mut Vec<Output<T>>) {
        let Some(ended) = self.actors.remove(&actor) else { return };
        for (channel, reference) in ended.watchers {
            if let Some(known) = self.channels.get_mut(&channel) {
                known.placed.remove(&reference);
                self.say(channel, Unsaid::Notice(Notice::Down { reference, reason }), &|_| None, out);
            }
        }
        for (channel, pair) in ended.links {
            if let Some(known) = self.channels.get_mut(&channel) {
                known.links.remove(&pair);
                let Pair { own: from, other: to } = pair;
                self.say(channel, Unsaid::Notice(Notice::Exit { from, to, reason }), &|_| None, out);
            }
        }
    }

    /// The far end of a channel has said this.
    pub fn handle(
        &mut self,
        channel: ChannelId,
        notice: Notice,
        lookup: Lookup<'_>,
        out: &mut Vec<Output<T>>,
    ) {
        match notice {
            Notice::Monitor { reference, actor } => {
                if let Err(reason) = self.place(channel, reference, lookup(&actor), out) {
                    self.say(channel, Unsaid::Notice(Notice::Down { reference, reason }), lookup, out);
                }
            }
            Notice::Demonitor { reference } => {
                let placed =
                    self.channels.get_mut(&channel).and_then(|known| known.placed.remove(&reference));
                if let Some(actor) = placed {
                    self.forget(actor, |known| known.watchers.remove(&(channel, reference)));
                }
            }
            Notice::Down { reference, reason } => {
                let monitor = MonitorId(reference);
                // Only the one who was asked can tell.
                if let Entry::Occupied(asked) = self.asked.entry(monitor)
                    && asked.get().channel == channel
                {
                    let asked = asked.remove();
                    if let Some(known) = self.channels.get_mut(&channel) {
                        known.asked.remove(&monitor);
                    }
                    out.push(Output::Down { token: asked.token, reason });
                }
            }
            Notice::Link { from, to } => {
                let refused = match lookup(&to) {
                    None => Some(DownReason::NoSuchActor),
                    Some(actor) => {
                        let pair = Pair { own: to.clone(), other: from.clone() };
                        self.place_link(actor, channel, pair, out).err().map(|_| DownReason::Refused)
                    }
                };
                if let Some(reason) = refused {
                    let exit = Notice::Exit { from: to, to: from, reason };
                    self.say(channel, Unsaid::Notice(exit), lookup, out);
                }
            }
            Notice::Unlink { from, to } => {
                self.take_link(channel, Pair { own: to, other: from });
            }
            Notice::Exit { from, to, reason } => {
                let pair = Pair { own: to, other: from.clone() };
                if let Some(actor) = self.take_link(channel, pair) {
                    out.push(Output::Exit { actor, channel, from, reason });
                }
            }
        }
    }

    /// What is to be said next on a channel, so many at most.
    pub fn poll_transmit(&mut self, channel: ChannelId, count_max: usize) -> Vec<Notice> {
        let Some(known) = self.channels.get_mut(&channel) else { return Vec::new() };
        let mut notices = Vec::new();
        while notices.len() < count_max {
            match known.unsaid.pop_front() {
                None => {
                    known.told = false;
                    break;
                }
                Some(Unsaid::Notice(notice)) => notices.push(notice),
                Some(Unsaid::Monitor(monitor)) => notices.extend(monitor_of(&mut self.asked, monitor)),
            }
        }
        notices
    }

    /// How many monitors this node has, and how many monitors and links are kept for its actors.
    pub fn len(&self) -> (usize, usize) {
        let placed = self.channels.values().map(|channel| channel.placed.len() + channel.links.len()).sum();
        (self.asked.len(), placed)
    }

    /// Whether nobody watches anybody.
    pub fn is_empty(&self) -> bool {
        self.len() == (0, 0)
    }

    fn place(
        &mut self,
        channel: ChannelId,
        reference: u64,
        actor: Option<ActorId>,
        out: &mut Vec<Output<T>>,
    ) -> Result<(), DownReason> {
        let actor = actor.ok_or(DownReason::NoSuchActor)?;
        let Some(known) = self.channels.get_mut(&channel) else { return Ok(()) };
        if known.placed.len() >= self.limits.monitors_max {
            return Err(DownReason::Refused);
        }
        match known.placed.entry(reference) {
            // A number used twice: the first one stands.
            Entry::Occupied(_) => return Ok(()),
            Entry::Vacant(place) => place.insert(actor),
        };
        self.watch(actor, out).watchers.insert((channel, reference));
        Ok(())
    }

    /// False if they are linked already.
    fn place_link(
        &mut self,
        actor: ActorId,
        channel: ChannelId,
        pair: Pair,
        out: &mut Vec<Output<T>>,
    ) -> Result<bool, TooMany> {
        let limit = self.limits.monitors_max;
        let Some(known) = self.channels.get_mut(&channel) else { return Ok(false) };
        if known.links.contains_key(&pair) {
            return Ok(false);
        }
        if known.links.len() >= limit {
            return Err(TooMany { limit });
        }
        known.links.insert(pair.clone(), actor);
        self.watch(actor, out).links.insert((channel, pair));
        Ok(true)
    }

    fn take_link(&mut self, channel: ChannelId, pair: Pair) -> Option<ActorId> {
        let actor = self.channels.get_mut(&channel)?.links.remove(&pair)?;
        let entry = (channel, pair);
        self.forget(actor, |known| known.links.remove(&entry));
        Some(actor)
    }

    fn watch(&mut self, actor: ActorId, out: &mut Vec<Output<T>>) -> &mut Actor {
        self.actors.entry(actor).or_insert_with(|| {
            out.push(Output::Watch(actor));
            Actor::default()
        })
    }

    /// It stays among the watched: whoever was asked to say when it ends is not asked twice.
    fn forget(&mut self, actor: ActorId, act: impl FnOnce(&mut Actor) -> bool) {
        if let Some(known) = self.actors.get_mut(&actor) {
            let _was_there = act(known);
        }
    }

    fn say(&mut self, channel: ChannelId, unsaid: Unsaid, lookup: Lookup<'_>, out: &mut Vec<Output<T>>) {
        if channel == ChannelId::OWN {
            let notice = match unsaid {
                Unsaid::Notice(notice) => Some(notice),
                Unsaid::Monitor(monitor) => monitor_of(&mut self.asked, monitor),
            };
            if let Some(notice) = notice {
                self.handle(channel, notice, lookup, out);
            }
            return;
        }
        let limit = self.limits.monitors_max.saturating_mul(UNSAID_PER_MONITOR);
        let Some(known) = self.channels.get_mut(&channel) else { return };
        if known.unsaid.len() >= limit {
            out.push(Output::Overflow(channel));
            return;
        }
        known.unsaid.push_back(unsaid);
        if !std::mem::replace(&mut known.told, true) {
            out.push(Output::Speak(channel));
        }
    }
}

/// A channel keeps so many notices for each monitor it may have: it is asked for, given up, told of, with room for links.
const UNSAID_PER_MONITOR: usize = 4;

/// What to say of a monitor, if it is still wanted.
fn monitor_of<T>(asked: &mut HashMap<MonitorId, Asked<T>>, monitor: MonitorId) -> Option<Notice> {
    let asked = asked.get_mut(&monitor)?;
    asked.said = true;
    Some(Notice::Monitor { reference: monitor.0, actor: asked.actor.clone() })
}
