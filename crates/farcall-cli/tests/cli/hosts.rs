//! names of a host: which nodes its port mapper knows.

use std::net::TcpListener;

use farcall::config::MapperUse;
use farcall::{Cookie, Node};
use serde_json::{Value, json};

use crate::fixture::{command, folder, run};

/// A port that is free at this moment.
fn free() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

async fn node(name: &str, mapper: u16) -> Node {
    let builder = Node::builder(format!("{name}@127.0.0.1")).listen([([127, 0, 0, 1], 0).into()]);
    let builder = builder.cookie(Cookie::new(&[1; 32]).unwrap()).configure(|config| {
        (config.mapper.mode, config.mapper.port) = (MapperUse::Auto, mapper);
    });
    builder.start().await.unwrap()
}

#[actix::test]
async fn names_of_a_host_are_its_nodes_with_their_ports_and_need_no_cookie() {
    let (home, mapper) = (folder("hosts"), free());
    let nodes = [node("alpha", mapper).await, node("betelgeuse", mapper).await];
    let [a, b] = nodes.each_ref().map(|node| node.listening_on()[0].port());
    let port = mapper.to_string();
    let names = |more: &[&str]| {
        let mut command = command(&home);
        command.args(["names", "127.0.0.1"]).args(more);
        command
    };
    let shown = run(names(&["--port", &port]), "").await.ok();
    assert_eq!(shown, format!("NAME        PORT\nalpha       {a}\nbetelgeuse  {b}\n"));
    let shown = run(names(&["--port", &port, "--json"]), "").await.ok();
    let lines: Vec<Value> = shown.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines, [json!({ "name": "alpha", "port": a }), json!({ "name": "betelgeuse", "port": b })]);
    let mut configured = names(&[]);
    configured.env("FARCALL_MAPPER_PORT", &port);
    assert!(run(configured, "").await.ok().contains("betelgeuse"));
}

#[actix::test]
async fn a_host_without_a_mapper_is_an_error_that_says_what_to_do() {
    let (home, port) = (folder("no_hosts"), free().to_string());
    let mut command = command(&home);
    command.args(["names", "127.0.0.1", "--port", &port]);
    let said = run(command, "").await.failed(3);
    assert!(said.contains(&format!("no port mapper listens on 127.0.0.1:{port}")), "{said}");
    assert!(said.contains("mapper.use") && said.contains("--port"), "{said}");
}

#[actix::test]
async fn what_is_neither_a_host_nor_a_node_is_wrong_usage() {
    let home = folder("odd_hosts");
    for odd in ["a b", "a/b", "@", "a:1"] {
        let mut command = command(&home);
        command.args(["names", odd]);
        assert_eq!(run(command, "").await.code, Some(2), "{odd}");
    }
}
