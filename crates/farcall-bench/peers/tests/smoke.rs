//! Every peer answers what it is said to support: a short run of each, which measures nothing.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Command;

/// Runs the program and gives its output.
fn peers(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_farcall-peers")).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

const PEERS: [&str; 6] = ["tarpc", "tarpc-postcard", "tonic", "ractor", "kameo", "telepathy"];

#[test]
fn every_peer_is_listed() {
    let list = peers(&["list"]);
    for peer in PEERS {
        assert!(list.lines().any(|line| line.trim_start().starts_with(peer)), "{peer} is missing: {list}");
    }
}

#[test]
fn every_peer_answers_under_every_kind_of_workload() {
    let kinds = "calls_64B_w64,casts_64B,calls_struct_w64,calls_async_w64,calls_500KiB_w1,mixed,clients_8";
    let only = PEERS.join(",");
    let table = peers(&["run", "--quick", "--seconds", "0.05", "--only", &only, "--workload", kinds]);
    for peer in PEERS {
        let rows = table.lines().filter(|line| line.contains(&format!(" {peer} "))).count();
        assert!(rows >= 6, "{rows} rows of {peer}: {table}");
    }
}
