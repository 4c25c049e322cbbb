//! What a farcall node adds to its entry in a mapper: that it is one, how it is dialled, and its process.

/// What stands in the `extra` field of a node's entry, as text: `farcall/1 tls 1234`.
///
/// It tells farcall nodes from Erlang's in an epmd that both use, and names the holder of a name that is taken. Words
/// behind these three are left alone, so that a later release can add some.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Whether the port is to be dialled with TLS.
    pub tls: bool,
    /// The process, as its own host numbers it.
    pub pid: u32,
}

impl Mark {
    /// As it stands in an entry.
    pub fn to_extra(self) -> Vec<u8> {
        format!("{WORD} {} {}", if self.tls { "tls" } else { "tcp" }, self.pid).into_bytes()
    }

    /// The mark of a farcall node; none for anybody else's entry.
    pub fn of_extra(extra: &[u8]) -> Option<Self> {
        let mut words = std::str::from_utf8(extra).ok()?.split(' ');
        let tls = match (words.next()?, words.next()?) {
            (WORD, "tls") => true,
            (WORD, "tcp") => false,
            _ => return None,
        };
        Some(Self { tls, pid: words.next()?.parse().ok()? })
    }
}

/// The number counts up when the words behind it change their meaning.
const WORD: &str = "farcall/1";
