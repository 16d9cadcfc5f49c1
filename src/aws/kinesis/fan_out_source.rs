//! One shard by enhanced fan-out, with one HTTP client for each subscription.

use super::super::failure::{CallError, classify};
use super::super::{Connection, StreamRef};
use super::per_shard::ShardState;
use super::read_monitor::ReadMonitor;
use super::record::{WireRecord, records};
use super::registration;
use super::retries::ReadRetries;
use super::subscription::{PendingSubscription, Subscription, subscribe};
use super::subscription_pace::SubscriptionPace;
use super::subscription_plan::SubscriptionPlan;
use crate::domain::{
    FailureKind, Fetched, ReadLimit, RecordBatch, RecordSource, RetrievalError, ShardId, StartingPosition,
};
use crate::resilience::Backoff;
use crate::telemetry::ResubscribeCause;
use async_trait::async_trait;
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::{SubscribeToShardEvent, SubscribeToShardEventStream};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout_at};

const BACKOFF: Backoff = Backoff::millis(200, 5_000);

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

/// What all shards share.
#[derive(Clone)]
pub(super) struct FanOutStream {
    pub(super) connection: Connection,
    /// For calls that are not subscriptions.
    pub(super) client: Client,
    pub(super) stream: StreamRef,
    pub(super) consumer_arn: String,
    pub(super) timeouts: FanOutTimeouts,
    pub(super) monitor: Arc<ReadMonitor>,
}

impl fmt::Debug for FanOutStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FanOutStream")
            .field("stream", &self.stream)
            .field("consumer_arn", &self.consumer_arn)
            .field("timeouts", &self.timeouts)
            .finish_non_exhaustive()
    }
}

