//! The rows of each page: cells to read, and numbers to sort by.

use farcall::inspect::{ActorRate, ActorView, LinkRate, LinkState, LinkView, NodeView, Rates};

use super::state::Page;
use crate::inside::way;
use crate::inside::words::{age, bytes, count, rate, time, times};

/// How a row stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Health {
    Well,
    /// Not as it should be, and nothing is lost yet.
    Uneasy,
    Ill,
}

/// One row.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) cells: Vec<String>,
    /// What a column is sorted by, the largest first; texts by themselves.
    pub(crate) keys: Vec<f64>,
    pub(crate) health: Health,
    /// All that is known of it.
    pub(crate) detail: Vec<(String, String)>,
}

/// A column: its head, how wide it is at least, and whether it takes what is left.
pub(crate) type Head = (&'static str, u16, bool);

/// The columns of a page. What is at the right end is cut first where a terminal is narrow.
pub(crate) fn heads(page: Page) -> &'static [Head] {
    match page {
        Page::Links => &[
            ("PEER", 16, true),
            ("WAY", 4, false),
            ("STATE", 7, false),
            ("RTT", 6, false),
            ("IN/s", 5, false),
            ("OUT/s", 5, false),
            ("UNSENT", 6, false),
            ("WAIT", 5, false),
            ("MISS", 4, false),
            ("Bin/s", 6, false),
            ("Bout/s", 6, false),
            ("AGE", 6, false),
        ],
        Page::Actors => &[
            ("ACTOR", 22, true),
            ("WAIT", 6, false),
            ("CALLS/s", 7, false),
            ("P50", 7, false),
            ("P99", 7, false),
            ("ERR/s", 6, false),
            ("HANDLED", 8, false),
            ("ERRORS", 8, false),
        ],
        Page::Nodes => &[("NODE", 28, true), ("STATE", 10, false), ("LINKS", 8, false), ("START", 16, false)],
        Page::Groups => {
            &[("GROUP", 24, true), ("SCOPE", 10, false), ("MEMBERS", 7, false), ("NODES", 30, false)]
        }
        Page::Limits => &[("NAME", 24, true), ("VALUE", 12, false), ("LIMIT", 12, false), ("FULL", 5, false)],
        Page::Events => &[
            ("AGO", 6, false),
            ("LEVEL", 5, false),
            ("REASON", 14, false),
            ("PEER", 18, false),
            ("WHAT", 30, true),
        ],
    }
}

pub(crate) fn rows(page: Page, view: &NodeView, rates: &Rates) -> Vec<Row> {
    match page {
        Page::Links => {
            view.links.iter().zip(&rates.links).map(|(link, rate)| of_link(link, rate, view)).collect()
        }
        Page::Actors => {
            view.actors.iter().zip(&rates.actors).map(|(actor, rate)| of_actor(actor, rate, view)).collect()
        }
        Page::Nodes => of_nodes(view),
        Page::Groups => of_groups(view),
        Page::Limits => of_limits(view),
        Page::Events => of_events(view),
    }
}

#[expect(clippy::cast_precision_loss, reason = "to sort by")]
fn key(number: u64) -> f64 {
    number as f64
}

fn limit(view: &NodeView, setting: &str) -> u64 {
    view.limits.iter().find(|limit| limit.name == setting).map_or(u64::MAX, |limit| limit.value)
}

