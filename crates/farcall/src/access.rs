//! Which of this node's actors peers may reach: one list of actor-name patterns, to allow or to deny; and rules for
//! who may call what.
//!
//! Only registered names are reachable at all; the list narrows that further. It is asked for every name a
//! peer uses, on live connections too, and for calls of this node to itself. It knows actor names and nothing
//! behind them, so there is no way around it through a permitted actor, as there is when a list of modules
//! allows one that can call any other.

use std::collections::BTreeMap;

use farcall_proto::peer::NodeName;
use serde::{Deserialize, Deserializer};
use thiserror::Error;

/// The actor through which nodes talk about themselves: monitors, groups, services and descriptions.
///
/// No list can hide it. An allow list of the application's own actors would otherwise cut the node off from
/// its cluster without a word. What it answers is guarded by its own rules.
pub const RESERVED_ACTOR: &str = "farcall";

/// A list of actor-name patterns and what it means to match one.
///
/// A pattern is a whole name in which `*` stands for any run of characters, also for none: `math.*` matches
/// `math.add` and `math.`, and does not match `math` or `my.math.add`. There is nothing else to know; `?`, `[`
/// and `.` mean themselves. Letter case counts.
///
/// ```
/// use farcall::AccessList;
///
/// let list = AccessList::allow(["math.*", "clock"])?;
/// assert!(list.permits("math.add") && list.permits("clock"));
/// assert!(!list.permits("shell"));
/// # Ok::<(), farcall::AccessError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "AccessTable")]
pub struct AccessList {
    mode: AccessMode,
    patterns: Vec<String>,
    peers: Option<Vec<PeerRule>>,
    /// Who may look inside; none: everybody who is in.
    inspect: Option<Vec<String>>,
    /// Who may change something.
    operate: Vec<String>,
}

/// Which actors some peers may call.
#[derive(Debug, Clone, PartialEq, Eq)]
struct PeerRule {
    /// A pattern of node names.
    peers: String,
    /// Patterns of actor names.
    actors: Vec<String>,
}

/// What a list of patterns means.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AccessMode {
    /// There is no list: every registered actor may be reached.
    #[default]
    Off,
    /// Only what matches may be reached; an empty list closes the node.
    Allow,
    /// What matches may not be reached; an empty list forbids nothing.
    Deny,
}

impl AccessList {
    /// The most patterns in a list.
    pub const PATTERNS_MAX: usize = 1024;
    /// The longest pattern, in bytes.
    pub const PATTERN_BYTES_MAX: usize = 255;

    /// No list: every registered actor may be reached.
    pub fn off() -> Self {
        Self::default()
    }

    /// Only actors that match one of the patterns may be reached.
    ///
    /// # Errors
    /// [`AccessError`] if a pattern is empty or too long, or if there are too many.
    pub fn allow<P: Into<String>>(patterns: impl IntoIterator<Item = P>) -> Result<Self, AccessError> {
        Self::of(AccessMode::Allow, patterns)
    }

    /// Every registered actor may be reached, except those that match one of the patterns.
    ///
    /// # Errors
    /// [`AccessError`] if a pattern is empty or too long, or if there are too many.
    pub fn deny<P: Into<String>>(patterns: impl IntoIterator<Item = P>) -> Result<Self, AccessError> {
        Self::of(AccessMode::Deny, patterns)
    }

    /// Whether peers may reach the actor of this name. [`RESERVED_ACTOR`] is always permitted.
    pub fn permits(&self, actor: &str) -> bool {
        let listed = || fits_any(&self.patterns, actor);
        match self.mode {
            AccessMode::Off => true,
            _ if actor == RESERVED_ACTOR => true,
            AccessMode::Allow => listed(),
            AccessMode::Deny => !listed(),
        }
    }

