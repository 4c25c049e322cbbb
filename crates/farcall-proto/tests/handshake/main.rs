//! The handshake as a whole: two sides, a line between them that anyone may touch, no sockets.
//!
//! `fixture` runs conversations; `agreement` is what honest peers get, `attacks` what others get, `wire` the bytes;
//! `by_hand` is the protocol written a second time, for peers that prove themselves and then lie.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, as it should"
)]

mod agreement;
mod attacks;
mod by_hand;
mod fixture;
mod wire;
