//! Restarts that nobody heard of, and processes that live side by side.

use super::*;

const OLD: Incarnation = Incarnation(1);
const NEW: Incarnation = Incarnation(2);
const NEWEST: Incarnation = Incarnation(3);

fn node() -> NodeName {
    "b@h".parse().unwrap()
}

fn from(incarnation: Incarnation) -> SocketAddr {
    ([10, 0, 0, 1], u16::try_from(incarnation.0).unwrap()).into()
}

/// What is known of one node; the test gives each connection its number.
#[derive(Default)]
struct One(Namesakes);

impl One {
    fn asking(connections: &[(u64, Incarnation)]) -> Self {
        let mut one = Self::default();
        for (number, incarnation) in connections {
            assert_eq!(one.reached(*number, *incarnation), Reached::Node);
        }
        one
    }

    fn came_in(&mut self, incarnation: Incarnation) -> CameIn {
        self.0.came_in(&node(), incarnation, from(incarnation))
    }

    fn reached(&mut self, number: u64, incarnation: Incarnation) -> Reached {
        self.0.reached(&node(), number, incarnation)
    }

    fn ended(&mut self, number: u64) {
        self.0.ended(&node(), number);
    }

    fn turned_away(&self) -> Vec<Incarnation> {
        self.0.turned_away().into_iter().map(|(_, incarnation)| incarnation).collect()
    }
}

fn beside(incarnation: Incarnation) -> Reached {
    Reached::Beside(Namesake { incarnation, from: from(incarnation) })
}

#[test]
fn peers_that_are_not_asked_may_share_a_name() {
    let mut names = One::default();
    assert_eq!(names.came_in(OLD), CameIn::Welcome);
    assert_eq!(names.came_in(NEW), CameIn::Welcome);
    assert!(names.0.is_empty(), "and nothing is kept of them");
}

#[test]
fn what_is_asked_of_one_name_changes_nothing_for_another() {
    let mut names = One::asking(&[(1, OLD)]);
    let other: NodeName = "c@h".parse().unwrap();
    assert_eq!(names.0.came_in(&other, NEW, from(NEW)), CameIn::Welcome);
    assert_eq!(names.0.reached(&other, 2, NEW), Reached::Node);
    assert_eq!(names.0.came_in(&other, NEWEST, from(NEWEST)), CameIn::Replaces(vec![2]));
    assert_eq!(names.came_in(OLD), CameIn::Welcome);
}

#[test]
fn the_process_that_is_asked_comes_in_as_often_as_it_likes() {
    let mut names = One::asking(&[(1, OLD)]);
    assert_eq!(names.came_in(OLD), CameIn::Welcome);
    assert_eq!(names.reached(2, OLD), Reached::Node);
    assert_eq!(names.came_in(OLD), CameIn::Welcome);
}

#[test]
fn a_successor_replaces_a_process_that_was_not_heard_to_die() {
    let mut names = One::asking(&[(1, OLD)]);
    assert_eq!(names.came_in(NEW), CameIn::Replaces(vec![1]));
    assert_eq!(names.came_in(NEW), CameIn::Welcome, "its other connections change nothing");
    names.ended(1);
    assert_eq!(names.came_in(NEW), CameIn::Welcome);
    assert_eq!(names.reached(2, NEW), Reached::Node);
    assert_eq!(names.came_in(NEW), CameIn::Welcome);
    names.ended(2);
    assert!(names.0.is_empty());
}

#[test]
fn every_lane_to_the_predecessor_is_given_up_and_one_that_ends_late_takes_nothing_with_it() {
    let mut names = One::asking(&[(1, OLD), (2, OLD), (3, OLD)]);
    assert_eq!(names.came_in(NEW), CameIn::Replaces(vec![1, 2, 3]));
    names.ended(1);
    assert_eq!(names.reached(4, NEW), Reached::Node);
    assert_eq!(names.reached(5, NEW), Reached::Node);
    assert_eq!(names.came_in(NEW), CameIn::Welcome, "it is settled, though two are still ending");
    names.ended(2);
    names.ended(3);
    assert_eq!(names.came_in(NEWEST), CameIn::Replaces(vec![4, 5]));
}

