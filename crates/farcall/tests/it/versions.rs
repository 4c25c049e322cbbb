//! Versions: of an actor, which callers may require; of a message, whose layouts both sides must agree on.

use actix::prelude::*;
use farcall::RegisterError;
use farcall::error::{Failure, NotSent, Rejected};
use farcall::prelude::*;

use crate::fixture::{Add, Counter, Total, pair, target};

fn versioned(node: &Node, version: &str) {
    node.unregister("counter");
    node.register("counter", Counter::default().start()).unwrap().version(version).unwrap().keep();
}

#[actix::test]
async fn a_required_version_is_met_or_named_in_the_refusal() {
    let (alpha, beta_node, beta) = pair().await;
    versioned(&beta_node, "1.4.2");
    for target in [&beta, &beta.with_key("key")] {
        for met in ["^1.4", "1", ">=1.0, <2", "=1.4.2"] {
            assert_eq!(alpha.call(target, "counter", Total).require_version(met).await.unwrap(), 0, "{met}");
        }
        let error = alpha.call(target, "counter", Total).require_version("^2").await.unwrap_err();
        let expected = Rejected::WrongVersion { have: "1.4.2".into(), want: "^2".into() };
        assert_eq!(*error.failure(), Failure::Rejected(expected));
        assert!(error.to_string().contains("1.4.2, which does not meet ^2"), "{error}");
    }
}

#[actix::test]
async fn an_actor_without_a_version_meets_no_requirement_and_an_unknown_one_neither() {
    let (alpha, _beta, beta) = pair().await;
    let error = alpha.call(&beta, "counter", Total).require_version("*").await.unwrap_err();
    let expected = Rejected::WrongVersion { have: "none".into(), want: "*".into() };
    assert_eq!(*error.failure(), Failure::Rejected(expected));
    let error = alpha.call(&beta, "nobody", Total).require_version("^1").await.unwrap_err();
    assert_eq!(*error.failure(), Failure::Rejected(Rejected::NoSuchActor));
    let error = alpha.call(&beta, "counter", Total).require_version("no version").await.unwrap_err();
    assert!(matches!(error.failure(), Failure::NotSent(NotSent::BadRequest(_))), "{error}");
}

#[actix::test]
async fn a_requirement_holds_for_casts_and_promises_and_follows_an_upgrade() {
    let (alpha, beta_node, beta) = pair().await;
    versioned(&beta_node, "1.0.0");
    let newer = ("counter", "^2");
    let refused = alpha.cast(&beta, newer, Add { amount: 1 }).acked().await.unwrap_err();
    assert!(matches!(refused.failure(), Failure::Rejected(Rejected::WrongVersion { .. })), "{refused}");
    let refused = alpha.async_call(&beta, newer, Total).await.unwrap_err();
    assert!(matches!(refused.failure(), Failure::Rejected(Rejected::WrongVersion { .. })), "{refused}");
    versioned(&beta_node, "2.1.0");
    alpha.cast(&beta, newer, Add { amount: 1 }).acked().await.unwrap();
    assert_eq!(alpha.async_call(&beta, newer, Total).await.unwrap(), 1);
}

#[actix::test]
async fn the_own_node_checks_versions_too() {
    let (alpha, ..) = pair().await;
    versioned(&alpha, "1.0.0");
    let own = target(&alpha);
    assert!(alpha.call(&own, "counter", Total).require_version("^1").await.is_ok());
    let error = alpha.call(&own, "counter", Total).require_version("^2").await.unwrap_err();
    assert!(matches!(error.failure(), Failure::Rejected(Rejected::WrongVersion { .. })), "{error}");
}

#[actix::test]
async fn a_version_that_is_none_is_refused_at_registration() {
    let (alpha, ..) = pair().await;
    let guard = alpha.register("other", Counter::default().start()).unwrap();
    let error = guard.version("new").unwrap_err();
    assert!(matches!(error, RegisterError::BadVersion { .. }), "{error}");
    assert!(!alpha.names().contains(&"other".to_owned()), "the name is free again");
}

