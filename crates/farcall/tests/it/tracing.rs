//! Traces that go on across nodes: which spans there are, and what holds them together.

use std::collections::HashMap;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use actix::prelude::*;
use farcall::prelude::*;
use farcall::trace::{Bridge, Ids, TraceContext};
use futures::StreamExt;
use tracing::field::{Field, Visit};
use tracing::{Instrument, Subscriber, span};
use tracing_subscriber::layer::{Context as Scene, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, Registry};

use crate::fixture::{
    Add, Count, Counter, Echo, Panic, Sleep, Total, eventually, nodes_with, pair_with, target,
};

/// A span that somebody saw.
#[derive(Debug, Clone, Default)]
struct Seen {
    id: u64,
    name: &'static str,
    parent: Option<u64>,
    fields: HashMap<&'static str, String>,
    closed: bool,
}

impl Seen {
    fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }
}

impl Visit for Seen {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.fields.insert(field.name(), format!("{value:?}").trim_matches('"').to_owned());
    }
}

/// Whoever watches: one for the process, as a subscriber is.
static SEEN: Mutex<Vec<Seen>> = Mutex::new(Vec::new());

struct Watch;

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Watch {
    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &span::Id, scene: Scene<'_, S>) {
        let parent = scene.span(id).and_then(|span| Some(span.parent()?.id().into_u64()));
        let name = attributes.metadata().name();
        let mut seen = Seen { id: id.into_u64(), name, parent, ..Seen::default() };
        attributes.record(&mut seen);
        SEEN.lock().unwrap().push(seen);
    }

    fn on_record(&self, id: &span::Id, values: &span::Record<'_>, _: Scene<'_, S>) {
        let mut all = SEEN.lock().unwrap();
        if let Some(seen) = all.iter_mut().rev().find(|seen| seen.id == id.into_u64()) {
            values.record(seen);
        }
    }

    fn on_close(&self, id: span::Id, _: Scene<'_, S>) {
        let mut all = SEEN.lock().unwrap();
        if let Some(seen) = all.iter_mut().rev().find(|seen| seen.id == id.into_u64()) {
            seen.closed = true;
        }
    }
}

fn watch() {
    static WATCHED: OnceLock<()> = OnceLock::new();
    WATCHED.get_or_init(|| tracing::subscriber::set_global_default(Registry::default().with(Watch)).unwrap());
}

/// The spans of farcall with this name and actor.
fn seen(name: &str, actor: &str) -> Vec<Seen> {
    let all = SEEN.lock().unwrap();
    all.iter().filter(|seen| seen.name == name && seen.field("actor") == actor).cloned().collect()
}

/// The only one of them, when it has ended.
async fn the(name: &str, actor: &str) -> Seen {
    eventually(&format!("{name} of {actor} ends"), || matches!(&seen(name, actor)[..], [one] if one.closed))
        .await;
    seen(name, actor).remove(0)
}

/// The handler's span below a request.
fn handle_of(request: &Seen) -> Option<Seen> {
    let all = SEEN.lock().unwrap();
    all.iter().find(|seen| seen.name == "handle" && seen.parent == Some(request.id)).cloned()
}

async fn traced_pair(actor: &str) -> (Node, Node, Target) {
    watch();
    let (alpha, beta, to_beta) = pair_with(|builder| builder.tracing(Ids)).await;
    beta.register(actor, Counter::default().start()).unwrap().keep();
    (alpha, beta, to_beta)
}

/// Asks the counter of another node, and tells what that said.
#[farcall::message(result = u64)]
struct Relay {
    to: String,
}

#[derive(RemoteActor)]
#[remote(Relay)]
struct Relays(Node);

impl Actor for Relays {
    type Context = Context<Self>;
}

impl Handler<Relay> for Relays {
    type Result = ResponseFuture<u64>;

    fn handle(&mut self, relay: Relay, _: &mut Context<Self>) -> Self::Result {
        let (node, to) = (self.0.clone(), relay.to.parse::<Target>().unwrap());
        Box::pin(async move { node.call(&to, "behind", Total).await.unwrap() }.in_current_span())
    }
}

