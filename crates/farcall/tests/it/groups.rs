//! Groups across nodes: who is a member where, who is chosen, and what a message to all of them costs.

use std::time::Duration;

use actix::prelude::*;
use farcall::cluster::{Group, GroupError, GroupEvent, GroupEvents, JoinError, Pick};
use farcall::prelude::*;

use crate::fixture::{Add, Counter, Panic, PhoneBook, Total, builder, eventually, nodes, target};
use crate::proxy::Proxy;

async fn next(events: &mut GroupEvents) -> String {
    let next = tokio::time::timeout(Duration::from_secs(5), events.next()).await;
    match next.expect("nothing changed within five seconds").expect("the node lives").unwrap() {
        GroupEvent::Joined(_, member) => format!("+{} at {}", member.actor, member.node.short()),
        GroupEvent::Left(_, member) => format!("-{} at {}", member.actor, member.node.short()),
    }
}

fn members(group: &Group) -> Vec<String> {
    let members = group.members().into_iter();
    members.map(|member| format!("{} at {}", member.actor, member.node.short())).collect()
}

async fn sees(node: &Node, expected: &[&str]) {
    let group = node.group("g");
    let what = format!("{} sees {expected:?}", node.name());
    eventually(&what, || members(&group) == expected).await;
}

#[actix::test]
async fn both_ends_of_one_connection_see_the_members_of_the_other() {
    let all = nodes(2).await;
    let [alpha, beta_node] = &all[..] else { panic!() };
    for node in &all {
        node.group("g").join("counter").unwrap();
    }
    sees(alpha, &["counter at n0"]).await;
    // Only alpha asks: beta hears of alpha's over the same connection.
    alpha.connect(&target(beta_node)).await.unwrap();
    sees(alpha, &["counter at n0", "counter at n1"]).await;
    sees(beta_node, &["counter at n1", "counter at n0"]).await;
    assert!(beta_node.nodes().is_empty());
    let mut events = beta_node.group("g").subscribe();
    assert_eq!([next(&mut events).await, next(&mut events).await], ["+counter at n1", "+counter at n0"]);
    alpha.group("g").join("counter").unwrap();
    alpha.group("other").join("counter").unwrap();
    alpha.group("g").leave("counter").unwrap();
    assert_eq!([next(&mut events).await, next(&mut events).await], ["+counter at n0", "-counter at n0"]);
    assert_eq!(alpha.groups("pg"), ["g", "other"]);
    assert_eq!(beta_node.group_members(), (1, 2));
}

#[actix::test]
async fn a_member_that_ends_or_gives_its_name_back_leaves_everywhere() {
    let all = nodes(2).await;
    let [alpha, beta_node] = &all[..] else { panic!() };
    let beta = target(beta_node);
    alpha.connect(&beta).await.unwrap();
    let guard = beta_node.register("brief", Counter::default().start()).unwrap();
    for actor in ["counter", "counter", "brief"] {
        beta_node.group("g").join(actor).unwrap();
    }
    sees(alpha, &["brief at n1", "counter at n1", "counter at n1"]).await;
    drop(guard);
    sees(alpha, &["counter at n1", "counter at n1"]).await;
    alpha.call(&beta, "counter", Panic).await.unwrap_err();
    sees(alpha, &[]).await;
    // The next one of the name is no member by that.
    beta_node.register("counter", Counter::default().start()).unwrap().keep();
    beta_node.group("g").join("counter").unwrap();
    sees(alpha, &["counter at n1"]).await;
}

#[actix::test]
async fn groups_shrink_when_a_connection_is_lost_and_grow_again_with_the_next() {
    let book = PhoneBook::default();
    let beta_node = builder("beta").start().await.unwrap();
    beta_node.register("counter", Counter::default().start()).unwrap().keep();
    beta_node.group("g").join("counter").unwrap();
    let proxy = Proxy::to(beta_node.listening_on()[0]).await;
    book.put(beta_node.name().clone(), proxy.address());
    let alpha = builder("alpha").discovery(book).start().await.unwrap();
    let mut events = alpha.group("g").subscribe();
    for _ in 0..3 {
        alpha.connect(&target(&beta_node)).await.unwrap();
        assert_eq!(next(&mut events).await, "+counter at beta");
        proxy.cut_all();
        assert_eq!(next(&mut events).await, "-counter at beta");
        tokio::time::sleep(alpha.config().backoff_min * 2).await;
    }
}