#[test]
fn of_two_that_live_the_younger_is_turned_away_after_one_swap() {
    let mut names = One::asking(&[(1, OLD), (2, OLD)]);
    assert_eq!(names.came_in(NEW), CameIn::Replaces(vec![1, 2]));
    assert!(names.turned_away().is_empty(), "it may be reached yet");
    assert_eq!(names.reached(3, OLD), beside(NEW));
    // Those that were given up end when they get to it.
    names.ended(1);
    names.ended(2);
    assert_eq!(names.reached(4, OLD), Reached::Node, "it is said once");
    assert_eq!(names.turned_away(), [NEW]);
    for _ in 0..3 {
        assert_eq!(names.came_in(NEW), CameIn::TurnAway);
        assert_eq!(names.came_in(OLD), CameIn::Welcome);
    }
    names.ended(3);
    assert_eq!(names.came_in(NEW), CameIn::TurnAway, "another lane leads to the older one");
}

#[test]
fn the_younger_is_let_in_when_the_older_is_gone() {
    let mut names = One::asking(&[(1, OLD)]);
    names.came_in(NEW);
    names.ended(1);
    assert_eq!(names.reached(2, OLD), beside(NEW));
    names.ended(2);
    assert!(names.turned_away().is_empty());
    assert_eq!(names.came_in(NEW), CameIn::Welcome);
    assert_eq!(names.reached(3, NEW), Reached::Node);
}

#[test]
fn a_predecessor_that_wakes_up_is_turned_away_and_its_successor_is_not_given_up_for_it() {
    let mut names = One::asking(&[(1, OLD)]);
    names.came_in(NEW);
    names.ended(1);
    assert_eq!(names.reached(2, NEW), Reached::Node);
    assert_eq!(names.turned_away(), [OLD]);
    for _ in 0..3 {
        assert_eq!(names.came_in(OLD), CameIn::TurnAway);
        assert_eq!(names.came_in(NEW), CameIn::Welcome);
    }
    names.ended(2);
    assert_eq!(names.came_in(OLD), CameIn::Welcome, "its successor may have died");
}

#[test]
fn two_that_live_and_come_in_by_turns_cost_one_swap_whichever_is_reached() {
    for leads_to in [OLD, NEW] {
        let (mut names, mut swaps, mut number) = (One::asking(&[(1, OLD)]), 0, 1);
        for _ in 0..5 {
            for comes in [NEW, OLD] {
                if let CameIn::Replaces(lost) = names.came_in(comes) {
                    swaps += 1;
                    lost.iter().for_each(|lost| names.ended(*lost));
                    number += 1;
                    names.reached(number, leads_to);
                }
            }
        }
        assert_eq!(swaps, 1, "{leads_to} is reached");
    }
}

#[test]
fn while_nobody_is_asked_the_older_one_may_come_in_and_both_are_told_apart_afterwards() {
    let mut names = One::asking(&[(1, OLD)]);
    names.came_in(NEW);
    names.ended(1);
    assert_eq!(names.came_in(OLD), CameIn::Welcome);
    assert_eq!(names.came_in(NEW), CameIn::Welcome);
    assert_eq!(names.reached(2, OLD), beside(NEW), "the suspect stays the younger one");
}

