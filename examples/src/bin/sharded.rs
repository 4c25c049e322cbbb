//! Keys: a connection of its own for each user, room or shard, so that one cannot hold up another.
//!
//! `cargo run -p farcall-examples --bin sharded` ends by itself.

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::collections::BTreeMap;

use actix::prelude::*;
use farcall::prelude::*;

#[farcall::message(result = u64)]
struct Deposit {
    user: String,
    cents: u64,
}

#[farcall::message(result = Vec<u64>)]
struct History {
    user: String,
}

#[derive(Default, RemoteActor)]
#[remote(Deposit, History)]
struct Bank {
    accounts: BTreeMap<String, Vec<u64>>,
}

impl Actor for Bank {
    type Context = Context<Self>;
}

impl Handler<Deposit> for Bank {
    type Result = u64;

    fn handle(&mut self, deposit: Deposit, _: &mut Context<Self>) -> u64 {
        let account = self.accounts.entry(deposit.user).or_default();
        account.push(deposit.cents);
        account.iter().sum()
    }
}

impl Handler<History> for Bank {
    type Result = Vec<u64>;

    fn handle(&mut self, history: History, _: &mut Context<Self>) -> Vec<u64> {
        self.accounts.get(&history.user).cloned().unwrap_or_default()
    }
}

#[actix::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    env_logger::init();
    let beta_node = Node::builder("beta@127.0.0.1").listen([([127, 0, 0, 1], 0).into()]).start().await?;
    beta_node.register("bank", Bank::default().start())?.keep();
    let address = beta_node.listening_on().first().ok_or("beta listens")?.to_string();
    // Keys beyond this number share connections by their hash.
    let alpha = Node::builder("alpha@127.0.0.1")
        .no_listener()
        .node("beta@127.0.0.1", address)
        .configure(|config| config.connections_per_node_max = 16)
        .start()
        .await?;
    let beta = Target::from(beta_node.name());

    // Any printable value is a key; only its hash is kept, and nothing of it goes over the wire.
    let users = ["ada", "grace", "barbara"];
    for cents in 1..=5 {
        for user in users {
            let to = beta.with_key(user);
            alpha.cast(&to, "bank", Deposit { user: user.to_owned(), cents })?;
        }
    }

    // Order is promised for one sender, target with its key, and actor: each user's deposits arrive as they were sent.
    for user in users {
        let to = beta.with_key(user);
        let history = alpha.call(&to, "bank", History { user: user.to_owned() }).await?;
        println!("{user:8} {history:?} over {to}");
    }
    println!("connections to {}: {}", beta.node(), alpha.connections(beta.node()));
    Ok(())
}
