//! Every class of error has its exit code, and says what happened, whether it ran, and what to do.

use std::sync::atomic::Ordering;

use serde_json::Value;

use crate::fixture::{BETA, Cluster, Ended, command, folder, run};

/// The error that `--json` prints, and its exit code.
#[track_caller]
fn error(ended: &Ended) -> Value {
    assert_eq!(ended.err, "", "{ended:?}");
    let document: Value = serde_json::from_str(&ended.out).unwrap();
    let error = document["error"].clone();
    for key in ["class", "reason", "message", "remedy"] {
        assert!(error[key].is_string(), "{key}: {error}");
    }
    assert!(error["may_have_run"].is_boolean());
    error
}

#[track_caller]
fn is(ended: &Ended, code: i32, class: &str, reason: &str, may_have_run: bool) {
    let error = error(ended);
    assert_eq!(ended.code, Some(code), "{ended:?}");
    assert_eq!((error["class"].as_str(), error["reason"].as_str()), (Some(class), Some(reason)), "{error}");
    assert_eq!(error["may_have_run"], may_have_run);
}

#[actix::test]
async fn wrong_usage_is_told_before_anything_is_done() {
    let home = folder("usage");
    let wrong: [&[&str]; 6] = [
        &[],
        &["call", "beta", "counter", "Add"],
        &["call", BETA, "counter"],
        &["ping", BETA, "--timeout", "soon"],
        &["ping", BETA, "--at", "nowhere"],
        &["ping", BETA, "--count", "0"],
    ];
    for args in wrong {
        let mut command = command(&home);
        command.args(args);
        let ended = run(command, "").await;
        assert_eq!(ended.code, Some(2), "{args:?}: {ended:?}");
    }
}

#[actix::test]
async fn a_node_that_does_not_run_was_surely_not_reached() {
    let cluster = Cluster::start("no_node").await;
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = nobody.local_addr().unwrap().to_string();
    drop(nobody);
    let mut command = command(&cluster.folder);
    command.args(["names", BETA, "--at", &address, "--cookie-file"]).arg(cluster.cookie_file());
    let said = run(command, "").await.failed(3);
    assert!(said.contains("connect failed"), "{said}");
    assert!(said.contains("did it run?  surely not"), "{said}");
    assert!(said.contains("is the node running"), "{said}");
}

#[actix::test]
async fn the_usual_port_is_named_where_nothing_says_which_port_the_node_has() {
    let cluster = Cluster::start("usual_port").await;
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = nobody.local_addr().unwrap().port();
    drop(nobody);
    let names = |args: &[&str]| {
        let mut command = command(&cluster.folder);
        command.arg("names").args(args).arg("--cookie-file").arg(cluster.cookie_file());
        command.env("FARCALL_TCP_PORT", port.to_string());
        run(command, "")
    };
    let said = names(&[BETA]).await.failed(3);
    let hint = format!("Its name has no port, so {port} was tried");
    assert!(said.contains(&hint) && said.contains("beta@127.0.0.1:PORT, or add --at HOST:PORT"), "{said}");
    for told in
        [vec![format!("{BETA}:{port}")], vec![BETA.into(), "--at".into(), format!("127.0.0.1:{port}")]]
    {
        let told: Vec<_> = told.iter().map(String::as_str).collect();
        let said = names(&told).await.failed(3);
        assert!(said.contains("connect failed") && !said.contains("has no port"), "{said}");
    }
}

#[actix::test]
async fn a_node_that_takes_connections_and_says_nothing_stands_still() {
    let cluster = Cluster::start("silent").await;
    // As a stopped process: the kernel takes the connection and nobody reads from it.
    let frozen = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut command = command(&cluster.folder);
    command.args(["links", BETA, "--at", &frozen.local_addr().unwrap().to_string(), "--cookie-file"]);
    command.arg(cluster.cookie_file()).env("FARCALL_HANDSHAKE_TIMEOUT", "200ms");
    let said = run(command, "").await.failed(3);
    assert!(said.contains("said nothing useful for 200ms"), "{said}");
    assert!(said.contains("its process stands still") && !said.contains("cookie"), "{said}");
}

