//! What a node exposes, as data: for people, for tools, and for the command line.

use farcall_proto::peer::NodeName;

use super::layout::Layout;
use crate::message::MessageInfo;
use crate::registry::{RESERVED, Registry};

/// What a node exposes.
#[farcall::data]
#[derive(Debug, Clone, PartialEq)]
pub struct NodeDescription {
    /// The node's name.
    pub node: String,
    /// Which start of the node this is.
    pub incarnation: u64,
    /// The version of farcall it runs.
    pub farcall: String,
    /// Its exposed actors, by name.
    pub actors: Vec<ActorDescription>,
}

/// One exposed actor.
#[farcall::data]
#[derive(Debug, Clone, PartialEq)]
pub struct ActorDescription {
    /// The registered name.
    pub name: String,
    /// Its version, if it states one.
    pub version: Option<String>,
    /// The messages it accepts.
    pub messages: Vec<MessageDescription>,
}

/// One message an actor accepts.
#[farcall::data]
#[derive(Debug, Clone, PartialEq)]
pub struct MessageDescription {
    /// Its wire name.
    pub name: String,
    /// The version of its layout.
    pub version: u16,
    /// Lower versions that are still read.
    pub older_versions: Vec<u16>,
    /// The fingerprint of request and result.
    pub fingerprint: u64,
    /// Whether it is answered by many items.
    pub stream: bool,
    /// The layout of the request.
    pub request: Layout,
    /// The layout of the result, or of one item.
    pub result: Layout,
}

impl From<&MessageInfo> for MessageDescription {
    fn from(info: &MessageInfo) -> Self {
        Self {
            name: info.name.to_owned(),
            version: info.version,
            older_versions: info.older.iter().map(|layout| layout.version).collect(),
            fingerprint: info.fingerprint,
            stream: info.stream,
            request: info.request.into(),
            result: info.result.into(),
        }
    }
}

/// The exposed actors of a registry, or the one of this name: what the access list does not permit to this peer is not
/// told. None for this node itself.
pub(super) fn actors(
    registry: &Registry,
    only: Option<&str>,
    peer: Option<&NodeName>,
) -> Vec<ActorDescription> {
    let all = registry.all();
    let chosen = all.iter().filter(|found| *found.name != *RESERVED);
    let chosen = chosen.filter(|found| only.is_none_or(|name| *found.name == *name));
    chosen
        .filter(|found| registry.permits_to(peer, &found.name))
        .map(|found| ActorDescription {
            name: found.name.to_string(),
            version: found.version.as_ref().map(ToString::to_string),
            messages: found.messages.iter().map(|info| MessageDescription::from(*info)).collect(),
        })
        .collect()
}
