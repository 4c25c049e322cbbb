//! Nodes that tell each other of their groups, over channels that are cut.

use proptest::prelude::*;

use super::*;

fn name(name: &str) -> NodeName {
    format!("{name}@h").parse().unwrap()
}

fn group(name: &str) -> GroupName {
    GroupName::new("s", name)
}

fn groups(of: &str) -> Groups {
    Groups::new(name(of), 100_000)
}

/// A channel whose ends have said how many members they keep: so many at the far one.
fn feed_of(keeps: u64) -> Feed {
    let mut feed = Feed::default();
    assert!(matches!(groups("any").poll(&mut feed), Some(GroupNotice::Limit { .. })));
    assert!(feed.hear(&GroupNotice::Limit { members_max: keeps }));
    feed
}

fn open_feed() -> Feed {
    feed_of(u64::MAX)
}

const CHANNEL: ChannelId = ChannelId(1);

/// What `from` has to say, `to` hears; gives what changed, in short words.
fn tell(from: &mut Groups, feed: &mut Feed, to: &mut Groups) -> Vec<String> {
    let mut words = Vec::new();
    while let Some(notice) = from.poll(feed) {
        let events = to.handle(CHANNEL, &from.node, Incarnation(1), notice).unwrap();
        words.extend(events.iter().map(short));
    }
    words
}

fn short(event: &GroupEvent) -> String {
    match event {
        GroupEvent::Joined(group, member) => format!("+{} {}", group.group, member.actor),
        GroupEvent::Left(group, member) => format!("-{} {}", group.group, member.actor),
    }
}

fn actors(members: &[Member]) -> Vec<String> {
    members.iter().map(|member| format!("{} at {}", member.actor, member.node.short())).collect()
}

#[test]
fn a_peer_hears_of_all_members_once_and_then_of_what_changes() {
    let (mut a, mut b, mut feed) = (groups("a"), groups("b"), open_feed());
    assert_eq!(a.poll(&mut feed), None);
    a.join(group("g"), "one").unwrap();
    a.join(group("g"), "one").unwrap();
    b.join(group("g"), "own").unwrap();
    assert_eq!(tell(&mut a, &mut feed, &mut b), ["+g one", "+g one"]);
    a.join(group("h"), "two").unwrap();
    a.leave(group("g"), "one").unwrap();
    assert_eq!(tell(&mut a, &mut feed, &mut b), ["+h two", "-g one"]);
    assert_eq!(actors(&b.members(&group("g"))), ["own at b", "one at a"]);
    assert_eq!(actors(&b.local_members(&group("g"))), ["own at b"]);
    assert_eq!((b.groups("s"), b.groups("other")), (vec!["g".to_owned(), "h".to_owned()], vec![]));
    assert_eq!(b.len(), (1, 2));
}

#[test]
fn joining_twice_counts_twice_and_a_stranger_cannot_leave() {
    let mut a = groups("a");
    a.join(group("g"), "one").unwrap();
    a.join(group("g"), "one").unwrap();
    a.leave(group("g"), "one").unwrap();
    assert_eq!(a.members(&group("g")).len(), 1);
    a.leave(group("g"), "one").unwrap();
    let error = a.leave(group("g"), "one").unwrap_err();
    assert_eq!(error.to_string(), "\"one\" is no member of \"g\" in scope \"s\"");
    assert!(a.is_empty() && a.is_used());
}

#[test]
fn an_actor_that_ends_leaves_every_group_as_often_as_it_joined() {
    let mut a = groups("a");
    for (name, actor) in [("g", "one"), ("g", "one"), ("h", "one"), ("h", "two")] {
        a.join(group(name), actor).unwrap();
    }
    let events: Vec<_> = a.ended("one").iter().map(short).collect();
    assert_eq!(events, ["-g one", "-g one", "-h one"]);
    assert_eq!(a.len(), (1, 0));
}

