//! What callers hold.

use super::ProducerSettings;
use super::driver::Driver;
use super::engine::{Engine, Submission};
use super::gate::{Gate, Permit, Share};
use super::refusals;
use super::shard_map::hash_key;
use super::waiter::{Answer, Waiter};
use crate::domain::{BindingError, NewRecord, Outcome, Receipt, RecordWriter, SequenceNumber, ShardDirectory, Stop};
use crate::tasks::{Supervisor, TaskFailure};
use crate::telemetry::{OutputMetrics, RecordState};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// The world of a producer.
#[derive(Debug, Clone)]
pub struct Ports {
    /// Takes records to the stream.
    pub writer: Arc<dyn RecordWriter>,
    /// Names the shards, if anybody may.
    pub directory: Option<Arc<dyn ShardDirectory>>,
    /// Counts.
    pub metrics: OutputMetrics,
}

/// How one record is to be written.
#[derive(Debug, Clone)]
pub struct PutOptions {
    /// When the caller must have an answer; covers queue, limiter and repetitions.
    pub deadline: Instant,
    /// The number that the record's own must exceed (`sequenceNumberForOrdering`).
    pub after: Option<SequenceNumber>,
    /// The first throttle is the answer (`failIfThrottled`).
    pub fail_if_throttled: bool,
}

/// The proof that a record is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// What the service gave.
    pub receipt: Receipt,
    /// The index in the aggregate, where the record was packed with others.
    pub sub_sequence: Option<u64>,
    /// How many attempts it took; at least 1.
    pub attempts: u32,
}

/// Writes the records of many callers into one stream.
///
/// One owner task holds the state; callers push records to it and wait. Dropping the producer aborts the owner, and
/// every caller that still waits is told `Closed`.
#[derive(Debug)]
pub struct Producer {
    max_record_size: usize,
    metrics: OutputMetrics,
    /// Whether the shard of a record is of interest.
    can_list: bool,
    gate: Arc<Gate>,
    arrivals: mpsc::Sender<Submission>,
    stop: Stop,
    /// The owner's task; taken out, never held across an await, by whoever closes.
    owner: Mutex<Option<Supervisor<()>>>,
}

impl Producer {
    /// A producer that runs until [`Producer::close`]. To be called within a tokio runtime, which runs the owner.
    #[must_use]
    pub fn start(settings: ProducerSettings, ports: Ports) -> Self {
        let gate = Gate::new(settings.queue);
        // The gate lets no more in than that, so sending never has to wait.
        let room = settings.queue.records.clamp(1, tokio::sync::Semaphore::MAX_PERMITS);
        let (sender, arrivals) = mpsc::channel(room);
        let (max_record_size, attempt_timeout) = (settings.max_record_size, settings.attempt_timeout);
        let (metrics, can_list) = (ports.metrics.clone(), ports.directory.is_some());
        let engine = Engine::new(settings, &ports, Arc::clone(&gate), Instant::now());
        let driver = Driver { engine, ports, gate: Arc::clone(&gate), arrivals, attempt_timeout };
        let (stop, mut owner) = (Stop::new(), Supervisor::new());
        owner.spawn("producer", driver.run(stop.clone()));
        let owner = Mutex::new(Some(owner));
        Self { max_record_size, metrics, can_list, gate, arrivals: sender, stop, owner }
    }

    /// Writes a record and waits for the proof. Dropping the future takes back a record that was not sent yet; one that
    /// was sent runs on and is counted.
    ///
    /// # Errors
    /// As the service answered; `Throttled` when the queue is full or the shard has no room before the deadline;
    /// `TooLarge` for a record above the limit; `Conflict` with `ORDERING_STOPPED` when an earlier record of the key
    /// failed and the order stops then; `TimedOut` at the deadline; `Closed` after [`Producer::close`];
    /// `Outcome::Unknown` when the record may have been stored all the same.
    pub async fn put(&self, record: NewRecord, options: PutOptions) -> Result<Written, BindingError> {
        let size = self.checked(&record)?;
        let Some(permit) = self.gate.enter(size, Share::Single) else { return Err(self.refuse(self.full())) };
        self.submit(record, size, options, permit)?.await
    }

