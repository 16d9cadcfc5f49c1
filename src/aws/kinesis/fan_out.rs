//! Enhanced fan-out: registers the consumer and opens shards by `SubscribeToShard`.

use super::super::{Connection, StreamRef};
use super::fan_out_source::{FanOutSource, FanOutStream, FanOutTimeouts};
use super::per_shard::PerShard;
use super::read_monitor::ReadMonitor;
use super::registration::{self, RegistrationError, RegistrationSettings};
use super::subscription_pace::SubscriptionPace;
use crate::domain::{BindingError, RecordSource, Retrieval, RetrievalError, ShardId, StartingPosition};
use crate::telemetry::ReadMetrics;
use async_trait::async_trait;
use std::sync::Arc;
use tokio::time::Instant;

/// Subscribes to shards as one registered consumer.
#[derive(Debug)]
pub struct FanOut {
    stream: Arc<FanOutStream>,
    shards: PerShard<SubscriptionPace>,
}

impl FanOut {
    /// Registers the consumer `consumer` unless it exists, and waits until it is active, however long that takes. It is
    /// never deregistered.
    ///
    /// # Errors
    /// If the service refuses, and waiting does not help.
    pub async fn register(connection: &Connection, stream: StreamRef, consumer: &str) -> Result<Self, BindingError> {
        Ok(Self::register_with(connection, stream, consumer, RegistrationSettings::default()).await?)
    }

    /// As [`FanOut::register`], within the limits that `settings` set.
    ///
    /// # Errors
    /// [`RegistrationError::Refused`] where polling may be possible.
    pub async fn register_with(
        connection: &Connection,
        stream: StreamRef,
        consumer: &str,
        settings: RegistrationSettings,
    ) -> Result<Self, RegistrationError> {
        let consumer_arn = registration::consumer_arn(connection, &stream, consumer, settings).await?;
        Ok(Self::with_consumer(connection, stream, consumer_arn))
    }

    /// For a consumer that is known to be active.
    #[must_use]
    pub fn with_consumer(connection: &Connection, stream: StreamRef, consumer_arn: String) -> Self {
        let stream = FanOutStream {
            client: connection.kinesis(),
            connection: connection.clone(),
            stream,
            consumer_arn,
            timeouts: FanOutTimeouts::default(),
            monitor: Arc::default(),
        };
        Self { stream: Arc::new(stream), shards: PerShard::default() }
    }

    #[must_use]
    pub fn with_timeouts(self, timeouts: FanOutTimeouts) -> Self {
        let stream = FanOutStream { timeouts, ..self.stream.as_ref().clone() };
        Self { stream: Arc::new(stream), ..self }
    }

    #[must_use]
    pub fn with_metrics(self, metrics: ReadMetrics) -> Self {
        let stream = FanOutStream { monitor: Arc::new(ReadMonitor::new(metrics)), ..self.stream.as_ref().clone() };
        Self { stream: Arc::new(stream), ..self }
    }

    /// The ARN of the registered consumer.
    #[must_use]
    pub fn consumer_arn(&self) -> &str {
        &self.stream.consumer_arn
    }
}

#[async_trait]
impl Retrieval for FanOut {
    /// Sends nothing before the first `next`. The pace of the shard's subscriptions goes on where an earlier source of it
    /// left off.
    async fn open(
        &self,
        shard: &ShardId,
        position: &StartingPosition,
    ) -> Result<Box<dyn RecordSource>, RetrievalError> {
        let min_interval = self.stream.timeouts.min_interval;
        let pace = self.shards.open(shard, || SubscriptionPace::new(min_interval, Instant::now()));
        Ok(Box::new(FanOutSource::new(Arc::clone(&self.stream), shard.clone(), pace, position.clone())))
    }
}