#[test]
fn members_of_a_node_go_with_that_start_of_it() {
    let (mut a, mut b, mut feed) = (groups("a"), groups("b"), open_feed());
    a.join(group("g"), "one").unwrap();
    tell(&mut a, &mut feed, &mut b);
    assert_eq!(b.node_down(&name("a"), Incarnation(2)), []);
    let events: Vec<_> = b.node_down(&name("a"), Incarnation(1)).iter().map(short).collect();
    assert_eq!(events, ["-g one"]);
    assert!(b.is_empty());
    // The next start begins anew, also if its predecessor was not missed.
    tell(&mut a, &mut open_feed(), &mut b);
    let mut restarted = groups("a");
    restarted.join(group("g"), "two").unwrap();
    let notice = restarted.poll(&mut open_feed()).unwrap();
    let events = b.handle(CHANNEL, &name("a"), Incarnation(2), notice).unwrap();
    assert_eq!(events.iter().map(short).collect::<Vec<_>>(), ["-g one", "+g two"]);
}

#[test]
fn what_comes_over_two_channels_is_taken_once() {
    let (mut a, mut b) = (groups("a"), groups("b"));
    let mut feeds = [open_feed(), open_feed()];
    a.join(group("g"), "one").unwrap();
    assert_eq!(tell(&mut a, &mut feeds[0], &mut b), ["+g one"]);
    assert_eq!(tell(&mut a, &mut feeds[1], &mut b), Vec::<String>::new());
    a.leave(group("g"), "one").unwrap();
    a.join(group("g"), "two").unwrap();
    assert_eq!(tell(&mut a, &mut feeds[1], &mut b), ["-g one", "+g two"]);
    assert_eq!(tell(&mut a, &mut feeds[0], &mut b), Vec::<String>::new());
}

#[test]
fn many_members_travel_in_parts_and_whoever_is_far_behind_gets_all_of_them_again() {
    let (mut a, mut b, mut feed) = (groups("a"), groups("b"), open_feed());
    for number in 0..1000 {
        a.join(group("g"), &number.to_string()).unwrap();
    }
    let first = a.poll(&mut feed).unwrap();
    let GroupNotice::Snapshot { last: false, members, .. } = &first else { panic!("{first:?}") };
    assert_eq!(members.len(), Groups::NOTICE_MAX);
    b.handle(CHANNEL, &name("a"), Incarnation(1), first).unwrap();
    assert!(b.is_empty(), "nothing counts before the last part");
    // It changes while the parts are told.
    a.leave(group("g"), "999").unwrap();
    tell(&mut a, &mut feed, &mut b);
    assert_eq!(b.len(), (0, 999));
    for _ in 0..Groups::RECENT_MAX {
        a.join(group("h"), "one").unwrap();
        a.leave(group("h"), "one").unwrap();
    }
    a.leave(group("g"), "0").unwrap();
    assert_eq!(tell(&mut a, &mut feed, &mut b), ["-g 0"]);
}

#[test]
fn nonsense_is_refused_and_what_was_known_still_holds() {
    let (mut a, mut b) = (groups("a"), Groups::new(name("b"), 3));
    a.join(group("g"), "one").unwrap();
    tell(&mut a, &mut open_feed(), &mut b);
    let mut hear = |notice| b.handle(CHANNEL, &name("a"), Incarnation(1), notice).unwrap_err();
    let change = |joined, actor: &str| Change { group: group("g"), actor: actor.into(), joined };
    let changes = |from, changes: Vec<Change>| GroupNotice::Changes { from, changes };
    assert_eq!(hear(changes(9, vec![change(true, "x")])), GroupBreach::Gap);
    assert_eq!(hear(changes(2, vec![change(false, "x")])), GroupBreach::Stranger);
    assert_eq!(hear(changes(2, vec![change(true, "")])), GroupBreach::BadName);
    let many = GroupNotice::Snapshot {
        version: 9,
        first: true,
        last: true,
        members: vec![(group("g"), "x".into(), u32::MAX)],
    };
    assert_eq!(hear(many), GroupBreach::TooMany { limit: 3 });
    let part = GroupNotice::Snapshot { version: 9, first: false, last: true, members: vec![] };
    assert_eq!(hear(part), GroupBreach::Gap);
    assert_eq!(
        hear(changes(2, (0..5).map(|_| change(true, "x")).collect())),
        GroupBreach::TooMany { limit: 3 }
    );
    assert!(b.len().1 <= 3);
}

