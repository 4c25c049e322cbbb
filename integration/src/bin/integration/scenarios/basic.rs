//! What gen_rpc's own integration suite does, and every other operation.

use std::time::Duration;

use farcall_integration::control::Ask;

use crate::fault::{Result, unless};
use crate::lab::Lab;
use crate::shell::eventually;

pub(super) fn call(lab: &mut Lab) -> Result<String> {
    let mut answers = 0;
    for node in 0..lab.count() {
        let peers: Vec<String> = lab.others(&[node]).into_iter().map(|peer| lab.name(peer)).collect();
        for peer in &peers {
            let told = lab.lines(node, &Ask::Clock { peer: peer.clone() })?;
            unless(told == [peer.clone()], || {
                format!("{} called {peer}, and {told:?} answered", lab.name(node))
            })?;
            answers += 1;
        }
        same(lab.status(node)?.nodes, peers, || format!("nodes() of {}", lab.name(node)))?;
    }
    Ok(format!("{answers} answers"))
}

pub(super) fn multicall(lab: &mut Lab) -> Result<String> {
    let all: Vec<String> = lab.others(&[]).into_iter().map(|node| lab.name(node)).collect();
    for node in 0..lab.count() {
        same(lab.lines(node, &Ask::Multicall)?, all.clone(), || {
            format!("the multicall of {}", lab.name(node))
        })?;
    }
    Ok(format!("{} answers to each of {}", all.len(), all.len()))
}

fn same(mut told: Vec<String>, mut expected: Vec<String>, what: impl Fn() -> String) -> Result<()> {
    told.sort();
    expected.sort();
    unless(told == expected, || format!("{}: {told:?}, and not {expected:?}", what()))
}

pub(super) fn remote_socket_close(lab: &mut Lab) -> Result<String> {
    let own = lab.name(0);
    for peer in lab.others(&[0]) {
        let inbound = lab.status(peer)?.inbound;
        let acceptors = inbound.iter().filter(|from| **from == own).count();
        unless(acceptors == 1, || format!("{} has {acceptors} acceptors of {own}", lab.name(peer)))?;
        let killed = lab.lines(peer, &Ask::KillAcceptors { from: own.clone() })?;
        unless(killed == ["1"], || format!("{killed:?} acceptors were stopped"))?;
    }
    eventually("no peer is in nodes()", Duration::from_secs(1), || {
        let nodes = lab.status(0)?.nodes;
        unless(nodes.is_empty(), || format!("{nodes:?}"))
    })?;
    Ok(format!("{} connections gone", lab.count() - 1))
}

pub(super) fn operations(lab: &mut Lab) -> Result<String> {
    for node in 0..lab.count() {
        let wrong = lab.lines(node, &Ask::Operations)?;
        unless(wrong.is_empty(), || format!("{}: {}", lab.name(node), wrong.join("; ")))?;
    }
    Ok(format!("{} nodes, each with all and itself", lab.count()))
}
