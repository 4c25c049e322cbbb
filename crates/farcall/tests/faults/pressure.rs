//! One actor does not keep up. Its neighbours do not notice.

use std::time::{Duration, Instant};

use farcall::error::{Failure, Rejected};
use farcall::prelude::*;
use futures::future::join_all;

use crate::actors::{Add, Block, Nth};
use crate::fixture::{QUICK, Times, failure, node};
use crate::process::Peer;

#[actix::test]
async fn one_full_mailbox_is_busy_and_the_other_actors_of_the_connection_are_as_quick_as_before() {
    let peer = Peer::start_with("beta", &format!("mailbox_messages_max = 200\n{QUICK}"));
    let alpha = node("alpha", &[&peer]).await;
    let beta = &peer.target;
    let mut quiet = Times::default();
    for _ in 0..1000 {
        quiet.note(both_answer(&alpha, beta).await);
    }
    let blocking = alpha.async_call(beta, "blocked", Block { ms: 3000 });
    // Fill it: what is beyond the limit is refused, once it is clear that nothing moves.
    for n in 0..200 {
        alpha.cast(beta, "blocked", Nth { n, filler: Vec::new() }).unwrap();
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    let (mut beside, mut refused) = (Times::default(), 0);
    for _ in 0..1000 {
        let (time, busy) = futures::future::join(both_answer(&alpha, beta), async {
            alpha.call(beta, "blocked", Add { amount: 1 }).await
        })
        .await;
        beside.note(time);
        let busy = failure(busy);
        assert!(matches!(busy, Failure::Rejected(Rejected::Busy(_))), "{busy}");
        refused += 1;
    }
    assert_eq!(refused, 1000);
    let (before, during) = (quiet.percentile(99), beside.percentile(99));
    // The refusals are work of their own, on the same two threads.
    assert!(during < 2 * before + Duration::from_millis(20), "p99 {before:?}, then {during:?}");
    blocking.await.unwrap();
    assert!(alpha.call(beta, "blocked", Add { amount: 1 }).await.is_ok(), "it takes requests again");
}

async fn both_answer(alpha: &Node, beta: &Target) -> Duration {
    let begun = Instant::now();
    let calls =
        ["counter", "other"].map(|name| async move { alpha.call(beta, name, Add { amount: 1 }).await });
    join_all(calls).await.into_iter().for_each(|answer| {
        answer.unwrap();
    });
    begun.elapsed()
}
