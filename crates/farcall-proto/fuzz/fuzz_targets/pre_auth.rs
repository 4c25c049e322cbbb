//! A stranger in front of either role, until the handshake is over.
#![no_main]
#![allow(dead_code, reason = "each target runs one of the entries")]

#[path = "../../tests/support/fuzz_entries.rs"]
mod fuzz_entries;
#[path = "../meter.rs"]
mod meter;

libfuzzer_sys::fuzz_target!(|input: &[u8]| meter::within(256 << 10, || fuzz_entries::pre_auth(input)));
