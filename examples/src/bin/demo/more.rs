//! Chapter: streams, large messages, references, keys, and looking into a node.

use std::error::Error;
use std::time::{Duration, Instant};

use farcall::prelude::*;
use futures::StreamExt;

use crate::Stage;
use crate::actors::{Add, AddThere, Count, Counter, Echo, Total};
use crate::story::{Story, time};

pub(crate) async fn tell(story: &mut Story, stage: &Stage) -> Result<(), Box<dyn Error>> {
    let Stage { alpha, beta, gamma, .. } = stage;
    story.chapter(
        "More than a question and an answer",
        "Streams, large messages, references, and what a node tells.",
    );

    let numbers = alpha.stream(beta, "worker", Count { to: 100_000 }).await?;
    let sum = numbers.fold(Ok(0u64), |sum, number| async move { Ok::<_, CallError>(sum? + number?) }).await;
    story.answer("stream: 100,000 numbers one by one; their sum", 4_999_950_000, sum);

    large(story, stage).await;

    let counter: Remote<Counter> = alpha.actor("counter", gamma);
    let sent = alpha.call(beta, "worker", AddThere { counter, amount: 9 }).await;
    story.answer(
        "beta gets a reference to gamma's counter, adds 9 there",
        120,
        sent.map(Option::unwrap_or_default),
    );

    for user in ["ada", "grace", "barbara"] {
        alpha.call(&beta.with_key(user), "counter", Total).await?;
    }
    let seen = alpha.connections(beta.node());
    // One without a key, and one for each of them.
    story.same("keys: with three users, connections to beta", 4, seen);

    let ping = alpha.ping(beta).await;
    story.answer("ping: there and back", "a sign of life", ping.map(|_| "a sign of life"));
    let nodes: Vec<String> = alpha.nodes().iter().map(|node| node.short().to_owned()).collect();
    story.same("nodes: whom alpha is connected to", "beta delta gamma".to_owned(), nodes.join(" "));
    let described = alpha.describe(beta).await?;
    let names: Vec<&str> = described.actors.iter().map(|actor| actor.name.as_str()).collect();
    let expected = "bump counter fragile math.add worker";
    story.same("describe: what beta lets others call", expected.to_owned(), names.join(" "));
    Ok(())
}

/// A message of 8 MiB goes there and back, while small calls use the same connection.
async fn large(story: &mut Story, stage: &Stage) {
    let Stage { alpha, beta, .. } = stage;
    let bytes: Vec<u8> = (0..8u32 << 20).map(|n| n.to_le_bytes().iter().fold(0, |x, y| x ^ y)).collect();
    let mut large = std::pin::pin!(std::future::IntoFuture::into_future(alpha.call(
        beta,
        "worker",
        Echo { bytes: bytes.clone() }
    )));
    let (mut slowest, mut calls) = (Duration::ZERO, 0u32);
    let answer = loop {
        let begun = Instant::now();
        let mut small = std::pin::pin!(std::future::IntoFuture::into_future(alpha.call(
            beta,
            "counter",
            Add { amount: 0 }
        )));
        tokio::select! {
            answer = &mut large => break answer,
            small = &mut small => {
                calls += u32::from(small.is_ok());
                slowest = slowest.max(begun.elapsed());
            }
        }
    };
    let answer = answer.map(|seen| if seen == bytes { "unchanged" } else { "changed" });
    story.answer("a message of 8 MiB goes there and back", "unchanged", answer);
    let seen = format!("{calls} answered meanwhile, the slowest in {}", time(slowest));
    story.fact("small calls overtake it", "some answered", seen, calls > 0);
}
