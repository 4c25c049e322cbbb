//! Many nodes at once: multicall, abcast, sbcast and eval_everywhere over three nodes, one of which is not there.
//!
//! `cargo run -p farcall-examples --bin broadcast` ends by itself.

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::error::Error;
use std::time::Duration;

use actix::prelude::*;
use farcall::prelude::*;

#[farcall::message]
struct Put {
    word: String,
}

#[farcall::message(result = Vec<String>)]
struct Words;

#[farcall::message]
struct Forget;

#[derive(Default, RemoteActor)]
#[remote(Put, Words)]
struct Board {
    words: Vec<String>,
}

impl Actor for Board {
    type Context = Context<Self>;
}

impl Handler<Put> for Board {
    type Result = ();

    fn handle(&mut self, put: Put, _: &mut Context<Self>) {
        self.words.push(put.word);
    }
}

impl Handler<Words> for Board {
    type Result = Vec<String>;

    fn handle(&mut self, _: Words, _: &mut Context<Self>) -> Vec<String> {
        self.words.clone()
    }
}

/// Not listed in `remote`, so no other node can send it; the function below can.
impl Handler<Forget> for Board {
    type Result = ();

    fn handle(&mut self, _: Forget, _: &mut Context<Self>) {
        self.words.clear();
    }
}

/// A node with a board, and a function that clears it.
async fn node(builder: farcall::NodeBuilder) -> Result<Node, Box<dyn Error>> {
    let node = builder.listen([([127, 0, 0, 1], 0).into()]).start().await?;
    let board = Board::default().start();
    node.register("board", board.clone())?.keep();
    // Each request runs in a task of its own; what it answers is the answer.
    node.serve("clear", move |forget: Forget| {
        let board = board.clone();
        async move { board.send(forget).await.unwrap_or_default() }
    })?;
    Ok(node)
}

#[actix::main]
async fn main() -> Result<(), Box<dyn Error>> {
    env_logger::init();
    let beta = node(Node::builder("beta@127.0.0.1")).await?;
    let gamma = node(Node::builder("gamma@127.0.0.1")).await?;
    let mut builder = Node::builder("alpha@127.0.0.1");
    for other in [&beta, &gamma] {
        let address = other.listening_on().first().ok_or("every node here listens")?.to_string();
        builder = builder.node(other.name().as_str(), address);
    }
    // Nobody listens at port 1.
    let alpha = node(builder.node("nowhere@127.0.0.1", "127.0.0.1:1")).await?;
    let all = ["alpha@127.0.0.1", "beta@127.0.0.1", "gamma@127.0.0.1", "nowhere@127.0.0.1"];
    let all = all.iter().map(|name| name.parse()).collect::<Result<Vec<Target>, _>>()?;

    // sbcast waits until the mailbox of each has it, and says where it is and where not.
    let report = alpha.sbcast(&all, "board", Put { word: "one".into() }).await;
    println!("sbcast: delivered to {:?}", report.delivered);
    for (target, error) in &report.failed {
        println!("sbcast: not to {target}: {error}");
    }

    // abcast does not wait. `All` is this node and every node it is connected to.
    let report = alpha.abcast(All, "board", Put { word: "two".into() });
    println!("abcast: on its way to {:?}", report.queued);

    // multicall asks all at once, with one deadline for the whole; the answers come in the order of the targets.
    for (target, answer) in alpha.multicall(&all, "board", Words).timeout(Duration::from_secs(2)).await {
        match answer {
            Ok(words) => println!("multicall: {target} has {words:?}"),
            Err(error) => println!("multicall: {target} says nothing, {} ({error})", error.class()),
        }
    }

    // eval_everywhere runs a served function on each, without waiting for it; a call to the same function waits.
    alpha.eval_everywhere(All, "clear", Forget);
    for target in all.iter().take(3) {
        alpha.call(target, "clear", Forget).await?;
    }
    let left: usize = alpha
        .multicall(All, "board", Words)
        .await
        .into_iter()
        .map(|(_, words)| words.map_or(1, |words| words.len()))
        .sum();
    println!("eval_everywhere: {left} words are left");
    Ok(())
}
