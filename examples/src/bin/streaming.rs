//! Streams: one request, many answers. A slow reader slows the producer, and dropping the stream ends it.
//!
//! `cargo run -p farcall-examples --bin streaming` ends by itself.

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::rc::Rc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use farcall::prelude::*;
use futures::StreamExt;
use tokio::sync::Notify;

/// `stream` instead of `result`: the handler answers with many of them.
#[farcall::message(stream = u64)]
struct CountTo {
    last: u64,
}

#[farcall::message(stream = u64)]
struct Ticks {
    every_ms: u64,
}

#[derive(RemoteActor)]
#[remote(CountTo, Ticks)]
struct Source {
    clock_ended: Rc<Notify>,
}

impl Actor for Source {
    type Context = Context<Self>;
}

/// Items from any `Stream`. The runtime asks it for the next one only while the reader keeps up.
impl Handler<CountTo> for Source {
    type Result = MessageResult<CountTo>;

    fn handle(&mut self, count: CountTo, _: &mut Context<Self>) -> Self::Result {
        MessageResult(Items::new(futures::stream::iter(1..=count.last)))
    }
}

/// Items pushed by hand, here by a task that ends when nobody takes them any more.
impl Handler<Ticks> for Source {
    type Result = MessageResult<Ticks>;

    fn handle(&mut self, ticks: Ticks, _: &mut Context<Self>) -> Self::Result {
        let (sender, items) = Items::channel(16);
        let clock_ended = self.clock_ended.clone();
        actix::spawn(async move {
            let begun = Instant::now();
            let mut clock = tokio::time::interval(Duration::from_millis(ticks.every_ms));
            for number in 1.. {
                clock.tick().await;
                if sender.send(number).await.is_err() {
                    break;
                }
            }
            println!("ticks: the reader went away after {:.1?}, and so does the clock", begun.elapsed());
            clock_ended.notify_one();
        });
        MessageResult(items)
    }
}

#[actix::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    env_logger::init();
    let beta_node = Node::builder("beta@127.0.0.1").listen([([127, 0, 0, 1], 0).into()]).start().await?;
    let clock_ended = Rc::new(Notify::new());
    beta_node.register("source", Source { clock_ended: clock_ended.clone() }.start())?.keep();
    let address = beta_node.listening_on().first().ok_or("beta listens")?.to_string();
    let alpha =
        Node::builder("alpha@127.0.0.1").no_listener().node("beta@127.0.0.1", address).start().await?;
    let beta = Target::from(beta_node.name());

    // Each item is a `Result`: if beta died half-way, the last one would say so. A stream that ends without an error
    // is complete.
    let mut numbers = alpha.stream(&beta, "source", CountTo { last: 100_000 }).await?;
    let (mut count, mut sum) = (0u64, 0);
    while let Some(number) = numbers.next().await {
        count += 1;
        sum += number?;
    }
    println!("count: {count} numbers came, their sum is {sum}");

    let mut ticks = alpha.stream(&beta, "source", Ticks { every_ms: 20 }).await?;
    while let Some(tick) = ticks.next().await {
        let tick = tick?;
        println!("ticks: {tick}");
        if tick == 5 {
            break;
        }
    }
    drop(ticks);

    // Dropping the stream told beta, which dropped the producer's end of it.
    tokio::time::timeout(Duration::from_secs(5), clock_ended.notified()).await?;
    Ok(())
}
