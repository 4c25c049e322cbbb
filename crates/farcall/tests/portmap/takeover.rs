//! The mapper outlives the node that served it, and a dead node's name does not outlive the node.

use std::time::{Duration, Instant};

use crate::fixture::{Host, Process, ask, eventually};

#[actix::test]
async fn when_the_first_node_ends_another_takes_over_and_links_do_not_notice() {
    let host = Host::with_ports(4);
    let first = host.start("first").await.unwrap();
    let beta = host.start("beta").await.unwrap();
    let gamma = host.start("gamma").await.unwrap();
    assert_eq!(ask(&beta, "gamma").await.unwrap(), "gamma");
    let epoch = beta.epoch(&"gamma@127.0.0.1".parse().unwrap());
    first.shutdown().await;
    host.lists(&["beta", "gamma"]).await;
    assert_eq!(ask(&gamma, "beta").await.unwrap(), "beta");
    assert_eq!(ask(&beta, "gamma").await.unwrap(), "gamma");
    assert_eq!(beta.epoch(&"gamma@127.0.0.1".parse().unwrap()), epoch, "the same connection");
    // A newcomer finds its way, and so does the next successor.
    let delta = host.start("delta").await.unwrap();
    beta.shutdown().await;
    gamma.shutdown().await;
    host.lists(&["delta"]).await;
    drop(delta);
}

#[actix::test]
async fn a_process_that_is_killed_loses_its_name_and_its_place_as_the_mapper() {
    let host = Host::with_ports(6);
    let mut first = Process::start(&host, "first");
    let mut second = Process::start(&host, "second");
    let third = host.start("third").await.unwrap();
    host.lists(&["first", "second", "third"]).await;
    let error = host.start("second").await.unwrap_err().to_string();
    assert!(error.contains(&format!("process {}", second.pid())), "{error}");
    second.kill();
    // At once: its mapper may hear of the death a moment later.
    let successor = host.start("second").await.unwrap();
    host.lists(&["first", "second", "third"]).await;
    first.kill();
    let since = Instant::now();
    host.lists(&["second", "third"]).await;
    assert!(since.elapsed() < Duration::from_secs(3), "{:?}", since.elapsed());
    assert_eq!(ask(&third, "second").await.unwrap(), "second");
    assert_eq!(ask(&successor, "third").await.unwrap(), "third");
}

#[actix::test]
async fn a_node_that_was_found_is_found_while_nobody_serves() {
    let host = Host::with_ports(2);
    let alpha = host.start("alpha").await.unwrap();
    let looker = host.looker().await;
    assert_eq!(ask(&looker, "alpha").await.unwrap(), "alpha");
    alpha.shutdown().await;
    // At its old port, without a mapper.
    let alpha = host
        .builder("alpha")
        .configure(|config| {
            config.mapper = farcall::config::MapperConfig::default();
        })
        .start()
        .await
        .unwrap();
    crate::fixture::answer(&alpha);
    let found = eventually("it answers", || ask(&looker, "alpha")).await;
    assert_eq!(found, "alpha");
}