fn of_link(link: &LinkView, rates: &LinkRate, view: &NodeView) -> Row {
    let half_gone = u64::from(link.ticks_missed) * 2 >= limit(view, "tick_intensity");
    let nearly_full = link.unsent_bytes >= limit(view, "unsent_bytes_max") / 2
        || link.in_flight >= limit(view, "in_flight_max") / 2;
    let health = match &link.state {
        LinkState::Backoff { .. } => Health::Ill,
        LinkState::Up if half_gone => Health::Ill,
        LinkState::Up if nearly_full || link.ticks_missed > 1 => Health::Uneasy,
        LinkState::Up | LinkState::Idle => Health::Well,
        LinkState::Connecting | LinkState::Closing { .. } => Health::Uneasy,
    };
    let rtt = link.rtt_us.map_or_else(|| "-".to_owned(), time);
    let why = match &link.state {
        LinkState::Backoff { left_ms: 0, why } => format!("the last attempt failed: {why}"),
        LinkState::Backoff { left_ms, why } => format!("not dialled for {left_ms} ms: {why}"),
        LinkState::Closing { why } => why.clone(),
        _ => link.state.word().to_owned(),
    };
    Row {
        cells: vec![
            link.peer.clone(),
            way(link).replace(' ', ""),
            link.state.word().to_owned(),
            rtt.clone(),
            rate(rates.messages_in),
            rate(rates.messages_out),
            bytes(link.unsent_bytes),
            count(link.in_flight),
            link.ticks_missed.to_string(),
            bytes_rate(rates.bytes_in),
            bytes_rate(rates.bytes_out),
            age(link.age_us),
        ],
        keys: vec![
            0.0,
            0.0,
            0.0,
            key(link.rtt_us.unwrap_or_default()),
            rates.messages_in,
            rates.messages_out,
            key(link.unsent_bytes),
            key(link.in_flight),
            f64::from(link.ticks_missed),
            rates.bytes_in,
            rates.bytes_out,
            key(link.age_us),
        ],
        health,
        detail: details(&[
            ("peer", &link.peer),
            ("way", &if link.outgoing { "this node asks over it" } else { "this node answers over it" }),
            ("lane", &link.lane),
            ("epoch", &link.epoch),
            ("state", &why),
            ("at", &link.at),
            ("up for", &age(link.age_us)),
            ("round trip", &rtt),
            ("messages in, out", &format!("{}, {}", link.messages_in, link.messages_out)),
            ("bytes in, out", &format!("{}, {}", link.bytes_in, link.bytes_out)),
            ("unsent bytes", &format!("{} of {}", link.unsent_bytes, limit(view, "unsent_bytes_max"))),
            (
                "requests without an answer",
                &format!("{} of {}", link.in_flight, limit(view, "in_flight_max")),
            ),
            ("ticks missed", &link.ticks_missed),
        ]),
    }
}

fn of_actor(actor: &ActorView, rates: &ActorRate, view: &NodeView) -> Row {
    let [p50, p99] = times(&rates.times);
    let [p50_ever, p99_ever] = times(&actor.times);
    let troubles: u64 = actor.troubles.iter().map(|trouble| trouble.count).sum();
    let (waiting_max, bytes_max) = (limit(view, "mailbox_messages_max"), limit(view, "mailbox_bytes_max"));
    let full = actor.waiting >= waiting_max || actor.waiting_bytes >= bytes_max;
    let health = match (full, rates.troubles > 0.0 || actor.waiting > waiting_max / 2) {
        (true, _) => Health::Ill,
        (false, true) => Health::Uneasy,
        (false, false) => Health::Well,
    };
    let quantile = |part| rates.times.quantile(part).map_or(0.0, |took| took.as_secs_f64());
    let mut detail = details(&[
        ("actor", &actor.name),
        ("version", &actor.version.as_deref().unwrap_or("none")),
        ("waiting", &format!("{} of {waiting_max}", actor.waiting)),
        ("waiting bytes", &format!("{} of {bytes_max}", actor.waiting_bytes)),
        ("handled", &actor.handled),
        ("p50, p99 lately", &format!("{p50}, {p99}")),
        ("p50, p99 ever", &format!("{p50_ever}, {p99_ever}")),
    ]);
    detail.extend(actor.troubles.iter().map(|trouble| (trouble.reason.clone(), trouble.count.to_string())));
    Row {
        cells: vec![
            actor.name.clone(),
            count(actor.waiting),
            rate(rates.handled),
            p50,
            p99,
            rate(rates.troubles),
            count(actor.handled),
            count(troubles),
        ],
        keys: vec![
            0.0,
            key(actor.waiting),
            rates.handled,
            quantile(0.5),
            quantile(0.99),
            rates.troubles,
            key(actor.handled),
            key(troubles),
        ],
        health,
        detail,
    }
}

