//! `farcall multicall`, `abcast`, `sbcast`: one message for an actor on many nodes; and `monitor`.

use farcall::NodeName;
use futures::future::join_all;
use serde::Serialize;
use serde_json::Value;

use crate::args::{Many, Monitor};
use crate::call;
use crate::output::Output;
use crate::report::Report;
use crate::session::Session;
use crate::table::Table;

/// What is asked of every node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Multicall,
    Abcast,
    Sbcast,
}

/// What came of one node.
#[derive(Serialize)]
struct Row<'a> {
    node: &'a NodeName,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Report>,
}

/// Asks all of them at once. A node whose session could not be opened has the reason in its place.
pub(crate) async fn run(
    verb: Verb,
    sessions: &[(NodeName, Result<Session, Report>)],
    many: &Many,
    json: Option<&Value>,
    output: &mut Output,
) -> Result<(), Report> {
    let asked = sessions.iter().map(|(node, session)| async move {
        let session = session.as_ref().map_err(Clone::clone)?;
        let message = many.message(node);
        let done = match verb {
            Verb::Multicall => call::value(session, &message, json).await,
            Verb::Abcast => call::send(session, &message, json, false).await.map(|()| "sent".into()),
            Verb::Sbcast => call::send(session, &message, json, true).await.map(|()| "delivered".into()),
        };
        done.map_err(|report| session.explain(report))
    });
    let answers = join_all(asked).await;
    let (mut failed, mut exit) = (0, 0);
    let mut table =
        Table::new(["NODE", if verb == Verb::Multicall { "ANSWER" } else { "WHAT BECAME OF IT" }]);
    for ((node, _), answer) in sessions.iter().zip(answers) {
        let (answer, error) = match answer {
            Ok(answer) => (Some(answer), None),
            Err(report) => {
                failed += 1;
                exit = if exit == 0 { report.exit } else { exit };
                (None, Some(report))
            }
        };
        if output.is_json() {
            output.document(&Row { node, answer, error })?;
            continue;
        }
        let text = match (&answer, &error) {
            (Some(Value::String(text)), _) if verb != Verb::Multicall => text.clone(),
            (Some(answer), _) => answer.to_string(),
            (None, Some(Report { message, may_have_run, .. })) => {
                format!("{message}; did it run? {}", if *may_have_run { "it may have" } else { "surely not" })
            }
            (None, None) => String::new(),
        };
        table.row([node.to_string(), text]);
    }
    if !output.is_json() {
        table.print(output)?;
    }
    output.note_failed(exit);
    if failed > 0 && !output.is_json() {
        output.warn(&format!("{failed} of {} nodes: see above", sessions.len()));
    }
    Ok(())
}

/// Waits until the actor is gone.
pub(crate) async fn monitor(session: &Session, asked: &Monitor, output: &mut Output) -> Result<(), Report> {
    #[derive(Serialize)]
    struct Down<'a> {
        node: &'a str,
        actor: &'a str,
        reason: String,
    }
    // Whether the node can be reached is found out in the time of the command; the rest takes as long as it takes.
    tokio::time::timeout(session.left(), session.node.ping(&session.target)).await.map_err(|_| {
        Report::here("unreachable", format!("{} gave no sign of life in time", asked.node), "")
    })??;
    let watched = session
        .node
        .monitor(&session.target, &asked.actor)
        .map_err(|error| Report::here("too_many", error.to_string(), ""))?;
    if !output.is_json() {
        output.line(&format!("watching {} on {}", asked.actor, asked.node))?;
    }
    let down = watched.await;
    let (node, reason) = (asked.node.as_str(), down.reason.to_string());
    match output.is_json() {
        true => output.document(&Down { node, actor: &asked.actor, reason }),
        false => output.line(&format!("{} on {node} is gone: {reason}", asked.actor)),
    }
}
