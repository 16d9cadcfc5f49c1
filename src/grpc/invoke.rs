//! `InvokeBinding`.

use super::unary::{self, Reply};
use super::{call_metadata, status, trace};
use crate::domain::{
    BindingError, DataForm, FailureKind, InvokeRequest, InvokeResponse, Metadata, OperationName, Outcome,
    OutputBinding, cause_line, slice_or_copy,
};
use crate::http::{ApiState, InvokeSpan};
use crate::protocol::runtime::{InvokeBindingRequest, InvokeBindingResponse};
use crate::runtime::InvokeError;
use crate::telemetry::{HttpMetrics, SpanContext, in_span};
use axum::body::Body;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::time::Instant;
use tonic::{Code, Status};

/// The label of names that are not configured, so that clients cannot add series to the metrics.
const UNKNOWN: &str = "unknown";
/// The status in the metrics of a request whose client disconnected before the response; nginx's number.
const CLIENT_CLOSED_REQUEST: u16 = 499;
/// The status in the metrics of a request whose client stopped sending.
const REQUEST_TIMEOUT: u16 = 408;
/// A smaller message is a slice of what the connection read at once, and would keep all of it alive.
const MAX_COPIED: usize = 4 << 10;

/// Performs the operation. `deadline` is that of the client.
pub(super) async fn invoke(state: &ApiState, head: &Parts, body: Body, deadline: Option<Instant>) -> Reply {
    let mut metrics = RequestMetrics::new(state);
    let called = call(state, head, body, deadline, &mut metrics).await;
    metrics.status = Some(called.as_ref().map_or_else(|failed| failed.http_status, |_| 200));
    let received = metrics.received;
    let (mut metadata, result) = match called {
        Ok((metadata, message)) => (metadata, unary::framed(state, &message)),
        Err(failed) => (failed.metadata, Err(failed.status)),
    };
    if let Some(span) = metrics.span {
        trace::add_to(&mut metadata, span);
    }
    Reply { metadata, received, result }
}

/// A call without a result.
struct Failed {
    metadata: HeaderMap,
    status: Status,
    /// For the metrics, which count by HTTP status.
    http_status: u16,
}

impl From<Status> for Failed {
    /// Of a request that could not be read.
    fn from(status: Status) -> Self {
        let http_status = match status.code() {
            Code::ResourceExhausted => FailureKind::TooLarge.status(),
            Code::Unavailable => FailureKind::Unavailable.status(),
            Code::DeadlineExceeded => REQUEST_TIMEOUT,
            _ => FailureKind::Caller.status(),
        };
        Self { metadata: HeaderMap::new(), status, http_status }
    }
}

