//! multicall, abcast, sbcast, stream, monitor; completions and man pages.

use std::process::Command;
use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use crate::fixture::{BETA, Cluster, command, eventually, folder, run};

/// Two nodes on which a counter runs, of one cookie, and a third that nobody runs: their names say where they are.
async fn three(test: &str) -> (Cluster, farcall::Node, String) {
    let cluster = Cluster::start(test).await;
    let start = async |name: &str| {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let node =
            farcall::Node::builder(format!("{name}@127.0.0.1:{port}")).cookie_file(cluster.cookie_file());
        let node = node.start().await.unwrap();
        let counter = crate::fixture::Counter { total: cluster.total.clone() };
        node.register("counter", actix::Actor::start(counter)).unwrap().keep();
        node
    };
    let (one, other) = (start("one").await, start("other").await);
    let nodes = format!("{},nobody@127.0.0.1:9,{}", one.name(), other.name());
    std::mem::forget(one);
    (cluster, other, nodes)
}

fn with_cookie(cluster: &Cluster, args: &[&str]) -> Command {
    let mut farcall = command(&cluster.folder);
    farcall.args(args).arg("--cookie-file").arg(cluster.cookie_file());
    farcall
}

#[actix::test]
async fn many_nodes_answer_in_the_order_asked_and_the_one_that_does_not_says_why() {
    let (cluster, _other, nodes) = three("many").await;
    let ended =
        run(with_cookie(&cluster, &["multicall", &nodes, "counter", "Add", "{\"amount\": 1}"]), "").await;
    let lines: Vec<&str> = ended.out.lines().collect();
    assert_eq!((ended.code, lines.len()), (Some(3), 4), "{ended:?}");
    assert!(
        lines[1].starts_with("one@127.0.0.1:") && lines[2].starts_with("nobody@127.0.0.1:9"),
        "{ended:?}"
    );
    assert!(lines[2].ends_with("did it run? surely not") && lines[3].starts_with("other@"), "{ended:?}");
    assert!(ended.err.contains("1 of 3 nodes"), "{ended:?}");
    let ended =
        run(with_cookie(&cluster, &["sbcast", &nodes, "counter", "Add", "{\"amount\": 1}", "--json"]), "")
            .await;
    let told: Vec<Value> = ended.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&told[0]["answer"], &told[2]["answer"]), (&json!("delivered"), &json!("delivered")));
    assert_eq!((&told[1]["error"]["class"], ended.code), (&json!("not_sent"), Some(3)));
    let two = nodes.replace(",nobody@127.0.0.1:9", "");
    let told =
        run(with_cookie(&cluster, &["abcast", &two, "counter", "Add", "{\"amount\": 1}"]), "").await.ok();
    assert_eq!(told.matches("sent").count(), 2, "{told}");
    eventually("all have come", || cluster.total.load(Ordering::SeqCst) == 6).await;
    let refused =
        run(with_cookie(&cluster, &["multicall", &two, "counter", "Total", "--at", "127.0.0.1:9"]), "").await;
    assert!(refused.failed(2).contains("--at is one place"));
}

#[actix::test]
async fn a_console_calls_many_nodes_over_connections_that_stay() {
    let (cluster, _other, nodes) = three("many_shell").await;
    let lines = format!("multicall {nodes} counter Total --timeout 4s\ncall counter Total\n");
    let ended = cluster.run_with(&["shell", BETA, "--json"], lines).await;
    // Where the console's own node is, the others are not looked for.
    assert_eq!((ended.code, ended.out.lines().last()), (Some(3), Some("0")), "{ended:?}");
    let lines = format!("multicall {nodes} counter Total\n");
    let ended = run(with_cookie(&cluster, &["shell", "--json"]), lines).await;
    let told: Vec<Value> = ended.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((told.len(), &told[0]["answer"], ended.code), (3, &json!(0), Some(3)), "{ended:?}");
}

#[actix::test]
async fn a_stream_is_printed_item_by_item_and_what_is_no_stream_is_refused() {
    let cluster = Cluster::start("stream").await;
    let told = cluster.run(&["stream", BETA, "counter", "Count", "{\"to\": 3}"]).await.ok();
    assert_eq!(told, "0\n1\n2\n");
    let refused = cluster.run(&["stream", BETA, "counter", "Total"]).await.failed(4);
    assert!(refused.contains("no stream") && refused.contains("farcall call"), "{refused}");
}

#[actix::test]
async fn the_end_of_an_actor_is_told_with_its_reason() {
    let cluster = Cluster::start("monitor").await;
    let told = cluster.run(&["monitor", BETA, "nobody"]).await.ok();
    assert!(told.ends_with("nobody on beta@127.0.0.1 is gone: there is no actor of this name\n"), "{told}");
    let mut shell = crate::shell::Typed::start(&cluster, &["--json"]);
    assert_eq!(shell.line("call counter Total").await, 0);
    let mut waiting = std::pin::pin!(shell.line("monitor counter"));
    // It is watched when the node says so.
    let watched = async {
        eventually("it is watched", || cluster.node.metrics().monitors_kept > 0).await;
        assert!(cluster.node.unregister("counter"));
    };
    let (told, ()) = futures::future::join(&mut waiting, watched).await;
    assert_eq!((&told["actor"], &told["node"]), (&json!("counter"), &json!(BETA)));
    assert!(!told["reason"].as_str().unwrap().is_empty(), "{told}");
}

#[actix::test]
async fn bash_completes_commands_and_options_with_what_is_printed_for_it() {
    let folder = folder("completions");
    for shell in ["bash", "zsh", "fish"] {
        let mut print = command(&folder);
        print.args(["completions", shell]);
        let text = run(print, "").await.ok();
        assert!(text.contains("multicall"), "{shell}");
        std::fs::write(folder.join(shell), text).unwrap();
    }
    let script = "source ./bash; COMP_WORDS=(farcall mult); COMP_CWORD=1; _farcall farcall mult farcall; echo ${COMPREPLY[*]}; \
                  COMP_WORDS=(farcall call --ra); COMP_CWORD=2; _farcall farcall --ra call; echo ${COMPREPLY[*]}";
    let mut bash = Command::new("bash");
    bash.args(["-c", script]).current_dir(&folder);
    assert_eq!(run(bash, "").await.ok(), "multicall\n--raw\n");
}

#[actix::test]
async fn every_command_has_a_page_of_the_manual() {
    let folder = folder("man");
    let mut man = command(&folder);
    man.args(["man", "--out", "pages"]);
    assert!(run(man, "").await.ok().contains("farcall.1"));
    for page in ["farcall.1", "farcall-call.1", "farcall-cert-node.1", "farcall-top.1"] {
        let text = std::fs::read_to_string(folder.join("pages").join(page)).unwrap();
        assert!(text.contains(".SH NAME") && text.contains(".SH SYNOPSIS"), "{page}:\n{text}");
    }
    let mut man = command(&folder);
    man.arg("man");
    assert!(run(man, "").await.ok().contains(".TH farcall"));
}