#[actix::test]
async fn another_cookie_is_refused_and_the_remedy_names_the_cookie_file() {
    let cluster = Cluster::start("cookie").await;
    let other = Cluster::start("other_cookie").await;
    let mut command = command(&cluster.folder);
    command
        .args(["ping", BETA, "--at", &cluster.address(), "--json", "--cookie-file"])
        .arg(other.cookie_file());
    let ended = run(command, "").await;
    is(&ended, 3, "not_sent", "handshake_failed", false);
    assert!(error(&ended)["remedy"].as_str().unwrap().contains("same cookie file"));
}

#[actix::test]
async fn what_the_node_does_not_have_is_named_with_what_it_has() {
    let cluster = Cluster::start("rejected").await;
    let said = cluster.run(&["call", BETA, "counte", "Total"]).await.failed(4);
    assert!(said.contains("counte is not registered") && said.contains("there are counter"), "{said}");
    let said = cluster.run(&["call", BETA, "counter", "Sum"]).await.failed(4);
    assert!(said.contains("accepts no message Sum") && said.contains("Add, Total, Mirror"), "{said}");
    let said = cluster.run(&["describe", BETA, "nobody"]).await.failed(4);
    assert!(said.contains("nobody is not registered"), "{said}");
    let ended = cluster.run(&["cast", BETA, "nobody", "Add", "--json"]).await;
    is(&ended, 4, "rejected", "no_such_actor", false);
}

#[actix::test]
async fn an_actor_of_another_version_is_not_called() {
    let cluster = Cluster::start("version").await;
    let call = |requirement| ["call", BETA, "counter", "Total", "--json", "--require-version", requirement];
    assert_eq!(cluster.run(&call("^1.2")).await.ok(), "0\n");
    is(&cluster.run(&call("^2")).await, 4, "rejected", "wrong_version", false);
    is(&cluster.run(&call("newest")).await, 3, "not_sent", "bad_request", false);
}

#[actix::test]
async fn a_handler_that_panics_failed() {
    let cluster = Cluster::start("failed").await;
    is(&cluster.run(&["call", BETA, "counter", "Panic", "--json"]).await, 5, "failed", "panicked", true);
}

#[actix::test]
async fn no_answer_in_time_is_unknown() {
    let cluster = Cluster::start("unknown").await;
    let call = ["call", BETA, "counter", "Sleep", r#"{"ms":60000}"#, "--timeout", "700ms"];
    let said = cluster.run(&call).await.failed(6);
    assert!(said.contains("no answer before the deadline"), "{said}");
    assert!(said.contains("did it run?  it may have"), "{said}");
}

#[actix::test]
async fn a_value_that_does_not_fit_is_named_by_its_place_and_nothing_is_sent() {
    let cluster = Cluster::start("bad_json").await;
    let add = async |content: &str| cluster.run(&["call", BETA, "counter", "Add", content]).await.failed(1);
    let said = add(r#"{"amount":"one"}"#).await;
    assert!(said.contains("at .amount: expected u64, found string"), "{said}");
    assert!(said.contains(r#"farcall call beta@127.0.0.1 counter Add '{"amount":0}'"#), "{said}");
    let said = add(r#"{"amounts":1}"#).await;
    assert!(said.contains("at .amounts: no such field; the fields are amount"), "{said}");
    let said = add("{amount:1}").await;
    assert!(said.contains("the content is no JSON") && said.contains("column 2"), "{said}");
    let said = cluster.run(&["call", BETA, "counter", "Add"]).await.failed(1);
    assert!(said.contains("Add needs JSON: at .amount: missing: u64"), "{said}");
    assert_eq!(cluster.total.load(Ordering::SeqCst), 0);
}

#[actix::test]
async fn an_answer_that_nobody_could_read_is_not_asked_for() {
    let cluster = Cluster::start("opaque").await;
    let ended = cluster.run(&["call", BETA, "counter", "Hide", "--json"]).await;
    is(&ended, 1, "other", "opaque", false);
    let said = cluster.run(&["call", BETA, "counter", "Hide"]).await.failed(1);
    assert!(said.contains("std::num::NonZeroU8") && said.contains("--raw"), "{said}");
}
