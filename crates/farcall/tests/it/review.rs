//! What went wrong once, or looked as if it could.

use std::time::{Duration, Instant};

use actix::prelude::*;
use farcall::prelude::*;
use farcall::rpc::RawMessage;
use serde::{Deserialize, Serialize, Serializer};

use crate::fixture::{
    Add, Block, Count, Counter, Echo, PhoneBook, Sleep, Total, any_port, builder, eventually, named, on,
    pair, pair_with,
};

/// Cannot be written.
#[derive(Debug, Default, Deserialize)]
pub struct Unwritable;

impl Serialize for Unwritable {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        panic!("a Serialize that panics on purpose")
    }
}

impl farcall::message::Schema for Unwritable {
    const SCHEMA: &'static farcall::message::schema::NamedType = <u64 as farcall::message::Schema>::SCHEMA;
}

/// What the handler does.
#[farcall::message(result = Unwritable)]
#[derive(Debug)]
pub struct Unanswerable {
    pub later: bool,
}

/// Stops its actor, and says so.
#[farcall::message(result = u64)]
#[derive(Debug)]
pub struct StopNow;

#[derive(Default, RemoteActor)]
#[remote(Unanswerable, StopNow, Add)]
pub struct Odd {
    total: u64,
    seen: std::sync::Arc<std::sync::atomic::AtomicU64>,
}

impl Actor for Odd {
    type Context = Context<Self>;
}

