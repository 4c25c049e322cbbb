//! A service as it is deployed: its settings come from outside, and it stops in good order.
//!
//! ```sh
//! FARCALL_NAME=greeter@127.0.0.1 cargo run -p farcall-examples --bin service
//! ```
//! In a second terminal, `farcall call greeter@127.0.0.1 greeter Greet '{"name":"Ada"}'`, and then Ctrl-C or a SIGTERM in the
//! first. The manual's page about containers puts this program into an image.

use std::error::Error;
use std::process::ExitCode;

use actix::prelude::*;
use farcall::prelude::*;
use tokio::signal::unix::{SignalKind, signal};

#[farcall::message(result = String)]
struct Greet {
    name: String,
}

#[derive(RemoteActor)]
#[remote(Greet)]
struct Greeter;

impl Actor for Greeter {
    type Context = Context<Self>;
}

impl Handler<Greet> for Greeter {
    type Result = String;

    fn handle(&mut self, greet: Greet, _: &mut Context<Self>) -> String {
        format!("hello {}", greet.name)
    }
}

#[actix::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    // Asked for first: a stop that comes while it starts is a stop.
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    // farcall.toml, if there is one, and FARCALL_* variables.
    let node = Node::from_config(Config::load()?).start().await?;
    node.register("greeter", Greeter.start())?.keep();
    tokio::select! {
        _ = terminate.recv() => (),
        _ = interrupt.recv() => (),
    }
    // Finishes what is in flight, for drain_timeout at most. 4 says that something was left.
    Ok(if node.shutdown().await { ExitCode::SUCCESS } else { ExitCode::from(4) })
}
