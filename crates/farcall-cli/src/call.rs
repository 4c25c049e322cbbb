//! `farcall call` and `farcall cast`: JSON into a message, the message to its actor, the answer into JSON.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use farcall::rpc::{Acked, RawCall, RawItems, RawMessage};
use farcall::{ActorDescription, MessageDescription};
use futures::StreamExt;
use postcard_schema::schema::owned::{OwnedDataModelType, OwnedNamedType};
use serde::Serialize;
use serde_json::Value;

use crate::args::{Call, Cast, Message};
use crate::dynamic::{self, Look};
use crate::output::Output;
use crate::report::Report;
use crate::session::Session;

/// Calls, and prints the answer or the items.
pub(crate) async fn call(
    session: &Session,
    call: &Call,
    json: Option<&Value>,
    output: &mut Output,
) -> Result<(), Report> {
    let known = describe(session, &call.message).await?;
    answered(session, call, known, json, output).await
}

/// As [`call`], of a message that is answered by many items.
pub(crate) async fn stream(
    session: &Session,
    call: &Call,
    json: Option<&Value>,
    output: &mut Output,
) -> Result<(), Report> {
    let known = describe(session, &call.message).await?;
    if !known.stream {
        let Message { node, actor, message, .. } = &call.message;
        let what = format!("{message} is answered by one value, and by no stream");
        return Err(Report::rejected("no_stream", what, format!("farcall call {node} {actor} {message}")));
    }
    answered(session, call, known, json, output).await
}

async fn answered(
    session: &Session,
    call: &Call,
    known: MessageDescription,
    json: Option<&Value>,
    output: &mut Output,
) -> Result<(), Report> {
    let payload = encode(&call.message, &known, json)?;
    if !call.raw {
        readable(&known)?;
    }
    let (target, message) = (raw_call(session, &call.message), raw_message(&known, &payload));
    let layout: Option<&OwnedNamedType> = if call.raw { None } else { Some(&known.result) };
    if known.stream {
        let items = target.stream(message, session.left()).await?;
        return show_items(items, layout, call.take, output).await;
    }
    let answer = target.call(message, session.left()).await?;
    show(layout, &answer, Look::Pretty, output)
}

async fn show_items(
    mut items: RawItems,
    layout: Option<&OwnedNamedType>,
    take: Option<u64>,
    output: &mut Output,
) -> Result<(), Report> {
    let mut left = take.unwrap_or(u64::MAX);
    while left > 0 && !output.is_closed() {
        let Some(item) = items.next().await else { break };
        show(layout, &item?, Look::Compact, output)?;
        left -= 1;
    }
    Ok(())
}

fn show(
    layout: Option<&OwnedNamedType>,
    payload: &[u8],
    look: Look,
    output: &mut Output,
) -> Result<(), Report> {
    match layout {
        Some(layout) => output.answer(layout, payload, look),
        None => output.document(&STANDARD.encode(payload)),
    }
}

/// Calls, and gives the answer as JSON.
pub(crate) async fn value(
    session: &Session,
    message: &Message,
    json: Option<&Value>,
) -> Result<Value, Report> {
    let known = describe(session, message).await?;
    let payload = encode(message, &known, json)?;
    readable(&known)?;
    let (to, raw) = (raw_call(session, message), raw_message(&known, &payload));
    as_json(&known.result, &to.call(raw, session.left()).await?)
}

/// An answer as JSON.
pub(crate) fn as_json(layout: &OwnedNamedType, payload: &[u8]) -> Result<Value, Report> {
    let unreadable = |why: String| Report::unreadable(format!("the answer cannot be shown: {why}"));
    dynamic::check(layout, payload).map_err(unreadable)?;
    let mut text = Vec::new();
    dynamic::write(layout, payload, Look::Compact, &mut text)
        .map_err(|_| unreadable("it is malformed".to_owned()))?;
    serde_json::from_slice(&text).map_err(|error| unreadable(error.to_string()))
}

/// Casts, and waits until the mailbox has it if that is asked for.
pub(crate) async fn send(
    session: &Session,
    message: &Message,
    json: Option<&Value>,
    acked: bool,
) -> Result<(), Report> {
    let known = describe(session, message).await?;
    let payload = encode(message, &known, json)?;
    let sent = raw_call(session, message).cast(raw_message(&known, &payload));
    if acked { Ok(sent.acked().await?) } else { Ok(sent.map(drop)?) }
}