#[actix::test]
async fn one_trace_goes_from_the_caller_over_a_relay_to_the_last_handler() {
    watch();
    let nodes = nodes_with(3, |builder| builder.tracing(Ids)).await;
    let (alpha, beta, gamma) = (&nodes[0], &nodes[1], &nodes[2]);
    beta.register("relay", Relays(beta.clone()).start()).unwrap().keep();
    gamma.register("behind", Counter { total: 7 }.start()).unwrap().keep();
    // The first request waits for the handshake.
    let to_beta = target(beta);
    let asks = alpha.call(&to_beta, "relay", Relay { to: gamma.name().to_string() });
    let around = tracing::info_span!("around", actor = "the user");
    assert_eq!(asks.into_future().instrument(around).await.unwrap(), 7);

    let (around, call) = (the("around", "the user").await, the("call", "relay").await);
    let (request, onward) = (the("request", "relay").await, the("call", "behind").await);
    let last = the("request", "behind").await;
    let trace = call.field("trace_id");
    assert_eq!(trace.len(), 32, "{call:?}");
    for span in [&request, &onward, &last] {
        assert_eq!(span.field("trace_id"), trace, "{span:?}");
    }
    assert_eq!(call.parent, Some(around.id));
    assert_eq!((request.parent, request.field("parent_id")), (None, call.field("span_id")));
    let handle = handle_of(&request).unwrap();
    assert!(handle.closed && handle.field("mailbox_us").parse::<u64>().is_ok(), "{handle:?}");
    assert_eq!(onward.parent, Some(handle.id));
    assert_eq!(last.field("parent_id"), onward.field("span_id"));
    assert!(request.field("left_ms").parse::<u64>().is_ok(), "{request:?}");
    for span in [&call, &request, &onward, &last] {
        assert_eq!(span.field("outcome"), "ok", "{span:?}");
    }
    assert_eq!((call.field("node"), request.field("node")), (beta.name().as_str(), alpha.name().as_str()));
    assert_eq!((call.field("otel.kind"), request.field("otel.kind")), ("client", "server"));
}

#[actix::test]
async fn every_way_to_send_brings_its_trace_also_in_fragments() {
    let (alpha, _beta, to_beta) = traced_pair("every way").await;
    let all = async {
        alpha.call(&to_beta, "every way", Echo { bytes: vec![7; 500_000] }).await.unwrap();
        let mut numbers = alpha.stream(&to_beta, "every way", Count { to: 3 }).await.unwrap();
        while let Some(number) = numbers.next().await {
            number.unwrap();
        }
        drop(numbers);
        let report = alpha.sbcast(vec![to_beta.clone()], "every way", Add { amount: 1 }).await;
        assert!(report.failed.is_empty());
        alpha.cast(&to_beta, "every way", Add { amount: 1 }).acked().await.unwrap();
    };
    all.instrument(tracing::info_span!("around", actor = "all of it")).await;
    eventually("all requests end", || {
        let requests = seen("request", "every way");
        requests.len() == 4 && requests.iter().all(|request| request.closed)
    })
    .await;
    let mut requests = seen("request", "every way").into_iter();
    let mut traces = std::collections::HashSet::new();
    for (name, kind) in
        [("call", "server"), ("stream", "server"), ("deliver", "consumer"), ("cast", "consumer")]
    {
        let (sent, request) = (the(name, "every way").await, requests.next().unwrap());
        assert_eq!(request.field("parent_id"), sent.field("span_id"), "{name}: {request:?}");
        assert_eq!(request.field("trace_id"), sent.field("trace_id"));
        assert_eq!((request.field("otel.kind"), sent.field("outcome")), (kind, "ok"));
        traces.insert(sent.field("trace_id").to_owned());
    }
    assert_eq!(traces.len(), 4, "outside of every trace each begins its own: {traces:?}");
}

#[actix::test]
async fn what_became_of_a_request_stands_on_both_sides() {
    let (alpha, beta, to_beta) = traced_pair("fails").await;
    alpha.call(&to_beta, "not there", Total).await.unwrap_err();
    assert_eq!(the("call", "not there").await.field("outcome"), "no_such_actor");
    assert_eq!(the("request", "not there").await.field("outcome"), "no_such_actor");

    beta.register("slow", Counter::default().start()).unwrap().keep();
    let slow = alpha.call(&to_beta, "slow", Sleep { ms: 60_000 });
    slow.timeout(Duration::from_millis(50)).await.unwrap_err();
    assert_eq!(the("call", "slow").await.field("outcome"), "timeout");

    alpha.call(&to_beta, "fails", Panic).await.unwrap_err();
    let (call, request) = (the("call", "fails").await, the("request", "fails").await);
    assert_eq!((call.field("outcome"), call.field("otel.status_code")), ("panicked", "ERROR"));
    assert_eq!(request.field("outcome"), "panicked");

    beta.register("given up", Counter::default().start()).unwrap().keep();
    {
        let call = std::pin::pin!(alpha.call(&to_beta, "given up", Sleep { ms: 60_000 }).into_future());
        assert!(futures::poll!(call).is_pending());
    }
    assert_eq!(the("call", "given up").await.field("outcome"), "given_up");
}

/// Blocks its thread until it is let go.
#[farcall::message]
struct Stay;

#[derive(RemoteActor)]
#[remote(Stay)]
struct Stays(std::sync::mpsc::Receiver<()>);

impl Actor for Stays {
    type Context = Context<Self>;
}

impl Handler<Stay> for Stays {
    type Result = ();

