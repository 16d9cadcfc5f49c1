//! Enhanced fan-out: `SubscribeToShard`, one HTTP client for each subscription.

use super::super::failure::{Failed, classify};
use super::super::{Connection, StreamRef};
use super::record::records;
use super::registration;
use super::resubscribe::Resubscribe;
use super::subscribe::{Opened, Opening, Subscription, ask};
use crate::domain::{
    BindingError, BoxError, FailureKind, Fetched, RecordBatch, RecordSource, Retrieval, RetrievalError, ShardId,
    StartingPosition,
};
use async_trait::async_trait;
use aws_sdk_kinesis::types::{SubscribeToShardEvent, SubscribeToShardEventStream};
use std::fmt;
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout_at};

/// The times that a subscription keeps. Settable for tests; the defaults follow the service's rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FanOutTimes {
    /// Silence after which a subscription counts as dead while an event is waited for. The service sends an event every
    /// few seconds even when there is no record.
    pub silence: Duration,
    /// A subscription that nobody read for so long is given up and taken anew at the next read.
    pub unread: Duration,
    /// How long the answer to a subscription may take.
    pub answer: Duration,
    /// The least time between a success and the next try; the service refuses earlier ones.
    pub apart: Duration,
}

impl Default for FanOutTimes {
    /// 35 s of silence, 20 s unread, 10 s for the answer, 5 s apart.
    fn default() -> Self {
        Self {
            silence: Duration::from_secs(35),
            unread: Duration::from_secs(20),
            answer: Duration::from_secs(10),
            apart: Duration::from_secs(5),
        }
    }
}

/// Opens shards of one stream for a registered consumer.
#[derive(Debug)]
pub struct FanOut {
    connection: Connection,
    stream: StreamRef,
    consumer_arn: String,
    times: FanOutTimes,
}

impl FanOut {
    /// Registers the consumer called `consumer` unless it exists, and waits until it is active, however long that
    /// takes. It is never deregistered.
    ///
    /// # Errors
    /// When the service refuses for a reason that does not pass.
    pub async fn register(connection: &Connection, stream: StreamRef, consumer: &str) -> Result<Self, BindingError> {
        let consumer_arn = registration::consumer_arn(connection, &stream, consumer).await?;
        Ok(Self::with_consumer(connection, stream, consumer_arn))
    }

    /// For a consumer that is known to be active.
    #[must_use]
    pub fn with_consumer(connection: &Connection, stream: StreamRef, consumer_arn: String) -> Self {
        Self { connection: connection.clone(), stream, consumer_arn, times: FanOutTimes::default() }
    }

    /// The same with other times.
    #[must_use]
    pub const fn with_times(mut self, times: FanOutTimes) -> Self {
        self.times = times;
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
    /// Lazy: nothing is asked before the first `next`.
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
            times: self.times,
            plan: Resubscribe::new(position.clone(), self.times.apart, Instant::now()),
            opening: None,
            subscription: None,
            quiet_since: None,
            left_at: None,
            ended: None,
        }))
    }
}

/// One shard. What is under way is kept here, not in the future of `next`, so a dropped `next` loses nothing.
struct FanOutSource {
    connection: Connection,
    stream: StreamRef,
    consumer_arn: String,
    shard: ShardId,
    times: FanOutTimes,
    plan: Resubscribe,
    opening: Option<Opening>,
    subscription: Option<Subscription>,
    /// Since when we wait for an event.
    quiet_since: Option<Instant>,
    /// When the caller was last given something.
    left_at: Option<Instant>,
    /// The end was signalled with these children, and the caller does not know it yet.
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
    async fn next(&mut self) -> Result<Fetched, RetrievalError> {
        if self.left_at.take().is_some_and(|left| left.elapsed() > self.times.unread) {
            tracing::debug!(shard = %self.shard, "gave up a subscription that was not read");
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
                self.left_at = Some(Instant::now());
                return Ok(Fetched::Batch(batch));
            }
        }
    }
}

