//! Fragments in every order, in front of either role.
#![no_main]
#![allow(dead_code, reason = "each target runs one of the entries")]

#[path = "../../tests/support/fuzz_entries.rs"]
mod fuzz_entries;
#[path = "../meter.rs"]
mod meter;

libfuzzer_sys::fuzz_target!(|input: &[u8]| meter::within(256 << 10, || fuzz_entries::fragments(input)));
