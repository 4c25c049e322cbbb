//! Two nodes in two terminals. Beta has an actor; alpha calls it.
//!
//! ```sh
//! cargo run -p farcall-examples --bin two_terminals beta     # first terminal; stop it with Ctrl-C
//! cargo run -p farcall-examples --bin two_terminals alpha    # second terminal; ends by itself
//! ```
//! Start them in any order. Both use the cookie file in your configuration folder, which the first one makes: nodes
//! with different cookies do not talk to each other. Two ports behind the role replace 5471 (alpha) and 5472 (beta).

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::error::Error;
use std::time::Duration;

use actix::prelude::*;
use farcall::CookieFile;
use farcall::prelude::*;

#[farcall::message(result = Greeting)]
struct Greet {
    name: String,
}

/// What comes back may be any type that is `data`.
#[farcall::data]
struct Greeting {
    text: String,
    greeted_before: u64,
}

#[derive(Default, RemoteActor)]
#[remote(Greet)]
struct Greeter {
    greeted: u64,
}

impl Actor for Greeter {
    type Context = Context<Self>;
}

impl Handler<Greet> for Greeter {
    type Result = MessageResult<Greet>;

    fn handle(&mut self, greet: Greet, _: &mut Context<Self>) -> Self::Result {
        println!("beta: {} says hello", greet.name);
        let greeted_before = self.greeted;
        self.greeted += 1;
        MessageResult(Greeting { text: format!("hello {}", greet.name), greeted_before })
    }
}

#[actix::main]
async fn main() -> Result<(), Box<dyn Error>> {
    env_logger::init();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["beta"] => beta("5472").await,
        ["alpha"] => alpha("5471", "5472").await,
        ["beta", _, port] => beta(port).await,
        ["alpha", port, port_of_beta] => alpha(port, port_of_beta).await,
        _ => Err("say which one: two_terminals alpha|beta [PORT_OF_ALPHA PORT_OF_BETA]".into()),
    }
}

/// Answers until Ctrl-C.
async fn beta(port: &str) -> Result<(), Box<dyn Error>> {
    // A name may carry the port: the node listens there, and everybody who knows the name can dial it.
    let node = Node::builder(format!("beta@127.0.0.1:{port}")).start().await?;
    node.register("greeter", Greeter::default().start())?.keep();
    println!("beta: {} is up, its cookie is in {}", node.name(), CookieFile::default_path()?.display());
    println!("beta: waiting for alpha, stop me with Ctrl-C");
    tokio::signal::ctrl_c().await?;
    println!("beta: finishing what is in flight");
    node.shutdown().await;
    Ok(())
}

/// Calls beta three times.
async fn alpha(port: &str, port_of_beta: &str) -> Result<(), Box<dyn Error>> {
    let node = Node::builder(format!("alpha@127.0.0.1:{port}")).start().await?;
    let beta: Target = format!("beta@127.0.0.1:{port_of_beta}").parse()?;
    println!("alpha: {} is up, waiting a minute at most for the greeter on {beta}", node.name());
    // Resolves as soon as the name is registered there, even if beta does not run yet.
    node.wait_for_within(&beta, "greeter", Duration::from_secs(60)).await?;
    for name in ["Ada", "Grace", "Barbara"] {
        let greeting = node.call(&beta, "greeter", Greet { name: name.to_owned() }).await?;
        println!("alpha: beta says {:?}, it greeted {} before", greeting.text, greeting.greeted_before);
    }
    println!("alpha: a ping takes {:.0?}", node.ping(&beta).await?);
    node.shutdown().await;
    Ok(())
}
