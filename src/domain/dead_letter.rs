//! Records that are given up, and the port that keeps them.

use super::{BindingError, BindingEvent, ComponentName, LeaseCounter, Timestamp};
use async_trait::async_trait;
use std::fmt::Debug;
use std::sync::Arc;

/// Why a record is not delivered again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GiveUpReason {
    /// `maxAttempts` is reached.
    Attempts,
    /// `maxRecordAge` is reached.
    Age,
    /// The app responded with a status of `permanentStatus`.
    PermanentStatus,
    /// The record could not be transformed.
    Transform,
}

impl GiveUpReason {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Attempts => "max_attempts",
            Self::Age => "max_record_age",
            Self::PermanentStatus => "permanent_status",
            Self::Transform => "transform_failed",
        }
    }
}

/// A record that is given up, with its whole payload and the story of its failure.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    pub binding: ComponentName,
    /// The ARN or the name of the stream.
    pub stream: Arc<str>,
    pub epoch: LeaseCounter,
    /// `attempt` is the number of deliveries that counted.
    pub event: BindingEvent,
    pub reason: GiveUpReason,
    /// `None` if the record was never delivered, because it was too old before.
    pub first_attempt: Option<Timestamp>,
    pub last_attempt: Option<Timestamp>,
    /// The status of the last refusal.
    pub status: Option<u16>,
    /// The last failure: one line of bounded length.
    pub error: Option<String>,
    /// The beginning of the body of that refusal, up to 1 KiB, as one line.
    pub response: Option<String>,
}

/// Keeps records that are given up.
#[async_trait]
pub trait DeadLetterStore: Debug + Send + Sync {
    /// Stores a record. `Ok` means that it is stored; progress moves beyond the record only then.
    ///
    /// # Errors
    /// When it is not sure that the record is stored. The caller repeats the call, and logs the text of the error: it must
    /// not quote the record.
    async fn store(&self, letter: &DeadLetter) -> Result<(), BindingError>;
}
