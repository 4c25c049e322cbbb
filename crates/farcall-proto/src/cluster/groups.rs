//! Groups: named sets of actors across nodes (Erlang's `pg`).
//!
//! Each node owns its members and nobody else changes them, so there is nothing to agree on: a node tells its peers all of
//! them once and then what changes. Every change has a number, by which a peer that hears of it twice, over two channels,
//! takes it once; a channel is ordered, so it misses none. When a node is gone, so are its members.

mod pick;
mod telling;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use serde::{Deserialize, Serialize};

use super::signals::ChannelId;
use crate::peer::{Incarnation, NodeName};

pub(crate) use pick::below;
pub use pick::{Pick, pick};
pub use telling::{Feed, Withheld};

#[cfg(test)]
mod tests;

/// The longest name of a scope, a group or a member, in bytes.
pub const GROUP_NAME_BYTES_MAX: usize = 255;

/// Which group: groups of the same name in two scopes have nothing to do with each other.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct GroupName {
    /// The scope.
    pub scope: String,
    /// The group.
    pub group: String,
}

impl GroupName {
    /// A group of a scope.
    pub fn new(scope: impl Into<String>, group: impl Into<String>) -> Self {
        Self { scope: scope.into(), group: group.into() }
    }
}

/// A member: an actor by its name on a node.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Member {
    /// Its node.
    pub node: NodeName,
    /// Its name there.
    pub actor: String,
}

/// What became of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupEvent {
    /// An actor is a member, once more if it was one.
    Joined(GroupName, Member),
    /// An actor is a member once less.
    Left(GroupName, Member),
}

impl GroupEvent {
    /// Which group it is about.
    pub fn group(&self) -> &GroupName {
        match self {
            Self::Joined(group, _) | Self::Left(group, _) => group,
        }
    }
}

/// What a node tells of its members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupNotice {
    /// A part of all members, as they were after the change of this number.
    Snapshot {
        /// The number.
        version: u64,
        /// The first part.
        first: bool,
        /// The last part.
        last: bool,
        /// How often each actor is a member.
        members: Vec<(GroupName, String, u32)>,
    },
    /// What has changed since, one after the other.
    Changes {
        /// The number of the first one.
        from: u64,
        /// The changes.
        changes: Vec<Change>,
    },
    /// So many members of yours are kept here. Said first: nobody tells of members before it has heard it.
    Limit {
        /// `group_members_max`.
        members_max: u64,
    },
}

/// One change of a node's own members.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Which group.
    pub group: GroupName,
    /// Which actor of the node.
    pub actor: String,
    /// Joined, or left.
    pub joined: bool,
}

/// Why a change was refused. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GroupError {
    /// A scope or group has no such name.
    #[error("{0:?} is no name of a scope or group: 1 to 255 bytes without control characters")]
    BadName(String),
    /// There are as many as `group_members_max` allows.
    #[error("this node has {limit} members in groups, the most that group_members_max allows")]
    Full {
        /// The limit.
        limit: usize,
    },
    /// It was no member.
    #[error("{actor:?} is no member of {group:?} in scope {scope:?}")]
    NotJoined {
        /// The actor.
        actor: String,
        /// The group.
        group: String,
        /// The scope.
        scope: String,
    },
}

/// What a peer told of its members makes no sense. What was known of it before still holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GroupBreach {
    /// A change was left out.
    #[error("a change of its groups is missing")]
    Gap,
    /// More members than are kept of one peer.
    #[error("it told of more members in groups than the {limit} that group_members_max allows here")]
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// Somebody left who was no member.
    #[error("one left a group that it had not joined")]
    Stranger,
    /// A name that is none.
    #[error("a group or member without a proper name")]
    BadName,
}

/// How often each actor of one node is a member of each group.
type Table = BTreeMap<GroupName, BTreeMap<String, u32>>;

/// The groups that one node knows of.
#[derive(Debug)]
pub struct Groups {
    node: NodeName,
    members_max: usize,
    /// So many members or changes go into one notice.
    notice_max: usize,
    own: Members,
    /// The number of the last own change.
    version: u64,
    /// The last changes, so that whoever is not far behind needs no snapshot.
    recent: VecDeque<Change>,
    /// The number at which some peer was last told of no members any more.
    taken_back: u64,
    /// Peers of which it was said that they are told of none.
    warned: HashSet<NodeName>,
    peers: HashMap<NodeName, Peer>,
}

