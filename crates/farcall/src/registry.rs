//! This node's names: which actors peers may address, and which messages each accepts.
//!
//! Only what is registered is reachable at all; the access list narrows it further. Every change moves
//! `generation`, so that connections look a name up again only when something changed.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use actix::Recipient;
use farcall_proto::failure::Rejected;
use farcall_proto::link::frame::Definition;
use farcall_proto::peer::NodeName;
use hashbrown::HashMap;
use parking_lot::{Mutex, RwLock};
use semver::{Version, VersionReq};
use tokio::sync::Notify;

use crate::access::AccessList;
use crate::backlog::Backlog;
use crate::batch::Batch;
use crate::message::MessageInfo;

/// The name of the actor that nodes use to talk about themselves. Always reachable, never to be registered.
pub(crate) const RESERVED: &str = "farcall";

/// The longest name of an actor, in bytes.
pub(crate) const ACTOR_NAME_BYTES_MAX: usize = 255;

/// An actor under its name.
#[derive(Debug)]
pub(crate) struct Registration {
    pub(crate) name: Arc<str>,
    pub(crate) version: Option<Version>,
    /// What it accepts, in the order of the actor's own table.
    pub(crate) messages: Vec<&'static MessageInfo>,
    pub(crate) recipient: Recipient<Batch>,
    pub(crate) backlog: Arc<Backlog>,
    /// Tells this registration from a later one of the same name.
    id: u64,
    /// Taken out: nobody has to keep its actor alive any more.
    out: AtomicBool,
}

impl Registration {
    /// Tells this registration from a later one of the same name.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Whether it was taken out or replaced.
    pub(crate) fn is_out(&self) -> bool {
        self.out.load(Ordering::Acquire)
    }

    /// Whether the actor still lives.
    pub(crate) fn is_alive(&self) -> bool {
        self.recipient.connected()
    }
}

/// Where a route leads.
#[derive(Debug, Clone)]
pub(crate) struct Resolved {
    pub(crate) registration: Arc<Registration>,
    /// Index into the actor's table of messages.
    pub(crate) entry: usize,
    /// The layout the sender writes.
    pub(crate) version: u16,
    /// Whether it is answered by many items.
    pub(crate) stream: bool,
}

/// Why a name could not be registered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// A living actor has this name.
    #[error("the name {0:?} is taken by a living actor; drop its guard first")]
    NameTaken(String),
    /// The name is empty, too long, reserved, or has control characters.
    #[error("{name:?} is no actor name: {why}")]
    BadName {
        /// What was given.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The version is no semantic version.
    #[error("{version:?} is no semantic version like 1.4.0: {why}")]
    BadVersion {
        /// What was given.
        version: String,
        /// What is wrong with it.
        why: String,
    },
    /// There are as many names as `names_max` allows.
    #[error("there are {limit} names, the most that names_max allows")]
    Full {
        /// The limit.
        limit: usize,
    },
    /// The registration this guard stood for is gone.
    #[error("{0:?} is no longer registered")]
    Gone(String),
}

/// The table of names.
pub(crate) struct Registry {
    names: Mutex<HashMap<Arc<str>, Arc<Registration>, ahash::RandomState>>,
    access: RwLock<AccessList>,
    generation: AtomicU64,
    next_id: AtomicU64,
    changed: Notify,
    /// Told, outside of the lock, of each registration that is over.
    over: OnceLock<Box<dyn Fn(u64) + Send + Sync>>,
    limits: RegistryLimits,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Registry")
    }
}

/// What bounds the table and each mailbox in it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RegistryLimits {
    pub(crate) names_max: usize,
    pub(crate) mailbox_messages_max: usize,
    pub(crate) mailbox_bytes_max: usize,
}

impl Registry {
    pub(crate) fn new(access: AccessList, limits: RegistryLimits) -> Arc<Self> {
        Arc::new(Self {
            names: Mutex::default(),
            access: RwLock::new(access),
            generation: AtomicU64::new(1),
            next_id: AtomicU64::new(0),
            changed: Notify::new(),
            over: OnceLock::new(),
            limits,
        })
    }

