//! Names are sent once per connection; a number stands for them afterwards.

use hashbrown::{Equivalent, HashMap};

use super::ProtocolError;
use super::frame::Definition;

/// A definition, borrowed: what a caller looks up for each request, without allocating.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RouteKey<'a> {
    /// The registered name of the actor.
    pub actor: &'a str,
    /// The wire name of the message.
    pub message: &'a str,
    /// The version of the message's layout.
    pub version: u16,
    /// The fingerprint of request and result schemas.
    pub fingerprint: u64,
    /// The actor version required, as a semver requirement; empty for any.
    pub requirement: &'a str,
    /// A number that stands for message, version and fingerprint, the same for equal ones in this process and never for
    /// different ones: with it a route that was used lately is found without hashing its names.
    pub identity: Option<std::num::NonZeroUsize>,
}

impl RouteKey<'_> {
    fn to_definition(self) -> Definition {
        Definition {
            actor: self.actor.to_owned(),
            message: self.message.to_owned(),
            version: self.version,
            fingerprint: self.fingerprint,
            requirement: self.requirement.to_owned(),
        }
    }
}

impl std::hash::Hash for RouteKey<'_> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        // As a `Definition` hashes: the identity is no part of what is looked up.
        self.actor.hash(state);
        self.message.hash(state);
        self.version.hash(state);
        self.fingerprint.hash(state);
        self.requirement.hash(state);
    }
}

impl Equivalent<Definition> for RouteKey<'_> {
    fn equivalent(&self, key: &Definition) -> bool {
        self.actor == key.actor
            && self.message == key.message
            && self.version == key.version
            && self.fingerprint == key.fingerprint
            && self.requirement == key.requirement
    }
}

/// One route of the caller's table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Route {
    /// Its number on the wire.
    pub(super) number: u32,
    /// The actor's number: requests to one actor keep their order.
    pub(super) actor: u32,
}

/// The caller's table.
#[derive(Debug, Default)]
pub(super) struct RouteTable {
    by_key: HashMap<Definition, Route, ahash::RandomState>,
    actors: HashMap<String, u32, ahash::RandomState>,
    /// Casts sent per route; the n-th one can be asked about.
    casts: Vec<u64>,
    /// Routes used lately, each in the place that its key points to.
    recent: [Option<Recent>; RECENT],
    /// Casts that were counted and then not sent, for they are larger than the peer takes.
    refused: Vec<RefusedCast>,
}

/// A route used lately, whose key requires no version.
#[derive(Debug)]
struct Recent {
    identity: std::num::NonZeroUsize,
    actor: Box<str>,
    route: Route,
}

/// How many routes are kept at hand; a power of two.
const RECENT: usize = 16;

impl Recent {
    /// The place of a key. Addresses differ above their lowest bits, names often in their last byte.
    fn place(identity: std::num::NonZeroUsize, actor: &str) -> usize {
        let last = actor.as_bytes().last().copied().unwrap_or_default();
        ((identity.get() >> 4) ^ usize::from(last) ^ actor.len()) % RECENT
    }
}

#[derive(Debug)]
struct RefusedCast {
    route: u32,
    nth: u64,
    bytes: usize,
}

/// Why there is no route for a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoRoute {
    /// The table is full.
    Full,
    /// A name is longer than any peer takes.
    NameTooLong,
}

impl RouteTable {
    /// The route of a key; a new one is announced through `define`.
    pub(super) fn route(
        &mut self,
        key: &RouteKey<'_>,
        routes_max: usize,
        define: impl FnOnce(u32, &Definition),
    ) -> Result<Route, NoRoute> {
        let identity = if key.requirement.is_empty() { key.identity } else { None };
        let place = identity.map(|identity| (Recent::place(identity, key.actor), identity));
        if let Some((place, identity)) = place
            && let Some(Some(recent)) = self.recent.get(place)
            && recent.identity == identity
            && *recent.actor == *key.actor
        {
            return Ok(recent.route);
        }
        let route = self.look_up(key, routes_max, define)?;
        if let Some((place, identity)) = place
            && let Some(recent) = self.recent.get_mut(place)
        {
            *recent = Some(Recent { identity, actor: key.actor.into(), route });
        }
        Ok(route)
    }

    fn look_up(
        &mut self,
        key: &RouteKey<'_>,
        routes_max: usize,
        define: impl FnOnce(u32, &Definition),
    ) -> Result<Route, NoRoute> {
        if let Some(route) = self.by_key.get(key) {
            return Ok(*route);
        }
        if [key.actor, key.message, key.requirement].iter().any(|name| name.len() > NAME_BYTES_MAX) {
            return Err(NoRoute::NameTooLong);
        }
        if self.by_key.len() >= routes_max {
            return Err(NoRoute::Full);
        }
        let number = u32::try_from(self.by_key.len()).map_err(|_| NoRoute::Full)?;
        let next_actor = u32::try_from(self.actors.len()).map_err(|_| NoRoute::Full)?;
        let definition = key.to_definition();
        let actor = *self.actors.entry(definition.actor.clone()).or_insert(next_actor);
        define(number, &definition);
        let route = Route { number, actor };
        self.by_key.insert(definition, route);
        self.casts.push(0);
        Ok(route)
    }

    /// Counts a cast; gives its number among those of its route.
    pub(super) fn count_cast(&mut self, route: u32) -> u64 {
        match self.casts.get_mut(route as usize) {
            Some(count) => {
                *count += 1;
                *count - 1
            }
            None => 0,
        }
    }

    /// A cast will not be sent, behind which `behind` more of its route wait.
    pub(super) fn refuse_cast(&mut self, route: u32, behind: u64, bytes: usize) {
        let count = self.casts.get(route as usize).copied().unwrap_or_default();
        self.refused.push(RefusedCast { route, nth: count.saturating_sub(behind + 1), bytes });
    }

    /// Under which number the peer knows the n-th cast of a route.
    ///
    /// # Errors
    /// The size of the cast if it was refused.
    pub(super) fn sent_cast(&self, route: u32, nth: u64) -> Result<u64, usize> {
        let mut before = 0;
        for refused in self.refused.iter().filter(|refused| refused.route == route && refused.nth <= nth) {
            if refused.nth == nth {
                return Err(refused.bytes);
            }
            before += 1;
        }
        Ok(nth - before)
    }
}

/// The longest name in a definition.
const NAME_BYTES_MAX: usize = 255;

/// Checks what a peer defines before it is kept.
///
/// # Errors
/// [`ProtocolError::BadDefinition`] for an over-long name, [`ProtocolError::BadRoute`] for a number out of order.
pub(super) fn check_definition(
    route: u32,
    definition: &Definition,
    known: usize,
    routes_max: usize,
) -> Result<(), ProtocolError> {
    let too_long = |text: &str| text.len() > NAME_BYTES_MAX;
    if too_long(&definition.actor) || too_long(&definition.message) || too_long(&definition.requirement) {
        return Err(ProtocolError::BadDefinition);
    }
    if route as usize != known || known >= routes_max {
        return Err(ProtocolError::BadRoute { limit: routes_max });
    }
    Ok(())
}
