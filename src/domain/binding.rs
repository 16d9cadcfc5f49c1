//! The one face of a component.

use super::{BindingError, ComponentName, EventHandler, InvokeRequest, InvokeResponse, Stop};
use async_trait::async_trait;
use std::fmt::Debug;
use std::sync::Arc;

/// A connected component. A side that it does not have is `None`, never a method that fails.
#[async_trait]
pub trait Binding: Debug + Send + Sync {
    /// The component's name.
    fn name(&self) -> &ComponentName;

    /// The side that brings events to the app.
    fn input(&self) -> Option<&dyn InputBinding>;

    /// The side that the app calls.
    fn output(&self) -> Option<&dyn OutputBinding>;

    /// Ends what the component still holds. Called once, after inputs are drained and callers answered.
    async fn close(&self);
}

/// The input side: reads events and hands each to the app.
#[async_trait]
pub trait InputBinding: Debug + Send + Sync {
    /// Delivers events until told to stop.
    ///
    /// Returns only after the delivery in hand is settled and progress is stored. Not cancel-safe: dropping the
    /// future leaves leases to expire.
    ///
    /// # Errors
    /// When the input cannot go on; the caller restarts it with backoff.
    async fn read(&self, handler: Arc<dyn EventHandler>, stop: Stop) -> Result<(), BindingError>;

    /// Why the input does not read until an operator changes something; `None` while it reads or may soon. Shown in the
    /// health of the sidecar.
    fn refusal(&self) -> Option<String> {
        None
    }
}

/// The output side: performs one operation for a caller.
#[async_trait]
pub trait OutputBinding: Debug + Send + Sync {
    /// The operations offered, in the order in which errors list them.
    fn operations(&self) -> &[&'static str];

    /// For components that take a raw body as the data (`allowRawBody`): the request metadata that may come as headers
    /// beside it, in their true case, since headers know none. `None`: bodies are JSON, always.
    fn raw_body_keys(&self) -> Option<&'static [&'static str]> {
        None
    }

    /// Performs one operation and answers for exactly this request. Success means that the service confirmed it.
    ///
    /// # Errors
    /// With the kind of the failure and, where the effect is not known, `Outcome::Unknown`.
    async fn invoke(&self, request: InvokeRequest) -> Result<InvokeResponse, BindingError>;
}
