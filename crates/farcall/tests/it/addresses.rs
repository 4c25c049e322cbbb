//! Where nodes are: both families of addresses, names without a host, and every kind of discovery.

use std::time::{Duration, Instant};

use actix::prelude::*;
use farcall::discovery::{from_async_fn, from_fn};
use farcall::error::{Failure, NotSent};
use farcall::prelude::*;
use farcall::{Address, FileMap, NameError, StartError, StaticMap};

use crate::fixture::{Add, Counter, Total, any_port, builder, eventually, named, nodes, on, target};

/// A node with a counter at the IPv6 loopback address.
async fn on_v6(name: &str, listen: &str, v6_only: bool) -> Node {
    let node = on(named(name), [listen.parse().unwrap()])
        .configure(|config| (config.tcp.v6_only, config.allow_plaintext) = (v6_only, true))
        .start()
        .await
        .unwrap();
    node.register("counter", Counter::default().start()).unwrap().keep();
    node
}

/// A node that knows one other by its address.
async fn knowing(name: &str, of: &Node, address: &str) -> Node {
    builder(name).node(of.name().as_str(), address).start().await.unwrap()
}

#[actix::test]
async fn nodes_meet_over_ipv6() {
    let beta_node = on_v6("beta@::1", "[::1]:0", false).await;
    let port = beta_node.listening_on()[0].port();
    let alpha = knowing("alpha", &beta_node, &format!("[::1]:{port}")).await;
    assert_eq!(alpha.call(&target(&beta_node), "counter", Add { amount: 6 }).await.unwrap(), 6);
}

#[actix::test]
async fn a_listener_on_all_ipv6_addresses_takes_ipv4_unless_it_is_v6_only() {
    for (v6_only, reachable) in [(false, true), (true, false)] {
        let beta_node = on_v6("beta@::1", "[::]:0", v6_only).await;
        let port = beta_node.listening_on()[0].port();
        let over_v4 = knowing("alpha4", &beta_node, &format!("127.0.0.1:{port}")).await;
        let answer = over_v4.call(&target(&beta_node), "counter", Total).await;
        assert_eq!(answer.is_ok(), reachable, "{answer:?}");
        let over_v6 = knowing("alpha6", &beta_node, &format!("[::1]:{port}")).await;
        assert_eq!(over_v6.call(&target(&beta_node), "counter", Total).await.unwrap(), 0);
    }
}

#[actix::test]
async fn the_host_part_of_a_name_says_where_to_dial_when_nothing_else_does() {
    let beta_node = builder("beta").start().await.unwrap();
    beta_node.register("counter", Counter::default().start()).unwrap().keep();
    let port = beta_node.listening_on()[0].port();
    let alpha = builder("alpha")
        .configure(|config| (config.tcp.port, config.tls.port) = (port, port))
        .start()
        .await
        .unwrap();
    assert_eq!(alpha.call(&target(&beta_node), "counter", Total).await.unwrap(), 0);
}

#[actix::test]
async fn a_name_without_a_host_is_refused_where_it_is_read() {
    for bad in ["alpha", "", "@", "alpha@", "@127.0.0.1", "a b@h"] {
        assert!(bad.parse::<NodeName>().is_err(), "{bad:?}");
        assert!(bad.parse::<Target>().is_err(), "{bad:?}");
        let started = named(bad).start().await;
        assert!(matches!(started, Err(StartError::Name(_))), "{bad:?}");
    }
    let error: NameError = "alpha".parse::<NodeName>().unwrap_err();
    assert!(error.to_string().contains('@'), "{error}");
}

#[actix::test]
async fn a_node_without_listener_calls_others_and_itself() {
    let nodes = nodes(1).await;
    let beta = target(&nodes[0]);
    let address = nodes[0].listening_on()[0].to_string();
    let alpha = named("alpha@127.0.0.1");
    let alpha = alpha.node(beta.node().as_str(), address).start().await.unwrap();
    assert!(alpha.listening_on().is_empty());
    alpha.register("counter", Counter::default().start()).unwrap().keep();
    assert_eq!(alpha.call(&beta, "counter", Add { amount: 1 }).await.unwrap(), 1);
    assert_eq!(alpha.call(&target(&alpha), "counter", Add { amount: 2 }).await.unwrap(), 2);
    let answers = alpha.multicall(All, "counter", Total).await;
    assert!(answers.iter().all(|(_, answer)| answer.is_ok()), "{answers:?}");
}

#[actix::test]
async fn a_port_that_is_taken_is_named_at_start_and_another_address_is_no_conflict() {
    let first = builder("first").start().await.unwrap();
    let taken = first.listening_on()[0];
    let Err(error) = on(named("second@127.0.0.1"), [taken]).start().await else {
        panic!("two nodes cannot listen on {taken}")
    };
    assert!(matches!(error, StartError::Listen { .. }));
    assert!(error.to_string().contains(&taken.to_string()), "{error}");
    assert!(error.to_string().contains("is another node running there?"), "{error}");
    assert_eq!(format!("{error:?}"), error.to_string(), "a main that returns it prints it so");
    let elsewhere = ([127, 0, 0, 2], taken.port()).into();
    on(named("third@127.0.0.2"), [elsewhere]).start().await.unwrap();

    let v6 = on_v6("fourth@::1", "[::1]:0", true).await;
    let taken = v6.listening_on()[0];
    let again = on(named("fifth@::1"), [taken]).start().await;
    assert!(matches!(again, Err(StartError::Listen { .. })));
}

