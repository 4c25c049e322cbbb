//! A view as series of numbers with names, for Prometheus (exposition format 0.0.4) and for the `metrics` facade.
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

/// Series of one name.
#[derive(Debug)]
pub(crate) struct Family {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) help: String,
    pub(crate) samples: Vec<Sample>,
}

/// What the numbers of a family mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Counter,
    Gauge,
    /// Its samples are counters, each with what follows the name.
    Histogram,
}

/// One number.
#[derive(Debug)]
pub(crate) struct Sample {
    /// What follows the name of the family.
    pub(crate) suffix: &'static str,
    pub(crate) labels: Vec<(&'static str, String)>,
    pub(crate) value: f64,
}

/// The view as text that Prometheus reads.
pub fn prometheus(view: &NodeView) -> String {
    let mut text = String::new();
    for Family { name, kind, help, samples } in families(view) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let help = help.replace('\\', r"\\").replace('\n', " ");
        // Writing to a text cannot fail.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for Sample { suffix, labels, value } in samples {
            let labels: Vec<_> =
                labels.iter().map(|(label, text)| format!("{label}=\"{}\"", escaped(text))).collect();
            let _ = writeln!(text, "{name}{suffix}{{{}}} {value}", labels.join(","));
        }
    }
    text
}

/// As it stands in a label.
fn escaped(text: &str) -> String {
    text.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}

/// All series of a view; each has the node as its first label.
pub(crate) fn families(view: &NodeView) -> Vec<Family> {
    let mut all = Families { node: view.node.clone(), all: Vec::new() };
    about(view, &mut all);
    for metric in &view.metrics {
        let (suffix, kind) = if metric.counter { ("_total", Kind::Counter) } else { ("", Kind::Gauge) };
        let name = match metric.name.strip_suffix("_s") {
            Some(name) => format!("{name}_seconds"),
            None => metric.name.clone(),
        };
        all.begin(&format!("{name}{suffix}"), kind, metric.help.trim_start_matches("Gauge: "));
        all.sample(&[], number(metric.value));
    }
    all.begin("limit", Kind::Gauge, "What the settings permit, by setting.");
    let of_gauges = view.metrics.iter().filter_map(|metric| metric.limit.as_ref());
    for limit in of_gauges.chain(&view.limits) {
        all.sample(&[("setting", &limit.name)], number(limit.value));
    }
    links(&view.links, &mut all);
    actors(&view.actors, &mut all);
    all.all
}

fn about(view: &NodeView, all: &mut Families) {
    all.begin("info", Kind::Gauge, "1, with the version of farcall as a label.");
    all.sample(&[("version", &view.farcall)], 1.0);
    all.begin("uptime_seconds", Kind::Gauge, "How long the node runs.");
    all.sample(&[], seconds(view.at_us));
    all.begin("draining", Kind::Gauge, "1 while the node shuts down.");
    all.sample(&[], f64::from(u8::from(view.draining)));
    all.begin("groups", Kind::Gauge, "Groups and services with a member here or on a peer.");
    all.sample(&[], number(view.groups.len() as u64));
}

/// One series of links: its name, its kind, what it says, and where it is found.
type OfLink = (&'static str, Kind, &'static str, fn(&LinkView) -> u64);

#[rustfmt::skip] // a table
const OF_LINK: [OfLink; 8] = [
    ("link_up", Kind::Gauge, "Connections that are up.", |link| u64::from(link.state == super::LinkState::Up)),
    ("link_messages_in_total", Kind::Counter, "Messages that came in over a connection.", |link| link.messages_in),
    ("link_messages_out_total", Kind::Counter, "Messages that go out over a connection.", |link| link.messages_out),
    ("link_bytes_in_total", Kind::Counter, "Bytes read from a connection.", |link| link.bytes_in),
    ("link_bytes_out_total", Kind::Counter, "Bytes written to a connection.", |link| link.bytes_out),
    ("link_unsent_bytes", Kind::Gauge, "Bytes not yet written (limit unsent_bytes_max).", |link| link.unsent_bytes),
    ("link_in_flight", Kind::Gauge, "Requests without an answer (limit in_flight_max).", |link| link.in_flight),
    ("link_ticks_missed", Kind::Gauge, "Overdue ticks of the peer: it is gone with tick_intensity of them.", |link| u64::from(link.ticks_missed)),
];

/// Several incoming connections of one peer are one series: whoever reads them cannot tell them apart.
fn links(links: &[LinkView], all: &mut Families) {
    let mut series: BTreeMap<(&str, bool, u32), Vec<&LinkView>> = BTreeMap::new();
    for link in links {
        series.entry((&link.peer, link.outgoing, link.lane)).or_default().push(link);
    }
    let beyond = series.keys().nth(LINKS_MAX).copied();
    let others: Vec<&LinkView> =
        beyond.map(|key| series.split_off(&key).into_values().flatten().collect()).unwrap_or_default();
    let sum = |links: &[&LinkView], of: fn(&LinkView) -> u64| number(links.iter().map(|link| of(link)).sum());
    for (name, kind, help, of) in OF_LINK {
        all.begin(name, kind, help);
        for (of_link, links) in &series {
            all.sample(&labels(of_link, &of_link.2.to_string()), sum(links, of));
        }
        if !others.is_empty() {
            all.sample(&[("peer", OTHER)], sum(&others, of));
        }
    }
    all.begin("link_rtt_seconds", Kind::Gauge, "How long the last ping took.");
    for (of_link, links) in &series {
        if let Some(rtt_us) = links.iter().find_map(|link| link.rtt_us) {
            all.sample(&labels(of_link, &of_link.2.to_string()), seconds(rtt_us));
        }
    }
}

