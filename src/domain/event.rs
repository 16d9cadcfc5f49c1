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
    #[error("the app answered {status} to {target}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// Method and route, for the log.
        target: String,
        /// When the app wants to be asked again (`Retry-After`).
        retry_after: Option<Duration>,
    },
    /// No answer within the time allowed; the app may still be at work on it.
    #[error("the app did not answer {target} within {limit:?}")]
    TimedOut {
        /// Method and route, for the log.
        target: String,
        /// The time that was allowed.
        limit: Duration,
    },
    /// The app could not be reached, or the connection broke.
    #[error("the app could not be reached at {target}")]
    Unreachable {
        /// Address, for the log.
        target: String,
        /// The cause.
        #[source]
        source: BoxError,
    },
}

impl DeliveryError {
    /// When the app wants to be asked again, if it said so.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            Self::TimedOut { .. } | Self::Unreachable { .. } => None,
        }
    }
}
