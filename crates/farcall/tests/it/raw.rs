//! Messages as bytes, the way a tool sends them: learnt from `describe`.

use std::time::Duration;

use farcall::message::{decode_value, encode_value};
use farcall::prelude::*;
use farcall::rpc::RawMessage;
use futures::StreamExt;

use crate::fixture::{Add, Count, pair};

const PATIENCE: Duration = Duration::from_secs(5);

fn raw<'a, M: RemoteMessage>(payload: &'a [u8]) -> RawMessage<'a> {
    let info = M::INFO;
    RawMessage { name: info.name, version: info.version, fingerprint: info.fingerprint, payload }
}

fn encoded<M: RemoteMessage>(message: &M) -> Vec<u8> {
    let mut payload = Vec::new();
    encode_value(message, &mut payload).unwrap();
    payload
}

#[actix::test]
async fn a_raw_call_gives_the_encoded_answer() {
    let (alpha, _beta, beta) = pair().await;
    let payload = encoded(&Add { amount: 300 });
    let answer = alpha.raw(&beta, "counter").call(raw::<Add>(&payload), PATIENCE).await.unwrap();
    assert_eq!(decode_value::<u64>(&answer).unwrap(), 300);
}

#[actix::test]
async fn a_raw_stream_gives_every_encoded_item_and_ends() {
    let (alpha, _beta, beta) = pair().await;
    let payload = encoded(&Count { to: 1000 });
    let items = alpha.raw(&beta, "counter").stream(raw::<Count>(&payload), PATIENCE).await.unwrap();
    let items: Vec<u64> = items.map(|item| decode_value::<u64>(&item.unwrap()).unwrap()).collect().await;
    assert_eq!(items, (0..1000).collect::<Vec<_>>());
}

#[actix::test]
async fn a_raw_stream_that_is_refused_says_why() {
    let (alpha, _beta, beta) = pair().await;
    let payload = encoded(&Count { to: 1 });
    let refused = alpha.raw(&beta, "nobody").stream(raw::<Count>(&payload), PATIENCE).await.unwrap_err();
    assert_eq!(refused.reason(), "no_such_actor");
}