/// Casts, and says what is known then.
pub(crate) async fn cast(
    session: &Session,
    cast: &Cast,
    json: Option<&Value>,
    output: &mut Output,
) -> Result<(), Report> {
    #[derive(Serialize)]
    struct Done {
        delivered: Option<bool>,
    }
    send(session, &cast.message, json, !cast.no_ack).await?;
    let (delivered, text) = match cast.no_ack {
        true => (None, "sent"),
        false => (Some(true), "delivered: the actor's mailbox has it"),
    };
    match output.is_json() {
        true => output.document(&Done { delivered }),
        false => output.line(text),
    }
}

pub(crate) fn raw_call<'a>(session: &'a Session, message: &'a Message) -> RawCall<'a> {
    session.node.raw(&session.target, (message.actor.as_str(), message.require_version.as_str()))
}

pub(crate) fn raw_message<'a>(known: &'a MessageDescription, payload: &'a [u8]) -> RawMessage<'a> {
    RawMessage { name: &known.name, version: known.version, fingerprint: known.fingerprint, payload }
}

/// What the node tells about the message.
pub(crate) async fn describe(session: &Session, message: &Message) -> Result<MessageDescription, Report> {
    let Message { node, actor: name, message: wanted, .. } = message;
    let told = session.node.describe_actor(&session.target, name).await?;
    let Some(actor) = told.actors.into_iter().find(|actor| actor.name == *name) else {
        return Err(no_such_actor(session, message).await);
    };
    let ActorDescription { messages, .. } = actor;
    let names: Vec<String> = messages.iter().map(|message| message.name.clone()).collect();
    messages.into_iter().find(|message| message.name == *wanted).ok_or_else(|| {
        let what = format!("{name} on {node} accepts no message {wanted}");
        let remedy = format!("it accepts {}; see `farcall describe {node} {name}`", list(&names));
        Report::rejected("no_such_message", what, remedy)
    })
}

async fn no_such_actor(session: &Session, message: &Message) -> Report {
    let Message { node, actor, .. } = message;
    let what = format!("{actor} is not registered on {node}, or its access list does not permit it");
    let remedy = match session.node.describe(&session.target).await {
        Ok(told) => {
            let names: Vec<String> = told.actors.into_iter().map(|actor| actor.name).collect();
            format!("there are {}; see `farcall names {node}`", list(&names))
        }
        Err(_) => format!("see `farcall names {node}`"),
    };
    Report::rejected("no_such_actor", what, remedy)
}

/// Names for a person, the first of them.
fn list(names: &[String]) -> String {
    const SHOWN: usize = 10;
    let shown = names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len() {
        0 => "none".to_owned(),
        count if count > SHOWN => format!("{shown} and {} more", count - SHOWN),
        _ => shown,
    }
}

pub(crate) fn encode(
    message: &Message,
    known: &MessageDescription,
    json: Option<&Value>,
) -> Result<Vec<u8>, Report> {
    let nothing = nothing(&known.request);
    dynamic::encode(&known.request, json.unwrap_or(&nothing)).map_err(|problem| {
        let Message { node, actor, message, .. } = message;
        let example = dynamic::example(&known.request);
        let remedy = format!("for example: farcall call {node} {actor} {message} {}", quoted(&example));
        let what = match json {
            Some(_) => format!("the JSON is no {message}: {problem}"),
            None => format!("{message} needs JSON: {problem}"),
        };
        Report::here("bad_json", what, remedy)
    })
}

/// What stands for a message whose JSON is left out.
fn nothing(layout: &OwnedNamedType) -> Value {
    match &layout.ty {
        OwnedDataModelType::Struct(_) => Value::Object(serde_json::Map::new()),
        OwnedDataModelType::Tuple(_) | OwnedDataModelType::TupleStruct(_) => Value::Array(Vec::new()),
        _ => Value::Null,
    }
}

/// A text as one word of a shell.
pub(crate) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// The same, with quotes only where a shell needs them.
pub(crate) fn word(text: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "@%+:,./-_".contains(letter);
    match !text.is_empty() && text.chars().all(plain) {
        true => text.to_owned(),
        false => quoted(text),
    }
}

/// An answer that nobody could read is better not asked for: asking runs something.
pub(crate) fn readable(known: &MessageDescription) -> Result<(), Report> {
    let Some(opaque) = dynamic::opaque(&known.result) else { return Ok(()) };
    let what = format!("the answer to {} holds {opaque}, whose layout is not described", known.name);
    let remedy = "use --raw to run it and get the bytes of the answer, or cast it";
    Err(Report::here("opaque", what, remedy))
}