    /// The same list, and peers whose names match `peers` may call the actors that match one of `actors`.
    ///
    /// With the first such rule, every peer needs one: what no rule gives it, it may not call. Rules add up, and
    /// narrow what the list permits; they cannot widen it. They hold for other nodes only, not for this one's calls to
    /// itself. The names of peers are proved by their certificates; with the cookie alone, a peer may give any name.
    ///
    /// ```
    /// use farcall::AccessList;
    ///
    /// let list = AccessList::deny(["admin.*"])?
    ///     .peer("web*@*", ["greeter", "math.*"])?
    ///     .peer("ops@10.0.0.9", ["*"])?;
    /// let web = "web1@10.0.0.2".parse()?;
    /// assert!(list.permits_peer(&web, "math.add"));
    /// assert!(!list.permits_peer(&web, "billing"));
    /// assert!(!list.permits_peer(&"other@10.0.0.3".parse()?, "greeter"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`AccessError`] if a pattern is empty or too long, or if there are too many of them in all.
    pub fn peer<P: Into<String>>(
        mut self,
        peers: impl Into<String>,
        actors: impl IntoIterator<Item = P>,
    ) -> Result<Self, AccessError> {
        let rule = PeerRule { peers: peers.into(), actors: actors.into_iter().map(Into::into).collect() };
        for pattern in rule.actors.iter().chain([&rule.peers]) {
            check_pattern(pattern)?;
        }
        let rules = self.peers.get_or_insert_default();
        if rules.iter().map(PeerRule::patterns).sum::<usize>() + rule.patterns() > Self::PATTERNS_MAX {
            return Err(AccessError::TooManyPatterns);
        }
        rules.push(rule);
        Ok(self)
    }

    /// Whether this peer may call the actor of this name. [`RESERVED_ACTOR`] is always permitted.
    pub fn permits_peer(&self, peer: &NodeName, actor: &str) -> bool {
        let fits = |pattern: &String, name: &str| matches(pattern.as_bytes(), name.as_bytes());
        let given = |rule: &PeerRule| {
            fits(&rule.peers, peer.as_str()) && rule.actors.iter().any(|pattern| fits(pattern, actor))
        };
        let by_rule =
            self.peers.as_ref().is_none_or(|rules| actor == RESERVED_ACTOR || rules.iter().any(given));
        by_rule && self.permits(actor)
    }

    /// The same list, and only peers whose names match one of these patterns may look inside this node
    /// ([`Node::inspect_node`](crate::Node::inspect_node)); without it, everybody who is in may. What a node
    /// [exposes](crate::Node::describe) is another matter: whoever may call an actor is told of it.
    ///
    /// # Errors
    /// [`AccessError`] if a pattern is empty or too long, or if there are too many.
    pub fn inspect<P: Into<String>>(
        mut self,
        peers: impl IntoIterator<Item = P>,
    ) -> Result<Self, AccessError> {
        self.inspect = Some(checked(peers)?);
        Ok(self)
    }

    /// The same list, and peers whose names match one of these patterns may operate this node
    /// ([`Node::operate_node`](crate::Node::operate_node)): drain it, change what it logs, end connections. Without
    /// it, nobody else may. The names of peers are proved by their certificates; with the cookie alone, a peer may
    /// give any name.
    ///
    /// # Errors
    /// [`AccessError`] if a pattern is empty or too long, or if there are too many.
    pub fn operate<P: Into<String>>(
        mut self,
        peers: impl IntoIterator<Item = P>,
    ) -> Result<Self, AccessError> {
        self.operate = checked(peers)?;
        Ok(self)
    }

    /// Whether this peer may look inside.
    pub fn may_inspect(&self, peer: &NodeName) -> bool {
        self.inspect.as_ref().is_none_or(|patterns| fits_any(patterns, peer.as_str()))
    }

    /// Whether this peer may operate the node.
    pub fn may_operate(&self, peer: &NodeName) -> bool {
        fits_any(&self.operate, peer.as_str())
    }

    /// The entries at a key of the table `access`, as they would be written in the environment; nothing for a key that
    /// is not set.
    pub(crate) fn entries(&self, word: &str) -> Option<Vec<String>> {
        match word {
            "allow" if self.mode == AccessMode::Allow => Some(self.patterns.clone()),
            "deny" if self.mode == AccessMode::Deny => Some(self.patterns.clone()),
            "peers" => {
                let written = |rule: &PeerRule| format!("{}={}", rule.peers, rule.actors.join(" "));
                Some(self.peers.as_ref()?.iter().map(written).collect())
            }
            "inspect" => self.inspect.clone(),
            "operate" if !self.operate.is_empty() => Some(self.operate.clone()),
            _ => None,
        }
    }

    /// What the list means.
    pub fn mode(&self) -> AccessMode {
        self.mode
    }

    /// The patterns, in the order they were given.
    pub fn patterns(&self) -> &[String] {
        &self.patterns
    }

