//! Whole calls: two nodes in one process, over loopback, through the public API.
//!
//! Nothing here waits for a clock: heartbeats and deadlines are an hour away, so no timer fires while it is counted.
//! How much a socket takes at a time is set, because the kernel would change its mind about it over time.

use std::error::Error;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use actix::prelude::*;
use farcall::prelude::*;
use farcall::{Cookie, NodeBuilder};
use tokio::sync::{Barrier, oneshot};

use crate::messages::{Answerer, LARGE_BYTES, Large, Small, Tell};
use crate::meter::Meter;

type Failure = Box<dyn Error>;

/// What is asked of the answering node.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Traffic {
    /// Small calls, so many of them outstanding at any time, each a task as in an application.
    Calls { outstanding: u64 },
    /// Casts, so many at a time; the last of them is confirmed, which keeps the nodes in step.
    Casts { at_a_time: u64 },
    /// Large calls, one after the other.
    Large,
}

/// Which threads the nodes are on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Placement {
    /// The calling node on this thread, the answering one on the first that is started: each is counted by itself.
    Apart,
    /// Both on this thread: how they take turns depends on nothing but themselves. Only the sum is counted.
    Together,
}

/// Runs the traffic.
pub(crate) fn run(traffic: Traffic, placement: Placement, per_segment: u64) -> Result<(), Failure> {
    System::new().block_on(async {
        let address = answering_node(placement, per_segment).await?;
        let node = builder("client@127.0.0.1")?.node("server@127.0.0.1", address.to_string()).start().await?;
        let server: Target = "server@127.0.0.1".parse()?;
        node.wait_for(&server, "answerer").await?;
        let meter = Rc::new(Meter::new(per_segment));
        match traffic {
            Traffic::Calls { outstanding } => {
                let start = Rc::new(Barrier::new(usize::try_from(outstanding)?));
                let calls: Vec<_> = (0..outstanding)
                    .map(|_| {
                        actix_rt::spawn(calls(node.clone(), server.clone(), meter.clone(), start.clone()))
                    })
                    .collect();
                for call in calls {
                    call.await??;
                }
                Ok(())
            }
            Traffic::Casts { at_a_time } => Ok(casts(&node, &server, &meter, at_a_time).await?),
            Traffic::Large => large(&node, &server, &meter).await,
        }
    })
}

async fn answering_node(placement: Placement, per_segment: u64) -> Result<SocketAddr, Failure> {
    let builder = builder("server@127.0.0.1")?.listen([SocketAddr::from(([127, 0, 0, 1], 0))]);
    let start = async move {
        // On a thread of its own it marks its own segments; together one of the two does.
        let meter = match placement {
            Placement::Apart => Meter::new(per_segment),
            Placement::Together => Meter::silent(),
        };
        let node = builder.start().await.map_err(|error| error.to_string())?;
        let guard =
            node.register("answerer", Answerer { meter }.start()).map_err(|error| error.to_string())?;
        guard.keep();
        let address = node.listening_on().first().copied();
        // It lives as long as the process.
        std::mem::forget(node);
        address.ok_or_else(|| "not listening".to_owned())
    };
    match placement {
        Placement::Together => Ok(start.await?),
        Placement::Apart => {
            let (told, address) = oneshot::channel();
            // If nobody waits for the address, the process is about to end.
            Arbiter::new().spawn(async move { drop(told.send(start.await)) });
            Ok(address.await??)
        }
    }
}

/// A node whose timers do not fire while it is looked at.
fn builder(name: &str) -> Result<NodeBuilder, Failure> {
    let cookie = Cookie::new(b"a cookie for counting on loopback only")?;
    Ok(Node::builder(name).no_listener().cookie(cookie).configure(|config| {
        config.call_timeout = FAR;
        config.tick = FAR;
        config.tcp.send_buffer_bytes = Some(SOCKET_BYTES);
        config.tcp.recv_buffer_bytes = Some(SOCKET_BYTES);
        config.write_stall_timeout = FAR;
    }))
}

const FAR: Duration = Duration::from_secs(3600);

/// As much as a kernel allows that nobody has configured.
const SOCKET_BYTES: usize = 212_992;

async fn calls(node: Node, server: Target, meter: Rc<Meter>, start: Rc<Barrier>) -> Result<(), CallError> {
    while !meter.is_warm() {
        node.call(&server, "answerer", Small::sample()).await?;
        meter.finish(1);
    }
    // However they came to be spread over the batches so far, from here on they travel in one.
    start.wait().await;
    while meter.goes_on() {
        node.call(&server, "answerer", Small::sample()).await?;
        meter.finish(1);
    }
    Ok(())
}

async fn casts(node: &Node, server: &Target, meter: &Meter, at_a_time: u64) -> Result<(), CallError> {
    let tell = Tell { small: Small::sample() };
    while meter.goes_on() {
        for _ in 1..at_a_time {
            node.cast(server, "answerer", tell.clone())?;
        }
        node.cast(server, "answerer", tell.clone()).acked().await?;
        meter.finish(at_a_time);
    }
    Ok(())
}

async fn large(node: &Node, server: &Target, meter: &Meter) -> Result<(), Failure> {
    let bytes: Vec<u8> = b"farcall ".iter().copied().cycle().take(LARGE_BYTES).collect();
    while meter.goes_on() {
        let answer = node.call(server, "answerer", Large { bytes: bytes.clone() }).await?;
        if answer.len() != bytes.len() {
            return Err("a wrong answer".into());
        }
        meter.finish(1);
    }
    Ok(())
}
