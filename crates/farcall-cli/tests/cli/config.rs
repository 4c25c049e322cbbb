//! config: what a node is set to, and what can be set at all.

use farcall::AccessList;
use serde_json::{Value, json};

use crate::fixture::{BETA, Cluster, command, folder, run};

fn documents(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The words of the line that begins with this one.
fn words<'a>(text: &'a str, first: &str) -> Vec<&'a str> {
    let mut lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    lines.find(|words| words.first() == Some(&first)).unwrap_or_else(|| panic!("no {first} in:\n{text}"))
}

#[actix::test]
async fn the_configuration_of_a_running_node_is_listed_with_what_was_changed() {
    let cluster = Cluster::start("config").await;
    let all = cluster.run(&["config", BETA]).await.ok();
    assert_eq!(all.lines().count(), farcall::config::keys().len() + 1, "{all}");
    assert_eq!(words(&all, "KEY"), ["KEY", "VALUE", "DEFAULT"]);
    assert_eq!(words(&all, "call_timeout"), ["call_timeout", "15s"]);
    assert_eq!(words(&all, "tcp.listen"), ["tcp.listen", "127.0.0.1:0", "auto"]);
    let cookie_file = cluster.cookie_file().display().to_string();
    assert_eq!(words(&all, "cookie_file"), ["cookie_file", &cookie_file, "unset"]);
    let secret = std::fs::read_to_string(cluster.cookie_file()).unwrap();
    assert!(!all.contains(secret.trim()), "the cookie is told to nobody");
    let changed = cluster.run(&["config", BETA, "--changed"]).await.ok();
    let keys: Vec<_> = changed.lines().skip(1).map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(keys, ["name", "cookie_file", "tcp.listen"], "{changed}");
    cluster.node.set_access(AccessList::allow(Vec::<String>::new()).unwrap());
    let access = cluster.run(&["config", BETA, "access"]).await.ok();
    assert_eq!(words(&access, "access.allow"), ["access.allow", "nothing", "unset"]);
}

#[actix::test]
async fn one_key_or_one_table_is_listed_and_what_there_is_not_is_said() {
    let cluster = Cluster::start("config_key").await;
    let one = cluster.run(&["config", BETA, "tcp.port"]).await.ok();
    assert_eq!(one, "KEY       VALUE  DEFAULT\ntcp.port  5369\n");
    let table = documents(&cluster.run(&["config", BETA, "tcp", "--json"]).await.ok());
    assert!(table.iter().all(|one| one["key"].as_str().unwrap().starts_with("tcp.")), "{table:?}");
    let listen = json!({"key": "tcp.listen", "value": "127.0.0.1:0", "default": "auto", "changed": true, "left_out": 0});
    assert_eq!(table[0], listen);
    let none = cluster.run(&["config", BETA, "tls", "--changed"]).await.ok();
    assert_eq!(none, "beta@127.0.0.1 has the default everywhere\n");
    let refused = cluster.run(&["config", BETA, "tcp.prot"]).await.failed(2);
    assert!(refused.contains("tcp.prot") && refused.contains("config --keys"), "{refused}");
    let refused = cluster.run(&["config", "tcp"]).await.failed(2);
    assert!(refused.contains("name a node"), "{refused}");
    cluster.node.set_access(AccessList::off().inspect(["ops@*"]).unwrap());
    let refused = cluster.run(&["config", BETA]).await.failed(4);
    assert!(refused.contains("farcall.Configuration"), "{refused}");
}

#[actix::test]
async fn what_can_be_set_is_listed_without_a_node_and_without_a_cookie() {
    let folder = folder("config_keys");
    let asked = async |args: &[&str]| {
        let mut farcall = command(&folder);
        farcall.args(args);
        run(farcall, "").await
    };
    let all = asked(&["config", "--keys"]).await.ok();
    assert_eq!(all.lines().count(), farcall::config::keys().len() + 1, "{all}");
    assert_eq!(words(&all, "tick")[..6], ["tick", "duration", "10s", "a", "peer", "silent"]);
    let ports = documents(&asked(&["config", "--keys", "mapper", "--json"]).await.ok());
    assert_eq!(ports.len(), 3, "{ports:?}");
    assert_eq!((&ports[1]["default"], &ports[1]["unit"]), (&json!("4369"), &json!("number")));
    assert_eq!(ports[1]["variable"], "FARCALL_MAPPER_PORT");
    let name = documents(&asked(&["config", "--keys", "name", "--json"]).await.ok());
    assert_eq!(name[0]["default"], Value::Null);
    assert!(asked(&["config", "--keys", "zzz"]).await.failed(2).contains("zzz"));
    assert!(asked(&["config"]).await.failed(2).contains("NODE"));
}

#[actix::test]
async fn the_console_has_it_too() {
    let cluster = Cluster::start("config_shell").await;
    let lines = "config tcp.port\nconfig beta@127.0.0.1 tick\nconfig --keys tcp.port\nconfig bogus\n";
    let ended = cluster.run_with(&["shell", BETA], lines).await;
    assert_eq!(ended.code, Some(2), "{ended:?}");
    let told: Vec<Vec<&str>> = ended.out.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(told[1], ["tcp.port", "5369"]);
    assert_eq!(told[3], ["tick", "10s"]);
    assert_eq!(told[5][..4], ["tcp.port", "number", "5369", "the"]);
    assert!(ended.err.contains("bogus"), "{}", ended.err);
}
