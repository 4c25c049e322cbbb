//! The whole program: real processes, real sockets, very short windows.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

/// As the parent hands it to its children.
const WORKLOAD: &str = r#"{"name":"calls","traffic":{"Calls":{"message":"Echo","outstanding":1}},"placement":"free","yardstick":"calls","clients":1}"#;

fn bench(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_farcall-bench")).args(arguments).output().unwrap()
}

fn measure(workload: &str, placement: &str) -> serde_json::Value {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{workload}.json"));
    let path = file.to_str().unwrap();
    let output = bench(&[
        "run",
        "--only",
        "bare",
        "--workload",
        workload,
        "--placement",
        placement,
        "--rounds",
        "2",
        "--seconds",
        "0.1",
        "--json",
        path,
    ]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains(workload));
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

#[test]
fn small_calls_on_one_core_are_counted_timed_and_paid_for() {
    let report = measure("calls_64B_w64", "same");
    let samples = report["cells"][0]["samples"].as_array().unwrap();
    assert_eq!(samples.len(), 2);
    for sample in samples {
        let figure = |name: &str| sample[name].as_f64().unwrap();
        assert!(figure("calls_per_s") > 0.0 && figure("cpu_us_per_call") > 0.0, "{sample}");
        assert!(0.0 < figure("p50_us") && figure("p50_us") <= figure("p99_us"), "{sample}");
        // Two processes on one core cannot use more than that core; 1.25 allows for the edges of the window.
        assert!(figure("calls_per_s") * figure("cpu_us_per_call") <= 1.25e6, "{sample}");
    }
    assert_eq!(report["ratios"]["calls_64B_w64"]["bare"]["calls_per_s"], 1.0);
}

#[test]
fn small_calls_beside_large_ones_count_both() {
    let report = measure("mixed", "free");
    let sample = &report["cells"][0]["samples"][0];
    assert!(sample["calls_per_s"].as_f64().unwrap() > 0.0, "{sample}");
    assert!(sample["large_mb_per_s"].as_f64().unwrap() > 0.0, "{sample}");
}

#[test]
fn a_name_that_does_not_exist_is_refused_with_those_that_do() {
    for arguments in [["run", "--workload", "calls_65B"], ["run", "--only", "erlang"]] {
        let output = bench(&arguments);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && told.contains("there are"), "{told}");
    }
}

#[test]
fn a_server_ends_when_its_parent_is_gone() {
    ends_with_its_parent("bare");
}

fn ends_with_its_parent(side: &str) {
    let mut server = Command::new(env!("CARGO_BIN_EXE_farcall-bench"))
        .args(["server", "--side", side, "--workload", WORKLOAD])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(server.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    assert!(line.contains("127.0.0.1:"), "{line}");
    drop(server.stdin.take());
    let (ended, waiting) = channel();
    std::thread::spawn(move || ended.send(server.wait().unwrap()));
    assert!(waiting.recv_timeout(Duration::from_secs(20)).unwrap().success());
}

/// Whether there is an Erlang to test with; without one it is said which test was skipped.
fn erlang(test: &str) -> bool {
    let erl = Command::new("erl").args(["-noinput", "-eval", "halt(0)."]).status();
    let there = erl.is_ok_and(|status| status.success());
    if !there {
        eprintln!("skipped for want of erl (install erlang-base): {test}");
    }
    there
}

#[test]
fn erpc_is_measured_where_there_is_an_erlang() {
    if !erlang("erpc_is_measured_where_there_is_an_erlang") {
        return;
    }
    for (workload, figure) in [("calls_64B_w1", "p50_us"), ("mixed", "large_mb_per_s")] {
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("erpc-{workload}.json"));
        let path = file.to_str().unwrap();
        let run = ["run", "--quick", "--only", "erpc", "--workload", workload];
        let output = bench(&[&run[..], &["--placement", "same", "--json", path]].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(String::from_utf8_lossy(&output.stdout).contains("erpc OTP "));
        let report: serde_json::Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
        let sample = &report["cells"][0]["samples"][0];
        assert!(sample["calls_per_s"].as_f64().unwrap() > 0.0, "{sample}");
        assert!(sample[figure].as_f64().unwrap() > 0.0, "{sample}");
        assert!(sample["client_allocations_per_call"].is_null(), "{sample}");
    }
}

#[test]
fn an_erlang_node_ends_when_its_parent_is_gone() {
    if erlang("an_erlang_node_ends_when_its_parent_is_gone") {
        ends_with_its_parent("erpc");
    }
}

#[test]
fn a_missing_erl_is_said_before_anything_is_measured() {
    let output = Command::new(env!("CARGO_BIN_EXE_farcall-bench"))
        .args(["run", "--quick", "--erlang"])
        .env("PATH", "/nowhere")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && told.contains("install erlang-base"), "{told}");
    assert!(!told.contains("1/"), "{told}");
}