/// The members of one node.
#[derive(Debug, Default)]
struct Members {
    table: Table,
    count: usize,
}

#[derive(Debug)]
struct Peer {
    incarnation: Incarnation,
    version: u64,
    members: Members,
    /// Parts of snapshots, by the channel that they come over.
    coming: HashMap<ChannelId, (u64, Members)>,
}

impl Groups {
    /// So many changes are kept for those that are behind.
    pub const RECENT_MAX: usize = 4096;
    /// So many members or changes go into one notice at most.
    pub const NOTICE_MAX: usize = 256;

    /// No groups. At most so many members of this node, and as many of each peer.
    pub fn new(node: NodeName, members_max: usize) -> Self {
        let (own, recent, peers) = (Members::default(), VecDeque::new(), HashMap::new());
        let notice_max = Self::NOTICE_MAX;
        let warned = HashSet::new();
        Self { node, members_max, notice_max, own, version: 0, recent, taken_back: 0, warned, peers }
    }

    /// No more than so many members or changes go into one notice, and one at least: where messages have to be small.
    #[must_use]
    pub fn in_notices_of(mut self, members: usize) -> Self {
        self.notice_max = members.clamp(1, Self::NOTICE_MAX);
        self
    }

    /// An actor of this node joins a group.
    ///
    /// # Errors
    /// [`GroupError`]: nothing has changed.
    pub fn join(&mut self, group: GroupName, actor: &str) -> Result<GroupEvent, GroupError> {
        for name in [&group.scope, &group.group] {
            if !is_name(name) {
                return Err(GroupError::BadName(name.chars().take(64).collect()));
            }
        }
        if self.own.count >= self.members_max {
            return Err(GroupError::Full { limit: self.members_max });
        }
        self.own.add(&group, actor, 1);
        self.note(Change { group: group.clone(), actor: actor.to_owned(), joined: true });
        Ok(GroupEvent::Joined(group, self.member(actor)))
    }

    /// An actor of this node leaves a group, once.
    ///
    /// # Errors
    /// [`GroupError::NotJoined`].
    pub fn leave(&mut self, group: GroupName, actor: &str) -> Result<GroupEvent, GroupError> {
        if !self.own.take(&group, actor) {
            let GroupName { scope, group } = group;
            return Err(GroupError::NotJoined { actor: actor.to_owned(), group, scope });
        }
        self.note(Change { group: group.clone(), actor: actor.to_owned(), joined: false });
        Ok(GroupEvent::Left(group, self.member(actor)))
    }

    /// An actor of this node has ended: it leaves every group, as often as it had joined.
    pub fn ended(&mut self, actor: &str) -> Vec<GroupEvent> {
        let groups = self.own.table.iter();
        let its: Vec<_> = groups
            .filter_map(|(group, members)| members.get(actor).map(|times| (group.clone(), *times)))
            .collect();
        let often = its.into_iter().flat_map(|(group, times)| (0..times).map(move |_| group.clone()));
        let often: Vec<_> = often.collect();
        often.into_iter().filter_map(|group| self.leave(group, actor).ok()).collect()
    }

    /// A peer has told this over a channel. Gives what has changed by it.
    ///
    /// # Errors
    /// [`GroupBreach`]: the channel is not to be believed any longer.
    pub fn handle(
        &mut self,
        channel: ChannelId,
        node: &NodeName,
        incarnation: Incarnation,
        notice: GroupNotice,
    ) -> Result<Vec<GroupEvent>, GroupBreach> {
        // It tells of no members, and is heard by the feed of its channel.
        if let GroupNotice::Limit { .. } = notice {
            return Ok(Vec::new());
        }
        let limit = self.members_max;
        let peer = self.peers.entry(node.clone()).or_insert_with(|| Peer::new(incarnation));
        let mut events = Vec::new();
        // Its predecessor has not been missed yet.
        let gone = (peer.incarnation != incarnation).then(|| std::mem::replace(peer, Peer::new(incarnation)));
        if let Some(gone) = &gone {
            difference(node, &gone.members.table, &Table::new(), &mut events);
        }
        match peer.hear(channel, node, notice, limit) {
            Ok(news) => {
                events.extend(news);
                Ok(events)
            }
            Err(breach) => {
                // No event tells that its predecessor left, so it has not.
                if let Some(gone) = gone {
                    *peer = gone;
                }
                Err(breach)
            }
        }
    }

