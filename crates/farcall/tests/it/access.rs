//! The access list: which of the registered names may be reached, changed while connections are up.

use farcall::AccessList;
use farcall::error::{Failure, Rejected};
use farcall::prelude::*;

use crate::actors::{AddPair, WhoAreYou, serve_who};
use crate::fixture::{Add, Total, nodes, nodes_with, pair, pair_with, target};

fn unauthorized(error: &CallError) -> bool {
    *error.failure() == Failure::Rejected(Rejected::Unauthorized)
}

#[actix::test]
async fn what_an_allow_list_does_not_name_is_refused() {
    let list = AccessList::allow(["who", "math.*"]).unwrap();
    let (alpha, beta_node, beta) = pair_with(|builder| builder.access(list.clone())).await;
    serve_who(&beta_node);
    beta_node.serve("math.add", |pair: AddPair| async move { pair.left + pair.right }).unwrap();
    assert!(alpha.call(&beta, "who", WhoAreYou).await.is_ok());
    assert_eq!(alpha.call(&beta, "math.add", AddPair { left: 1, right: 2 }).await.unwrap(), 3);
    let error = alpha.call(&beta, "counter", Total).await.unwrap_err();
    assert!(unauthorized(&error), "{error}");
    // A refusal does not tell what exists.
    let error = alpha.call(&beta, "nobody", Total).await.unwrap_err();
    assert!(unauthorized(&error), "{error}");
}

#[actix::test]
async fn what_a_deny_list_names_is_refused_for_every_verb() {
    let list = AccessList::deny(["count*"]).unwrap();
    let nodes = nodes_with(2, |builder| builder.access(list.clone())).await;
    let (alpha, beta) = (&nodes[0], target(&nodes[1]));
    serve_who(&nodes[1]);
    assert!(alpha.call(&beta, "who", WhoAreYou).await.is_ok());
    assert!(unauthorized(&alpha.call(&beta, "counter", Total).await.unwrap_err()));
    assert!(unauthorized(&alpha.async_call(&beta, "counter", Total).await.unwrap_err()));
    assert!(unauthorized(&alpha.cast(&beta, "counter", Add { amount: 1 }).acked().await.unwrap_err()));
    let report = alpha.sbcast([beta.clone()], "counter", Add { amount: 1 }).await;
    assert!(report.delivered.is_empty() && unauthorized(&report.failed[0].1));
    let refused_before = nodes[1].metrics().casts_refused;
    alpha.abcast([beta.clone()], "counter", Add { amount: 1 });
    alpha.ping(&beta).await.unwrap();
    assert!(alpha.call(&beta, "who", WhoAreYou).await.is_ok());
    assert_eq!(nodes[1].metrics().casts_refused, refused_before + 1);
    let answers = alpha.multicall([beta], "counter", Total).await;
    assert!(unauthorized(answers[0].1.as_ref().unwrap_err()));
}

#[actix::test]
async fn a_change_holds_at_once_on_connections_that_are_up() {
    let (alpha, beta_node, beta) = pair().await;
    assert!(alpha.call(&beta, "counter", Total).await.is_ok());
    beta_node.set_access(AccessList::deny(["counter"]).unwrap());
    assert!(unauthorized(&alpha.call(&beta, "counter", Total).await.unwrap_err()));
    beta_node.set_access(AccessList::allow(["counter"]).unwrap());
    assert!(alpha.call(&beta, "counter", Total).await.is_ok());
    beta_node.set_access(AccessList::off());
    assert!(alpha.call(&beta, "counter", Total).await.is_ok());
    assert_eq!(alpha.metrics().dials, 1, "all of it on one connection");
}

#[actix::test]
async fn calls_to_the_own_node_obey_the_list() {
    let nodes = nodes(1).await;
    let own = target(&nodes[0]);
    assert!(nodes[0].call(&own, "counter", Total).await.is_ok());
    nodes[0].set_access(AccessList::allow(["other"]).unwrap());
    assert!(unauthorized(&nodes[0].call(&own, "counter", Total).await.unwrap_err()));
}

#[actix::test]
async fn a_closed_node_still_tells_about_itself_and_shows_nothing_it_does_not_permit() {
    let (alpha, beta_node, beta) = pair().await;
    beta_node.set_access(AccessList::allow::<String>([]).unwrap());
    let description = alpha.describe(&beta).await.unwrap();
    assert!(description.actors.iter().all(|actor| actor.name != "counter"), "{description:?}");
}
