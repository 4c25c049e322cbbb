//! Large messages, in fragments there and back, alone and many at once, and small calls beside them.

use std::time::{Duration, Instant};

use actix::prelude::*;
use farcall::prelude::*;
use futures::future::join_all;

use crate::fixture::{Add, Total, pair_with};

const MIB: usize = 1 << 20;

/// Comes back in reverse, so that it must have been read.
#[farcall::message(result = Turned)]
#[derive(Debug)]
struct Turn {
    bytes: Vec<u8>,
}

/// Bytes that travel as one block in an answer too.
#[farcall::data]
#[derive(Debug)]
struct Turned {
    bytes: Vec<u8>,
}

/// The same layout with the other type of bytes, and an answer that is nothing else.
#[farcall::message(result = bytes::Bytes)]
#[derive(Debug)]
struct Mirror {
    bytes: bytes::Bytes,
    label: Option<bytes::Bytes>,
}

/// Two nodes that take messages of this size, as many at once; the second one turns them.
async fn roomy(message_bytes: usize, at_once: usize) -> (Node, Node, Target) {
    let (message, all) = (message_bytes + MIB, (message_bytes + MIB) * at_once);
    let (alpha, beta_node, beta) = pair_with(|builder| {
        builder.configure(|config| {
            config.message_bytes_max = message;
            config.unsent_bytes_max = all + MIB;
            config.reassembly_bytes_max = all;
            config.mailbox_bytes_max = all;
            config.acceptor_bytes_max = all + MIB;
            // A debug build on a busy machine takes its time, and stands still while it copies.
            (config.call_timeout, config.tick) = (Duration::from_secs(120), Duration::from_secs(60));
            config.write_stall_timeout = Duration::from_secs(60);
        })
    })
    .await;
    // On a thread of its own, so that what the tests look at is not how fast a debug build copies.
    let apart = Arbiter::new();
    let (own, ready) = (beta_node.clone(), tokio::sync::oneshot::channel());
    let (tell, told) = ready;
    apart.spawn_fn(move || {
        own.serve("turn", |Turn { mut bytes }: Turn| async move {
            bytes.reverse();
            Turned { bytes }
        })
        .unwrap();
        tell.send(()).unwrap();
    });
    told.await.unwrap();
    (alpha, beta_node, beta)
}

/// Bytes in which no two blocks are alike; cheap in a debug build.
fn counted(bytes: usize, seed: u8) -> Vec<u8> {
    let mut all = vec![seed; bytes];
    for (block, start) in (0..bytes).step_by(4096).enumerate() {
        let mark = (block as u64).to_le_bytes();
        all[start..start + 8].copy_from_slice(&mark);
    }
    all
}

#[actix::test]
async fn a_message_of_256_mib_goes_there_and_back_in_fragments() {
    let (alpha, _beta_node, beta) = roomy(256 * MIB, 1).await;
    let bytes = counted(256 * MIB, 7);
    let mut turned = alpha.call(&beta, "turn", Turn { bytes: bytes.clone() }).await.unwrap().bytes;
    turned.reverse();
    assert!(turned == bytes, "{} bytes came back", turned.len());
    assert_eq!(
        (alpha.metrics().dials, alpha.metrics().clients_lost, alpha.load(beta.node())),
        (1, 0, (0, 0))
    );
}

#[actix::test]
async fn eight_messages_of_16_mib_at_once_all_come_back_and_small_calls_go_on_beside_them() {
    const COUNT: u8 = 8;
    let (alpha, _beta_node, beta) = roomy(16 * MIB, usize::from(COUNT)).await;
    assert_eq!(alpha.call(&beta, "counter", Total).await.unwrap(), 0);
    let (alpha, beta) = (&alpha, &beta);
    let begun = Instant::now();
    let large = async {
        let calls = (0..COUNT).map(|seed| async move {
            let mut turned =
                alpha.call(beta, "turn", Turn { bytes: counted(16 * MIB, seed) }).await.unwrap().bytes;
            turned.reverse();
            assert!(turned == counted(16 * MIB, seed), "number {seed}");
        });
        join_all(calls).await;
        begun.elapsed()
    };
    let small = async {
        let mut longest = Duration::ZERO;
        for total in 1..=20 {
            let asked = Instant::now();
            assert_eq!(alpha.call(beta, "counter", Add { amount: 1 }).await.unwrap(), total);
            longest = longest.max(asked.elapsed());
        }
        (begun.elapsed(), longest)
    };
    let (large, (small, longest)) = futures::future::join(large, small).await;
    assert!(
        small < large,
        "twenty small calls took {small:?}, the longest {longest:?}, all large ones {large:?}"
    );
    assert_eq!((alpha.metrics().dials, alpha.load(beta.node())), (1, (0, 0)));
}

#[actix::test]
async fn bytes_of_the_bytes_crate_go_there_and_back_as_they_are() {
    let (alpha, beta_node, beta) = pair_with(|builder| builder).await;
    beta_node
        .serve("mirror", |Mirror { bytes, label }: Mirror| async move {
            assert_eq!(label.as_deref(), Some(&b"label"[..]));
            bytes
        })
        .unwrap();
    for len in [0, 100, MIB] {
        let bytes = bytes::Bytes::from(counted(len.max(8), 3)).slice(..len);
        let message = Mirror { bytes: bytes.clone(), label: Some(bytes::Bytes::from_static(b"label")) };
        assert_eq!(alpha.call(&beta, "mirror", message).await.unwrap(), bytes);
    }
}