    /// A channel has ended: what was half told over it is forgotten. What was told stays until its node is gone.
    pub fn channel_down(&mut self, channel: ChannelId, node: &NodeName) {
        if let Some(peer) = self.peers.get_mut(node) {
            peer.coming.remove(&channel);
        }
    }

    /// A start of a node is gone, and all its members.
    pub fn node_down(&mut self, node: &NodeName, incarnation: Incarnation) -> Vec<GroupEvent> {
        self.warned.remove(node);
        let mut events = Vec::new();
        if self.peers.get(node).is_some_and(|peer| peer.incarnation == incarnation)
            && let Some(gone) = self.peers.remove(node)
        {
            difference(node, &gone.members.table, &Table::new(), &mut events);
        }
        events
    }

    /// Whether any actor of this node was ever a member.
    pub fn is_used(&self) -> bool {
        self.version > 0
    }

    /// The members of this node, as often as each has joined.
    pub fn local_members(&self, group: &GroupName) -> Vec<Member> {
        self.own.of(&self.node, group).collect()
    }

    /// The members on all nodes, as often as each has joined; those of this node first.
    pub fn members(&self, group: &GroupName) -> Vec<Member> {
        let mut others: Vec<_> =
            self.peers.iter().flat_map(|(node, peer)| peer.members.of(node, group)).collect();
        others.sort();
        let mut members = self.local_members(group);
        members.extend(others);
        members
    }

    /// The groups of a scope that have a member anywhere.
    pub fn groups(&self, scope: &str) -> Vec<String> {
        self.all().into_iter().filter(|name| name.scope == scope).map(|name| name.group).collect()
    }

    /// The groups of all scopes that have a member anywhere, sorted.
    pub fn all(&self) -> Vec<GroupName> {
        let tables = self.peers.values().map(|peer| &peer.members.table).chain([&self.own.table]);
        let mut names: Vec<_> = tables.flat_map(BTreeMap::keys).cloned().collect();
        names.sort();
        names.dedup();
        names
    }

    /// How many members this node has, and how many it knows of others.
    pub fn len(&self) -> (usize, usize) {
        (self.own.count, self.peers.values().map(|peer| peer.members.count).sum())
    }

    /// Whether there is no member anywhere.
    pub fn is_empty(&self) -> bool {
        self.len() == (0, 0)
    }

    fn member(&self, actor: &str) -> Member {
        Member { node: self.node.clone(), actor: actor.to_owned() }
    }

    fn note(&mut self, change: Change) {
        self.version += 1;
        if self.recent.len() >= Self::RECENT_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back(change);
    }
}

impl Peer {
    fn new(incarnation: Incarnation) -> Self {
        Self { incarnation, version: 0, members: Members::default(), coming: HashMap::new() }
    }

    /// What has changed by a notice; nothing if it is refused.
    fn hear(
        &mut self,
        channel: ChannelId,
        node: &NodeName,
        notice: GroupNotice,
        limit: usize,
    ) -> Result<Vec<GroupEvent>, GroupBreach> {
        match notice {
            GroupNotice::Limit { .. } => Ok(Vec::new()),
            GroupNotice::Snapshot { version, first, last, members } => {
                let mut so_far = match (first, self.coming.remove(&channel)) {
                    (true, _) => Members::default(),
                    (false, Some((known, so_far))) if known == version => so_far,
                    (false, _) => return Err(GroupBreach::Gap),
                };
                for (group, actor, times) in members {
                    if !is_name(&group.scope) || !is_name(&group.group) || !is_name(&actor) {
                        return Err(GroupBreach::BadName);
                    }
                    if so_far.count.saturating_add(times as usize) > limit {
                        return Err(GroupBreach::TooMany { limit });
                    }
                    so_far.add(&group, &actor, times);
                }
                let mut events = Vec::new();
                if !last {
                    self.coming.insert(channel, (version, so_far));
                } else if version > self.version {
                    difference(node, &self.members.table, &so_far.table, &mut events);
                    (self.version, self.members) = (version, so_far);
                }
                Ok(events)
            }
            GroupNotice::Changes { from, changes } => {
                let (before, mut events) = (self.version, Vec::new());
                let heard = self.take_all(node, from, changes, limit, &mut events);
                if heard.is_err() {
                    self.undo(events.drain(..).rev());
                    self.version = before;
                }
                heard.map(|()| events)
            }
        }
    }

