//! Chapter: one actor asked and told, over the network and at home.

use std::time::Duration;

use farcall::prelude::*;

use crate::Stage;
use crate::actors::{Add, Pair, Total, Work};
use crate::story::Story;

pub(crate) async fn tell(story: &mut Story, stage: &Stage) {
    let Stage { alpha, own, beta, .. } = stage;
    story.chapter("Asking one actor", "The connection is made when it is first needed; one for all calls.");
    story.answer("call: beta's counter adds 5", 5, alpha.call(beta, "counter", Add { amount: 5 }).await);
    story.answer("call: it adds 2 more", 7, alpha.call(beta, "counter", Add { amount: 2 }).await);
    let sum = alpha.call(beta, "math.add", Pair { a: 40, b: 2 }).await;
    story.answer("call a function: beta's math.add of 40 and 2", 42, sum);
    let versioned = alpha.call(beta, "counter", Total).require_version("^1.4").await;
    story.answer("call with a version: the counter must be ^1.4", 7, versioned);
    story.answer(
        "call the own node: alpha's counter, no socket",
        1,
        alpha.call(own, "counter", Add { amount: 1 }).await,
    );

    let cast = alpha.cast(beta, "counter", Add { amount: 1 }).map(|_| "on its way");
    story.answer("cast: one way, nobody waits", "on its way", cast);
    let acked = alpha.cast(beta, "counter", Add { amount: 1 }).acked().await.map(|()| "in the mailbox");
    story.answer("cast, acked: waits for the mailbox only", "in the mailbox", acked);
    story.answer(
        "a call sees both casts, because order is kept",
        9,
        alpha.call(beta, "counter", Total).await,
    );

    let mut promise = alpha.async_call(beta, "worker", Work { ms: 150 });
    let early = promise.nb_yield(Duration::from_millis(20)).await.is_none();
    story.holds("async_call: after 20 ms there is no answer yet", early);
    story.answer("async_call: awaited, the answer comes", 150, promise.await);
}
