//! `farcall health`: with the configuration of the node, over both drivers.

use std::process::Command;
use std::time::Duration;

use farcall::config::Auth;

use crate::certs::cert;
use crate::fixture::{BETA, Cluster, command, run};
use crate::over_tls::{Secured, file};
use crate::shell::Typed;

/// The check, with what the node is configured with.
fn configured(cluster: &Cluster) -> Command {
    let mut command = command(&cluster.folder);
    command.env("FARCALL_NAME", BETA).env("FARCALL_COOKIE_FILE", cluster.cookie_file());
    command.env("FARCALL_TCP_LISTEN", cluster.address()).arg("health");
    command
}

#[actix::test]
async fn a_node_that_answers_is_well_and_one_that_does_not_is_not() {
    let cluster = Cluster::start("health").await;
    let told = run(configured(&cluster), "").await.ok();
    assert!(told.starts_with("beta@127.0.0.1 answers, connected in "), "{told}");
    let mut json = configured(&cluster);
    json.arg("--json");
    let told: serde_json::Value = serde_json::from_str(&run(json, "").await.ok()).unwrap();
    assert_eq!(told["node"], BETA);

    let dead = configured(&cluster);
    cluster.node.shutdown().await;
    let told = run(dead, "").await.failed(3);
    assert!(told.contains("beta@127.0.0.1") && told.contains("surely not"), "{told}");
}

#[actix::test]
async fn a_check_without_the_configuration_of_the_node_says_what_it_lacks() {
    let cluster = Cluster::start("health-nameless").await;
    let mut nameless = configured(&cluster);
    nameless.env_remove("FARCALL_NAME");
    let told = run(nameless, "").await.failed(1);
    assert!(told.contains("name is not set") && told.contains("FARCALL_*"), "{told}");
}

/// The check, with what a node over TLS is configured with.
fn secured(secured: &Secured) -> Command {
    let mut command = command(&secured.home);
    let at = secured.at();
    command.env("FARCALL_NAME", BETA).env("FARCALL_DRIVER", "tls").env("FARCALL_TLS_AUTH", "certificate");
    command.env("FARCALL_TLS_LISTEN", at.trim_start_matches("tls://"));
    for (variable, name) in
        [("CERTIFICATE", "beta@127.0.0.1.pem"), ("KEY", "beta@127.0.0.1-key.pem"), ("CA", "ca.pem")]
    {
        command.env(format!("FARCALL_TLS_{variable}"), file(&secured.home, name));
    }
    command.arg("health");
    command
}

#[actix::test]
async fn over_tls_it_shows_a_certificate_of_its_own_and_says_how_to_make_one() {
    let node = Secured::start_with("health-tls", Auth::Certificate).await;
    let told = run(secured(&node), "").await.failed(1);
    assert!(told.contains("farcall cert node health@127.0.0.1"), "{told}");
    cert(&node.home, &["node", "health@127.0.0.1"]).await.ok();
    let told = run(secured(&node), "").await.ok();
    assert!(told.starts_with("beta@127.0.0.1 answers"), "{told}");
}

#[actix::test]
async fn the_node_is_asked_where_it_listens_whatever_the_table_of_all_nodes_says() {
    let cluster = Cluster::start("health-listed").await;
    let mut check = configured(&cluster);
    // Without a list of its own the node listens where its name says, and other nodes may go through something else.
    let port = cluster.node.listening_on()[0].port().to_string();
    check.env_remove("FARCALL_TCP_LISTEN").env("FARCALL_TCP_PORT", port);
    check.env("FARCALL_NODES", format!("{BETA}=tls://127.0.0.1:1"));
    assert!(run(check, "").await.ok().starts_with("beta@127.0.0.1 answers"));
}

#[actix::test]
async fn a_frozen_node_is_not_well_before_a_container_gives_the_check_up() {
    let cluster = Cluster::start("health-frozen").await;
    // As a stopped process: the kernel takes the connection and nobody reads from it.
    let frozen = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut check = configured(&cluster);
    check.env("FARCALL_TCP_LISTEN", frozen.local_addr().unwrap().to_string());
    let begun = std::time::Instant::now();
    let told = run(check, "").await.failed(3);
    let took = begun.elapsed();
    // docker/Dockerfile gives it three seconds, and shows nothing of a check that it had to end.
    assert!(took.as_millis() < 3000, "{took:?}");
    assert!(told.contains("beta@127.0.0.1 did not answer within 2s") && told.contains("frozen"), "{told}");
}

