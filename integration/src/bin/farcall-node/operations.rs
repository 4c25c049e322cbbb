//! Each verb once, to each peer and to this node itself.

use std::time::Duration;

use farcall::prelude::*;
use futures::StreamExt;

use crate::Here;
use crate::actors::{Add, Count, Echo, Now, Stored};

/// The deadline of each.
const LIMIT: Duration = Duration::from_secs(5);

/// What went wrong, one line each.
pub(crate) async fn all(here: &Here) -> Vec<String> {
    let mut wrong = Wrong(Vec::new());
    let own = Target::new(here.node.name().clone());
    for peer in here.peers.iter().chain([&own]) {
        one_by_one(&here.node, peer, &mut wrong).await;
    }
    to_many(here, &mut wrong).await;
    wrong.0
}

struct Wrong(Vec<String>);

impl Wrong {
    fn unless(&mut self, right: bool, what: impl FnOnce() -> String) {
        if !right {
            self.0.push(what());
        }
    }
}

async fn one_by_one(node: &Node, peer: &Target, wrong: &mut Wrong) {
    let before = node.call(peer, "stored", Add { amount: 0 }).timeout(LIMIT).await;
    wrong.unless(before.is_ok(), || format!("call {peer}: {before:?}"));

    let acked = node.cast(peer, "stored", Add { amount: 1 });
    let acked = match acked {
        Ok(_) => node.cast(peer, "stored", Add { amount: 1 }).acked().await,
        Err(error) => Err(error),
    };
    wrong.unless(acked.is_ok(), || format!("cast {peer}: {acked:?}"));

    let mut promise = node.async_call(peer, "stored", Add { amount: 0 });
    let kept = promise.nb_yield(LIMIT).await;
    wrong.unless(matches!(kept, Some(Ok(_))), || format!("async_call and nb_yield {peer}: {kept:?}"));

    for bytes in [0, 1, 500 << 10] {
        let sent: Vec<u8> =
            (0..bytes).map(|n: usize| n.to_le_bytes().first().copied().unwrap_or(0)).collect();
        let came = node.call(peer, "stored", Echo { bytes: sent.clone() }).timeout(LIMIT).await;
        wrong.unless(came.as_ref().is_ok_and(|came| *came == sent), || {
            format!("call {peer} with {bytes} bytes")
        });
    }

    let items: Vec<_> = match node.stream(peer, "stored", Count { to: 1000 }).await {
        Ok(items) => items.filter_map(|item| std::future::ready(item.ok())).collect().await,
        Err(_) => Vec::new(),
    };
    wrong.unless(items.iter().copied().eq(0..1000), || {
        format!("stream {peer}: {} of 1000 items", items.len())
    });

    let typed = node.actor::<Stored>("stored", peer).call(Add { amount: 0 }).await;
    wrong.unless(typed.is_ok(), || format!("a typed reference to {peer}: {typed:?}"));

    let nobody = node.call(peer, "nobody", Now).timeout(LIMIT).await;
    let reason = nobody.as_ref().err().map(CallError::reason);
    wrong.unless(reason == Some("no_such_actor"), || format!("call of nobody at {peer}: {nobody:?}"));
    let unknown = node.call(peer, "stored", Now).timeout(LIMIT).await;
    let reason = unknown.as_ref().err().map(CallError::reason);
    wrong.unless(reason == Some("no_such_message"), || format!("an unknown message to {peer}: {unknown:?}"));

    let pinged = node.ping_within(peer, LIMIT).await;
    wrong.unless(pinged.is_ok(), || format!("ping {peer}: {pinged:?}"));
    let described = node.describe(peer).await;
    let named = described.as_ref().is_ok_and(|told| told.node == peer.node().as_str());
    wrong.unless(named, || format!("describe {peer}: {described:?}"));
    let waited = node.wait_for_within(peer, "clock", LIMIT).await;
    wrong.unless(waited.is_ok(), || format!("wait_for {peer}: {waited:?}"));
}

async fn to_many(here: &Here, wrong: &mut Wrong) {
    let (node, peers) = (&here.node, &here.peers);
    let answers = node.multicall(peers, "clock", Now).timeout(LIMIT).await;
    for (peer, answer) in &answers {
        let own_name = answer.as_ref().is_ok_and(|(name, _)| *name == *peer.node().as_str());
        wrong.unless(own_name, || format!("multicall {peer}: {answer:?}"));
    }
    wrong.unless(answers.len() == peers.len(), || format!("multicall: {} answers", answers.len()));
    let report = node.sbcast(peers, "stored", Add { amount: 1 }).await;
    wrong.unless(report.failed.is_empty() && report.delivered == *peers, || format!("sbcast: {report:?}"));
    let report = node.abcast(peers, "stored", Add { amount: 1 });
    wrong.unless(report.not_queued.is_empty(), || format!("abcast: {report:?}"));
    let report = node.eval_everywhere(peers, "clock", Now);
    wrong.unless(report.not_queued.is_empty(), || format!("eval_everywhere: {report:?}"));
}
