//! The spans of requests.

use std::sync::Arc;
use std::time::Instant;

use ::tracing::field::Empty;
use ::tracing::instrument::Instrumented;
use ::tracing::{Instrument, Span, info_span};
use farcall_proto::link::frame::NO_DEADLINE;
use farcall_proto::link::{Request, RequestKind, SubmitKind};
use farcall_proto::peer::NodeName;
use farcall_proto::trace::TraceContext;

use super::Bridge;
use crate::registry::RESERVED;

/// Makes the spans of a node, if it is to make any.
#[derive(Clone, Default)]
pub(crate) struct Tracer(Option<Arc<dyn Bridge>>);

/// The span of a request that this node sends, until its end.
#[derive(Debug, Default)]
pub(crate) struct Asked(Option<Box<Sending>>);

#[derive(Debug)]
struct Sending {
    span: Span,
    context: Option<TraceContext>,
    ended: bool,
}

/// The span of a request that came in, until its answer is given.
#[derive(Debug, Default)]
pub(crate) struct Served(Option<Box<Serving>>);

#[derive(Debug)]
struct Serving {
    span: Span,
    ended: bool,
}

/// The span of a handler.
#[derive(Debug)]
pub(crate) struct Handling(Option<Span>);

macro_rules! request_span {
    ($name:literal, $kind:literal, $node:ident, $actor:ident, $message:ident) => {
        info_span!(
            target: "farcall",
            $name,
            otel.kind = $kind,
            otel.name = %format_args!("{} {}/{}", $name, $actor, $message),
            node = %$node,
            actor = $actor,
            message = $message,
            outcome = Empty,
            otel.status_code = Empty,
            trace_id = Empty,
            span_id = Empty,
            parent_id = Empty,
        )
    };
}

impl Tracer {
    pub(crate) fn new(bridge: impl Bridge) -> Self {
        Self(Some(Arc::new(bridge)))
    }

    /// A request begins.
    #[inline]
    pub(crate) fn asks(&self, kind: SubmitKind, node: &NodeName, actor: &str, message: &str) -> Asked {
        Asked(self.0.as_deref().and_then(|bridge| asks(bridge, kind, node, actor, message)))
    }

    /// A cast begins.
    #[inline]
    pub(crate) fn casts(&self, node: &NodeName, actor: &str, message: &str) -> Asked {
        Asked(self.0.as_deref().and_then(|bridge| casts(bridge, node, actor, message)))
    }

    /// A request came in: `find` says from which node, to which actor, and with which message.
    #[inline]
    pub(crate) fn serves<'a>(
        &self,
        request: &mut Request,
        find: impl FnOnce() -> Option<(&'a NodeName, &'a str, &'a str)>,
    ) -> Served {
        Served(self.0.as_deref().and_then(|bridge| serves(bridge, request, find()?)))
    }
}

/// What follows runs only where traces are asked for: the others pay for a look at whether they are.
#[inline(never)]
fn asks(
    bridge: &dyn Bridge,
    kind: SubmitKind,
    node: &NodeName,
    actor: &str,
    message: &str,
) -> Option<Box<Sending>> {
    if actor == RESERVED {
        return None;
    }
    let span = match kind {
        SubmitKind::Call => request_span!("call", "client", node, actor, message),
        SubmitKind::Deliver => request_span!("deliver", "producer", node, actor, message),
        SubmitKind::Open { .. } => request_span!("stream", "client", node, actor, message),
    };
    Some(Sending::new(bridge, span))
}

#[inline(never)]
fn casts(bridge: &dyn Bridge, node: &NodeName, actor: &str, message: &str) -> Option<Box<Sending>> {
    (actor != RESERVED).then(|| Sending::new(bridge, request_span!("cast", "producer", node, actor, message)))
}

#[inline(never)]
fn serves(
    bridge: &dyn Bridge,
    request: &mut Request,
    (node, actor, message): (&NodeName, &str, &str),
) -> Option<Box<Serving>> {
    if actor == RESERVED {
        return None;
    }
    let kind = match request.kind {
        RequestKind::Call | RequestKind::Open { .. } => "server",
        RequestKind::Cast { .. } | RequestKind::Deliver => "consumer",
    };
    let span = info_span!(
        target: "farcall",
        parent: None,
        "request",
        otel.kind = kind,
        otel.name = %format_args!("request {actor}/{message}"),
        node = %node,
        actor,
        message,
        left_ms = (request.deadline_ms != NO_DEADLINE).then_some(request.deadline_ms),
        outcome = Empty,
        otel.status_code = Empty,
        trace_id = Empty,
        span_id = Empty,
        parent_id = Empty,
    );
    bridge.incoming(&span, request.trace.take().as_deref());
    Some(Box::new(Serving { span, ended: false }))
}

impl std::fmt::Debug for Tracer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Tracer").field(&self.0.is_some()).finish()
    }
}

impl Sending {
    fn new(bridge: &dyn Bridge, span: Span) -> Box<Self> {
        // Whoever does not look at these spans may look at his own.
        let context =
            if span.is_disabled() { bridge.outgoing(&Span::current()) } else { bridge.outgoing(&span) };
        Box::new(Self { span, context, ended: false })
    }
}

impl Asked {
    /// What travels with the request.
    pub(crate) fn context(&self) -> Option<&TraceContext> {
        self.0.as_ref()?.context.as_ref()
    }

    /// It has its outcome.
    pub(crate) fn ended(&mut self, outcome: Result<(), &'static str>) {
        if let Some(mut sending) = self.0.take() {
            sending.ended = true;
            end(&sending.span, outcome.err().unwrap_or(OK));
        }
    }
}

/// Whoever waited for the answer waits no more.
impl Drop for Sending {
    fn drop(&mut self) {
        if !self.ended {
            end(&self.span, "given_up");
        }
    }
}

impl Served {
    /// Its handler begins, after it came at `came`.
    pub(crate) fn handle(&self, came: Instant, now: Instant) -> Handling {
        Handling(self.0.as_ref().map(|serving| serving.handle(came, now)))
    }

    /// It has its outcome, which is no value.
    pub(crate) fn ended(&mut self, outcome: &'static str) {
        if let Some(mut serving) = self.0.take() {
            serving.ended = true;
            end(&serving.span, outcome);
        }
    }
}

impl Serving {
    #[inline(never)]
    fn handle(&self, came: Instant, now: Instant) -> Span {
        let waited = now.saturating_duration_since(came).as_micros();
        let mailbox_us = u64::try_from(waited).unwrap_or(u64::MAX);
        info_span!(target: "farcall", parent: &self.span, "handle", mailbox_us)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        if !self.ended {
            end(&self.span, if std::thread::panicking() { "panicked" } else { OK });
        }
    }
}

impl Handling {
    /// Runs a handler.
    pub(crate) fn inside<T>(&self, run: impl FnOnce() -> T) -> T {
        match &self.0 {
            Some(span) => span.in_scope(run),
            None => run(),
        }
    }

    /// Runs the rest of it.
    pub(crate) fn around<F: Future>(self, future: F) -> Instrumented<F> {
        future.instrument(self.0.unwrap_or_else(Span::none))
    }
}

const OK: &str = "ok";

fn end(span: &Span, outcome: &'static str) {
    span.record("outcome", outcome);
    if outcome != OK {
        span.record("otel.status_code", "ERROR");
    }
}
