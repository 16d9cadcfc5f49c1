//! Error responses with the codes and messages of AWS.

use super::faults::CallOutcome;

/// The response to a call that was not executed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ErrorResponse {
    pub(super) status: u16,
    pub(super) code: &'static str,
    pub(super) message: String,
}

impl ErrorResponse {
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self { status: 400, code: "ValidationException", message: message.into() }
    }

    pub(super) fn throttled_shard(shard: usize, stream: &str) -> Self {
        let (status, code) = (400, THROTTLED);
        Self { status, code, message: rate_exceeded(shard, stream) }
    }

    /// `action` is one of IAM, such as `kinesis:PutRecords`.
    pub(super) fn denied(action: &str) -> Self {
        let message = format!(
            "User: arn:aws:iam::000000000000:user/test is not authorized to perform: {action} on resource: \
             arn:aws:kinesis:us-east-1:000000000000:stream/orders because no identity-based policy allows the {action} \
             action"
        );
        Self { status: 400, code: "AccessDeniedException", message }
    }

    pub(super) fn unknown(target: &str) -> Self {
        let message = format!("the null backend does not know `{target}`");
        Self { status: 400, code: "UnknownOperationException", message }
    }

    pub(super) fn internal() -> Self {
        Self { status: 500, code: "InternalFailure", message: "Internal service failure.".to_owned() }
    }

    /// The response of a failed outcome.
    pub(super) fn from_outcome(outcome: CallOutcome) -> Option<Self> {
        match outcome {
            CallOutcome::Failed => Some(Self::internal()),
            CallOutcome::Unavailable => {
                Some(Self { status: 503, code: "ServiceUnavailable", message: "Service is unavailable.".to_owned() })
            }
            CallOutcome::Throttled => {
                Some(Self { status: 400, code: "LimitExceededException", message: "Rate exceeded".to_owned() })
            }
            CallOutcome::Served | CallOutcome::ReplyLost | CallOutcome::CallLost => None,
        }
    }

    pub(super) fn body(&self) -> String {
        serde_json::json!({ "__type": self.code, "message": self.message }).to_string()
    }
}

/// The error code of a throttled record.
pub(super) const THROTTLED: &str = "ProvisionedThroughputExceededException";

/// The message of a throttled record.
pub(super) fn rate_exceeded(shard: usize, stream: &str) -> String {
    let id = super::shards::id(shard);
    format!("Rate exceeded for shard {id} in stream {stream} under account 000000000000.")
}
