//! What a client is told about a failed call, the same over HTTP and gRPC.

use super::InvokeError;
use crate::domain::{BindingError, FailureKind, Outcome};
use std::collections::BTreeMap;
use std::time::Duration;

/// When to retry if it is unknown how long a limit lasts.
pub const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(1);
/// Follows the message when the outcome of a request is unknown.
pub const AMBIGUOUS: &str = " (the outcome is unknown: the request may have been carried out)";

/// A failed call of an output binding, as a client is told about it.
#[derive(Debug, PartialEq, Eq)]
pub struct FailureReport<'e> {
    /// Begins with Dapr's text.
    pub message: String,
    /// A code for programs, such as `CONDITION_FAILED`.
    pub reason: &'e str,
    /// Details for programs. `ambiguous: true` if the operation may have taken effect.
    pub details: BTreeMap<&'e str, &'e str>,
    /// The earliest time for a retry, where one may help.
    pub retry_after: Option<Duration>,
}

impl InvokeError {
    /// The report about this failure; `hint` follows the message.
    #[must_use]
    pub fn report(&self, binding: &str, hint: &str) -> FailureReport<'_> {
        let mut message = format!("error invoking output binding {binding}: {self}{hint}");
        let binding_error = self.binding_error();
        let details = binding_error.map_or(&[][..], BindingError::details);
        let mut details: BTreeMap<_, _> = details.iter().map(|(key, value)| (*key, value.as_str())).collect();
        if self.outcome() == Outcome::Unknown {
            message.push_str(AMBIGUOUS);
            details.insert("ambiguous", "true");
        }
        let reason = match self {
            Self::Disabled { .. } => "DISABLED",
            _ => binding_error.and_then(BindingError::reason).unwrap_or_else(|| self.kind().reason()),
        };
        FailureReport { message, reason, details, retry_after: self.retry_advice() }
    }

    fn retry_advice(&self) -> Option<Duration> {
        match self.kind() {
            FailureKind::Throttled | FailureKind::Transient | FailureKind::Unavailable | FailureKind::Closed => {
                Some(self.retry_after().unwrap_or(DEFAULT_RETRY_AFTER))
            }
            FailureKind::Caller
            | FailureKind::TooLarge
            | FailureKind::NotFound
            | FailureKind::Conflict
            | FailureKind::Denied
            | FailureKind::TimedOut
            | FailureKind::Permanent
            | FailureKind::Unsupported => self.retry_after(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_says_whether_the_operation_may_have_taken_effect() {
        let lost = BindingError::new(FailureKind::Transient, "no reply").with_outcome(Outcome::Unknown);
        let lost = InvokeError::from(lost.with_detail("requestId", "r-1"));
        let report = lost.report("orders", "; a hint");
        let message = format!("error invoking output binding orders: no reply; a hint{AMBIGUOUS}");
        assert_eq!((report.message, report.reason), (message, "UPSTREAM"));
        assert_eq!(report.details, BTreeMap::from([("ambiguous", "true"), ("requestId", "r-1")]));
        assert_eq!(report.retry_after, Some(DEFAULT_RETRY_AFTER));
        let missing = InvokeError::OperationMissing;
        assert_eq!((missing.report("x", "").details.len(), missing.report("x", "").retry_after), (0, None));
    }
}
