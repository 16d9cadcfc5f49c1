//! One shard of the model of enhanced fan-out. It reads as the adapter does: the same code decides when and where it
//! subscribes.

use super::fan_out::{FanOutError, ModelFanOut, ShardEvent, Subscription};
use super::stream_faults::StreamFaults;
use crate::aws::kinesis::{SubscriptionPace, SubscriptionPlan};
use crate::domain::{
    FailureKind, Fetched, Outcome, ReadLimit, RecordBatch, RecordSource, RetrievalError, ShardId, StartingPosition,
    Timestamp,
};
use async_trait::async_trait;
use futures_util::future::BoxFuture;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

// As the defaults of the adapter.
const SILENCE: Duration = Duration::from_secs(35);
const UNREAD: Duration = Duration::from_secs(20);
const RESPONSE: Duration = Duration::from_secs(10);
const MAX_FAILURES: u32 = 8;

type Subscribed = Result<(Subscription, Timestamp), FanOutError>;

pub(super) struct FanOutSource {
    service: ModelFanOut,
    faults: StreamFaults,
    /// Identifies the worker.
    port: u64,
    shard: ShardId,
    pace: Arc<Mutex<SubscriptionPace>>,
    plan: SubscriptionPlan,
    random: fastrand::Rng,
    failures: u32,
    pending: Option<BoxFuture<'static, Subscribed>>,
    subscription: Option<Subscription>,
    silent_since: Option<Instant>,
    returned_at: Option<Instant>,
    ended: Option<Vec<ShardId>>,
}

impl fmt::Debug for FanOutSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FanOutSource").field("shard", &self.shard).field("plan", &self.plan).finish_non_exhaustive()
    }
}

#[async_trait]
impl RecordSource for FanOutSource {
    async fn next(&mut self, _limit: ReadLimit) -> Result<Fetched, RetrievalError> {
        if self.returned_at.take().is_some_and(|at| at.elapsed() > UNREAD) {
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
            if let Some(batch) = self.accept(event) {
                self.returned_at = Some(Instant::now());
                return Ok(Fetched::Batch(batch));
            }
        }
    }

    fn suspend(&mut self) {
        if self.pending.is_some() {
            self.pace().subscribed(Instant::now());
        }
        self.close();
    }
}

impl FanOutSource {
    pub(super) fn new(
        (service, faults, port): (ModelFanOut, StreamFaults, u64),
        shard: ShardId,
        pace: Arc<Mutex<SubscriptionPace>>,
        (position, random): (StartingPosition, fastrand::Rng),
    ) -> Self {
        Self {
            service,
            faults,
            port,
            shard,
            pace,
            plan: SubscriptionPlan::new(position),
            random,
            failures: 0,
            pending: None,
            subscription: None,
            silent_since: None,
            returned_at: None,
            ended: None,
        }
    }

    fn pace(&self) -> MutexGuard<'_, SubscriptionPace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn subscribe(&mut self) -> Result<(), RetrievalError> {
        if self.pending.is_none() {
            let not_before = self.pace().not_before();
            sleep_until(not_before).await;
        }
        let mut call = match self.pending.take() {
            Some(pending) => pending,
            None => self.call(),
        };
        let result = {
            // Put back when this future is dropped, since the service may have accepted it.
            let slot = self.pending.insert(Box::pin(async { Err(FanOutError::InUse) }));
            std::mem::swap(slot, &mut call);
            slot.await
        };
        self.pending = None;
        match result {
            Ok((subscription, date)) => {
                self.service.known(&subscription, self.port);
                self.pace().subscribed(Instant::now());
                self.plan.subscribed(date);
                self.subscription = Some(subscription);
                self.silent_since = None;
                Ok(())
            }
            Err(error) => self.failed(error),
        }
    }

    /// The request is late, and its reply may be lost.
    fn call(&mut self) -> BoxFuture<'static, Subscribed> {
        let now = Instant::now();
        let (service, faults, shard) = (self.service.clone(), self.faults.clone(), self.shard.clone());
        let (position, deadline) = (self.plan.next_position(now), now + RESPONSE);
        let (late, fate) = (Duration::from_millis(self.random.u64(0..200)), self.random.u32(0..24));
        // Without faults all goes well.
        let fate = if faults.is_faulty() { fate } else { u32::MAX };
        let port = self.port;
        Box::pin(async move {
            let call = async {
                sleep(late).await;
                faults.disturb("subscribing").await.map_err(FanOutError::Other)?;
                let subscribed = service.subscribe(&faults, (&shard, &position), (port, fate))?;
                if fate == 4 {
                    std::future::pending::<()>().await;
                }
                Ok(subscribed)
            };
            timeout_at(deadline, call).await.unwrap_or_else(|_| {
                let (doing, source) = ("subscribing".to_owned(), "no answer in time".into());
                Err(FanOutError::Other(RetrievalError::Unavailable { doing, kind: FailureKind::TimedOut, source }))
            })
        })
    }

    async fn event(&mut self) -> Result<Option<ShardEvent>, RetrievalError> {
        let Some(subscription) = &mut self.subscription else { return Ok(None) };
        let dead_at = *self.silent_since.get_or_insert_with(Instant::now) + SILENCE;
        match timeout_at(dead_at, subscription.receive()).await {
            Ok(Ok(Some(event))) => {
                self.silent_since = None;
                Ok(Some(event))
            }
            Ok(Ok(None)) | Err(_) => {
                self.close();
                Ok(None)
            }
            Ok(Err(error)) => {
                self.close();
                self.failed(error).map(|()| None)
            }
        }
    }

    fn accept(&mut self, event: ShardEvent) -> Option<RecordBatch> {
        let ShardEvent { mut records, continuation, behind, children } = event;
        let is_end = continuation.is_none() || (!children.is_empty() && records.is_empty());
        self.failures = 0;
        self.pace().received();
        let gap = self.plan.received(&mut records, continuation, Some(behind), Instant::now());
        if is_end {
            self.close();
            self.ended = Some(children);
            if records.is_empty() {
                return None;
            }
        }
        Some(RecordBatch { records, behind: Some(behind), gap })
    }

    fn close(&mut self) {
        self.subscription = None;
        self.pending = None;
        self.silent_since = None;
    }

    fn failed(&mut self, error: FanOutError) -> Result<(), RetrievalError> {
        let (now, random) = (Instant::now(), self.random.f64());
        match error {
            FanOutError::Refused if self.plan.position_refused() => Ok(()),
            FanOutError::Refused => {
                let source = "the position was refused".into();
                Err(RetrievalError::InvalidPosition { shard: self.shard.clone(), source })
            }
            FanOutError::InUse if !self.pace().refused(now, random) => Ok(()),
            FanOutError::InUse => {
                let (doing, source) = ("subscribing".to_owned(), "ResourceInUseException".into());
                Err(RetrievalError::Unavailable { doing, kind: FailureKind::Conflict, source })
            }
            FanOutError::Other(error) if error.kind() == FailureKind::Throttled => {
                self.pace().throttled(now);
                Ok(())
            }
            FanOutError::Other(error) => {
                self.failures += 1;
                let may_retry = error.kind().may_retry() && self.failures <= MAX_FAILURES;
                let wait = Duration::from_millis(200).mul_f64(random) * self.failures;
                let retry_in = may_retry.then_some(wait);
                self.pace().failed((error.kind(), Outcome::Unknown), retry_in, now);
                if may_retry { Ok(()) } else { Err(error) }
            }
        }
    }
}
