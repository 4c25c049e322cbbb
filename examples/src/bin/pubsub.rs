//! Publish and subscribe: ten thousand subscribers on three nodes, and one message for each node that has some.
//!
//! `cargo run -p farcall-examples --bin pubsub` ends by itself.
//!
//! ```text
//!                ┌──► hub on a ──► 3,334 subscribers
//!  publisher ────┼──► hub on b ──► 3,333 subscribers      one message crosses each connection,
//!                └──► hub on c ──► 3,333 subscribers      and is handed on to many at home
//! ```
//! A topic is a group of hubs, one on each node that has subscribers. The subscribers are ordinary actix actors.

#![expect(clippy::print_stdout, reason = "an example shows what happens")]
#![expect(clippy::indexing_slicing, reason = "it has started three nodes, and each of them listens")]

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use actix::prelude::*;
use farcall::cluster::{NodeEvent, NodeFilter};
use farcall::prelude::*;

const SUBSCRIBERS: usize = 10_000;
const TOPIC: &str = "topics/news";

/// What is published. The text is shared by all subscribers of a node.
#[farcall::message]
#[derive(Clone)]
struct News {
    number: u64,
    text: String,
}

/// Hands on what comes, to the subscribers of its node.
#[derive(Default, RemoteActor)]
#[remote(News)]
struct Hub {
    subscribers: Vec<Recipient<Heard>>,
}

impl Actor for Hub {
    type Context = Context<Self>;
}

impl Handler<News> for Hub {
    type Result = ();

    fn handle(&mut self, news: News, _: &mut Context<Self>) {
        let heard = Arc::new(news);
        // Who has ended is forgotten here, and who is slow does not hold up the others: its own mailbox fills.
        self.subscribers.retain(Recipient::connected);
        for subscriber in &self.subscribers {
            subscriber.do_send(Heard(heard.clone()));
        }
    }
}

/// The same, at home: no copy for each subscriber.
#[derive(Message, Clone)]
#[rtype(result = "()")]
struct Heard(Arc<News>);

/// What all subscribers together have heard.
#[derive(Default)]
struct Counted {
    messages: AtomicUsize,
    bytes: AtomicUsize,
}

struct Subscriber {
    counted: Arc<Counted>,
}

impl Actor for Subscriber {
    type Context = Context<Self>;
}

impl Handler<Heard> for Subscriber {
    type Result = ();

    fn handle(&mut self, Heard(news): Heard, _: &mut Context<Self>) {
        self.counted.messages.fetch_add(1, Ordering::Relaxed);
        self.counted.bytes.fetch_add(news.text.len(), Ordering::Relaxed);
    }
}

/// Ends a subscriber.
#[derive(Message)]
#[rtype(result = "()")]
struct Leave;

impl Handler<Leave> for Subscriber {
    type Result = ();

    fn handle(&mut self, _: Leave, ctx: &mut Context<Self>) {
        ctx.stop();
    }
}

/// A node with a hub and so many subscribers.
async fn node(
    name: &str,
    count: usize,
    counted: &Arc<Counted>,
) -> Result<(Node, Vec<Addr<Subscriber>>), Box<dyn Error>> {
    let any_port: SocketAddr = ([127, 0, 0, 1], 0).into();
    let node = Node::builder(name).listen([any_port]).start().await?;
    let subscribers: Vec<_> = (0..count).map(|_| Subscriber { counted: counted.clone() }.start()).collect();
    let hub = Hub { subscribers: subscribers.iter().cloned().map(Addr::recipient).collect() };
    node.register("hub", hub.start())?.keep();
    node.group(TOPIC).join("hub")?;
    Ok((node, subscribers))
}

/// Waits until something holds, for ten seconds at most.
async fn until(what: &str, holds: impl Fn() -> bool) -> Result<(), Box<dyn Error>> {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds() {
        if Instant::now() > deadline {
            return Err(format!("waited in vain: {what}").into());
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok(())
}

#[actix::main]
async fn main() -> Result<(), Box<dyn Error>> {
    env_logger::init();
    let counted = Arc::new(Counted::default());
    let heard = |wanted: usize| {
        let counted = counted.clone();
        move || counted.messages.load(Ordering::Relaxed) == wanted
    };
    let (a, subscribers) = node("a@127.0.0.1", SUBSCRIBERS - 2 * (SUBSCRIBERS / 3), &counted).await?;
    let (b, _on_b) = node("b@127.0.0.1", SUBSCRIBERS / 3, &counted).await?;
    let (c, _on_c) = node("c@127.0.0.1", SUBSCRIBERS / 3, &counted).await?;
    let mut builder = Node::builder("publisher@127.0.0.1").no_listener();
    for node in [&a, &b, &c] {
        builder = builder.node(node.name(), node.listening_on()[0].to_string());
    }
    let publisher = builder.start().await?;
    let mut events = publisher.subscribe_nodes(NodeFilter::Visible);
    for node in [&a, &b, &c] {
        publisher.connect(&node.name().into()).await?;
    }
    let topic = publisher.group(TOPIC);
    until("three hubs are known", || topic.members().len() == 3).await?;

    let (begun, rounds) = (Instant::now(), 20);
    for number in 1..=rounds {
        let report = topic.send_all(News { number, text: "something has happened".to_owned() });
        if let Some((_, error)) = report.not_sent.into_iter().next() {
            return Err(error.into());
        }
    }
    let wanted = SUBSCRIBERS * 20;
    until("all have heard everything", heard(wanted)).await?;
    println!("{SUBSCRIBERS} subscribers heard {rounds} messages each, {} in {:?}", wanted, begun.elapsed());
    let link = publisher.inspect().links.into_iter().find(|link| link.peer == "a@127.0.0.1");
    println!("{} messages crossed the connection to a", link.map_or(0, |link| link.messages_out.min(rounds)));

    // One that leaves hears nothing more.
    for subscriber in subscribers.iter().take(3) {
        subscriber.send(Leave).await?;
    }
    topic.send_all(News { number: 21, text: "three have left".to_owned() });
    let wanted = wanted + SUBSCRIBERS - 3;
    until("all but three have heard it", heard(wanted)).await?;
    println!("three have left: {} heard the next one", SUBSCRIBERS - 3);

    c.shutdown().await;
    while let Some(Ok(event)) = events.next().await {
        if let NodeEvent::Down(peer, reason) = event {
            println!("the publisher is told that {} is down: {reason}", peer.name);
            break;
        }
    }
    until("two hubs are left", || topic.members().len() == 2).await?;
    topic.send_all(News { number: 22, text: "a node has gone".to_owned() });
    let wanted = wanted + SUBSCRIBERS - 3 - SUBSCRIBERS / 3;
    until("those on a and b have heard it", heard(wanted)).await?;
    println!("{} are left, on two nodes", SUBSCRIBERS - 3 - SUBSCRIBERS / 3);

    for node in [&a, &b, &publisher] {
        node.shutdown().await;
    }
    Ok(())
}
