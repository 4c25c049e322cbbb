//! Streams: many answers to one request, produced as fast as they are taken.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use actix::prelude::*;
use farcall::error::{Failed, Failure, NotSent, Rejected, Unknown};
use farcall::prelude::*;
use futures::StreamExt;

use crate::fixture::{Add, Count, PhoneBook, Total, builder, eventually, pair, pair_with, target};
use crate::proxy::Proxy;

/// Endless, a kilobyte each; with `panic_at` the producer panics there.
#[farcall::message(stream = Vec<u8>)]
#[derive(Debug)]
struct Flood {
    panic_at: Option<u64>,
}

/// Items as large as asked for.
#[farcall::message(stream = Vec<u8>)]
#[derive(Debug)]
struct Large {
    bytes: Vec<u32>,
}

/// What the test sees of a producer.
#[derive(Clone, Default)]
struct Seen {
    produced: Arc<AtomicU64>,
    alive: Arc<AtomicUsize>,
}

impl Seen {
    fn produced(&self) -> u64 {
        self.produced.load(Ordering::SeqCst)
    }
}

/// Counted while it lives.
struct Alive(Arc<AtomicUsize>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[derive(RemoteActor)]
#[remote(Flood, Large)]
struct Spring {
    seen: Seen,
}

impl Actor for Spring {
    type Context = Context<Self>;
}

impl Handler<Flood> for Spring {
    type Result = MessageResult<Flood>;
    fn handle(&mut self, flood: Flood, _: &mut Context<Self>) -> Self::Result {
        let seen = self.seen.clone();
        seen.alive.fetch_add(1, Ordering::SeqCst);
        let alive = Alive(seen.alive.clone());
        MessageResult(Items::new(futures::stream::iter(0u64..).map(move |nth| {
            let _ = &alive;
            assert_ne!(Some(nth), flood.panic_at, "on purpose");
            seen.produced.fetch_add(1, Ordering::SeqCst);
            vec![(nth % 251) as u8; 1_024]
        })))
    }
}

impl Handler<Large> for Spring {
    type Result = MessageResult<Large>;
    fn handle(&mut self, large: Large, _: &mut Context<Self>) -> Self::Result {
        MessageResult(Items::new(futures::stream::iter(large.bytes).map(|bytes| vec![5; bytes as usize])))
    }
}

fn spring(node: &Node) -> Seen {
    let seen = Seen::default();
    node.register("spring", Spring { seen: seen.clone() }.start()).unwrap().keep();
    seen
}

const ENDLESS: Flood = Flood { panic_at: None };

#[actix::test]
async fn a_slow_consumer_bounds_its_producer_and_gets_every_item() {
    let (alpha, beta_node, beta) =
        pair_with(|builder| builder.configure(|config| config.stream_window_bytes = 32 * 1024)).await;
    let seen = spring(&beta_node);
    let mut items = alpha.stream(&beta, "spring", ENDLESS).await.unwrap();
    items.next().await.unwrap().unwrap();
    // A call behind it is answered, so the producer had its chance to run on.
    for _ in 0..20 {
        alpha.call(&beta, "counter", Total).await.unwrap();
    }
    let ahead = seen.produced();
    assert!(ahead <= 34, "{ahead} KiB were produced for a window of 32 KiB");
    for nth in 1..500u64 {
        let item = items.next().await.unwrap().unwrap();
        assert_eq!((item.len(), item[0]), (1_024, (nth % 251) as u8));
    }
    assert!(seen.produced() <= 500 + 34, "{}", seen.produced());
}

#[actix::test]
async fn dropping_a_stream_drops_its_producer() {
    let (alpha, beta_node, beta) = pair().await;
    let seen = spring(&beta_node);
    let mut items = alpha.stream(&beta, "spring", ENDLESS).await.unwrap();
    items.next().await.unwrap().unwrap();
    assert_eq!(seen.alive.load(Ordering::SeqCst), 1);
    drop(items);
    eventually("the producer is dropped", || seen.alive.load(Ordering::SeqCst) == 0).await;
    eventually("nothing is left of it", || alpha.load(beta.node()) == (0, 0)).await;
    assert_eq!(alpha.call(&beta, "counter", Add { amount: 1 }).await.unwrap(), 1);
}

#[actix::test]
async fn a_producer_that_panics_half_way_ends_its_stream_with_the_reason_after_its_items() {
    let (alpha, beta_node, beta) = pair().await;
    let seen = spring(&beta_node);
    let items = alpha.stream(&beta, "spring", Flood { panic_at: Some(3) }).await.unwrap();
    let mut items: Vec<_> = items.collect().await;
    let error = items.pop().unwrap().unwrap_err();
    assert_eq!(*error.failure(), Failure::Failed(Failed::Panicked));
    assert_eq!(items.len(), 3);
    assert!(items.iter().all(Result::is_ok));
    eventually("the producer is gone", || seen.alive.load(Ordering::SeqCst) == 0).await;
    assert!(beta_node.names().contains(&"spring".to_owned()), "its actor is not");
}

#[actix::test]
async fn a_lost_connection_ends_a_stream_with_an_error_and_drops_the_producer() {
    let phone_book = PhoneBook::default();
    let beta_node = builder("beta").discovery(phone_book.clone()).start().await.unwrap();
    let proxy = Proxy::to(beta_node.listening_on()[0]).await;
    phone_book.put(beta_node.name().clone(), proxy.address());
    let alpha = builder("alpha").discovery(phone_book).start().await.unwrap();
    let seen = spring(&beta_node);
    let mut items = alpha.stream(&target(&beta_node), "spring", ENDLESS).await.unwrap();
    items.next().await.unwrap().unwrap();
    proxy.cut_all();
    let mut taken = 0;
    let error = loop {
        match tokio::time::timeout(Duration::from_secs(5), items.next()).await.unwrap().unwrap() {
            Ok(_) => taken += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error.failure(), Failure::Unknown(Unknown::LinkLost(_))), "{error}");
    assert!(taken <= 400, "at most what was under way");
    assert!(items.next().await.is_none(), "after an error nothing more comes");
    eventually("the producer is gone", || seen.alive.load(Ordering::SeqCst) == 0).await;
}

#[actix::test]
async fn a_stream_that_is_refused_fails_when_it_is_opened() {
    let (alpha, _beta, beta) = pair().await;
    let error = alpha.stream(&beta, "nobody", Count { to: 3 }).await.unwrap_err();
    assert_eq!(*error.failure(), Failure::Rejected(Rejected::NoSuchActor));
    let error = alpha.stream(&beta, "counter", Count { to: 3 }).require_version("^1").await.unwrap_err();
    assert!(matches!(error.failure(), Failure::Rejected(Rejected::WrongVersion { .. })), "{error}");
    let nowhere: Target = "nowhere@127.0.0.1".parse().unwrap();
    let error = alpha.stream(&nowhere, "counter", Count { to: 3 }).await.unwrap_err();
    assert!(matches!(error.failure(), Failure::NotSent(NotSent::NoAddress(_))), "{error}");
}

#[actix::test]
async fn an_empty_stream_ends_at_once_and_a_long_one_is_whole() {
    let (alpha, _beta, beta) = pair().await;
    let items = alpha.stream(&beta, "counter", Count { to: 0 }).await.unwrap();
    assert_eq!(items.count().await, 0);
    let items = alpha.stream(&beta, "counter", Count { to: 50_000 }).await.unwrap();
    let sum = items.fold(0, async |sum, item| sum + item.unwrap()).await;
    assert_eq!(sum, (0..50_000).sum::<u64>());
}

#[actix::test]
async fn items_larger_than_the_window_and_than_a_fragment_come_through() {
    let (alpha, beta_node, beta) =
        pair_with(|builder| builder.configure(|config| config.stream_window_bytes = 16 * 1024)).await;
    spring(&beta_node);
    let sizes = [10, 300_000, 0, 70_000, 1];
    let items = alpha.stream(&beta, "spring", Large { bytes: sizes.to_vec() }).await.unwrap();
    let seen: Vec<usize> = items.map(|item| item.unwrap().len()).collect().await;
    assert_eq!(seen, sizes.map(|size| size as usize));
}

#[actix::test]
async fn an_item_over_the_limit_ends_its_stream_and_nothing_else() {
    let (alpha, beta_node, beta) = pair_with(|builder| {
        builder.configure(|config| {
            config.message_bytes_max = 128 * 1024;
            config.fragment_bytes = 16 * 1024;
        })
    })
    .await;
    spring(&beta_node);
    let items = alpha.stream(&beta, "spring", Large { bytes: vec![10, 200_000, 10] }).await.unwrap();
    let items: Vec<_> = items.collect().await;
    assert_eq!(items.len(), 2);
    let error = items[1].as_ref().unwrap_err();
    assert!(matches!(error.failure(), Failure::Failed(Failed::ReplyTooLarge { .. })), "{error}");
    assert_eq!(alpha.call(&beta, "counter", Total).await.unwrap(), 0);
}

#[actix::test]
async fn many_streams_and_calls_share_a_connection() {
    let (alpha, _beta, beta) = pair().await;
    let streams = (1..=32u64).map(|n| {
        let (alpha, beta) = (&alpha, &beta);
        async move {
            let items = alpha.stream(beta, "counter", Count { to: n * 100 }).await.unwrap();
            alpha.call(beta, "counter", Add { amount: 1 }).await.unwrap();
            items.count().await as u64 == n * 100
        }
    });
    assert!(futures::future::join_all(streams).await.into_iter().all(|whole| whole));
    assert_eq!(alpha.call(&beta, "counter", Total).await.unwrap(), 32);
    assert_eq!(alpha.connections(beta.node()), 1);
}

/// Cannot be read when it is 3.
#[derive(Debug)]
struct Odd(u8);

impl serde::Serialize for Odd {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(self.0)
    }
}