/// One shard. Calls in flight are kept here, not in the future of `next`, so that a dropped `next` loses nothing.
///
/// It never receives an event before the last one was returned: what is not read waits in the connection's window.
pub(super) struct FanOutSource {
    stream: Arc<FanOutStream>,
    shard: ShardId,
    pace: ShardState<SubscriptionPace>,
    plan: SubscriptionPlan,
    retries: ReadRetries,
    /// With the connection of a subscription that ended as it should.
    client: Option<Client>,
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
            .field("is_subscribed", &self.subscription.is_some())
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl RecordSource for FanOutSource {
    /// Kinesis chooses the size of an event, so the limit has no effect: one event is returned.
    async fn next(&mut self, _limit: ReadLimit) -> Result<Fetched, RetrievalError> {
        if self.returned_at.take().is_some_and(|at| at.elapsed() > self.stream.timeouts.unread) {
            self.suspend();
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

    /// Closes the subscription with its connection. The next `next` subscribes again.
    fn suspend(&mut self) {
        if self.pending.is_some() {
            // Kinesis may have accepted it.
            self.pace.lock().subscribed(Instant::now());
        }
        if self.subscription.is_some() {
            tracing::debug!(shard = %self.shard, "subscription was closed because it was not read");
            self.stream.monitor.metrics.resubscribed(ResubscribeCause::Unread);
        }
        self.close();
    }
}

impl FanOutSource {
    pub(super) fn new(
        stream: Arc<FanOutStream>,
        shard: ShardId,
        pace: ShardState<SubscriptionPace>,
        position: StartingPosition,
    ) -> Self {
        Self {
            stream,
            shard,
            pace,
            plan: SubscriptionPlan::new(position),
            retries: ReadRetries::new(BACKOFF),
            client: None,
            pending: None,
            subscription: None,
            silent_since: None,
            returned_at: None,
            ended: None,
        }
    }

    /// Makes one attempt to subscribe. A call that is in flight already is waited for.
    async fn subscribe(&mut self) -> Result<(), RetrievalError> {
        if self.pending.is_none() {
            let not_before = self.pace.lock().not_before();
            sleep_until(not_before).await;
        }
        let pending = self.pending.get_or_insert_with(|| {
            let now = Instant::now();
            let client = self.client.take().unwrap_or_else(|| self.stream.connection.fan_out_kinesis());
            let position = self.plan.next_position(now);
            let deadline = now + self.stream.timeouts.response;
            subscribe(client, &self.stream.consumer_arn, &self.shard, &position, deadline)
        });
        let result = pending.await;
        self.pending = None;
        match result {
            Ok((subscription, date)) => {
                self.pace.lock().subscribed(Instant::now());
                self.plan.subscribed(date);
                self.subscription = Some(subscription);
                self.silent_since = None;
                Ok(())
            }
            Err(error) => self.failed(error).await,
        }
    }

    /// Waits for an event; `None` if the subscription has ended, or for an unknown type of event.
    async fn event(&mut self) -> Result<Option<SubscribeToShardEvent>, RetrievalError> {
        let Some(subscription) = &mut self.subscription else { return Ok(None) };
        let silence = self.stream.timeouts.silence;
        let dead_at = *self.silent_since.get_or_insert_with(Instant::now) + silence;
        match timeout_at(dead_at, subscription.receive()).await {
            Ok(Ok(Some(SubscribeToShardEventStream::SubscribeToShardEvent(event)))) => {
                self.silent_since = None;
                Ok(Some(event))
            }
            // An event type that this SDK does not know.
            Ok(Ok(Some(_))) => Ok(None),
            Ok(Ok(None)) => {
                self.stream.monitor.metrics.resubscribed(ResubscribeCause::Ended);
                self.client = self.subscription.take().map(Subscription::into_client);
                self.silent_since = None;
                Ok(None)
            }
            Ok(Err(error)) => {
                self.close();
                self.failed(classify("Kinesis: SubscribeToShard", error)).await.map(|()| None)
            }
            Err(_) => {
                self.stream.monitor.silent(&self.shard, silence);
                self.stream.monitor.metrics.resubscribed(ResubscribeCause::Silent);
                self.close();
                Ok(None)
            }
        }
    }

    /// `None` if the event has nothing but the end of the shard.
    fn accept(&mut self, event: SubscribeToShardEvent) -> Result<Option<RecordBatch>, RetrievalError> {
        let wire: Vec<WireRecord> = event.records.into_iter().map(WireRecord::from).collect();
        let is_empty = wire.is_empty();
        let mut records = records(wire, &self.shard, &self.stream.stream, &self.stream.monitor)?;
        let children = event.child_shards.unwrap_or_default();
        // At the end AWS returns the children and no continuation number. Emulators return the children of a closed shard
        // while it still has records. Without children and continuation number the caller must confirm the end.
        let is_last = !children.is_empty() && is_empty;
        let is_end = is_last || event.continuation_sequence_number.is_empty();
        let behind = u64::try_from(event.millis_behind_latest).ok().map(Duration::from_millis);
        self.retries.reset();
        self.pace.lock().received();
        let continuation = event.continuation_sequence_number.parse().ok();
        let gap = self.plan.received(&mut records, continuation, behind, Instant::now());
        if is_end {
            self.close();
            self.ended = Some(children.iter().map(|child| ShardId::new(child.shard_id())).collect());
            if records.is_empty() {
                return Ok(None);
            }
        }
        Ok(Some(RecordBatch { records, behind, gap }))
    }

    /// Drops the subscription and its connection.
    fn close(&mut self) {
        self.subscription = None;
        self.pending = None;
        self.client = None;
        self.silent_since = None;
    }

    /// Schedules the next attempt, or returns the error.
    async fn failed(&mut self, error: CallError) -> Result<(), RetrievalError> {
        let (now, monitor) = (Instant::now(), &self.stream.monitor);
        if error.is("InvalidArgumentException") && self.plan.position_refused() {
            tracing::debug!(shard = %self.shard, reason = %error.text, "continuation number was refused");
            return Ok(());
        }
        if error.is("ResourceInUseException") {
            monitor.metrics.resubscribed(ResubscribeCause::InUse);
            if !self.pace.lock().refused(now, fastrand::f64()) {
                tracing::debug!(shard = %self.shard, reason = %error.text, "subscription was refused");
                return Ok(());
            }
            monitor.refused(&self.shard, &self.stream.consumer_arn, &error.text);
        } else if error.kind == FailureKind::Throttled {
            monitor.metrics.resubscribed(ResubscribeCause::Throttled);
            let lasts = self.pace.lock().throttled(now);
            monitor.throttled(&self.shard, lasts, &error.text);
            return Ok(());
        } else {
            monitor.metrics.resubscribed(ResubscribeCause::Failed);
            let retry_in = self.retries.next_wait(error.kind);
            self.pace.lock().failed((error.kind, error.outcome), retry_in, now);
            if retry_in.is_some() {
                tracing::debug!(shard = %self.shard, ?retry_in, reason = %error.text, "subscription failed");
                return Ok(());
            }
        }
        if error.kind == FailureKind::NotFound
            && registration::is_missing(&self.stream.client, &self.stream.consumer_arn).await
        {
            let consumer = self.stream.consumer_arn.clone();
            return Err(RetrievalError::ConsumerNotFound { consumer, source: error.source });
        }
        Err(error.into_read_error(&self.shard, self.stream.stream.name()))
    }
}
