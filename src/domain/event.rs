//! Events for the app, in batches, and why a delivery failed.

use super::{
    BoxError, ComponentName, DecompressFailure, LeaseCounter, Message, Record, RecordPosition, ShardId, Timestamp,
};
use async_trait::async_trait;
use bytes::Bytes;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

/// Where an event was read; the app may use it to detect a repeated delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventOrigin {
    pub shard: ShardId,
    /// Together with the shard it identifies the event.
    pub position: RecordPosition,
    pub partition_key: String,
    /// `ApproximateArrivalTimestamp`
    pub arrival: Option<Timestamp>,
    /// See [`Record::is_damaged_aggregate`].
    pub is_damaged_aggregate: bool,
    /// Which of the events that were made of the record, from 0.
    pub part: u32,
}

/// An event for the app. Cloning shares the payload.
#[derive(Debug, Clone)]
pub struct BindingEvent {
    /// The record's bytes.
    pub data: Bytes,
    pub origin: EventOrigin,
    /// Counts deliveries of this event; the first is 1.
    pub attempt: u32,
    /// Why `data` is still compressed.
    pub not_decompressed: Option<DecompressFailure>,
}

/// The events of one request to the app; all are of one shard.
#[derive(Debug, Clone)]
pub struct EventBatch {
    pub binding: ComponentName,
    /// The ARN or the name of the stream.
    pub stream: Arc<str>,
    /// The lease's counter when this worker took it. It grows with each owner of the shard, so a receiver can refuse what
    /// an earlier owner still sends.
    pub epoch: LeaseCounter,
    /// How far behind the newest record of the shard the last read was.
    pub lag: Option<Duration>,
    /// At least one, in the order of their positions.
    pub events: Vec<BindingEvent>,
}

/// Which events of a batch the app accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accepted {
    All,
    /// All but these, as indexes into [`EventBatch::events`].
    Except(Vec<usize>),
}

/// Delivers events to the app.
#[async_trait]
pub trait EventHandler: Debug + Send + Sync {
    /// Delivers a batch in one request. When the future is dropped, the app may or may not have received the events.
    ///
    /// # Errors
    /// When the app accepted none of the events; the caller decides whether to deliver them again.
    async fn handle(&self, batch: &EventBatch) -> Result<Accepted, DeliveryError>;

    /// Delivers an event that belongs to no stream in one request, and returns the body of the response if the message asks
    /// for it; over gRPC it is empty, as in daprd. When the future is dropped, the app may or may not have received the event.
    ///
    /// # Errors
    /// When the app did not accept it.
    async fn handle_message(&self, message: &Message) -> Result<Bytes, DeliveryError>;

    /// Whether the app can be reached, without an event: asked while the app is down and no events are at hand.
    async fn is_reachable(&self) -> bool;

    /// Memory that a request needs for this record beside the record itself, in bytes: for its encoded form. 0 where it is
    /// sent as it is.
    fn body_size(&self, _record: &Record) -> usize {
        0
    }

    /// What a policy says about events that failed, instead of the settings of the input. It may change at any time.
    fn redelivery(&self) -> Option<Arc<dyn RedeliveryPolicy>> {
        None
    }
}

/// When an event that failed is delivered again.
pub trait RedeliveryPolicy: Debug + Send + Sync {
    /// The pause before the next delivery of an event that had failed `failures` times before this failure; never zero.
    /// `random` is from 0 to 1.
    fn wait(&self, failures: u32, random: f64) -> Duration;

    /// After so many deliveries that counted, an event is given up if there is a place for dead letters. `None` is no
    /// limit.
    fn max_attempts(&self) -> Option<u32>;

    /// Whether an event that the app refused with this status is to be delivered again if there is a place for dead
    /// letters.
    fn is_retried(&self, status: u16) -> bool;
}

