//! `farcall names` and `farcall describe`: what a node exposes.

use farcall::{ActorDescription, MessageDescription, NodeDescription};
use postcard_schema::schema::owned::OwnedNamedType;
use serde::Serialize;

use crate::call::quoted;
use crate::dynamic;
use crate::output::Output;
use crate::report::Report;
use crate::session::Session;
use crate::table::Table;

/// The actors, one a line.
pub(crate) async fn names(session: &Session, output: &mut Output) -> Result<(), Report> {
    #[derive(Serialize)]
    struct Name<'a> {
        name: &'a str,
        version: Option<&'a str>,
        messages: Vec<&'a str>,
    }
    let told = session.node.describe(&session.target).await?;
    let mut table = Table::new(["NAME", "VERSION", "MESSAGES"]);
    for actor in &told.actors {
        let messages: Vec<&str> = actor.messages.iter().map(|message| message.name.as_str()).collect();
        let version = actor.version.as_deref();
        if output.is_json() {
            output.document(&Name { name: &actor.name, version, messages })?;
        } else {
            table.row([actor.name.clone(), version.unwrap_or("-").to_owned(), messages.join(", ")]);
        }
    }
    match (output.is_json(), table.is_empty()) {
        (true, _) => Ok(()),
        (false, true) => output.line(&format!("{} exposes no actors", told.node)),
        (false, false) => table.print(output),
    }
}

/// The node, or one of its actors, with the layout of every message and an example of it.
pub(crate) async fn describe(
    session: &Session,
    actor: Option<&str>,
    output: &mut Output,
) -> Result<(), Report> {
    let told = match actor {
        Some(actor) => session.node.describe_actor(&session.target, actor).await?,
        None => session.node.describe(&session.target).await?,
    };
    if let (Some(actor), true) = (actor, told.actors.is_empty()) {
        let node = &told.node;
        let what = format!("{actor} is not registered on {node}, or its access list does not permit it");
        return Err(Report::rejected("no_such_actor", what, format!("see `farcall names {node}`")));
    }
    if output.is_json() {
        return output.document(&Described::from(&told));
    }
    let NodeDescription { node, incarnation, farcall, actors } = &told;
    output.line(&format!("{node}  (farcall {farcall}, incarnation {incarnation:016x})"))?;
    for actor in actors {
        let version =
            actor.version.as_ref().map(|version| format!("  version {version}")).unwrap_or_default();
        output.line(&format!("\n{}{version}", actor.name))?;
        for message in &actor.messages {
            show(node, actor, message, output)?;
        }
    }
    Ok(())
}

fn show(
    node: &str,
    actor: &ActorDescription,
    message: &MessageDescription,
    output: &mut Output,
) -> Result<(), Report> {
    let answer = dynamic::inline(&message.result);
    let answer = if message.stream { format!("stream of {answer}") } else { answer };
    let version = match message.version {
        1 => String::new(),
        version => format!("  (version {version}, reads {:?} too)", message.older_versions),
    };
    output.line(&format!("\n  {} -> {answer}{version}", message.name))?;
    let mut definitions = dynamic::definitions(&message.request);
    for definition in dynamic::definitions(&message.result) {
        if !definitions.contains(&definition) {
            definitions.push(definition);
        }
    }
    for line in definitions.iter().flat_map(|definition| definition.lines()) {
        output.line(&format!("      {line}"))?;
    }
    let call = format!("farcall call {node} {} {}", actor.name, message.name);
    match (dynamic::opaque(&message.request), dynamic::example(&message.request).as_str()) {
        (Some(opaque), _) => output.line(&format!("      only programs can send it: it holds {opaque}")),
        (None, "null" | "{}") => output.line(&format!("      {call}")),
        (None, example) => output.line(&format!("      {call} {}", quoted(example))),
    }
}

/// A node's description for programs.
#[derive(Serialize)]
pub(crate) struct Described<'a> {
    node: &'a str,
    /// Hexadecimal: many JSON tools cannot hold 64 bits.
    incarnation: String,
    farcall: &'a str,
    actors: Vec<DescribedActor<'a>>,
}

#[derive(Serialize)]
struct DescribedActor<'a> {
    name: &'a str,
    version: Option<&'a str>,
    messages: Vec<DescribedMessage<'a>>,
}

#[derive(Serialize)]
struct DescribedMessage<'a> {
    name: &'a str,
    version: u16,
    older_versions: &'a [u16],
    fingerprint: String,
    stream: bool,
    /// As a person reads them.
    definitions: Vec<String>,
    result: String,
    /// JSON that `farcall call` takes; none if the request holds something opaque.
    example: Option<String>,
    /// As a program reads them.
    request_schema: &'a OwnedNamedType,
    result_schema: &'a OwnedNamedType,
}

impl<'a> From<&'a NodeDescription> for Described<'a> {
    fn from(told: &'a NodeDescription) -> Self {
        let actor = |actor: &'a ActorDescription| DescribedActor {
            name: &actor.name,
            version: actor.version.as_deref(),
            messages: actor.messages.iter().map(DescribedMessage::from).collect(),
        };
        Self {
            node: &told.node,
            incarnation: format!("{:016x}", told.incarnation),
            farcall: &told.farcall,
            actors: told.actors.iter().map(actor).collect(),
        }
    }
}

impl<'a> From<&'a MessageDescription> for DescribedMessage<'a> {
    fn from(message: &'a MessageDescription) -> Self {
        let sendable = dynamic::opaque(&message.request).is_none();
        Self {
            name: &message.name,
            version: message.version,
            older_versions: &message.older_versions,
            fingerprint: format!("{:016x}", message.fingerprint),
            stream: message.stream,
            definitions: dynamic::definitions(&message.request),
            result: dynamic::inline(&message.result),
            example: sendable.then(|| dynamic::example(&message.request)),
            request_schema: &message.request,
            result_schema: &message.result,
        }
    }
}
