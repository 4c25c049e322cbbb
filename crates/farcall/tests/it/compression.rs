//! Compression: what travels compressed, seen by counting the bytes on the wire.

use farcall::Compress;
use farcall::prelude::*;

use crate::fixture::{Echo, PhoneBook, builder, target};
use crate::proxy::Proxy;

/// Two nodes with a proxy between them, both compressing alike.
async fn pair_compressing(compress: Compress, threshold_bytes: usize) -> (Node, Node, Target, Proxy) {
    let phone_book = PhoneBook::default();
    let start = |name: &str| {
        let builder = builder(name).discovery(phone_book.clone()).configure(|config| {
            config.compress = compress;
            config.compress_threshold_bytes = threshold_bytes;
        });
        builder.start()
    };
    let beta = start("beta").await.unwrap();
    beta.register("counter", actix::Actor::start(crate::fixture::Counter::default())).unwrap().keep();
    let proxy = Proxy::to(beta.listening_on()[0]).await;
    phone_book.put(beta.name().clone(), proxy.address());
    let alpha = start("alpha").await.unwrap();
    let target = target(&beta);
    alpha.ping(&target).await.unwrap();
    (alpha, beta, target, proxy)
}

/// Bytes there and back that one echo of this payload takes.
async fn echo_costs(alpha: &Node, beta: &Target, proxy: &Proxy, payload: &[u8]) -> (usize, usize) {
    // Names are sent with the first request only.
    alpha.call(beta, "counter", Echo { bytes: vec![1] }).await.unwrap();
    let before = proxy.bytes();
    let answer = alpha.call(beta, "counter", Echo { bytes: payload.to_vec() }).await.unwrap();
    assert_eq!(answer, payload);
    let after = proxy.bytes();
    (after.0 - before.0, after.1 - before.1)
}

/// Bytes that no codec makes smaller.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    })
    .take(bytes)
    .collect()
}

#[actix::test]
async fn requests_and_replies_above_the_threshold_shrink_with_either_codec() {
    for compress in [Compress::Lz4, Compress::Zstd(1), Compress::Zstd(9)] {
        let (alpha, _beta, beta, proxy) = pair_compressing(compress, 500).await;
        let (there, back) = echo_costs(&alpha, &beta, &proxy, &[b'a'; 5_000]).await;
        assert!(there < 500 && back < 500, "{compress}: {there} there, {back} back");
    }
}

#[actix::test]
async fn a_higher_level_is_smaller() {
    let line = |n: u32| format!("{{\"id\":{n},\"name\":\"user{}\",\"score\":{}}}", n * 7 % 1_000, n * n % 97);
    let text: Vec<u8> = (0..10_000).flat_map(|n| line(n).into_bytes()).collect();
    let mut costs = Vec::new();
    for level in [1, 15] {
        let (alpha, _beta, beta, proxy) = pair_compressing(Compress::Zstd(level), 500).await;
        costs.push(echo_costs(&alpha, &beta, &proxy, &text).await);
    }
    assert!(costs[1].0 < costs[0].0 && costs[1].1 < costs[0].1, "{costs:?}");
}

#[actix::test]
async fn what_is_below_the_threshold_travels_as_it_is() {
    let (alpha, _beta, beta, proxy) = pair_compressing(Compress::Zstd(3), 1_000).await;
    let (there, back) = echo_costs(&alpha, &beta, &proxy, &[b'a'; 900]).await;
    assert!(there >= 900 && back >= 900, "{there} there, {back} back");
}

#[actix::test]
async fn a_threshold_of_zero_compresses_all_that_gets_smaller() {
    let (alpha, _beta, beta, proxy) = pair_compressing(Compress::Zstd(3), 0).await;
    let (there, back) = echo_costs(&alpha, &beta, &proxy, &[b'a'; 200]).await;
    assert!(there < 150 && back < 150, "{there} there, {back} back");
    let (there, back) = echo_costs(&alpha, &beta, &proxy, &noise(100)).await;
    assert!(there >= 100 && back >= 100, "{there} there, {back} back");
}

#[actix::test]
async fn without_compression_nothing_shrinks() {
    let (alpha, _beta, beta, proxy) = pair_compressing(Compress::Off, 0).await;
    let (there, back) = echo_costs(&alpha, &beta, &proxy, &[b'a'; 5_000]).await;
    assert!(there >= 5_000 && back >= 5_000, "{there} there, {back} back");
}

#[actix::test]
async fn noise_costs_nothing_extra() {
    let (alpha, _beta, beta, proxy) = pair_compressing(Compress::Lz4, 500).await;
    let (there, back) = echo_costs(&alpha, &beta, &proxy, &noise(5_000)).await;
    assert!(there < 5_100 && back < 5_100, "{there} there, {back} back");
}

#[actix::test]
async fn casts_and_promises_are_compressed_as_calls_are() {
    let (alpha, _beta, beta, proxy) = pair_compressing(Compress::Zstd(3), 500).await;
    alpha.call(&beta, "counter", Echo { bytes: vec![1] }).await.unwrap();
    let before = proxy.bytes();
    alpha.cast(&beta, "counter", Echo { bytes: vec![b'a'; 5_000] }).acked().await.unwrap();
    let promise = alpha.async_call(&beta, "counter", Echo { bytes: vec![b'a'; 5_000] });
    assert_eq!(promise.await.unwrap(), [b'a'; 5_000]);
    let after = proxy.bytes();
    assert!(after.0 - before.0 < 1_000 && after.1 - before.1 < 500, "{before:?} {after:?}");
}

#[actix::test]
async fn a_large_message_is_compressed_and_comes_back_whole() {
    for compress in [Compress::Lz4, Compress::Zstd(3)] {
        let (alpha, _beta, beta, proxy) = pair_compressing(compress, 1_024).await;
        let payload: Vec<u8> = (0..4_000_000u32).map(|n| (n / 1_000 % 251) as u8).collect();
        let (there, back) = echo_costs(&alpha, &beta, &proxy, &payload).await;
        assert!(there < 1_000_000 && back < 1_000_000, "{compress}: {there} there, {back} back");
    }
}
