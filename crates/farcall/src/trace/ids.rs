//! Ids for traces, without a tracing system behind them.

use std::cell::Cell;

use ::tracing::Span;
use farcall_proto::trace::TraceContext;
use tracing_subscriber::Registry;
use tracing_subscriber::registry::LookupSpan;

use super::Bridge;

/// Draws the ids of traces and writes them into farcall's spans: `trace_id`, `span_id`, and of requests that came in
/// `parent_id`.
///
/// The subscriber must stand on a [`Registry`](tracing_subscriber::Registry), as those of `tracing_subscriber` do; on any other nothing travels. A call
/// outside of every trace begins one.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ids;

impl Bridge for Ids {
    fn outgoing(&self, span: &Span) -> Option<TraceContext> {
        let found = span.with_subscriber(|(id, dispatch)| {
            let registry = dispatch.downcast_ref::<Registry>()?;
            let this = registry.span(id)?;
            // The span itself is the first of its scope.
            let known = this.scope().find_map(|span| {
                let context = span.extensions().get::<TraceContext>().copied()?;
                Some((span.id() == *id, context))
            });
            match known {
                Some((true, context)) => Some((context, false)),
                known => {
                    let context = below(known.map(|(_, context)| context).as_ref())?;
                    this.extensions_mut().replace(context);
                    Some((context, true))
                }
            }
        });
        let (context, is_new) = found.flatten()?;
        if is_new {
            record(span, &context);
        }
        Some(context)
    }

    fn incoming(&self, span: &Span, from: Option<&TraceContext>) {
        let context = span.with_subscriber(|(id, dispatch)| {
            let span = dispatch.downcast_ref::<Registry>()?.span(id)?;
            let context = below(from)?;
            span.extensions_mut().replace(context);
            Some(context)
        });
        let Some(context) = context.flatten() else { return };
        record(span, &context);
        if let Some(from) = from {
            span.record("parent_id", hex(&from.span_id()));
        }
    }
}

fn record(span: &Span, context: &TraceContext) {
    span.record("trace_id", hex(&context.trace_id()));
    span.record("span_id", hex(&context.span_id()));
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Into a String: cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A new span below another one; without one, it begins a trace.
fn below(parent: Option<&TraceContext>) -> Option<TraceContext> {
    let trace_id = match parent {
        Some(parent) => parent.trace_id(),
        None => ((u128::from(drawn()?) << 64) | u128::from(drawn()?)).to_be_bytes(),
    };
    let sampled = parent.is_none_or(TraceContext::is_sampled);
    TraceContext::new(trace_id, drawn()?.to_be_bytes(), sampled)
}

thread_local! {
    static STATE: Cell<Option<u64>> = const { Cell::new(None) };
}

/// A number that is no other one's, most likely: these are names, and no secrets, so the system is asked once a thread.
fn drawn() -> Option<u64> {
    let state = match STATE.get() {
        Some(state) => state,
        None => getrandom::u64().ok()?,
    };
    // SplitMix64: Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014.
    let state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    STATE.set(Some(state));
    let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    Some(mixed ^ (mixed >> 31))
}