    fn handle(&mut self, _: Stay, _: &mut Context<Self>) {
        // It is let go by a word, or by the end of the test.
        let _ = self.0.recv();
    }
}

#[actix::test]
async fn a_request_that_is_not_started_because_its_connection_is_lost_is_not_called_well() {
    let (alpha, beta, to_beta) = traced_pair("free").await;
    let own_thread = Arbiter::new();
    let (let_go, gate) = std::sync::mpsc::channel();
    let blocked = Stays::start_in_arbiter(&own_thread.handle(), |_| Stays(gate));
    beta.register("blocked", blocked).unwrap().keep();
    let (first, second) = (alpha.clone(), alpha.clone());
    let (to_first, to_second) = (to_beta.clone(), to_beta.clone());
    let first = actix::spawn(async move { first.call(&to_first, "blocked", Stay).await });
    eventually("the first one runs", || {
        seen("request", "blocked").first().is_some_and(|it| handle_of(it).is_some())
    })
    .await;
    let second = actix::spawn(async move { second.call(&to_second, "blocked", Stay).await });
    eventually("the second one waits", || seen("request", "blocked").len() == 2).await;
    alpha.kill_clients(beta.name());
    let (first, second) = (first.await.unwrap().unwrap_err(), second.await.unwrap().unwrap_err());
    assert_eq!((first.reason(), second.reason()), ("link_lost", "link_lost"));
    eventually("its node knows of the loss", || beta.inbound().is_empty()).await;
    let_go.send(()).unwrap();
    eventually("both end", || seen("request", "blocked").iter().all(|request| request.closed)).await;
    let requests = seen("request", "blocked");
    let outcomes: Vec<_> =
        requests.iter().map(|request| (request.field("outcome"), handle_of(request).is_some())).collect();
    assert_eq!(outcomes, [("ok", true), ("link_lost", false)]);
}

#[actix::test]
async fn whoever_does_not_trace_is_called_and_calls_as_before() {
    watch();
    let nodes = nodes_with(2, |builder| {
        // The first one does not.
        static FIRST: std::sync::Once = std::sync::Once::new();
        let mut traces = true;
        FIRST.call_once(|| traces = false);
        if traces { builder.tracing(Ids) } else { builder }
    })
    .await;
    let (alpha, beta) = (&nodes[0], &nodes[1]);
    alpha.register("silent", Counter { total: 1 }.start()).unwrap().keep();
    beta.register("speaking", Counter { total: 2 }.start()).unwrap().keep();
    assert_eq!(alpha.call(&target(beta), "speaking", Total).await.unwrap(), 2);
    assert_eq!(beta.call(&target(alpha), "silent", Total).await.unwrap(), 1);
    let (request, call) = (the("request", "speaking").await, the("call", "silent").await);
    assert_eq!((request.field("parent_id"), request.field("trace_id").len()), ("", 32));
    assert_eq!(call.field("outcome"), "ok");
    assert!(seen("request", "silent").is_empty() && seen("call", "speaking").is_empty());
}

#[actix::test]
async fn what_the_runtime_asks_has_no_spans() {
    let (alpha, _beta, to_beta) = traced_pair("described").await;
    alpha.describe(&to_beta).await.unwrap();
    assert_eq!(seen("call", "farcall").len() + seen("request", "farcall").len(), 0);
    let all = SEEN.lock().unwrap();
    assert!(!all.iter().any(|seen| seen.field("message").starts_with("farcall.")), "{all:?}");
}

/// Notes what came with requests, and has no spans for it.
#[derive(Clone, Default)]
struct Notes(std::sync::Arc<Mutex<Vec<Option<TraceContext>>>>);

impl Bridge for Notes {
    fn outgoing(&self, span: &tracing::Span) -> Option<TraceContext> {
        Ids.outgoing(span)
    }

    fn incoming(&self, _: &tracing::Span, from: Option<&TraceContext>) {
        self.0.lock().unwrap().push(from.copied());
    }
}

#[actix::test]
async fn where_spans_of_farcall_are_turned_off_the_one_around_a_call_travels() {
    let off = tracing_subscriber::filter::filter_fn(|metadata| metadata.target() != "farcall");
    let _here = tracing::subscriber::set_default(Registry::default().with(off));
    let notes = Notes::default();
    let (alpha, _beta, to_beta) = pair_with(|builder| builder.tracing(notes.clone())).await;
    alpha.call(&to_beta, "counter", Total).await.unwrap();
    let around = tracing::info_span!("around");
    for _ in 0..2 {
        let call = alpha.call(&to_beta, "counter", Total).into_future();
        call.instrument(around.clone()).await.unwrap();
    }
    let sent = Ids.outgoing(&around);
    assert!(sent.is_some());
    assert_eq!(*notes.0.lock().unwrap(), [None, sent, sent], "nothing travels from outside of every span");
}
