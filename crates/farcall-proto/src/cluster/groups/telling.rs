//! What a node tells of its own members, and to whom it tells nothing.
//!
//! Nothing is told before the far end has said how many members it keeps of a peer. When there are more, it is told of none,
//! which takes back what it was told before; and of all, once they fit again. A session with it goes on meanwhile.

use std::collections::VecDeque;

use super::{GroupNotice, Groups};
use crate::peer::NodeName;

/// How far one channel is.
#[derive(Debug, Default)]
pub struct Feed {
    /// The far end was told how many members are kept of it.
    introduced: bool,
    /// How many the far end keeps, once it has said so.
    keeps: Option<usize>,
    /// They are too many for the far end, and it was told of none.
    withheld: bool,
    /// The number of the last change that was told.
    pub(super) told: Option<u64>,
    /// What is left of a snapshot.
    parts: VecDeque<GroupNotice>,
}

/// The members of this node are more than a peer keeps: it is told of none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{peer} is told of no members of groups: there are {members} here, it keeps {keeps} (its group_members_max; here that is \
     {limit}): raise it there to what it is here"
)]
pub struct Withheld {
    /// The peer.
    pub peer: NodeName,
    /// The members of this node.
    pub members: usize,
    /// How many the peer keeps.
    pub keeps: usize,
    /// How many this node may have.
    pub limit: usize,
}

impl Feed {
    /// The far end has said this. True if there may be something to tell it now.
    pub fn hear(&mut self, notice: &GroupNotice) -> bool {
        match notice {
            // Once, at the beginning: a limit that moves would have everything told again each time.
            GroupNotice::Limit { members_max } if self.keeps.is_none() => {
                self.keeps = Some(usize::try_from(*members_max).unwrap_or(usize::MAX));
                true
            }
            _ => false,
        }
    }
}

impl Groups {
    /// What to tell next over a channel.
    pub fn poll(&mut self, feed: &mut Feed) -> Option<GroupNotice> {
        if !std::mem::replace(&mut feed.introduced, true) {
            return Some(GroupNotice::Limit { members_max: self.members_max as u64 });
        }
        let keeps = feed.keeps?;
        if self.own.count > keeps {
            return self.withhold(feed);
        }
        if std::mem::take(&mut feed.withheld) {
            feed.told = None;
        }
        if let Some(part) = feed.parts.pop_front() {
            return Some(part);
        }
        let told = match feed.told {
            Some(told) if told == self.version => return None,
            // Nothing was ever joined here: nobody has to be told.
            None if self.version == 0 => return None,
            told => told,
        };
        let pending = told.and_then(|told| self.pending(told, keeps));
        match (told, pending) {
            (Some(told), Some(skip)) => {
                let changes: Vec<_> = self.recent.iter().skip(skip).take(self.notice_max).cloned().collect();
                feed.told = Some(told + changes.len() as u64);
                Some(GroupNotice::Changes { from: told + 1, changes })
            }
            _ => {
                feed.told = Some(self.version);
                feed.parts = self.snapshot();
                feed.parts.pop_front()
            }
        }
    }

    /// What to warn of behind [`poll`](Self::poll): once, until they fit again or the peer is gone.
    pub fn withheld(&mut self, peer: &NodeName, feed: &Feed) -> Option<Withheld> {
        let keeps = feed.keeps?;
        if !feed.withheld {
            if self.own.count <= keeps {
                self.warned.remove(peer);
            }
            return None;
        }
        let (members, limit) = (self.own.count, self.members_max);
        self.warned.insert(peer.clone()).then(|| Withheld { peer: peer.clone(), members, keeps, limit })
    }

    /// Takes back what the far end was told, once.
    fn withhold(&mut self, feed: &mut Feed) -> Option<GroupNotice> {
        feed.parts.clear();
        if std::mem::replace(&mut feed.withheld, true) {
            return None;
        }
        (self.taken_back, feed.told) = (self.version, Some(self.version));
        let (version, members) = (self.version, Vec::new());
        Some(GroupNotice::Snapshot { version, first: true, last: true, members })
    }

    /// How many of the recent changes to skip, if the ones behind it lead whoever knows this number to what is now; none if
    /// everything has to be told.
    fn pending(&self, told: u64, keeps: usize) -> Option<usize> {
        let behind = usize::try_from(self.version.checked_sub(told)?).ok()?;
        let skip = self.recent.len().checked_sub(behind)?;
        // Over another channel it may have been taken back since.
        if told < self.taken_back {
            return None;
        }
        // One after the other, they must at no time be more than the far end keeps.
        let left = self.recent.iter().skip(skip).filter(|change| !change.joined).count();
        (self.own.count.saturating_add(left) <= keeps).then_some(skip)
    }

    fn snapshot(&self) -> VecDeque<GroupNotice> {
        let entries = self.own.table.iter().flat_map(|(group, members)| {
            members.iter().map(move |(actor, times)| (group.clone(), actor.clone(), *times))
        });
        let entries: Vec<_> = entries.collect();
        let mut parts: Vec<&[_]> = entries.chunks(self.notice_max).collect();
        if parts.is_empty() {
            parts.push(&[]);
        }
        let (version, count) = (self.version, parts.len());
        let part = |(nth, members): (usize, &[_])| {
            let (first, last, members) = (nth == 0, nth + 1 == count, members.to_vec());
            GroupNotice::Snapshot { version, first, last, members }
        };
        parts.into_iter().enumerate().map(part).collect()
    }
}
