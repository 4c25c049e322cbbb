//! One trace over three nodes: a shop asks the orders, and those ask the stock. OpenTelemetry has the spans, and shows
//! which belongs below which.
//!
//! `cargo run -p farcall-examples --bin tracing` prints the tree and ends. The exporter keeps the spans in memory; with one of
//! `opentelemetry-otlp` in its place they are in Jaeger or Tempo.

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::error::Error;

use actix::prelude::*;
use farcall::prelude::*;
use farcall::trace::{Bridge, TraceContext};
use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState, TracerProvider,
};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use tracing::{Instrument, Span, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::prelude::*;

/// What farcall has to know of OpenTelemetry: what a span is called, and how it gets a parent.
struct OpenTelemetry;

impl Bridge for OpenTelemetry {
    fn outgoing(&self, span: &Span) -> Option<TraceContext> {
        let context = span.context();
        let context = context.span().span_context().clone();
        let ids = (context.trace_id().to_bytes(), context.span_id().to_bytes());
        TraceContext::new(ids.0, ids.1, context.is_sampled())
    }

    fn incoming(&self, span: &Span, from: Option<&TraceContext>) {
        let Some(from) = from else { return };
        let flags = TraceFlags::default().with_sampled(from.is_sampled());
        let ids = (TraceId::from_bytes(from.trace_id()), SpanId::from_bytes(from.span_id()));
        let parent = SpanContext::new(ids.0, ids.1, flags, true, TraceState::default());
        // It fails where nobody records the span, and then there is nothing to be a child.
        let _ = span.set_parent(opentelemetry::Context::new().with_remote_span_context(parent));
    }
}

/// How many pieces of it there are.
#[farcall::message(result = u32)]
struct InStock {
    what: String,
}

/// Whether so many can be had.
#[farcall::message(result = bool)]
struct Order {
    what: String,
    pieces: u32,
}

#[derive(RemoteActor)]
#[remote(InStock)]
struct Stock;

impl Actor for Stock {
    type Context = Context<Self>;
}

impl Handler<InStock> for Stock {
    type Result = u32;

    fn handle(&mut self, asked: InStock, _: &mut Context<Self>) -> u32 {
        // A span of your own, below farcall's.
        info_span!("look it up").in_scope(|| if asked.what == "tea" { 12 } else { 0 })
    }
}

#[derive(RemoteActor)]
#[remote(Order)]
struct Orders {
    node: Node,
    stock: Target,
}

impl Actor for Orders {
    type Context = Context<Self>;
}

impl Handler<Order> for Orders {
    type Result = ResponseFuture<bool>;

    fn handle(&mut self, order: Order, _: &mut Context<Self>) -> Self::Result {
        let (node, stock) = (self.node.clone(), self.stock.clone());
        let answer = async move {
            let there = node.call(&stock, "stock", InStock { what: order.what }).await;
            there.is_ok_and(|pieces| pieces >= order.pieces)
        };
        // actix polls it later: it takes the span of the handler along.
        Box::pin(answer.in_current_span())
    }
}

#[actix::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("the shop"));
    tracing_subscriber::registry().with(layer).try_init()?;

    // Three nodes; each says that it traces.
    let node = |name: &str| Node::builder(name).tracing(OpenTelemetry);
    let anywhere = [([127, 0, 0, 1], 0).into()];
    let warehouse = node("warehouse@127.0.0.1").listen(anywhere).start().await?;
    let _stock = warehouse.register("stock", Stock.start())?;
    let at = warehouse.listening_on().first().ok_or("the warehouse listens")?.to_string();
    let office = node("office@127.0.0.1").listen(anywhere).node("warehouse@127.0.0.1", at).start().await?;
    let orders = Orders { node: office.clone(), stock: warehouse.name().into() };
    let _orders = office.register("orders", orders.start())?;
    let at = office.listening_on().first().ok_or("the office listens")?.to_string();
    let shop = node("shop@127.0.0.1").no_listener().node("office@127.0.0.1", at).start().await?;

    let office_of = Target::from(office.name());
    let order = shop.call(&office_of, "orders", Order { what: "tea".to_owned(), pieces: 3 });
    let can_be_had = order.into_future().instrument(info_span!("somebody wants tea")).await?;
    println!("tea can be had: {can_be_had}");

    // Whoever answered hands its span in last.
    for node in [&shop, &office, &warehouse] {
        node.shutdown().await;
    }
    provider.force_flush()?;
    let spans = exporter.get_finished_spans()?;
    for root in spans.iter().filter(|span| span.parent_span_id == SpanId::INVALID) {
        show(root, &spans, 0);
    }
    Ok(())
}

/// Prints a span, and those below it.
fn show(span: &SpanData, all: &[SpanData], depth: usize) {
    let far = if span.parent_span_is_remote { ", from another node" } else { "" };
    println!("{:indent$}{} ({:?}{far})", "", span.name, span.span_kind, indent = 2 * depth);
    let id = span.span_context.span_id();
    let same = |one: &&SpanData| one.span_context.trace_id() == span.span_context.trace_id();
    for child in all.iter().filter(same).filter(|one| one.parent_span_id == id) {
        show(child, all, depth + 1);
    }
}
