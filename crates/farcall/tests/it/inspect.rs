//! Looking inside: what a node tells of itself, to whom, and what it does on an order.

use std::time::{Duration, Instant};

use actix::prelude::*;
use farcall::AccessList;
use farcall::inspect::{LinkState, LinkView, NodeView, Order, OrderRefused, Rates, prometheus};
use farcall::prelude::*;
use futures::StreamExt;

use crate::fixture::{
    Add, Block, Count, Counter, Echo, Panic, Sleep, Total, any_port, builder, driver, eventually, named, on,
    pair, pair_with, target,
};

fn links<'a>(view: &'a NodeView, peer: &Target, outgoing: bool) -> Vec<&'a LinkView> {
    let of_peer = |link: &&LinkView| link.peer == peer.node().as_str() && link.outgoing == outgoing;
    view.links.iter().filter(of_peer).collect()
}

fn actor<'a>(view: &'a NodeView, name: &str) -> &'a farcall::inspect::ActorView {
    view.actors.iter().find(|actor| actor.name == name).unwrap()
}

fn trouble(view: &NodeView, name: &str, reason: &str) -> u64 {
    let troubles = &actor(view, name).troubles;
    troubles.iter().find(|trouble| trouble.reason == reason).map_or(0, |trouble| trouble.count)
}

#[actix::test]
async fn both_ends_of_a_link_count_the_same_messages_and_bytes() {
    let (alpha, beta_node, beta) = pair().await;
    for amount in 1..=5 {
        alpha.call(&beta, "counter", Add { amount }).await.unwrap();
    }
    alpha.cast(&beta, "counter", Add { amount: 1 }).unwrap();
    alpha.call(&beta, "counter", Echo { bytes: vec![7; 300_000] }).await.unwrap();
    let mut numbers = alpha.stream(&beta, "counter", Count { to: 10 }).await.unwrap();
    while let Some(number) = numbers.next().await {
        number.unwrap();
    }
    let view = alpha.inspect();
    let out = *links(&view, &beta, true).first().unwrap();
    assert_eq!((&out.state, out.lane, out.in_flight), (&LinkState::Up, 0, 0));
    assert!(out.at.starts_with(&format!("{}://127.0.0.1:", driver())), "{}", out.at);
    assert_eq!(out.messages_out, 8, "5 calls, a cast, a large call, a stream");
    assert_eq!(out.messages_in, 5 + 1 + 10 + 1, "answers, items, and the end of the stream");
    assert!(out.bytes_out > 300_000 && out.bytes_in > 300_000 && out.age_us > 0, "{out:?}");
    // The last answer is counted before it is written, and read before it is looked at here.
    let view = beta_node.inspect();
    let inward = *links(&view, &target(&alpha), false).first().unwrap();
    assert_eq!((inward.messages_in, inward.messages_out), (out.messages_out, out.messages_in));
    assert!(inward.bytes_in >= out.bytes_out.min(300_000), "{inward:?}");
}

#[actix::test]
async fn a_second_look_has_the_time_of_a_ping_and_rates_of_what_went_on() {
    let (alpha, _beta, beta) = pair().await;
    alpha.call(&beta, "counter", Total).await.unwrap();
    let first = alpha.inspect();
    eventually("a ping was answered", || {
        links(&alpha.inspect(), &beta, true).first().is_some_and(|link| link.rtt_us.is_some())
    })
    .await;
    for _ in 0..10 {
        alpha.call(&beta, "counter", Total).await.unwrap();
    }
    let second = alpha.inspect();
    let rates = Rates::between(&first, &second);
    let place = second.links.iter().position(|link| link.peer == beta.node().as_str()).unwrap();
    let seconds = rates.span.as_secs_f64();
    let sent = (rates.links[place].messages_out * seconds).round();
    assert!((sent - 10.0).abs() < f64::EPSILON, "{sent} in {seconds} s");
}

