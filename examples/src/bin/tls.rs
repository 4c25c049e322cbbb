//! Two nodes that speak TLS and know each other by certificates. Beta has an actor; alpha calls it.
//!
//! ```sh
//! cargo run -q -p farcall-cli -- cert ca                                    # once: an authority
//! cargo run -q -p farcall-cli -- cert node alpha@127.0.0.1 beta@127.0.0.1   # once: a certificate for each node
//! cargo run -p farcall-examples --bin tls beta      # first terminal; stop it with Ctrl-C
//! cargo run -p farcall-examples --bin tls alpha     # second terminal; ends by itself
//! ```
//! Start them in any order. The certificates are in the folder `tls` beside the cookie file. The cookie counts too:
//! whoever wants in needs both, unless `tls.auth` says otherwise. Beta listens on 127.0.0.1:5370; a port behind the
//! role replaces 5370.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "an example shows what happens")]

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use actix::prelude::*;
use farcall::config::TlsConfig;
use farcall::prelude::*;
use farcall::{CookieFile, Driver, NodeBuilder};

const ALPHA: &str = "alpha@127.0.0.1";
const BETA: &str = "beta@127.0.0.1";

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
        println!("beta: {} says hello", greet.name);
        format!("hello {}, nobody else has read this", greet.name)
    }
}

#[actix::main]
async fn main() -> ExitCode {
    env_logger::init();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let port = arguments.get(1).map_or(Ok(TlsConfig::PORT_DEFAULT), |port| port.parse());
    let ended = match (arguments.first().map(String::as_str), port) {
        (Some("beta"), Ok(port)) => beta(port).await,
        (Some("alpha"), Ok(port)) => alpha(port).await,
        _ => Err("say which one: tls alpha|beta [PORT_OF_BETA]".into()),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A node that speaks TLS, with the files that `farcall cert node` made for it. The command prints these settings as
/// a part of a configuration file; with `Node::from_config(Config::load()?)` there is nothing of them in the program.
fn node(name: &str) -> Result<NodeBuilder, Box<dyn Error>> {
    let folder = CookieFile::default_path()?.with_file_name("tls");
    let [certificate, key, ca] =
        [format!("{name}.pem"), format!("{name}-key.pem"), "ca.pem".to_owned()].map(|file| folder.join(file));
    if let Some(missing) = [&certificate, &key, &ca].into_iter().find(|file| !file.exists()) {
        let missing = missing.display();
        return Err(format!(
            "{missing} is not there. These two commands make all that is needed:\n  \
             cargo run -q -p farcall-cli -- cert ca\n  \
             cargo run -q -p farcall-cli -- cert node {ALPHA} {BETA}"
        )
        .into());
    }
    Ok(Node::builder(name).driver(Driver::Tls).configure(|config| {
        (config.tls.certificate, config.tls.key) = (Some(certificate), Some(key));
        config.tls.ca = vec![ca];
    }))
}

/// Answers until Ctrl-C.
async fn beta(port: u16) -> Result<(), Box<dyn Error>> {
    let node = node(BETA)?.listen_tls([SocketAddr::from((Ipv4Addr::LOCALHOST, port))]).start().await?;
    node.register("greeter", Greeter.start())?.keep();
    println!("beta: {} listens for TLS on {:?}, stop me with Ctrl-C", node.name(), node.listening_on());
    tokio::signal::ctrl_c().await?;
    node.shutdown().await;
    Ok(())
}

/// Calls beta, and then somebody who does not exist.
async fn alpha(port: u16) -> Result<(), Box<dyn Error>> {
    let address = format!("127.0.0.1:{port}");
    // Alpha only dials, and shows its certificate all the same.
    let builder = node(ALPHA)?.no_listener().node(BETA, &address);
    let node = builder.node("gamma@127.0.0.1", &address).start().await?;
    let (beta, gamma): (Target, Target) = (BETA.parse()?, "gamma@127.0.0.1".parse()?);
    println!("alpha: waiting a minute at most for beta at {address}");
    node.wait_for_within(&beta, "greeter", Duration::from_secs(60)).await?;
    let answer = node.call(&beta, "greeter", Greet { name: "alpha".to_owned() }).await?;
    println!("alpha: beta says {answer:?}");

    // A certificate speaks for one node. Whoever answers at gamma's address cannot show gamma's, so nothing is sent.
    match node.call(&gamma, "greeter", Greet { name: "alpha".to_owned() }).await {
        Ok(answer) => println!("alpha: gamma says {answer:?}, which cannot be"),
        Err(error) => println!("alpha: no gamma there: {error}"),
    }
    node.shutdown().await;
    Ok(())
}
