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
