//! TLS, identities and strangers that mean harm: running nodes on loopback, and peers spoken by hand.

#![allow(missing_docs, unreachable_pub, reason = "tests are read, not documented as an API")]
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that is wrong about its own data should fail loudly"
)]

mod access;
#[path = "../support/anybody.rs"]
mod anybody;
mod auth;
mod by_hand;
mod downgrade;
mod drivers;
mod fixture;
mod identity;
#[path = "../support/log_lines.rs"]
mod log_lines;
mod pem_files;
#[path = "../support/pki.rs"]
mod pki;
mod plaintext;
mod relay;
mod reload;
mod sources;
mod starting;
mod strangers;
mod tampering;
