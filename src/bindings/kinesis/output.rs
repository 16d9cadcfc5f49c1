//! Records out: one request, one record, one true answer; or many items, each with its own.

use super::super::dead_letter::{DeadLetter, LIMIT};
use super::super::metadata_check::MetadataCheck;
use super::bulk::{Item, ItemRecord, item, items};
use super::output_spec::OutputSpec;
use super::payload::PayloadForm;
use super::request::{KEYS, Wishes};
use super::{answer, request};
use crate::domain::{
    BindingError, DataForm, FailureKind, InvokeRequest, InvokeResponse, NewRecord, Outcome, OutputBinding,
};
use crate::producer::{Producer, Written};
use crate::telemetry::{OutputMetrics, RecordState};
use async_trait::async_trait;
use futures_util::StreamExt;
use serde_json::value::RawValue;
use std::borrow::Cow;
use tokio::time::Instant;

/// Dead letters of one bulk that are under way at once.
const LETTERS_AT_ONCE: usize = 16;

/// The output side of a Kinesis component.
#[derive(Debug)]
pub(super) struct Output {
    /// Writes records.
    pub(super) producer: Producer,
    /// What the file says.
    pub(super) spec: OutputSpec,
    /// Takes what failed for good, if the file names one.
    pub(super) dead_letter: Option<DeadLetter>,
    /// Counts what never reaches the producer.
    pub(super) metrics: OutputMetrics,
    /// Tells of misspelt request metadata.
    pub(super) names: MetadataCheck,
}

#[async_trait]
impl OutputBinding for Output {
    fn operations(&self) -> &'static [&'static str] {
        &["create", "bulkCreate", "createBatch"]
    }

    fn raw_body_keys(&self) -> Option<&'static [&'static str]> {
        self.spec.allow_raw_body.then_some(KEYS)
    }

    async fn invoke(&self, request: InvokeRequest) -> Result<InvokeResponse, BindingError> {
        self.names.warn_about_unknown(&request.metadata);
        match request.operation.as_str() {
            "create" => self.create(request).await,
            // The box keeps the future of single records small.
            "bulkCreate" | "createBatch" => Box::pin(self.create_many(request)).await,
            other => Err(BindingError::new(FailureKind::Caller, format!("there is no operation {other} here"))),
        }
    }
}

impl Output {
    async fn create(&self, request: InvokeRequest) -> Result<InvokeResponse, BindingError> {
        let (record, wishes) = self.prepared(request).inspect_err(|_| self.refused())?;
        let record = wishes.compression.apply(record).await.inspect_err(|_| self.refused())?;
        let returns_result = wishes.returns_result;
        let kept = self.dead_letter.as_ref().map(|letters| (letters, record.clone()));
        let mut result = self.producer.put(record, wishes.put).await;
        if let Some((letters, record)) = kept {
            result = Box::pin(settled(letters, record, result, Instant::now() + LIMIT)).await;
        }
        Ok(answer::single(&result?, returns_result))
    }

    fn prepared(&self, request: InvokeRequest) -> Result<(NewRecord, Wishes), BindingError> {
        let mut wishes = Wishes::read(&request.metadata, &self.spec)?;
        if request.form == DataForm::Raw {
            request::no_decoding(&request.metadata)?;
            wishes.form = PayloadForm::Text;
        }
        let key = |name| request.metadata.get(name).map(Cow::Borrowed);
        let (partition_key, explicit_hash_key) = (key("partitionKey"), key("explicitHashKey"));
        let item = ItemRecord { data: request.data, partition_key, explicit_hash_key };
        Ok((self.record(item, &wishes)?, wishes))
    }

    fn record(&self, item: ItemRecord<'_>, wishes: &Wishes) -> Result<NewRecord, BindingError> {
        // Keys first: what follows may make the data unreadable.
        let partition_key = self.spec.partition_key.choose(item.partition_key.as_deref(), &item.data)?;
        let explicit_hash_key = match partition_key {
            Some(_) => self.spec.explicit_hash_key.choose(item.explicit_hash_key.as_deref(), &item.data)?,
            None => None,
        };
        let data = wishes.form.bytes(item.data)?;
        Ok(NewRecord { data, partition_key, explicit_hash_key })
    }

