//! Pages made by several services: a front calls header, navigation and content by what they do, not by where they are.
//!
//! `cargo run -p farcall-examples --bin page_builder` ends by itself.
//!
//! ```text
//!             front ── looks for "^header", "^navigation", "^content"
//!            ╱  │   ╲
//!     header1   │    content1   restarted while pages are made
//!     header2   │    content2
//!          navigation            those below know only the front
//! ```
//! Each of them is a node, here in one process, and could be on a machine of its own.

#![expect(clippy::print_stdout, reason = "an example shows what happens")]
#![expect(clippy::indexing_slicing, reason = "it has started five nodes, and each of them listens")]

use std::cell::Cell;
use std::error::Error;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use actix::prelude::*;
use farcall::prelude::*;
use farcall::services::{ServiceError, Services};

/// A part of a page, please.
#[farcall::message(result = String)]
struct Render {
    page: u64,
}

/// Makes one part of pages.
#[derive(RemoteActor)]
#[remote(Render)]
struct Part {
    service: &'static str,
}

impl Actor for Part {
    type Context = Context<Self>;
}

impl Handler<Render> for Part {
    type Result = String;

    fn handle(&mut self, render: Render, _: &mut Context<Self>) -> String {
        format!("<{} of page {}>", self.service, render.page)
    }
}

/// A node that offers one service, and looks for nobody.
async fn part(name: &str, service: &'static str, listen: SocketAddr) -> Result<Node, Box<dyn Error>> {
    let node = Node::builder(name).listen([listen]).start().await?;
    node.register("part", Part { service }.start())?.keep();
    node.services().offer(service, "part")?;
    Ok(node)
}

/// The node that looks for the others. Where they are, a discovery says, a port mapper, or as here the configuration.
async fn front(parts: &[Node]) -> Result<Node, Box<dyn Error>> {
    let mut builder = Node::builder("front@127.0.0.1").no_listener();
    for node in parts {
        builder = builder.node(node.name(), node.listening_on()[0].to_string());
    }
    let rules = ["^header[0-9]$ -> header", "^navigation$ -> navigation", "^content[0-9]$ -> content"];
    let look_for = |config: &mut Config| config.services.rules = rules.map(str::to_owned).into();
    Ok(builder.configure(look_for).start().await?)
}

/// Three calls at once, and a page of what they answer.
async fn page(services: &Services, page: u64) -> Result<String, ServiceError> {
    let parts = ["header", "navigation", "content"].map(|part| (part.to_owned(), Render { page }));
    let parts: Result<Vec<String>, _> = services.call_each(parts).await.into_iter().collect();
    Ok(parts?.join(" "))
}

/// Waits until so many nodes offer a service.
async fn offered(services: &Services, service: &str, nodes: usize) {
    while services.nodes(service).len() != nodes {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[actix::main]
async fn main() -> Result<(), Box<dyn Error>> {
    env_logger::init();
    let any_port: SocketAddr = ([127, 0, 0, 1], 0).into();
    let mut parts = Vec::new();
    for (name, service) in [
        ("header1@127.0.0.1", "header"),
        ("header2@127.0.0.1", "header"),
        ("navigation@127.0.0.1", "navigation"),
        ("content1@127.0.0.1", "content"),
        ("content2@127.0.0.1", "content"),
    ] {
        parts.push(part(name, service, any_port).await?);
    }
    let front = front(&parts).await?;
    let services = front.services().clone();
    for (service, nodes) in [("header", 2), ("navigation", 1), ("content", 2)] {
        offered(&services, service, nodes).await;
        println!("{service}: {nodes}");
    }
    println!("{}", page(&services, 1).await?);
    let known: Vec<_> = parts[0].nodes_that(farcall::cluster::NodeFilter::Connected);
    println!("header1 is connected with {} node: {}", known.len(), known[0]);

    // Pages are made without a pause, while one of the nodes is restarted.
    let (made, done) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(false)));
    let making = {
        let (services, made, done) = (services.clone(), made.clone(), done.clone());
        actix::spawn(async move {
            while !done.get() {
                page(&services, made.get()).await?;
                made.set(made.get() + 1);
            }
            Ok::<(), ServiceError>(())
        })
    };
    let content1 = parts.remove(3);
    let at = content1.listening_on()[0];
    content1.shutdown().await;
    println!("content1 has stopped, content is offered by {}", services.nodes("content").len());
    let content1 = part("content1@127.0.0.1", "content", at).await?;
    offered(&services, "content", 2).await;
    done.set(true);
    making.await??;
    println!("content1 is back; {} pages were made meanwhile, none was lost", made.get());

    for node in parts.iter().chain([&front, &content1]) {
        node.shutdown().await;
    }
    Ok(())
}