impl Handler<Unanswerable> for Odd {
    type Result = ResponseFuture<Unwritable>;
    fn handle(&mut self, message: Unanswerable, _: &mut Context<Self>) -> Self::Result {
        Box::pin(async move {
            if message.later {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            Unwritable
        })
    }
}

impl Handler<StopNow> for Odd {
    type Result = u64;
    fn handle(&mut self, _: StopNow, ctx: &mut Context<Self>) -> u64 {
        ctx.stop();
        7
    }
}

impl Handler<Add> for Odd {
    type Result = u64;
    fn handle(&mut self, add: Add, _: &mut Context<Self>) -> u64 {
        self.total += add.amount;
        self.seen.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        self.total
    }
}

#[farcall::message(result = Unwritable, name = "review.Now")]
#[derive(Debug)]
pub struct UnwritableNow;

#[derive(Default, RemoteActor)]
#[remote(UnwritableNow)]
pub struct OddNow;

impl Actor for OddNow {
    type Context = Context<Self>;
}

impl Handler<UnwritableNow> for OddNow {
    type Result = MessageResult<UnwritableNow>;
    fn handle(&mut self, _: UnwritableNow, _: &mut Context<Self>) -> Self::Result {
        MessageResult(Unwritable)
    }
}

/// Far below every timeout, far above what an answer takes.
const SOON: Duration = Duration::from_secs(3);

#[actix::test]
async fn an_answer_whose_serialize_panics_fails_its_caller_and_not_the_connection() {
    let (alpha, beta_node, beta) = pair().await;
    beta_node.register("odd", OddNow.start()).unwrap().keep();
    let neighbour = alpha.async_call(&beta, "counter", Sleep { ms: 50 });
    alpha.ping(&beta).await.unwrap();
    let begun = Instant::now();
    let error = alpha.call(&beta, "odd", UnwritableNow).await.unwrap_err();
    assert_eq!(error.class(), Class::Failed, "{error}");
    assert_eq!(neighbour.await.unwrap(), 50);
    assert!(begun.elapsed() < SOON);
    assert_eq!(beta_node.metrics().acceptors, 1);
}

#[actix::test]
async fn a_later_answer_whose_serialize_panics_fails_its_caller_at_once() {
    let (alpha, beta_node, beta) = pair().await;
    beta_node.register("odd", Odd::default().start()).unwrap().keep();
    let begun = Instant::now();
    let error = alpha.call(&beta, "odd", Unanswerable { later: true }).await.unwrap_err();
    assert_eq!(error.class(), Class::Failed, "{error}");
    assert!(begun.elapsed() < SOON, "it waited for its deadline");
}

#[actix::test]
async fn a_function_that_panics_at_once_answers_once() {
    let (alpha, beta_node, beta) = pair().await;
    let panics = |add: Add| {
        assert!(add.amount == 0, "on purpose");
        std::future::ready(0)
    };
    beta_node.serve("panics", panics).unwrap();
    let slow = alpha.async_call(&beta, "counter", Sleep { ms: 150 });
    let error = alpha.call(&beta, "panics", Add { amount: 1 }).await.unwrap_err();
    assert_eq!(error.class(), Class::Failed, "{error}");
    // Answered twice, it would be counted twice, and nobody would wait for the slow one.
    assert!(beta_node.shutdown().await);
    assert_eq!(slow.await.unwrap(), 150);
}

#[actix::test]
async fn an_actor_that_stops_itself_starts_nothing_that_is_behind() {
    let (alpha, beta_node, beta) = pair().await;
    let odd = Odd::default();
    let seen = odd.seen.clone();
    beta_node.register("odd", odd.start()).unwrap().keep();
    alpha.ping(&beta).await.unwrap();
    let stop = alpha.async_call(&beta, "odd", StopNow);
    let behind = alpha.async_call(&beta, "odd", Add { amount: 1 });
    assert_eq!(stop.await.unwrap(), 7);
    let error = behind.await.unwrap_err();
    assert_eq!(error.class(), Class::Rejected, "{error}");
    assert_eq!(seen.load(std::sync::atomic::Ordering::SeqCst), 0);
}

#[actix::test]
async fn a_call_of_a_message_that_is_answered_by_a_stream_is_refused() {
    let (alpha, beta_node, beta) = pair().await;
    let info = <Count as farcall::RemoteMessage>::INFO;
    let (name, version, fingerprint) = (info.name, info.version, info.fingerprint);
    let message = RawMessage { name, version, fingerprint, payload: &[3] };
    let begun = Instant::now();
    let error = alpha.raw(&beta, "counter").call(message, Duration::from_secs(10)).await.unwrap_err();
    assert_eq!(error.class(), Class::Rejected, "{error}");
    assert!(begun.elapsed() < SOON);
    assert!(beta_node.shutdown().await, "a request was left without an answer");
}

/// A node on a thread and a system of its own, until the other half is dropped.
fn elsewhere(name: &'static str, book: &PhoneBook) -> (Node, tokio::sync::oneshot::Sender<()>) {
    let (book, (started, node)) = (book.clone(), std::sync::mpsc::channel());
    let (end, ended) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        System::new().block_on(async move {
            let node = builder(name).discovery(book.clone()).start().await.unwrap();
            book.enter(&node);
            node.register("counter", Counter::default().start()).unwrap().keep();
            started.send(node).unwrap();
            let _ = ended.await;
        });
    });
    (node.recv().unwrap(), end)
}

#[actix::test]
async fn a_deadline_passes_in_time_although_the_socket_takes_nothing() {
    let book = PhoneBook::default();
    let (_beta, _end) = elsewhere("beta", &book);
    let alpha = builder("alpha").discovery(book).start().await.unwrap();
    let beta: Target = "beta@127.0.0.1".parse().unwrap();
    alpha.ping(&beta).await.unwrap();
    let blocked = alpha.async_call(&beta, "counter", Block { ms: 2000 });
    let large: Vec<_> =
        (0..3).map(|_| alpha.async_call(&beta, "counter", Echo { bytes: vec![0; 8 << 20] })).collect();
    // Long enough for the socket to be full: then nothing but the deadline moves.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let begun = Instant::now();
    let error = alpha.call(&beta, "counter", Total).timeout(Duration::from_millis(100)).await.unwrap_err();
    assert_eq!(error.class(), Class::NotSent, "{error}");
    assert!(begun.elapsed() < Duration::from_millis(800), "{:?}", begun.elapsed());
    blocked.await.unwrap();
    drop(large);
}