#[test]
fn two_restarts_in_a_row_end_with_the_last_one_and_nobody_is_said_to_live_twice() {
    // Both come in before anybody is reached.
    let mut names = One::asking(&[(1, OLD)]);
    assert_eq!(names.came_in(NEW), CameIn::Replaces(vec![1]));
    assert_eq!(names.came_in(NEWEST), CameIn::Welcome);
    names.ended(1);
    assert_eq!(names.reached(2, NEWEST), Reached::Node);
    assert_eq!(names.came_in(NEWEST), CameIn::Welcome);
    // The third is reached before it comes in.
    let mut names = One::asking(&[(1, OLD)]);
    assert_eq!(names.came_in(NEW), CameIn::Replaces(vec![1]));
    names.ended(1);
    assert_eq!(names.reached(2, NEWEST), Reached::Node);
    assert_eq!(names.came_in(NEWEST), CameIn::Welcome);
    // The second is reached in between.
    let mut names = One::asking(&[(1, OLD)]);
    assert_eq!(names.came_in(NEW), CameIn::Replaces(vec![1]));
    assert_eq!(names.reached(2, NEW), Reached::Node);
    assert_eq!(names.came_in(NEWEST), CameIn::Replaces(vec![2]));
    assert_eq!(names.reached(3, NEWEST), Reached::Node);
    names.ended(1);
    names.ended(2);
    names.ended(3);
    assert!(names.0.is_empty());
}

#[test]
fn of_two_suspects_in_a_row_the_last_one_is_turned_away_when_an_earlier_one_is_reached() {
    for reached in [OLD, NEW] {
        let mut names = One::asking(&[(1, OLD)]);
        names.came_in(NEW);
        names.came_in(NEWEST);
        assert_eq!(names.reached(2, reached), beside(NEWEST), "{reached} lived before it and does now");
    }
}

#[test]
fn a_third_process_beside_two_that_live_costs_one_swap_more() {
    let mut names = One::asking(&[(1, OLD)]);
    names.came_in(NEW);
    assert_eq!(names.reached(2, OLD), beside(NEW));
    assert_eq!(names.came_in(NEWEST), CameIn::Replaces(vec![2]), "it may be the successor of either");
    assert_eq!(names.reached(3, OLD), beside(NEWEST));
    for _ in 0..3 {
        assert_eq!(names.came_in(NEW), CameIn::TurnAway);
        assert_eq!(names.came_in(NEWEST), CameIn::TurnAway);
    }
}

#[test]
fn lanes_that_lead_to_both_are_told_apart() {
    let mut names = One::asking(&[(1, OLD), (2, NEW)]);
    assert_eq!(names.came_in(NEW), CameIn::Replaces(vec![1]), "it is asked already: nobody is suspected");
    assert_eq!(names.came_in(NEW), CameIn::Welcome);
    assert_eq!(names.came_in(OLD), CameIn::TurnAway);
    names.ended(1);
    assert_eq!(names.reached(3, NEW), Reached::Node);
}

#[test]
fn a_suspect_waits_for_the_next_connection_however_late_it_comes() {
    let mut names = One::asking(&[(1, OLD)]);
    names.came_in(NEW);
    names.ended(1);
    assert_eq!(names.0.len(), 1);
    assert_eq!(names.reached(2, OLD), beside(NEW));
}

#[test]
fn what_is_remembered_of_one_node_is_bounded() {
    let mut names = One::asking(&[(0, Incarnation(0))]);
    for start in 1..100 {
        assert_eq!(names.came_in(Incarnation(start)), CameIn::Replaces(vec![start - 1]));
        assert_eq!(names.reached(start, Incarnation(start)), Reached::Node);
    }
    assert_eq!(names.turned_away(), [95, 96, 97, 98].map(Incarnation));
    assert_eq!(names.turned_away().len(), Namesakes::GIVEN_UP_MAX);
}

#[test]
fn how_many_nodes_are_suspected_at_a_time_is_bounded_and_the_others_are_believed() {
    let mut names = Namesakes::default();
    let nodes: Vec<NodeName> =
        (0..Namesakes::SUSPECTED_MAX + 10).map(|n| format!("n{n}@h").parse().unwrap()).collect();
    for (number, node) in (0..).zip(&nodes) {
        names.reached(node, number, OLD);
        assert_eq!(names.came_in(node, NEW, from(NEW)), CameIn::Replaces(vec![number]));
        names.ended(node, number);
    }
    assert_eq!(names.len(), Namesakes::SUSPECTED_MAX);
    let (first, last) = (nodes.first().unwrap(), nodes.last().unwrap());
    assert_eq!(names.reached(first, 5000, OLD), beside(NEW));
    assert_eq!(names.reached(last, 5001, OLD), Reached::Node);
}
