//! Which of several processes that say they are one node is believed.
//!
//! A process has an incarnation beside its name. Whoever asks a node keeps to the incarnation that it reached; when another
//! one of the same name comes in from outside, the first is usually dead and was not heard to die:
//!
//! ```text
//!  asks I1 ──(I2 comes in)──▶ gives up I1, asks again ──▶ reaches I2: a restart, settled
//!                                                    └──▶ reaches I1: both live. I2 is the younger: turned away
//!                                                         as long as a connection to I1 is up
//! ```
//! So there is one swap at most. Nothing of this is asked of peers that this node does not ask itself: several
//! short-lived programs may share a name.

use std::collections::HashMap;

use crate::peer::{Incarnation, NodeName};

/// What this node knows of those who have one name, for every name that it asks.
#[derive(Debug, Default)]
pub struct Namesakes {
    nodes: HashMap<NodeName, Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// Incarnations that connections lead to which are up, one entry for each.
    reached: Vec<Incarnation>,
    /// It came in while we asked another one.
    suspect: Option<Incarnation>,
    /// It lives beside the one that we ask, and is turned away.
    younger: Option<Incarnation>,
}

/// What to do about a peer that has come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CameIn {
    /// Nothing.
    Welcome,
    /// End the connections to this node that lead to another incarnation: it has been replaced, as far as anybody knows.
    Replaces,
    /// Turn it away: an older process has the name, and lives.
    TurnAway,
}

/// What an outgoing connection has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reached {
    /// The node.
    Node,
    /// The node as it was before this one came in: both live. This one is turned away from now on.
    Beside(Incarnation),
}

impl Namesakes {
    /// A peer has proved its name, and comes in.
    pub fn came_in(&mut self, node: &NodeName, incarnation: Incarnation) -> CameIn {
        let Some(known) = self.nodes.get_mut(node) else { return CameIn::Welcome };
        if known.younger == Some(incarnation) {
            return CameIn::TurnAway;
        }
        if known.reached.iter().all(|reached| *reached == incarnation) {
            return CameIn::Welcome;
        }
        known.suspect = Some(incarnation);
        CameIn::Replaces
    }

    /// An outgoing connection to this node is up.
    pub fn reached(&mut self, node: &NodeName, incarnation: Incarnation) -> Reached {
        let known = self.nodes.entry(node.clone()).or_default();
        known.reached.push(incarnation);
        match known.suspect.take() {
            Some(suspect) if suspect != incarnation => {
                known.younger = Some(suspect);
                Reached::Beside(suspect)
            }
            _ => Reached::Node,
        }
    }

    /// An outgoing connection to this incarnation has ended.
    pub fn ended(&mut self, node: &NodeName, incarnation: Incarnation) {
        let Some(known) = self.nodes.get_mut(node) else { return };
        if let Some(at) = known.reached.iter().position(|reached| *reached == incarnation) {
            known.reached.swap_remove(at);
        }
        if known.reached.is_empty() {
            // The older may have died: the younger may come in again.
            known.younger = None;
            if known.suspect.is_none() {
                self.nodes.remove(node);
            }
        }
    }

    /// Those that are turned away.
    pub fn turned_away(&self) -> Vec<(NodeName, Incarnation)> {
        self.nodes.iter().filter_map(|(node, known)| Some((node.clone(), known.younger?))).collect()
    }

    /// How many names something is known of.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether nothing is known of any.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: Incarnation = Incarnation(1);
    const NEW: Incarnation = Incarnation(2);
    const NEWEST: Incarnation = Incarnation(3);

    fn node() -> NodeName {
        "b@h".parse().unwrap()
    }

    /// This node asks OLD.
    fn asking() -> Namesakes {
        let mut names = Namesakes::default();
        assert_eq!(names.reached(&node(), OLD), Reached::Node);
        names
    }

    #[test]
    fn peers_that_are_not_asked_may_share_a_name() {
        let mut names = Namesakes::default();
        assert_eq!(names.came_in(&node(), OLD), CameIn::Welcome);
        assert_eq!(names.came_in(&node(), NEW), CameIn::Welcome);
        assert!(names.is_empty(), "and nothing is kept of them");
    }

    #[test]
    fn the_process_that_is_asked_comes_in_as_often_as_it_likes() {
        let mut names = asking();
        assert_eq!(names.came_in(&node(), OLD), CameIn::Welcome);
        assert_eq!(names.reached(&node(), OLD), Reached::Node);
        assert_eq!(names.came_in(&node(), OLD), CameIn::Welcome);
    }

    #[test]
    fn a_successor_replaces_a_process_that_was_not_heard_to_die() {
        let mut names = asking();
        assert_eq!(names.came_in(&node(), NEW), CameIn::Replaces);
        names.ended(&node(), OLD);
        assert_eq!(names.came_in(&node(), NEW), CameIn::Welcome, "its other connections change nothing");
        assert_eq!(names.reached(&node(), NEW), Reached::Node);
        assert_eq!(names.came_in(&node(), NEW), CameIn::Welcome);
        names.ended(&node(), NEW);
        assert!(names.is_empty());
    }

    #[test]
    fn of_two_that_live_the_younger_is_turned_away_after_one_swap() {
        let mut names = asking();
        assert_eq!(names.came_in(&node(), NEW), CameIn::Replaces);
        names.ended(&node(), OLD);
        assert_eq!(names.reached(&node(), OLD), Reached::Beside(NEW));
        assert_eq!(names.turned_away(), [(node(), NEW)]);
        for _ in 0..3 {
            assert_eq!(names.came_in(&node(), NEW), CameIn::TurnAway);
            assert_eq!(names.came_in(&node(), OLD), CameIn::Welcome);
        }
    }

    #[test]
    fn the_younger_is_let_in_when_the_older_is_gone() {
        let mut names = asking();
        names.came_in(&node(), NEW);
        names.ended(&node(), OLD);
        names.reached(&node(), OLD);
        names.ended(&node(), OLD);
        assert!(names.turned_away().is_empty());
        assert_eq!(names.came_in(&node(), NEW), CameIn::Welcome);
    }

    #[test]
    fn connections_to_both_are_told_apart() {
        let mut names = asking();
        names.reached(&node(), OLD);
        assert_eq!(names.came_in(&node(), NEW), CameIn::Replaces);
        names.ended(&node(), OLD);
        // One leads to the old one still, and a new one to its successor.
        assert_eq!(names.reached(&node(), NEW), Reached::Node);
        assert_eq!(names.came_in(&node(), NEW), CameIn::Replaces);
        names.ended(&node(), OLD);
        assert_eq!(names.came_in(&node(), NEW), CameIn::Welcome);
    }

    #[test]
    fn two_restarts_in_a_row_end_with_the_last_one() {
        let mut names = asking();
        assert_eq!(names.came_in(&node(), NEW), CameIn::Replaces);
        names.ended(&node(), OLD);
        // The second died before it was asked; the third answers.
        assert_eq!(names.reached(&node(), NEWEST), Reached::Beside(NEW));
        assert_eq!(names.came_in(&node(), NEWEST), CameIn::Welcome);
        names.ended(&node(), NEWEST);
        assert!(names.is_empty());
    }
}
