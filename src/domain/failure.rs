//! Errors: the kinds that every module understands, and what is known about the effect of a failed request.

use super::DEAD_LETTERED;
use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A cause of any type: for logs, never for a caller.
pub type BoxError = Box<dyn Error + Send + Sync + 'static>;

/// An error followed by its sources.
pub fn causes<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| (**error).source())
}

/// An error and its sources as one line for the log. A source that the line already ends with is not repeated.
#[must_use]
pub fn cause_line(error: &(dyn Error + 'static)) -> String {
    let mut line = error.to_string();
    for cause in causes(error).skip(1).map(ToString::to_string) {
        if !line.ends_with(&cause) {
            line.push_str(": ");
            line.push_str(&cause);
        }
    }
    line
}

/// What a failure means for a retry and for the response. Code decides by the kind, never by the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// The request is invalid; repeating it unchanged cannot help.
    Caller,
    /// The request is larger than a limit.
    TooLarge,
    /// The named resource does not exist.
    NotFound,
    /// The state of the resource does not allow the request.
    Conflict,
    /// Credentials or permissions do not allow it.
    Denied,
    /// A rate limit was exceeded; the request may succeed later.
    Throttled,
    /// A fault of the network or the service; the request may succeed soon.
    Transient,
    /// Something in this process that the request needs is not ready yet, such as credentials.
    Unavailable,
    /// The time limit was exceeded.
    TimedOut,
    /// The service rejected the request, and repeating it cannot help.
    Permanent,
    /// The service does not implement the operation.
    Unsupported,
    /// This process is stopping and accepts no more requests.
    Closed,
}

impl FailureKind {
    /// Whether the same request may succeed if it is sent again after a while.
    #[must_use]
    pub const fn may_retry(self) -> bool {
        matches!(self, Self::Throttled | Self::Transient | Self::Unavailable | Self::TimedOut)
    }

    /// The HTTP status. It is here because results of single items hold it in the response body.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::Caller => 400,
            Self::Denied => 403,
            Self::NotFound => 404,
            Self::Conflict => 409,
            Self::TooLarge => 413,
            Self::Throttled => 429,
            Self::Unsupported => 501,
            Self::Permanent | Self::Transient => 502,
            Self::Unavailable | Self::Closed => 503,
            Self::TimedOut => 504,
        }
    }

    /// The gRPC code, as Google's API guidelines use them. A limit of the size is an invalid request rather than an exhausted
    /// resource: clients retry the latter.
    #[must_use]
    pub const fn grpc_code(self) -> i32 {
        match self {
            Self::Caller | Self::TooLarge => 3,
            Self::TimedOut => 4,
            Self::NotFound => 5,
            Self::Denied => 7,
            Self::Throttled => 8,
            Self::Conflict => 9,
            Self::Unsupported => 12,
            Self::Permanent => 13,
            Self::Transient | Self::Unavailable | Self::Closed => 14,
        }
    }

    /// The reason code in responses, where the failure has no more specific one.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Caller => "VALIDATION",
            Self::Denied => "ACCESS_DENIED",
            Self::NotFound => "RESOURCE_NOT_FOUND",
            Self::Conflict => "CONFLICT",
            Self::TooLarge => "TOO_LARGE",
            Self::Throttled => "THROTTLED",
            Self::Unsupported => "NOT_IMPLEMENTED",
            Self::Permanent | Self::Transient => "UPSTREAM",
            Self::Unavailable | Self::Closed => "UNAVAILABLE",
            Self::TimedOut => "DEADLINE",
        }
    }

    /// A stable value for metric labels and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::TooLarge => "too_large",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::Denied => "denied",
            Self::Throttled => "throttled",
            Self::Transient => "transient",
            Self::Unavailable => "unavailable",
            Self::TimedOut => "timed_out",
            Self::Permanent => "permanent",
            Self::Unsupported => "unsupported",
            Self::Closed => "closed",
        }
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is known about the effect of a failed request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Outcome {
    /// The request had no effect.
    #[default]
    NotDone,
    /// The request may have taken effect: the response was lost or came too late.
    Unknown,
}

/// A failed request to a component.
///
/// The message is for the caller: what failed, on which resource, why, what to do. It contains neither payload nor secret.
/// The source is for the log. A clone shares the source, since one failed call may have many callers.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct BindingError {
    kind: FailureKind,
    message: String,
    outcome: Outcome,
    retry_after: Option<Duration>,
    extras: Option<Box<Extras>>,
    #[source]
    source: Option<Arc<dyn Error + Send + Sync>>,
}