/// The app did not accept an event.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// The app responded with a status other than 2xx.
    #[error("the app answered {status} to {target}{}", refusal_details(location.as_deref(), excerpt.as_deref()))]
    Refused {
        /// The HTTP status.
        status: u16,
        /// Method and route, for the log.
        target: String,
        /// `Retry-After`
        retry_after: Option<Duration>,
        /// The target of a redirect, and what to do about it: one line of bounded length, for the log.
        location: Option<String>,
        /// The beginning of the response body, up to 1 KiB, as one line without quotes of the events. `Display` shows less
        /// of it; [`DeliveryError::excerpt`] is the whole.
        excerpt: Option<String>,
    },
    /// The app responded to a call over gRPC with a code other than OK.
    #[error("the app answered {code} to {target}{}", refusal_details(None, excerpt.as_deref()))]
    RefusedCall {
        /// Such as `INVALID_ARGUMENT`.
        code: &'static str,
        /// The HTTP status that means the same.
        status: u16,
        /// The method, for the log.
        target: String,
        /// The delay of a `RetryInfo` in the details.
        retry_after: Option<Duration>,
        /// The beginning of the text, up to 1 KiB, as one line without quotes of the events.
        excerpt: Option<String>,
    },
    /// No response within the limit; the app may still be working on the event.
    #[error(
        "the app did not answer {target} within {limit:?} and may still be working on it; raise {option} if it needs \
         longer"
    )]
    TimedOut {
        /// Method and route, for the log.
        target: String,
        limit: Duration,
        /// The option that sets the limit.
        option: &'static str,
    },
    /// No connection to the app could be opened, so it has not received the event.
    #[error("the app could not be reached at {address}")]
    Unreachable {
        address: String,
        #[source]
        source: BoxError,
    },
    /// The connection ended before a response; the app may have received the event.
    #[error("the app closed the connection before it had answered {target}, and may have received the event")]
    Unanswered {
        /// Method and route, for the log.
        target: String,
        /// Whether the connection was idle in the pool before and ended without a byte of a response. Servers close idle
        /// connections, so this may be no fault of the app.
        was_idle: bool,
        #[source]
        source: BoxError,
    },
    /// The app responded with HTTP/1.1, but the head of the response is invalid.
    #[error("the app answered {target}, but the head of its response is invalid: {finding}")]
    InvalidHead {
        /// Method and route, for the log.
        target: String,
        /// What is wrong: one line of bounded length.
        finding: String,
        #[source]
        source: BoxError,
    },
    /// The app accepted the batch except for this event and perhaps others.
    #[error("the app reported the event as failed")]
    ReportedFailed,
    /// A server responded, but not in the version of HTTP with which it was called.
    #[error("the app was reached at {address} but its answer is not {expected}: {finding}")]
    NotHttp {
        address: String,
        /// `HTTP/1.1` or `HTTP/2`
        expected: &'static str,
        /// What the response looks like: one line of bounded length.
        finding: String,
        #[source]
        source: BoxError,
    },
    /// The event was not sent, because the circuit breaker of its component does not allow it now.
    #[error("{reason}; the event was not sent")]
    Held {
        /// Such as `circuit breaker is open`.
        reason: String,
        /// When it may be sent.
        wait: Duration,
    },
    /// The event was not sent, because its transform ran out of time. Another attempt may succeed.
    #[error("{0}")]
    NotTransformed(String),
    /// The app responded with 2xx, but the body does not state which events it accepted.
    #[error("the app answered {target} with success, but its body is no batch response: {problem}")]
    InvalidReply {
        /// Method and route, for the log.
        target: String,
        /// What is wrong: one line of bounded length, without a quote of the body.
        problem: String,
    },
}

impl DeliveryError {
    /// The status of a refusal.
    #[must_use]
    pub const fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } | Self::RefusedCall { status, .. } => Some(*status),
            Self::TimedOut { .. }
            | Self::Unreachable { .. }
            | Self::Unanswered { .. }
            | Self::InvalidHead { .. }
            | Self::ReportedFailed
            | Self::NotHttp { .. }
            | Self::Held { .. }
            | Self::NotTransformed(_)
            | Self::InvalidReply { .. } => None,
        }
    }

    /// Whether the failure shows that the app handled the request.
    #[must_use]
    pub const fn is_response(&self) -> bool {
        matches!(
            self,
            Self::Refused { .. }
                | Self::RefusedCall { .. }
                | Self::InvalidHead { .. }
                | Self::InvalidReply { .. }
                | Self::ReportedFailed
        )
    }

    /// Whether the app is down, as far as this failure shows, so that it says nothing about the events.
    #[must_use]
    pub const fn is_app_down(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::NotHttp { .. })
    }

    /// The beginning of the body of a refusal, up to 1 KiB: for dead letters, which may be longer than a log line.
    #[must_use]
    pub fn excerpt(&self) -> Option<&str> {
        match self {
            Self::Refused { excerpt, .. } | Self::RefusedCall { excerpt, .. } => excerpt.as_deref(),
            Self::TimedOut { .. }
            | Self::Unreachable { .. }
            | Self::Unanswered { .. }
            | Self::InvalidHead { .. }
            | Self::ReportedFailed
            | Self::NotHttp { .. }
            | Self::Held { .. }
            | Self::NotTransformed(_)
            | Self::InvalidReply { .. } => None,
        }
    }

    /// The `Retry-After` of the app's response.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } | Self::RefusedCall { retry_after, .. } => *retry_after,
            Self::TimedOut { .. }
            | Self::Unreachable { .. }
            | Self::Unanswered { .. }
            | Self::InvalidHead { .. }
            | Self::ReportedFailed
            | Self::NotHttp { .. }
            | Self::Held { .. }
            | Self::NotTransformed(_)
            | Self::InvalidReply { .. } => None,
        }
    }
}

fn refusal_details(location: Option<&str>, excerpt: Option<&str>) -> String {
    let location = location.map(|location| format!(" with location {location}")).unwrap_or_default();
    let excerpt = excerpt.map(|excerpt| format!(": {}", shortened(excerpt))).unwrap_or_default();
    location + &excerpt
}

/// At most this many bytes of a response are logged.
const MAX_LOGGED: usize = 200;

fn shortened(excerpt: &str) -> &str {
    let end = (0..=MAX_LOGGED.min(excerpt.len())).rev().find(|end| excerpt.is_char_boundary(*end));
    excerpt.get(..end.unwrap_or_default()).unwrap_or_default()
}
