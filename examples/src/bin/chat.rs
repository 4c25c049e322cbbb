//! A chat: rooms are groups, guests are actors on any node, and a message reaches every guest of a room.
//!
//! `cargo run -p farcall-examples --bin chat` tells a story and ends by itself.
//!
//! ```text
//!   ann on red ──┐                 ┌── bob on blue
//!                ├── rooms/lobby ──┤
//!   eve on red ──┘                 └── cat on green, which goes
//! ```
//! No node keeps the list of a room: each tells the others who of its own is in it.

#![expect(clippy::print_stdout, reason = "an example shows what happens")]
#![expect(clippy::indexing_slicing, reason = "it has started three nodes")]

use std::error::Error;
use std::net::TcpListener;
use std::time::Duration;

use actix::prelude::*;
use farcall::cluster::Group;
use farcall::prelude::*;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Somebody says something.
#[farcall::message]
struct Say {
    from: String,
    text: String,
}

/// Hears what is said, and shows it on its own screen.
#[derive(RemoteActor)]
#[remote(Say)]
struct Guest {
    name: &'static str,
    // As many as are said in this story.
    screen: UnboundedSender<String>,
}

impl Actor for Guest {
    type Context = Context<Self>;
}

impl Handler<Say> for Guest {
    type Result = ();

    fn handle(&mut self, Say { from, text }: Say, _: &mut Context<Self>) {
        // Nobody looks at the screen any more when the story has ended.
        let _ = self.screen.send(format!("{} hears {from}: {text}", self.name));
    }
}

/// A guest comes in, on its node. He is out when his actor ends, or his node.
fn enter(node: &Node, name: &'static str, screen: &UnboundedSender<String>) -> Result<(), Box<dyn Error>> {
    node.register(name, Guest { name, screen: screen.clone() }.start())?.keep();
    node.group("rooms/lobby").join(name)?;
    Ok(())
}

/// Says something to all in the room, himself too.
fn say(room: &Group, from: &str, text: &str) -> Result<(), Box<dyn Error>> {
    let report = room.send_all(Say { from: from.to_owned(), text: text.to_owned() });
    match report.not_sent.into_iter().next() {
        Some((_, error)) => Err(error.into()),
        None => Ok(()),
    }
}

/// Waits until so many are in the room, as this node knows it.
async fn guests(room: &Group, count: usize) {
    while room.members().len() != count {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// So many lines from the screens, in the order of the alphabet: who hears first is chance.
async fn show(screens: &mut UnboundedReceiver<String>, count: usize) {
    let mut lines = Vec::new();
    while lines.len() < count
        && let Some(line) = screens.recv().await
    {
        lines.push(line);
    }
    lines.sort();
    lines.iter().for_each(|line| println!("  {line}"));
}

/// Three ports that nobody has.
fn free_ports() -> Result<[u16; 3], Box<dyn Error>> {
    let free = || TcpListener::bind("127.0.0.1:0");
    let held = [free()?, free()?, free()?];
    Ok([held[0].local_addr()?.port(), held[1].local_addr()?.port(), held[2].local_addr()?.port()])
}

#[actix::main]
async fn main() -> Result<(), Box<dyn Error>> {
    env_logger::init();
    let (screen, mut screens) = unbounded_channel();
    // The port in a name is where others dial it: nothing else has to be known of a node.
    let mut nodes: Vec<Node> = Vec::new();
    for (name, port) in ["red", "blue", "green"].into_iter().zip(free_ports()?) {
        let node = Node::builder(format!("{name}@127.0.0.1:{port}")).start().await?;
        for before in &nodes {
            node.connect(&before.name().into()).await?;
        }
        nodes.push(node);
    }
    let (red, blue, green) = (nodes[0].clone(), nodes[1].clone(), nodes[2].clone());
    for (node, name) in [(&red, "ann"), (&red, "eve"), (&blue, "bob"), (&green, "cat")] {
        enter(node, name, &screen)?;
    }
    for node in &nodes {
        guests(&node.group("rooms/lobby"), 4).await;
    }

    println!("bob says hello to four:");
    say(&blue.group("rooms/lobby"), "bob", "hello")?;
    show(&mut screens, 4).await;

    red.group("rooms/lobby").leave("eve")?;
    guests(&green.group("rooms/lobby"), 3).await;
    println!("eve has left, and cat asks where she is:");
    say(&green.group("rooms/lobby"), "cat", "where is eve?")?;
    show(&mut screens, 3).await;

    green.shutdown().await;
    guests(&red.group("rooms/lobby"), 2).await;
    let who: Vec<String> =
        red.group("rooms/lobby").members().into_iter().map(|member| member.actor).collect();
    println!("green is gone, and cat with it: {}", who.join(", "));
    say(&red.group("rooms/lobby"), "ann", "so it is us two")?;
    show(&mut screens, 2).await;

    for node in [&red, &blue] {
        node.shutdown().await;
    }
    Ok(())
}
