//! Services, decided without a node: whom rules want, when they are tried, who gets a call. The numbers are those of the
//! predecessor's test cases.

#![allow(missing_docs, reason = "tests are read, not documented as an API")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that is wrong about its own data should fail loudly"
)]

use std::collections::HashSet;
use std::slice::from_ref;
use std::time::{Duration, Instant};

use farcall_proto::cluster::groups::Member;
use farcall_proto::cluster::services::{
    Candidate, Intervals, Policy, Report, Rule, Rules, Scans, choose, report, runs, surely_elsewhere,
};
use farcall_proto::failure::{Failed, Failure, NotSent, Rejected, Unknown};
use farcall_proto::peer::NodeName;

fn name(name: &str) -> NodeName {
    name.parse().unwrap()
}

fn rules(rules: &[(&str, &[&str])]) -> Rules {
    let rule = |(nodes, services): &(&str, &[&str])| Rule::new(nodes, services.iter().copied()).unwrap();
    Rules::new(rules.iter().map(rule).collect())
}

fn candidate(node: &str) -> Candidate {
    let member = Member { node: name(node), actor: "a".to_owned() };
    Candidate { member, draining: false, load: 0 }
}

/// Which nodes are chosen, of so many draws.
fn drawn(candidates: &[Candidate], own: &str, policy: Policy) -> HashSet<String> {
    let draw = |number: u64| {
        // Evenly spread over all numbers, in both places.
        let random = [number << 57, number.reverse_bits()];
        choose("s", candidates, &name(own), &[], policy, random).unwrap().member.node.to_string()
    };
    (0..101).map(draw).collect()
}

/// Case 194; and the anchored patterns of the predecessor's own documentation, which never worked there.
#[test]
fn a_rule_means_what_it_says_for_the_short_name_and_for_the_whole() {
    let rules = rules(&[
        ("^web[0-9]+$", &["header", "nav"]),
        ("^web", &["fallback"]),
        (r"@10\.0\.0\.", &["content"]),
        ("^db@h$", &["rows"]),
    ]);
    let wanted = |node: &str| rules.wanted(&name(node)).map(<[_]>::to_vec);
    assert_eq!(wanted("web1@any"), Some(vec!["header".to_owned(), "nav".to_owned()]));
    assert_eq!(wanted("web1x@any"), Some(vec!["fallback".to_owned()]));
    assert_eq!(wanted("x@10.0.0.7"), Some(vec!["content".to_owned()]));
    assert_eq!(wanted("db@h"), Some(vec!["rows".to_owned()]));
    assert_eq!((wanted("db@hh"), wanted("other@h")), (None, None));
    assert_eq!(Rules::default().wanted(&name("web1@any")), None);
}

/// Cases 205, 208: names of services are exact, and a node that no rule is about is not used.
#[test]
fn a_service_is_used_from_the_nodes_that_its_rule_wants_it_from() {
    let some = rules(&[("^web", &["header"])]);
    assert!(some.uses(&name("web@h"), "header"));
    assert!(!some.uses(&name("web@h"), "head") && !some.uses(&name("db@h"), "header"));
    assert!(Rules::default().uses(&name("db@h"), "anything"));
}

#[test]
fn a_pattern_that_is_none_is_refused_by_name() {
    let error = Rule::new("web(", ["s"]).unwrap_err();
    assert_eq!(error.pattern, "web(");
    assert!(error.to_string().contains("unclosed group"), "{error}");
    let large = Rule::new(r"(\w{100}){100}", ["s"]).unwrap_err();
    assert!(large.to_string().contains("size limit"), "{large}");
    assert!(Rule::new("", ["s"]).is_err() && Rule::new(&"x".repeat(2000), ["s"]).is_err());
}

/// Cases 196, 197.
#[test]
fn somebody_on_the_callers_host_always_gets_the_call_and_of_several_there_each_does() {
    let one = [candidate("a@h"), candidate("b@other"), candidate("c@other")];
    assert_eq!(drawn(&one, "me@h", Policy::Random).into_iter().collect::<Vec<_>>(), ["a@h"]);
    let two = [candidate("a@h"), candidate("b@other"), candidate("c@h")];
    let both: HashSet<_> = ["a@h".to_owned(), "c@h".to_owned()].into();
    assert_eq!(drawn(&two, "me@h", Policy::Random), both);
    let far = [candidate("a@x"), candidate("b@y")];
    assert_eq!(drawn(&far, "me@h", Policy::Random).len(), 2);
}

