//! Who of the strangers is let in: inbound connections that have not proved who they are.
//!
//! ```text
//! accepted ─▶ what its source may have ─▶ what all may have ─▶ Pass ─▶ handshake ─▶ Proved: the tokens come back
//!                     │                          │                         ├─▶ Silent: the same, nothing was done
//!                     ▼                          ▼                         ├─▶ Gone: they stay spent
//!               refused, nothing is spent, nothing is noted                └─▶ Failed: and the source is delayed
//! ```
//!
//! A *source* is what one stranger can hold: an IPv4 address or an IPv6 network of 64 bits. What is counted for a source is
//! asked first and spends nothing that others need. A connection takes a token of its source and one of all; one that
//! proves itself gives both back, so nodes that belong here never run out, however many connections they make. What
//! fails delays the next attempt of its source, each time for twice as long. A source that a peer has proved itself from
//! has its own tokens only: a flood of strangers that uses up those of all does not keep a node from coming back.
//!
//! Everything here is bounded by [`GateLimits`], and no operation takes longer for a flood than for one connection.

mod bucket;
mod history;
mod known;
mod limits;
mod source;
mod table;

use core::net::IpAddr;
use std::time::{Duration, Instant};

use thiserror::Error;

use bucket::Bucket;
use history::History;
use known::Known;
pub use limits::GateLimits;
use source::Source;
use table::Table;

/// Decides which strangers are let in, and keeps what it must know of their sources.
///
/// One stands before all listeners of a node. A clock that goes backwards stands still for it.
#[derive(Debug)]
pub struct Gate {
    limits: GateLimits,
    half_open: usize,
    tokens: Bucket,
    sources: Table,
    known: Known,
    /// The latest time it was told.
    latest: Instant,
}

/// The place of one connection that has been let in, until it is given back by [`Gate::leave`]. One that is dropped
/// instead stays taken.
#[derive(Debug)]
#[must_use = "what is not given back by `leave` stays taken"]
pub struct Pass {
    /// None if no limit of a source holds for it.
    source: Option<Source>,
    /// Whether it took one of the tokens of all.
    paid: bool,
}

/// How a connection ceased to be a stranger's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaving {
    /// Its peer proved who it is, even if it was then declined: the tokens are given back, and the failed handshakes of its
    /// source are forgotten.
    Proved,
    /// Its peer closed it soon and had not said a byte, as a health check does: nothing was worked out for it, and the
    /// tokens are given back.
    Silent,
    /// Nothing is to be held against its peer, and there was work with it: the tokens stay spent, and that is all.
    Gone,
    /// Everything else, silence until the deadline included: the tokens stay spent, and the source is delayed.
    Failed,
}

/// Why a connection is refused. It is to be closed at once; nothing was spent for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Refusal {
    /// Connections of its source failed not long ago.
    #[error("its source failed before, and is refused for another {remaining:?}")]
    Delayed {
        /// How much longer.
        remaining: Duration,
    },
    /// So many connections of its source have not proved themselves: [`GateLimits::half_open_per_source_max`].
    #[error(
        "{limit} connections of its source are in their handshake, the most half_open_per_source_max allows"
    )]
    SourceFull {
        /// The most there may be.
        limit: usize,
    },
    /// Its source makes connections faster than [`GateLimits::accept_rate_per_source`].
    #[error(
        "its source makes more connections than the {limit} a second that accept_rate_per_source allows, and does not \
         prove itself on them"
    )]
    SourceRate {
        /// So many a second.
        limit: u32,
    },
    /// So many connections have not proved themselves: [`GateLimits::half_open_max`].
    #[error("{limit} connections are in their handshake, the most half_open_max allows")]
    Full {
        /// The most there may be.
        limit: usize,
    },
    /// Strangers make connections faster than [`GateLimits::accept_rate`].
    #[error("strangers make more connections than the {limit} a second that accept_rate allows")]
    Rate {
        /// So many a second.
        limit: u32,
    },
    /// Its source is a new one, and each one known has a connection in its handshake: [`GateLimits::sources_max`].
    #[error("{limit} sources have connections in their handshake, the most sources_max allows")]
    SourcesFull {
        /// The most there may be.
        limit: usize,
    },
}

impl Refusal {
    /// A stable word for counters and for limiting the rate of logs: the setting that refused.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Delayed { .. } => "source_delayed",
            Self::SourceFull { .. } => "half_open_per_source_max",
            Self::SourceRate { .. } => "accept_rate_per_source",
            Self::Full { .. } => "half_open_max",
            Self::Rate { .. } => "accept_rate",
            Self::SourcesFull { .. } => "sources_max",
        }
    }
}

