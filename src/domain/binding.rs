//! The interface of a component.

use super::{
    BindingError, ComponentName, CredentialReport, EventFormat, EventHandler, InputReport, InvokeRequest,
    InvokeResponse, OutputReport, Stop,
};
use async_trait::async_trait;
use std::borrow::Cow;
use std::fmt::Debug;
use std::sync::Arc;

/// A connected component. A side that it does not have is `None`, never a method that fails.
#[async_trait]
pub trait Binding: Debug + Send + Sync {
    /// `metadata.name`
    fn name(&self) -> &ComponentName;

    /// Reads events and delivers them to the app.
    fn input(&self) -> Option<&dyn InputBinding>;

    /// Performs operations for the app.
    fn output(&self) -> Option<&dyn OutputBinding>;

    /// The state of its AWS credentials; `None` if it has none. No call is made for it.
    fn credentials(&self) -> Option<CredentialReport> {
        None
    }

    /// Closes what the component still holds, after inputs are drained and callers have their responses. When the future
    /// is dropped, what it waits for is aborted; a second call waits until that has ended.
    async fn close(&self);
}

/// Calls outputs by name, for components that use others. A component that is replaced is found again at the next call.
#[async_trait]
pub trait Outputs: Debug + Send + Sync {
    /// Performs an operation of the output that has this name now; `None` if there is none.
    async fn call(&self, name: &ComponentName, request: InvokeRequest) -> Option<Result<InvokeResponse, BindingError>>;
}

/// The input side: reads events and delivers each to the app.
#[async_trait]
pub trait InputBinding: Debug + Send + Sync {
    /// Delivers events until `stop` requests the end.
    ///
    /// Returns only after the deliveries in flight have ended and progress is stored. Not cancel-safe: when the future is
    /// dropped, its leases stay until they expire.
    ///
    /// # Errors
    /// When the input cannot continue. The caller restarts it with backoff.
    async fn read(&self, handler: Arc<dyn EventHandler>, stop: Stop) -> Result<(), BindingError>;

    /// As [`Binding::close`], for what this side holds.
    async fn close(&self) {}

    /// Called when the input is not read again, because it was removed or replaced: gives up what it holds against the other
    /// inputs of the process, such as the reservation of a lease table. It may still be draining; those that take over begin
    /// after that. May be called more than once.
    fn release(&self) {}

    /// How the handler that is given to [`Self::read`] writes requests and reads responses.
    fn event_format(&self) -> EventFormat {
        EventFormat::default()
    }

    /// Why the input does not read: an operator must change something, or a call that it needs has failed for more than a
    /// minute. `None` while it reads or will soon. `healthz` shows it.
    fn refusal(&self) -> Option<String> {
        None
    }

    /// Why the input reads in another way than its file asks for, such as by polling instead of enhanced fan-out; `None`
    /// while it reads as asked.
    fn fallback(&self) -> Option<String> {
        None
    }

    /// The state of the input and of each shard; `None` if it keeps none.
    fn report(&self) -> Option<InputReport> {
        None
    }
}

/// The name of an operation. That of a pluggable component is known only at run time.
pub type OperationName = Cow<'static, str>;

/// The output side: performs one operation for a caller.
#[async_trait]
pub trait OutputBinding: Debug + Send + Sync {
    /// The operations offered, in the order in which errors list them.
    fn operations(&self) -> &[OperationName];

    /// For components that accept a raw body as data (`allowRawBody`): the request metadata that may be sent as
    /// headers. The names have their exact case, because HTTP header names ignore case. `None` if the body is always
    /// JSON.
    fn raw_body_keys(&self) -> Option<&'static [&'static str]> {
        None
    }

    /// Performs one operation. Success means that the service confirmed exactly this request.
    ///
    /// # Errors
    /// With the kind of the failure and, where the effect is not known, `Outcome::Unknown`.
    async fn invoke(&self, request: InvokeRequest) -> Result<InvokeResponse, BindingError>;

    /// No call will come any more, and all have ended: what is queued for callers that went away can be finished. Does not
    /// wait for that, and may be called more than once.
    fn finish(&self) {}

    /// What it knows of its records and of the stream; `None` if it keeps no count. No call is made for it.
    fn report(&self) -> Option<OutputReport> {
        None
    }

    /// As [`Binding::close`], for what this side holds.
    async fn close(&self) {}

    /// As [`Self::invoke`], but for a caller that repeats it: the component makes one attempt for what the whole request
    /// does. It still repeats single items of a bulk, whose results are in the response, where no caller can repeat them.
    ///
    /// # Errors
    /// As [`Self::invoke`].
    async fn attempt(&self, request: InvokeRequest) -> Result<InvokeResponse, BindingError> {
        self.invoke(request).await
    }
}
