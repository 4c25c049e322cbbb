//! call, cast and ping when all is well.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use crate::fixture::{BETA, Cluster, command, eventually};

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[actix::test]
async fn a_call_prints_the_answer() {
    let cluster = Cluster::start("a_call").await;
    let run = async |args: &[&str]| cluster.run(args).await.ok();
    assert_eq!(run(&["call", BETA, "counter", "Add", r#"{"amount":5}"#]).await, "5\n");
    assert_eq!(run(&["call", BETA, "counter", "Total"]).await, "5\n");
    assert_eq!(run(&["call", BETA, "counter", "Total", "null", "--json"]).await, "5\n");
}

#[actix::test]
async fn a_message_of_many_kinds_comes_back_as_it_was() {
    let cluster = Cluster::start("mirror").await;
    let item = r#"{"label":"ä","content":"AAEC","shape":{"Circle":{"radius":1.5}},"tags":[7,null]}"#;
    let content = format!(r#"{{"item":{item}}}"#);
    let shown = cluster.run(&["call", BETA, "counter", "Mirror", &content, "--json"]).await.ok();
    assert_eq!(shown.trim_end(), item);
    let pretty = cluster.run(&["call", BETA, "counter", "Mirror", &content]).await.ok();
    assert!(pretty.lines().count() > 4, "{pretty}");
    let (pretty, compact): (Value, Value) =
        (serde_json::from_str(&pretty).unwrap(), serde_json::from_str(item).unwrap());
    assert_eq!(pretty, compact);
}

#[actix::test]
async fn a_message_may_come_from_standard_input() {
    let cluster = Cluster::start("stdin").await;
    let shown = cluster.run_with(&["call", BETA, "counter", "Add", "-"], "{ \"amount\": 9 }\n").await;
    assert_eq!(shown.ok(), "9\n");
}

#[actix::test]
async fn a_cast_is_in_the_mailbox_when_the_command_ends() {
    let cluster = Cluster::start("cast").await;
    let cast = ["cast", BETA, "counter", "Add", r#"{"amount":3}"#];
    let shown = cluster.run(&cast).await.ok();
    assert!(shown.starts_with("delivered"), "{shown}");
    eventually("the cast", || cluster.total.load(Ordering::SeqCst) == 3).await;
    let shown = cluster.run(&[&cast[..], &["--json"]].concat()).await.ok();
    assert_eq!(lines(&shown), [json!({"delivered": true})]);
}

#[actix::test]
async fn a_cast_that_waits_for_nothing_arrives_too() {
    let cluster = Cluster::start("no_ack").await;
    let cast = ["cast", BETA, "counter", "Add", r#"{"amount":4}"#, "--no-ack"];
    assert_eq!(cluster.run(&cast).await.ok(), "sent\n");
    eventually("the cast", || cluster.total.load(Ordering::SeqCst) == 4).await;
    let shown = cluster.run(&[&cast[..], &["--json"]].concat()).await.ok();
    assert_eq!(lines(&shown), [json!({"delivered": null})]);
}

#[actix::test]
async fn a_stream_prints_one_item_a_line() {
    let cluster = Cluster::start("stream").await;
    let shown = cluster.run(&["call", BETA, "counter", "Count", r#"{"to":1000}"#]).await.ok();
    let expected: String = (0..1000).map(|number| format!("{number}\n")).collect();
    assert_eq!(shown, expected);
    let endless = format!(r#"{{"to":{}}}"#, u64::MAX);
    let shown = cluster.run(&["call", BETA, "counter", "Count", &endless, "--take", "3"]).await.ok();
    assert_eq!(shown, "0\n1\n2\n");
}

#[actix::test]
async fn a_reader_that_has_seen_enough_ends_a_stream_in_good_order() {
    let cluster = Cluster::start("broken_pipe").await;
    let mut command = command(&cluster.folder);
    let endless = format!(r#"{{"to":{}}}"#, u64::MAX);
    command.args(["call", BETA, "counter", "Count", &endless, "--at", &cluster.address()]);
    command.arg("--cookie-file").arg(cluster.cookie_file());
    let head = move || {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut first = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
        let output = child.wait_with_output().unwrap();
        (first, output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let ended = tokio::task::spawn_blocking(head).await.unwrap();
    assert_eq!(ended, ("0\n".to_owned(), Some(0), String::new()));
}

#[actix::test]
async fn an_answer_that_only_programs_can_read_is_given_as_bytes() {
    let cluster = Cluster::start("raw").await;
    assert_eq!(cluster.run(&["call", BETA, "counter", "Hide", "--raw"]).await.ok(), "\"AQ==\"\n");
}

#[actix::test]
async fn a_ping_tells_how_long_it_took() {
    let cluster = Cluster::start("ping").await;
    let shown = cluster.run(&["ping", BETA, "--count", "3", "--interval", "1ms"]).await.ok();
    let shown: Vec<&str> = shown.lines().collect();
    assert_eq!(shown.len(), 5, "{shown:?}");
    assert!(shown[0].starts_with("beta@127.0.0.1: connected and answered in "));
    assert!(shown[4].starts_with("3 answers: fastest "));
    let shown =
        lines(&cluster.run(&["ping", BETA, "--count", "2", "--interval", "1ms", "--json"]).await.ok());
    assert_eq!(shown.len(), 3);
    assert!(shown[0]["connected_us"].is_u64());
    assert_eq!((&shown[2]["node"], &shown[2]["seq"]), (&json!(BETA), &json!(2)));
    assert!(shown[2]["round_trip_us"].is_u64());
}
