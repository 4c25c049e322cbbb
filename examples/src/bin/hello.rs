//! The smallest cluster: two nodes in one process, and one call from one to the other.
//!
//! `cargo run -p farcall-examples --bin hello` prints one line and ends.

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use actix::prelude::*;
use farcall::prelude::*;

/// A message is a plain struct; `result` is what the caller gets back.
#[farcall::message(result = String)]
struct Greet {
    name: String,
}

/// An actor lists what other nodes may send to it. Nothing else can be called from outside.
#[derive(RemoteActor)]
#[remote(Greet)]
struct Greeter;

impl Actor for Greeter {
    type Context = Context<Self>;
}

/// The handler is an ordinary actix handler: it does not know where the message came from.
impl Handler<Greet> for Greeter {
    type Result = String;

    fn handle(&mut self, greet: Greet, _: &mut Context<Self>) -> String {
        format!("hello {}", greet.name)
    }
}

#[actix::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    env_logger::init();

    // A node listens at the host and port of its name; a name without a port means 5369. Port 0 takes a free one.
    let beta = Node::builder("beta@127.0.0.1").listen([([127, 0, 0, 1], 0).into()]).start().await?;
    // The name stays registered as long as this guard lives.
    let _guard = beta.register("greeter", Greeter.start())?;

    // Alpha only asks, so it listens nowhere; where beta is, it is told, since beta took any free port.
    let address = beta.listening_on().first().ok_or("beta listens")?.to_string();
    let alpha =
        Node::builder("alpha@127.0.0.1").no_listener().node("beta@127.0.0.1", address).start().await?;

    // The connection is made by the first call.
    let target = Target::from(beta.name());
    let answer = alpha.call(&target, "greeter", Greet { name: "alpha".to_owned() }).await?;
    println!("{target} answered: {answer}");
    Ok(())
}
