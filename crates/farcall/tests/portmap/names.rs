//! Ports from a range, nodes found by name, and one node for each name.

use std::net::TcpListener;

use farcall::error::{Failure, NotSent};
use farcall::prelude::*;
use farcall::{Discovery, DiscoveryError, PortMapper, StartError};

use crate::fixture::{Host, answer, ask, cookie, port};

#[actix::test]
async fn nodes_of_one_host_take_ports_of_the_range_in_turn_and_find_each_other_by_name() {
    let host = Host::with_ports(3);
    let nodes = [
        host.start("alpha").await.unwrap(),
        host.start("beta").await.unwrap(),
        host.start("gamma").await.unwrap(),
    ];
    assert_eq!(nodes.each_ref().map(port), [host.first, host.first + 1, host.last]);
    for from in &nodes {
        for to in ["alpha", "beta", "gamma"] {
            assert_eq!(ask(from, to).await.unwrap(), to);
        }
    }
    assert_eq!(host.names().await, ["alpha", "beta", "gamma"]);
    assert_eq!(ask(&host.looker().await, "beta").await.unwrap(), "beta");
    assert_eq!(host.names().await.len(), 3, "a node that is not called has no name there");
}

#[actix::test]
async fn a_full_range_is_an_error_that_lists_every_port_and_what_holds_it() {
    let host = Host::with_ports(2);
    let _alpha = host.start("alpha").await.unwrap();
    let (first, last) = (host.first, host.last);
    let _other = TcpListener::bind(("127.0.0.1", last)).unwrap();
    let error = host.start("beta").await.unwrap_err();
    assert!(matches!(error, StartError::NoFreePort { .. }));
    assert_eq!(
        error.to_string(),
        format!(
            "no port of {first}..={last} is free on 127.0.0.1: {first} is alpha's, {last} is in use; stop what runs there, \
             or widen ports"
        )
    );
    assert_eq!(host.names().await, ["alpha"]);
}

#[actix::test]
async fn port_0_is_of_the_range_and_other_ports_are_as_they_were_given() {
    let host = Host::with_ports(2);
    let any = ([127, 0, 0, 1], 0).into();
    let of_range = host.builder("alpha").listen([any]).start().await.unwrap();
    assert_eq!(port(&of_range), host.first);
    let named = format!("beta@127.0.0.1:{}", host.last);
    let config = Config::from_toml(&format!("name = \"{named}\"\n{}", host.settings())).unwrap();
    let fixed = Node::from_config(config).cookie(cookie(1)).start().await.unwrap();
    assert_eq!(port(&fixed), host.last);
    answer(&fixed);
    let target: Target = named.parse().unwrap();
    assert_eq!(of_range.call(&target, "who", crate::fixture::Who).await.unwrap(), "beta");
}

#[actix::test]
async fn a_second_node_of_a_living_name_is_refused_with_the_holder_named() {
    let host = Host::with_ports(4);
    let alpha = host.start("alpha").await.unwrap();
    let beta = host.start("beta").await.unwrap();
    for (name, holder) in [("alpha", &alpha), ("beta", &beta)] {
        let error = host.start(name).await.unwrap_err();
        assert!(matches!(error, StartError::NameInUse { .. }), "{error:?}");
        let (pid, port) = (std::process::id(), port(holder));
        let wanted = format!(
            "the name {name} is in use on this host: it is held by process {pid}, which listens on port {port}; stop that \
             process, or take another name"
        );
        assert_eq!(error.to_string(), wanted);
    }
    assert_eq!(host.names().await, ["alpha", "beta"]);
    // Nothing of the refused ones is left: their port is free.
    assert_eq!(port(&host.start("gamma").await.unwrap()), host.first + 2);
}

