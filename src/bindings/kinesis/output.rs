//! The output side of a Kinesis component: requests in, records to the producer.

use super::super::dead_letter::{DEAD_LETTER_TIMEOUT, DeadLetter};
use super::super::metadata_check::MetadataCheck;
use super::bulk::{Item, items, read_item};
use super::output_spec::OutputSpec;
use super::request::{KEYS, RequestOptions};
use super::response;
use crate::domain::{
    BindingError, DataForm, FailureKind, InvokeRequest, InvokeResponse, NewRecord, OperationName, Outcome,
    OutputBinding, OutputReport,
};
use crate::producer::{Producer, Written};
use crate::telemetry::{OutputMetrics, RecordState};
use async_trait::async_trait;
use futures_util::StreamExt;
use serde_json::value::RawValue;
use std::borrow::Cow;
use tokio::time::Instant;

/// How many dead letters of one bulk are sent at the same time.
const MAX_OPEN_DEAD_LETTERS: usize = 16;

/// daprd offers the first alone.
static OPERATIONS: [OperationName; 3] =
    [Cow::Borrowed("create"), Cow::Borrowed("bulkCreate"), Cow::Borrowed("createBatch")];

#[derive(Debug)]
pub(super) struct Output {
    pub(super) producer: Producer,
    pub(super) spec: OutputSpec,
    pub(super) dead_letter: Option<DeadLetter>,
    /// Counts the records that are refused before they reach the producer.
    pub(super) metrics: OutputMetrics,
    pub(super) metadata_check: MetadataCheck,
}

#[async_trait]
impl OutputBinding for Output {
    fn operations(&self) -> &[OperationName] {
        if self.spec.only_create { &OPERATIONS[..1] } else { &OPERATIONS }
    }

    fn raw_body_keys(&self) -> Option<&'static [&'static str]> {
        self.spec.allow_raw_body.then_some(KEYS)
    }

    fn finish(&self) {
        self.producer.finish();
    }

    async fn invoke(&self, request: InvokeRequest) -> Result<InvokeResponse, BindingError> {
        self.metadata_check.warn_about_unknown(&request.metadata);
        match request.operation.as_str() {
            "create" => self.create(request, false).await,
            // Boxed, so that the future of a single record stays small.
            "bulkCreate" | "createBatch" => Box::pin(self.bulk_create(request)).await,
            other => Err(BindingError::new(FailureKind::Caller, format!("there is no operation {other} here"))),
        }
    }

    fn report(&self) -> Option<OutputReport> {
        let (pending_records, pending_bytes) = self.producer.pending();
        Some(OutputReport { pending_records, pending_bytes })
    }

    async fn close(&self) {
        self.producer.close().await;
    }

    async fn attempt(&self, request: InvokeRequest) -> Result<InvokeResponse, BindingError> {
        match request.operation.as_str() {
            "create" => {
                self.metadata_check.warn_about_unknown(&request.metadata);
                self.create(request, true).await
            }
            _ => self.invoke(request).await,
        }
    }
}

impl Output {
    async fn create(&self, request: InvokeRequest, is_single_attempt: bool) -> Result<InvokeResponse, BindingError> {
        let (record, mut options) = self.single_record(request).inspect_err(|_| self.count_refused())?;
        options.put.is_single_attempt = is_single_attempt;
        let record = options.compression.apply(record).await.inspect_err(|_| self.count_refused())?;
        let returns_result = options.returns_result;
        let copy = self.dead_letter.as_ref().map(|dead_letter| (dead_letter, record.clone()));
        let mut result = self.producer.put(record, options.put).await;
        if let Some((dead_letter, record)) = copy {
            result = Box::pin(send_if_failed(dead_letter, record, result, Instant::now() + DEAD_LETTER_TIMEOUT)).await;
        }
        Ok(response::single(&result?, returns_result))
    }

    fn single_record(&self, request: InvokeRequest) -> Result<(NewRecord, RequestOptions), BindingError> {
        let options = match request.form {
            DataForm::Json => RequestOptions::read(&request.metadata, &self.spec)?,
            DataForm::Raw => RequestOptions::read_raw(&request.metadata, &self.spec)?,
        };
        let key = |name| request.metadata.get(name).map(Cow::Borrowed);
        let (partition_key, explicit_hash_key) = (key("partitionKey"), key("explicitHashKey"));
        let record = self.record(Item { data: request.data, partition_key, explicit_hash_key }, &options)?;
        Ok((record, options))
    }