#[actix::test]
async fn an_actor_tells_what_it_ran_how_long_that_took_and_what_went_wrong() {
    let (alpha, beta_node, beta) = pair().await;
    for amount in 1..=3 {
        alpha.call(&beta, "counter", Add { amount }).await.unwrap();
    }
    alpha.call(&beta, "counter", Sleep { ms: 30 }).await.unwrap();
    let late = alpha.call(&beta, "counter", Sleep { ms: 60_000 }).timeout(Duration::from_millis(20)).await;
    assert!(late.is_err());
    let message = farcall::rpc::RawMessage {
        name: "Add",
        version: 1,
        fingerprint: <Add as RemoteMessage>::INFO.fingerprint,
        payload: &[0xff; 20],
    };
    alpha.raw(&beta, "counter").call(message, Duration::from_secs(5)).await.unwrap_err();
    let view = beta_node.inspect();
    let counter = actor(&view, "counter");
    assert_eq!((counter.handled, counter.times.count()), (4, 4), "the last one still runs");
    assert!(counter.times.quantile(1.0).unwrap() >= Duration::from_millis(30), "{counter:?}");
    assert!(counter.times.quantile(0.5).unwrap() < Duration::from_millis(30), "{counter:?}");
    assert_eq!(trouble(&view, "counter", "undecodable"), 1);
    alpha.call(&beta, "counter", Panic).await.unwrap_err();
    // Its name is out with it, so its counts are, too; another actor under that name begins from nothing.
    beta_node.register("counter", Counter::default().start()).unwrap().keep();
    assert_eq!(actor(&beta_node.inspect(), "counter").handled, 0);
}

#[actix::test]
async fn a_full_mailbox_is_seen_by_its_depth_and_by_what_was_refused() {
    let (alpha, beta_node, beta) = pair_with(|builder| {
        builder.configure(|config| {
            config.mailbox_messages_max = 4;
            config.mailbox_patience = Duration::from_millis(1);
        })
    })
    .await;
    let arbiter = Arbiter::new();
    let stuck = Counter::start_in_arbiter(&arbiter.handle(), |_| Counter::default());
    beta_node.register("stuck", stuck).unwrap().keep();
    let blocked = alpha.async_call(&beta, "stuck", Block { ms: 300 });
    let rest: Vec<_> = (0..20).map(|_| alpha.async_call(&beta, "stuck", Total)).collect();
    eventually("it is full", || trouble(&beta_node.inspect(), "stuck", "busy") > 0).await;
    let view = beta_node.inspect_after(0);
    assert!(actor(&view, "stuck").waiting >= 4, "{:?}", actor(&view, "stuck"));
    let limit = |name: &str| view.limits.iter().find(|limit| limit.name == name).unwrap().value;
    assert_eq!(limit("mailbox_messages_max"), 4);
    assert!(
        view.events.iter().any(|event| event.reason == "busy" && event.level == "WARN"),
        "{:?}",
        view.events
    );
    blocked.await.unwrap();
    for call in rest {
        let _ = call.await;
    }
}

#[actix::test]
async fn a_failed_attempt_is_shown_until_one_ends_well_however_long_ago_it_was() {
    let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = held.local_addr().unwrap();
    drop(held);
    let alpha = builder("alpha").start().await.unwrap();
    let late: Target = format!("late@127.0.0.1:{}", at.port()).parse().unwrap();
    alpha.call(&late, "counter", Total).await.unwrap_err();
    let state = || links(&alpha.inspect(), &late, true).first().map(|link| link.state.clone());
    let over =
        || matches!(state(), Some(LinkState::Backoff { left_ms: 0, why }) if why.contains("connect failed"));
    eventually("the pause is over and the reason stays", over).await;
    let node = on(named(late.node().as_str()), [at]).start().await.unwrap();
    node.register("counter", Counter::default().start()).unwrap().keep();
    alpha.wait_for(&late, "counter").await.unwrap();
    eventually("it is up", || state() == Some(LinkState::Up)).await;
}

#[actix::test]
async fn what_happened_is_told_in_order_and_only_what_is_new_to_whoever_asks_again() {
    let (alpha, beta_node, beta) = pair().await;
    let unreachable: Target = "nobody@127.0.0.1:9".parse().unwrap();
    alpha.call(&unreachable, "counter", Total).await.unwrap_err();
    alpha.call(&beta, "counter", Total).await.unwrap();
    let view = alpha.inspect_node(&target(&alpha)).await.unwrap();
    let told: Vec<_> = view.events.iter().map(|event| (event.reason.as_str(), event.peer.as_str())).collect();
    let place = |wanted: (&str, &str)| {
        told.iter().position(|event| *event == wanted).unwrap_or_else(|| panic!("{told:?}"))
    };
    assert!(place(("connect", "nobody@127.0.0.1:9")) < place(("connected", beta.node().as_str())));
    let backoff = *links(&view, &unreachable, true).first().unwrap();
    assert!(
        matches!(&backoff.state, LinkState::Backoff { why, .. } if why.contains("nobody@")),
        "{backoff:?}"
    );
    let last = view.events.last().unwrap().nth;
    assert_eq!(alpha.inspect_after(last).events, []);
    beta_node.kill_acceptors(alpha.name());
    eventually("the loss is told", || {
        alpha
            .inspect_after(last)
            .events
            .iter()
            .any(|event| event.peer == beta.node().as_str() && event.level == "WARN")
    })
    .await;
}