#[actix::test]
async fn a_node_listens_on_every_address_it_was_given() {
    let node = on(named("both@127.0.0.1"), [any_port(), "[::1]:0".parse().unwrap()]);
    let node = node.start().await.unwrap();
    node.register("counter", Counter::default().start()).unwrap().keep();
    for (name, address) in ["a", "b"].iter().zip(node.listening_on()) {
        let alpha = knowing(name, &node, &address.to_string()).await;
        assert_eq!(alpha.call(&target(&node), "counter", Total).await.unwrap(), 0);
    }
}

#[actix::test]
async fn a_static_map_tries_the_addresses_of_a_node_in_turn() {
    let nodes = nodes(1).await;
    let beta = target(&nodes[0]);
    let closed = {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    let map = StaticMap::new()
        .node(beta.node().clone(), Address::try_from(closed).unwrap())
        .node(beta.node().clone(), Address::try_from(nodes[0].listening_on()[0]).unwrap());
    let alpha = builder("alpha").discovery(map).start().await.unwrap();
    assert_eq!(alpha.call(&beta, "counter", Total).await.unwrap(), 0);
}

#[actix::test]
async fn a_file_that_changes_sends_the_next_connect_elsewhere() {
    let (first, second) = (builder("beta").start().await.unwrap(), builder("beta").start().await.unwrap());
    for (node, total) in [(&first, 100), (&second, 200)] {
        node.register("counter", Counter { total }.start()).unwrap().keep();
    }
    let folder = std::env::temp_dir().join(format!("farcall-it-{:016x}", first.incarnation().0));
    std::fs::create_dir(&folder).unwrap();
    let path = folder.join("nodes");
    let write = |node: &Node| {
        // A whole file appears at once, as an editor or a tool would put it there.
        let draft = folder.join("draft");
        std::fs::write(&draft, format!("# nodes\nbeta@127.0.0.1 = {}\n", node.listening_on()[0])).unwrap();
        std::fs::rename(&draft, &path).unwrap();
    };
    write(&first);
    let alpha = builder("alpha").discovery(FileMap::new(&path)).start().await.unwrap();
    let beta = target(&first);
    assert_eq!(alpha.call(&beta, "counter", Total).await.unwrap(), 100);
    write(&second);
    first.kill_acceptors(alpha.name());
    eventually("the connection is gone", || alpha.nodes().is_empty()).await;
    let seen = alpha.call(&beta, "counter", Total).await.unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(seen, 200);
}

#[actix::test]
async fn a_function_of_the_application_says_where_a_node_is() {
    let nodes = nodes(1).await;
    let address = Address::try_from(nodes[0].listening_on()[0]).unwrap();
    let find = from_async_fn("the test", move |_| {
        let address = address.clone();
        async move { Ok::<_, std::io::Error>(vec![address]) }
    });
    let alpha = builder("alpha").discovery(find).start().await.unwrap();
    assert_eq!(alpha.call(&target(&nodes[0]), "counter", Total).await.unwrap(), 0);
}

#[actix::test]
async fn discovery_that_fails_or_hangs_fails_the_call_within_its_time_and_names_itself() {
    let failing = from_fn("the directory", |_: &NodeName| Err::<Vec<Address>, _>("it is on fire"));
    let alpha = builder("alpha").discovery(failing).start().await.unwrap();
    let beta: Target = "beta@127.0.0.1".parse().unwrap();
    let error = alpha.call(&beta, "counter", Total).await.unwrap_err();
    let Failure::NotSent(NotSent::NoAddress(why)) = error.failure() else { panic!("{error}") };
    assert_eq!(&**why, "discovery by the directory failed: it is on fire");

    let hanging = from_async_fn("the directory", |_| async {
        std::future::pending::<()>().await;
        Ok::<Vec<Address>, std::io::Error>(Vec::new())
    });
    let alpha = builder("gamma").discovery(hanging);
    let alpha =
        alpha.configure(|config| config.connect_timeout = Duration::from_millis(300)).start().await.unwrap();
    let begun = Instant::now();
    let error = alpha.call(&beta, "counter", Total).timeout(Duration::from_millis(100)).await.unwrap_err();
    assert_eq!(*error.failure(), Failure::NotSent(NotSent::DeadlineBeforeWrite));
    let error = alpha.call(&beta, "counter", Total).await.unwrap_err();
    assert!(matches!(error.failure(), Failure::NotSent(NotSent::NoAddress(_))), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}
