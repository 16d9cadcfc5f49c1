//! The output side of a Kinesis component: requests in, records to the producer.

use super::super::dead_letter::{DEAD_LETTER_TIMEOUT, DeadLetter};
use super::super::metadata_check::MetadataCheck;
use super::super::shaping::Shaper;
use super::bulk::{Item, items, read_item};
use super::flush::FlushCondition;
use super::keys::KeyInput;
use super::output_spec::OutputSpec;
use super::prepared::{BulkRecords, Prepared, ShapedRequest, answer};
use super::record_programs::{Keys, RecordPrograms, keys};
use super::request::{KEYS, RequestOptions};
use super::response;
use crate::aggregation::{JoinForm, NotJoinable};
use crate::domain::{
    BindingError, DataForm, FailureKind, InvokeRequest, InvokeResponse, Metadata, NewRecord, OperationName, Outcome,
    OutputBinding, OutputReport, ReservedMemory,
};
use crate::producer::{OutgoingRecord, Producer, Written};
use crate::telemetry::{OutputMetrics, RecordState};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use std::borrow::Cow;
use tokio::time::Instant;

/// How many dead letters of one bulk are sent at the same time.
pub(super) const MAX_OPEN_DEAD_LETTERS: usize = 16;

/// daprd offers the first alone.
static OPERATIONS: [OperationName; 3] =
    [Cow::Borrowed("create"), Cow::Borrowed("bulkCreate"), Cow::Borrowed("createBatch")];

#[derive(Debug)]
pub(super) struct Output {
    pub(super) producer: Producer,
    pub(super) spec: OutputSpec,
    pub(super) programs: RecordPrograms,
    pub(super) flush: Option<FlushCondition>,
    /// `None` if records are neither filtered nor transformed.
    pub(super) shaper: Option<Shaper>,
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
        Some(self.producer.report())
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
        let (request, memory) = match &self.shaper {
            None => (request, ReservedMemory::default()),
            Some(shaper) => match Box::pin(self.shape_single(shaper, request)).await? {
                ShapedRequest::Request(request, memory) => (request, memory),
                ShapedRequest::Answered(response) => return Ok(response),
            },
        };
        let (record, mut options) = self.single_record(request, memory).await.inspect_err(|_| self.count_refused())?;
        let OutgoingRecord { record, ends_batch } = record;
        (options.put.is_single_attempt, options.put.ends_batch) = (is_single_attempt, ends_batch);
        let returns_result = options.returns_result;
        let copy = self.dead_letter.as_ref().map(|dead_letter| (dead_letter, self.own_record(&record)));
        let mut result = self.producer.put(record, options.put).await;
        if let Some((dead_letter, record)) = copy {
            result = Box::pin(send_if_failed(dead_letter, record, result, Instant::now() + DEAD_LETTER_TIMEOUT)).await;
        }
        Ok(response::single(&result?, returns_result))
    }

    async fn single_record(
        &self,
        request: InvokeRequest,
        memory: ReservedMemory,
    ) -> Result<(OutgoingRecord, RequestOptions), BindingError> {
        let options = self.options_of(&request)?;
        let key = |name| request.metadata.get(name).map(Cow::Borrowed);
        let (partition_key, explicit_hash_key) = (key("partitionKey"), key("explicitHashKey"));
        let item = Item { data: request.data, partition_key, explicit_hash_key };
        let record = self.record(item, memory, &request.metadata, &options).await?;
        Ok((record, options))
    }

    pub(super) fn options_of(&self, request: &InvokeRequest) -> Result<RequestOptions, BindingError> {
        options_of(&self.spec, request.form, &request.metadata)
    }

    /// The record of an item as the producer receives it. It holds the memory of the item until it is dropped: what is
    /// decoded or compressed is other data than the item's.
    pub(super) async fn record(
        &self,
        item: Item<'_>,
        memory: ReservedMemory,
        metadata: &Metadata,
        options: &RequestOptions,
    ) -> Result<OutgoingRecord, BindingError> {
        let (keys, ends_batch) = self.programs.read(&item, metadata, options.form).await?;
        let record = with_keys(&self.spec, item.data, keys, options)?;
        let ends_batch = match (&self.flush, ends_batch) {
            (Some(flush), Some(result)) => flush.ends_batch(result),
            (None, _) | (_, None) => false,
        };
        let NewRecord { data, partition_key, explicit_hash_key } = options.compression.apply(record).await?;
        let data = if memory.is_reserved() { memory.hold(data) } else { data };
        Ok(OutgoingRecord { record: NewRecord { data, partition_key, explicit_hash_key }, ends_batch })
    }

    /// The record of the caller, as it is without others.
    fn own_record(&self, record: &NewRecord) -> NewRecord {
        match self.spec.join_form() {
            None => record.clone(),
            Some(form) => NewRecord { data: form.record(&record.data), ..record.clone() },
        }
    }

    async fn bulk_create(&self, request: InvokeRequest) -> Result<InvokeResponse, BindingError> {
        let body = request.data;
        let options = RequestOptions::read_bulk(&request.metadata, &self.spec).inspect_err(|_| self.count_refused())?;
        let items = items(&body, self.spec.max_bulk_items).inspect_err(|_| self.count_refused())?;
        let mut bulk =
            BulkRecords { metadata: &request.metadata, options: &options, records: Vec::with_capacity(items.len()) };
        let (mut prepared, mut dead_letters) = (Vec::with_capacity(items.len()), Vec::new());
        for item in items {
            let (id, item) = read_item(item, &body);
            let item = match item {
                Ok(item) => self.prepare(item, &mut bulk).await,
                Err(error) => Prepared::Failed(error),
            };
            match &item {
                Prepared::Records(_) | Prepared::LeftOut(_) => {}
                Prepared::Failed(_) => self.count_refused(),
                Prepared::DeadLetter(letter) => {
                    self.count_refused();
                    dead_letters.push(letter.as_ref().clone());
                }
            }
            prepared.push((id, item));
        }
        let records = bulk.records;
        let sending = self.send_dead_letters(dead_letters);
        let (results, dead_letters) = futures_util::join!(self.put_all(records, options), sending);
        let (mut results, mut dead_letters) = (results.into_iter(), dead_letters.into_iter());
        let results: Vec<_> =
            prepared.into_iter().map(|(id, item)| (id, answer(item, &mut results, &mut dead_letters))).collect();
        match results.first() {
            // The producer is closed and nothing was attempted: that is the error of the whole request.
            Some((_, Err(first))) if results.iter().all(|(_, result)| was_closed(result)) => Err(first.clone()),
            _ => Ok(response::many(&results)),
        }
    }

    pub(super) async fn put_all(
        &self,
        records: Vec<OutgoingRecord>,
        options: RequestOptions,
    ) -> Vec<Result<Written, BindingError>> {
        if records.is_empty() {
            return Vec::new();
        }
        let Some(dead_letter) = &self.dead_letter else { return self.producer.put_all(records, options.put).await };
        let copies: Vec<NewRecord> = records.iter().map(|record| self.own_record(&record.record)).collect();
        let results = self.producer.put_all(records, options.put).await;
        let until = Instant::now() + DEAD_LETTER_TIMEOUT;
        let sending = copies.into_iter().zip(results);
        let sending = sending.map(|(record, result)| send_if_failed(dead_letter, record, result, until));
        futures_util::stream::iter(sending).buffered(MAX_OPEN_DEAD_LETTERS).collect().await
    }

    pub(super) fn count_refused(&self) {
        self.metrics.ended(RecordState::Refused, 0);
    }
}