#[actix::test]
async fn groups_nodes_and_limits_stand_in_the_view_and_on_the_page_of_prometheus() {
    let (alpha, beta_node, beta) = pair().await;
    beta_node.group("rooms/1").join("counter").unwrap();
    alpha.call(&beta, "counter", Total).await.unwrap();
    let view = alpha.inspect_node(&beta).await.unwrap();
    assert_eq!(view.node, beta.node().as_str());
    assert!(
        view.nodes.iter().any(|node| node.node == alpha.name().as_str() && !node.draining),
        "{:?}",
        view.nodes
    );
    let room = view.groups.iter().find(|group| group.group == "rooms/1").unwrap();
    assert_eq!(room.members[0].actor, "counter");
    let names = view.metrics.iter().find(|metric| metric.name == "names").unwrap();
    assert_eq!((names.value, names.limit.as_ref().unwrap().value), (2, 65_536));
    let page = prometheus(&view);
    let node = beta.node();
    for line in [
        format!("farcall_names{{node=\"{node}\"}} 2\n"),
        format!("farcall_actor_handled_total{{node=\"{node}\",actor=\"counter\"}} 1\n"),
        format!("farcall_limit{{node=\"{node}\",setting=\"unsent_bytes_max\"}} 33554432\n"),
    ] {
        assert!(page.contains(&line), "{line} is not in\n{page}");
    }
}

#[actix::test]
async fn only_whom_the_access_list_names_looks_inside_and_operates() {
    let access = AccessList::off().inspect(["n0@*", "ops@*"]).unwrap().operate(["ops@*"]).unwrap();
    let beta_node = builder("beta").access(access).start().await.unwrap();
    let at = beta_node.listening_on()[0].to_string();
    let known = |name: &str| named(&format!("{name}@127.0.0.1")).node("beta@127.0.0.1", at.clone());
    let (n0, ops, web) = (
        known("n0").start().await.unwrap(),
        known("ops").start().await.unwrap(),
        known("web").start().await.unwrap(),
    );
    let beta = target(&beta_node);
    let refused = web.inspect_node(&beta).await.unwrap_err();
    assert_eq!((refused.class(), refused.reason()), (Class::Rejected, "unauthorized"));
    assert!(n0.inspect_node(&beta).await.is_ok());
    let refused = n0.operate_node(&beta, Order::Drain).await.unwrap();
    assert_eq!(refused, Err(OrderRefused::NotPermitted { peer: "n0@127.0.0.1".to_owned() }));
    let log = Order::Log { level: "debug".to_owned(), module: "farcall".to_owned() };
    assert_eq!(ops.operate_node(&beta, log).await.unwrap(), Err(OrderRefused::NoLogSwitch));
    let nonsense = ops.operate_node(&beta, Order::Disconnect { node: "no name".to_owned() }).await.unwrap();
    assert!(matches!(nonsense, Err(OrderRefused::Invalid { .. })), "{nonsense:?}");
    assert!(!beta_node.is_draining());
    assert_eq!(ops.operate_node(&beta, Order::Drain).await.unwrap(), Ok(()));
    tokio::time::timeout(Duration::from_secs(5), beta_node.draining()).await.unwrap();
    assert!(
        beta_node.inspect().events.iter().any(|event| event.reason == "ordered" && event.text == "Drain")
    );
}

#[actix::test]
async fn a_node_tells_its_configuration_as_it_holds_now() {
    let (alpha, beta_node, beta) =
        pair_with(|builder| builder.configure(|config| config.call_timeout = Duration::from_secs(7))).await;
    let view = alpha.inspect_node_config(&beta).await.unwrap();
    assert_eq!((view.node.as_str(), view.keys.len()), (beta.node().as_str(), farcall::config::keys().len()));
    let told = |key: &str| {
        let setting = view.key(key).unwrap();
        (setting.value.as_deref(), setting.default.as_deref(), setting.changed)
    };
    assert_eq!(told("call_timeout"), (Some("7s"), Some("15s"), true));
    assert_eq!(told("name"), (Some(beta.node().as_str()), None, true));
    assert_eq!(told("in_flight_max"), (Some("65536"), Some("65536"), false));
    assert_eq!(told("access.inspect"), (None, None, false));
    assert_eq!(view, beta_node.inspect_config());
    beta_node.set_access(AccessList::deny(["admin.*", "shell"]).unwrap());
    let view = alpha.inspect_node_config(&beta).await.unwrap();
    assert_eq!(view.key("access.deny").unwrap().value.as_deref(), Some("admin.*,shell"));
    beta_node.set_access(AccessList::off().inspect(["ops@*"]).unwrap());
    let refused = alpha.inspect_node_config(&beta).await.unwrap_err();
    assert_eq!((refused.class(), refused.reason()), (Class::Rejected, "unauthorized"));
}