    async fn create_many(&self, request: InvokeRequest) -> Result<InvokeResponse, BindingError> {
        let whole = request.data;
        let wishes = request::of_bulk(&request.metadata, &self.spec).inspect_err(|_| self.refused())?;
        let written = items(&whole, self.spec.max_bulk_items).inspect_err(|_| self.refused())?;
        let mut answers: Vec<(Option<&RawValue>, Option<BindingError>)> = Vec::with_capacity(written.len());
        let mut records = Vec::with_capacity(written.len());
        for written in written {
            let Item { id, record } = item(written, &whole);
            let record = match record.and_then(|record| self.record(record, &wishes)) {
                Ok(record) => wishes.compression.apply(record).await,
                Err(error) => Err(error),
            };
            let refusal = record.map(|record| records.push(record)).inspect_err(|_| self.refused()).err();
            answers.push((id, refusal));
        }
        let mut results = self.put_all(records, wishes).await.into_iter();
        let answers: Vec<_> = answers
            .into_iter()
            .map(|(id, refusal)| (id, refusal.map_or_else(|| results.next().unwrap_or_else(unanswered), Err)))
            .collect();
        match answers.first() {
            // Nothing was attempted: the whole request is answered, not its items.
            Some((_, Err(first))) if answers.iter().all(|(_, result)| was_closed(result)) => Err(first.clone()),
            _ => Ok(answer::many(&answers)),
        }
    }

    async fn put_all(&self, records: Vec<NewRecord>, wishes: Wishes) -> Vec<Result<Written, BindingError>> {
        if records.is_empty() {
            return Vec::new();
        }
        let Some(letters) = &self.dead_letter else { return self.producer.put_all(records, wishes.put).await };
        let results = self.producer.put_all(records.clone(), wishes.put).await;
        let until = Instant::now() + LIMIT;
        let settling = records.into_iter().zip(results).map(|(record, result)| settled(letters, record, result, until));
        futures_util::stream::iter(settling).buffered(LETTERS_AT_ONCE).collect().await
    }

    fn refused(&self) {
        self.metrics.ended(RecordState::Refused, 0);
    }
}

async fn settled(
    letters: &DeadLetter,
    record: NewRecord,
    result: Result<Written, BindingError>,
    until: Instant,
) -> Result<Written, BindingError> {
    match result {
        Err(failure) if is_final(&failure) => Err(letters.take(&record, failure, until).await),
        result => result,
    }
}

/// Whether the record was tried and its way ends with this failure. What was merely refused, by a full queue, a shard's
/// limit or an order that must be kept, was never tried: its caller still has it and may send it again. While we stop,
/// nothing else takes letters.
fn is_final(failure: &BindingError) -> bool {
    let was_tried = failure.details().iter().any(|(key, _)| *key == "attempts");
    was_tried && failure.kind() != FailureKind::Closed
}

fn was_closed(result: &Result<Written, BindingError>) -> bool {
    let is_closed = |error: &BindingError| error.kind() == FailureKind::Closed && error.outcome() == Outcome::NotDone;
    result.as_ref().is_err_and(is_closed)
}

/// The producer answers for each record, so nobody gets this.
fn unanswered() -> Result<Written, BindingError> {
    Err(BindingError::new(FailureKind::Transient, "the record has no answer").with_outcome(Outcome::Unknown))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_tried_becomes_a_dead_letter() {
        let failing = |kind| BindingError::new(kind, "no");
        for kind in [FailureKind::Throttled, FailureKind::Conflict, FailureKind::TimedOut, FailureKind::TooLarge] {
            assert!(!is_final(&failing(kind)), "{kind} without an attempt");
            assert!(is_final(&failing(kind).with_detail("attempts", "3")), "{kind} after attempts");
        }
        assert!(!is_final(&failing(FailureKind::Closed).with_detail("attempts", "1")));
    }
}