    /// Puts an actor under a name; a dead holder of it is replaced. Gives the registration's id.
    pub(crate) fn insert(
        &self,
        name: &str,
        messages: Vec<&'static MessageInfo>,
        recipient: Recipient<Batch>,
    ) -> Result<u64, RegisterError> {
        check_name(name)?;
        let mut names = self.names.lock();
        if names.get(name).is_some_and(|holder| holder.is_alive()) {
            return Err(RegisterError::NameTaken(name.to_owned()));
        }
        if names.len() >= self.limits.names_max && !names.contains_key(name) {
            names.retain(|_, registration| registration.is_alive());
            if names.len() >= self.limits.names_max {
                return Err(RegisterError::Full { limit: self.limits.names_max });
            }
        }
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let name: Arc<str> = name.into();
        let backlog =
            Backlog::new(self.limits.mailbox_messages_max, self.limits.mailbox_bytes_max, Instant::now());
        let registration = Registration {
            name: name.clone(),
            version: None,
            messages,
            recipient,
            backlog: Arc::new(backlog),
            id,
            out: AtomicBool::new(false),
        };
        let replaced = names.insert(name, Arc::new(registration));
        drop(names);
        self.note_over(replaced);
        Ok(id)
    }

    /// From now on, `tell` hears of each registration that is over, by its id. It is called on whichever thread ends it.
    pub(crate) fn tell_when_over(&self, tell: impl Fn(u64) + Send + Sync + 'static) {
        // A node is put together once.
        let _ = self.over.set(Box::new(tell));
    }

    /// The living registration of this name.
    pub(crate) fn find(&self, name: &str) -> Option<Arc<Registration>> {
        self.names.lock().get(name).filter(|found| found.is_alive()).cloned()
    }

    /// States the version of a registration.
    pub(crate) fn set_version(&self, name: &str, id: u64, version: &str) -> Result<(), RegisterError> {
        let parsed = Version::parse(version).map_err(|error| RegisterError::BadVersion {
            version: version.to_owned(),
            why: error.to_string(),
        })?;
        let mut names = self.names.lock();
        let gone = || RegisterError::Gone(name.to_owned());
        let registration = names.get_mut(name).filter(|found| found.id == id).ok_or_else(gone)?;
        let versioned = Arc::new(Registration {
            name: registration.name.clone(),
            version: Some(parsed),
            messages: registration.messages.clone(),
            recipient: registration.recipient.clone(),
            backlog: registration.backlog.clone(),
            id,
            out: AtomicBool::new(false),
        });
        let replaced = std::mem::replace(registration, versioned);
        drop(names);
        self.note_out(Some(replaced));
        Ok(())
    }

    /// Takes a name out, if this registration still has it.
    pub(crate) fn remove(&self, name: &str, id: Option<u64>) -> bool {
        let mut names = self.names.lock();
        let matches = names.get(name).is_some_and(|found| id.is_none_or(|id| found.id == id));
        let removed = if matches { names.remove(name) } else { None };
        drop(names);
        let found = removed.is_some();
        if found {
            self.note_over(removed);
        }
        found
    }

    /// As [`Registry::note_out`], for registrations that have no successor of the same id.
    fn note_over(&self, gone: impl IntoIterator<Item = Arc<Registration>>) {
        let gone: Vec<_> = gone.into_iter().collect();
        let ids: Vec<_> = gone.iter().map(|gone| gone.id).collect();
        self.note_out(gone);
        if let Some(over) = self.over.get() {
            ids.into_iter().for_each(over);
        }
    }

    /// To be called outside the lock: what a mailbox may still hold is the application's.
    fn note_out(&self, gone: impl IntoIterator<Item = Arc<Registration>>) {
        gone.into_iter().for_each(|gone| gone.out.store(true, Ordering::Release));
        self.note_change();
    }

    /// Takes every name out: the actors that only their names held end.
    pub(crate) fn clear(&self) {
        let removed = std::mem::take(&mut *self.names.lock());
        self.note_over(removed.into_values());
    }

