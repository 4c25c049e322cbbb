//! A thousand nodes in virtual time: everybody connected with everybody, against everybody with those whose service is
//! used. `cargo test -p farcall-proto --test mesh -- --nocapture` prints the table of the manual.
//!
//! What decides is the real thing: who connects is a matter of rules, who knows what of members and groups, and each end of
//! each connection has the clockwork that a real one has. A network of 0.5 ms is put between.

#![allow(missing_docs, reason = "tests are read, not documented as an API")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test that is wrong about its own data should fail loudly"
)]

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::fmt::Write;
use std::time::{Duration, Instant};

use farcall_proto::cluster::groups::{Feed, GroupName, GroupNotice, Groups};
use farcall_proto::cluster::members::{LinkId, Members, NodeDown, NodeEvent, Peer};
use farcall_proto::cluster::notices::{self, Said};
use farcall_proto::cluster::services::{Rule, Rules, SCOPE};
use farcall_proto::cluster::signals::ChannelId;
use farcall_proto::link::frame;
use farcall_proto::link::liveness::{IoState, Liveness};
use farcall_proto::peer::{Incarnation, NodeName};

const NODES: usize = 1000;
/// So many nodes offer one service, and each node uses one of another.
const PER_SERVICE: usize = 20;
const TICK: Duration = Duration::from_secs(10);
const INTENSITY: u8 = 4;
const LATENCY: Duration = Duration::from_micros(500);
/// IPv4 and TCP with time stamps, without data: what an acknowledgement costs, and a tick beside its own bytes.
const PACKET_BYTES: usize = 52;
/// The node that dies.
const DEAD: usize = 123;

fn service_of(node: usize) -> String {
    format!("s{}", node / PER_SERVICE)
}

fn name(node: usize) -> NodeName {
    format!("{}n{node}@h{node}", service_of(node)).parse().unwrap()
}

fn peer(node: usize) -> Peer {
    Peer { name: name(node), incarnation: Incarnation(node as u64 + 1), hidden: false }
}

/// Each node is connected with those that its rules want: the nodes of the service behind its own.
fn partial() -> Vec<(usize, usize)> {
    let (names, services): (Vec<_>, _) = ((0..NODES).map(name).collect(), NODES / PER_SERVICE);
    let mut links = Vec::new();
    for service in 0..services {
        let used = (service + 1) % services;
        let rules = Rules::new(vec![Rule::new(&format!("^s{used}n"), [format!("s{used}")]).unwrap()]);
        let wanted: Vec<_> = (0..NODES).filter(|to| rules.wanted(&names[*to]).is_some()).collect();
        for from in service * PER_SERVICE..(service + 1) * PER_SERVICE {
            links.extend(wanted.iter().map(|to| (from, *to)));
        }
    }
    links
}

/// Everybody is connected with everybody, once.
fn full() -> Vec<(usize, usize)> {
    (0..NODES).flat_map(|from| (from + 1..NODES).map(move |to| (from, to))).collect()
}

/// One connection, and the clockwork of its two ends.
struct Link {
    ends: [usize; 2],
    clocks: [Liveness; 2],
}

/// What was seen.
struct Seen {
    connections: (usize, usize),
    bytes_per_s: f64,
    offers_known: usize,
    offer_bytes: usize,
    told: usize,
    frozen: (Duration, Duration),
}

/// How many connections a node has at most, and how many on average.
fn connections(links: &[(usize, usize)]) -> (usize, usize) {
    let mut count = vec![0; NODES];
    links.iter().for_each(|(from, to)| [from, to].iter().for_each(|end| count[**end] += 1));
    (count.iter().sum::<usize>() / NODES, *count.iter().max().unwrap())
}

