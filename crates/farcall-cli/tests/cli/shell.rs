//! `farcall shell`, with lines from a pipe.

use serde_json::Value;

use crate::fixture::{BETA, Cluster};

#[actix::test]
async fn lines_are_followed_in_turn_and_need_neither_the_node_nor_quotes() {
    let cluster = Cluster::start("shell").await;
    let lines = "ping\n\ncall counter Add {\"amount\": 40}\ncall beta@127.0.0.1 counter Add {\"amount\": 2}\n\
                 call counter Total --raw\nexit\ncall counter Total\n";
    let told = cluster.run_with(&["shell", BETA], lines).await.ok();
    let answers: Vec<&str> = told.lines().filter(|line| !line.contains("beta@")).collect();
    assert_eq!(answers, ["40", "42", "\"Kg==\""], "{told}");
    assert_eq!(cluster.node.metrics().handshakes_failed, 0);
}

#[actix::test]
async fn an_error_is_told_and_the_next_line_is_followed_and_a_script_sees_the_first_code() {
    let cluster = Cluster::start("shell-errors").await;
    let lines = "call nobody Total\nnonsense\ncall counter Add {\"amount\": }\ncall counter Total\n";
    let ended = cluster.run_with(&["shell", BETA, "--json"], lines).await;
    assert_eq!(ended.code, Some(4), "{ended:?}");
    let told: Vec<Value> = ended.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let reasons: Vec<_> = told.iter().map(|told| told["error"]["reason"].clone()).collect();
    assert_eq!(reasons, [Value::from("no_such_actor"), "usage".into(), "bad_json".into(), Value::Null]);
    assert_eq!(told.last(), Some(&Value::from(0)));
}

#[actix::test]
async fn without_a_node_each_line_names_its_own_and_help_says_how() {
    let cluster = Cluster::start("shell-nodeless").await;
    let ended = cluster.run_with(&["shell"], "help\nnames\n").await;
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.out.contains("call [NODE] ACTOR MESSAGE [JSON]"), "{}", ended.out);
    assert!(ended.err.contains("<NODE>"), "{}", ended.err);
}
