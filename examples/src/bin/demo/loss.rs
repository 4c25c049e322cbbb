//! Chapters: beta's process is killed while calls run, and comes back.

use std::error::Error;
use std::time::{Duration, Instant};

use farcall::prelude::*;
use futures::StreamExt;

use crate::Stage;
use crate::actors::{Add, Count, Total, Work};
use crate::story::{Story, time, told};

pub(crate) async fn tell(story: &mut Story, stage: &mut Stage) -> Result<(), Box<dyn Error>> {
    let incarnation = stage.alpha.describe(&stage.beta).await?.incarnation;
    story.chapter("A process dies", "Beta gets SIGKILL while many callers talk to it. Nobody waits in vain.");
    kill(story, stage).await?;
    after(story, stage).await;
    story.chapter("It comes back", "Nothing has to be told to alpha: the next call connects again.");
    restart(story, stage, incarnation).await
}

/// Callers of all kinds; then the kill; then what each learned, and how soon.
async fn kill(story: &mut Story, stage: &mut Stage) -> Result<(), Box<dyn Error>> {
    let work = spawn_timed(&stage.alpha, &stage.beta, |alpha, beta| async move {
        alpha.call(&beta, "worker", Work { ms: 60_000 }).await
    });
    let stream = spawn_timed(&stage.alpha, &stage.beta, |alpha, beta| async move {
        let mut items = alpha.stream(&beta, "worker", Count { to: u64::MAX }).await?;
        while let Some(item) = items.next().await {
            item?;
        }
        Ok(0)
    });
    let callers: Vec<_> =
        (0..CALLERS).map(|_| actix::spawn(until_error(stage.alpha.clone(), stage.beta.clone()))).collect();
    let to_gamma = actix::spawn(until_error(stage.alpha.clone(), stage.gamma.clone()));
    // The handler of `Work` must run and calls must flow when the process ends.
    stage.alpha.ping(&stage.beta).await?;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let in_flight = stage.alpha.load(stage.beta.node()).0;
    story.step("requests to beta in flight", "some", in_flight, in_flight > 0);

    let killed = Instant::now();
    stage.fleet.kill("beta")?;
    story.step("kill -9", "", "beta is gone", true);
    let (seen, at) = work.await?;
    story.refusal("the call whose handler ran", Class::Unknown, true, seen);
    let slow = at.saturating_duration_since(killed);
    story.step("  it learned so", "within a second", format!("{} after the kill", time(slow)), slow < SOON);
    story.refusal("the stream in the middle", Class::Unknown, true, stream.await?.0);
    quick_callers(story, callers, killed).await?;
    let alive = !to_gamma.is_finished();
    to_gamma.abort();
    story.same("gamma's callers noticed nothing", true, alive);
    Ok(())
}

/// What those learned that called again and again.
async fn quick_callers(
    story: &mut Story,
    callers: Vec<actix_rt::task::JoinHandle<(u64, CallError, Instant)>>,
    killed: Instant,
) -> Result<(), Box<dyn Error>> {
    let (mut answered, mut unknown, mut not_run, mut slowest) = (0, 0, 0, Duration::ZERO);
    for caller in callers {
        let (count, error, at) = caller.await?;
        answered += count;
        *(if error.may_have_run() { &mut unknown } else { &mut not_run }) += 1;
        slowest = slowest.max(at.saturating_duration_since(killed));
    }
    let seen = format!("{answered} answers before; then {unknown} may have run, {not_run} surely did not");
    story.step(
        &format!("{CALLERS} callers, each with a call at a time"),
        "each learns of its last call",
        seen,
        answered > 0 && unknown + not_run == CALLERS,
    );
    let seen = format!("{} after the kill", time(slowest));
    story.step("  the last of them learned so", "within a second", seen, slowest < SOON);
    Ok(())
}

/// Beta is not there: what its callers learn now.
async fn after(story: &mut Story, stage: &Stage) {
    let Stage { alpha, beta, .. } = stage;
    let seen = alpha.call(beta, "counter", Total).await;
    story.refusal("a new call to beta", Class::NotSent, false, seen);
    let answers = alpha.multicall(stage.others(), "counter", Total).await;
    let words = answers.iter().map(|(_, answer)| answer.as_ref().map_or_else(told, u64::to_string));
    let classes: Vec<_> =
        answers.iter().map(|(_, answer)| answer.as_ref().err().map(CallError::class)).collect();
    let seen = words.collect::<Vec<_>>().join(" | ");
    story.step(
        "multicall: the other two answer",
        "an error and two totals",
        seen,
        classes == [Some(Class::NotSent), None, None],
    );
    let report = alpha.sbcast(stage.others(), "counter", Add { amount: 1 }).await;
    let seen = format!("{} delivered, {} failed", report.delivered.len(), report.failed.len());
    story.same("sbcast: says where it is, and where not", "2 delivered, 1 failed".to_owned(), seen);
    let nodes: Vec<String> = alpha.nodes().iter().map(|node| node.short().to_owned()).collect();
    story.same("nodes: beta is no longer among them", "delta gamma".to_owned(), nodes.join(" "));
}

async fn restart(story: &mut Story, stage: &mut Stage, before: u64) -> Result<(), Box<dyn Error>> {
    let waiting = actix::spawn({
        let (alpha, beta) = (stage.alpha.clone(), stage.beta.clone());
        async move { alpha.wait_for_within(&beta, "counter", Duration::from_secs(10)).await }
    });
    let seen = stage.fleet.start("beta").await?;
    story.step("beta starts again", "", seen, true);
    let Stage { alpha, beta, .. } = stage;
    story.answer("wait_for: resolves when its counter is registered", (), waiting.await?);
    // A start draws a random number, so a new beta is never taken for the old one, and gets nothing meant for that.
    story.answer("its counter begins anew", 1, alpha.call(beta, "counter", Add { amount: 1 }).await);
    let incarnation = alpha.describe(beta).await?.incarnation;
    story.same("it is another incarnation of beta", true, incarnation != before);
    let nodes: Vec<String> = alpha.nodes().iter().map(|node| node.short().to_owned()).collect();
    story.same("nodes: all three again", "beta delta gamma".to_owned(), nodes.join(" "));
    Ok(())
}

/// A caller in a task of its own, with the moment it learned its outcome.
fn spawn_timed<F, Fut>(
    alpha: &Node,
    beta: &Target,
    call: F,
) -> actix_rt::task::JoinHandle<(Result<u64, CallError>, Instant)>
where
    F: FnOnce(Node, Target) -> Fut,
    Fut: Future<Output = Result<u64, CallError>> + 'static,
{
    let call = call(alpha.clone(), beta.clone());
    actix::spawn(async move { (call.await, Instant::now()) })
}

/// Calls again and again until there is an error: how many answers, the error, and when.
async fn until_error(node: Node, target: Target) -> (u64, CallError, Instant) {
    let mut answers = 0;
    loop {
        match node.call(&target, "counter", Total).await {
            Ok(_) => answers += 1,
            Err(error) => return (answers, error, Instant::now()),
        }
    }
}

/// How many callers call again and again.
const CALLERS: u32 = 64;

/// Far more than it takes on a machine with other work.
const SOON: Duration = Duration::from_secs(1);