/// Cases 181, 198, 200; and the last node of a service that is lost, which crashed the predecessor's caller.
#[test]
fn with_nobody_to_call_the_error_says_whether_anybody_was_there() {
    let why = |candidates: &[Candidate], tried: &[NodeName]| {
        let none = choose("s", candidates, &name("me@h"), tried, Policy::Random, [0; 2]).unwrap_err();
        none.to_string()
    };
    assert_eq!(why(&[], &[]), "no node serves \"s\": none that is connected offers it");
    let drains = Candidate { draining: true, ..candidate("a@h") };
    assert_eq!(why(&[drains], &[]), "no node serves \"s\": all that offer it are draining");
    let tried = [name("a@h")];
    assert_eq!(why(&[candidate("a@h")], &tried), "no node serves \"s\": all that offer it were tried");
}

#[test]
fn whoever_drains_or_was_tried_is_passed_over() {
    let draining = Candidate { draining: true, ..candidate("a@h") };
    let all = [draining, candidate("b@h"), candidate("c@x")];
    assert_eq!(drawn(&all, "me@h", Policy::Random).into_iter().collect::<Vec<_>>(), ["b@h"]);
    let next = choose("s", &all, &name("me@h"), &[name("b@h")], Policy::Random, [0; 2]).unwrap();
    assert_eq!(next.member.node, name("c@x"));
}

#[test]
fn of_two_the_less_busy_one_is_chosen() {
    let busy = Candidate { load: 9, ..candidate("a@x") };
    let both = [busy, candidate("b@x")];
    assert_eq!(drawn(&both, "me@h", Policy::LeastBusy).into_iter().collect::<Vec<_>>(), ["b@x"]);
}

#[test]
fn only_what_surely_did_not_run_and_is_not_its_own_fault_goes_elsewhere() {
    let yes: [Failure; 6] = [
        NotSent::Draining("b".into()).into(),
        NotSent::ConnectFailed("refused".into()).into(),
        NotSent::Disconnected("closed".into()).into(),
        Rejected::Draining.into(),
        Rejected::NoSuchActor.into(),
        Rejected::Busy("mailbox".into()).into(),
    ];
    let no: [Failure; 8] = [
        NotSent::DeadlineBeforeWrite.into(),
        NotSent::TooLarge { bytes: 2, limit: 1 }.into(),
        Rejected::Unauthorized.into(),
        Rejected::Decode("no".into()).into(),
        Rejected::Expired.into(),
        Failed::Panicked.into(),
        Unknown::LinkLost("closed".into()).into(),
        Unknown::Timeout.into(),
    ];
    assert!(yes.iter().all(surely_elsewhere));
    assert!(!no.iter().any(surely_elsewhere));
}

/// Case 189.
#[test]
fn of_a_hundred_casts_so_many_run_as_was_asked() {
    let count = |percentage| (0..100_u64).filter(|n| runs(percentage, n * (u64::MAX / 100))).count();
    assert_eq!([0, 1, 50, 99].map(count), [0, 2, 51, 100]);
    assert!((0..1000_u64).all(|n| runs(100, n.wrapping_mul(u64::MAX / 1000)) && !runs(0, n)));
    assert!(runs(100, u64::MAX));
}

/// Cases 183, 186, 187.
#[test]
fn answers_of_many_nodes_are_uniform_or_named() {
    let answers = |values: &[u8]| {
        let nodes = ["a@h", "b@h", "c@h"].into_iter().map(name);
        nodes.zip(values.iter().copied()).collect::<Vec<_>>()
    };
    assert_eq!(report(answers(&[7, 7, 7])), Some(Report::Uniform(7)));
    assert_eq!(report(answers(&[7])), Some(Report::Uniform(7)));
    assert_eq!(report(answers(&[7, 8])), Some(Report::NonUniform(answers(&[7, 8]))));
    assert_eq!(report::<u8>(vec![]), None);
}

const WORKER: Duration = Duration::from_secs(4);