#[actix::test]
async fn a_node_is_drained_as_soon_as_its_last_answer_is_there_taken_or_not() {
    let (alpha, _beta_node, beta) = pair().await;
    let kept = alpha.async_call(&beta, "counter", Sleep { ms: 50 });
    alpha.ping(&beta).await.unwrap();
    let begun = Instant::now();
    assert!(alpha.shutdown().await);
    assert!(begun.elapsed() < Duration::from_millis(1500), "{:?}", begun.elapsed());
    assert_eq!(kept.await.unwrap(), 50);
}

#[actix::test]
async fn a_wait_for_a_name_that_never_comes_leaves_nothing_behind() {
    let (alpha, beta_node, beta) = pair().await;
    let error = alpha.wait_for_within(&beta, "nobody", Duration::from_millis(100)).await.unwrap_err();
    assert!(!error.may_have_run(), "{error}");
    let begun = Instant::now();
    assert!(beta_node.shutdown().await);
    assert!(begun.elapsed() < SOON);
}

#[actix::test]
async fn a_node_whose_handle_is_dropped_goes_on() {
    let (alpha, beta_node, beta) = pair().await;
    drop(beta_node);
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(alpha.call(&beta, "counter", Total).await.unwrap(), 0);
}

#[actix::test]
async fn a_node_that_was_shut_down_leaves_its_port_and_its_actors_at_once() {
    let (alpha, beta_node, beta) = pair().await;
    alpha.ping(&beta).await.unwrap();
    let address = beta_node.listening_on()[0];
    let counter = Counter::default().start();
    beta_node.register("another", counter.clone()).unwrap().keep();
    assert!(beta_node.shutdown().await);
    assert!(std::net::TcpListener::bind(address).is_ok());
    assert_eq!(beta_node.names(), Vec::<String>::new());
    assert_eq!((beta_node.metrics().acceptors, alpha.metrics().clients_up), (0, 0));
}

#[actix::test]
async fn a_node_that_cannot_listen_everywhere_listens_nowhere() {
    let free = std::net::TcpListener::bind(any_port()).unwrap();
    let first = free.local_addr().unwrap();
    drop(free);
    let taken = std::net::TcpListener::bind(any_port()).unwrap();
    let addresses = [first, taken.local_addr().unwrap()];
    let started = on(named("alpha@127.0.0.1"), addresses).start().await;
    assert!(matches!(started, Err(farcall::StartError::Listen { .. })));
    eventually("the first port is free again", || std::net::TcpListener::bind(first).is_ok()).await;
}

#[test]
fn a_caller_is_told_when_the_node_has_gone_with_its_arbiter() {
    let book = PhoneBook::default();
    let (alpha, end) = elsewhere("alpha", &book);
    let beta: Target = "beta@127.0.0.1".parse().unwrap();
    drop(end);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let begun = Instant::now();
    runtime.block_on(async {
        // Until its system has ended, it answers that it knows no such node.
        loop {
            let error = alpha.call(&beta, "counter", Total).timeout(SOON).await.unwrap_err();
            assert_eq!(error.class(), Class::NotSent, "{error}");
            if error.to_string().contains("the client stopped") {
                break;
            }
        }
    });
    assert!(begun.elapsed() < SOON);
}

#[actix::test]
async fn targets_that_nobody_uses_any_more_are_forgotten() {
    let (alpha, ..) = pair_with(|node| {
        node.configure(|config| {
            config.backoff_min = Duration::from_millis(1);
            config.backoff_max = Duration::from_millis(1);
        })
    })
    .await;
    for n in 0..700 {
        let target: Target = format!("gone{n}@127.0.0.1").parse().unwrap();
        assert!(alpha.call(&target, "counter", Total).await.is_err());
    }
    assert!(alpha.metrics().clients < 400, "{}", alpha.metrics().clients);
}

