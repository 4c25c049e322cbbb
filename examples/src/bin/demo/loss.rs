//! Chapters: beta's process is killed while calls run, and comes back.

use std::cell::Cell;
use std::error::Error;
use std::rc::Rc;
use std::time::{Duration, Instant};

use actix_rt::task::JoinHandle;
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
    let answers = Rc::new(Cell::new(0));
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| actix::spawn(until_error(stage.alpha.clone(), stage.beta.clone(), answers.clone())))
        .collect();
    let to_gamma = actix::spawn(until_error(stage.alpha.clone(), stage.gamma.clone(), Rc::default()));
    let deadline = Instant::now() + Duration::from_secs(5);
    while answers.get() < ANSWERS_FIRST && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let seen = format!("{} callers, one long call, one stream; {} answers", CALLERS, answers.get());
    story.step("everybody talks to beta", "answers", seen, answers.get() >= ANSWERS_FIRST);

    let killed = Instant::now();
    stage.fleet.kill("beta")?;
    story.step("kill -9", "", "beta is gone", true);
    let (seen, at) = work.await?;
    story.refusal("the call whose handler ran", Class::Unknown, true, seen);
    let slow = at.saturating_duration_since(killed);
    story.fact("  it learned so", "within a second", format!("{} after the kill", time(slow)), slow < SOON);
    story.refusal("the stream in the middle", Class::Unknown, true, stream.await?.0);
    quick_callers(story, callers, answers.get(), killed).await?;
    let alive = !to_gamma.is_finished();
    to_gamma.abort();
    story.holds("gamma's caller noticed nothing", alive);
    Ok(())
}

/// What those learned that called again and again.
async fn quick_callers(
    story: &mut Story,
    callers: Vec<JoinHandle<(CallError, Instant)>>,
    answered: u64,
    killed: Instant,
) -> Result<(), Box<dyn Error>> {
    let (mut unknown, mut not_run, mut slowest) = (0, 0, Duration::ZERO);
    for caller in callers {
        let (error, at) = caller.await?;
        *(if error.may_have_run() { &mut unknown } else { &mut not_run }) += 1;
        slowest = slowest.max(at.saturating_duration_since(killed));
    }
    let seen = format!("{answered} answers before; then {unknown} may have run, {not_run} surely did not");
    story.step(
        &format!("{CALLERS} callers, each with a call at a time"),
        "each learns what became of its last call",
        seen,
        unknown + not_run == CALLERS,
    );
    let seen = format!("{} after the kill", time(slowest));
    story.fact("  the last of them learned so", "within a second", seen, slowest < SOON);
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
    let waited = waiting.await?.map(|()| "it is there");
    story.answer("wait_for: resolves when its counter is registered", "it is there", waited);
    // A start draws a random number, so a new beta is never taken for the old one, and gets nothing meant for that.
    story.answer("its counter begins anew", 1, alpha.call(beta, "counter", Add { amount: 1 }).await);
    let incarnation = alpha.describe(beta).await?.incarnation;
    story.holds("alpha knows that it is another incarnation", incarnation != before);
    let nodes: Vec<String> = alpha.nodes().iter().map(|node| node.short().to_owned()).collect();
    story.same("nodes: all three again", "beta delta gamma".to_owned(), nodes.join(" "));
    Ok(())
}

/// A caller in a task of its own, with the moment it learned its outcome.
fn spawn_timed<F, Fut>(alpha: &Node, beta: &Target, call: F) -> JoinHandle<(Result<u64, CallError>, Instant)>
where
    F: FnOnce(Node, Target) -> Fut,
    Fut: Future<Output = Result<u64, CallError>> + 'static,
{
    let call = call(alpha.clone(), beta.clone());
    actix::spawn(async move { (call.await, Instant::now()) })
}

/// Calls again and again until there is an error; tells which, and when. Counts the answers.
async fn until_error(node: Node, target: Target, answers: Rc<Cell<u64>>) -> (CallError, Instant) {
    loop {
        match node.call(&target, "counter", Total).await {
            Ok(_) => answers.set(answers.get() + 1),
            Err(error) => return (error, Instant::now()),
        }
    }
}

/// How many answers there are before beta dies.
const ANSWERS_FIRST: u64 = 2_000;

/// How many callers call again and again.
const CALLERS: u32 = 64;

/// Far more than it takes on a machine with other work.
const SOON: Duration = Duration::from_secs(1);
