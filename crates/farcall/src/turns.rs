//! How many connections to one node are made at a time: a burst of new keys must not look like an attack.

use std::sync::{Arc, Weak};

use farcall_proto::peer::NodeName;
use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Half of what a node grants one source by default (`strangers.half_open_per_source_max`), so that two nodes on one
/// host do not stand in each other's way.
const AT_ONCE: usize = 4;

/// Entries nobody uses are looked for when the table has grown by this many.
const TIDY_EVERY: usize = 256;

/// Who is being dialled.
#[derive(Debug, Default)]
pub(crate) struct Turns(Mutex<HashMap<NodeName, Weak<Semaphore>, ahash::RandomState>>);

/// A turn to make a connection, until it is dropped.
pub(crate) struct Turn {
    _permit: OwnedSemaphorePermit,
}

impl Turns {
    /// Resolves when it is this dial's turn; they come in the order they asked.
    pub(crate) async fn take(&self, node: &NodeName) -> Option<Turn> {
        // Nobody closes it: there is always a permit in the end.
        let permit = self.of(node).acquire_owned().await.ok()?;
        Some(Turn { _permit: permit })
    }

    fn of(&self, node: &NodeName) -> Arc<Semaphore> {
        let mut table = self.0.lock();
        if let Some(known) = table.get(node).and_then(Weak::upgrade) {
            return known;
        }
        if table.len() % TIDY_EVERY == TIDY_EVERY - 1 {
            table.retain(|_, known| known.strong_count() > 0);
        }
        let fresh = Arc::new(Semaphore::new(AT_ONCE));
        table.insert(node.clone(), Arc::downgrade(&fresh));
        fresh
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix::test]
    async fn four_dials_to_one_node_at_a_time_and_other_nodes_do_not_wait() {
        let (turns, beta) = (Turns::default(), "beta@h".parse().unwrap());
        let mut held = Vec::new();
        for _ in 0..AT_ONCE {
            held.push(turns.take(&beta).await);
        }
        let waiting = turns.take(&beta);
        tokio::pin!(waiting);
        assert!(futures::poll!(waiting.as_mut()).is_pending());
        assert!(turns.take(&"gamma@h".parse().unwrap()).await.is_some());
        held.pop();
        assert!(futures::poll!(waiting.as_mut()).is_ready());
    }

    #[actix::test]
    async fn nodes_that_are_not_dialled_any_more_are_forgotten() {
        let turns = Turns::default();
        for n in 0..10 * TIDY_EVERY {
            drop(turns.take(&format!("n{n}@h").parse().unwrap()).await);
        }
        assert!(turns.0.lock().len() <= TIDY_EVERY, "{}", turns.0.lock().len());
    }
}
