//! The table `[services]`: which nodes are looked for, and what for.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use farcall_proto::cluster::services::{Intervals, Policy, Rule, RuleError, Rules};
use serde::{Deserialize, Deserializer};

use super::units;

/// The settings of services: this node connects to nodes whose names match, and uses their services.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServicesConfig {
    /// Each `PATTERN -> SERVICE SERVICE ...`: a regular expression of node names, and the services wanted from such nodes.
    /// The first that matches a node counts. Without rules no node is looked for.
    pub rules: Vec<String>,
    /// Hosts whose port mappers are asked which nodes there are, beside what discovery lists.
    pub hosts: Vec<String>,
    /// A file of hosts, one in each line, read again every `hosts_interval`.
    pub hosts_file: Option<PathBuf>,
    /// Who of several gets a call.
    #[serde(deserialize_with = "policy")]
    pub policy: Policy,
    /// Between two looks at which nodes there are.
    #[serde(deserialize_with = "units::duration")]
    pub world_interval: Duration,
    /// Between two attempts at a node that is not there.
    #[serde(deserialize_with = "units::duration")]
    pub worker_interval: Duration,
    /// Between two looks at the file of hosts.
    #[serde(deserialize_with = "units::duration")]
    pub hosts_interval: Duration,
}

impl Default for ServicesConfig {
    fn default() -> Self {
        let Intervals { world, worker, hosts } = Intervals::default();
        Self {
            rules: Vec::new(),
            hosts: Vec::new(),
            hosts_file: None,
            policy: Policy::Random,
            world_interval: world,
            worker_interval: worker,
            hosts_interval: hosts,
        }
    }
}

impl ServicesConfig {
    /// The most rules.
    pub const RULES_MAX: usize = 256;
    /// The most hosts.
    pub const HOSTS_MAX: usize = 1024;

    /// The rules, read.
    pub(crate) fn parsed(&self) -> Result<Rules, RuleError> {
        let rules = self.rules.iter().map(|text| Written::from_str(text).map(|written| written.0));
        rules.collect::<Result<_, _>>().map(Rules::new)
    }

    pub(crate) fn intervals(&self) -> Intervals {
        Intervals { world: self.world_interval, worker: self.worker_interval, hosts: self.hosts_interval }
    }
}

/// A rule as it is written.
struct Written(Rule);

impl FromStr for Written {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let error = |why: &str| RuleError { pattern: text.chars().take(128).collect(), why: why.to_owned() };
        let (nodes, services) =
            text.rsplit_once("->").ok_or_else(|| error("a rule is PATTERN -> SERVICE SERVICE ..."))?;
        let services: Vec<_> = services.split_whitespace().collect();
        if services.is_empty() {
            return Err(error("no service stands behind ->"));
        }
        Rule::new(nodes.trim(), services).map(Self)
    }
}

fn policy<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Policy, D::Error> {
    match String::deserialize(deserializer)?.as_str() {
        "random" => Ok(Policy::Random),
        "least_busy" => Ok(Policy::LeastBusy),
        other => Err(serde::de::Error::custom(format!("{other:?} is not allowed: random or least_busy"))),
    }
}