/// Boxed, because most errors on the hot path have none of these.
#[derive(Debug, Clone, Default)]
struct Extras {
    reason: Option<&'static str>,
    is_temporary: bool,
    is_unsent: bool,
    lacks_permission: bool,
    details: Vec<(&'static str, String)>,
    metadata: Vec<(Cow<'static, str>, String)>,
}

impl BindingError {
    /// With [`Outcome::NotDone`].
    #[must_use]
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        let (outcome, message) = (Outcome::NotDone, message.into());
        Self { kind, message, outcome, retry_after: None, extras: None, source: None }
    }

    #[must_use]
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.source = Some(Arc::from(source.into()));
        self
    }

    /// A reason code that is more specific than that of the kind, such as `CONDITION_FAILED`.
    #[must_use]
    pub fn with_reason(mut self, reason: &'static str) -> Self {
        self.extras.get_or_insert_default().reason = Some(reason);
        self
    }

    /// The request may succeed soon, although most failures of this kind last.
    #[must_use]
    pub fn temporary(mut self) -> Self {
        self.extras.get_or_insert_default().is_temporary = true;
        self
    }

    /// No call was sent to the service, so this does not count as an attempt.
    #[must_use]
    pub fn unsent(mut self) -> Self {
        self.extras.get_or_insert_default().is_unsent = true;
        self
    }

    /// The credentials are valid but lack the permission for this operation; another operation may be allowed.
    #[must_use]
    pub fn lacking_permission(mut self) -> Self {
        self.extras.get_or_insert_default().lacks_permission = true;
        self
    }

    /// Adds a detail for programs, such as `requestId`, `shardId`, `size` or `limit`. Neither payload nor secret, except
    /// what the caller requested.
    #[must_use]
    pub fn with_detail(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.extras.get_or_insert_default().details.push((key, value.into()));
        self
    }

    /// Adds response metadata, which the client gets as it gets that of a response, such as `statusCode`.
    #[must_use]
    pub fn with_metadata(mut self, key: impl Into<Cow<'static, str>>, value: impl Into<String>) -> Self {
        self.extras.get_or_insert_default().metadata.push((key.into(), value.into()));
        self
    }

    /// The response metadata, in the order in which it was added.
    #[must_use]
    pub fn metadata(&self) -> &[(Cow<'static, str>, String)] {
        self.extras.as_ref().map_or(&[], |extras| &extras.metadata)
    }

    /// Appends to the message, after a semicolon.
    #[must_use]
    pub fn with_remark(mut self, remark: &str) -> Self {
        self.message.push_str("; ");
        self.message.push_str(remark);
        self
    }

    #[must_use]
    pub const fn with_outcome(mut self, outcome: Outcome) -> Self {
        self.outcome = outcome;
        self
    }

    #[must_use]
    pub const fn with_retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    #[must_use]
    pub const fn kind(&self) -> FailureKind {
        self.kind
    }

    #[must_use]
    pub const fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// Whether the same request may succeed if it is sent again after a while.
    #[must_use]
    pub fn may_retry(&self) -> bool {
        self.kind.may_retry() || self.extras.as_ref().is_some_and(|extras| extras.is_temporary)
    }

    /// Whether no call was sent to the service.
    #[must_use]
    pub fn is_unsent(&self) -> bool {
        self.extras.as_ref().is_some_and(|extras| extras.is_unsent)
    }

    /// Whether the credentials are valid but lack the permission for this operation.
    #[must_use]
    pub fn lacks_permission(&self) -> bool {
        self.extras.as_ref().is_some_and(|extras| extras.lacks_permission)
    }

    /// How long to wait before the next attempt.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// A reason code that is more specific than that of the kind.
    #[must_use]
    pub fn reason(&self) -> Option<&'static str> {
        self.extras.as_ref()?.reason
    }

    #[must_use]
    pub fn details(&self) -> &[(&'static str, String)] {
        self.extras.as_ref().map_or(&[], |extras| &extras.details)
    }

    /// Whether the dead letter binding stored the request.
    #[must_use]
    pub fn is_dead_lettered(&self) -> bool {
        self.details().iter().any(|(key, value)| *key == DEAD_LETTERED && value == "true")
    }

    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_shown_with_its_sources() {
        let inner = BindingError::new(FailureKind::TimedOut, "late").with_source("no reply");
        let error = BindingError::new(FailureKind::Transient, "not stored").with_source(inner);
        assert_eq!(cause_line(&error), "not stored: late: no reply");
        assert_eq!(causes(&error).count(), 3);
    }

    #[test]
    fn a_cause_that_an_error_quotes_is_not_repeated() {
        let inner = BindingError::new(FailureKind::TimedOut, "late").with_source("no reply");
        let error = BindingError::new(FailureKind::Transient, "reading stopped: late").with_source(inner);
        assert_eq!(cause_line(&error), "reading stopped: late: no reply");
    }
}
