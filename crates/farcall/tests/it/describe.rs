//! `describe`: what a node exposes, for people and tools; and calls made from it alone.

use std::time::Duration;

use actix::prelude::*;
use farcall::prelude::*;
use farcall::rpc::RawMessage;

use crate::actors::{AddPair, Diary};
use crate::fixture::{Add, Counter, pair};

#[actix::test]
async fn a_description_has_every_actor_with_its_version_and_messages() {
    let (alpha, beta_node, beta) = pair().await;
    beta_node.register("diary", Diary::default().start()).unwrap().version("2.1.0").unwrap().keep();
    beta_node.serve("math.add", |pair: AddPair| async move { pair.left + pair.right }).unwrap();
    let description = alpha.describe(&beta).await.unwrap();
    assert_eq!(description.node, beta.node().to_string());
    assert_eq!(description.incarnation, beta_node.incarnation().0);
    let names: Vec<_> = description.actors.iter().map(|actor| actor.name.as_str()).collect();
    assert!(["counter", "diary", "math.add"].iter().all(|name| names.contains(name)), "{names:?}");
    let diary = description.actors.iter().find(|actor| actor.name == "diary").unwrap();
    assert_eq!(diary.version.as_deref(), Some("2.1.0"));
    let counter = description.actors.iter().find(|actor| actor.name == "counter").unwrap();
    assert_eq!(counter.version, None);
    let add = counter.messages.iter().find(|message| message.name == "Add").unwrap();
    assert_eq!((add.version, add.fingerprint), (1, <Add as RemoteMessage>::INFO.fingerprint));
    let count = counter.messages.iter().find(|message| message.name == "Count").unwrap();
    assert!(count.stream && !add.stream);
    assert!(format!("{:?}", add.request).contains("amount"), "{:?}", add.request);
}

#[actix::test]
async fn one_actor_is_described_alone_and_an_unknown_one_not_at_all() {
    let (alpha, beta_node, beta) = pair().await;
    beta_node.register("diary", Diary::default().start()).unwrap().keep();
    let description = alpha.describe_actor(&beta, "diary").await.unwrap();
    assert_eq!(description.actors.len(), 1);
    assert!(alpha.describe_actor(&beta, "nobody").await.unwrap().actors.is_empty());
}

#[actix::test]
async fn a_tool_calls_and_casts_with_nothing_but_the_description() {
    let (alpha, _beta, beta) = pair().await;
    let description = alpha.describe_actor(&beta, "counter").await.unwrap();
    let add = description.actors[0].messages.iter().find(|message| message.name == "Add").unwrap();
    let payload = postcard::to_allocvec(&5u64).unwrap();
    let message =
        RawMessage { name: &add.name, version: add.version, fingerprint: add.fingerprint, payload: &payload };
    let answer = alpha.raw(&beta, "counter").call(message, Duration::from_secs(5)).await.unwrap();
    assert_eq!(postcard::from_bytes::<u64>(&answer).unwrap(), 5);
    alpha.raw(&beta, "counter").cast(message).acked().await.unwrap();
    let answer = alpha.raw(&beta, "counter").call(message, Duration::from_secs(5)).await.unwrap();
    assert_eq!(postcard::from_bytes::<u64>(&answer).unwrap(), 15);
    // A payload that is no such message harms nobody.
    let garbage = RawMessage { payload: &[0xff; 20], ..message };
    let error = alpha.raw(&beta, "counter").call(garbage, Duration::from_secs(5)).await.unwrap_err();
    assert_eq!(error.class(), Class::Rejected);
    let answer = alpha.raw(&beta, "counter").call(message, Duration::from_secs(5)).await.unwrap();
    assert_eq!(postcard::from_bytes::<u64>(&answer).unwrap(), 20);
}

#[actix::test]
async fn names_come_and_go_with_their_guards_and_their_actors() {
    let (alpha, ..) = pair().await;
    let guard = alpha.register("held", Counter::default().start()).unwrap();
    assert!(alpha.register("held", Counter::default().start()).is_err(), "it is taken");
    assert_eq!(alpha.names(), ["counter", "held"]);
    drop(guard);
    assert_eq!(alpha.names(), ["counter"]);
    assert!(alpha.register("farcall", Counter::default().start()).is_err(), "it is reserved");
    assert!(!alpha.unregister("farcall"));
    assert!(alpha.unregister("counter") && !alpha.unregister("counter"));
}
