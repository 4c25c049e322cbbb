//! Which of several nodes gets a call, and whether another one may get it after a failure.

use std::fmt;

use thiserror::Error;

use crate::cluster::groups::{Member, below};
use crate::failure::{Failure, NotSent, Rejected};
use crate::peer::NodeName;

/// An actor that serves, as its caller knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Which one.
    pub member: Member,
    /// Its node takes nothing new.
    pub draining: bool,
    /// How many requests this node has with it.
    pub load: usize,
}

/// Among which to choose, once those of the caller's own host come first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Policy {
    /// Any of them.
    #[default]
    Random,
    /// The less busy one of two.
    LeastBusy,
}

/// Nobody serves this.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("no node serves {service:?}: {why}")]
pub struct NoNode {
    /// The service.
    pub service: String,
    /// Why there is none.
    pub why: &'static str,
}

/// Chooses who gets a call: somebody on the caller's own host if there is anybody, and nobody who drains or whose node was
/// tried before. `random` are numbers that nobody can foresee.
///
/// # Errors
/// [`NoNode`], which says whether anybody was there at all.
pub fn choose<'a>(
    service: &str,
    candidates: &'a [Candidate],
    own: &NodeName,
    tried: &[NodeName],
    policy: Policy,
    random: [u64; 2],
) -> Result<&'a Candidate, NoNode> {
    let none = |why| NoNode { service: service.to_owned(), why };
    if candidates.is_empty() {
        return Err(none("none that is connected offers it"));
    }
    let serving: Vec<_> = candidates.iter().filter(|candidate| !candidate.draining).collect();
    if serving.is_empty() {
        return Err(none("all that offer it are draining"));
    }
    let untried = |candidate: &&&Candidate| !tried.contains(&candidate.member.node);
    let mut left: Vec<_> = serving.iter().filter(untried).copied().collect();
    let here = |candidate: &&Candidate| candidate.member.node.host() == own.host();
    if left.iter().any(here) {
        left.retain(here);
    }
    let [first, second] = random;
    let one = below(first, left.len());
    let chosen = match policy {
        Policy::Random => left.get(one).copied(),
        Policy::LeastBusy => {
            let other = (one + 1 + below(second, left.len().saturating_sub(1))) % left.len().max(1);
            match (left.get(one), left.get(other)) {
                (Some(one), Some(other)) => Some(if other.load < one.load { *other } else { *one }),
                _ => None,
            }
        }
    };
    chosen.ok_or_else(|| none("all that offer it were tried"))
}

/// Whether a call that failed like this surely did not run, and may run elsewhere: nothing was sent, or the node was about to
/// go, too busy, or no longer had the actor. What is wrong with the call itself would be wrong elsewhere too.
pub fn surely_elsewhere(failure: &Failure) -> bool {
    match failure {
        Failure::NotSent(not_sent) => matches!(
            not_sent,
            NotSent::NoAddress(_)
                | NotSent::ConnectFailed(_)
                | NotSent::HandshakeFailed(_)
                | NotSent::QueueFull { .. }
                | NotSent::Draining(_)
                | NotSent::Disconnected(_)
        ),
        Failure::Rejected(rejected) => matches!(
            rejected,
            Rejected::Draining | Rejected::NoSuchActor | Rejected::ActorStopped | Rejected::Busy(_)
        ),
        Failure::Failed(_) | Failure::Unknown(_) => false,
    }
}

/// Whether a cast of which only so many in a hundred are to run does; 100 or more: each.
pub fn runs(percentage: u8, random: u64) -> bool {
    below(random, 100) < usize::from(percentage)
}

/// What many nodes answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report<V> {
    /// All of them this.
    Uniform(V),
    /// Not all the same; in the order of the nodes.
    NonUniform(Vec<(NodeName, V)>),
}

/// Whether all answers are the same. None of none.
pub fn report<V: PartialEq>(answers: Vec<(NodeName, V)>) -> Option<Report<V>> {
    let (_, first) = answers.first()?;
    if answers.iter().all(|(_, answer)| answer == first) {
        return answers.into_iter().next().map(|(_, answer)| Report::Uniform(answer));
    }
    Some(Report::NonUniform(answers))
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Random => "random",
            Self::LeastBusy => "least_busy",
        })
    }
}
