//! What the gRPC status of a failed call means.

use crate::domain::{BindingError, FailureKind, Outcome, causes, grpc_code_name};
use tonic::{Code, ConnectError, Status};

/// A longer text of a component is cut.
const MAX_TEXT: usize = 2 << 10;

/// Whether the connection had ended before the call, so that the component has not received it.
pub(super) fn is_unsent(status: &Status) -> bool {
    causes(status).any(|cause| cause.is::<ConnectError>())
}

/// Whether the connection is of no further use.
pub(super) fn has_connection_failed(status: &Status) -> bool {
    // A status with a cause was made here, and is not from the component.
    std::error::Error::source(status).is_some()
}

/// A message was not read. The text is tonic's, which has no other sign of it.
fn is_too_large(status: &Status) -> bool {
    status.code() == Code::OutOfRange && status.message().starts_with("Error, decoded message length too large")
}

/// The failure of a call. `method` is that of the protocol.
pub(super) fn error(method: &str, status: &Status) -> BindingError {
    let (code, text) = (status.code(), shortened(status.message()));
    if is_unsent(status) {
        let text = format!("the pluggable component has ended the connection before {method}; nothing was sent");
        return BindingError::new(FailureKind::Unavailable, text).unsent().with_source(status.clone());
    }
    if has_connection_failed(status) {
        let text = format!("the connection to the pluggable component broke during {method}: {text}");
        return BindingError::new(FailureKind::Transient, text)
            .with_outcome(Outcome::Unknown)
            .with_source(status.clone());
    }
    if is_too_large(status) {
        let text = format!("what the pluggable component sent by {method} is larger than --max-body-size: raise it");
        return BindingError::new(FailureKind::Permanent, text)
            .with_outcome(Outcome::Unknown)
            .with_source(status.clone());
    }
    let name = grpc_code_name(code.into());
    BindingError::new(kind(code), format!("the pluggable component answered {method} with {name}: {text}"))
        .with_outcome(outcome(code))
        .with_detail("grpcCode", name)
}

const fn kind(code: Code) -> FailureKind {
    match code {
        Code::InvalidArgument | Code::OutOfRange => FailureKind::Caller,
        Code::NotFound => FailureKind::NotFound,
        Code::AlreadyExists | Code::FailedPrecondition | Code::Aborted => FailureKind::Conflict,
        Code::PermissionDenied | Code::Unauthenticated => FailureKind::Denied,
        Code::ResourceExhausted => FailureKind::Throttled,
        Code::Unavailable | Code::Cancelled => FailureKind::Transient,
        Code::DeadlineExceeded => FailureKind::TimedOut,
        Code::Unimplemented => FailureKind::Unsupported,
        Code::Ok | Code::Unknown | Code::Internal | Code::DataLoss => FailureKind::Permanent,
    }
}

/// A component that refuses a request has not carried it out; other failures do not say.
const fn outcome(code: Code) -> Outcome {
    match code {
        Code::InvalidArgument
        | Code::OutOfRange
        | Code::NotFound
        | Code::AlreadyExists
        | Code::FailedPrecondition
        | Code::PermissionDenied
        | Code::Unauthenticated
        | Code::ResourceExhausted
        | Code::Unimplemented => Outcome::NotDone,
        Code::Ok
        | Code::Aborted
        | Code::Unavailable
        | Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Unknown
        | Code::Internal
        | Code::DataLoss => Outcome::Unknown,
    }
}

fn shortened(text: &str) -> String {
    let mut short: String = text.chars().take(MAX_TEXT).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_and_the_text_of_the_component_are_kept() {
        for (code, kind, outcome) in [
            (Code::InvalidArgument, FailureKind::Caller, Outcome::NotDone),
            (Code::NotFound, FailureKind::NotFound, Outcome::NotDone),
            (Code::ResourceExhausted, FailureKind::Throttled, Outcome::NotDone),
            (Code::Unavailable, FailureKind::Transient, Outcome::Unknown),
            (Code::Unknown, FailureKind::Permanent, Outcome::Unknown),
        ] {
            let error = error("Invoke", &Status::new(code, "no order\n4711"));
            assert_eq!((error.kind(), error.outcome()), (kind, outcome), "{code:?}");
            assert_eq!(error.details(), [("grpcCode", grpc_code_name(code.into()).to_owned())]);
            let text =
                format!("the pluggable component answered Invoke with {}: no order 4711", grpc_code_name(code.into()));
            assert_eq!(error.message(), text);
        }
        let long = error("Invoke", &Status::internal("x".repeat(10_000)));
        assert!(long.message().len() < 3_000 && long.message().ends_with('…'));
    }
}