fn labels<'a>(of_link: &(&'a str, bool, u32), lane: &'a str) -> [(&'static str, &'a str); 3] {
    let direction = if of_link.1 { "out" } else { "in" };
    [("peer", of_link.0), ("direction", direction), ("lane", lane)]
}

/// One series of actors.
type OfActor = (&'static str, Kind, &'static str, fn(&ActorView) -> u64);

#[rustfmt::skip] // a table
const OF_ACTOR: [OfActor; 3] = [
    ("actor_waiting", Kind::Gauge, "Messages in an actor's mailbox (limit mailbox_messages_max).", |actor| actor.waiting),
    ("actor_waiting_bytes", Kind::Gauge, "What these take (limit mailbox_bytes_max).", |actor| actor.waiting_bytes),
    ("actor_handled_total", Kind::Counter, "Requests and casts that an actor ran.", |actor| actor.handled),
];

fn actors(actors: &[ActorView], all: &mut Families) {
    let mut busiest: Vec<_> = actors.iter().collect();
    busiest.sort_by(|a, b| b.handled.cmp(&a.handled).then_with(|| a.name.cmp(&b.name)));
    let (shown, others) = busiest.split_at(busiest.len().min(ACTORS_MAX));
    for (name, kind, help, of) in OF_ACTOR {
        all.begin(name, kind, help);
        for actor in shown {
            all.sample(&[("actor", &actor.name)], number(of(actor)));
        }
        if !others.is_empty() {
            all.sample(&[("actor", OTHER)], number(others.iter().map(|actor| of(actor)).sum()));
        }
    }
    let help = "Requests that were refused, or whose handler panicked, by reason.";
    all.begin("actor_errors_total", Kind::Counter, help);
    for actor in shown {
        for trouble in &actor.troubles {
            all.sample(&[("actor", &actor.name), ("reason", &trouble.reason)], number(trouble.count));
        }
    }
    all.begin("actor_seconds", Kind::Histogram, "How long requests took, from the socket to the answer.");
    for actor in shown.iter().filter(|actor| actor.times.count() > 0) {
        histogram(&actor.name, &actor.times, all);
    }
}

/// The ends of the buckets that are shown, in microseconds: powers of four, at which buckets of the histogram end, too.
const ENDS_US: [u64; 12] =
    [4, 16, 64, 256, 1 << 10, 1 << 12, 1 << 14, 1 << 16, 1 << 18, 1 << 20, 1 << 22, 1 << 24];

fn histogram(actor: &str, times: &Times, all: &mut Families) {
    for end in ENDS_US {
        let below = times.buckets.iter().filter(|bucket| bucket.below_us <= end);
        let count: u64 = below.map(|bucket| bucket.count).sum();
        all.part("_bucket", &[("actor", actor), ("le", &seconds(end).to_string())], number(count));
    }
    all.part("_bucket", &[("actor", actor), ("le", "+Inf")], number(times.count()));
    // The sum is not kept: what is in a bucket counts with its end, a quarter too much at worst.
    let sum: u64 = times.buckets.iter().map(|bucket| bucket.below_us.saturating_mul(bucket.count)).sum();
    all.part("_sum", &[("actor", actor)], seconds(sum));
    all.part("_count", &[("actor", actor)], number(times.count()));
}

#[expect(clippy::cast_precision_loss, reason = "a number that is wrong in its sixteenth digit is no worse")]
fn number(value: u64) -> f64 {
    value as f64
}

fn seconds(us: u64) -> f64 {
    number(us) / 1e6
}

struct Families {
    node: String,
    all: Vec<Family>,
}

impl Families {
    fn begin(&mut self, name: &str, kind: Kind, help: &str) {
        let (name, help) = (format!("farcall_{name}"), help.to_owned());
        self.all.push(Family { name, kind, help, samples: Vec::new() });
    }

    fn sample(&mut self, labels: &[(&'static str, &str)], value: f64) {
        self.part("", labels, value);
    }

    fn part(&mut self, suffix: &'static str, labels: &[(&'static str, &str)], value: f64) {
        let own = labels.iter().map(|(label, text)| (*label, (*text).to_owned()));
        let labels = std::iter::once(("node", self.node.clone())).chain(own).collect();
        if let Some(family) = self.all.last_mut() {
            family.samples.push(Sample { suffix, labels, value });
        }
    }
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
