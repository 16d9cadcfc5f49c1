//! `InvokeBinding`.

use super::unary::{self, Received, Reply};
use super::{call_metadata, deadline, status, trace};
use crate::domain::{DataForm, FailureKind, InvokeRequest, InvokeResponse, Metadata};
use crate::http::{ApiState, InvokeSpan, OutputCall, detached};
use crate::protocol::runtime::{InvokeBindingRequest, InvokeBindingResponse};
use crate::runtime::InvokeError;
use axum::body::Body;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::time::Instant;
use tonic::{Code, Status};

// The metrics count by HTTP status.
const OK: u16 = 200;
/// Of a request whose client stopped sending.
const REQUEST_TIMEOUT: u16 = 408;

/// Performs the operation. `deadline` is that of the client.
pub(super) async fn invoke(state: &ApiState, head: &Parts, body: Body, deadline: Option<Instant>) -> Reply {
    let mut output = OutputCall::new(state);
    let mut size = 0;
    let called = match unary::read(state, head, body).await {
        Ok(received) => {
            size = received.buffer.len();
            call(state, head, received, deadline, &mut output).await
        }
        Err(status) => Err(status),
    };
    let reply = called.unwrap_or_else(|status| {
        output.status = Some(http_status(&status));
        Reply::new(Err(status))
    });
    Reply { received: size, ..reply }
}

/// # Errors
/// When the request is malformed. That the call failed is a reply, too.
async fn call(
    state: &ApiState,
    head: &Parts,
    received: Received<InvokeBindingRequest>,
    deadline: Option<Instant>,
    output: &mut OutputCall<'_>,
) -> Result<Reply, Status> {
    let Received { message, mut memory, buffer } = received;
    let InvokeBindingRequest { name, data, metadata, operation } = message;
    output.set_output(name);
    let malformed = |error| status::malformed(state, &error);
    let mut trace = trace::read(&head.headers, state.settings.zero_traceparent).map_err(malformed)?;
    let mut metadata: Metadata = metadata.into_iter().collect();
    let mut span = InvokeSpan::grpc(&state.settings.tracer, head, output.name(), &mut trace);
    call_metadata::add_to(&mut metadata, head, &trace);
    memory.grow(metadata.memory()).map_err(|full| malformed(full.into()))?;
    // The data may be the only part that must live until the component has answered.
    let data = detached(data);
    drop(buffer);
    let request = InvokeRequest { operation, data, form: DataForm::Raw, metadata };
    let (mut metadata, result) = match output.invoke(request, span.context(), deadline::passed(deadline)).await {
        Ok(response) => {
            let (metadata, message) = succeeded(state, response);
            let result = unary::framed(state, &message);
            output.status = Some(result.as_ref().map_or_else(http_status, |_| OK));
            (metadata, result)
        }
        Err(error) => {
            output.status = Some(error.kind().status());
            (failure_metadata(state, &error), Err(status::invoke_failed(state, output.name(), &error)))
        }
    };
    let failure = result.as_ref().err();
    span.ended(failure.map_or(Code::Ok, Status::code).into(), failure.map(Status::message));
    if let Some(context) = span.context() {
        trace::add_to(&mut metadata, context);
    }
    Ok(Reply { metadata, ..Reply::new(result) })
}

/// For the metrics, of a request or a result that is no valid message.
fn http_status(status: &Status) -> u16 {
    match status.code() {
        Code::ResourceExhausted => FailureKind::TooLarge.status(),
        Code::Unavailable => FailureKind::Unavailable.status(),
        Code::DeadlineExceeded => REQUEST_TIMEOUT,
        _ => FailureKind::Caller.status(),
    }
}

fn failure_metadata(state: &ApiState, error: &InvokeError) -> HeaderMap {
    let Some(error) = error.binding_error() else { return HeaderMap::new() };
    let mut headers = headers(error.metadata().iter().map(|(key, value)| (&**key, value.as_str())));
    if error.is_dead_lettered() && !state.settings.strict_dapr_errors {
        headers.insert("metadata.deadlettered", HeaderValue::from_static("true"));
    }
    headers
}

fn succeeded(state: &ApiState, response: InvokeResponse) -> (HeaderMap, InvokeBindingResponse) {
    // As over HTTP: what Dapr has no response for has no metadata there.
    if state.settings.strict_dapr_errors && response.data.is_none() {
        return Default::default();
    }
    let headers = headers(response.metadata.iter().map(|(key, value)| (&**key, value.as_str())));
    let metadata = response.metadata.into_iter().map(|(key, value)| (key.into_owned(), value)).collect();
    (headers, InvokeBindingResponse { data: response.data.unwrap_or_default(), metadata })
}

/// Response metadata as headers: `metadata.<key>`.
fn headers<'m>(metadata: impl Iterator<Item = (&'m str, &'m str)>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (key, value) in metadata {
        let name = HeaderName::from_bytes(format!("metadata.{key}").as_bytes());
        match (name, HeaderValue::from_str(value)) {
            (Ok(name), Ok(value)) => drop(headers.insert(name, value)),
            (Err(_), _) | (_, Err(_)) => tracing::warn!(key, "response metadata does not fit into a header"),
        }
    }
    headers
}
