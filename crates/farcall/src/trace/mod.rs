//! One trace over many nodes: the caller's span, the way, the wait in the mailbox, and the handler.
//!
//! With the feature `tracing`, a node that was built with [`NodeBuilder::tracing`](crate::NodeBuilder::tracing) makes these
//! [spans](::tracing::Span), all of the target `farcall` and the level `INFO`:
//!
//! ```text
//! alpha   call ├──────────────────────────────────────────────┤   from the first poll to the answer
//!                   │ queue and wire                 wire ▲
//! beta              ▼ request ├───────────────────────────┤       from its being read to the answer's being handed over
//!                              mailbox │
//!                                      ▼ handle ├─────────┤       the handler, with what it waits for
//! ```
//!
//! | span | on | fields |
//! |---|---|---|
//! | `call`, `stream`, `deliver` (sbcast) | caller | `node`, `actor`, `message`, `outcome`: `ok`, or the [reason](crate::CallError::reason) |
//! | `cast` | caller | the same; it ends when the cast is queued |
//! | `request` | handler's node | `node` (the caller), `actor`, `message`, `left_ms` (what is left of the time, nothing if it has no deadline), `outcome`: `ok`, or why it was refused |
//! | `handle` | handler's node | `mailbox_us`: how long it waited in the mailbox |
//!
//! Each has `otel.kind` and `otel.name`, as [tracing-opentelemetry](https://docs.rs/tracing-opentelemetry) wants them. The handler runs inside
//! `handle`: what it logs and calls belongs to the trace. A future that it returns is polled by actix, outside; end
//! it with [`in_current_span`](::tracing::Instrument::in_current_span).
//!
//! What travels is a [`TraceContext`], 25 bytes a request. A peer without the feature skips it. Requests of the runtime itself, as `describe`, have
//! no spans.
//!
//! # Without OpenTelemetry
//!
//! [`Ids`] draws the ids and writes them into the spans as `trace_id`, `span_id` and `parent_id`, so that the lines of
//! all nodes about one request can be found by one word:
//!
//! ```
//! use farcall::trace::Ids;
//! use tracing_subscriber::prelude::*;
//!
//! # #[actix::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Any layer that shows spans may stand on it: tracing_subscriber::fmt::layer() with its feature `fmt`.
//! tracing_subscriber::registry().try_init()?;
//! # let cookie = farcall::Cookie::new(b"an example cookie, 16 bytes or more")?;
//! let alpha = farcall::Node::builder("alpha@127.0.0.1").no_listener().cookie(cookie).tracing(Ids).start().await?;
//! # alpha.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! # With OpenTelemetry, or anything else
//!
//! Say how a span of yours gets its parent and what it is called elsewhere, in a [`Bridge`]. The example `tracing` of the repository has
//! the twenty lines for tracing-opentelemetry.
//!
//! # What it costs
//!
//! Nothing without the feature. With it, and no [`NodeBuilder::tracing`](crate::NodeBuilder::tracing), up to 2.4 % more instructions on either side of
//! a call or a cast: `cargo run --profile gates -p farcall-gates --features farcall/tracing -- check`. Spans cost what your subscriber makes of
//! them; to keep them out of it, turn the target `farcall` off: then the context of the span around a call travels, and no
//! span is made.

#[cfg(feature = "tracing")]
mod ids;
#[cfg(not(feature = "tracing"))]
mod off;
#[cfg(feature = "tracing")]
mod on;

#[cfg(not(feature = "tracing"))]
pub(crate) use off::{Asked, Handling, Served, Tracer};
#[cfg(feature = "tracing")]
pub(crate) use on::{Asked, Handling, Served, Tracer};

#[cfg(feature = "tracing")]
pub use farcall_proto::trace::{NotATraceparent, TraceContext};
#[cfg(feature = "tracing")]
pub use ids::Ids;

/// How spans of this process and those of other nodes come together.
///
/// Both functions run on the hot path of every request: they must not block.
#[cfg(feature = "tracing")]
pub trait Bridge: Send + Sync + 'static {
    /// What `span` is called on other nodes. Nothing travels if there is no such name. The span may be
    /// [`none`](::tracing::Span::none): then nobody looks at this call.
    fn outgoing(&self, span: &::tracing::Span) -> Option<TraceContext>;

    /// Makes the span of a request, which has no parent here, the child of what it was sent from. Nothing came with it if
    /// the caller does not trace.
    fn incoming(&self, span: &::tracing::Span, from: Option<&TraceContext>);
}
