//! Which of several processes that say they are one node is believed.
//!
//! A process has an incarnation beside its name. Whoever asks a node keeps to the incarnation that it reached; when another
//! one of the same name comes in from outside, the first is usually dead and was not heard to die:
//!
//! ```text
//!  asks I1 ──(I2 comes in)──▶ gives up I1, asks again ──▶ reaches I2: a restart, settled
//!                                                    ├──▶ reaches I3: restarted once more, settled
//!                                                    └──▶ reaches I1: both live. I2 is the younger: turned away
//!                                                         as long as a connection to I1 is up
//! ```
//! Whoever was given up and comes in later lives beside the one that is asked, and is turned away in the same manner: a
//! process is given up once at most. Nothing of this is asked of peers that this node does not ask itself: several
//! short-lived programs may share a name.

use core::net::SocketAddr;
use std::collections::HashMap;

use crate::peer::{Incarnation, NodeName};

#[cfg(test)]
mod tests;

/// What this node knows of those who have one name, for every name that it asks.
#[derive(Debug, Default)]
pub struct Namesakes {
    nodes: HashMap<NodeName, Known>,
}

/// While somebody is suspected, nobody is asked: an empty `reached` without a suspect is not kept.
#[derive(Debug, Default)]
struct Known {
    /// The connections to it that are up and believed, by their numbers, and whom each leads to.
    reached: Vec<(u64, Incarnation)>,
    /// It came in while another one was asked, which was given up for it; it has not been reached yet.
    suspect: Option<Namesake>,
    /// Those that were given up, or turned away for another: the latest last.
    given_up: Vec<Incarnation>,
}

/// A process that came in under a name that another one has, or had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Namesake {
    /// Which start of the node it is.
    pub incarnation: Incarnation,
    /// Where it came from.
    pub from: SocketAddr,
}

/// What to do about a peer that has come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CameIn {
    /// Nothing.
    Welcome,
    /// End the connections with these numbers as lost: it has taken the place of the process that they lead to, as far as
    /// anybody knows.
    Replaces(Vec<u64>),
    /// Turn it away: another process has the name, and lives.
    TurnAway,
}

/// What an outgoing connection has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reached {
    /// The node.
    Node,
    /// The node as it was before this one came in: both live. This one is turned away from now on.
    Beside(Namesake),
}

impl Namesakes {
    /// So many starts of one node are remembered that were given up; the oldest is forgotten for the next.
    pub const GIVEN_UP_MAX: usize = 4;
    /// So many nodes are remembered that are not asked at present and of which somebody is suspected. Of a node beyond
    /// them the next connection is believed, whomever it reaches.
    pub const SUSPECTED_MAX: usize = 1024;

    /// A peer has proved its name, and comes in from there.
    pub fn came_in(&mut self, node: &NodeName, incarnation: Incarnation, from: SocketAddr) -> CameIn {
        let Some(known) = self.nodes.get_mut(node) else { return CameIn::Welcome };
        let namesake = Namesake { incarnation, from };
        if known.reached.is_empty() {
            known.suspect_instead(namesake);
            return CameIn::Welcome;
        }
        if !known.asks_another_than(incarnation) {
            return CameIn::Welcome;
        }
        if known.given_up.contains(&incarnation) {
            return CameIn::TurnAway;
        }
        let lost = known.give_up_all_but(incarnation);
        if known.reached.is_empty() {
            known.suspect = Some(namesake);
            if self.suspected() > Self::SUSPECTED_MAX {
                self.nodes.remove(node);
            }
        }
        CameIn::Replaces(lost)
    }

    /// An outgoing connection to this node is up. Each has a number that no other one has.
    pub fn reached(&mut self, node: &NodeName, number: u64, incarnation: Incarnation) -> Reached {
        let known = self.nodes.entry(node.clone()).or_default();
        known.reached.push((number, incarnation));
        let was_given_up = known.take_back(incarnation);
        match known.suspect.take() {
            Some(suspect) if suspect.incarnation != incarnation => {
                known.give_up(suspect.incarnation);
                // One that nobody has seen before began after the suspect did.
                if was_given_up { Reached::Beside(suspect) } else { Reached::Node }
            }
            _ => Reached::Node,
        }
    }

    /// An outgoing connection has ended, or takes nothing new.
    pub fn ended(&mut self, node: &NodeName, number: u64) {
        let Some(known) = self.nodes.get_mut(node) else { return };
        known.reached.retain(|(reached, _)| *reached != number);
        if known.reached.is_empty() && known.suspect.is_none() {
            // The one that was asked may have died: everybody may come in again.
            self.nodes.remove(node);
        }
    }

    /// Those that are turned away.
    pub fn turned_away(&self) -> Vec<(NodeName, Incarnation)> {
        let of = |(node, known): (&NodeName, &Known)| {
            let out = known.given_up.iter().copied().filter(|given_up| known.asks_another_than(*given_up));
            out.map(|given_up| (node.clone(), given_up)).collect::<Vec<_>>()
        };
        self.nodes.iter().flat_map(of).collect()
    }

    /// How many names something is known of.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether nothing is known of any.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    fn suspected(&self) -> usize {
        self.nodes.values().filter(|known| known.suspect.is_some()).count()
    }
}

impl Known {
    /// Whether a connection is up to another one than this.
    fn asks_another_than(&self, incarnation: Incarnation) -> bool {
        self.reached.iter().any(|(_, reached)| *reached != incarnation)
    }

    /// Nobody is asked at present: the last one that came in for the first time is the likeliest to be reached.
    fn suspect_instead(&mut self, namesake: Namesake) {
        let Some(suspect) = self.suspect else { return };
        if suspect.incarnation != namesake.incarnation && !self.given_up.contains(&namesake.incarnation) {
            self.give_up(suspect.incarnation);
            self.suspect = Some(namesake);
        }
    }

    /// Gives the numbers of the connections that lead to others.
    fn give_up_all_but(&mut self, incarnation: Incarnation) -> Vec<u64> {
        let (kept, lost) = self.reached.drain(..).partition(|(_, reached)| *reached == incarnation);
        self.reached = kept;
        lost.iter().for_each(|(_, reached)| self.give_up(*reached));
        lost.into_iter().map(|(number, _): (u64, _)| number).collect()
    }

    fn give_up(&mut self, incarnation: Incarnation) {
        self.take_back(incarnation);
        if self.given_up.len() >= Namesakes::GIVEN_UP_MAX {
            self.given_up.remove(0);
        }
        self.given_up.push(incarnation);
    }

    /// Gives whether it had been given up.
    fn take_back(&mut self, incarnation: Incarnation) -> bool {
        let before = self.given_up.len();
        self.given_up.retain(|given_up| *given_up != incarnation);
        self.given_up.len() < before
    }
}
