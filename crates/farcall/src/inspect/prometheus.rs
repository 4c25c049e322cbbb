//! A view as text that Prometheus reads (exposition format 0.0.4).
//!
//! Every name begins with `farcall_` and ends with its unit; counters end with `_total`. Label sets are bounded: the
//! busiest [`ACTORS_MAX`] actors and the first [`LINKS_MAX`] links have series of their own, the others share one.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::{ActorView, LinkView, NodeView, Times};

/// So many actors have series of their own; the others are counted together as `other`.
pub const ACTORS_MAX: usize = 256;

/// So many links have series of their own; the others are counted together as `other`.
pub const LINKS_MAX: usize = 256;

/// What is told of those that have no series of their own.
const OTHER: &str = "other";

/// The text.
pub fn prometheus(view: &NodeView) -> String {
    let mut page = Page { text: String::new(), node: escaped(&view.node) };
    about(view, &mut page);
    for metric in &view.metrics {
        let (suffix, kind) = if metric.counter { ("_total", "counter") } else { ("", "gauge") };
        let name = match metric.name.strip_suffix("_s") {
            Some(name) => format!("{name}_seconds"),
            None => metric.name.clone(),
        };
        let name = format!("{name}{suffix}");
        page.head(&name, kind, metric.help.trim_start_matches("Gauge: "));
        page.sample(&name, &[], metric.value);
    }
    page.head("limit", "gauge", "What the settings permit, by setting.");
    let of_gauges = view.metrics.iter().filter_map(|metric| metric.limit.as_ref());
    for limit in of_gauges.chain(&view.limits) {
        page.sample("limit", &[("setting", &limit.name)], limit.value);
    }
    links(&view.links, &mut page);
    actors(&view.actors, &mut page);
    page.text
}

fn about(view: &NodeView, page: &mut Page) {
    page.head("info", "gauge", "1, with the version of farcall as a label.");
    page.sample("info", &[("version", &view.farcall)], 1);
    page.head("uptime_seconds", "gauge", "How long the node runs.");
    page.sample("uptime_seconds", &[], seconds(view.at_us));
    page.head("draining", "gauge", "1 while the node shuts down.");
    page.sample("draining", &[], u8::from(view.draining));
    page.head("services_and_groups", "gauge", "Groups with a member here or on a peer, services among them.");
    page.sample("services_and_groups", &[], view.groups.len());
}

/// One series of links: its name, its kind, what it says, and where it is found.
type OfLink = (&'static str, &'static str, &'static str, fn(&LinkView) -> u64);

const OF_LINK: [OfLink; 8] = [
    ("link_up", "gauge", "Connections that are up.", |link| u64::from(link.state == super::LinkState::Up)),
    ("link_messages_in_total", "counter", "Messages that came in over a connection.", |link| {
        link.messages_in
    }),
    ("link_messages_out_total", "counter", "Messages that go out over a connection.", |link| {
        link.messages_out
    }),
    ("link_bytes_in_total", "counter", "Bytes read from a connection.", |link| link.bytes_in),
    ("link_bytes_out_total", "counter", "Bytes written to a connection.", |link| link.bytes_out),
    ("link_unsent_bytes", "gauge", "Bytes not yet written (limit unsent_bytes_max).", |link| {
        link.unsent_bytes
    }),
    ("link_in_flight", "gauge", "Requests without an answer (limit in_flight_max).", |link| link.in_flight),
    (
        "link_ticks_missed",
        "gauge",
        "Overdue ticks of the peer (it is gone with tick_intensity of them).",
        |link| u64::from(link.ticks_missed),
    ),
];

/// Several incoming connections of one peer are one series: whoever reads them cannot tell them apart.
fn links(links: &[LinkView], page: &mut Page) {
    let mut series: BTreeMap<(&str, bool, u32), Vec<&LinkView>> = BTreeMap::new();
    for link in links {
        series.entry((&link.peer, link.outgoing, link.lane)).or_default().push(link);
    }
    let beyond = series.keys().nth(LINKS_MAX).copied();
    let others: Vec<&LinkView> =
        beyond.map(|key| series.split_off(&key).into_values().flatten().collect()).unwrap_or_default();
    let sum = |links: &[&LinkView], of: fn(&LinkView) -> u64| links.iter().map(|link| of(link)).sum::<u64>();
    for (name, kind, help, of) in OF_LINK {
        page.head(name, kind, help);
        for (of_link, links) in &series {
            page.sample(name, &labels(of_link, &of_link.2.to_string()), sum(links, of));
        }
        if !others.is_empty() {
            page.sample(name, &[("peer", OTHER)], others.iter().map(|link| of(link)).sum::<u64>());
        }
    }
    page.head("link_rtt_seconds", "gauge", "How long the last ping took.");
    for (of_link, links) in &series {
        if let Some(rtt_us) = links.iter().find_map(|link| link.rtt_us) {
            page.sample("link_rtt_seconds", &labels(of_link, &of_link.2.to_string()), seconds(rtt_us));
        }
    }
}

fn labels<'a>(of_link: &(&'a str, bool, u32), lane: &'a str) -> [(&'static str, &'a str); 3] {
    let direction = if of_link.1 { "out" } else { "in" };
    [("peer", of_link.0), ("direction", direction), ("lane", lane)]
}

