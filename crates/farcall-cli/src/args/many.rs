//! One message for many nodes, and the actor that is watched.

use farcall::NodeName;
use serde_json::Value;

use super::{Message, Options};
use crate::report::Report;

/// A message, and the nodes it is for.
#[derive(Debug, clap::Args)]
pub(crate) struct Many {
    /// The nodes, as name@host,name@host
    #[arg(value_name = "NODES", value_parser = nodes)]
    pub(crate) nodes: Nodes,
    /// The name under which the actor is registered
    pub(crate) actor: String,
    /// The name of the message
    pub(crate) message: String,
    /// Its content as JSON; `-` reads it from standard input; needless for a message without fields
    #[arg(value_name = "JSON", allow_negative_numbers = true)]
    pub(crate) content: Option<String>,
    /// The version the actor must have, like ^1.4
    #[arg(long, value_name = "VERSION", default_value = "", hide_default_value = true)]
    pub(crate) require_version: String,
    #[command(flatten)]
    pub(crate) options: Options,
}

/// Names of nodes, one at least.
#[derive(Debug, Clone)]
pub(crate) struct Nodes(pub(crate) Vec<NodeName>);

fn nodes(text: &str) -> Result<Nodes, String> {
    let names = text.split(',').map(|name| name.parse().map_err(|error| format!("{name}: {error}")));
    names.collect::<Result<_, String>>().map(Nodes)
}

impl Many {
    /// The one message for one of the nodes.
    pub(crate) fn message(&self, node: &NodeName) -> Message {
        Message {
            node: node.clone(),
            actor: self.actor.clone(),
            message: self.message.clone(),
            content: self.content.clone(),
            require_version: self.require_version.clone(),
        }
    }

    /// The node that is reached first.
    ///
    /// # Errors
    /// One place is given for several nodes.
    pub(super) fn first(&self) -> Result<&NodeName, Report> {
        match self.nodes.0.as_slice() {
            [one] => Ok(one),
            [first, ..] if self.options.at.is_none() => Ok(first),
            _ => {
                let remedy = "name ports in the nodes' names, like beta@10.0.0.2:7000, or addresses in the configuration";
                Err(Report {
                    exit: 2,
                    ..Report::here("usage", "--at is one place, and there are several nodes", remedy)
                })
            }
        }
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct Monitor {
    /// The node, as name@host
    pub(crate) node: NodeName,
    /// The name under which the actor is registered
    pub(crate) actor: String,
    #[command(flatten)]
    pub(crate) options: Options,
}

impl Many {
    pub(crate) fn read(&self) -> Result<Option<Value>, Report> {
        self.nodes.0.first().map_or(Ok(None), |node| self.message(node).read())
    }
}
