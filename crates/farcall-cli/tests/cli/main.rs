//! The real command against a real node, which lives in the test's own process.

#![allow(missing_docs, unreachable_pub, reason = "tests are read, not documented as an API")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what fails in a test fails the test")]

mod answers;
mod browser;
mod cases;
mod certs;
mod checks;
mod config;
mod console;
mod errors;
mod fixture;
mod health;
mod hosts;
mod inside;
mod looks;
mod manual;
mod many;
mod over_tls;
mod procedures;
mod settings;
mod shell;
mod typed;
mod web;
