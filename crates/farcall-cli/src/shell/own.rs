//! A console that is a node: others see it, and may call its actor `console`.

use std::net::SocketAddr;

use actix::{Actor, Context, Handler};
use farcall::config::{Config, Listen};
use farcall::{Driver, Node, NodeName, RemoteActor};

use crate::args::Options;
use crate::report::Report;
use crate::session;

/// Comes back as it is.
#[farcall::message(result = String)]
pub(super) struct Echo {
    text: String,
}

/// Printed in the console; how many were before.
#[farcall::message(result = u64)]
pub(super) struct Say {
    text: String,
}

/// The actor of a console.
#[derive(RemoteActor)]
#[remote(Echo, Say)]
struct Console {
    said: u64,
    print: Box<dyn Fn(String)>,
}

impl Actor for Console {
    type Context = Context<Self>;
}

impl Handler<Echo> for Console {
    type Result = String;
    fn handle(&mut self, echo: Echo, _: &mut Context<Self>) -> String {
        echo.text
    }
}

impl Handler<Say> for Console {
    type Result = u64;
    fn handle(&mut self, say: Say, _: &mut Context<Self>) -> u64 {
        self.said += 1;
        (self.print)(format!("somebody says: {}", say.text));
        self.said - 1
    }
}

/// Starts the node of a console, with its actor.
pub(super) async fn start(
    name: &NodeName,
    listen: Option<SocketAddr>,
    options: &Options,
    print: impl Fn(String) + 'static,
) -> Result<Node, Report> {
    let mut config: Config = session::read(options.config.as_deref())?;
    session::lay_over(options, &mut config);
    config.name = Some(name.clone());
    if let Some(path) = &options.cookie_file {
        config.cookie_file = Some(path.clone());
    }
    if let Some(address) = listen {
        let on = Listen::On(vec![address]);
        match config.driver {
            Driver::Tcp => config.tcp.listen = on,
            Driver::Tls => config.tls.listen = on,
        }
    }
    let remedy = "choose another --name or --listen address; over TLS it needs a --certificate for its name";
    let node = Node::from_config(config).start().await;
    let node = node.map_err(|error| Report::here("start", session::chain(&error), remedy))?;
    let console = Console { said: 0, print: Box::new(print) }.start();
    let guard = node.register("console", console);
    guard.map_err(|error| Report::here("start", error.to_string(), ""))?.keep();
    Ok(node)
}
