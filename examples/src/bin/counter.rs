//! One actor, asked in every way there is to ask one actor: call, cast, acked cast, promise, with a deadline.
//!
//! `cargo run -p farcall-examples --bin counter` ends by itself.

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::time::Duration;

use actix::prelude::*;
use farcall::prelude::*;

#[farcall::message(result = u64)]
struct Add {
    amount: u64,
}

#[farcall::message(result = u64)]
struct Total;

/// Answers after so many milliseconds.
#[farcall::message(result = u64)]
struct TotalLater {
    after_ms: u64,
}

#[derive(Default, RemoteActor)]
#[remote(Add, Total, TotalLater)]
struct Counter {
    total: u64,
}

impl Actor for Counter {
    type Context = Context<Self>;
}

impl Handler<Add> for Counter {
    type Result = u64;

    fn handle(&mut self, add: Add, _: &mut Context<Self>) -> u64 {
        self.total += add.amount;
        self.total
    }
}

impl Handler<Total> for Counter {
    type Result = u64;

    fn handle(&mut self, _: Total, _: &mut Context<Self>) -> u64 {
        self.total
    }
}

/// Handlers may be asynchronous; the actor goes on with other messages meanwhile.
impl Handler<TotalLater> for Counter {
    type Result = ResponseFuture<u64>;

    fn handle(&mut self, later: TotalLater, _: &mut Context<Self>) -> Self::Result {
        let total = self.total;
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(later.after_ms)).await;
            total
        })
    }
}

#[actix::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    env_logger::init();
    let beta_node = Node::builder("beta@127.0.0.1").listen([([127, 0, 0, 1], 0).into()]).start().await?;
    beta_node.register("counter", Counter::default().start())?.version("1.4.0")?.keep();
    let address = beta_node.listening_on().first().ok_or("beta listens")?.to_string();
    let alpha =
        Node::builder("alpha@127.0.0.1").no_listener().node("beta@127.0.0.1", address).start().await?;
    let beta = Target::from(beta_node.name());

    // A call waits for the answer. Without a `timeout` it waits for `call_timeout`, 15 seconds, and never longer.
    let total = alpha.call(&beta, "counter", Add { amount: 40 }).timeout(Duration::from_secs(2)).await?;
    println!("call:            the total is {total}");

    // A cast does not wait. `Ok` means that it is on its way; what surely will not be sent is an error here.
    alpha.cast(&beta, "counter", Add { amount: 1 })?;
    println!("cast:            one more is on its way");

    // An acked cast waits until the actor's mailbox has it, and says why not if not.
    alpha.cast(&beta, "counter", Add { amount: 1 }).acked().await?;
    println!("cast, acked:     one more is in the mailbox");
    if let Err(error) = alpha.cast(&beta, "nobody", Add { amount: 1 }).acked().await {
        println!("cast, acked:     {error} ({})", error.class());
    }

    // From one caller to one actor, everything arrives in the order it was sent: this call sees both casts.
    println!("call:            the total is {}", alpha.call(&beta, "counter", Total).await?);

    // A promise starts now and is asked later.
    let mut promise = alpha.async_call(&beta, "counter", TotalLater { after_ms: 100 });
    while promise.nb_yield(Duration::from_millis(40)).await.inspect(show).is_none() {
        println!("async_call:      no answer yet, doing something else");
    }

    // An actor may state a version, and a caller may insist on one.
    let refused = alpha.call(&beta, "counter", Total).require_version("^2").await;
    show(&refused);

    // The deadline passed: nobody can say whether the handler ran, and `may_have_run` says so.
    let late = alpha.call(&beta, "counter", TotalLater { after_ms: 60_000 });
    show(&late.timeout(Duration::from_millis(50)).await);
    Ok(())
}

fn show(answer: &Result<u64, CallError>) {
    match answer {
        Ok(total) => println!("answer:          the total is {total}"),
        Err(error) => println!("error:           {error}; may have run: {}", error.may_have_run()),
    }
}