    /// All living registrations, by name.
    pub(crate) fn all(&self) -> Vec<Arc<Registration>> {
        let names = self.names.lock();
        let mut all: Vec<_> = names.values().filter(|found| found.is_alive()).cloned().collect();
        drop(names);
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// How many names there are.
    pub(crate) fn len(&self) -> usize {
        self.names.lock().len()
    }

    /// Whether a living actor has this name.
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// Resolves when the name is there and the access list permits it to this peer; none is this node itself.
    pub(crate) async fn wait_for(&self, name: &str, peer: Option<&NodeName>) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.contains(name) && self.permits_to(peer, name) {
                return;
            }
            changed.await;
        }
    }

    /// Whether the access list permits an actor to this node.
    pub(crate) fn permits_peer(&self, peer: &NodeName, actor: &str) -> bool {
        self.access.read().permits_peer(peer, actor)
    }

    /// Whether the access list permits an actor to nodes at all.
    pub(crate) fn permits(&self, actor: &str) -> bool {
        self.access.read().permits(actor)
    }

    /// Whether the access list permits an actor to a peer; none is this node itself.
    pub(crate) fn permits_to(&self, peer: Option<&NodeName>, actor: &str) -> bool {
        peer.map_or_else(|| self.permits(actor), |peer| self.permits_peer(peer, actor))
    }

    /// Whether the access list lets a peer look inside.
    pub(crate) fn may_inspect(&self, peer: &NodeName) -> bool {
        self.access.read().may_inspect(peer)
    }

    /// Whether the access list lets a peer operate this node.
    pub(crate) fn may_operate(&self, peer: &NodeName) -> bool {
        self.access.read().may_operate(peer)
    }

    /// The access list that holds now.
    pub(crate) fn access(&self) -> AccessList {
        self.access.read().clone()
    }

    /// Replaces the access list, for live connections and local calls too.
    pub(crate) fn set_access(&self, access: AccessList) {
        *self.access.write() = access;
        self.note_change();
    }

    fn note_change(&self) {
        self.generation.fetch_add(1, Ordering::Release);
        self.changed.notify_waiters();
    }

    /// Moves with every change.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Where a route leads, or why nowhere. The access list comes first, so that a refusal does not tell what exists.
    ///
    /// `peer` is who asks; none for this node itself.
    pub(crate) fn resolve(&self, route: &Definition, peer: Option<&NodeName>) -> Result<Resolved, Rejected> {
        let access = self.access.read();
        if !peer.map_or_else(|| access.permits(&route.actor), |peer| access.permits_peer(peer, &route.actor))
        {
            return Err(Rejected::Unauthorized);
        }
        drop(access);
        let registration = self.names.lock().get(route.actor.as_str()).cloned();
        let registration = registration.filter(|found| found.is_alive()).ok_or(Rejected::NoSuchActor)?;
        check_requirement(&registration, &route.requirement)?;
        let found = registration.messages.iter().position(|info| info.name == route.message);
        let entry = found.ok_or(Rejected::NoSuchMessage)?;
        let info = registration.messages.get(entry).ok_or(Rejected::NoSuchMessage)?;
        check_layout(info, route)?;
        let stream = info.stream;
        Ok(Resolved { registration, entry, version: route.version, stream })
    }
}

fn check_name(name: &str) -> Result<(), RegisterError> {
    let why = if name.is_empty() {
        "it is empty"
    } else if name.len() > ACTOR_NAME_BYTES_MAX {
        "it is longer than 255 bytes"
    } else if name.chars().any(char::is_control) {
        "it has control characters"
    } else {
        return Ok(());
    };
    Err(RegisterError::BadName { name: name.escape_debug().take(64).collect(), why })
}

fn check_requirement(registration: &Registration, requirement: &str) -> Result<(), Rejected> {
    if requirement.is_empty() {
        return Ok(());
    }
    let wrong = |have: String| Rejected::WrongVersion { have, want: requirement.to_owned() };
    let Ok(wanted) = VersionReq::parse(requirement) else {
        return Err(wrong("a bad requirement".to_owned()));
    };
    match &registration.version {
        None => Err(wrong("none".to_owned())),
        Some(version) if wanted.matches(version) => Ok(()),
        Some(version) => Err(wrong(version.to_string())),
    }
}

fn check_layout(info: &MessageInfo, route: &Definition) -> Result<(), Rejected> {
    match info.fingerprint_of(route.version) {
        Some(fingerprint) if fingerprint == route.fingerprint => Ok(()),
        Some(fingerprint) => Err(Rejected::Incompatible(format!(
            "{} version {} has layout {:016x} there and {:016x} here; give a changed layout a new version",
            info.name, route.version, fingerprint, route.fingerprint
        ))),
        None => {
            let versions: Vec<_> = info.versions().map(|version| version.to_string()).collect();
            Err(Rejected::Incompatible(format!(
                "{} version {} is sent, versions {} are read there; upgrade the reader first",
                info.name,
                route.version,
                versions.join(", ")
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_none_is_refused_with_the_reason() {
        for (name, why) in [("", "empty"), ("a\nb", "control")] {
            let error = check_name(name).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
        assert!(check_name(&"x".repeat(256)).is_err());
        assert!(check_name("math.add").is_ok());
    }
}
