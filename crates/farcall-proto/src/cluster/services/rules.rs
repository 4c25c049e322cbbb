//! Which nodes are wanted, and for which services.

use std::fmt;

use regex::{Regex, RegexBuilder};
use thiserror::Error;

use crate::peer::NodeName;

/// Nodes whose names match are connected to, and used for these services.
#[derive(Debug, Clone)]
pub struct Rule {
    nodes: Regex,
    services: Vec<String>,
}

/// All rules, in order: the first that matches a node counts.
#[derive(Debug, Clone, Default)]
pub struct Rules(Vec<Rule>);

/// Why a rule is none.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{pattern:?} is no pattern of node names: {why}")]
pub struct RuleError {
    /// What was given.
    pub pattern: String,
    /// What is wrong with it.
    pub why: String,
}

impl Rule {
    /// The longest pattern, in bytes.
    pub const PATTERN_BYTES_MAX: usize = 1024;

    /// Nodes that match `nodes`, a regular expression, for these services.
    ///
    /// It is looked for in the name before the `@`, and if it is not found there, in the whole name. So `^web[0-9]+$` is
    /// exactly what it looks like, and `@10\.0\.0\.` takes the nodes of a network. Matching takes linear time.
    ///
    /// # Errors
    /// [`RuleError`] if it is no regular expression, or too large.
    pub fn new<S: Into<String>>(
        nodes: &str,
        services: impl IntoIterator<Item = S>,
    ) -> Result<Self, RuleError> {
        let error = |why: String| RuleError { pattern: nodes.chars().take(128).collect(), why };
        if nodes.is_empty() || nodes.len() > Self::PATTERN_BYTES_MAX {
            return Err(error(format!("it has 1 to {} bytes", Self::PATTERN_BYTES_MAX)));
        }
        let built = RegexBuilder::new(nodes).size_limit(COMPILED_BYTES_MAX).build();
        // The library draws where the mistake is, in several lines; the last one says it.
        let said = |why: regex::Error| why.to_string().lines().last().unwrap_or_default().trim().to_owned();
        let nodes = built.map_err(|why| error(said(why)))?;
        Ok(Self { nodes, services: services.into_iter().map(Into::into).collect() })
    }

    /// Whether it is about this node.
    pub fn matches(&self, node: &NodeName) -> bool {
        self.nodes.is_match(node.short()) || self.nodes.is_match(node.as_str())
    }

    /// The services it wants from them.
    pub fn services(&self) -> &[String] {
        &self.services
    }
}

/// The most memory a compiled pattern takes.
const COMPILED_BYTES_MAX: usize = 256 * 1024;

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} for {}", self.nodes, self.services.join(", "))
    }
}

impl Rules {
    /// These rules, in this order.
    pub fn new(rules: Vec<Rule>) -> Self {
        Self(rules)
    }

    /// Whether there is none: then nothing is looked for.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is wanted from a node: none if no rule is about it.
    pub fn wanted(&self, node: &NodeName) -> Option<&[String]> {
        self.0.iter().find(|rule| rule.matches(node)).map(Rule::services)
    }

    /// Whether this service of this node is used. Without rules, every service of a node that is connected is.
    pub fn uses(&self, node: &NodeName, service: &str) -> bool {
        self.is_empty() || self.wanted(node).is_some_and(|wanted| wanted.iter().any(|name| name == service))
    }
}