#[actix::test]
async fn a_closing_connection_is_drained_and_killed_like_any_other() {
    let (alpha, _beta_node, beta) = pair().await;
    let kept = alpha.async_call(&beta, "counter", Sleep { ms: 300 });
    alpha.ping(&beta).await.unwrap();
    alpha.disconnect(beta.node());
    let killed = alpha.async_call(&beta, "counter", Sleep { ms: 60_000 });
    alpha.ping(&beta).await.unwrap();
    alpha.disconnect(beta.node());
    assert_eq!(alpha.load(beta.node()).0, 2, "both connections count");
    assert_eq!(kept.await.unwrap(), 300);
    alpha.ping(&beta).await.unwrap();
    alpha.kill_clients(beta.node());
    let begun = Instant::now();
    assert_eq!(killed.await.unwrap_err().class(), Class::Unknown);
    assert!(begun.elapsed() < SOON);
}

#[actix::test]
async fn any_timeout_is_a_timeout() {
    let (alpha, _beta_node, beta) = pair().await;
    let call = alpha.call(&beta, "counter", Total).timeout(Duration::MAX).send_timeout(Duration::MAX);
    assert_eq!(call.await.unwrap(), 0);
    alpha.ping_within(&beta, Duration::MAX).await.unwrap();
    alpha.wait_for_within(&beta, "counter", Duration::MAX).await.unwrap();
    let error = alpha.call(&beta, "counter", Total).timeout(Duration::ZERO).await.unwrap_err();
    assert_ne!(error.class(), Class::Failed, "{error}");
}

#[actix::test]
async fn what_the_application_awaits_may_move_between_threads() {
    fn sendable<T: Send>(_: &T) {}
    fn shared<T: Send + Sync + 'static>() {}
    shared::<Node>();
    shared::<NameGuard>();
    shared::<farcall::rpc::Remote<Counter>>();
    let (alpha, _beta_node, beta) = pair().await;
    sendable(&alpha.call(&beta, "counter", Total));
    sendable(&std::future::IntoFuture::into_future(alpha.call(&beta, "counter", Total)));
    sendable(&std::future::IntoFuture::into_future(alpha.stream(&beta, "counter", Count { to: 1 })));
    sendable(&std::future::IntoFuture::into_future(alpha.multicall(All, "counter", Total)));
    sendable(&std::future::IntoFuture::into_future(alpha.sbcast(All, "counter", Total)));
    sendable(&alpha.stream(&beta, "counter", Count { to: 1 }).await.unwrap());
    sendable(&alpha.async_call(&beta, "counter", Total));
    sendable(&alpha.cast(&beta, "counter", Total).acked());
    sendable(&alpha.ping(&beta));
    sendable(&alpha.describe(&beta));
    sendable(&alpha.wait_for(&beta, "counter"));
    sendable(&alpha.draining());
    sendable(&alpha.shutdown());
    sendable(&builder("gamma").start());
}

#[actix::test]
async fn a_refused_cast_never_passes_for_accepted_however_late_one_asks() {
    let (alpha, _beta_node, beta) = pair().await;
    let first = alpha.cast(&beta, "nobody", Add { amount: 1 });
    for _ in 0..2000 {
        alpha.cast(&beta, "nobody", Add { amount: 1 }).unwrap();
    }
    assert!(first.acked().await.is_err());
}

#[actix::test]
async fn an_actor_whose_name_is_gone_is_not_kept_alive_by_its_callers_connections() {
    let (alpha, beta_node, beta) =
        pair_with(|node| node.configure(|config| config.tick = Duration::from_millis(400))).await;
    let alive = std::sync::Arc::new(());
    let held = alive.clone();
    let serve = move |add: Add| {
        let _alive = &held;
        std::future::ready(add.amount)
    };
    beta_node.serve("short", serve).unwrap();
    assert_eq!(alpha.call(&beta, "short", Add { amount: 3 }).await.unwrap(), 3);
    assert!(beta_node.unregister("short"));
    eventually("the function is dropped", || std::sync::Arc::strong_count(&alive) == 1).await;
}
