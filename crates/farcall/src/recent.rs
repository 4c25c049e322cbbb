//! What happened lately on one node: the last few hundred events, for whoever looks inside, whether they were logged or not.

use std::collections::VecDeque;
use std::fmt::Display;
use std::time::Instant;

use log::Level;
use parking_lot::Mutex;

/// One event.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    /// Its number on this node, from 1.
    pub(crate) nth: u64,
    pub(crate) at: Instant,
    pub(crate) level: Level,
    /// A stable word.
    pub(crate) reason: &'static str,
    /// The node it is about; empty for none.
    pub(crate) peer: String,
    pub(crate) text: String,
}

/// The last events.
#[derive(Debug, Default)]
pub(crate) struct Recent(Mutex<Ring>);

#[derive(Debug, Default)]
struct Ring {
    last: u64,
    events: VecDeque<Event>,
}

impl Recent {
    /// So many events are kept; each is short.
    pub(crate) const EVENTS_MAX: usize = 256;

    /// Keeps one, and lets go of the oldest.
    pub(crate) fn note(&self, level: Level, reason: &'static str, peer: impl Display, text: impl Display) {
        let (at, peer, text) = (Instant::now(), tame(&peer.to_string()), tame(&text.to_string()));
        let mut ring = self.0.lock();
        ring.last += 1;
        let nth = ring.last;
        if ring.events.len() >= Self::EVENTS_MAX {
            ring.events.pop_front();
        }
        ring.events.push_back(Event { nth, at, level, reason, peer, text });
    }

    /// Those behind this number that are still kept, the oldest first.
    pub(crate) fn after(&self, nth: u64) -> Vec<Event> {
        self.0.lock().events.iter().filter(|event| event.nth > nth).cloned().collect()
    }
}

/// Text that may be of a peer's making: it steers nothing, and is not much.
fn tame(text: &str) -> String {
    let mut tame = String::new();
    for letter in text.chars().take(CHARS_MAX) {
        match letter.is_control() {
            true => tame.extend(letter.escape_default()),
            false => tame.push(letter),
        }
    }
    if text.chars().nth(CHARS_MAX).is_some() {
        tame.push('…');
    }
    tame
}

/// So much of a text is kept.
const CHARS_MAX: usize = 240;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_events_are_kept_in_order_and_no_more_than_so_many() {
        let recent = Recent::default();
        for n in 0..300 {
            recent.note(Level::Warn, "busy", "beta@h", format_args!("event {n}"));
        }
        let kept = recent.after(0);
        assert_eq!(kept.len(), Recent::EVENTS_MAX);
        assert_eq!((kept[0].nth, kept[0].text.as_str()), (45, "event 44"));
        let later: Vec<u64> = recent.after(298).iter().map(|event| event.nth).collect();
        assert_eq!(later, [299, 300]);
    }

    #[test]
    fn what_a_peer_wrote_steers_nothing_and_is_not_much() {
        let recent = Recent::default();
        recent.note(Level::Warn, "busy", "", "\u{1b}[2J".repeat(1000));
        let kept = recent.after(0);
        assert!(kept[0].text.len() < 2500 && !kept[0].text.contains('\u{1b}'), "{}", kept[0].text);
        recent.note(Level::Warn, "busy", "", "the actor's \"mailbox\"");
        assert_eq!(recent.after(1)[0].text, "the actor's \"mailbox\"");
    }
}
