//! What went on between two looks at one node.

use std::time::Duration;

use super::{ActorView, LinkView, NodeView, Times};

/// What went on between two looks at one node, per second.
#[derive(Debug, Clone, PartialEq)]
pub struct Rates {
    /// The time between the two.
    pub span: Duration,
    /// Of each link of the later one, in its order.
    pub links: Vec<LinkRate>,
    /// Of each actor of the later one, in its order.
    pub actors: Vec<ActorRate>,
}

/// What went through one link, per second.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct LinkRate {
    /// Messages in.
    pub messages_in: f64,
    /// Messages out.
    pub messages_out: f64,
    /// Bytes in.
    pub bytes_in: f64,
    /// Bytes out.
    pub bytes_out: f64,
}

/// What one actor did.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ActorRate {
    /// Requests and casts that it ran, per second.
    pub handled: f64,
    /// What went wrong, per second.
    pub troubles: f64,
    /// How long those took that ran in between.
    pub times: Times,
}

impl Rates {
    /// Between an earlier and a later look; after a restart of the node, from its start to the later look.
    pub fn between(earlier: &NodeView, later: &NodeView) -> Self {
        let same = earlier.incarnation == later.incarnation && earlier.at_us < later.at_us;
        let from = if same { earlier.at_us } else { 0 };
        let span = Duration::from_micros(later.at_us.saturating_sub(from));
        let links = later.links.iter().map(|link| {
            let before = earlier.links.iter().find(|before| same && is_same(before, link));
            LinkRate::between(before, link, span)
        });
        let actors = later.actors.iter().map(|actor| {
            let before = earlier.actors.iter().find(|before| same && before.name == actor.name);
            ActorRate::between(before, actor, span)
        });
        Self { span, links: links.collect(), actors: actors.collect() }
    }

    /// From the start of a node to this look.
    pub fn until(view: &NodeView) -> Self {
        Self::between(&NodeView { at_us: 0, links: Vec::new(), actors: Vec::new(), ..view.clone() }, view)
    }
}

/// One and the same connection: a later one to the same peer begins from nothing.
fn is_same(one: &LinkView, other: &LinkView) -> bool {
    one.peer == other.peer
        && one.outgoing == other.outgoing
        && one.lane == other.lane
        && one.epoch == other.epoch
}

/// Per second; a count that became smaller began from nothing.
fn rate(before: Option<u64>, now: u64, span: Duration) -> f64 {
    let more = match before {
        Some(before) if before <= now => now - before,
        _ => now,
    };
    let seconds = span.as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a rate that is wrong in its sixteenth digit is no worse")]
    let more = more as f64;
    if seconds > 0.0 { more / seconds } else { 0.0 }
}

impl LinkRate {
    fn between(before: Option<&LinkView>, now: &LinkView, span: Duration) -> Self {
        // What was not there before began when it came up.
        let span = if before.is_some() { span } else { span.min(Duration::from_micros(now.age_us)) };
        let rate = |of: fn(&LinkView) -> u64| rate(before.map(of), of(now), span);
        Self {
            messages_in: rate(|link| link.messages_in),
            messages_out: rate(|link| link.messages_out),
            bytes_in: rate(|link| link.bytes_in),
            bytes_out: rate(|link| link.bytes_out),
        }
    }
}

impl ActorRate {
    fn between(before: Option<&ActorView>, now: &ActorView, span: Duration) -> Self {
        let troubles = |actor: &ActorView| actor.troubles.iter().map(|trouble| trouble.count).sum();
        // One of the same name that was registered anew has counted less.
        let before = before.filter(|before| before.handled <= now.handled);
        let times = before.map_or_else(|| now.times.clone(), |before| now.times.since(&before.times));
        Self {
            handled: rate(before.map(|before| before.handled), now.handled, span),
            troubles: rate(before.map(troubles), troubles(now), span),
            times,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{actor, link, view};
    use super::*;

    #[test]
    fn a_rate_is_what_came_between_two_looks_and_a_fresh_link_begins_from_nothing() {
        let earlier = view(1_000_000, vec![link("beta@h", 1, 100)], vec![actor("a", 10), actor("b", 50)]);
        let fresh = LinkView { age_us: 500_000, ..link("gamma@h", 2, 30) };
        let links = vec![link("beta@h", 1, 300), fresh];
        let later = view(3_000_000, links, vec![actor("a", 40), actor("b", 6)]);
        let rates = Rates::between(&earlier, &later);
        assert_eq!(rates.span, Duration::from_secs(2));
        assert_eq!(rates.links.iter().map(|link| link.messages_out).collect::<Vec<_>>(), [100.0, 60.0]);
        let handled: Vec<_> = rates.actors.iter().map(|actor| actor.handled).collect();
        assert_eq!(handled, [15.0, 3.0], "b was registered anew");
    }

    #[test]
    fn after_a_restart_everything_counts_from_the_start() {
        let earlier = NodeView { incarnation: 7, ..view(9_000_000, vec![link("beta@h", 1, 1000)], vec![]) };
        let later = view(2_000_000, vec![LinkView { age_us: 2_000_000, ..link("beta@h", 1, 10) }], vec![]);
        let rates = Rates::between(&earlier, &later);
        assert_eq!((rates.span, rates.links[0].messages_out), (Duration::from_secs(2), 5.0));
        assert_eq!(Rates::until(&later).links[0].messages_out, 5.0);
    }
}