#[actix::test]
async fn groups_are_seen_over_connections_that_exist_and_make_none() {
    let all = nodes(3).await;
    for node in &all {
        node.group("g").join("counter").unwrap();
    }
    let [left, middle, right] = &all[..] else { panic!() };
    left.connect(&target(middle)).await.unwrap();
    right.connect(&target(middle)).await.unwrap();
    sees(middle, &["counter at n1", "counter at n0", "counter at n2"]).await;
    sees(left, &["counter at n0", "counter at n1"]).await;
    sees(right, &["counter at n2", "counter at n1"]).await;
    assert_eq!((left.nodes(), middle.nodes()), (vec![middle.name().clone()], vec![]));
}

#[actix::test]
async fn a_message_to_all_members_goes_to_each_node_once_and_reaches_each_member_once() {
    let all = nodes(3).await;
    for node in &all {
        node.register("second", Counter::default().start()).unwrap().keep();
        let group = node.group("g");
        for actor in ["counter", "counter", "second"] {
            group.join(actor).unwrap();
        }
    }
    for peer in &all[1..] {
        all[0].connect(&target(peer)).await.unwrap();
    }
    let group = all[0].group("g");
    eventually("all are seen", || group.members().len() == 9).await;
    let report = group.send_all(Add { amount: 2 });
    assert_eq!((report.queued.len(), report.not_sent.len()), (3, 0), "{report:?}");
    let mut casts = 0;
    for node in &all {
        for actor in ["counter", "second"] {
            let own = target(node);
            let mut total = 0;
            while total == 0 {
                total = node.call(&own, actor, Total).await.unwrap();
            }
            assert_eq!(total, 2);
            casts += 1;
        }
    }
    assert_eq!(casts, 6);
}

#[actix::test]
async fn what_the_access_list_forbids_is_not_reached_through_a_group_either() {
    let all = nodes(2).await;
    let [alpha, beta_node] = &all[..] else { panic!() };
    beta_node.group("g").join("counter").unwrap();
    alpha.connect(&target(beta_node)).await.unwrap();
    sees(alpha, &["counter at n1"]).await;
    let guests = farcall::AccessList::default().peer("n0@*", ["other"]).unwrap();
    beta_node.set_access(guests);
    alpha.group("g").send_all(Add { amount: 2 });
    eventually("it was refused", || beta_node.metrics().casts_refused == 1).await;
    beta_node.set_access(farcall::AccessList::default());
    assert_eq!(beta_node.call(&target(beta_node), "counter", Total).await.unwrap(), 0);
}

#[actix::test]
async fn a_member_is_chosen_as_it_was_asked_and_nobody_who_is_about_to_leave() {
    let all = nodes(2).await;
    let [alpha, beta_node] = &all[..] else { panic!() };
    let group = alpha.group("g");
    assert_eq!(group.pick(Pick::Random), None);
    beta_node.group("g").join("counter").unwrap();
    alpha.connect(&target(beta_node)).await.unwrap();
    sees(alpha, &["counter at n1"]).await;
    let (to, actor) = group.pick(Pick::LocalFirst).unwrap();
    assert_eq!(alpha.call(&to, actor.as_str(), Add { amount: 1 }).await.unwrap(), 1);
    group.join("counter").unwrap();
    for _ in 0..50 {
        assert_eq!(group.pick(Pick::LocalFirst).unwrap().0, target(alpha));
    }
    let key = Pick::Key(farcall::Key::new("user 7"));
    let chosen = group.pick(key).unwrap();
    assert!((0..50).all(|_| group.pick(key).unwrap() == chosen));
    let seen: std::collections::HashSet<_> = (0..200).map(|_| group.pick(Pick::Random).unwrap().0).collect();
    assert_eq!(seen.len(), 2);
    let gate = crate::actors::gate(beta_node);
    let running = alpha.async_call(&target(beta_node), "gate", crate::actors::PassGate { number: 1 });
    eventually("the handler runs", || gate.entered() == 1).await;
    let meanwhile = async {
        eventually("alpha has heard of it", || alpha.nodes().is_empty()).await;
        assert!((0..50).all(|_| group.pick(Pick::Random).unwrap().0 == target(alpha)));
        gate.let_through(1);
    };
    let (finished, ()) = futures::join!(beta_node.shutdown(), meanwhile);
    assert!(finished);
    running.await.unwrap();
    sees(alpha, &["counter at n0"]).await;
}

