//! `Remote<A>`: a typed reference that travels in messages and works where it arrives.

use actix::prelude::*;
use farcall::error::{Failure, NotSent};
use farcall::prelude::*;

use crate::fixture::{Add, Counter, Total, nodes, pair, target};

/// Please add to this counter, wherever it is.
#[farcall::message(result = Result<u64, String>)]
#[derive(Debug)]
struct AddThere {
    counter: Remote<Counter>,
    amount: u64,
}

/// Where is your counter?
#[farcall::message(result = Remote<Counter>)]
#[derive(Debug)]
struct YourCounter;

#[derive(RemoteActor)]
#[remote(AddThere, YourCounter)]
struct Errands {
    own: Remote<Counter>,
}

impl Actor for Errands {
    type Context = Context<Self>;
}

impl Handler<AddThere> for Errands {
    type Result = ResponseFuture<Result<u64, String>>;
    fn handle(&mut self, add: AddThere, _: &mut Context<Self>) -> Self::Result {
        Box::pin(async move {
            add.counter.call(Add { amount: add.amount }).await.map_err(|error| error.to_string())
        })
    }
}

impl Handler<YourCounter> for Errands {
    type Result = MessageResult<YourCounter>;
    fn handle(&mut self, _: YourCounter, _: &mut Context<Self>) -> Self::Result {
        MessageResult(self.own.clone())
    }
}

fn errands(node: &Node) {
    let own = node.actor::<Counter>("counter", &target(node));
    node.register("errands", Errands { own }.start()).unwrap().keep();
}

#[actix::test]
async fn a_reference_calls_and_casts_to_its_actor() {
    let (alpha, _beta, beta) = pair().await;
    let counter = alpha.actor::<Counter>("counter", &beta);
    counter.cast(Add { amount: 1 }).unwrap();
    assert_eq!(counter.call(Add { amount: 2 }).await.unwrap(), 3);
    assert_eq!((counter.name(), counter.target()), ("counter", &beta));
    assert_eq!(format!("{counter:?}"), format!("counter on {beta}"));
}

#[actix::test]
async fn a_reference_sent_in_a_message_works_at_the_receiver_even_to_a_third_node() {
    let nodes = nodes(3).await;
    errands(&nodes[1]);
    let beta = target(&nodes[1]);
    for (place, total) in [(&nodes[2], 5), (&nodes[1], 5), (&nodes[0], 5)] {
        let counter = nodes[0].actor::<Counter>("counter", &target(place));
        let added = nodes[0].call(&beta, "errands", AddThere { counter, amount: 5 }).await.unwrap();
        assert_eq!(added, Ok(total));
        assert_eq!(place.call(&target(place), "counter", Total).await.unwrap(), total);
    }
}

#[actix::test]
async fn a_reference_in_an_answer_is_bound_to_the_node_that_asked() {
    let (alpha, beta_node, beta) = pair().await;
    errands(&beta_node);
    let counter = alpha.call(&beta, "errands", YourCounter).await.unwrap();
    assert_eq!(counter.target(), &beta);
    assert_eq!(counter.call(Add { amount: 4 }).await.unwrap(), 4);
}

#[actix::test]
async fn a_reference_keeps_its_key_on_the_way() {
    let (alpha, beta_node, beta) = pair().await;
    errands(&beta_node);
    let keyed = target(&alpha).with_key("mine");
    let counter = alpha.actor::<Counter>("counter", &keyed);
    let wire = postcard::to_allocvec(&counter).unwrap();
    let read: Remote<Counter> = postcard::from_bytes(&wire).unwrap();
    assert_eq!(read, counter);
    assert_eq!(read.target(), &keyed);
    let added = alpha.call(&beta, "errands", AddThere { counter, amount: 1 }).await.unwrap();
    assert_eq!(added, Ok(1));
    assert_eq!(beta_node.connections(alpha.name()), 1);
}

#[actix::test]
async fn a_reference_read_outside_of_farcall_works_after_it_is_bound() {
    let (alpha, _beta, beta) = pair().await;
    let wire = postcard::to_allocvec(&alpha.actor::<Counter>("counter", &beta)).unwrap();
    let read: Remote<Counter> = postcard::from_bytes(&wire).unwrap();
    let error = read.call(Total).await.unwrap_err();
    assert!(matches!(error.failure(), Failure::NotSent(NotSent::BadRequest(_))), "{error}");
    assert!(error.to_string().contains("node.bind"), "{error}");
    assert_eq!(alpha.bind(&read).call(Total).await.unwrap(), 0);
}

#[actix::test]
async fn a_reference_to_an_actor_that_is_gone_says_so() {
    let (alpha, beta_node, beta) = pair().await;
    let counter = alpha.actor::<Counter>("counter", &beta);
    assert_eq!(counter.call(Total).await.unwrap(), 0);
    beta_node.unregister("counter");
    assert_eq!(counter.call(Total).await.unwrap_err().class(), Class::Rejected);
    beta_node.register("counter", Counter { total: 9 }.start()).unwrap().keep();
    assert_eq!(counter.call(Total).await.unwrap(), 9, "it stands for the name, not for one actor");
}
