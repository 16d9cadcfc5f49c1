//! The part of a producer that callers hold.

use super::admission::{Admission, Permit, Share};
use super::driver::Driver;
use super::engine::Engine;
use super::errors;
use super::record::{Arrival, PendingRecord, Responder};
use super::settings::ProducerSettings;
use super::shard_map::hash_key;
use super::shard_view::ShardView;
use super::succession::Turn;
use super::types::{Answer, OutgoingRecord, Ports, PutOptions, Written};
use crate::domain::{BindingError, NewRecord, Outcome, OutputReport, Stop};
use crate::tasks::{Supervisor, TaskFailure};
use crate::telemetry::{OutputMetrics, RecordState};
use futures_util::{StreamExt, stream};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// Writes the records of many callers into one stream.
///
/// One owner task has the state; callers send records to it and wait. Dropping the producer aborts the owner, and every
/// caller that still waits gets `Closed`.
#[derive(Debug)]
pub struct Producer {
    max_record_size: usize,
    metrics: OutputMetrics,
    /// Whether the hash key of a record is needed to find its shard.
    can_list: bool,
    admission: Arc<Admission>,
    shards: ShardView,
    arrivals: mpsc::Sender<Arrival>,
    stop: Stop,
    /// Taken out by the call that closes the producer; never locked across an await.
    owner: Mutex<Option<Supervisor<()>>>,
}

impl Producer {
    /// Starts a producer that runs until [`Producer::close`]. Must be called within a Tokio runtime, which runs the owner.
    #[must_use]
    pub fn start(settings: ProducerSettings, ports: Ports) -> Self {
        Self::start_after(settings, ports, Turn::default())
    }

    /// As [`Producer::start`]. If it keeps an order, it begins to send once the producers before it have ended.
    #[must_use]
    pub fn start_after(settings: ProducerSettings, ports: Ports, turn: Turn) -> Self {
        let admission = Admission::new(settings.queue);
        // Only records with a permit are sent, so the channel is never full.
        let capacity = settings.queue.records.clamp(1, tokio::sync::Semaphore::MAX_PERMITS);
        let (sender, arrivals) = mpsc::channel(capacity);
        let (max_record_size, attempt_timeout) = (settings.max_record_size, settings.attempt_timeout);
        let (metrics, can_list) = (ports.metrics.clone(), ports.directory.is_some());
        let engine = Engine::new(settings, &ports, Arc::clone(&admission), Instant::now());
        let shards = engine.shard_view();
        let driver = Driver { engine, ports, admission: Arc::clone(&admission), arrivals, turn, attempt_timeout };
        let (stop, mut owner) = (Stop::new(), Supervisor::new());
        owner.spawn("producer", driver.run(stop.clone()));
        let owner = Mutex::new(Some(owner));
        Self { max_record_size, metrics, can_list, admission, shards, arrivals: sender, stop, owner }
    }

    /// Writes a record and waits for the proof that it is stored. Dropping the future withdraws a record that was not sent
    /// yet; the call of one that was sent continues and is counted.
    ///
    /// # Errors
    /// The error of the service; `Throttled` when the queue is full or the rate limit of the shard does not allow the
    /// record before the deadline; `TooLarge` for a record above the limit; `Conflict` with `ORDERING_STOPPED` when an
    /// earlier record of the key failed and the key is stopped; `TimedOut` at the deadline; `Closed` after
    /// [`Producer::close`]. `Outcome::Unknown` when the record may be stored nevertheless.
    pub async fn put(&self, record: NewRecord, options: PutOptions) -> Result<Written, BindingError> {
        let size = self.checked_size(&record)?;
        let Some(permit) = self.admission.try_acquire(size, Share::Single) else {
            return Err(self.refuse(self.queue_full()));
        };
        self.submit(record, options, permit)?.await
    }

    /// Writes many records of one caller; the answers are in the order of the records. Records of one key keep their order
    /// where ordering is configured. All such callers together take at most half of the queue and wait for a permit, so
    /// that single records are not excluded. A record without a permit at the deadline is refused as `Throttled`. The
    /// options are for all records, but each has its own `ends_batch`.
    pub async fn put_all(
        &self,
        records: Vec<OutgoingRecord>,
        options: PutOptions,
    ) -> Vec<Result<Written, BindingError>> {
        let mut answers = Vec::with_capacity(records.len());
        for OutgoingRecord { record, ends_batch } in records {
            answers.push(self.submit_bulk(record, PutOptions { ends_batch, ..options.clone() }).await);
        }
        stream::iter(answers).then(async |answer| answer?.await).collect().await
    }

