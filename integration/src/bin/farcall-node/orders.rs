//! What the harness asks, and what it is told.

use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use farcall::prelude::*;
use farcall_integration::control::{Answer, Ask, SOCKET, Status};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};

use crate::actors::{Drop, Now};
use crate::cluster::Cluster;
use crate::load::{Loader, words};
use crate::{Here, operations, vitals};

/// Listens in the node's folder from now on.
pub(crate) fn serve(here: Rc<Here>, loader: Rc<Loader>, cluster: Rc<Cluster>) -> io::Result<()> {
    let path = here.folder.join(SOCKET);
    // What the last life left behind.
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path)?;
    // The harness may be another user than this node.
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o666))?;
    actix_rt::spawn(async move {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    actix_rt::spawn(one(stream, here.clone(), loader.clone(), cluster.clone()));
                }
                // No file left for it: that is one of the scenarios.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    });
    Ok(())
}

async fn one(stream: UnixStream, here: Rc<Here>, loader: Rc<Loader>, cluster: Rc<Cluster>) {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    if stream.read_line(&mut line).await.is_err() {
        return;
    }
    let answer = match serde_json::from_str(&line) {
        Ok(ask) => follow(ask, &here, &loader, &cluster).await,
        Err(error) => Answer::Failed(format!("what was asked makes no sense: {error}")),
    };
    let Ok(mut line) = serde_json::to_string(&answer) else { return };
    line.push('\n');
    // A harness that has gone needs no answer.
    let _ = stream.write_all(line.as_bytes()).await;
}

async fn follow(ask: Ask, here: &Here, loader: &Loader, cluster: &Cluster) -> Answer {
    let node = &here.node;
    match ask {
        Ask::Status => Answer::Status(Box::new(status(here, loader))),
        Ask::Load(load) => {
            loader.set(load);
            Answer::Done
        }
        Ask::Operations => Answer::Lines(operations::all(here).await),
        Ask::Probe { peer, limit_ms } => match peer.parse() {
            Ok(peer) => probe(node, &peer, limit_ms).await,
            Err(error) => Answer::Failed(format!("{peer}: {error}")),
        },
        Ask::Multicall => {
            let answers = node.multicall(All, "clock", Now).await;
            Answer::Lines(answers.into_iter().map(|(_, answer)| named(answer)).collect())
        }
        Ask::Clock { peer } => match peer.parse::<Target>() {
            Ok(peer) => Answer::Lines(vec![named(node.call(&peer, "clock", Now).await)]),
            Err(error) => Answer::Failed(format!("{peer}: {error}")),
        },
        Ask::KillAcceptors { from } => match from.parse() {
            Ok(from) => Answer::Lines(vec![node.kill_acceptors(&from).to_string()]),
            Err(error) => Answer::Failed(format!("{from}: {error}")),
        },
        Ask::Flood { peer, bytes, count } => match peer.parse() {
            Ok(peer) => flood(node, &peer, usize::try_from(bytes).unwrap_or(usize::MAX), count).await,
            Err(error) => Answer::Failed(format!("{peer}: {error}")),
        },
        Ask::Large { peer, bytes, limit_ms } => match peer.parse() {
            Ok(peer) => {
                let begun = Instant::now();
                let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
                outcome(loader.large(&peer, bytes, limit_ms).await.map(|_| String::new()), begun)
            }
            Err(error) => Answer::Failed(format!("{peer}: {error}")),
        },
        Ask::Watch { peer, count } => match peer.parse() {
            Ok(peer) => cluster.watch(&peer, count).map_or_else(Answer::Failed, |()| Answer::Done),
            Err(error) => Answer::Failed(format!("{peer}: {error}")),
        },
        Ask::Spawn { peer, name, detached } => match peer.parse() {
            Ok(peer) => {
                cluster.spawn(&peer, name, detached).await.map_or_else(Answer::Failed, |()| Answer::Done)
            }
            Err(error) => Answer::Failed(format!("{peer}: {error}")),
        },
        Ask::Names => Answer::Lines(node.names()),
        Ask::Members => Answer::Lines(cluster.members()),
        Ask::CallService { calls_per_s } => {
            cluster.call_service(calls_per_s);
            Answer::Done
        }
        Ask::Burn { threads, ms } => {
            vitals::burn(threads, Duration::from_millis(ms));
            Answer::Done
        }
        Ask::HoldFiles { ms } => match vitals::hold_files(Duration::from_millis(ms)) {
            Ok(()) => Answer::Done,
            Err(why) => Answer::Failed(why),
        },
    }
}

fn status(here: &Here, loader: &Loader) -> Status {
    let (node, metrics) = (&here.node, here.node.metrics());
    let names = |names: Vec<NodeName>| names.iter().map(ToString::to_string).collect();
    Status {
        incarnation: node.incarnation().to_string(),
        nodes: names(node.nodes()),
        inbound: names(node.inbound()),
        pending: loader.pending(),
        unsent_bytes: here.peers.iter().map(|peer| node.load(peer.node()).1 as u64).sum(),
        dials: metrics.dials,
        lost: metrics.clients_lost,
        protocol_errors: metrics.protocol_errors,
        monitors: node.monitors().1 as u64,
        resident_bytes: vitals::resident_bytes(),
        files: vitals::files(),
        threads: vitals::threads(),
    }
}

async fn probe(node: &Node, peer: &Target, limit_ms: u64) -> Answer {
    let begun = Instant::now();
    let answer = node.call(peer, "clock", Now).timeout(Duration::from_millis(limit_ms)).await;
    outcome(answer.map(|(name, _)| name), begun)
}

fn outcome(outcome: Result<String, CallError>, begun: Instant) -> Answer {
    let us = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
    let class = words(outcome.as_ref().err()).0;
    let text = outcome.unwrap_or_else(|error| format!("{}: {error}", error.reason()));
    Answer::Outcome { class, text, us }
}

fn named(answer: Result<(String, u64), CallError>) -> String {
    answer.map_or_else(|error| error.to_string(), |(name, _)| name)
}

/// Offers them as fast as they are taken; what the queue has no room for is refused and counted.
async fn flood(node: &Node, peer: &Target, bytes: usize, count: u64) -> Answer {
    let (mut accepted, mut full, mut longest_us) = (0, 0, 0);
    for nth in 0..count {
        let begun = Instant::now();
        let sent = node.cast(peer, "ledger", Drop { filler: vec![0x5a; bytes] });
        longest_us = longest_us.max(u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX));
        match sent {
            Ok(_) => accepted += 1,
            Err(error) if error.reason() == "queue_full" => full += 1,
            Err(error) => return Answer::Failed(error.to_string()),
        }
        if nth % 16 == 15 {
            tokio::task::yield_now().await;
        }
    }
    Answer::Flooded { accepted, full, longest_us }
}
