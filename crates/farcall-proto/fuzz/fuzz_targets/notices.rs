//! What is said in a session: monitors, links and groups.
#![no_main]
#![allow(dead_code, reason = "each target runs one of the entries")]

#[path = "../../tests/support/fuzz_entries.rs"]
mod fuzz_entries;

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz_entries::notices(input));
