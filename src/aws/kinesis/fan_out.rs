//! Enhanced fan-out: `SubscribeToShard`, one HTTP client for each subscription.

use super::super::failure::{CallError, classify};
use super::super::{Connection, StreamRef};
use super::record::records;
use super::registration;
use super::subscription::{PendingSubscription, Subscription, subscribe};
use super::subscription_plan::SubscriptionPlan;
use crate::domain::{
    BindingError, Fetched, RecordBatch, RecordSource, Retrieval, RetrievalError, ShardId, StartingPosition,
};
use async_trait::async_trait;
use aws_sdk_kinesis::types::{SubscribeToShardEvent, SubscribeToShardEventStream};
use std::fmt;
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout_at};

/// Timeouts of subscriptions. Settable for tests; the defaults follow the service's rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FanOutTimeouts {
    /// After this long without an event a subscription counts as broken. The service sends an event every few seconds, even
    /// without records.
    pub silence: Duration,
    /// If a subscription was not read for this long, the next read replaces it.
    pub unread: Duration,
    /// How long the response to a subscription may take.
    pub response: Duration,
    /// The minimum time between two subscriptions; the service refuses earlier ones.
    pub min_interval: Duration,
}

impl Default for FanOutTimeouts {
    fn default() -> Self {
        Self {
            silence: Duration::from_secs(35),
            unread: Duration::from_secs(20),
            response: Duration::from_secs(10),
            min_interval: Duration::from_secs(5),
        }
    }
}

#[derive(Debug)]
pub struct FanOut {
    connection: Connection,
    stream: StreamRef,
    consumer_arn: String,
    timeouts: FanOutTimeouts,
}

impl FanOut {
    /// Registers the consumer `consumer` unless it exists, and waits until it is active, however long that takes. It is
    /// never deregistered.
    ///
    /// # Errors
    /// If the service refuses, and waiting does not help.
    pub async fn register(connection: &Connection, stream: StreamRef, consumer: &str) -> Result<Self, BindingError> {
        let consumer_arn = registration::consumer_arn(connection, &stream, consumer).await?;
        Ok(Self::with_consumer(connection, stream, consumer_arn))
    }

    /// For a consumer that is known to be active.
    #[must_use]
    pub fn with_consumer(connection: &Connection, stream: StreamRef, consumer_arn: String) -> Self {
        Self { connection: connection.clone(), stream, consumer_arn, timeouts: FanOutTimeouts::default() }
    }

    #[must_use]
    pub const fn with_timeouts(mut self, timeouts: FanOutTimeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// The ARN of the registered consumer.
    #[must_use]
    pub fn consumer_arn(&self) -> &str {
        &self.consumer_arn
    }
}

#[async_trait]
impl Retrieval for FanOut {
    /// Sends nothing before the first `next`.
    async fn open(
        &self,
        shard: &ShardId,
        position: &StartingPosition,
    ) -> Result<Box<dyn RecordSource>, RetrievalError> {
        Ok(Box::new(FanOutSource {
            connection: self.connection.clone(),
            stream: self.stream.clone(),
            consumer_arn: self.consumer_arn.clone(),
            shard: shard.clone(),
            timeouts: self.timeouts,
            plan: SubscriptionPlan::new(position.clone(), self.timeouts.min_interval, Instant::now()),
            pending: None,
            subscription: None,
            silent_since: None,
            returned_at: None,
            ended: None,
        }))
    }
}

/// One shard. Calls in flight are kept here, not in the future of `next`, so that a dropped `next` loses nothing.
struct FanOutSource {
    connection: Connection,
    stream: StreamRef,
    consumer_arn: String,
    shard: ShardId,
    timeouts: FanOutTimeouts,
    plan: SubscriptionPlan,
    pending: Option<PendingSubscription>,
    subscription: Option<Subscription>,
    /// Since when an event is waited for.
    silent_since: Option<Instant>,
    /// When the caller last got a batch.
    returned_at: Option<Instant>,
    /// The children of the shard that ended; to be returned after the last records.
    ended: Option<Vec<ShardId>>,
}

impl fmt::Debug for FanOutSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FanOutSource")
            .field("stream", &self.stream)
            .field("shard", &self.shard)
            .field("plan", &self.plan)
            .field("subscribed", &self.subscription.is_some())
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl RecordSource for FanOutSource {
    async fn next(&mut self, _max_bytes: usize) -> Result<Fetched, RetrievalError> {
        if self.returned_at.take().is_some_and(|at| at.elapsed() > self.timeouts.unread) {
            tracing::debug!(shard = %self.shard, "subscription was not read for too long; it is replaced");
            self.unsubscribe();
        }
        loop {
            if let Some(children) = self.ended.take() {
                return Ok(Fetched::ShardEnded { children });
            }
            if self.subscription.is_none() {
                self.subscribe().await?;
                continue;
            }
            let Some(event) = self.event().await? else { continue };
            if let Some(batch) = self.accept(event)? {
                self.returned_at = Some(Instant::now());
                return Ok(Fetched::Batch(batch));
            }
        }
    }
}

impl FanOutSource {
    /// Makes one attempt to subscribe. A call that is in flight already is waited for.
    async fn subscribe(&mut self) -> Result<(), RetrievalError> {
        if self.pending.is_none() {
            sleep_until(self.plan.not_before()).await;
        }
        let now = Instant::now();
        let pending = self.pending.get_or_insert_with(|| {
            let client = self.connection.fan_out_kinesis();
            let deadline = now + self.timeouts.response;
            subscribe(client, &self.consumer_arn, &self.shard, self.plan.position(), deadline)
        });
        let result = pending.await;
        self.pending = None;
        match result {
            Ok((subscription, date)) => {
                self.plan.subscribed(Instant::now(), date);
                self.subscription = Some(subscription);
                self.silent_since = None;
                Ok(())
            }
            Err(error) => self.failed(error),
        }
    }