    /// Writes many records of one caller; answers in the order given. Records of one key keep their order where the
    /// ordering asks for it. All such callers together take at most half of the queue, and wait for room, so that
    /// single callers are not shut out. A record that finds no room before the deadline is refused as `Throttled`.
    pub async fn put_all(&self, records: Vec<NewRecord>, options: PutOptions) -> Vec<Result<Written, BindingError>> {
        let mut answers = Vec::with_capacity(records.len());
        for record in records {
            answers.push(self.submit_of_many(record, options.clone()).await);
        }
        let mut written = Vec::with_capacity(answers.len());
        for answer in answers {
            written.push(match answer {
                Ok(answer) => answer.await,
                Err(refusal) => Err(refusal),
            });
        }
        written
    }

    /// Takes no more records, sends what waits, answers every caller, and ends. Ends at the latest when the deadlines
    /// of all records have passed and the calls that are open have ended. A second call returns at once.
    ///
    /// Dropped midway it aborts the owner: callers that still wait are told `Closed`, with an unknown outcome where
    /// their record is under way. The next call then waits until the owner has ended, so that all of them are answered.
    pub async fn close(&self) {
        self.stop.finish();
        let owner = self.owner.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(owner) = owner else { return };
        let mut closing = Closing { owner, slot: &self.owner };
        while let Some(ended) = closing.owner.next().await {
            match ended.result {
                Ok(()) => {}
                Err(TaskFailure::Aborted) => tracing::debug!("owner of an output was aborted"),
                Err(failure) => tracing::error!(%failure, "owner of an output ended before its time"),
            }
        }
    }

    async fn submit_of_many(&self, record: NewRecord, options: PutOptions) -> Result<Answering, BindingError> {
        let size = self.checked(&record)?;
        let permit = match self.gate.enter(size, Share::Bulk) {
            Some(permit) => permit,
            None => {
                let room = tokio::time::timeout_at(options.deadline, self.gate.wait(size, Share::Bulk));
                tokio::select! {
                    room = room => room.map_err(|_| self.refuse(self.full()))?,
                    () = self.stop.asked() => return Err(self.refuse(refusals::closed(Outcome::NotDone))),
                }
            }
        };
        self.submit(record, size, options, permit)
    }

    fn checked(&self, record: &NewRecord) -> Result<usize, BindingError> {
        let size = record.size();
        if size > self.max_record_size {
            return Err(self.refuse(refusals::too_large(size, self.max_record_size)));
        }
        Ok(size)
    }

    fn submit(
        &self,
        record: NewRecord,
        size: usize,
        options: PutOptions,
        permit: Permit,
    ) -> Result<Answering, BindingError> {
        let hash = self.can_list.then(|| hash_key(&record)).flatten();
        let (sender, receiver) = oneshot::channel();
        let (waiter, arrived) = (Waiter::new(sender), Instant::now());
        let submission = Submission { record, size, hash, options, arrived, waiter, permit };
        if self.stop.is_asked() || self.arrivals.try_send(submission).is_err() {
            return Err(self.refuse(refusals::closed(Outcome::NotDone)));
        }
        Ok(Answering { answer: receiver, gate: Arc::clone(&self.gate), is_done: false })
    }

    fn full(&self) -> BindingError {
        refusals::queue_full(self.gate.bounds(), self.gate.drain())
    }

    fn refuse(&self, error: BindingError) -> BindingError {
        self.metrics.ended(RecordState::Refused, 0);
        error
    }
}

/// Waits for the owner to end. Dropped before, it aborts the owner and leaves it to the next call of `close`.
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

/// Waits for the answer; dropped before, it tells the owner that nobody waits any more.
#[derive(Debug)]
struct Answering {
    answer: oneshot::Receiver<Answer>,
    gate: Arc<Gate>,
    is_done: bool,
}

impl Future for Answering {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer> {
        let answer = ready!(Pin::new(&mut self.answer).poll(context));
        self.is_done = true;
        // A waiter answers even when it is dropped; this is for the day when it does not.
        Poll::Ready(answer.unwrap_or_else(|_| Err(refusals::closed(Outcome::Unknown))))
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        if !self.is_done {
            self.answer.close();
            self.gate.cancel();
        }
    }
}