    fn take_all(
        &mut self,
        node: &NodeName,
        from: u64,
        changes: Vec<Change>,
        limit: usize,
        events: &mut Vec<GroupEvent>,
    ) -> Result<(), GroupBreach> {
        for (nth, change) in (0..).zip(changes) {
            // Nobody has changed so often.
            let version = from.checked_add(nth).ok_or(GroupBreach::Gap)?;
            if version <= self.version {
                continue;
            }
            if version - self.version > 1 {
                return Err(GroupBreach::Gap);
            }
            events.push(self.take(node, change, limit)?);
            self.version = version;
        }
        Ok(())
    }

    /// Takes back what was taken; the last one first.
    fn undo(&mut self, events: impl Iterator<Item = GroupEvent>) {
        for event in events {
            match event {
                GroupEvent::Joined(group, member) => drop(self.members.take(&group, &member.actor)),
                GroupEvent::Left(group, member) => self.members.add(&group, &member.actor, 1),
            }
        }
    }

    fn take(&mut self, node: &NodeName, change: Change, limit: usize) -> Result<GroupEvent, GroupBreach> {
        let Change { group, actor, joined } = change;
        if joined {
            if !is_name(&group.scope) || !is_name(&group.group) || !is_name(&actor) {
                return Err(GroupBreach::BadName);
            }
            if self.members.count >= limit {
                return Err(GroupBreach::TooMany { limit });
            }
            self.members.add(&group, &actor, 1);
            return Ok(GroupEvent::Joined(group, Member { node: node.clone(), actor }));
        }
        if !self.members.take(&group, &actor) {
            return Err(GroupBreach::Stranger);
        }
        Ok(GroupEvent::Left(group, Member { node: node.clone(), actor }))
    }
}

impl Members {
    fn add(&mut self, group: &GroupName, actor: &str, times: u32) {
        if times == 0 {
            return;
        }
        let members = self.table.entry(group.clone()).or_default();
        *members.entry(actor.to_owned()).or_default() += times;
        self.count += times as usize;
    }

    /// False if it was no member.
    fn take(&mut self, group: &GroupName, actor: &str) -> bool {
        let Some(members) = self.table.get_mut(group) else { return false };
        let Some(times) = members.get_mut(actor) else { return false };
        *times -= 1;
        self.count -= 1;
        if *times == 0 {
            members.remove(actor);
        }
        if members.is_empty() {
            self.table.remove(group);
        }
        true
    }

    fn of<'a>(&'a self, node: &'a NodeName, group: &GroupName) -> impl Iterator<Item = Member> + 'a {
        let members = self.table.get(group).into_iter().flatten();
        members.flat_map(move |(actor, times)| {
            (0..*times).map(move |_| Member { node: node.clone(), actor: actor.clone() })
        })
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= GROUP_NAME_BYTES_MAX && !name.chars().any(char::is_control)
}

/// What makes `after` of `before`.
fn difference(node: &NodeName, before: &Table, after: &Table, events: &mut Vec<GroupEvent>) {
    let times = |table: &Table, group: &GroupName, actor: &String| {
        table.get(group).and_then(|members| members.get(actor)).copied().unwrap_or_default()
    };
    let member = |actor: &String| Member { node: node.clone(), actor: actor.clone() };
    for (group, members) in before {
        for (actor, before) in members {
            let lost = before.saturating_sub(times(after, group, actor));
            events.extend((0..lost).map(|_| GroupEvent::Left(group.clone(), member(actor))));
        }
    }
    for (group, members) in after {
        for (actor, after) in members {
            let won = after.saturating_sub(times(before, group, actor));
            events.extend((0..won).map(|_| GroupEvent::Joined(group.clone(), member(actor))));
        }
    }
}