#[actix::test]
async fn a_shutdown_frees_the_name_for_a_successor_that_comes_at_once() {
    let host = Host::with_ports(4);
    let alpha = host.start("alpha").await.unwrap();
    let beta = host.start("beta").await.unwrap();
    beta.shutdown().await;
    assert_eq!(host.names().await, ["alpha"]);
    let beta = host.start("beta").await.unwrap();
    assert_eq!(ask(&alpha, "beta").await.unwrap(), "beta");
    // The one that serves, too.
    alpha.shutdown().await;
    let alpha = host.start("alpha").await.unwrap();
    host.lists(&["alpha", "beta"]).await;
    assert_eq!(ask(&beta, "alpha").await.unwrap(), "alpha");
    assert_eq!(ask(&alpha, "beta").await.unwrap(), "beta");
}

#[actix::test]
async fn nodes_of_another_cookie_and_this_user_may_share_the_mapper_and_are_still_refused() {
    let host = Host::with_ports(2);
    let alpha = host.start("alpha").await.unwrap();
    let other = host.builder("other").cookie(cookie(2)).start().await.unwrap();
    assert_eq!(host.names().await, ["alpha", "other"]);
    let error = ask(&alpha, "other").await.unwrap_err();
    assert!(matches!(error.failure(), Failure::NotSent(NotSent::HandshakeFailed(_))), "{error}");
    drop(other);
}

#[actix::test]
async fn a_name_that_the_mapper_does_not_know_is_looked_for_where_it_always_was() {
    let host = Host::with_ports(1);
    let nobody = "nobody@127.0.0.1".parse().unwrap();
    let mapper = PortMapper::new(host.mapper);
    let error = mapper.addresses(&nobody).await.unwrap_err();
    assert!(error.to_string().contains("nothing listens there"), "{error}");
    let _alpha = host.start("alpha").await.unwrap();
    let error = mapper.addresses(&nobody).await.unwrap_err();
    assert!(matches!(error, DiscoveryError::NotFound { .. }));
    assert!(error.to_string().contains("it does not know the name"), "{error}");
    let looker = host.looker().await;
    let addresses = looker.config().discovery().addresses(&nobody).await.unwrap();
    assert_eq!(addresses, ["127.0.0.1:5369".parse().unwrap()]);
}

#[actix::test]
async fn what_listens_there_and_is_no_mapper_ends_the_start_with_what_to_do() {
    let host = Host::with_ports(1);
    let silent = TcpListener::bind(("127.0.0.1", host.mapper)).unwrap();
    let error = host.start("alpha").await.unwrap_err();
    assert!(matches!(error, StartError::Mapper { .. }), "{error:?}");
    let said = error.to_string();
    assert!(said.contains("is silent") && said.contains("set mapper.port"), "{said}");
    drop(silent);
    assert_eq!(port(&host.start("alpha").await.unwrap()), host.first, "nothing was left running");
}

#[actix::test]
async fn all_names_are_listed_for_whoever_proves_the_cookie() {
    let host = Host::with_ports(2);
    let _nodes = [host.start("alpha").await.unwrap(), host.start("beta").await.unwrap()];
    let listed = |number, cluster: &'static str| {
        let keyring = farcall::Keyring::new(cookie(number));
        async move { PortMapper::names_with(&host.at(), &keyring, cluster).await }
    };
    let names: Vec<_> = listed(1, "farcall").await.unwrap().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["alpha", "beta"]);
    for (number, cluster) in [(2, "farcall"), (1, "another")] {
        let error = listed(number, cluster).await.unwrap_err();
        assert!(matches!(error, farcall::discovery::MapperError::NotProved { .. }), "{error}");
    }
}

#[actix::test]
async fn nodes_whose_services_are_wanted_are_found_on_the_hosts_that_are_named() {
    let host = Host::with_ports(3);
    let worker = host.start("web1").await.unwrap();
    worker.services().offer("pages", "who").unwrap();
    let _other = host.start("other").await.unwrap();
    let rules = |config: &mut Config| {
        config.services.rules = vec!["^web[0-9]$ -> pages".into()];
        config.services.hosts = vec!["127.0.0.1".into()];
    };
    let asks = host.builder("asks").no_listener().configure(rules).start().await.unwrap();
    crate::fixture::eventually("the service is found", || async {
        asks.services().call("pages", crate::fixture::Who).await
    })
    .await;
    assert_eq!(asks.nodes(), [worker.name().clone()], "nobody else is connected to");
}