mod old {
    /// How the order looked first.
    #[farcall::message(result = String, name = "shop.order")]
    #[derive(Debug)]
    pub struct Order {
        pub article: String,
    }

    /// The same name and version, with another layout: somebody forgot to count.
    #[farcall::message(result = String, name = "shop.forgotten")]
    #[derive(Debug)]
    pub struct Forgotten {
        pub article: String,
        pub pieces: u32,
    }
}

mod new {
    use super::old;

    /// How the order looks now; what the old one says is still read.
    #[farcall::message(result = String, name = "shop.order", version = 2, from(1 = old::Order))]
    #[derive(Debug)]
    pub struct Order {
        pub article: String,
        pub pieces: u32,
    }

    impl From<old::Order> for Order {
        fn from(order: old::Order) -> Self {
            Self { article: order.article, pieces: 1 }
        }
    }

    #[farcall::message(result = String, name = "shop.forgotten")]
    #[derive(Debug)]
    pub struct Forgotten {
        pub pieces: u32,
        pub article: String,
    }
}

/// A shop that has been upgraded.
#[derive(RemoteActor)]
#[remote(new::Order, new::Forgotten)]
struct NewShop;

impl Actor for NewShop {
    type Context = Context<Self>;
}

impl Handler<new::Order> for NewShop {
    type Result = String;
    fn handle(&mut self, order: new::Order, _: &mut Context<Self>) -> String {
        format!("{} x {}", order.pieces, order.article)
    }
}

impl Handler<new::Forgotten> for NewShop {
    type Result = String;
    fn handle(&mut self, order: new::Forgotten, _: &mut Context<Self>) -> String {
        format!("{} x {}", order.pieces, order.article)
    }
}

/// A shop that has not.
#[derive(RemoteActor)]
#[remote(old::Order)]
struct OldShop;

impl Actor for OldShop {
    type Context = Context<Self>;
}

impl Handler<old::Order> for OldShop {
    type Result = String;
    fn handle(&mut self, order: old::Order, _: &mut Context<Self>) -> String {
        order.article
    }
}

fn tea() -> String {
    "tea".to_owned()
}

#[actix::test]
async fn an_upgraded_reader_reads_what_old_and_new_writers_send() {
    let (alpha, beta_node, beta) = pair().await;
    beta_node.register("shop", NewShop.start()).unwrap().keep();
    let from_old = alpha.call(&beta, "shop", old::Order { article: tea() }).await.unwrap();
    assert_eq!(from_old, "1 x tea");
    let from_new = alpha.call(&beta, "shop", new::Order { article: tea(), pieces: 3 }).await.unwrap();
    assert_eq!(from_new, "3 x tea");
}

#[actix::test]
async fn a_writer_upgraded_before_its_reader_is_told_which_versions_are_read_there() {
    let (alpha, beta_node, beta) = pair().await;
    beta_node.register("shop", OldShop.start()).unwrap().keep();
    let error = alpha.call(&beta, "shop", new::Order { article: tea(), pieces: 3 }).await.unwrap_err();
    let Failure::Rejected(Rejected::Incompatible(why)) = error.failure() else { panic!("{error}") };
    assert_eq!(why, "shop.order version 2 is sent, versions 1 are read there; upgrade the reader first");
}

#[actix::test]
async fn a_layout_changed_without_a_new_version_is_incompatible_and_names_both_sides() {
    let (alpha, beta_node, beta) = pair().await;
    beta_node.register("shop", NewShop.start()).unwrap().keep();
    let forgotten = old::Forgotten { article: tea(), pieces: 3 };
    let error = alpha.call(&beta, "shop", forgotten).await.unwrap_err();
    let Failure::Rejected(Rejected::Incompatible(why)) = error.failure() else { panic!("{error}") };
    let there = <new::Forgotten as RemoteMessage>::INFO.fingerprint;
    let here = <old::Forgotten as RemoteMessage>::INFO.fingerprint;
    assert!(
        why.contains(&format!("{there:016x} there")) && why.contains(&format!("{here:016x} here")),
        "{why}"
    );
    // The neighbours of the incompatible message work.
    assert!(alpha.call(&beta, "shop", old::Order { article: tea() }).await.is_ok());
}
