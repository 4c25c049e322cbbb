//! Every way in which nodes come, drain and go.

use proptest::prelude::*;

use super::*;

fn peer(name: &str, incarnation: u64) -> Peer {
    Peer { name: name.parse().unwrap(), incarnation: Incarnation(incarnation), hidden: false }
}

/// What happened to one node, in short words.
#[derive(Default)]
struct Seen {
    members: Members,
    words: Vec<String>,
}

impl Seen {
    fn up(&mut self, link: LinkId, incarnation: u64) {
        let words = &mut self.words;
        self.members.link_up(link, &peer("b@h", incarnation), |event| words.push(short(&event)));
    }

    fn down(&mut self, link: LinkId, reason: NodeDown) {
        let words = &mut self.words;
        self.members.link_down(link, &"b@h".parse().unwrap(), reason, |event| words.push(short(&event)));
    }

    fn drains(&mut self, link: LinkId) {
        let words = &mut self.words;
        self.members.draining(link, &"b@h".parse().unwrap(), |event| words.push(short(&event)));
    }

    fn words(&mut self) -> Vec<String> {
        std::mem::take(&mut self.words)
    }
}

fn short(event: &NodeEvent) -> String {
    let number = event.peer().incarnation.0;
    match event {
        NodeEvent::Up(_) => format!("up {number}"),
        NodeEvent::Draining(_) => format!("draining {number}"),
        NodeEvent::Down(_, reason) => format!("down {number} {}", reason.reason()),
    }
}

#[test]
fn a_node_is_up_with_its_first_connection_in_either_direction_and_down_with_its_last() {
    let mut seen = Seen::default();
    seen.up(LinkId::In(1), 7);
    seen.up(LinkId::Out(1), 7);
    assert_eq!(seen.words(), ["up 7"]);
    seen.down(LinkId::In(1), NodeDown::Closed);
    assert_eq!(seen.words(), Vec::<String>::new());
    seen.down(LinkId::Out(1), NodeDown::TickTimeout);
    assert_eq!(seen.words(), ["down 7 tick_timeout"]);
    assert!(seen.members.peers().next().is_none());
}

#[test]
fn a_restarted_node_is_down_before_it_is_up_and_old_connections_say_nothing_more() {
    let mut seen = Seen::default();
    seen.up(LinkId::Out(1), 7);
    seen.up(LinkId::In(1), 8);
    assert_eq!(seen.words(), ["up 7", "down 7 superseded", "up 8"]);
    seen.drains(LinkId::Out(1));
    seen.down(LinkId::Out(1), NodeDown::Closed);
    assert_eq!(seen.words(), Vec::<String>::new());
    seen.down(LinkId::In(1), NodeDown::Closed);
    assert_eq!(seen.words(), ["down 8 closed"]);
}

#[test]
fn a_node_that_said_it_drains_has_shut_down_however_its_connections_end() {
    let mut seen = Seen::default();
    seen.up(LinkId::Out(1), 7);
    seen.up(LinkId::In(2), 7);
    seen.drains(LinkId::Out(1));
    seen.drains(LinkId::In(2));
    assert_eq!(seen.words(), ["up 7", "draining 7"]);
    assert!(seen.members.is_draining(&"b@h".parse().unwrap()));
    seen.down(LinkId::Out(1), NodeDown::Shutdown);
    seen.down(LinkId::In(2), NodeDown::Closed);
    assert_eq!(seen.words(), ["down 7 shutdown"]);
}

#[test]
fn the_end_of_an_unknown_connection_is_no_news() {
    let mut seen = Seen::default();
    seen.down(LinkId::Out(1), NodeDown::Closed);
    seen.drains(LinkId::Out(1));
    seen.up(LinkId::Out(2), 7);
    seen.down(LinkId::Out(1), NodeDown::Closed);
    assert_eq!(seen.words(), ["up 7"]);
}

proptest! {
    #[test]
    fn ups_and_downs_of_each_start_alternate_and_the_table_is_what_they_add_up_to(
        steps in proptest::collection::vec((0..4u8, 0..6u64, 1..4u64), 0..60)
    ) {
        let mut seen = Seen::default();
        let (mut live, mut up): (Vec<(LinkId, u64)>, Option<u64>) = (Vec::new(), None);
        for (step, number, incarnation) in steps {
            let link = if number % 2 == 0 { LinkId::Out(number) } else { LinkId::In(number) };
            match (step, live.iter().position(|(known, _)| *known == link)) {
                (0 | 1, None) => {
                    live.push((link, incarnation));
                    seen.up(link, incarnation);
                }
                (2, Some(place)) => {
                    live.remove(place);
                    seen.down(link, NodeDown::Closed);
                }
                _ => seen.drains(link),
            }
            for word in seen.words() {
                let (kind, rest) = word.split_once(' ').unwrap();
                let number: u64 = rest.split(' ').next().unwrap().parse().unwrap();
                match kind {
                    "up" => prop_assert_eq!(up.replace(number), None),
                    "down" => prop_assert_eq!(up.take(), Some(number)),
                    _ => prop_assert_eq!(up, Some(number)),
                }
            }
            let found = seen.members.find(&"b@h".parse().unwrap()).map(|peer| peer.incarnation.0);
            prop_assert_eq!(found, up);
        }
    }
}