impl Gate {
    /// A gate that nobody has passed.
    pub fn new(limits: GateLimits, now: Instant) -> Self {
        let tokens = Bucket::full(limits.accept_rate, now);
        let (sources, known) = (Table::new(limits.sources_max), Known::new(limits.sources_max));
        Self { limits, half_open: 0, tokens, sources, known, latest: now }
    }

    /// Lets a connection from this address in, or refuses it.
    ///
    /// # Errors
    /// [`Refusal`], if a limit of its source or of all strangers is reached. Nothing was spent, and a delay does not get
    /// longer by it.
    pub fn admit(&mut self, from: IpAddr, now: Instant) -> Result<Pass, Refusal> {
        let now = self.advance(now);
        self.sources.forget_some(&self.limits, now);
        let source = self.source(from);
        if let Some(source) = source {
            self.ask_source(source, now)?;
        }
        let paid = !source.is_some_and(|source| self.known.contains(source));
        self.ask_all(paid, now)?;
        if let Some(source) = source {
            let limit = self.limits.sources_max;
            let history =
                self.sources.open(source, &self.limits, now).ok_or(Refusal::SourcesFull { limit })?;
            history.half_open += 1;
            history.tokens.take(now);
        }
        self.half_open += 1;
        if paid {
            self.tokens.take(now);
        }
        Ok(Pass { source, paid })
    }

    /// Takes a connection's place back: its peer proved itself, or it is closed.
    pub fn leave(&mut self, pass: Pass, how: Leaving, now: Instant) {
        let now = self.advance(now);
        self.half_open = self.half_open.saturating_sub(1);
        let free = matches!(how, Leaving::Proved | Leaving::Silent);
        if free && pass.paid {
            self.tokens.give_back(now);
        }
        let Some(source) = pass.source else { return };
        // It is there, with this connection in it, unless the pass is another gate's.
        let Some(history) = self.sources.half_open(source) else { return };
        history.half_open -= 1;
        if free {
            history.tokens.give_back(now);
        }
        match how {
            Leaving::Proved => {
                history.prove();
                self.known.add(source);
            }
            Leaving::Silent | Leaving::Gone => {}
            Leaving::Failed => history.fail(&self.limits, now),
        }
        self.sources.close(source, &self.limits, now);
    }

    /// Delays the source of a peer that had proved itself and then broke the protocol, as a failed handshake does. But no
    /// proof makes this one forgotten, only time: such a peer proves itself whenever it comes back.
    pub fn blame(&mut self, from: IpAddr, now: Instant) {
        let now = self.advance(now);
        let Some(source) = self.source(from) else { return };
        self.known.forget(source);
        // Without a place for it, it goes unpunished: every place is held by a stranger at this moment.
        let Some(history) = self.sources.open(source, &self.limits, now) else { return };
        history.blame(&self.limits, now);
        self.sources.close(source, &self.limits, now);
    }

    /// How many connections are in: at most [`GateLimits::half_open_max`].
    pub fn half_open(&self) -> usize {
        self.half_open
    }

    /// How many sources are remembered: at most [`GateLimits::sources_max`]. Those that are as good as new are forgotten
    /// while others come.
    pub fn sources(&self) -> usize {
        self.sources.len()
    }

    fn advance(&mut self, now: Instant) -> Instant {
        self.latest = self.latest.max(now);
        self.latest
    }

    /// The source of an address, unless none of a source's limits hold for it.
    fn source(&self, from: IpAddr) -> Option<Source> {
        // A socket that listens for both shows an IPv4 address within IPv6, as `::ffff:192.0.2.1`.
        let address = from.to_canonical();
        (self.limits.limit_loopback || !address.is_loopback()).then(|| Source::of(address))
    }

    /// Refuses what its source may not have.
    fn ask_source(&mut self, source: Source, now: Instant) -> Result<(), Refusal> {
        let unknown = History::new(&self.limits, now);
        let history = self.sources.find(source).unwrap_or(&unknown);
        let refusal = history.refusal(&self.limits, now);
        let Some(refusal) = refusal else { return Ok(()) };
        // Whoever keeps trying is kept in mind.
        self.sources.touch(source);
        Err(refusal)
    }

    /// Refuses what nobody may have at this moment; `pays` if it takes a token.
    fn ask_all(&self, pays: bool, now: Instant) -> Result<(), Refusal> {
        let GateLimits { half_open_max, accept_rate, .. } = self.limits;
        if self.half_open >= half_open_max {
            return Err(Refusal::Full { limit: half_open_max });
        }
        if pays && !self.tokens.has_one(now) {
            return Err(Refusal::Rate { limit: accept_rate });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
