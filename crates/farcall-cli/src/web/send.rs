//! What the page sends: a message that was typed into its form.

use farcall::rpc::Acked;
use futures::StreamExt;
use serde::Deserialize;
use serde_json::{Value, json};

use super::looks::Watch;
use super::node_of;
use crate::args::Message;
use crate::call;
use crate::report::Report;

/// Items of a stream that the page shows.
const ITEMS_MAX: usize = 100;

#[derive(Deserialize)]
struct Describe {
    node: String,
}

#[derive(Deserialize)]
struct Send {
    node: String,
    actor: String,
    message: String,
    /// JSON, as it was typed; empty for a message without fields.
    content: String,
    /// `call` or `cast`.
    verb: String,
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Report> {
    serde_json::from_slice(body).map_err(|error| Report::here("usage", format!("the request: {error}"), ""))
}

/// What a node lets others call.
pub(super) async fn describe(watch: &Watch, body: &[u8]) -> Result<Value, Report> {
    let Describe { node } = read(body)?;
    let session = watch.session(&node_of(&node)?, None).await?;
    let told = session.node.describe(&session.target).await.map_err(|error| session.explain(error.into()))?;
    serde_json::to_value(crate::look::Described::from(&told))
        .map_err(|error| Report::here("output", error.to_string(), ""))
}

/// Calls or casts, and gives what became of it.
pub(super) async fn send(watch: &Watch, body: &[u8]) -> Result<Value, Report> {
    let Send { node, actor, message, content, verb } = read(body)?;
    let node = node_of(&node)?;
    let session = watch.session(&node, None).await?;
    let content = Some(content).filter(|content| !content.trim().is_empty());
    let message = Message { node, actor, message, content, require_version: String::new() };
    let json = message.read()?;
    let sent = async {
        let known = call::describe(&session, &message).await?;
        let payload = call::encode(&message, &known, json.as_ref())?;
        let (raw, to) = (call::raw_message(&known, &payload), call::raw_call(&session, &message));
        if verb == "cast" {
            to.cast(raw).acked().await?;
            return Ok(json!({ "delivered": true }));
        }
        call::readable(&known)?;
        if !known.stream {
            let answer = to.call(raw, session.timeout).await?;
            return Ok(json!({ "answer": call::as_json(&known.result, &answer)? }));
        }
        let mut items = to.stream(raw, session.timeout).await?;
        let mut shown_items = Vec::new();
        while shown_items.len() < ITEMS_MAX
            && let Ok(Some(item)) = tokio::time::timeout(session.timeout, items.next()).await
        {
            shown_items.push(call::as_json(&known.result, &item?)?);
        }
        Ok(json!({ "items": shown_items }))
    };
    sent.await.map_err(|report: Report| session.explain(report))
}
