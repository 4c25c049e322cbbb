//! Keys: connections of their own to the same node, which live and die apart.

use actix::prelude::*;
use farcall::prelude::*;

use crate::actors::{Diary, Note, Notes, PassGate, WhoAreYou, gate, serve_who};
use crate::fixture::{Add, PhoneBook, Sleep, Total, builder, eventually, pair, pair_with};
use crate::proxy::Proxy;

#[actix::test]
async fn two_keys_and_the_common_one_are_three_connections_to_one_node() {
    let (alpha, beta_node, beta) = pair().await;
    serve_who(&beta_node);
    let (red, blue) = (beta.with_key("red"), beta.with_key("blue"));
    for target in [&red, &blue, &red] {
        assert_eq!(alpha.call(target, "who", WhoAreYou).await.unwrap(), beta.node().to_string());
    }
    assert_eq!(alpha.connections(beta.node()), 2);
    assert_eq!(beta_node.inbound().len(), 2);
    let answers = alpha.multicall([red, beta.clone()], "who", WhoAreYou).await;
    assert!(answers.iter().all(|(_, answer)| answer.is_ok()));
    assert_eq!(alpha.connections(beta.node()), 3);
    assert_eq!(alpha.nodes(), [beta.node().clone()], "a node counts once");
    alpha.multicall(All, "counter", Total).await;
    assert_eq!(alpha.connections(beta.node()), 3);
}

#[actix::test]
async fn keys_beyond_the_limit_share_connections() {
    let (alpha, beta_node, beta) =
        pair_with(|builder| builder.configure(|config| config.connections_per_node_max = 4)).await;
    let targets: Vec<_> = (0..100).map(|key| beta.with_key(key)).chain([beta.clone()]).collect();
    let answers = alpha.multicall(&targets, "counter", Add { amount: 1 }).await;
    assert!(answers.iter().all(|(_, answer)| answer.is_ok()));
    assert_eq!(alpha.connections(beta.node()), 4);
    assert_eq!(beta_node.inbound().len(), 4);
    assert_eq!(alpha.call(&beta, "counter", Total).await.unwrap(), 101);
}

#[actix::test]
async fn casts_of_one_key_keep_their_order_beside_those_of_others() {
    let (alpha, beta_node, beta) = pair().await;
    beta_node.register("diary", Diary::default().start()).unwrap().keep();
    let targets: Vec<_> = (0..4u32).map(|key| beta.with_key(key)).collect();
    for nth in 0..500 {
        for (from, target) in (0..).zip(&targets) {
            alpha.cast(target, "diary", Note { from, nth }).unwrap();
        }
    }
    for target in &targets {
        alpha.cast(target, "diary", Note { from: 99, nth: 0 }).acked().await.unwrap();
    }
    let notes = alpha.call(&beta, "diary", Notes).await.unwrap();
    for key in 0..4 {
        let of_key: Vec<_> = notes.iter().filter(|(from, _)| *from == key).map(|(_, nth)| *nth).collect();
        assert_eq!(of_key, (0..500).collect::<Vec<_>>());
    }
}

#[actix::test]
async fn a_connection_that_is_cut_takes_only_its_own_requests_with_it() {
    let phone_book = PhoneBook::default();
    let beta_node = builder("beta").discovery(phone_book.clone()).start().await.unwrap();
    let proxy = Proxy::to(beta_node.listening_on()[0]).await;
    phone_book.put(beta_node.name().clone(), proxy.address());
    let alpha = builder("alpha").discovery(phone_book).start().await.unwrap();
    let gate = gate(&beta_node);
    let beta = crate::fixture::target(&beta_node);
    let (red, blue) = (beta.with_key("red"), beta.with_key("blue"));

    let of_red = alpha.async_call(&red, "gate", PassGate { number: 1 });
    eventually("the first runs", || gate.entered() == 1).await;
    let of_blue = alpha.async_call(&blue, "gate", PassGate { number: 2 });
    eventually("the second runs", || gate.entered() == 2).await;
    proxy.cut(0);
    assert_eq!(of_red.await.unwrap_err().class(), Class::Unknown);
    assert_eq!(alpha.nodes(), [beta.node().clone()], "the other connection is up");
    assert_eq!(alpha.connections(beta.node()), 1);
    eventually("one inbound connection is left", || beta_node.inbound().len() == 1).await;
    gate.let_through(2);
    assert_eq!(of_blue.await.unwrap(), 2);
}

#[actix::test]
async fn a_slow_answer_on_one_key_delays_no_other() {
    let (alpha, _beta, beta) = pair().await;
    let mut slow = alpha.async_call(&beta.with_key("slow"), "counter", Sleep { ms: 3_000 });
    assert_eq!(alpha.call(&beta.with_key("quick"), "counter", Total).await.unwrap(), 0);
    assert!(slow.nb_yield(std::time::Duration::ZERO).await.is_none());
}
