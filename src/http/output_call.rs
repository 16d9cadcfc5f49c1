//! A call of an output binding, and its metrics; the same for both APIs.

use super::state::ApiState;
use crate::domain::{
    BindingError, BodyMemoryFull, FailureKind, InvokeRequest, InvokeResponse, OperationName, Outcome, OutputBinding,
    cause_line,
};
use crate::runtime::InvokeError;
use crate::telemetry::{HttpMetrics, SpanContext, in_span};
use std::borrow::Cow;
use tokio::time::Instant;

/// The label of names that are not configured, so that clients cannot add series to the metrics.
const UNKNOWN: &str = "unknown";
/// The status in the metrics of a request whose client disconnected before the response; nginx's number.
const CLIENT_CLOSED_REQUEST: u16 = 499;
const PANICKED: u16 = 500;
/// The text of Go's `context.DeadlineExceeded`, which daprd reports.
pub const DEADLINE_EXCEEDED: &str = "context deadline exceeded";

/// One request for an output. It is counted exactly once, when this is dropped: also when its handler panics, its deadline
/// is over or its client disconnects.
///
/// It does not hold the component: one that is replaced while the request is read would not end before this call, and its
/// successor, which the call uses, may wait for that end.
#[derive(Debug)]
pub struct OutputCall<'a> {
    state: &'a ApiState,
    name: Cow<'a, str>,
    is_known: bool,
    handles: Option<HttpMetrics>,
    operation: OperationName,
    begun: Instant,
    /// The HTTP status of the response, or the one that its gRPC code stands for; `None` until there is a response.
    pub status: Option<u16>,
}

impl<'a> OutputCall<'a> {
    /// A request that arrived now, and of which nothing is known yet.
    #[must_use]
    pub fn new(state: &'a ApiState) -> Self {
        let (name, begun) = (Cow::Borrowed(""), Instant::now());
        Self { state, name, is_known: false, handles: None, operation: UNKNOWN.into(), begun, status: None }
    }

    /// The request names this output, which need not exist.
    pub fn set_output(&mut self, name: impl Into<Cow<'a, str>>) {
        self.name = name.into();
        self.is_known = self.state.host.output(&self.name).is_some();
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The metadata keys that raw bodies may have, if the output takes raw bodies.
    #[must_use]
    pub fn raw_body_keys(&self) -> Option<&'static [&'static str]> {
        self.state.host.output(&self.name)?.output().and_then(OutputBinding::raw_body_keys)
    }

    /// The name of an operation, if the output has it.
    fn known_operation(&self, operation: &str) -> Option<OperationName> {
        let component = self.state.host.output(&self.name)?;
        component.output()?.operations().iter().find(|known| **known == operation).cloned()
    }

    /// Calls the output. Once the client `gives_up`, and shortly before connections are aborted, the result is an unknown
    /// outcome.
    ///
    /// # Errors
    /// When the call failed or has no result in time.
    pub async fn invoke(
        &mut self,
        request: InvokeRequest,
        span: Option<SpanContext>,
        gives_up: impl Future<Output = ()>,
    ) -> Result<InvokeResponse, InvokeError> {
        self.operation = self.known_operation(&request.operation).unwrap_or(UNKNOWN.into());
        let begun = Instant::now();
        let result = tokio::select! {
            // Biased: a result that is ready is better than an unknown outcome.
            biased;
            result = in_span(span, self.state.host.invoke(&self.name, request)) => result,
            () = self.state.abort_calls.finishing() => Err(aborted().into()),
            () = gives_up => Err(timed_out().into()),
        };
        let result = result.and_then(|response| response.hold(&self.state.body_memory).map_err(dropped));
        let operation = self.operation.clone();
        self.handles().binding().invoked(operation, result.is_ok(), begun.elapsed());
        if let Err(error) = &result {
            // The causes are for the log alone. As a field, which the log escapes: they may quote the client.
            tracing::debug!(component = &*self.name, error = cause_line(error), "request to output binding failed");
        }
        result
    }

    fn handles(&mut self) -> &HttpMetrics {
        let label = if self.is_known { &*self.name } else { UNKNOWN };
        self.handles.get_or_insert_with(|| self.state.metrics.requests(label))
    }
}

impl Drop for OutputCall<'_> {
    fn drop(&mut self) {
        let status = match self.status {
            Some(status) => status,
            None if std::thread::panicking() => PANICKED,
            None => CLIENT_CLOSED_REQUEST,
        };
        let (operation, took) = (self.operation.clone(), self.begun.elapsed());
        self.handles().answered(operation, status, took);
    }
}

/// The error of a call whose result does not fit into the memory for bodies.
fn dropped(full: BodyMemoryFull) -> InvokeError {
    let text = format!("the result of the operation was dropped: {full}");
    BindingError::new(FailureKind::Unavailable, text).with_outcome(Outcome::Unknown).into()
}

/// The error of a call that was still waiting near the end of the graceful stop.
fn aborted() -> BindingError {
    let text = "the sidecar stopped before the service answered: the request may have been carried out or not";
    BindingError::new(FailureKind::Closed, text).with_outcome(Outcome::Unknown)
}

/// The error of a call that was still waiting when the client gave it up.
fn timed_out() -> BindingError {
    BindingError::new(FailureKind::TimedOut, DEADLINE_EXCEEDED).with_outcome(Outcome::Unknown)
}