#[test]
fn of_a_notice_that_ends_in_nonsense_nothing_is_taken() {
    let (mut a, mut b) = (groups("a"), groups("b"));
    a.join(group("g"), "one").unwrap();
    tell(&mut a, &mut open_feed(), &mut b);
    let change = |joined, actor: &str| Change { group: group("g"), actor: actor.into(), joined };
    let changes = vec![change(true, "x"), change(false, "one"), change(false, "stranger")];
    let notice = GroupNotice::Changes { from: 2, changes };
    // No event was told, so there is nothing that a later one could take back.
    assert_eq!(b.handle(CHANNEL, &name("a"), Incarnation(1), notice), Err(GroupBreach::Stranger));
    assert_eq!(actors(&b.members(&group("g"))), ["one at a"]);
    a.join(group("g"), "two").unwrap();
    let mut feed = open_feed();
    feed.told = Some(1);
    assert_eq!(tell(&mut a, &mut feed, &mut b), ["+g two"]);
}

#[test]
fn nonsense_of_the_next_start_does_not_take_away_its_predecessor_without_a_word() {
    let (mut a, mut b) = (groups("a"), groups("b"));
    a.join(group("g"), "one").unwrap();
    tell(&mut a, &mut open_feed(), &mut b);
    let part = GroupNotice::Snapshot { version: 9, first: false, last: true, members: vec![] };
    assert_eq!(b.handle(CHANNEL, &name("a"), Incarnation(2), part), Err(GroupBreach::Gap));
    let events: Vec<_> = b.node_down(&name("a"), Incarnation(1)).iter().map(short).collect();
    assert_eq!(events, ["-g one"]);
}

#[test]
fn the_last_of_all_numbers_is_a_gap_and_no_overflow() {
    let mut b = groups("b");
    let change = Change { group: group("g"), actor: "x".into(), joined: true };
    for from in [u64::MAX, u64::MAX - 1] {
        let notice = GroupNotice::Changes { from, changes: vec![change.clone(); 3] };
        assert_eq!(b.handle(CHANNEL, &name("a"), Incarnation(1), notice), Err(GroupBreach::Gap));
    }
}

#[test]
fn names_and_numbers_of_members_are_bounded_here_too() {
    let mut a = Groups::new(name("a"), 1);
    for bad in ["", "a\nb", &"x".repeat(256)] {
        assert!(matches!(a.join(group(bad), "one"), Err(GroupError::BadName(_))));
    }
    a.join(group("g"), "one").unwrap();
    assert_eq!(a.join(group("g"), "two"), Err(GroupError::Full { limit: 1 }));
    assert_eq!(a.recent.len(), 1);
}

#[test]
fn a_peer_that_keeps_fewer_members_is_told_of_none_until_they_fit() {
    let (mut a, mut b, mut feed) = (groups("a"), Groups::new(name("b"), 2), feed_of(2));
    a.join(group("g"), "one").unwrap();
    a.join(group("g"), "two").unwrap();
    assert_eq!(tell(&mut a, &mut feed, &mut b), ["+g one", "+g two"]);
    assert_eq!(a.withheld(&name("b"), &feed), None);
    a.join(group("g"), "three").unwrap();
    assert_eq!(tell(&mut a, &mut feed, &mut b), ["-g one", "-g two"], "what was told is taken back");
    let withheld = a.withheld(&name("b"), &feed).unwrap();
    assert_eq!((withheld.members, withheld.keeps, withheld.limit), (3, 2, 100_000));
    let text = withheld.to_string();
    for word in ["b@h", " 3 here", "keeps 2", "100000", "raise"] {
        assert!(text.contains(word), "{text} names no {word}");
    }
    a.join(group("g"), "four").unwrap();
    assert_eq!(tell(&mut a, &mut feed, &mut b), Vec::<String>::new());
    assert_eq!(a.withheld(&name("b"), &feed), None, "once is enough");
    a.leave(group("g"), "one").unwrap();
    a.leave(group("g"), "two").unwrap();
    assert_eq!(tell(&mut a, &mut feed, &mut b), ["+g four", "+g three"]);
    assert_eq!(a.withheld(&name("b"), &feed), None);
    a.join(group("g"), "one").unwrap();
    tell(&mut a, &mut feed, &mut b);
    assert!(a.withheld(&name("b"), &feed).is_some(), "it had fitted in between");
}