    /// Waits for an event; `None` if the subscription has ended, or for an unknown type of event.
    async fn event(&mut self) -> Result<Option<SubscribeToShardEvent>, RetrievalError> {
        let Some(subscription) = &mut self.subscription else { return Ok(None) };
        let dead_at = *self.silent_since.get_or_insert_with(Instant::now) + self.timeouts.silence;
        match timeout_at(dead_at, subscription.receive()).await {
            Ok(Ok(Some(SubscribeToShardEventStream::SubscribeToShardEvent(event)))) => {
                self.silent_since = None;
                Ok(Some(event))
            }
            // An event type that this SDK does not know.
            Ok(Ok(Some(_))) => Ok(None),
            Ok(Ok(None)) => {
                self.unsubscribe();
                Ok(None)
            }
            Ok(Err(error)) => {
                self.unsubscribe();
                self.failed(classify("Kinesis: SubscribeToShard", error)).map(|()| None)
            }
            Err(_) => {
                let silence = self.timeouts.silence;
                tracing::warn!(shard = %self.shard, ?silence, "subscription was silent for too long; it is replaced");
                self.unsubscribe();
                Ok(None)
            }
        }
    }

    /// `None` if the event has nothing but the end of the shard.
    fn accept(&mut self, event: SubscribeToShardEvent) -> Result<Option<RecordBatch>, RetrievalError> {
        let (records, last) = records(event.records, &self.shard, &self.stream)?;
        let children = event.child_shards.unwrap_or_default();
        // At the end AWS returns the children and no continuation number. Emulators return the children of a closed shard
        // while it still has records. Without children and continuation number the caller must confirm the end.
        let is_last = !children.is_empty() && records.is_empty();
        let is_end = is_last || event.continuation_sequence_number.is_empty();
        self.plan.received(last, event.continuation_sequence_number.parse().ok());
        if is_end {
            self.unsubscribe();
            self.ended = Some(children.iter().map(|child| ShardId::new(child.shard_id())).collect());
            if records.is_empty() {
                return Ok(None);
            }
        }
        let behind = u64::try_from(event.millis_behind_latest).ok().map(Duration::from_millis);
        Ok(Some(RecordBatch { records, behind, gap: None }))
    }

    fn unsubscribe(&mut self) {
        self.subscription = None;
        self.pending = None;
        self.silent_since = None;
    }

    /// Schedules the next attempt, or returns the error.
    fn failed(&mut self, error: CallError) -> Result<(), RetrievalError> {
        let now = Instant::now();
        if self.plan.failed(error.kind, error.code.as_deref(), now) {
            let (refusals, wait) = (self.plan.refusals(), self.plan.not_before().saturating_duration_since(now));
            if refusals > 1 && refusals.is_power_of_two() {
                let consumer = &self.consumer_arn;
                let remedy = "check whether another process reads with the same consumerName and another lease table, \
                              or use `mode: shared`";
                let reason = &error.text;
                tracing::warn!(shard = %self.shard, consumer, refusals, ?wait, reason, remedy, "subscription was refused");
            } else {
                tracing::debug!(shard = %self.shard, ?wait, reason = %error.text, "subscription failed; it is retried");
            }
            return Ok(());
        }
        Err(error.into_read_error(&self.shard, self.stream.name()))
    }
}
