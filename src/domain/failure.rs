//! How things fail, in words that every room understands.

use super::DEAD_LETTERED;
use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A cause of any type; shown in logs, never to a caller.
pub type BoxError = Box<dyn Error + Send + Sync + 'static>;

/// An error and its causes, from the outside in.
pub fn causes<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| (**error).source())
}

/// An error and its causes as one line for the log. A cause whose text ends the line already is not repeated.
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

/// What a failure means for whoever must decide about a retry or an answer. Rooms ask the kind, never the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// The request itself is wrong; repeating it unchanged cannot help.
    Caller,
    /// The request is larger than a limit.
    TooLarge,
    /// The thing named does not exist.
    NotFound,
    /// The thing is in a state that forbids the request.
    Conflict,
    /// Credentials or permissions do not allow it.
    Denied,
    /// A rate limit was met; later it may work.
    Throttled,
    /// A fault of the network or the service; soon it may work.
    Transient,
    /// Something of our own that the request needs is not there yet, such as credentials; soon it may be.
    Unavailable,
    /// The time allowed was over.
    TimedOut,
    /// The service refused for good.
    Permanent,
    /// The service does not implement the operation; no repetition helps.
    Unsupported,
    /// We are stopping and take no more work.
    Closed,
}

impl FailureKind {
    /// Whether the same request may succeed if it is sent again after a while.
    #[must_use]
    pub const fn may_retry(self) -> bool {
        matches!(self, Self::Throttled | Self::Transient | Self::Unavailable | Self::TimedOut)
    }

    /// The status that HTTP has for it. Chosen here once, because answers about many items hold it in their bodies.
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

    /// The word for programs, where the failure gives no narrower one.
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

    /// A short stable word for metrics and logs.
    #[must_use]
    pub const fn word(self) -> &'static str {
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
        f.write_str(self.word())
    }
}

/// What is known about the effect of a failed request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Outcome {
    /// Nothing was done.
    #[default]
    NotDone,
    /// The request may have been carried out: the reply was lost or came too late.
    Unknown,
}

/// A component could not do what it was asked.
///
/// The message is for the caller: what was tried, on which thing, why it failed, what to do. It holds neither
/// payload nor secret. The source is for the log. A clone shares the source: one failed call may have many waiters.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct BindingError {
    kind: FailureKind,
    message: String,
    outcome: Outcome,
    retry_after: Option<Duration>,
    facts: Option<Box<Facts>>,
    #[source]
    source: Option<Arc<dyn Error + Send + Sync>>,
}

/// What programs may want to know; apart, because most errors that are made on the hot path have none.
#[derive(Debug, Clone, Default)]
struct Facts {
    reason: Option<&'static str>,
    passes_soon: bool,
    is_unsent: bool,
    lacks_permission: bool,
    details: Vec<(&'static str, String)>,
}

impl BindingError {
    /// A failure of the given kind, with nothing done.
    #[must_use]
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        let (outcome, message) = (Outcome::NotDone, message.into());
        Self { kind, message, outcome, retry_after: None, facts: None, source: None }
    }

    /// Adds the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.source = Some(Arc::from(source.into()));
        self
    }

    /// Gives a reason that is narrower than the kind's own, in capitals, such as `CONDITION_FAILED`.
    #[must_use]
    pub fn with_reason(mut self, reason: &'static str) -> Self {
        self.facts.get_or_insert_default().reason = Some(reason);
        self
    }

    /// States that what stood in the way passes soon, although failures of this kind last as a rule.
    #[must_use]
    pub fn passing_soon(mut self) -> Self {
        self.facts.get_or_insert_default().passes_soon = true;
        self
    }

    /// States that no call of the service was begun: what failed is no attempt.
    #[must_use]
    pub fn unsent(mut self) -> Self {
        self.facts.get_or_insert_default().is_unsent = true;
        self
    }

    /// States that the caller is known to the service but may not call this operation; another operation may be allowed.
    #[must_use]
    pub fn lacking_permission(mut self) -> Self {
        self.facts.get_or_insert_default().lacks_permission = true;
        self
    }

    /// Adds a fact for programs, such as `requestId`, `shardId`, `size` or `limit`. Neither payload nor secret, but for
    /// what the caller asked to be told.
    #[must_use]
    pub fn with_detail(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.facts.get_or_insert_default().details.push((key, value.into()));
        self
    }

    /// Adds to the message what else the caller should know.
    #[must_use]
    pub fn with_remark(mut self, remark: &str) -> Self {
        self.message.push_str("; ");
        self.message.push_str(remark);
        self
    }

    /// States what is known about the effect.
    #[must_use]
    pub const fn with_outcome(mut self, outcome: Outcome) -> Self {
        self.outcome = outcome;
        self
    }

    /// Adds a hint when to try again.
    #[must_use]
    pub const fn with_retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// What kind of failure this is.
    #[must_use]
    pub const fn kind(&self) -> FailureKind {
        self.kind
    }

    /// Whether the request may have taken effect all the same.
    #[must_use]
    pub const fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// Whether the same request may succeed if it is sent again after a while: by its kind, or because what stood in the
    /// way passes soon.
    #[must_use]
    pub fn may_retry(&self) -> bool {
        self.kind.may_retry() || self.facts.as_ref().is_some_and(|facts| facts.passes_soon)
    }

    /// Whether it is known that no call of the service was begun.
    #[must_use]
    pub fn is_unsent(&self) -> bool {
        self.facts.as_ref().is_some_and(|facts| facts.is_unsent)
    }

    /// Whether the service refused the operation for want of a permission, not because of the credentials.
    #[must_use]
    pub fn lacks_permission(&self) -> bool {
        self.facts.as_ref().is_some_and(|facts| facts.lacks_permission)
    }

    /// When to try again, if somebody knows.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// A reason that is narrower than the kind's own.
    #[must_use]
    pub fn reason(&self) -> Option<&'static str> {
        self.facts.as_ref()?.reason
    }

    /// Facts for programs.
    #[must_use]
    pub fn details(&self) -> &[(&'static str, String)] {
        self.facts.as_ref().map_or(&[], |facts| &facts.details)
    }

    /// Whether the dead letter binding took what could not be done.
    #[must_use]
    pub fn is_dead_lettered(&self) -> bool {
        self.details().iter().any(|(key, value)| *key == DEAD_LETTERED && value == "true")
    }

    /// The text for the caller.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_told_from_the_outside_in() {
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