#[actix::test]
async fn the_longest_names_are_told_where_messages_have_to_be_small() {
    let small = |builder: farcall::NodeBuilder| {
        builder.configure(|config| {
            config.message_bytes_max = 4 << 10;
            config.fragment_bytes = 4 << 10;
        })
    };
    let all = crate::fixture::nodes_with(2, small).await;
    let [alpha, beta_node] = &all[..] else { panic!() };
    let long = |nth: usize| format!("{nth:0>255}");
    let mut watched = Vec::new();
    for nth in 0..10 {
        beta_node.register(&long(nth), Counter::default().start()).unwrap().keep();
        beta_node.group_in(long(nth), long(nth)).join(&long(nth)).unwrap();
        watched.push(alpha.monitor(&target(beta_node), &long(nth)).unwrap());
    }
    alpha.group("any");
    eventually("all are seen", || alpha.group_members() == (0, 10)).await;
    eventually("all are watched", || beta_node.monitors().1 == 10).await;
    (0..10).for_each(|nth| assert!(beta_node.unregister(&long(nth))));
    for monitor in watched {
        assert_eq!(monitor.await.reason, farcall::cluster::DownReason::Normal);
    }
    eventually("all have left", || alpha.group_members() == (0, 0)).await;
}

#[actix::test]
async fn hidden_nodes_have_no_part_in_groups_and_limits_are_named() {
    let book = PhoneBook::default();
    let seen = builder("seen").configure(|config| config.group_members_max = 1).start().await.unwrap();
    book.enter(&seen);
    let hidden = |config: &mut Config| config.hidden = true;
    let unseen = builder("unseen").discovery(book).configure(hidden).start().await.unwrap();
    for node in [&seen, &unseen] {
        node.register("counter", Counter::default().start()).unwrap().keep();
        node.group("g").join("counter").unwrap();
    }
    unseen.call(&target(&seen), "counter", Total).await.unwrap();
    assert!(unseen.monitor(&target(&seen), "nobody").unwrap().await.reason.to_string().contains("no actor"));
    assert_eq!(members(&unseen.group("g")), ["counter at unseen"]);
    assert_eq!(members(&seen.group("g")), ["counter at seen"]);
    let full = seen.group("h").join("counter").unwrap_err();
    assert_eq!(full, JoinError::Group(GroupError::Full { limit: 1 }));
    assert_eq!(seen.group("g").join("nobody"), Err(JoinError::NoSuchActor("nobody".into())));
    let stranger = seen.group("h").leave("counter").unwrap_err();
    assert_eq!(stranger.to_string(), "\"counter\" is no member of \"h\" in scope \"pg\"");
}

#[actix::test]
async fn a_peer_that_keeps_fewer_members_is_told_of_none_until_they_fit_and_its_session_goes_on() {
    let book = PhoneBook::default();
    let small = |config: &mut Config| config.group_members_max = 1;
    let beta_node = builder("beta").configure(small).start().await.unwrap();
    book.enter(&beta_node);
    let alpha = builder("alpha").discovery(book).start().await.unwrap();
    for name in ["one", "two"] {
        alpha.register(name, Counter::default().start()).unwrap().keep();
        alpha.group("g").join(name).unwrap();
    }
    beta_node.register("counter", Counter::default().start()).unwrap().keep();
    let seen = beta_node.group("g");
    let monitor = alpha.monitor(&target(&beta_node), "counter").unwrap();
    let told = |node: &Node, reason: &str| -> Vec<String> {
        let events = node.inspect().events.into_iter();
        events.filter(|event| event.reason == reason).map(|event| event.text).collect()
    };
    eventually("alpha says why it tells nothing", || !told(&alpha, "groups_withheld").is_empty()).await;
    let why = told(&alpha, "groups_withheld").remove(0);
    for word in ["beta@", "there are 2 here", "keeps 1", "65536", "raise"] {
        assert!(why.contains(word), "{why}");
    }
    alpha.group("h").join("two").unwrap();
    assert_eq!(members(&seen), Vec::<String>::new());
    alpha.group("h").leave("two").unwrap();
    alpha.group("g").leave("one").unwrap();
    eventually("what fits is told", || members(&seen) == ["two at alpha"]).await;
    assert_eq!(told(&alpha, "groups_withheld").len(), 1, "it is said once");
    assert_eq!(told(&beta_node, "groups"), Vec::<String>::new(), "nothing was refused");
    assert!(beta_node.unregister("counter"));
    let reason = monitor.await.reason;
    assert_eq!(reason, farcall::cluster::DownReason::Normal, "the session of the beginning still stands");
}