/// One series of actors.
type OfActor = (&'static str, &'static str, &'static str, fn(&ActorView) -> u64);

const OF_ACTOR: [OfActor; 3] = [
    ("actor_waiting", "gauge", "Messages in an actor's mailbox (limit mailbox_messages_max).", |actor| {
        actor.waiting
    }),
    ("actor_waiting_bytes", "gauge", "What these take (limit mailbox_bytes_max).", |actor| {
        actor.waiting_bytes
    }),
    ("actor_handled_total", "counter", "Requests and casts that an actor ran.", |actor| actor.handled),
];

fn actors(actors: &[ActorView], page: &mut Page) {
    let mut busiest: Vec<_> = actors.iter().collect();
    busiest.sort_by(|a, b| b.handled.cmp(&a.handled).then_with(|| a.name.cmp(&b.name)));
    let (shown, others) = busiest.split_at(busiest.len().min(ACTORS_MAX));
    for (name, kind, help, of) in OF_ACTOR {
        page.head(name, kind, help);
        for actor in shown {
            page.sample(name, &[("actor", &actor.name)], of(actor));
        }
        if !others.is_empty() {
            page.sample(name, &[("actor", OTHER)], others.iter().map(|actor| of(actor)).sum::<u64>());
        }
    }
    page.head(
        "actor_errors_total",
        "counter",
        "Requests that were refused, or whose handler panicked, by reason.",
    );
    for actor in shown {
        for trouble in &actor.troubles {
            let labels = [("actor", actor.name.as_str()), ("reason", &trouble.reason)];
            page.sample("actor_errors_total", &labels, trouble.count);
        }
    }
    page.head("actor_seconds", "histogram", "How long requests took, from the socket to the answer.");
    for actor in shown.iter().filter(|actor| actor.times.count() > 0) {
        histogram(&actor.name, &actor.times, page);
    }
}

/// The ends of the buckets that are shown, in microseconds: those of the histogram itself at powers of four.
const ENDS_US: [u64; 12] =
    [4, 16, 64, 256, 1 << 10, 1 << 12, 1 << 14, 1 << 16, 1 << 18, 1 << 20, 1 << 22, 1 << 24];

fn histogram(actor: &str, times: &Times, page: &mut Page) {
    for end in ENDS_US {
        let below = times.buckets.iter().filter(|bucket| bucket.below_us <= end);
        let count: u64 = below.map(|bucket| bucket.count).sum();
        page.sample("actor_seconds_bucket", &[("actor", actor), ("le", &seconds(end).to_string())], count);
    }
    page.sample("actor_seconds_bucket", &[("actor", actor), ("le", "+Inf")], times.count());
    // The sum is not kept: what is in a bucket counts with its end, a quarter too much at worst.
    let sum: u64 = times.buckets.iter().map(|bucket| bucket.below_us.saturating_mul(bucket.count)).sum();
    page.sample("actor_seconds_sum", &[("actor", actor)], seconds(sum));
    page.sample("actor_seconds_count", &[("actor", actor)], times.count());
}

#[expect(clippy::cast_precision_loss, reason = "a time that is wrong in its sixteenth digit is no worse")]
fn seconds(us: u64) -> f64 {
    us as f64 / 1e6
}

struct Page {
    text: String,
    node: String,
}

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let help = help.replace('\\', r"\\").replace('\n', " ");
        // Writing to a text cannot fail.
        let _ = writeln!(self.text, "# HELP farcall_{name} {help}\n# TYPE farcall_{name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        let _ = write!(self.text, "farcall_{name}{{node=\"{}\"", self.node);
        for (label, text) in labels {
            let _ = write!(self.text, ",{label}=\"{}\"", escaped(text));
        }
        let _ = writeln!(self.text, "}} {value}");
    }
}

/// As it stands in a label.
fn escaped(text: &str) -> String {
    text.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}

#[cfg(test)]
mod tests {
    use super::super::tests::{actor, link, view};
    use super::super::{LimitView, MetricView};
    use super::*;

    #[test]
    fn every_sample_stands_under_its_type_and_what_peers_named_is_escaped() {
        let limit = Some(LimitView { name: "names_max".to_owned(), value: 9 });
        let gauge =
            MetricView { name: "names".into(), counter: false, help: "Gauge: names".into(), value: 2, limit };
        let page = prometheus(&NodeView {
            metrics: vec![gauge],
            ..view(2_500_000, vec![link("beta@h", 1, 7)], vec![actor("say \"hi\"\\\n", 3)])
        });
        for line in [
            "# TYPE farcall_names gauge\nfarcall_names{node=\"alpha@h\"} 2\n",
            "farcall_limit{node=\"alpha@h\",setting=\"names_max\"} 9\n",
            "farcall_uptime_seconds{node=\"alpha@h\"} 2.5\n",
            "farcall_link_messages_out_total{node=\"alpha@h\",peer=\"beta@h\",direction=\"out\",lane=\"0\"} 7\n",
            "farcall_actor_handled_total{node=\"alpha@h\",actor=\"say \\\"hi\\\"\\\\\\n\"} 3\n",
            "le=\"0.000016\"} 3\n",
        ] {
            assert!(page.contains(line), "{line} is not in\n{page}");
        }
        let types =
            page.lines().filter_map(|line| line.strip_prefix("# TYPE ")).map(|line| line.split(' ').next());
        let types: Vec<_> = types.flatten().collect();
        let known = |name: &str| types.iter().any(|known| name.starts_with(known));
        assert!(page.lines().filter(|line| !line.starts_with('#')).all(known), "{page}");
    }

    #[test]
    fn a_node_with_very_many_actors_has_a_page_of_bounded_length() {
        let actors: Vec<_> = (0..2000).map(|n| actor(&format!("list {n}"), n)).collect();
        let page = prometheus(&view(1, Vec::new(), actors));
        let of = |name: &str| page.lines().filter(|line| line.starts_with(name)).count();
        assert_eq!(of("farcall_actor_handled_total{"), ACTORS_MAX + 1);
        assert!(page.contains("actor=\"list 1999\"") && !page.contains("actor=\"list 1000\""));
        let others: u64 = (0..1744).sum();
        let line = format!("farcall_actor_handled_total{{node=\"alpha@h\",actor=\"other\"}} {others}\n");
        assert!(page.contains(&line));
    }
}