#[actix::test]
async fn a_silent_peer_misses_ticks_before_it_counts_as_gone() {
    let tick = |config: &mut Config| config.tick = Duration::from_millis(800);
    // A peer that takes the handshake and then lets nothing through.
    let beta_node = on(named("beta@127.0.0.1"), [any_port()]).configure(tick).start().await.unwrap();
    beta_node.register("counter", Counter::default().start()).unwrap().keep();
    let proxy = crate::proxy::Proxy::to(beta_node.listening_on()[0]).await;
    let alpha = named("alpha@127.0.0.1").node("beta@127.0.0.1", proxy.address().to_string()).configure(tick);
    let (alpha, beta) = (alpha.start().await.unwrap(), target(&beta_node));
    alpha.call(&beta, "counter", Total).await.unwrap();
    proxy.hold();
    let begun = Instant::now();
    let mut most = 0;
    eventually("it is given up", || {
        let view = alpha.inspect();
        let link = links(&view, &beta, true);
        most = most.max(link.first().map_or(0, |link| link.ticks_missed));
        link.first().is_none_or(|link| link.state != LinkState::Up)
    })
    .await;
    assert!(most >= 2 && begun.elapsed() >= Duration::from_millis(500), "{most} ticks");
}

#[actix::test]
async fn every_series_of_the_dashboard_and_of_the_manual_is_on_the_page() {
    const DASHBOARD: &str = include_str!("../../../../docker/grafana.json");
    const MANUAL: &str = include_str!("../../src/manual/inside.md");
    let (alpha, beta_node, beta) = pair().await;
    alpha.call(&beta, "counter", Total).await.unwrap();
    alpha.call(&beta, "counter", Echo { bytes: vec![0; 10] }).await.unwrap();
    let begun = |node: &Node| prometheus(&node.inspect());
    eventually("a ping was answered", || begun(&alpha).contains("farcall_link_rtt_seconds{")).await;
    let page = begun(&alpha) + &begun(&beta_node);
    for text in [DASHBOARD, MANUAL] {
        let names = text.match_indices("farcall_").map(|(at, _)| {
            let rest = &text[at..];
            &rest[..rest.find(|letter: char| !letter.is_ascii_lowercase() && letter != '_').unwrap()]
        });
        let wanted: Vec<_> = names.filter(|name| *name != "farcall_").collect();
        assert!(wanted.len() > 15, "{wanted:?}");
        for name in wanted {
            assert!(page.contains(name), "{name} is not on the page");
        }
    }
}

/// What is answered to this, and then nothing.
async fn http(at: std::net::SocketAddr, request: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(at).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[actix::test]
async fn prometheus_reads_what_a_node_counts_until_that_has_shut_down() {
    let node =
        builder("beta").configure(|config| config.metrics_listen = Some(any_port())).start().await.unwrap();
    node.register("counter", Counter::default().start()).unwrap().keep();
    node.call(&target(&node), "counter", Total).await.unwrap();
    let at = node.metrics_on().unwrap();
    let answer = http(at, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("version=0.0.4"), "{answer}");
    let counted = "farcall_actor_handled_total{node=\"beta@127.0.0.1\",actor=\"counter\"} 1\n";
    assert!(answer.contains(counted), "{answer}");
    assert!(http(at, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.starts_with("HTTP/1.1 404 "));
    assert!(http(at, "POST /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await.starts_with("HTTP/1.1 405 "));
    assert!(http(at, "\u{16}\u{3}\u{1} nonsense\r\n\r\n").await.starts_with("HTTP/1.1 400 "));
    let taken =
        named("gamma@127.0.0.1").configure(move |config| config.metrics_listen = Some(at)).start().await;
    assert!(taken.unwrap_err().to_string().contains("metrics_listen"));
    assert!(node.shutdown().await);
    eventually("it is closed", || std::net::TcpStream::connect(at).is_err()).await;
}