impl FanOutSource {
    /// Takes one step towards a subscription.
    async fn subscribe(&mut self) -> Result<(), RetrievalError> {
        if self.opening.is_none() {
            sleep_until(self.plan.not_before()).await;
        }
        let now = Instant::now();
        let (plan, times) = (&mut self.plan, self.times);
        let opening = self.opening.get_or_insert_with(|| {
            let client = self.connection.fan_out_kinesis();
            ask(client, &self.consumer_arn, &self.shard, plan.position(), now + times.answer)
        });
        let outcome = opening.await;
        self.opening = None;
        match outcome {
            Ok(Opened { subscription, date }) => {
                self.plan.subscribed(Instant::now(), date);
                self.subscription = Some(subscription);
                self.quiet_since = None;
                Ok(())
            }
            Err(failed) => self.heal(failed),
        }
    }

    /// Waits for an event; `None` when the subscription ended, for whatever reason, and must be renewed.
    async fn event(&mut self) -> Result<Option<SubscribeToShardEvent>, RetrievalError> {
        let Some(subscription) = &mut self.subscription else { return Ok(None) };
        let dead_at = *self.quiet_since.get_or_insert_with(Instant::now) + self.times.silence;
        match timeout_at(dead_at, subscription.receive()).await {
            Ok(Ok(Some(SubscribeToShardEventStream::SubscribeToShardEvent(event)))) => {
                self.quiet_since = None;
                Ok(Some(event))
            }
            // A kind of event that this SDK does not know.
            Ok(Ok(Some(_))) => Ok(None),
            Ok(Ok(None)) => {
                self.unsubscribe();
                Ok(None)
            }
            Ok(Err(error)) => {
                self.unsubscribe();
                self.heal(classify("Kinesis: SubscribeToShard", error)).map(|()| None)
            }
            Err(_) => {
                tracing::warn!(shard = %self.shard, silence = ?self.times.silence, "subscription went silent, subscribed anew");
                self.unsubscribe();
                Ok(None)
            }
        }
    }

    /// Takes an event in; `None` when it held nothing but the end of the shard.
    fn accept(&mut self, event: SubscribeToShardEvent) -> Result<Option<RecordBatch>, RetrievalError> {
        let (records, last) = records(event.records).map_err(|source| self.malformed(source))?;
        let children = event.child_shards.unwrap_or_default();
        // At the end AWS names the children and nothing to go on from. Emulators name the children of a closed shard
        // while it still has records. No children and nothing to go on from: an end that the caller must confirm.
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
        Ok(Some(RecordBatch { records, behind }))
    }

    fn malformed(&self, source: BoxError) -> RetrievalError {
        let doing = format!("reading {} of stream {}: a record has no valid number", self.shard, self.stream);
        RetrievalError::Unavailable { doing, kind: FailureKind::Permanent, source }
    }

    fn unsubscribe(&mut self) {
        self.subscription = None;
        self.opening = None;
        self.quiet_since = None;
    }

    fn heal(&mut self, failed: Failed) -> Result<(), RetrievalError> {
        let now = Instant::now();
        if self.plan.failed(failed.kind, failed.code.as_deref(), now) {
            let (refusals, wait) = (self.plan.refusals(), self.plan.not_before().saturating_duration_since(now));
            if refusals > 1 && refusals.is_power_of_two() {
                let consumer = &self.consumer_arn;
                let remedy = "look for another process that reads with the same consumerName and another lease table, \
                              or use `mode: shared`";
                let reason = &failed.text;
                tracing::warn!(shard = %self.shard, consumer, refusals, ?wait, reason, remedy, "subscription was refused");
            } else {
                tracing::debug!(shard = %self.shard, ?wait, reason = %failed.text, "subscription will be tried again");
            }
            return Ok(());
        }
        Err(failed.opening(&self.shard, self.stream.name()))
    }
}
