//! `InvokeBinding`.

use super::call_metadata;
use super::status;
use super::unary::{self, Reply};
use crate::domain::{
    BindingError, DataForm, FailureKind, InvokeRequest, InvokeResponse, Metadata, Outcome, OutputBinding, cause_line,
    slice_or_copy,
};
use crate::http::ApiState;
use crate::protocol::runtime::{InvokeBindingRequest, InvokeBindingResponse};
use crate::runtime::InvokeError;
use axum::body::Body;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};
use std::time::Duration;
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
    let mut metrics = RequestMetrics { state, output: None, begun: Instant::now(), status: None };
    let called = call(state, head, body, deadline, &mut metrics).await;
    metrics.status = Some(called.as_ref().map_or_else(|failed| failed.http_status, |_| 200));
    match called {
        Ok((metadata, message)) => Reply { metadata, result: unary::framed(state, &message) },
        Err(failed) => Reply { metadata: failed.metadata, result: Err(failed.status) },
    }
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
    let InvokeBindingRequest { name, data, metadata, operation } = received.message;
    metrics.set_output(&name, &operation);
    let mut metadata: Metadata = metadata.into_iter().collect();
    call_metadata::add_to(&mut metadata, head, state.settings.zero_traceparent)
        .map_err(|error| status::malformed(&error))?;
    received.memory.grow(metadata.memory()).map_err(|error| status::malformed(&error))?;
    let data =
        if data.len() <= MAX_COPIED { Bytes::copy_from_slice(&data) } else { slice_or_copy(&received.buffer, &data) };
    // The data may be the only part that must live until the component has answered.
    drop(received.buffer);
    let request = InvokeRequest { operation, data, form: DataForm::Raw, metadata };
    let result = tokio::select! {
        // Biased: a result that is ready is better than an unknown outcome.
        biased;
        result = state.host.invoke(&name, request) => result,
        () = state.abort_calls.finishing() => Err(aborted().into()),
        () = until(deadline) => Err(timed_out().into()),
    };
    match result {
        Ok(response) => Ok(succeeded(response)),
        Err(error) => {
            // The causes are for the log alone. As a field, which the log escapes: they may quote the client.
            tracing::debug!(component = name, error = cause_line(&error), "request to output binding failed");
            let http_status = error.kind().status();
            Err(Failed {
                metadata: failure_metadata(&error),
                status: status::invoke_failed(state, &name, &error),
                http_status,
            })
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
    /// The name and the operation, if both exist.
    output: Option<(String, &'static str)>,
    begun: Instant,
    /// The status that the response has over HTTP.
    status: Option<u16>,
}

impl RequestMetrics<'_> {
    fn set_output(&mut self, name: &str, operation: &str) {
        let Some(component) = self.state.host.output(name) else { return };
        let operations = component.output().map_or(&[][..], OutputBinding::operations);
        let known = operations.iter().find(|known| **known == operation).copied();
        self.output = Some((name.to_owned(), known.unwrap_or(UNKNOWN)));
    }
}

impl Drop for RequestMetrics<'_> {
    fn drop(&mut self) {
        let status = match self.status {
            Some(status) => status,
            None if std::thread::panicking() => 500,
            None => CLIENT_CLOSED_REQUEST,
        };
        let (name, operation) = self.output.as_ref().map_or((UNKNOWN, UNKNOWN), |(name, operation)| (name, operation));
        let took: Duration = self.begun.elapsed();
        self.state.metrics.requests(name).answered(operation, status, took);
    }
}