fn of_nodes(view: &NodeView) -> Vec<Row> {
    let row = |node: &farcall::inspect::NodeState| {
        let up = view.links.iter().filter(|link| link.peer == node.node && link.state == LinkState::Up);
        let (out, inward): (Vec<_>, Vec<_>) = up.partition(|link| link.outgoing);
        let state = match (node.draining, node.hidden) {
            (true, _) => "draining",
            (false, true) => "hidden",
            (false, false) => "up",
        };
        let links = format!("{}>  <{}", out.len(), inward.len());
        Row {
            cells: vec![node.node.clone(), state.to_owned(), links, format!("{:016x}", node.incarnation)],
            keys: vec![0.0; 4],
            health: if node.draining { Health::Uneasy } else { Health::Well },
            detail: Vec::new(),
        }
    };
    view.nodes.iter().map(row).collect()
}

fn of_groups(view: &NodeView) -> Vec<Row> {
    let row = |group: &farcall::inspect::GroupView| {
        let mut nodes: Vec<&str> = group.members.iter().map(|member| member.node.as_str()).collect();
        nodes.dedup();
        let who = group.members.iter().map(|member| (member.node.clone(), member.actor.clone()));
        Row {
            cells: vec![
                group.group.clone(),
                group.scope.clone(),
                group.members.len().to_string(),
                nodes.join(", "),
            ],
            keys: vec![0.0, 0.0, key(group.members.len() as u64), 0.0],
            health: Health::Well,
            detail: who.collect(),
        }
    };
    view.groups.iter().map(row).collect()
}

fn of_limits(view: &NodeView) -> Vec<Row> {
    let row = |metric: &farcall::inspect::MetricView| {
        let limit = metric.limit.as_ref().map(|limit| limit.value);
        let full = limit.filter(|limit| *limit > 0).map(|limit| key(metric.value) / key(limit));
        Row {
            cells: vec![
                metric.name.clone(),
                metric.value.to_string(),
                limit.map_or_else(|| "-".to_owned(), |limit| limit.to_string()),
                full.map_or_else(|| "-".to_owned(), |full| format!("{:.0}%", full * 100.0)),
            ],
            keys: vec![0.0, key(metric.value), key(limit.unwrap_or_default()), full.unwrap_or(-1.0)],
            health: match full {
                Some(full) if full >= 1.0 => Health::Ill,
                Some(full) if full >= 0.8 => Health::Uneasy,
                _ => Health::Well,
            },
            detail: details(&[
                (&metric.name, &metric.value),
                ("what", &metric.help.trim_start_matches("Gauge: ")),
                ("setting", &metric.limit.as_ref().map_or("none", |limit| limit.name.as_str())),
            ]),
        }
    };
    view.metrics.iter().map(row).collect()
}

/// The latest first.
fn of_events(view: &NodeView) -> Vec<Row> {
    let row = |event: &farcall::inspect::EventView| {
        let ago = view.at_us.saturating_sub(event.at_us);
        Row {
            cells: vec![
                age(ago),
                event.level.to_lowercase(),
                event.reason.clone(),
                event.peer.clone(),
                event.text.clone(),
            ],
            keys: vec![-key(ago), 0.0, 0.0, 0.0, 0.0],
            health: match event.level.as_str() {
                "ERROR" => Health::Ill,
                "WARN" => Health::Uneasy,
                _ => Health::Well,
            },
            detail: details(&[
                ("ago", &age(ago)),
                ("level", &event.level.to_lowercase()),
                ("reason", &event.reason),
                ("about", &event.peer),
                ("what", &event.text),
            ]),
        }
    };
    view.events.iter().rev().map(row).collect()
}

fn details(pairs: &[(&str, &dyn std::fmt::Display)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), value.to_string())).collect()
}

/// Bytes per second.
fn bytes_rate(per_second: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is not negative, and saturates"
    )]
    bytes(per_second.round() as u64)
}