    fn record(&self, item: Item<'_>, options: &RequestOptions) -> Result<NewRecord, BindingError> {
        // Keys are chosen first: a JSON pointer cannot be followed in decoded data.
        let partition_key = self.spec.partition_key.choose(item.partition_key.as_deref(), &item.data)?;
        let explicit_hash_key = match partition_key {
            Some(_) => self.spec.explicit_hash_key.choose(item.explicit_hash_key.as_deref(), &item.data)?,
            None => None,
        };
        Ok(NewRecord { data: options.form.bytes(item.data)?, partition_key, explicit_hash_key })
    }

    async fn bulk_create(&self, request: InvokeRequest) -> Result<InvokeResponse, BindingError> {
        let body = request.data;
        let options = RequestOptions::read_bulk(&request.metadata, &self.spec).inspect_err(|_| self.count_refused())?;
        let items = items(&body, self.spec.max_bulk_items).inspect_err(|_| self.count_refused())?;
        let mut ids_and_errors: Vec<(Option<&RawValue>, Option<BindingError>)> = Vec::with_capacity(items.len());
        let mut records = Vec::with_capacity(items.len());
        for item in items {
            let (id, item) = read_item(item, &body);
            let record = match item.and_then(|item| self.record(item, &options)) {
                Ok(record) => options.compression.apply(record).await,
                Err(error) => Err(error),
            };
            let error = record.map(|record| records.push(record)).inspect_err(|_| self.count_refused()).err();
            ids_and_errors.push((id, error));
        }
        let mut results = self.put_all(records, options).await.into_iter();
        let results: Vec<_> = ids_and_errors
            .into_iter()
            .map(|(id, error)| (id, error.map_or_else(|| results.next().unwrap_or_else(no_result), Err)))
            .collect();
        match results.first() {
            // The producer is closed and nothing was attempted: that is the error of the whole request.
            Some((_, Err(first))) if results.iter().all(|(_, result)| was_closed(result)) => Err(first.clone()),
            _ => Ok(response::many(&results)),
        }
    }

    async fn put_all(&self, records: Vec<NewRecord>, options: RequestOptions) -> Vec<Result<Written, BindingError>> {
        if records.is_empty() {
            return Vec::new();
        }
        let Some(dead_letter) = &self.dead_letter else { return self.producer.put_all(records, options.put).await };
        let results = self.producer.put_all(records.clone(), options.put).await;
        let until = Instant::now() + DEAD_LETTER_TIMEOUT;
        let sending = records.into_iter().zip(results);
        let sending = sending.map(|(record, result)| send_if_failed(dead_letter, record, result, until));
        futures_util::stream::iter(sending).buffered(MAX_OPEN_DEAD_LETTERS).collect().await
    }

    fn count_refused(&self) {
        self.metrics.ended(RecordState::Refused, 0);
    }
}

async fn send_if_failed(
    dead_letter: &DeadLetter,
    record: NewRecord,
    result: Result<Written, BindingError>,
    until: Instant,
) -> Result<Written, BindingError> {
    match result {
        Err(failure) if is_final(&failure) => Err(dead_letter.send(&record, failure, until).await),
        result => result,
    }
}

/// Whether the record was attempted and will not be attempted again. A record that was refused by a full queue, a shard's
/// limit or the ordering was never attempted: its caller may send it again. During shutdown the dead letter binding is
/// closed too.
fn is_final(failure: &BindingError) -> bool {
    let was_attempted = failure.details().iter().any(|(key, _)| *key == "attempts");
    was_attempted && failure.kind() != FailureKind::Closed
}

fn was_closed(result: &Result<Written, BindingError>) -> bool {
    let is_closed = |error: &BindingError| error.kind() == FailureKind::Closed && error.outcome() == Outcome::NotDone;
    result.as_ref().is_err_and(is_closed)
}

/// Never used, because the producer returns one result for each record.
fn no_result() -> Result<Written, BindingError> {
    Err(BindingError::new(FailureKind::Transient, "the record has no result").with_outcome(Outcome::Unknown))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_record_that_was_attempted_becomes_a_dead_letter() {
        let failing = |kind| BindingError::new(kind, "no");
        for kind in [FailureKind::Throttled, FailureKind::Conflict, FailureKind::TimedOut, FailureKind::TooLarge] {
            assert!(!is_final(&failing(kind)), "{kind} without an attempt");
            assert!(is_final(&failing(kind).with_detail("attempts", "3")), "{kind} after attempts");
        }
        assert!(!is_final(&failing(FailureKind::Closed).with_detail("attempts", "1")));
    }
}