/// The options of a single request.
pub(super) fn options_of(
    spec: &OutputSpec,
    form: DataForm,
    metadata: &Metadata,
) -> Result<RequestOptions, BindingError> {
    match form {
        DataForm::Json => RequestOptions::read(metadata, spec),
        DataForm::Raw => RequestOptions::read_raw(metadata, spec),
    }
}

/// The record of an item, before it is combined with others or compressed.
pub(super) fn record(
    spec: &OutputSpec,
    item: Item<'_>,
    metadata: &Metadata,
    options: &RequestOptions,
) -> Result<NewRecord, BindingError> {
    let input = KeyInput { data: &item.data, metadata, form: options.form };
    let requested = (item.partition_key.as_deref(), item.explicit_hash_key.as_deref());
    let keys = keys((&spec.partition_key, &spec.explicit_hash_key), requested, &input)?;
    with_keys(spec, item.data, keys, options)
}

/// The record, whose keys were chosen before: they cannot be read from decoded data.
fn with_keys(spec: &OutputSpec, data: Bytes, keys: Keys, options: &RequestOptions) -> Result<NewRecord, BindingError> {
    let data = options.form.bytes(data)?;
    let data = match spec.join_form() {
        None => data,
        Some(form) => form.member(data).map_err(|error| not_joinable(form, &error))?,
    };
    Ok(NewRecord { data, partition_key: keys.partition, explicit_hash_key: keys.explicit_hash })
}

fn not_joinable(form: JoinForm, error: &NotJoinable) -> BindingError {
    let (word, remedy) = match form {
        JoinForm::Lines => ("lines", "send JSON, or text without line breaks"),
        JoinForm::JsonArray => ("json-array", "send one JSON value"),
    };
    let text = format!("the record cannot be combined with others (`aggregation: {word}`): {error}; {remedy}");
    BindingError::new(FailureKind::Caller, text)
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

fn was_closed<T>(result: &Result<T, BindingError>) -> bool {
    let is_closed = |error: &BindingError| error.kind() == FailureKind::Closed && error.outcome() == Outcome::NotDone;
    result.as_ref().is_err_and(is_closed)
}

#[cfg(test)]
#[path = "tests/output.rs"]
mod tests;
