//! To-do lists: one actor for each list, found by its name, on a node that the name chooses.
//!
//! `cargo run -p farcall-examples --bin todo` ends by itself.
//!
//! ```text
//!  desk ── "garden" ──► its node by name ──► actor "todo.garden"
//!       ── "office" ──► maybe another one ──► actor "todo.office"
//! ```
//! The desk keeps no table of where lists are. A list that is not there yet is begun by a factory on its node.

#![expect(clippy::print_stdout, reason = "an example shows what happens")]
#![expect(clippy::indexing_slicing, reason = "it has started two keepers, and each of them listens")]

use std::error::Error;
use std::net::SocketAddr;

use actix::prelude::*;
use farcall::cluster::{SpawnError, SpawnRefused};
use farcall::prelude::*;

#[farcall::data]
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    text: String,
    done: bool,
}

/// What a new list is made of.
#[farcall::data]
struct Named {
    /// Every list begins with something to do.
    first: String,
}

/// Puts an entry at the end; its number.
#[farcall::message(result = u32)]
struct AddEntry {
    text: String,
}

/// Crosses out an entry; false if there is none of that number.
#[farcall::message(result = bool)]
struct Done {
    number: u32,
}

#[farcall::message(result = Vec<Entry>)]
struct Show;

#[derive(RemoteActor)]
#[remote(AddEntry, Done, Show)]
struct List {
    entries: Vec<Entry>,
}

impl Actor for List {
    type Context = Context<Self>;
}

impl Handler<AddEntry> for List {
    type Result = u32;

    fn handle(&mut self, AddEntry { text }: AddEntry, _: &mut Context<Self>) -> u32 {
        self.entries.push(Entry { text, done: false });
        u32::try_from(self.entries.len()).unwrap_or(u32::MAX)
    }
}

impl Handler<Done> for List {
    type Result = bool;

    fn handle(&mut self, Done { number }: Done, _: &mut Context<Self>) -> bool {
        let place = number.checked_sub(1).and_then(|place| usize::try_from(place).ok());
        let entry = place.and_then(|place| self.entries.get_mut(place));
        entry.map(|entry| entry.done = true).is_some()
    }
}

impl Handler<Show> for List {
    type Result = Vec<Entry>;

    fn handle(&mut self, _: Show, _: &mut Context<Self>) -> Vec<Entry> {
        self.entries.clone()
    }
}

/// The node that has lists: each name of a list leads to one of them, always the same.
struct Desk {
    node: Node,
    keepers: Vec<Target>,
}

impl Desk {
    /// Rendezvous hashing: when a keeper is added, only the lists move that it gets.
    fn keeper(&self, list: &str) -> Result<&Target, Box<dyn Error>> {
        let weight = |keeper: &&Target| farcall::Key::new(format_args!("{} {list}", keeper.node())).hash();
        self.keepers.iter().max_by_key(weight).ok_or_else(|| "nobody keeps lists".into())
    }

    /// The list of this name, which is there.
    fn list(&self, name: &str) -> Result<Remote<List>, Box<dyn Error>> {
        Ok(self.node.actor(&format!("todo.{name}"), self.keeper(name)?))
    }

    /// The list of this name, which is begun if it is not there.
    async fn open(&self, name: &str) -> Result<Remote<List>, Box<dyn Error>> {
        let (actor, args) = (format!("todo.{name}"), Named { first: format!("tidy up the {name}") });
        let begun =
            self.node.spawn_remote::<List, _>(self.keeper(name)?, "todo", args).name(&actor).detached();
        match begun.await {
            Ok(spawned) => {
                println!("a list is begun: {name}");
                Ok(spawned.actor)
            }
            // Somebody else was first.
            Err(SpawnError::Refused { refused: SpawnRefused::Register(_), .. }) => self.list(name),
            Err(error) => Err(error.into()),
        }
    }
}

#[actix::main]
async fn main() -> Result<(), Box<dyn Error>> {
    env_logger::init();
    let any_port: SocketAddr = ([127, 0, 0, 1], 0).into();
    let mut keepers = Vec::new();
    let mut builder = Node::builder("desk@127.0.0.1").no_listener();
    for name in ["north@127.0.0.1", "south@127.0.0.1"] {
        let keeper = Node::builder(name).listen([any_port]).start().await?;
        keeper.factory("todo", |list: Named| {
            List { entries: vec![Entry { text: list.first, done: false }] }.start()
        });
        builder = builder.node(keeper.name(), keeper.listening_on()[0].to_string());
        keepers.push(keeper);
    }
    let targets = keepers.iter().map(|keeper| Target::from(keeper.name())).collect();
    let desk = Desk { node: builder.start().await?, keepers: targets };

    let missing = desk.list("garden")?.call(Show).await;
    println!(
        "before anything: {}",
        missing.err().map_or("it is there".to_owned(), |error| error.reason().to_owned())
    );
    let garden = desk.open("garden").await?;
    for text in ["sow carrots", "mow the lawn"] {
        garden.call(AddEntry { text: text.to_owned() }).await?;
    }
    println!("crossed out: {}", garden.call(Done { number: 1 }).await?);
    println!("a seventh one: {}", garden.call(Done { number: 7 }).await?);
    // Opened again it is the same list; its name is all that one has to know.
    desk.open("garden").await?.call(AddEntry { text: "buy seeds".to_owned() }).await?;
    desk.open("office").await?.call(AddEntry { text: "call Ada".to_owned() }).await?;
    for list in ["garden", "office"] {
        println!("{list}:");
        for Entry { text, done } in desk.list(list)?.call(Show).await? {
            println!("  [{}] {text}", if done { 'x' } else { ' ' });
        }
    }
    let kept: usize = keepers
        .iter()
        .map(|keeper| keeper.names().iter().filter(|name| name.starts_with("todo.")).count())
        .sum();
    println!("{kept} lists on two nodes");
    for node in keepers.iter().chain([&desk.node]) {
        node.shutdown().await;
    }
    Ok(())
}
