//! nodes, links, actors, groups, services, limits, events, metrics, log, drain, top: what a node tells of itself.

use farcall::{AccessList, Node};
use serde_json::{Value, json};

use crate::fixture::{Add, BETA, Cluster, eventually};

fn documents(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A second node that has called the counter.
async fn caller(cluster: &Cluster) -> Node {
    let alpha = Node::builder("alpha@127.0.0.1").no_listener().cookie_file(cluster.cookie_file());
    let alpha = alpha.node(BETA, cluster.address()).start().await.unwrap();
    let beta = BETA.parse().unwrap();
    for amount in 1..=3 {
        alpha.call(&beta, "counter", Add { amount }).await.unwrap();
    }
    alpha
}

#[actix::test]
async fn links_actors_and_nodes_are_listed_for_people_and_for_programs() {
    let cluster = Cluster::start("inside").await;
    let _alpha = caller(&cluster).await;
    let links = cluster.run(&["links", BETA]).await.ok();
    let line = links.lines().find(|line| line.starts_with("alpha@127.0.0.1")).unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(words[1..3], ["in", "up"], "{links}");
    assert_eq!(words[5..7], ["3", "3"], "three calls came and went: {links}");
    assert!(words[12].starts_with("tcp://127.0.0.1:"), "{links}");
    let links = documents(&cluster.run(&["links", BETA, "--json"]).await.ok());
    let link = links.iter().find(|link| link["peer"] == "alpha@127.0.0.1").unwrap();
    assert_eq!((&link["state"], &link["messages_in"]), (&json!("Up"), &json!(3)));
    let actors = documents(&cluster.run(&["actors", BETA, "--json"]).await.ok());
    let counter = actors.iter().find(|actor| actor["name"] == "counter").unwrap();
    assert_eq!((&counter["handled"], &counter["version"]), (&json!(3), &json!("1.4.0")));
    let actors = cluster.run(&["actors", BETA]).await.ok();
    let line = actors.lines().find(|line| line.starts_with("counter")).unwrap();
    assert!(line.starts_with("counter  1.4.0          0      0        3  "), "{actors}");
    let nodes = cluster.run(&["nodes", BETA]).await.ok();
    assert!(
        nodes.lines().any(|line| line.starts_with("alpha@127.0.0.1") && line.contains("  up  ")),
        "{nodes}"
    );
}

#[actix::test]
async fn groups_are_told_apart_from_services_and_nothing_is_said_to_be_nothing() {
    let cluster = Cluster::start("inside_groups").await;
    assert_eq!(cluster.run(&["groups", BETA]).await.ok(), "beta@127.0.0.1 knows of no groups\n");
    assert_eq!(cluster.run(&["services", BETA, "--json"]).await.ok(), "");
    cluster.node.group("rooms/1").join("counter").unwrap();
    cluster.node.services().offer("counting", "counter").unwrap();
    let groups = cluster.run(&["groups", BETA]).await.ok();
    assert_eq!(groups, "GROUP    MEMBERS  WHO\nrooms/1        1  counter on beta@127.0.0.1\n");
    let services = cluster.run(&["services", BETA]).await.ok();
    assert_eq!(services, "SERVICE   MEMBERS  WHO\ncounting        1  counter on beta@127.0.0.1\n");
}

#[actix::test]
async fn what_was_refused_is_among_the_events_and_the_metrics() {
    let cluster = Cluster::start("inside_events").await;
    let alpha = caller(&cluster).await;
    alpha.call(&BETA.parse().unwrap(), "nobody", Add { amount: 1 }).await.unwrap_err();
    let events = cluster.run(&["events", BETA]).await.ok();
    let wanted = ["warn", "no_such_actor", "alpha@127.0.0.1", "refused Add to nobody"];
    assert!(events.lines().any(|line| wanted.iter().all(|word| line.contains(word))), "{events}");
    assert!(!events.contains("cli-"), "the command does not tell of itself:\n{events}");
    let metrics = cluster.run(&["metrics", BETA]).await.ok();
    assert!(metrics.contains("farcall_refused_total{node=\"beta@127.0.0.1\"} 1\n"), "{metrics}");
    let limits = cluster.run(&["limits", BETA]).await.ok();
    assert!(limits.lines().any(|line| line.starts_with("names") && line.ends_with("names_max")), "{limits}");
}

#[actix::test]
async fn an_order_needs_the_permission_of_the_node_and_says_how_to_get_it() {
    let cluster = Cluster::start("inside_orders").await;
    let refused = cluster.run(&["drain", BETA]).await.failed(4);
    assert!(refused.contains("access.operate") && refused.contains("--name ops@HOST"), "{refused}");
    cluster.node.set_access(AccessList::off().operate(["ops@*"]).unwrap());
    let ops = ["--name", "ops@127.0.0.1"];
    let refused = cluster.run(&[&["log", BETA, "debug", "farcall"][..], &ops].concat()).await.failed(4);
    assert!(refused.contains("LogSwitch"), "{refused}");
    let refused = cluster.run(&["log", BETA, "loud"]).await.failed(2);
    assert!(refused.contains("off, error, warn"), "{refused}");
    assert!(!cluster.node.is_draining());
    let said = cluster.run(&[&["drain", BETA][..], &ops].concat()).await.ok();
    assert!(said.starts_with("beta@127.0.0.1 drains"), "{said}");
    eventually("it drains", || cluster.node.is_draining()).await;
}

#[actix::test]
async fn whom_the_node_does_not_let_look_is_told_so() {
    let cluster = Cluster::start("inside_closed").await;
    cluster.node.set_access(AccessList::off().inspect(["ops@*"]).unwrap());
    let refused = cluster.run(&["links", BETA]).await.failed(4);
    assert!(refused.contains("farcall.Inspect"), "{refused}");
    cluster.run(&["links", BETA, "--name", "ops@127.0.0.1"]).await.ok();
}

#[actix::test]
async fn top_prints_one_frame_for_scripts_and_wants_a_terminal_for_more() {
    let cluster = Cluster::start("inside_top").await;
    let _alpha = caller(&cluster).await;
    let once = ["top", BETA, "--once", "--interval", "100ms"];
    let frame = cluster.run(&once).await.ok();
    let lines: Vec<&str> = frame.lines().collect();
    assert!(lines[0].starts_with("beta@127.0.0.1  up "), "{frame}");
    assert!(lines[3].starts_with("PEER ") && lines[3].contains(" STATE "), "{frame}");
    assert!(lines.iter().any(|line| line.starts_with("alpha@127.0.0.1")), "{frame}");
    assert!(lines.iter().all(|line| line.chars().count() <= 80), "{frame}");
    let frame = cluster.run(&[&once[..], &["--page", "actors"]].concat()).await.ok();
    assert!(frame.lines().any(|line| line.starts_with("counter  ")), "{frame}");
    let view = documents(&cluster.run(&[&once[..], &["--json"]].concat()).await.ok());
    assert_eq!(view[0]["node"], "beta@127.0.0.1");
    let refused = cluster.run(&["top", BETA]).await.failed(2);
    assert!(refused.contains("needs a terminal") && refused.contains("--once"), "{refused}");
}

#[actix::test]
async fn metrics_are_served_anew_at_every_scrape() {
    use std::io::{BufRead, Read, Write};
    let cluster = Cluster::start("inside_metrics").await;
    let mut farcall = crate::fixture::command(&cluster.folder);
    farcall.args(["metrics", BETA, "--listen", "127.0.0.1:0", "--at", &cluster.address(), "--cookie-file"]);
    farcall.arg(cluster.cookie_file()).stdout(std::process::Stdio::piped());
    let mut child = farcall.spawn().unwrap();
    let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
    let serve = move || {
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        (line, out)
    };
    let (line, _out) = tokio::task::spawn_blocking(serve).await.unwrap();
    let at = line.trim_start_matches("http://").split('/').next().unwrap().to_owned();
    let scrape = async || {
        let at = at.clone();
        let scrape = move || {
            let mut stream = std::net::TcpStream::connect(at).unwrap();
            stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).unwrap();
            text
        };
        tokio::task::spawn_blocking(scrape).await.unwrap()
    };
    let handled =
        |times: u32| format!("farcall_actor_handled_total{{node=\"{BETA}\",actor=\"counter\"}} {times}\n");
    assert!(scrape().await.contains(&handled(0)));
    let _alpha = caller(&cluster).await;
    assert!(scrape().await.contains(&handled(3)));
    cluster.node.shutdown().await;
    assert!(scrape().await.starts_with("HTTP/1.1 502 "), "a node that is gone has no numbers");
    child.kill().unwrap();
    child.wait().unwrap();
}
