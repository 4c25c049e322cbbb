//! Chapter: what a caller learns when something is wrong at a peer that lives.

use std::time::Duration;

use farcall::prelude::*;

use crate::Stage;
use crate::actors::{Add, Break, Count, Total, Work};
use crate::story::Story;

pub(crate) async fn tell(story: &mut Story, stage: &Stage) {
    let Stage { alpha, beta, .. } = stage;
    story.chapter("When something is wrong", "Every error says whether the handler may have run.");

    let seen = alpha.call(beta, "nobody", Total).await;
    story.refusal("a name that is not there", Class::Rejected, false, seen);
    let seen = alpha.stream(beta, "counter", Count { to: 1 }).await.map(|_| "a stream");
    story.refusal("a message the counter does not take", Class::Rejected, false, seen);
    let seen = alpha.call(beta, "private.counter", Total).await;
    story.refusal("a name that beta keeps to itself", Class::Rejected, false, seen);
    let seen = alpha.call(beta, "counter", Total).require_version("^2").await;
    story.refusal("a version that is not there", Class::Rejected, false, seen);
    let seen = alpha.call(beta, "fragile", Break).await.map(|()| "an answer");
    story.refusal("a handler that panics", Class::Failed, true, seen);
    let late = alpha.call(beta, "worker", Work { ms: 60_000 }).timeout(Duration::from_millis(100));
    story.refusal("a deadline of 100 ms for work of a minute", Class::Unknown, true, late.await);
    let nowhere: Result<Target, _> = "nobody@127.0.0.1:1".parse();
    if let Ok(nowhere) = nowhere {
        let seen = alpha.call(&nowhere, "counter", Total).await;
        story.refusal("a node that does not run", Class::NotSent, false, seen);
    }
    let seen = alpha.call(beta, "counter", Add { amount: 0 }).await;
    story.answer("and beta's counter counts on", 120, seen);
}
