//! Where a connection comes from, as far as one stranger can choose.

use core::net::IpAddr;

/// An IPv4 address, or an IPv6 network of 64 bits: the smallest that is handed out, within which a host takes any address
/// it likes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Source {
    V4(u32),
    V6(u64),
}

impl Source {
    /// The source of an address in its canonical form: not of an IPv4 address within IPv6.
    pub(super) fn of(canonical: IpAddr) -> Self {
        match canonical {
            IpAddr::V4(address) => Self::V4(address.to_bits()),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Self::V6([a, b, c, d].into_iter().fold(0, |bits, part| bits << 16 | u64::from(part)))
            }
        }
    }
}
