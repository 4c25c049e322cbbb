//! Where the command finds its cookie and its nodes.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use crate::fixture::{BETA, Cluster, command, folder, run};

#[actix::test]
async fn a_configuration_file_says_where_nodes_and_cookies_are() {
    let cluster = Cluster::start("config").await;
    assert_eq!(fs::metadata(cluster.cookie_file()).unwrap().mode() & 0o777, 0o600);
    let text = format!(
        "name = \"taken@127.0.0.1\"\ncookie_file = {:?}\n[nodes]\n{BETA:?} = {:?}\n",
        cluster.cookie_file(),
        cluster.address()
    );
    let file = cluster.folder.join("cluster.toml");
    fs::write(&file, text).unwrap();
    let mut named = command(&cluster.folder);
    named.args(["call", BETA, "counter", "Total", "--config"]).arg(&file);
    assert_eq!(run(named, "").await.ok(), "0\n");
    let mut by_variable = command(&cluster.folder);
    by_variable.args(["call", BETA, "counter", "Total"]).env("FARCALL_CONFIG", &file);
    assert_eq!(run(by_variable, "").await.ok(), "0\n");
    fs::rename(&file, cluster.folder.join("farcall.toml")).unwrap();
    let mut by_place = command(&cluster.folder);
    by_place.args(["call", BETA, "counter", "Total"]);
    assert_eq!(run(by_place, "").await.ok(), "0\n");
}

#[actix::test]
async fn variables_say_it_too_and_the_command_line_has_the_last_word() {
    let cluster = Cluster::start("variables").await;
    let settings = || {
        let mut command = command(&cluster.folder);
        let nodes = format!("{BETA}={}", cluster.address());
        command.env("FARCALL_NODES", nodes).env("FARCALL_COOKIE_FILE", cluster.cookie_file());
        command.args(["call", BETA, "counter", "Total"]);
        command
    };
    assert_eq!(run(settings(), "").await.ok(), "0\n");
    let mut elsewhere = settings();
    elsewhere.args(["--cookie-file", "none"]);
    let said = run(elsewhere, "").await.failed(1);
    assert!(said.contains("cookie file none does not exist"), "{said}");
    let mut wrong = settings();
    wrong.env("FARCALL_CALL_TIMEOUT", "soon");
    let said = run(wrong, "").await.failed(1);
    assert!(said.contains("FARCALL_CALL_TIMEOUT"), "{said}");
}

#[actix::test]
async fn a_cookie_file_that_others_can_read_is_refused() {
    let cluster = Cluster::start("readable").await;
    fs::set_permissions(cluster.cookie_file(), fs::Permissions::from_mode(0o644)).unwrap();
    let said = cluster.run(&["names", BETA]).await.failed(1);
    assert!(said.contains("mode 0644") && said.contains("chmod 600"), "{said}");
}

#[actix::test]
async fn the_command_makes_no_cookie_because_a_fresh_one_opens_no_door() {
    let home = folder("no_cookie");
    let mut command = command(&home);
    command.args(["names", BETA]);
    let said = run(command, "").await.failed(1);
    assert!(said.contains("does not exist") && said.contains("--cookie-file"), "{said}");
    assert_eq!(fs::read_dir(&home).unwrap().count(), 0);
}

#[actix::test]
async fn the_node_sees_the_name_that_was_chosen() {
    let cluster = Cluster::start("name").await;
    let mut command = command(&cluster.folder);
    command.args(["ping", BETA, "--name", "operator@10.1.2.3", "--at", &cluster.address(), "--count", "200"]);
    command.args(["--interval", "20ms", "--cookie-file"]).arg(cluster.cookie_file());
    let mut child = command.stdout(std::process::Stdio::null()).spawn().unwrap();
    let seen = || cluster.node.inbound().iter().any(|name| name.as_str() == "operator@10.1.2.3");
    crate::fixture::eventually("the name", seen).await;
    child.kill().unwrap();
    child.wait().unwrap();
}