/// What one node says of its groups when a connection begins, and what it knows in the end; the same for each.
fn offers(links: &[(usize, usize)], node: usize) -> (usize, usize) {
    let with = |other: &(usize, usize)| match *other {
        (from, to) if from == node => Some(to),
        (from, to) if to == node => Some(from),
        _ => None,
    };
    let (mut known, mut bytes) = (Groups::new(name(node), NODES), 0);
    for other in links.iter().filter_map(with) {
        let (mut groups, mut feed) = (Groups::new(name(other), NODES), Feed::default());
        feed.hear(&GroupNotice::Limit { members_max: NODES as u64 });
        groups.join(GroupName::new(SCOPE, service_of(other)), "worker").unwrap();
        while let Some(notice) = groups.poll(&mut feed) {
            bytes += notices::encode(&[Said::Groups(notice.clone())]).unwrap().len();
            let channel = ChannelId(other as u64 + 1);
            known.handle(channel, &name(other), Incarnation(1), notice).unwrap();
        }
    }
    (known.len().1, bytes)
}

/// Runs the links of some nodes for a minute, then one of them falls silent; gives bytes per second and node until then,
/// and when those connected with it gave it up.
fn ticks(links: &[(usize, usize)], observed: &[usize]) -> (f64, Vec<Duration>) {
    let (start, mut is_observed) = (Instant::now(), vec![false; NODES]);
    observed.iter().for_each(|node| is_observed[*node] = true);
    let mut tick_frame = Vec::new();
    frame::write_ping(0, &mut tick_frame);
    let tick_bytes = 2 * PACKET_BYTES + tick_frame.len();
    let mut sim: Vec<Link> = Vec::new();
    for (nth, (from, to)) in links.iter().enumerate() {
        if is_observed[*from] || is_observed[*to] {
            // Connected one after the other, within a tick.
            let at = start + TICK.mul_f64(nth as f64 / links.len() as f64);
            let clock = || Liveness::new(TICK, INTENSITY, TICK, TICK * 3, at).in_step(Some(start));
            sim.push(Link { ends: [*from, *to], clocks: [clock(), clock()] });
        }
    }
    // Not on a tick.
    let (dies, ends) = (start + 6 * TICK + TICK / 7, start + 9 * TICK);
    let mut queue: BinaryHeap<Reverse<(Instant, usize, usize, bool)>> = BinaryHeap::new();
    let idle = IoState::default();
    for (link, sides) in sim.iter().enumerate() {
        (0..2).for_each(|end| queue.push(Reverse((sides.clocks[end].poll_timeout(&idle), link, end, false))));
    }
    let (mut sent, mut given_up) = (0_usize, Vec::new());
    let mut gone = vec![[false; 2]; sim.len()];
    while let Some(Reverse((now, link, end, arrives))) = queue.pop() {
        if now >= ends {
            break;
        }
        let silent = |node: usize| node == DEAD && now >= dies;
        let sides = &mut sim[link];
        if gone[link][end] || silent(sides.ends[end]) {
            continue;
        }
        if arrives {
            sides.clocks[end].received(now);
            continue;
        }
        match sides.clocks[end].handle_timeout(now, &idle) {
            Ok(true) => {
                // What this node has to carry: its own tick with its acknowledgement, and as much from the other end.
                if is_observed[sides.ends[end]] && now > start + TICK && now < dies {
                    sent += 1;
                }
                queue.push(Reverse((now + LATENCY, link, 1 - end, true)));
            }
            Ok(false) => {}
            Err(_) => {
                gone[link][end] = true;
                given_up.push(now - dies);
                continue;
            }
        }
        queue.push(Reverse((sides.clocks[end].poll_timeout(&idle), link, end, false)));
    }
    let seconds = (dies - start - TICK).as_secs_f64();
    let per_node = (sent * 2 * tick_bytes) as f64 / seconds / observed.len() as f64;
    (per_node, given_up)
}

