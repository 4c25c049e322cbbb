//! When a session that was lost is begun again.
//!
//! ```text
//!   lost: 200 ms ── lost again: 400 ms ── 800 ms ── .. ── a minute
//!     ▲                                                      │
//!     └──────── one that lasted a minute, or the node was gone ──┘
//! ```
//! A session that a peer refuses for a reason that stays would otherwise be begun, and all be told again, without an end.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::peer::NodeName;

/// How often in a row the session with each peer was lost.
#[derive(Debug, Default)]
pub struct Pauses {
    /// Of peers that are there; see [`gone`](Self::gone).
    lost: HashMap<NodeName, u32>,
}

impl Pauses {
    /// Behind a session that was lost for once.
    pub const MIN: Duration = Duration::from_millis(200);
    /// The longest pause; a session that lasts so long has worked.
    pub const MAX: Duration = Duration::from_secs(60);

    /// A session has ended. How long to wait until the next one.
    pub fn lost(&mut self, peer: &NodeName, begun: Instant, now: Instant) -> Duration {
        let lost = self.lost.entry(peer.clone()).or_default();
        if now.saturating_duration_since(begun) >= Self::MAX {
            *lost = 0;
        }
        let pause = Self::MIN.saturating_mul(1_u32.checked_shl(*lost).unwrap_or(u32::MAX));
        *lost = lost.saturating_add(1);
        pause.min(Self::MAX)
    }

    /// A node is gone, and with it all that is known of it.
    pub fn gone(&mut self, peer: &NodeName) {
        self.lost.remove(peer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> NodeName {
        format!("{name}@h").parse().unwrap()
    }

    #[test]
    fn a_session_that_is_lost_again_and_again_is_begun_less_and_less_often() {
        let (mut pauses, mut now, peer) = (Pauses::default(), Instant::now(), name("a"));
        let mut begun = 0;
        let hour = now + Duration::from_secs(3600);
        let mut waits = Vec::new();
        while now < hour {
            begun += 1;
            let pause = pauses.lost(&peer, now, now + Duration::from_millis(1));
            waits.push(pause);
            now += pause;
        }
        assert_eq!(waits[..3], [200, 400, 800].map(Duration::from_millis));
        assert_eq!(waits.last(), Some(&Pauses::MAX));
        assert_eq!(begun, 68, "without growing pauses it would be 18,000 in an hour");
    }

    #[test]
    fn a_session_that_lasted_begins_anew_and_so_does_a_node_that_was_gone() {
        let (mut pauses, now, peer) = (Pauses::default(), Instant::now(), name("a"));
        for _ in 0..100 {
            pauses.lost(&peer, now, now);
        }
        assert_eq!(pauses.lost(&peer, now, now), Pauses::MAX, "a count beyond every shift");
        assert_eq!(pauses.lost(&name("b"), now, now), Pauses::MIN, "another peer");
        assert_eq!(pauses.lost(&peer, now, now + Pauses::MAX), Pauses::MIN);
        assert_eq!(pauses.lost(&peer, now, now), Pauses::MIN * 2);
        pauses.gone(&peer);
        assert_eq!(pauses.lost(&peer, now, now), Pauses::MIN);
    }
}