impl<'de> serde::Deserialize<'de> for Odd {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u8::deserialize(deserializer)? {
            3 => Err(serde::de::Error::custom("three is no number")),
            number => Ok(Self(number)),
        }
    }
}

#[farcall::data]
#[derive(Debug)]
struct Picky {
    #[remote(opaque)]
    odd: Odd,
}

#[farcall::message(stream = Picky)]
#[derive(Debug)]
struct Numbers;

#[actix::test]
async fn an_item_that_cannot_be_read_ends_its_stream_and_drops_the_producer() {
    let (alpha, beta_node, beta) = pair().await;
    let alive = Arc::new(AtomicUsize::new(0));
    let count = alive.clone();
    let numbers = move |_: Numbers| {
        count.fetch_add(1, Ordering::SeqCst);
        let alive = Alive(count.clone());
        let items = futures::stream::iter((0..=u8::MAX).cycle()).map(move |number| {
            let _alive = &alive;
            Picky { odd: Odd(number) }
        });
        std::future::ready(Items::new(items))
    };
    beta_node.serve("numbers", numbers).unwrap();
    let mut stream = alpha.stream(&beta, "numbers", Numbers).await.unwrap();
    for number in 0..3 {
        assert_eq!(stream.next().await.unwrap().unwrap().odd.0, number);
    }
    let error = stream.next().await.unwrap().unwrap_err();
    assert!(matches!(error.failure(), Failure::Failed(Failed::ReplyDecode(_))), "{error}");
    assert!(stream.next().await.is_none());
    eventually("the producer is dropped", || alive.load(Ordering::SeqCst) == 0).await;
}