async fn call(
    state: &ApiState,
    head: &Parts,
    body: Body,
    deadline: Option<Instant>,
    metrics: &mut RequestMetrics<'_>,
) -> Result<(HeaderMap, InvokeBindingResponse), Failed> {
    let mut received = unary::read::<InvokeBindingRequest>(state, head, body).await?;
    metrics.received = received.buffer.len();
    let InvokeBindingRequest { name, data, metadata, operation } = received.message;
    metrics.set_output(&name, &operation);
    let malformed = |error| status::malformed(state, &error);
    let mut trace = trace::read(&head.headers, state.settings.zero_traceparent).map_err(malformed)?;
    let mut span = InvokeSpan::grpc(&state.settings.tracer, head, &name, &mut trace);
    metrics.span = span.context();
    let mut metadata: Metadata = metadata.into_iter().collect();
    call_metadata::add_to(&mut metadata, head, &trace);
    received.memory.grow(metadata.memory()).map_err(malformed)?;
    let data =
        if data.len() <= MAX_COPIED { Bytes::copy_from_slice(&data) } else { slice_or_copy(&received.buffer, &data) };
    // The data may be the only part that must live until the component has answered.
    drop(received.buffer);
    let request = InvokeRequest { operation, data, form: DataForm::Raw, metadata };
    let begun = Instant::now();
    let result = tokio::select! {
        // Biased: a result that is ready is better than an unknown outcome.
        biased;
        result = in_span(span.context(), state.host.invoke(&name, request)) => result,
        () = state.abort_calls.finishing() => Err(aborted().into()),
        () = until(deadline) => Err(timed_out().into()),
    };
    let operation = metrics.operation.clone();
    metrics.handles().binding().invoked(operation, result.is_ok(), begun.elapsed());
    match result {
        Ok(response) => {
            span.ended(Code::Ok.into(), None);
            Ok(succeeded(response))
        }
        Err(error) => {
            // The causes are for the log alone. As a field, which the log escapes: they may quote the client.
            tracing::debug!(component = name, error = cause_line(&error), "request to output binding failed");
            let http_status = error.kind().status();
            let status = status::invoke_failed(state, &name, &error);
            span.ended(status.code().into(), Some(status.message()));
            Err(Failed { metadata: failure_metadata(&error), status, http_status })
        }
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// The error of a call that was still waiting near the end of the graceful stop.
fn aborted() -> BindingError {
    let text = "the sidecar stopped before the service answered: the request may have been carried out or not";
    BindingError::new(FailureKind::Closed, text).with_outcome(Outcome::Unknown)
}

/// The error of a call that was still waiting when the client gave it up.
fn timed_out() -> BindingError {
    BindingError::new(FailureKind::TimedOut, status::DEADLINE_EXCEEDED).with_outcome(Outcome::Unknown)
}

fn failure_metadata(error: &InvokeError) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if error.binding_error().is_some_and(BindingError::is_dead_lettered) {
        headers.insert("metadata.deadlettered", HeaderValue::from_static("true"));
    }
    headers
}

fn succeeded(result: InvokeResponse) -> (HeaderMap, InvokeBindingResponse) {
    let mut headers = HeaderMap::with_capacity(result.metadata.len());
    for (key, value) in &result.metadata {
        let name = HeaderName::from_bytes(format!("metadata.{key}").as_bytes());
        match (name, HeaderValue::from_str(value)) {
            (Ok(name), Ok(value)) => drop(headers.insert(name, value)),
            (Err(_), _) | (_, Err(_)) => tracing::warn!(%key, "response metadata does not fit into a header"),
        }
    }
    let metadata = result.metadata.into_iter().map(|(key, value)| (key.into_owned(), value)).collect();
    (headers, InvokeBindingResponse { data: result.data.unwrap_or_default(), metadata })
}

/// Counts a request exactly once when dropped, also when its handler panics, its deadline is over or its client disconnects.
struct RequestMetrics<'a> {
    state: &'a ApiState,
    /// Of the output, if there is one of the name.
    handles: Option<HttpMetrics>,
    operation: OperationName,
    begun: Instant,
    /// The status that the response has over HTTP.
    status: Option<u16>,
    /// Bytes of the message of the client.
    received: usize,
    /// What the client is told; `None` without a tracer.
    span: Option<SpanContext>,
}

impl<'a> RequestMetrics<'a> {
    fn new(state: &'a ApiState) -> Self {
        let begun = Instant::now();
        Self { state, handles: None, operation: UNKNOWN.into(), begun, status: None, received: 0, span: None }
    }

    fn set_output(&mut self, name: &str, operation: &str) {
        let Some(component) = self.state.host.output(name) else { return };
        let operations = component.output().map_or(&[][..], OutputBinding::operations);
        let known = operations.iter().find(|known| **known == operation).cloned();
        self.operation = known.unwrap_or(UNKNOWN.into());
        self.handles = Some(self.state.metrics.requests(name));
    }

    fn handles(&mut self) -> &HttpMetrics {
        self.handles.get_or_insert_with(|| self.state.metrics.requests(UNKNOWN))
    }
}

impl Drop for RequestMetrics<'_> {
    fn drop(&mut self) {
        let status = match self.status {
            Some(status) => status,
            None if std::thread::panicking() => 500,
            None => CLIENT_CLOSED_REQUEST,
        };
        let (operation, took) = (self.operation.clone(), self.begun.elapsed());
        self.handles().answered(operation, status, took);
    }
}