#[test]
fn nothing_is_told_before_the_far_end_has_said_what_it_keeps_and_that_counts_once() {
    let (mut a, mut feed) = (groups("a"), Feed::default());
    a.join(group("g"), "one").unwrap();
    assert_eq!(a.poll(&mut feed), Some(GroupNotice::Limit { members_max: 100_000 }));
    assert_eq!(a.poll(&mut feed), None);
    assert!(feed.hear(&GroupNotice::Limit { members_max: 9 }));
    assert!(!feed.hear(&GroupNotice::Limit { members_max: 0 }));
    let Some(GroupNotice::Snapshot { members, .. }) = a.poll(&mut feed) else { panic!() };
    assert_eq!(members.len(), 1);
}

#[test]
fn changes_that_would_be_too_many_on_their_way_are_told_as_a_whole() {
    let (mut a, mut b, mut feed) = (groups("a"), Groups::new(name("b"), 2), feed_of(2));
    a.join(group("g"), "one").unwrap();
    tell(&mut a, &mut feed, &mut b);
    for actor in ["two", "three", "four"] {
        a.join(group("g"), actor).unwrap();
    }
    for actor in ["one", "two"] {
        a.leave(group("g"), actor).unwrap();
    }
    // There were four in between, and nobody was told meanwhile.
    assert_eq!(tell(&mut a, &mut feed, &mut b), ["-g one", "+g four", "+g three"]);
}

proptest! {
    #[test]
    fn peers_end_up_with_what_the_owner_has_whichever_channels_are_cut(
        steps in proptest::collection::vec((0..8u8, 0..3u8, 0..3u8), 0..120), keeps in 0..9usize
    ) {
        // Often fewer than there are.
        let (mut a, mut b) = (groups("a"), Groups::new(name("b"), keeps));
        let mut feeds = [feed_of(keeps as u64), feed_of(keeps as u64)];
        let mut counted: HashMap<String, i64> = HashMap::new();
        let mut count = |events: Vec<GroupEvent>| {
            for event in events {
                let (group, member, step) = match event {
                    GroupEvent::Joined(group, member) => (group, member, 1),
                    GroupEvent::Left(group, member) => (group, member, -1),
                };
                *counted.entry(format!("{} {}", group.group, member.actor)).or_default() += step;
            }
        };
        for (step, one, other) in steps {
            let (group, actor) = (group(&one.to_string()), other.to_string());
            let channel = usize::from(one % 2);
            match step {
                0..=2 => drop(a.join(group, &actor).unwrap()),
                3 => drop(a.leave(group, &actor)),
                4 => drop(a.ended(&actor)),
                // A channel is cut, and its successor begins.
                5 => {
                    feeds[channel] = feed_of(keeps as u64);
                    b.channel_down(ChannelId(channel as u64 + 1), &name("a"));
                }
                _ => if let Some(notice) = a.poll(&mut feeds[channel]) {
                    let id = ChannelId(channel as u64 + 1);
                    count(b.handle(id, &name("a"), Incarnation(1), notice).unwrap());
                },
            }
        }
        for (feed, id) in feeds.iter_mut().zip(1..) {
            while let Some(notice) = a.poll(feed) {
                count(b.handle(ChannelId(id), &name("a"), Incarnation(1), notice).unwrap());
            }
        }
        let mut known: HashMap<String, i64> = HashMap::new();
        for number in 0..3 {
            let of = group(&number.to_string());
            let told = if a.len().0 <= keeps { a.members(&of) } else { Vec::new() };
            prop_assert_eq!(told, b.members(&of));
            for member in b.members(&of) {
                *known.entry(format!("{} {}", of.group, member.actor)).or_default() += 1;
            }
        }
        // Whoever heard nothing but the events knows as much.
        counted.retain(|_, times| *times != 0);
        prop_assert_eq!(counted, known);
    }
}
