//! Chapter: many nodes at once.

use std::time::{Duration, Instant};

use farcall::prelude::*;

use crate::Stage;
use crate::actors::{Add, Bump, Total};
use crate::story::{Story, told};

pub(crate) async fn tell(story: &mut Story, stage: &Stage) {
    let (alpha, others) = (&stage.alpha, stage.others());
    story.chapter("Asking many", "beta has 9, gamma and delta nothing yet; answers come in the order asked.");
    totals(story, "multicall: the totals of beta, gamma, delta", stage, "9 0 0").await;

    let report = alpha.sbcast(&others, "counter", Add { amount: 10 }).await;
    let seen = format!("{} delivered, {} failed", report.delivered.len(), report.failed.len());
    story.same("sbcast: 10 to each, waits for every mailbox", "3 delivered, 0 failed".to_owned(), seen);
    totals(story, "multicall again", stage, "19 10 10").await;

    let report = alpha.abcast(All, "counter", Add { amount: 100 });
    let seen = format!("{} on their way, {} not", report.queued.len(), report.not_queued.len());
    story.same("abcast: 100 to all, alpha too, nobody waits", "4 on their way, 0 not".to_owned(), seen);
    totals(story, "multicall again", stage, "119 110 110").await;

    let report = alpha.eval_everywhere(All, "bump", Bump);
    story.same("eval_everywhere: the function bump on all four", 4, report.queued.len());
    // Bump is a function and the counter an actor; order is promised for one of them, not between two.
    let deadline = Instant::now() + Duration::from_secs(5);
    while asked(stage).await != "120 111 111" && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    totals(story, "multicall: each bumped its own counter", stage, "120 111 111").await;
}

async fn totals(story: &mut Story, what: &str, stage: &Stage, expected: &str) {
    story.same(what, expected.to_owned(), asked(stage).await);
}

/// The totals of the three other nodes.
async fn asked(stage: &Stage) -> String {
    let answers =
        stage.alpha.multicall(stage.others(), "counter", Total).timeout(Duration::from_secs(5)).await;
    let words = answers.iter().map(|(_, answer)| match answer {
        Ok(total) => total.to_string(),
        Err(error) => told(error),
    });
    words.collect::<Vec<_>>().join(" ")
}
