//! Nothing of it, for programs without the feature `tracing`.

use std::time::Instant;

use farcall_proto::link::{Request, SubmitKind};
use farcall_proto::peer::NodeName;
use farcall_proto::trace::TraceContext;

/// Makes no spans.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tracer(());

/// No span of a request that this node sends.
#[derive(Debug, Default)]
pub(crate) struct Asked(());

/// No span of a request that came in.
#[derive(Debug, Default)]
pub(crate) struct Served(());

/// No span of a handler.
#[derive(Debug)]
pub(crate) struct Handling(());

impl Tracer {
    pub(crate) fn asks(&self, _: SubmitKind, _: &NodeName, _: &str, _: &str) -> Asked {
        Asked(())
    }

    pub(crate) fn casts(&self, _: &NodeName, _: &str, _: &str) -> Asked {
        Asked(())
    }

    pub(crate) fn serves<'a>(
        &self,
        _: &mut Request,
        _: impl FnOnce() -> Option<(&'a NodeName, &'a str, &'a str)>,
    ) -> Served {
        Served(())
    }
}

impl Asked {
    pub(crate) fn context(&self) -> Option<&TraceContext> {
        None
    }

    pub(crate) fn ended(&mut self, _: Result<(), &'static str>) {}
}

impl Served {
    pub(crate) fn handle(&self, _: Instant, _: Instant) -> Handling {
        Handling(())
    }

    pub(crate) fn ended(&mut self, _: &'static str) {}
}

impl Handling {
    pub(crate) fn inside<T>(&self, run: impl FnOnce() -> T) -> T {
        run()
    }

    pub(crate) fn around<F: Future>(self, future: F) -> F {
        future
    }
}
