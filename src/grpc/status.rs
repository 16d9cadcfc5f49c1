//! Failures as gRPC statuses with details. The code of a failed call comes from its `FailureKind`.

use crate::domain::BodyMemoryFull;
use crate::http::{ApiState, DEADLINE_EXCEEDED, MalformedRequest};
use crate::protocol::rpc;
use crate::runtime::{DEFAULT_RETRY_AFTER, FailureReport, InvokeError};
use bytes::Bytes;
use prost::Message;
use prost_types::Any;
use std::collections::HashMap;
use std::time::Duration;
use tonic::{Code, Status};

/// Dapr's code for every failed call of a binding.
const INVOKE_FAILED: &str = "ERR_INVOKE_OUTPUT_BINDING";
/// Dapr's category of it.
const CATEGORY: &str = "binding";
const DOMAIN: &str = "dapr.io";
/// Clients limit the size of response metadata; the text is in it twice.
const MAX_MESSAGE: usize = 2 << 10;

/// Details of an error, and when a retry may help.
struct Details<'a> {
    reason: &'a str,
    metadata: HashMap<String, String>,
    retry_after: Option<Duration>,
}

fn with_details(code: Code, message: &str, details: Details<'_>) -> Status {
    let message = shortened(message);
    let info =
        rpc::ErrorInfo { reason: details.reason.to_owned(), domain: DOMAIN.to_owned(), metadata: details.metadata };
    let retry =
        details.retry_after.map(|delay| rpc::RetryInfo { retry_delay: prost_types::Duration::try_from(delay).ok() });
    let details = [any("google.rpc.ErrorInfo", &info)];
    let details = details.into_iter().chain(retry.map(|retry| any("google.rpc.RetryInfo", &retry))).collect();
    let all = rpc::Status { code: code.into(), message: message.to_owned(), details };
    Status::with_details(code, message, Bytes::from(all.encode_to_vec()))
}

fn any(name: &str, message: &impl Message) -> Any {
    Any { type_url: format!("type.googleapis.com/{name}"), value: message.encode_to_vec() }
}

fn shortened(message: &str) -> &str {
    let end = (0..=MAX_MESSAGE.min(message.len())).rev().find(|end| message.is_char_boundary(*end));
    message.get(..end.unwrap_or_default()).unwrap_or_default()
}

fn pairs<const N: usize>(pairs: [(&str, &str); N]) -> HashMap<String, String> {
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

/// A call of an output binding that failed.
pub(super) fn invoke_failed(state: &ApiState, binding: &str, error: &InvokeError) -> Status {
    state.metrics.dapr().error_code(INVOKE_FAILED, CATEGORY);
    if state.settings.strict_dapr_errors {
        let message = format!("error invoking output binding {binding}: {error}");
        let details = Details { reason: INVOKE_FAILED, metadata: HashMap::new(), retry_after: None };
        return with_details(Code::Internal, &message, details);
    }
    let FailureReport { message, reason, details, retry_after } = error.report(binding, "");
    let mut metadata: HashMap<_, _> =
        details.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    metadata.insert("reason".to_owned(), reason.to_owned());
    let code = Code::from_i32(error.kind().grpc_code());
    with_details(code, &message, Details { reason: INVOKE_FAILED, metadata, retry_after })
}

/// The API token is missing or wrong.
pub(super) fn unauthenticated(state: &ApiState, is_missing: bool) -> Status {
    let (problem, remedy) = if is_missing {
        ("missing api token in request metadata", "send DAPR_API_TOKEN of the sidecar as dapr-api-token")
    } else {
        ("authentication error: api token mismatch", "send the same DAPR_API_TOKEN that the sidecar has")
    };
    refused(state, (Code::Unauthenticated, "401", "Unauthorized"), problem, remedy)
}

/// The Configuration does not allow the method.
pub(super) fn not_allowed(state: &ApiState) -> Status {
    let remedy = "the Configuration does not allow it (spec.api)";
    refused(state, (Code::Unimplemented, "501", "Not Implemented"), "requested endpoint is not available", remedy)
}

/// daprd describes such refusals by an HTTP status.
fn refused(state: &ApiState, codes: (Code, &str, &str), problem: &str, remedy: &str) -> Status {
    let (code, http_code, http_text) = codes;
    let metadata = pairs([("http.code", http_code), ("http.error_message", problem)]);
    let details = Details { reason: http_text, metadata, retry_after: None };
    if state.settings.strict_dapr_errors {
        return with_details(code, http_text, details);
    }
    with_details(code, &format!("{problem}: {remedy}"), details)
}

/// A message that could not be read.
pub(super) fn malformed(state: &ApiState, error: &MalformedRequest) -> Status {
    match error {
        MalformedRequest::TooLarge { limit } => Status::resource_exhausted(format!(
            "received message larger than max ({limit} bytes): raise --max-body-size or --max-buffer, or send less"
        )),
        MalformedRequest::BufferFull(BodyMemoryFull { limit }) => {
            state.metrics.dapr().error_code(INVOKE_FAILED, CATEGORY);
            let metadata = pairs([("limit", limit.to_string().as_str()), ("reason", "UNAVAILABLE")]);
            let details = Details { reason: INVOKE_FAILED, metadata, retry_after: Some(DEFAULT_RETRY_AFTER) };
            with_details(Code::Unavailable, &error.to_string(), details)
        }
        MalformedRequest::Stalled => Status::deadline_exceeded("the client sent nothing for a minute"),
        MalformedRequest::Body(_) => Status::cancelled("the client ended the request in the middle of its message"),
        MalformedRequest::RawBody(_)
        | MalformedRequest::Syntax { .. }
        | MalformedRequest::Metadata(_)
        | MalformedRequest::Baggage(_) => Status::invalid_argument(error.to_string()),
    }
}

/// A method that this server does not have.
pub(super) fn not_served(path: &str) -> Status {
    let method = shortened(path.trim_start_matches('/'));
    Status::unimplemented(format!(
        "{method} is not implemented: bindd serves bindings only (InvokeBinding, GetMetadata, SetMetadata, Shutdown of \
         dapr.proto.runtime.v1.Dapr); for other building blocks of Dapr run daprd"
    ))
}

/// The deadline of the client is over.
pub(super) fn deadline_exceeded() -> Status {
    Status::deadline_exceeded(DEADLINE_EXCEEDED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(shortened("short"), "short");
        assert_eq!(shortened(&"é".repeat(MAX_MESSAGE)).len(), MAX_MESSAGE);
        assert_eq!(shortened(&format!("x{}", "é".repeat(MAX_MESSAGE))).len(), MAX_MESSAGE - 1);
    }
}
