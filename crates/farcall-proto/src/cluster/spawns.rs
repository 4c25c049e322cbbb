//! Actors that this node started because a peer asked for it: once for each request, and only as long as the peer is there.

use std::collections::{HashMap, HashSet, VecDeque};

use super::signals::ActorId;
use crate::peer::{Incarnation, NodeName};

/// Who asked: one start of a node.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Parent {
    /// Its name.
    pub node: NodeName,
    /// Which start of it.
    pub incarnation: Incarnation,
}

/// A request, by its parent and the number that the parent gave it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SpawnKey {
    /// Who asked.
    pub parent: Parent,
    /// The same for a request that is made again.
    pub token: u64,
}

/// An actor that was started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Child {
    /// Its registration.
    pub actor: ActorId,
    /// The name it was registered under.
    pub name: String,
    /// It stays when its parent goes.
    pub detached: bool,
}

/// What was started for whom.
#[derive(Debug, Default)]
pub struct Spawns {
    started: HashMap<SpawnKey, Child>,
    /// The oldest first.
    order: VecDeque<SpawnKey>,
    /// Those that go when their parent does.
    orphans: HashMap<Parent, HashSet<ActorId>>,
    parents: HashMap<ActorId, Parent>,
}

impl Spawns {
    /// So many requests are remembered, so that one of them that is made again starts nothing; the oldest is forgotten for
    /// the next.
    pub const REMEMBERED_MAX: usize = 65_536;

    /// What this request has started before.
    pub fn find(&self, key: &SpawnKey) -> Option<&Child> {
        self.started.get(key)
    }

    /// This request has started this actor.
    pub fn started(&mut self, key: SpawnKey, child: Child) {
        if !child.detached {
            self.orphans.entry(key.parent.clone()).or_default().insert(child.actor);
            self.parents.insert(child.actor, key.parent.clone());
        }
        if self.order.len() >= Self::REMEMBERED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.started.remove(&oldest);
        }
        self.order.push_back(key.clone());
        self.started.insert(key, child);
    }

    /// An actor has ended. A request for it that is made again still starts nothing.
    pub fn ended(&mut self, actor: ActorId) {
        if let Some(parent) = self.parents.remove(&actor)
            && let Some(children) = self.orphans.get_mut(&parent)
        {
            children.remove(&actor);
            if children.is_empty() {
                self.orphans.remove(&parent);
            }
        }
    }

    /// A parent has gone: gives its actors that are to be ended. If it asks for one of them again it gets another.
    pub fn parent_gone(&mut self, parent: &Parent) -> Vec<ActorId> {
        let children = self.orphans.remove(parent).unwrap_or_default();
        children.iter().for_each(|actor| drop(self.parents.remove(actor)));
        let lost = |child: &Child| children.contains(&child.actor);
        self.started.retain(|key, child| key.parent != *parent || !lost(child));
        let started = &self.started;
        self.order.retain(|key| started.contains_key(key));
        let mut children: Vec<_> = children.into_iter().collect();
        children.sort_unstable();
        children
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(incarnation: u64, token: u64) -> SpawnKey {
        let parent = Parent { node: "a@h".parse().unwrap(), incarnation: Incarnation(incarnation) };
        SpawnKey { parent, token }
    }

    fn child(actor: u64, detached: bool) -> Child {
        Child { actor: ActorId(actor), name: format!("worker {actor}"), detached }
    }

    #[test]
    fn a_request_that_is_made_again_finds_what_it_started_also_when_that_has_ended() {
        let mut spawns = Spawns::default();
        assert_eq!(spawns.find(&key(1, 1)), None);
        spawns.started(key(1, 1), child(7, false));
        spawns.ended(ActorId(7));
        assert_eq!(spawns.find(&key(1, 1)), Some(&child(7, false)));
        assert_eq!((spawns.find(&key(1, 2)), spawns.find(&key(2, 1))), (None, None));
    }

    #[test]
    fn what_is_not_detached_goes_with_its_parent_and_only_with_that_start_of_it() {
        let mut spawns = Spawns::default();
        spawns.started(key(1, 1), child(7, false));
        spawns.started(key(1, 2), child(8, true));
        spawns.started(key(1, 3), child(9, false));
        spawns.started(key(2, 1), child(10, false));
        spawns.ended(ActorId(9));
        assert_eq!(spawns.parent_gone(&key(1, 0).parent), [ActorId(7)]);
        assert_eq!(spawns.parent_gone(&key(1, 0).parent), []);
        // Asked for again it starts another one; what was detached is still there.
        assert_eq!(spawns.find(&key(1, 1)), None);
        assert_eq!(spawns.find(&key(1, 2)), Some(&child(8, true)));
        assert_eq!(spawns.parent_gone(&key(2, 0).parent), [ActorId(10)]);
    }

    #[test]
    fn the_oldest_of_too_many_requests_is_forgotten() {
        let mut spawns = Spawns::default();
        for token in 0..=Spawns::REMEMBERED_MAX as u64 {
            spawns.started(key(1, token), child(token, false));
        }
        assert_eq!(spawns.find(&key(1, 0)), None);
        assert!(spawns.find(&key(1, 1)).is_some());
        assert_eq!(spawns.started.len(), Spawns::REMEMBERED_MAX);
        assert_eq!(spawns.parent_gone(&key(1, 0).parent).len(), Spawns::REMEMBERED_MAX + 1);
        assert!(spawns.parents.is_empty() && spawns.order.is_empty());
    }
}