    fn of<P: Into<String>>(
        mode: AccessMode,
        patterns: impl IntoIterator<Item = P>,
    ) -> Result<Self, AccessError> {
        Ok(Self { mode, patterns: checked(patterns)?, ..Self::default() })
    }
}

impl PeerRule {
    /// How many patterns it counts for.
    fn patterns(&self) -> usize {
        1 + self.actors.len()
    }
}

fn checked<P: Into<String>>(patterns: impl IntoIterator<Item = P>) -> Result<Vec<String>, AccessError> {
    let mut list = Vec::new();
    for pattern in patterns {
        let pattern = pattern.into();
        check_pattern(&pattern)?;
        if list.len() == AccessList::PATTERNS_MAX {
            return Err(AccessError::TooManyPatterns);
        }
        list.push(pattern);
    }
    Ok(list)
}

fn fits_any(patterns: &[String], name: &str) -> bool {
    patterns.iter().any(|pattern| matches(pattern.as_bytes(), name.as_bytes()))
}

fn check_pattern(pattern: &str) -> Result<(), AccessError> {
    match pattern.is_empty() || pattern.len() > AccessList::PATTERN_BYTES_MAX {
        true => Err(AccessError::PatternLength { bytes: pattern.len() }),
        false => Ok(()),
    }
}

/// Why a list of patterns is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AccessError {
    /// A pattern is empty or longer than [`AccessList::PATTERN_BYTES_MAX`].
    #[error("an access pattern of {bytes} bytes: allowed are 1 to 255")]
    PatternLength {
        /// Its length.
        bytes: usize,
    },
    /// There are more than [`AccessList::PATTERNS_MAX`].
    #[error("more than 1024 access patterns")]
    TooManyPatterns,
    /// Both an allow list and a deny list were given.
    #[error("access.allow and access.deny exclude each other: keep the one that is meant")]
    BothLists,
}

/// How the list stands in a configuration.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AccessTable {
    allow: Option<Vec<String>>,
    deny: Option<Vec<String>>,
    peers: Option<BTreeMap<String, Actors>>,
    inspect: Option<Vec<String>>,
    operate: Option<Vec<String>>,
}

/// Patterns of actor names: a list, or a text with spaces between them, as in the environment.
struct Actors(Vec<String>);

impl<'de> Deserialize<'de> for Actors {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a list of patterns, or a text of patterns with spaces between them")]
        enum Written {
            List(Vec<String>),
            Text(String),
        }
        Ok(Self(match Written::deserialize(deserializer)? {
            Written::List(actors) => actors,
            Written::Text(text) => text.split_whitespace().map(str::to_owned).collect(),
        }))
    }
}

impl TryFrom<AccessTable> for AccessList {
    type Error = AccessError;

    fn try_from(table: AccessTable) -> Result<Self, AccessError> {
        let list = match (table.allow, table.deny) {
            (None, None) => Self::off(),
            (Some(allow), None) => Self::allow(allow)?,
            (None, Some(deny)) => Self::deny(deny)?,
            (Some(_), Some(_)) => return Err(AccessError::BothLists),
        };
        let list = match table.inspect {
            Some(peers) => list.inspect(peers)?,
            None => list,
        };
        let list = list.operate(table.operate.unwrap_or_default())?;
        match table.peers {
            None => Ok(list),
            // A table without a line is meant: nobody may call anything.
            Some(rules) => rules
                .into_iter()
                .try_fold(Self { peers: Some(Vec::new()), ..list }, |list, (peers, Actors(actors))| {
                    list.peer(peers, actors)
                }),
        }
    }
}