/// Case 195, 213: a node that does not answer is tried ten times, and again when a scan of the world names it.
#[test]
fn a_node_is_tried_ten_times_and_then_left_to_the_next_world_scan() {
    let (mut now, web) = (Instant::now(), name("web@h"));
    let mut scans = Scans::new(Intervals::default());
    scans.named([web.clone()], now);
    for nth in 0..10 {
        assert_eq!(scans.poll_timeout(), Some(now));
        assert_eq!(scans.poll(now), from_ref(&web));
        // While it is tried it is not due again, also if it is named again.
        scans.named([web.clone()], now);
        assert_eq!((scans.poll(now), scans.poll_timeout()), (vec![], None));
        scans.failed(&web, now);
        // Sooner at first: most often it restarts.
        now += (WORKER / 8 * 2_u32.pow(nth)).min(WORKER);
    }
    assert_eq!((scans.poll(now), scans.poll_timeout()), (vec![], None));
    scans.named([web.clone()], now);
    assert_eq!(scans.poll(now), [web]);
}

/// Cases 210, 211, 214: what is connected is let be, and what is lost is tried again soon.
#[test]
fn a_connected_node_is_let_be_and_one_that_is_lost_is_tried_again_soon() {
    let (now, web) = (Instant::now(), name("web@h"));
    let mut scans = Scans::new(Intervals::default());
    scans.named([web.clone()], now);
    assert_eq!(scans.poll(now), from_ref(&web));
    scans.up(&web);
    scans.named([web.clone()], now + WORKER);
    assert_eq!(scans.poll(now + WORKER), []);
    scans.down(&web, now);
    scans.down(&name("stranger@h"), now);
    assert_eq!(scans.poll(now), []);
    assert_eq!(scans.poll_timeout(), Some(now + WORKER / 8));
    assert_eq!(scans.poll(now + WORKER / 8), [web]);
}

/// Case 219: another list of hosts names other nodes.
#[test]
fn a_node_that_is_named_no_more_is_forgotten_unless_it_is_connected() {
    let (now, old, kept, new) = (Instant::now(), name("old@h"), name("kept@h"), name("new@h"));
    let mut scans = Scans::new(Intervals::default());
    scans.named([old.clone(), kept.clone()], now);
    assert_eq!(scans.poll(now).len(), 2);
    scans.failed(&old, now);
    scans.up(&kept);
    scans.named([new.clone()], now);
    assert_eq!(scans.poll(now + WORKER), [new]);
    // It was connected: lost, it is tried again until the next scan.
    scans.down(&kept, now);
    assert_eq!(scans.poll(now + WORKER), [kept]);
}

#[test]
fn no_more_nodes_are_kept_in_mind_than_the_limit_whoever_is_named_and_whoever_is_up() {
    let now = Instant::now();
    let batch = |word: &str| -> Vec<NodeName> {
        (0..Scans::NODES_MAX).map(|nth| name(&format!("{word}{nth}@h"))).collect()
    };
    let mut scans = Scans::new(Intervals::default());
    let (old, new) = (batch("old"), batch("new"));
    scans.named(old.clone(), now);
    assert_eq!(scans.poll(now).len(), Scans::NODES_MAX);
    old.iter().take(10).for_each(|node| scans.up(node));
    scans.named(new.clone(), now);
    assert_eq!(scans.len(), Scans::NODES_MAX, "those that are up and not named any more count, too");
    assert_eq!(scans.poll(now).len(), Scans::NODES_MAX, "what is named comes first");
    scans.up(&name("one-more@h"));
    scans.named(new.iter().take(5).cloned(), now);
    scans.named(old, now);
    assert_eq!(scans.len(), Scans::NODES_MAX);
}

#[test]
fn a_node_that_is_named_twice_in_a_scan_is_one_node_and_keeps_its_state() {
    let (now, web) = (Instant::now(), name("web@h"));
    let mut scans = Scans::new(Intervals::default());
    scans.named([web.clone(), web.clone()], now);
    assert_eq!((scans.len(), scans.poll(now)), (1, vec![web.clone()]));
    scans.up(&web);
    scans.named([web.clone(), web.clone()], now);
    assert_eq!((scans.poll(now), scans.poll_timeout()), (vec![], None), "it is up, and not due again");
    let many = std::iter::repeat_n(web.clone(), Scans::NODES_MAX).chain([name("last@h")]);
    scans.named(many, now);
    assert_eq!(scans.len(), 2, "names that stand there again take nobody's place");
}
