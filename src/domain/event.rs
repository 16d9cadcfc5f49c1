//! One event on its way to the app.

use super::{BoxError, ComponentName, RecordPosition, ShardId, Timestamp};
use async_trait::async_trait;
use bytes::Bytes;
use std::fmt::Debug;
use std::time::Duration;

/// Where an event comes from; the app may use it to recognise a repeated delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventOrigin {
    /// The shard it was read from.
    pub shard: ShardId,
    /// Its place in the shard; with the shard it identifies the event.
    pub position: RecordPosition,
    /// Its partition key.
    pub partition_key: String,
    /// When the service says it arrived.
    pub arrival: Option<Timestamp>,
}

/// An event for the app. Cloning shares the payload.
#[derive(Debug, Clone)]
pub struct BindingEvent {
    /// The input binding that read it.
    pub binding: ComponentName,
    /// The record's bytes, untouched.
    pub data: Bytes,
    /// Where it comes from.
    pub origin: EventOrigin,
    /// Which try this is; the first is 1.
    pub attempt: u32,
}

/// Takes events to the application.
#[async_trait]
pub trait EventHandler: Debug + Send + Sync {
    /// Hands over one event. `Ok` means that the app accepted it.
    ///
    /// Dropping the future leaves open whether the app has seen the event.
    ///
    /// # Errors
    /// When the app did not say yes; the caller decides about another try.
    async fn handle(&self, event: &BindingEvent) -> Result<(), DeliveryError>;
}

/// The app did not accept an event.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// The app answered, and the answer was not 2xx.
    #[error("the app answered {status} to {target}{}", refusal_details(location.as_deref(), excerpt.as_deref()))]
    Refused {
        /// The HTTP status.
        status: u16,
        /// Method and route, for the log.
        target: String,
        /// When the app wants to be called again (`Retry-After`).
        retry_after: Option<Duration>,
        /// Where a redirect leads, and what to do about it: one line, bounded, for the log.
        location: Option<String>,
        /// How the body of the answer begins: one line, bounded, for the log.
        excerpt: Option<String>,
    },
    /// No answer within the time allowed; the app may still be working on the event.
    #[error(
        "the app did not answer {target} within {limit:?} and may still be working on it; raise {option} if it needs \
         longer"
    )]
    TimedOut {
        /// Method and route, for the log.
        target: String,
        /// The time that was allowed.
        limit: Duration,
        /// The option that sets the limit.
        option: &'static str,
    },
    /// No connection to the app could be opened, so it has seen nothing.
    #[error("the app could not be reached at {address}")]
    Unreachable {
        /// Address, for the log.
        address: String,
        /// The cause.
        #[source]
        source: BoxError,
    },
    /// The connection ended before the head of an answer had arrived; the app may have taken the event.
    #[error("the app closed the connection before it had answered {target}, and may have taken it")]
    Unanswered {
        /// Method and route, for the log.
        target: String,
        /// Whether the connection had been kept from an earlier request and ended without a byte of an answer. Servers
        /// close idle connections, so this may be no fault of the app.
        was_idle: bool,
        /// The cause.
        #[source]
        source: BoxError,
    },
    /// Something answers there, but not in HTTP/1.1.
    #[error("the app was reached at {address} but its answer is not HTTP/1.1: {finding}")]
    NotHttp {
        /// Address, for the log.
        address: String,
        /// What the answer looks like: one line, bounded.
        finding: String,
        /// The cause.
        #[source]
        source: BoxError,
    },
}

impl DeliveryError {
    /// When the app wants to be called again, if it said so.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            Self::TimedOut { .. } | Self::Unreachable { .. } | Self::Unanswered { .. } | Self::NotHttp { .. } => None,
        }
    }
}

fn refusal_details(location: Option<&str>, excerpt: Option<&str>) -> String {
    let location = location.map(|location| format!(" with location {location}")).unwrap_or_default();
    let excerpt = excerpt.map(|excerpt| format!(": {excerpt}")).unwrap_or_default();
    location + &excerpt
}