#[actix::test]
async fn a_check_that_waits_tries_again_until_the_node_is_there() {
    let cluster = Cluster::start("health-wait").await;
    let early = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = early.local_addr().unwrap();
    let mut check = configured(&cluster);
    check.args(["--wait", "--timeout", "20s"]);
    check.env("FARCALL_TCP_LISTEN", address.to_string()).env("FARCALL_NAME", "later@127.0.0.1");
    let cookie = cluster.folder.join("later");
    check.env("FARCALL_COOKIE_FILE", &cookie);
    let check = tokio::spawn(run(check, ""));
    // The node makes its cookie, and it listens, when the check is there already.
    std::fs::copy(cluster.cookie_file(), &cookie).unwrap();
    tokio::time::timeout(Duration::from_secs(10), early.accept()).await.unwrap().unwrap();
    drop(early);
    let later = farcall::Node::builder("later@127.0.0.1").listen([address]).cookie_file(&cookie);
    let later = later.start().await.unwrap();
    assert!(check.await.unwrap().ok().starts_with("later@127.0.0.1 answers"));
    later.shutdown().await;
}

#[actix::test]
async fn a_port_that_the_configuration_leaves_open_is_asked_for() {
    let cluster = Cluster::start("health-any-port").await;
    let mut check = configured(&cluster);
    check.env("FARCALL_TCP_LISTEN", "127.0.0.1:0");
    let told = run(check, "").await.failed(1);
    assert!(told.contains("any free port") && told.contains("--at"), "{told}");
    let mut check = configured(&cluster);
    check.env("FARCALL_TCP_LISTEN", "127.0.0.1:0").args(["--at", &cluster.address()]);
    assert!(run(check, "").await.ok().starts_with(BETA));
}

#[actix::test]
async fn a_certificate_that_was_named_is_shown_also_where_the_node_dials_over_tcp() {
    let node = Secured::start_with("health-shown", Auth::Certificate).await;
    let ops = file(&node.home, "ops@127.0.0.1.pem");
    let at = node.at().trim_start_matches("tls://").to_owned();
    let mut check = secured(&node);
    check.env("FARCALL_DRIVER", "tcp").args(["--certificate", &ops, "--at", &at]);
    assert!(run(check, "").await.ok().starts_with(BETA));
    // Without an address too: it means the listener for TLS of a node with both.
    let mut check = secured(&node);
    check.env("FARCALL_DRIVER", "tcp").env("FARCALL_TCP_LISTEN", "127.0.0.1:9").args(["--certificate", &ops]);
    assert!(run(check, "").await.ok().starts_with(BETA));
}

#[actix::test]
async fn the_certificate_of_the_node_itself_and_its_name_are_no_check() {
    let node = Secured::start_with("health-own", Auth::Certificate).await;
    let mut check = secured(&node);
    check.args(["--certificate", &file(&node.home, "beta@127.0.0.1.pem")]);
    let told = run(check, "").await.failed(1);
    assert!(told.contains("is that of beta@127.0.0.1 itself"), "{told}");
    let mut check = secured(&node);
    check.args(["--name", BETA]);
    let told = run(check, "").await.failed(1);
    assert!(told.contains("--name"), "{told}");
}

#[actix::test]
async fn where_cookies_count_or_a_host_has_the_certificate_no_other_is_needed() {
    let node = Secured::start_with("health-cookie", Auth::Cookie).await;
    let mut check = secured(&node);
    check.env("FARCALL_TLS_AUTH", "cookie").env("FARCALL_COOKIE_FILE", node.home.join("cookie"));
    assert!(run(check, "").await.ok().starts_with(BETA));
}

#[actix::test]
async fn a_console_with_the_certificate_of_the_check_does_not_disturb_it() {
    let node = Secured::start_with("health-console", Auth::Certificate).await;
    cert(&node.home, &["node", "health@127.0.0.1"]).await.ok();
    let mut shell = command(&node.home);
    shell.args(["shell", BETA, "--json", "--at", &node.at()]).env("FARCALL_TLS_AUTH", "certificate");
    shell.args(["--certificate", &file(&node.home, "health@127.0.0.1.pem")]);
    let mut shell = Typed::spawn(shell);
    for _ in 0..2 {
        assert_eq!(shell.line("call counter Total").await, 0);
        assert!(run(secured(&node), "").await.ok().starts_with(BETA));
    }
    assert_eq!(shell.end().await, Some(0));
}