/// Matches the whole of `name`. At most `pattern.len() * name.len()` steps: only the last star seen is ever
/// retried, because an earlier one that took less can only leave more for the later ones.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at_pattern, mut at_name) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while let Some(byte) = name.get(at_name) {
        match pattern.get(at_pattern) {
            Some(b'*') => {
                retry = Some((at_pattern + 1, at_name));
                at_pattern += 1;
            }
            Some(wanted) if wanted == byte => {
                at_pattern += 1;
                at_name += 1;
            }
            _ => match &mut retry {
                None => return false,
                Some((behind_star, taken)) => {
                    *taken += 1;
                    (at_pattern, at_name) = (*behind_star, *taken);
                }
            },
        }
    }
    pattern.get(at_pattern..).is_some_and(|rest| rest.iter().all(|byte| *byte == b'*'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hit(pattern: &str, name: &str) -> bool {
        matches(pattern.as_bytes(), name.as_bytes())
    }

    #[test]
    fn a_pattern_matches_the_whole_name_and_only_a_star_is_special() {
        for (pattern, name) in [
            ("math.*", "math.add"),
            ("math.*", "math."),
            ("*", ""),
            ("*", "anything"),
            ("*.add", "math.add"),
            ("a*b*c", "a--b--b--c"),
            ("a**c", "ac"),
            ("*ab", "aab"),
            ("größe*", "größe.1"),
        ] {
            assert!(hit(pattern, name), "{pattern} should match {name}");
        }
        for (pattern, name) in [
            ("math.*", "math"),
            ("math.*", "my.math.add"),
            ("math.*", "mathXadd"),
            ("math", "math.add"),
            ("*.add", "math.add2"),
            ("a*b*c", "a--c--b"),
            ("m?th", "math"),
            ("[a-z]", "q"),
            ("Math", "math"),
            ("", "x"),
        ] {
            assert!(!hit(pattern, name), "{pattern} should not match {name}");
        }
    }

    #[test]
    fn a_hostile_pattern_costs_no_more_than_the_product_of_the_lengths() {
        // Exponential in a matcher that retries every star; the test would not end.
        let pattern = "*a".repeat(120) + "b";
        assert!(!hit(&pattern, &"a".repeat(255)));
        assert!(hit(&pattern, &("a".repeat(254) + "b")));
    }

    #[test]
    fn an_allow_list_permits_only_what_it_names() {
        let list = AccessList::allow(["math.*"]).unwrap();
        assert!(list.permits("math.add"));
        assert!(!list.permits("shell"));
        let closed = AccessList::allow(Vec::<String>::new()).unwrap();
        assert!(!closed.permits("math.add"));
    }

    #[test]
    fn a_deny_list_forbids_only_what_it_names() {
        let list = AccessList::deny(["admin.*", "shell"]).unwrap();
        assert!(list.permits("math.add"));
        assert!(!list.permits("shell") && !list.permits("admin.stop"));
        assert!(AccessList::deny(Vec::<String>::new()).unwrap().permits("shell"));
        assert!(AccessList::off().permits("shell"));
    }

    #[test]
    fn no_list_hides_the_reserved_actor_and_no_pattern_smuggles_another_one_in() {
        for list in [AccessList::allow(["x"]).unwrap(), AccessList::deny(["*"]).unwrap()] {
            assert!(list.permits(RESERVED_ACTOR));
            for other in ["farcall ", "Farcall", "farcall.x", ""] {
                assert!(!list.permits(other), "{other:?}");
            }
        }
    }

    #[test]
    fn a_list_is_bounded() {
        assert_eq!(AccessList::allow([""]), Err(AccessError::PatternLength { bytes: 0 }));
        assert_eq!(AccessList::deny(["x".repeat(256)]), Err(AccessError::PatternLength { bytes: 256 }));
        let many = vec!["x"; AccessList::PATTERNS_MAX + 1];
        assert_eq!(AccessList::allow(many), Err(AccessError::TooManyPatterns));
    }

    #[test]
    fn with_a_rule_for_peers_each_peer_may_call_what_its_rules_give_and_the_list_permits() {
        let node = |name: &str| name.parse::<NodeName>().unwrap();
        let list = AccessList::deny(["admin.*"]).unwrap();
        assert!(list.permits_peer(&node("any@h"), "greeter"), "without rules only the list counts");
        let list = list.peer("web*@*", ["greeter"]).unwrap().peer("*@10.0.0.9", ["*"]).unwrap();
        for (peer, actor, may) in [
            ("web1@10.0.0.2", "greeter", true),
            ("web1@10.0.0.2", "billing", false),
            ("web1@10.0.0.9", "billing", true),
            ("other@10.0.0.9", "admin.stop", false),
            ("other@10.0.0.2", "greeter", false),
            ("other@10.0.0.2", RESERVED_ACTOR, true),
            ("Web1@10.0.0.2", "greeter", false),
        ] {
            assert_eq!(list.permits_peer(&node(peer), actor), may, "{peer} {actor}");
        }
        assert!(list.permits("billing"), "the rules are for other nodes");
        assert!(AccessList::off().peer("", ["x"]).is_err());
        assert!(AccessList::off().peer("x", vec!["x"; AccessList::PATTERNS_MAX]).is_err());
    }
}
