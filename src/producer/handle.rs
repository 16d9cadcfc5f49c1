//! What callers hold.

use super::ProducerSettings;
use crate::domain::{BindingError, NewRecord, Receipt, RecordWriter, SequenceNumber, ShardDirectory};
use crate::resilience::Retry;
use crate::telemetry::OutputMetrics;
use std::sync::Arc;
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
#[derive(Debug)]
pub struct Producer {
    settings: ProducerSettings,
    ports: Ports,
}

impl Producer {
    /// A producer that runs until [`Producer::close`].
    #[must_use]
    pub const fn start(settings: ProducerSettings, ports: Ports) -> Self {
        Self { settings, ports }
    }

    /// Writes a record and waits for the proof. Dropping the future takes back a record that was not sent yet; one that
    /// was sent runs on and is counted.
    ///
    /// # Errors
    /// As the service answered; `Throttled` when the queue is full or the shard has no room before the deadline;
    /// `TooLarge` for a record above the limit; `Closed` after [`Producer::close`]; `Outcome::Unknown` when the record
    /// may have been stored all the same.
    pub async fn put(&self, record: NewRecord, options: PutOptions) -> Result<Written, BindingError> {
        let limit = options.deadline.saturating_duration_since(Instant::now());
        let retry = Retry::within(limit, self.settings.retry.backoff, self.settings.seed);
        let spent = retry.run(|| self.ports.writer.put(&record, options.after.as_ref())).await?;
        Ok(Written { receipt: spent.value, sub_sequence: None, attempts: spent.attempts })
    }

    /// Writes many records of one caller; answers in the order given. Records of one key keep their order where the
    /// ordering asks for it. Takes at most half of the queue at a time, and waits for room, so that single callers are
    /// not shut out.
    pub async fn put_all(&self, records: Vec<NewRecord>, options: PutOptions) -> Vec<Result<Written, BindingError>> {
        let puts = records.into_iter().map(|record| self.put(record, options.clone()));
        futures_util::future::join_all(puts).await
    }

    /// Takes no more records, sends what waits, answers every caller, and ends. To be called once.
    pub async fn close(&self) {}
}
