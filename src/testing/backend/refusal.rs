//! Errors in the words of AWS.

use super::faults::Fate;

/// A call answered with an error; nothing was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) code: &'static str,
    pub(super) message: String,
}

impl Refusal {
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self { status: 400, code: "ValidationException", message: message.into() }
    }

    pub(super) fn throttled_shard(shard: usize, stream: &str) -> Self {
        let (status, code) = (400, THROTTLED);
        Self { status, code, message: rate_exceeded(shard, stream) }
    }

    /// As IAM writes it; `action` is written as `kinesis:PutRecords`.
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

    /// The error that a fate stands for, if it does.
    pub(super) fn of(fate: Fate) -> Option<Self> {
        match fate {
            Fate::Failed => Some(Self::internal()),
            Fate::Unavailable => {
                Some(Self { status: 503, code: "ServiceUnavailable", message: "Service is unavailable.".to_owned() })
            }
            Fate::Throttled => {
                Some(Self { status: 400, code: "LimitExceededException", message: "Rate exceeded".to_owned() })
            }
            Fate::Served | Fate::ReplyLost | Fate::CallLost => None,
        }
    }

    pub(super) fn body(&self) -> String {
        serde_json::json!({ "__type": self.code, "message": self.message }).to_string()
    }
}

/// The code of a throttled record.
pub(super) const THROTTLED: &str = "ProvisionedThroughputExceededException";

/// The message of a throttled record: it names shard, stream and account.
pub(super) fn rate_exceeded(shard: usize, stream: &str) -> String {
    let id = super::shards::id(shard);
    format!("Rate exceeded for shard {id} in stream {stream} under account 000000000000.")
}
