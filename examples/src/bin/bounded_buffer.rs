//! A bounded buffer as a remote object: producers insert, consumers remove, each on a node of its own.
//!
//! `cargo run -p farcall-examples --bin bounded_buffer` ends by itself.
//!
//! ```text
//! producer ── Insert ──►  buffer, 4 places  ◄── Remove ── consumer
//!             Err(Full)                         Err(Empty)
//! ```
//! A full buffer is an answer like any other: a handler's own `Result`, not an error of the call.

#![expect(clippy::print_stdout, reason = "an example shows what happens")]
#![expect(clippy::indexing_slicing, reason = "the node of the buffer listens on one address")]

use std::collections::VecDeque;
use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use actix::prelude::*;
use farcall::prelude::*;

/// Why the buffer does not do what it is asked to.
#[farcall::data]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refused {
    Full { places: u32 },
    Empty,
}

/// Puts one behind the others; how many there are then.
#[farcall::message(result = Result<u32, Refused>)]
struct Insert {
    item: String,
}

/// The first one, which stays.
#[farcall::message(result = Result<String, Refused>)]
struct Front;

/// Takes the first one out.
#[farcall::message(result = Result<String, Refused>)]
struct Remove;

/// Takes all out; how many these were.
#[farcall::message(result = u32)]
struct Flush;

/// All that is in it, the first one first.
#[farcall::message(result = Vec<String>)]
struct Contents;

#[derive(RemoteActor)]
#[remote(Insert, Front, Remove, Flush, Contents)]
struct Buffer {
    items: VecDeque<String>,
    places: u32,
}

impl Buffer {
    fn len(&self) -> u32 {
        // It never holds more than its places.
        u32::try_from(self.items.len()).unwrap_or(self.places)
    }
}

impl Actor for Buffer {
    type Context = Context<Self>;
}

impl Handler<Insert> for Buffer {
    type Result = Result<u32, Refused>;

    fn handle(&mut self, Insert { item }: Insert, _: &mut Context<Self>) -> Self::Result {
        if self.len() >= self.places {
            return Err(Refused::Full { places: self.places });
        }
        self.items.push_back(item);
        Ok(self.len())
    }
}

impl Handler<Front> for Buffer {
    type Result = Result<String, Refused>;

    fn handle(&mut self, _: Front, _: &mut Context<Self>) -> Self::Result {
        self.items.front().cloned().ok_or(Refused::Empty)
    }
}

impl Handler<Remove> for Buffer {
    type Result = Result<String, Refused>;

    fn handle(&mut self, _: Remove, _: &mut Context<Self>) -> Self::Result {
        self.items.pop_front().ok_or(Refused::Empty)
    }
}

impl Handler<Flush> for Buffer {
    type Result = u32;

    fn handle(&mut self, _: Flush, _: &mut Context<Self>) -> u32 {
        let count = self.len();
        self.items.clear();
        count
    }
}

impl Handler<Contents> for Buffer {
    type Result = Vec<String>;

    fn handle(&mut self, _: Contents, _: &mut Context<Self>) -> Vec<String> {
        self.items.iter().cloned().collect()
    }
}

/// How long whoever is refused waits before it tries again.
const PAUSE: Duration = Duration::from_millis(1);

/// Inserts so many items; how often it found the buffer full.
async fn produce(buffer: Remote<Buffer>, count: u32) -> Result<u32, CallError> {
    let mut refused = 0;
    for number in 1..=count {
        while let Err(Refused::Full { .. }) = buffer.call(Insert { item: format!("item {number}") }).await? {
            refused += 1;
            tokio::time::sleep(PAUSE).await;
        }
    }
    Ok(refused)
}

/// Removes so many items, in their order.
async fn consume(buffer: Remote<Buffer>, count: u32) -> Result<Vec<String>, CallError> {
    let mut removed = Vec::new();
    while removed.len() < count as usize {
        match buffer.call(Remove).await? {
            Ok(item) => removed.push(item),
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
    Ok(removed)
}

#[actix::main]
async fn main() -> Result<(), Box<dyn Error>> {
    env_logger::init();
    let any_port: SocketAddr = ([127, 0, 0, 1], 0).into();
    let home = Node::builder("home@127.0.0.1").listen([any_port]).start().await?;
    home.register("buffer", Buffer { items: VecDeque::new(), places: 4 }.start())?.keep();
    let at = home.listening_on()[0].to_string();
    let visitor = |name: &str| Node::builder(name).no_listener().node("home@127.0.0.1", at.clone()).start();
    let (producer, consumer) = (visitor("producer@127.0.0.1").await?, visitor("consumer@127.0.0.1").await?);
    let target: Target = "home@127.0.0.1".parse()?;
    let (full, empty) =
        (producer.actor::<Buffer>("buffer", &target), consumer.actor::<Buffer>("buffer", &target));

    println!("nothing is in it: {:?}", empty.call(Front).await?);
    for number in 1..=4 {
        full.call(Insert { item: format!("item {number}") })
            .await?
            .map_err(|refused| format!("{refused:?}"))?;
    }
    println!("four are in it: {:?}", full.call(Contents).await?);
    println!("a fifth one: {:?}", full.call(Insert { item: "item 5".to_owned() }).await?);
    println!("the first one: {:?}", empty.call(Remove).await?);
    println!("flushed: {}, then {:?}", empty.call(Flush).await?, empty.call(Contents).await?);

    // Through four places go a hundred items, in order: whoever is faster waits for the other one.
    let producing = actix::spawn(produce(full, 100));
    let removed = consume(empty, 100).await?;
    let in_order = removed.iter().zip(1..).all(|(item, number)| *item == format!("item {number}"));
    producing.await??;
    println!("{} items went through 4 places, in order: {in_order}", removed.len());

    for node in [&producer, &consumer, &home] {
        node.shutdown().await;
    }
    Ok(())
}