    /// The records that wait or are in flight, and what is known of the shards.
    #[must_use]
    pub fn report(&self) -> OutputReport {
        let ((pending_records, pending_bytes), now) = (self.admission.usage(), Instant::now());
        let (rate_limit, shard_map) = (self.shards.rate_limit(now), self.shards.shard_map(now));
        OutputReport { pending_records, pending_bytes, rate_limit, shard_map }
    }

    /// Accepts no more records, sends what waits, answers every caller, and ends the owner, without waiting for that.
    pub fn finish(&self) {
        self.stop.finish();
    }

    /// As [`Producer::finish`], and waits for the end. Returns at the latest when the
    /// deadlines of all records have passed and the open calls have ended. A second call returns at once.
    ///
    /// If the future is dropped, the owner is aborted: callers that still wait get `Closed`, with an unknown outcome where
    /// their record is in flight. The next call then waits until the owner has ended, so that all of them are answered.
    pub async fn close(&self) {
        self.stop.finish();
        let owner = self.owner.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(owner) = owner else { return };
        let mut closing = Closing { owner, slot: &self.owner };
        while let Some(ended) = closing.owner.next().await {
            match ended.result {
                Ok(()) => {}
                Err(TaskFailure::Aborted) => tracing::debug!("owner task of an output was aborted"),
                Err(failure) => tracing::error!(%failure, "owner task of an output failed"),
            }
        }
    }

    async fn submit_bulk(&self, record: NewRecord, options: PutOptions) -> Result<AnswerFuture, BindingError> {
        let size = self.checked_size(&record)?;
        let permit = match self.admission.try_acquire(size, Share::Bulk) {
            Some(permit) => permit,
            None => {
                let permit = tokio::time::timeout_at(options.deadline, self.admission.acquire(size, Share::Bulk));
                tokio::select! {
                    permit = permit => permit.map_err(|_| self.refuse(self.queue_full()))?,
                    () = self.stop.finishing() => return Err(self.refuse(errors::closed(Outcome::NotDone))),
                }
            }
        };
        self.submit(record, options, permit)
    }

    fn checked_size(&self, record: &NewRecord) -> Result<usize, BindingError> {
        checked_size(record, self.max_record_size).map_err(|error| self.refuse(error))
    }

    fn submit(&self, record: NewRecord, options: PutOptions, permit: Permit) -> Result<AnswerFuture, BindingError> {
        let hash = self.can_list.then(|| hash_key(&record)).flatten();
        let (sender, answer) = oneshot::channel();
        let record = PendingRecord::new(record, hash, options, (Responder::new(sender), permit));
        if self.stop.is_finishing() || self.arrivals.try_send(record).is_err() {
            return Err(self.refuse(errors::closed(Outcome::NotDone)));
        }
        Ok(AnswerFuture { answer, admission: Arc::clone(&self.admission), is_done: false })
    }

    fn queue_full(&self) -> BindingError {
        errors::queue_full(self.admission.bounds(), self.admission.drain_time())
    }

    fn refuse(&self, error: BindingError) -> BindingError {
        self.metrics.ended(RecordState::Refused, 0);
        error
    }
}

/// The size of a record, payload and partition key together.
///
/// # Errors
/// `TooLarge` when it is above `max`.
pub fn checked_size(record: &NewRecord, max: usize) -> Result<usize, BindingError> {
    let size = record.size();
    if size > max { Err(errors::too_large(size, max)) } else { Ok(size) }
}

/// Waits for the owner to end. On drop it aborts an owner that has not ended and leaves it to the next call of `close`.
struct Closing<'a> {
    owner: Supervisor<()>,
    slot: &'a Mutex<Option<Supervisor<()>>>,
}

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.owner.abort_all();
        let owner = std::mem::take(&mut self.owner);
        if !owner.is_empty() {
            *self.slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(owner);
        }
    }
}

/// Resolves to the answer. If it is dropped before that, the owner learns that the caller went away.
#[derive(Debug)]
struct AnswerFuture {
    answer: oneshot::Receiver<Answer>,
    admission: Arc<Admission>,
    is_done: bool,
}

impl Future for AnswerFuture {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer> {
        let answer = ready!(Pin::new(&mut self.answer).poll(context));
        self.is_done = true;
        // Cannot fail, since a responder answers even on drop.
        Poll::Ready(answer.unwrap_or_else(|_| Err(errors::closed(Outcome::Unknown))))
    }
}

impl Drop for AnswerFuture {
    fn drop(&mut self) {
        if !self.is_done {
            self.answer.close();
            self.admission.cancel();
        }
    }
}
