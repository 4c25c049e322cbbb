//! `wait_for`: nobody writes a polling loop at start-up.

use std::time::{Duration, Instant};

use actix::prelude::*;
use farcall::AccessList;
use farcall::prelude::*;

use crate::fixture::{Counter, PhoneBook, builder, pair, target};

#[actix::test]
async fn a_name_that_is_there_is_there_at_once() {
    let (alpha, _beta, beta) = pair().await;
    alpha.wait_for_within(&beta, "counter", Duration::from_secs(5)).await.unwrap();
    alpha.wait_for_within(&target(&alpha), "counter", Duration::from_secs(5)).await.unwrap();
}

#[actix::test]
async fn a_name_that_comes_later_ends_the_wait_when_it_comes() {
    let (alpha, beta_node, beta) = pair().await;
    let wait = alpha.wait_for_within(&beta, "late", Duration::from_secs(10));
    let come = async {
        // Its own connection carried the question before this answer comes back.
        alpha.ping(&beta).await.unwrap();
        beta_node.register("late", Counter::default().start()).unwrap().keep();
    };
    let begun = Instant::now();
    let (waited, ()) = futures::join!(wait, come);
    waited.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[actix::test]
async fn a_node_that_does_not_even_run_yet_can_be_waited_for() {
    let phone_book = PhoneBook::default();
    let alpha = builder("alpha").discovery(phone_book.clone()).start().await.unwrap();
    let beta: Target = "beta@127.0.0.1".parse().unwrap();
    let wait = alpha.wait_for_within(&beta, "counter", Duration::from_secs(10));
    let come = async {
        assert!(alpha.ping(&beta).await.is_err(), "it does not run");
        let beta_node = builder("beta").start().await.unwrap();
        phone_book.enter(&beta_node);
        beta_node.register("counter", Counter::default().start()).unwrap().keep();
    };
    let (waited, ()) = futures::join!(wait, come);
    waited.unwrap();
}

#[actix::test]
async fn a_wait_in_vain_ends_in_time_and_names_what_was_missing() {
    let (alpha, _beta, beta) = pair().await;
    let begun = Instant::now();
    let error = alpha.wait_for_within(&beta, "never", Duration::from_millis(200)).await.unwrap_err();
    let waited = begun.elapsed();
    assert!(waited >= Duration::from_millis(150) && waited < Duration::from_secs(2), "{waited:?}");
    assert_eq!((error.class(), error.actor()), (Class::Rejected, "never"));
    let nowhere: Target = "nowhere@127.0.0.1".parse().unwrap();
    let error = alpha.wait_for_within(&nowhere, "never", Duration::from_millis(200)).await.unwrap_err();
    assert_eq!(error.class(), Class::NotSent);
}

#[actix::test]
async fn a_name_that_this_node_may_not_call_is_waited_for_as_one_that_is_not_there() {
    let (alpha, beta_node, beta) = pair().await;
    beta_node.set_access(AccessList::off().peer("other@*", ["*"]).unwrap());
    let short = Duration::from_millis(200);
    let hidden = alpha.wait_for_within(&beta, "counter", short).await.unwrap_err();
    let missing = alpha.wait_for_within(&beta, "never", short).await.unwrap_err();
    assert_eq!((hidden.class(), hidden.reason()), (Class::Rejected, "no_such_actor"));
    assert_eq!((missing.class(), missing.reason()), (hidden.class(), hidden.reason()));
    let own = target(&beta_node);
    beta_node.wait_for_within(&own, "counter", Duration::from_secs(5)).await.unwrap();
    beta_node.set_access(AccessList::deny(["counter"]).unwrap());
    let hidden = beta_node.wait_for_within(&own, "counter", short).await.unwrap_err();
    assert_eq!(hidden.reason(), "no_such_actor", "a list holds for the node itself, too");
}

#[actix::test]
async fn a_permission_that_comes_later_ends_the_wait_when_it_comes() {
    let (alpha, beta_node, beta) = pair().await;
    beta_node.set_access(AccessList::off().peer("other@*", ["*"]).unwrap());
    let wait = alpha.wait_for_within(&beta, "counter", Duration::from_secs(10));
    let permit = async {
        // Its own connection carried the question before this answer comes back.
        alpha.ping(&beta).await.unwrap();
        beta_node.set_access(AccessList::off());
    };
    let begun = Instant::now();
    let (waited, ()) = futures::join!(wait, permit);
    waited.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}
