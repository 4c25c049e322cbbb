//! Two nodes and a channel between them: whoever watches is told once, and the tables end empty.

use proptest::prelude::*;

use super::*;

const CHANNEL: ChannelId = ChannelId(1);

/// One node: names are numbers, and every even one is an actor.
struct Node {
    signals: Signals<u32>,
    gone: HashSet<u64>,
    told: Vec<(u32, DownReason)>,
    exits: Vec<(u64, String, DownReason)>,
    watched: HashSet<u64>,
    overflows: usize,
}

impl Node {
    fn new() -> Self {
        Self::bounded(SignalLimits::default())
    }

    fn bounded(limits: SignalLimits) -> Self {
        let mut signals = Signals::new(limits);
        signals.channel_up(CHANNEL);
        let (told, exits, watched) = (Vec::new(), Vec::new(), HashSet::new());
        Self { signals, gone: HashSet::new(), told, exits, watched, overflows: 0 }
    }

    fn with<R>(&mut self, act: impl FnOnce(&mut Signals<u32>, Lookup<'_>, &mut Vec<Output<u32>>) -> R) -> R {
        let mut out = Vec::new();
        let gone = &self.gone;
        let lookup = |name: &str| {
            let number: u64 = name.parse().ok()?;
            (number.is_multiple_of(2) && !gone.contains(&number)).then_some(ActorId(number))
        };
        let result = act(&mut self.signals, &lookup, &mut out);
        for output in out {
            match output {
                Output::Down { token, reason } => self.told.push((token, reason)),
                Output::Exit { actor, from, reason, .. } => self.exits.push((actor.0, from, reason)),
                Output::Watch(actor) => assert!(self.watched.insert(actor.0), "asked twice"),
                Output::Speak(_) => {}
                Output::Overflow(_) => self.overflows += 1,
            }
        }
        result
    }

    fn monitor(&mut self, channel: ChannelId, actor: u64, token: u32) -> MonitorId {
        self.with(|signals, lookup, out| {
            signals.monitor(channel, &actor.to_string(), token, lookup, out).unwrap()
        })
    }

    fn link(&mut self, own: u64, channel: ChannelId, other: u64) {
        let (from, to) = (own.to_string(), other.to_string());
        self.with(|signals, lookup, out| {
            signals.link(ActorId(own), &from, channel, &to, lookup, out).unwrap();
        });
    }

    /// An actor ends, if it is there. Whoever asked to hear of it hears.
    fn end(&mut self, actor: u64, reason: DownReason) {
        if actor.is_multiple_of(2) && self.gone.insert(actor) && self.watched.remove(&actor) {
            self.with(|signals, _, out| signals.actor_ended(ActorId(actor), reason, out));
        }
    }

    fn hear(&mut self, notice: Notice) {
        self.with(|signals, lookup, out| signals.handle(CHANNEL, notice, lookup, out));
    }

    fn lose(&mut self, reason: DownReason) {
        self.with(|signals, _, out| signals.channel_down(CHANNEL, reason, out));
    }

    fn told(&mut self) -> Vec<(u32, DownReason)> {
        let mut told = std::mem::take(&mut self.told);
        told.sort_unstable_by_key(|(token, _)| *token);
        told
    }
}

/// Everything said is heard, until nothing is left to say.
fn talk(a: &mut Node, b: &mut Node) {
    loop {
        let (from_a, from_b) = (a.signals.poll_transmit(CHANNEL, 7), b.signals.poll_transmit(CHANNEL, 7));
        if from_a.is_empty() && from_b.is_empty() {
            return;
        }
        from_a.into_iter().for_each(|notice| b.hear(notice));
        from_b.into_iter().for_each(|notice| a.hear(notice));
    }
}

#[test]
fn a_watcher_is_told_once_why_an_actor_ended() {
    let (mut a, mut b) = (Node::new(), Node::new());
    for (token, actor) in [(1, 2), (2, 4), (3, 6), (4, 2)] {
        a.monitor(CHANNEL, actor, token);
    }
    talk(&mut a, &mut b);
    assert_eq!(a.told(), []);
    b.end(2, DownReason::Panicked);
    b.end(4, DownReason::Normal);
    talk(&mut a, &mut b);
    a.lose(DownReason::NodeShutdown);
    assert_eq!(
        a.told(),
        [
            (1, DownReason::Panicked),
            (2, DownReason::Normal),
            (3, DownReason::NodeShutdown),
            (4, DownReason::Panicked)
        ]
    );
    assert!(a.signals.is_empty());
    b.lose(DownReason::NoConnection);
    assert!(b.signals.is_empty());
}

#[test]
fn whom_there_is_not_is_told_of_as_no_such_actor_and_no_channel_as_no_connection() {
    let (mut a, mut b) = (Node::new(), Node::new());
    a.monitor(CHANNEL, 3, 1);
    a.monitor(ChannelId::OWN, 3, 2);
    a.monitor(ChannelId(9), 2, 3);
    talk(&mut a, &mut b);
    let told = a.told();
    assert_eq!(
        told,
        [(1, DownReason::NoSuchActor), (2, DownReason::NoSuchActor), (3, DownReason::NoConnection)]
    );
}

#[test]
fn actors_of_ones_own_node_are_watched_in_the_same_way() {
    let mut a = Node::new();
    a.monitor(ChannelId::OWN, 2, 1);
    let given_up = a.monitor(ChannelId::OWN, 2, 2);
    assert_eq!(a.with(|signals, _, out| signals.demonitor(given_up, out)), Some(2));
    a.link(4, ChannelId::OWN, 2);
    a.end(2, DownReason::Stopped);
    assert_eq!(a.told(), [(1, DownReason::Stopped)]);
    assert_eq!(a.exits, [(4, "2".to_owned(), DownReason::Stopped)]);
    assert!(a.signals.is_empty());
}

#[test]
fn what_was_taken_back_is_never_told_and_leaves_nothing_behind() {
    let (mut a, mut b) = (Node::new(), Node::new());
    let unsaid = a.monitor(CHANNEL, 2, 1);
    a.with(|signals, _, out| signals.demonitor(unsaid, out));
    let said = a.monitor(CHANNEL, 2, 2);
    talk(&mut a, &mut b);
    assert_eq!(b.signals.len(), (0, 1));
    a.with(|signals, _, out| signals.demonitor(said, out));
    // It ends while the word is on its way.
    b.end(2, DownReason::Stopped);
    talk(&mut a, &mut b);
    assert_eq!(a.told(), []);
    assert!(a.signals.is_empty() && b.signals.is_empty());
    assert_eq!(a.with(|signals, _, out| signals.demonitor(said, out)), None);
}

#[test]
fn linked_actors_hear_of_each_other_once_in_either_direction() {
    for ends_here in [false, true] {
        let (mut a, mut b) = (Node::new(), Node::new());
        a.link(2, CHANNEL, 4);
        talk(&mut a, &mut b);
        // From the other side it is the same link.
        b.link(4, CHANNEL, 2);
        talk(&mut a, &mut b);
        assert_eq!((a.signals.len(), b.signals.len()), ((0, 1), (0, 1)));
        if ends_here {
            a.end(2, DownReason::Panicked)
        } else {
            b.end(4, DownReason::Panicked)
        }
        talk(&mut a, &mut b);
        let (told, silent) = if ends_here { (b, a) } else { (a, b) };
        let (own, other) = if ends_here { (4, "2") } else { (2, "4") };
        assert_eq!(told.exits, [(own, other.to_owned(), DownReason::Panicked)]);
        assert_eq!(silent.exits, []);
        assert!(told.signals.is_empty() && silent.signals.is_empty());
    }
}

#[test]
fn a_link_that_is_ended_or_leads_to_nobody_tells_nobody_else() {
    let (mut a, mut b) = (Node::new(), Node::new());
    a.link(2, CHANNEL, 4);
    a.link(2, CHANNEL, 5);
    talk(&mut a, &mut b);
    assert_eq!(std::mem::take(&mut a.exits), [(2, "5".to_owned(), DownReason::NoSuchActor)]);
    assert!(a.with(|signals, _, out| signals.unlink("2", CHANNEL, "4", out)));
    assert!(!a.with(|signals, _, out| signals.unlink("2", CHANNEL, "4", out)));
    talk(&mut a, &mut b);
    b.end(4, DownReason::Stopped);
    talk(&mut a, &mut b);
    assert_eq!(a.exits, []);
    assert!(a.signals.is_empty() && b.signals.is_empty());
}

#[test]
fn a_lost_channel_ends_links_on_both_sides() {
    let (mut a, mut b) = (Node::new(), Node::new());
    a.link(2, CHANNEL, 4);
    talk(&mut a, &mut b);
    a.lose(DownReason::NoConnection);
    b.lose(DownReason::NodeShutdown);
    assert_eq!(a.exits, [(2, "4".to_owned(), DownReason::NoConnection)]);
    assert_eq!(b.exits, [(4, "2".to_owned(), DownReason::NodeShutdown)]);
    assert!(a.signals.is_empty() && b.signals.is_empty());
}

#[test]
fn a_peer_can_end_only_what_it_was_asked_for() {
    let (mut a, mut b) = (Node::new(), Node::new());
    let other = ChannelId(2);
    a.signals.channel_up(other);
    let monitor = a.monitor(other, 2, 1);
    a.hear(Notice::Down { reference: monitor.0, reason: DownReason::Stopped });
    a.hear(Notice::Down { reference: 99, reason: DownReason::Stopped });
    a.hear(Notice::Exit { from: "2".to_owned(), to: "4".to_owned(), reason: DownReason::Stopped });
    talk(&mut a, &mut b);
    assert_eq!((a.told(), a.exits.len()), (vec![], 0));
}

#[test]
fn tables_and_what_waits_to_be_said_are_bounded() {
    let limits = SignalLimits { monitors_max: 3 };
    let (mut a, mut b) = (Node::bounded(limits), Node::bounded(limits));
    for token in 0..3 {
        a.monitor(CHANNEL, 2, token);
    }
    let refused = a.with(|signals, lookup, out| signals.monitor(CHANNEL, "2", 9, lookup, out));
    assert_eq!(refused, Err(TooMany { limit: 3 }));
    talk(&mut a, &mut b);
    // One that does not keep to it is refused there.
    for reference in 100..110 {
        b.hear(Notice::Monitor { reference, actor: "2".to_owned() });
    }
    assert_eq!(b.signals.len(), (0, 3));
    let refusals = b.signals.poll_transmit(CHANNEL, 100);
    assert!(refusals.iter().all(|n| matches!(n, Notice::Down { reason: DownReason::Refused, .. })));
    assert_eq!(refusals.len(), 10);
    for reference in 100..120 {
        b.hear(Notice::Monitor { reference, actor: "2".to_owned() });
    }
    assert_eq!(b.overflows, 8);
}

#[test]
fn a_hundred_thousand_that_end_at_once_are_told_once_each_in_pieces() {
    let (mut a, mut b) = (Node::new(), Node::new());
    for number in 0..100_000 {
        a.monitor(CHANNEL, u64::from(number) * 2, number);
    }
    talk(&mut a, &mut b);
    for number in 0..100_000 {
        b.end(number * 2, DownReason::Stopped);
    }
    while let heard = b.signals.poll_transmit(CHANNEL, 1024)
        && !heard.is_empty()
    {
        assert!(heard.len() <= 1024);
        heard.into_iter().for_each(|notice| a.hear(notice));
    }
    let told = a.told();
    assert!(told.len() == 100_000 && told.iter().zip(0..).all(|((token, _), number)| *token == number));
    assert!(a.signals.is_empty() && b.signals.is_empty());
}

proptest! {
    #[test]
    fn every_monitor_ends_in_one_word_or_was_taken_back_and_nothing_is_left(
        steps in proptest::collection::vec((0..8u8, 0..6u64, 0..6u64), 0..80)
    ) {
        let (mut a, mut b) = (Node::new(), Node::new());
        let (mut open, mut taken_back, mut token) = (Vec::new(), HashSet::new(), 0);
        for (step, one, other) in steps {
            match step {
                0 | 1 => {
                    token += 1;
                    let channel = if step == 0 { CHANNEL } else { ChannelId::OWN };
                    open.push((a.monitor(channel, one, token), token));
                }
                2 if !open.is_empty() => {
                    let place = usize::try_from(one).unwrap() % open.len();
                    let (monitor, token) = open.swap_remove(place);
                    if a.with(|signals, _, out| signals.demonitor(monitor, out)).is_some() {
                        taken_back.insert(token);
                    }
                }
                3 if one.is_multiple_of(2) && !a.gone.contains(&one) => a.link(one, CHANNEL, other),
                4 => b.end(one, DownReason::Stopped),
                5 => a.end(one, DownReason::Panicked),
                6 => drop(a.with(|signals, _, out| {
                    signals.unlink(&one.to_string(), CHANNEL, &other.to_string(), out)
                })),
                _ => talk(&mut a, &mut b),
            }
        }
        talk(&mut a, &mut b);
        a.lose(DownReason::NoConnection);
        b.lose(DownReason::NoConnection);
        for number in [0, 2, 4] {
            a.end(number, DownReason::Stopped);
        }
        let told: Vec<u32> = a.told().into_iter().map(|(token, _)| token).collect();
        let expected: Vec<u32> = (1..=token).filter(|token| !taken_back.contains(token)).collect();
        prop_assert_eq!(told, expected);
        prop_assert!(a.signals.is_empty() && b.signals.is_empty());
    }
}
