//! Which of this node's actors peers may reach: one list of actor-name patterns, to allow or to deny.
//!
//! Only registered names are reachable at all; the list narrows that further. It is asked for every name a
//! peer uses, on live connections too, and for calls of this node to itself. It knows actor names and nothing
//! behind them, so there is no way around it through a permitted actor, as there is when a list of modules
//! allows one that can call any other.

use serde::Deserialize;
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
        let listed = || self.patterns.iter().any(|pattern| matches(pattern.as_bytes(), actor.as_bytes()));
        match self.mode {
            AccessMode::Off => true,
            _ if actor == RESERVED_ACTOR => true,
            AccessMode::Allow => listed(),
            AccessMode::Deny => !listed(),
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
        let mut list = Self { mode, patterns: Vec::new() };
        for pattern in patterns {
            let pattern = pattern.into();
            if pattern.is_empty() || pattern.len() > Self::PATTERN_BYTES_MAX {
                return Err(AccessError::PatternLength { bytes: pattern.len() });
            }
            if list.patterns.len() == Self::PATTERNS_MAX {
                return Err(AccessError::TooManyPatterns);
            }
            list.patterns.push(pattern);
        }
        Ok(list)
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
}

impl TryFrom<AccessTable> for AccessList {
    type Error = AccessError;

    fn try_from(table: AccessTable) -> Result<Self, AccessError> {
        match (table.allow, table.deny) {
            (None, None) => Ok(Self::off()),
            (Some(allow), None) => Self::allow(allow),
            (None, Some(deny)) => Self::deny(deny),
            (Some(_), Some(_)) => Err(AccessError::BothLists),
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
}
