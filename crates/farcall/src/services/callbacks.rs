//! What an application may be told of services, as it happens.

use std::time::Duration;

use farcall_proto::peer::NodeName;

use crate::error::CallError;

/// Why a call to a service failed.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum CallbackFailure<'a> {
    /// There was no answer.
    Transport(&'a CallError),
    /// There was an answer, and its caller takes it for a failure
    /// ([`failed_if`](super::ServiceCall::failed_if)).
    Application,
    /// Nobody serves it.
    NoNode,
}

/// Told of calls to services, and of services that come and go. Called on whichever thread it happens: it must not wait.
pub trait ServiceCallbacks: Send + Sync + 'static {
    /// A node offers a service that it did not offer; it can be called already.
    fn new_resource(&self, service: &str, node: &NodeName) {
        let _ = (service, node);
    }

    /// A node no longer offers a service, or is gone; it is not called any more.
    fn lost_resource(&self, service: &str, node: &NodeName) {
        let _ = (service, node);
    }

    /// A call took so long, with everything that was tried, however it ended.
    fn measure(&self, service: &str, message: &str, took: Duration) {
        let _ = (service, message, took);
    }

    /// A call was answered.
    fn success(&self, service: &str, message: &str) {
        let _ = (service, message);
    }

    /// A call failed.
    fn failure(&self, service: &str, message: &str, why: CallbackFailure<'_>) {
        let _ = (service, message, why);
    }
}

/// Does nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoCallbacks;

impl ServiceCallbacks for NoCallbacks {}
