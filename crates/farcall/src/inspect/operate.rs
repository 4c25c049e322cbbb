//! What an operator may have a node do.

/// Something that a node is asked to do by a peer that [may](crate::AccessList::operate).
#[farcall::data]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Write more or less to the log: the filter of a module, as in `RUST_LOG`. It needs a program that
    /// [lets itself](crate::LogSwitch) be told.
    Log {
        /// `off`, `error`, `warn`, `info`, `debug` or `trace`.
        level: String,
        /// The module, like `farcall`; empty for all.
        module: String,
    },
    /// Begin to shut down: nothing new, and what was accepted is finished.
    Drain,
    /// End the connections that this node asks another one over, in good order.
    Disconnect {
        /// The other node.
        node: String,
    },
}

/// Why an order was not followed. Nothing has changed.
#[farcall::data]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrderRefused {
    /// `access.operate` of the node does not list who asked.
    NotPermitted {
        /// Who asked.
        peer: String,
    },
    /// The order makes no sense.
    Invalid {
        /// What is wrong with it.
        why: String,
    },
    /// The program gave the node no [`LogSwitch`](crate::LogSwitch).
    NoLogSwitch,
}

impl std::fmt::Display for OrderRefused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotPermitted { peer } => {
                write!(f, "access.operate of the node does not list {peer}")
            }
            Self::Invalid { why } => f.write_str(why),
            Self::NoLogSwitch => f.write_str("its program lets nobody change its log: it has no LogSwitch"),
        }
    }
}

impl std::error::Error for OrderRefused {}