/// Who is told that a node is down, when its connections end.
fn told(links: &[(usize, usize)]) -> usize {
    let mut members: HashMap<usize, Members> = HashMap::new();
    let its: Vec<_> =
        links.iter().enumerate().filter(|(_, (from, to))| *from == DEAD || *to == DEAD).collect();
    let other = |from: usize, to: usize| if from == DEAD { to } else { from };
    let link = |nth: usize, from: usize| match from == DEAD {
        true => LinkId::In(nth as u64),
        false => LinkId::Out(nth as u64),
    };
    for (nth, (from, to)) in &its {
        let known = members.entry(other(*from, *to)).or_default();
        known.link_up(link(*nth, *from), &peer(DEAD), |_| {});
    }
    let mut downs = 0;
    for (nth, (from, to)) in &its {
        let known = members.get_mut(&other(*from, *to)).unwrap();
        known.link_down(link(*nth, *from), &name(DEAD), NodeDown::Closed, |event| {
            assert!(matches!(event, NodeEvent::Down(..)));
            downs += 1;
        });
    }
    downs
}

fn see(links: &[(usize, usize)], observed: &[usize]) -> Seen {
    let (bytes_per_s, given_up) = ticks(links, observed);
    let (offers_known, offer_bytes) = offers(links, DEAD);
    let told = told(links);
    assert_eq!(given_up.len(), told, "all that are connected with it give it up, and nobody else");
    Seen {
        connections: connections(links),
        bytes_per_s,
        offers_known,
        offer_bytes,
        told,
        frozen: (*given_up.iter().min().unwrap(), *given_up.iter().max().unwrap()),
    }
}

fn row(table: &mut String, what: &str, partial: impl std::fmt::Display, full: impl std::fmt::Display) {
    writeln!(table, "| {what} | {partial} | {full} |").unwrap();
}

#[test]
fn a_partial_mesh_of_a_thousand_nodes_costs_what_its_services_cost_and_tells_those_who_care_as_soon() {
    // All of the partial mesh; of the full one five nodes and all that they are connected with: the others are like them.
    let sample: Vec<_> = (0..5).map(|nth| DEAD + nth * 177).collect();
    let everybody: Vec<_> = (0..NODES).collect();
    let (partial, full) = (see(&partial(), &everybody), see(&full(), &sample));
    let mut table = String::new();
    let seconds = |time: Duration| format!("{:.1} s", time.as_secs_f64());
    row(&mut table, "1,000 nodes, 50 services of 20 nodes; each node uses one", "partial mesh", "full mesh");
    row(&mut table, "---", "---", "---");
    row(&mut table, "connections of a node", partial.connections.0, full.connections.0);
    let bytes = |seen: &Seen| format!("{:.1} kB/s", seen.bytes_per_s / 1000.0);
    row(&mut table, "keepalive of a node, T = 10 s, k = 4", bytes(&partial), bytes(&full));
    let all = |seen: &Seen| format!("{:.1} MB/s", seen.bytes_per_s * NODES as f64 / 2e6);
    row(&mut table, "keepalive of all nodes", all(&partial), all(&full));
    row(&mut table, "offers a node knows of", partial.offers_known, full.offers_known);
    let start = |seen: &Seen| format!("{:.1} kB", seen.offer_bytes as f64 / 1000.0);
    row(&mut table, "offers it hears of when it starts", start(&partial), start(&full));
    row(&mut table, "nodes that are told when one dies", partial.told, full.told);
    let frozen = |seen: &Seen| format!("{} to {}", seconds(seen.frozen.0), seconds(seen.frozen.1));
    row(&mut table, "a frozen process is down after", frozen(&partial), frozen(&full));
    println!("{table}");

    assert_eq!((partial.connections, full.connections), ((40, 40), (999, 999)));
    assert!(partial.bytes_per_s * 20.0 < full.bytes_per_s);
    assert_eq!((partial.offers_known, full.offers_known), (40, 999));
    assert_eq!((partial.told, full.told), (40, 999));
    let give = TICK / u32::from(INTENSITY);
    for seen in [&partial, &full] {
        assert!(seen.frozen.0 > TICK - give - LATENCY && seen.frozen.1 < TICK + give, "{:?}", seen.frozen);
    }
    // The manual shows what this prints.
    let manual = include_str!("../../farcall/src/manual/cluster.md");
    for line in table.lines().filter(|line| !line.contains("---")) {
        assert!(manual.contains(line), "the manual does not have this line:\n{line}");
    }
}
