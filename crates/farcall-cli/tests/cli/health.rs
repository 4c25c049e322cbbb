//! `farcall health`: with the configuration of the node, over both drivers.

use std::process::Command;

use farcall::config::Auth;

use crate::certs::cert;
use crate::fixture::{BETA, Cluster, command, run};
use crate::over_tls::{Secured, file};

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
