//! What an output does with requests whose records are filtered or transformed.

use super::super::dead_letter::DEAD_LETTER_TIMEOUT;
use super::super::shaping::{ShapedData, Shaper, TransformFailure};
use super::bulk::Item;
use super::keys::KeySource;
use super::output::{MAX_OPEN_DEAD_LETTERS, Output};
use super::prepared::{BulkRecords, Prepared, ShapedRequest, one_of_several, several};
use super::request::RequestOptions;
use super::response;
use crate::domain::{BindingError, FailureKind, InvokeRequest, InvokeResponse, NewRecord, ReservedMemory};
use crate::producer::OutgoingRecord;
use bytes::Bytes;
use futures_util::StreamExt;
use std::borrow::Cow;
use tokio::time::Instant;

impl Output {
    /// Filters and transforms a single request. Several outputs of the transform are written here.
    pub(super) async fn shape_single(
        &self,
        shaper: &Shaper,
        mut request: InvokeRequest,
    ) -> Result<ShapedRequest, BindingError> {
        let key = self.known_key(request.metadata.get("partitionKey"));
        match shaper.shape(&request.data, key, &request.metadata).await {
            Ok(ShapedData::Unchanged) => Ok(ShapedRequest::Request(request, ReservedMemory::default())),
            Ok(ShapedData::One(data, memory)) => {
                request.data = data;
                Ok(ShapedRequest::Request(request, memory))
            }
            Ok(ShapedData::LeftOut(why)) => {
                let returns_result = RequestOptions::returns_result(&request.metadata, &self.spec);
                Ok(ShapedRequest::Answered(response::left_out(why, returns_result)))
            }
            Ok(ShapedData::Several(outputs, memory)) => {
                self.create_several(&request, outputs, memory).await.map(ShapedRequest::Answered)
            }
            Err(failure) => {
                self.count_refused();
                match &self.dead_letter {
                    Some(dead_letter) if failure.is_dead_letter => {
                        let record = original(request.data.clone(), key);
                        Err(dead_letter.send(&record, failure.error, Instant::now() + DEAD_LETTER_TIMEOUT).await)
                    }
                    _ => Err(failure.error),
                }
            }
        }
    }

    /// Writes the outputs of a transform. The first failure is that of the request. As in a bulk, single records are sent
    /// again also where the caller repeats the request.
    async fn create_several(
        &self,
        request: &InvokeRequest,
        outputs: Vec<Bytes>,
        memory: ReservedMemory,
    ) -> Result<InvokeResponse, BindingError> {
        let count = outputs.len();
        let options = self.options_of(request).inspect_err(|_| self.count_refused())?;
        check_several(&options, count).inspect_err(|_| self.count_refused())?;
        let records = self.records_of(request, outputs, memory, &options).await;
        // Nothing is written unless every record can be made.
        let records = records.map_err(|error| one_of_several(error, count, 0)).inspect_err(|_| self.count_refused())?;
        let written = several(self.put_all(records, options).await)?;
        Ok(response::several(&written))
    }

    async fn records_of(
        &self,
        request: &InvokeRequest,
        outputs: Vec<Bytes>,
        memory: ReservedMemory,
        options: &RequestOptions,
    ) -> Result<Vec<OutgoingRecord>, BindingError> {
        let mut records = Vec::with_capacity(outputs.len());
        let key = |name| request.metadata.get(name).map(Cow::Borrowed);
        for data in outputs {
            let item = Item { data, partition_key: key("partitionKey"), explicit_hash_key: key("explicitHashKey") };
            self.next_turn(options).await?;
            records.push(self.record(item, memory.clone(), &request.metadata, options).await?);
        }
        Ok(records)
    }

    /// Filters and transforms one item of a bulk, and adds its records.
    pub(super) async fn prepare(&self, item: Item<'_>, bulk: &mut BulkRecords<'_>) -> Prepared {
        let prepared = match &self.shaper {
            None => self.add(item, ReservedMemory::default(), bulk).await,
            Some(shaper) => Box::pin(self.prepare_shaped(shaper, item, bulk)).await,
        };
        prepared.unwrap_or_else(Prepared::Failed)
    }

    async fn prepare_shaped(
        &self,
        shaper: &Shaper,
        item: Item<'_>,
        bulk: &mut BulkRecords<'_>,
    ) -> Result<Prepared, BindingError> {
        self.next_turn(bulk.options).await?;
        let key = self.known_key(item.partition_key.as_deref());
        let (outputs, memory) = match shaper.shape(&item.data, key, bulk.metadata).await {
            Ok(ShapedData::Unchanged) => return self.add_now(item, ReservedMemory::default(), bulk).await,
            Ok(ShapedData::One(data, memory)) => return self.add_now(Item { data, ..item }, memory, bulk).await,
            Ok(ShapedData::LeftOut(why)) => return Ok(Prepared::LeftOut(why)),
            Ok(ShapedData::Several(outputs, memory)) => (outputs, memory),
            Err(failure) if self.is_dead_letter(&failure) => {
                let record = original(item.data.clone(), key);
                return Ok(Prepared::DeadLetter(Box::new((record, failure.error))));
            }
            Err(failure) => return Err(failure.error),
        };
        let (count, before) = (outputs.len(), bulk.records.len());
        for data in outputs {
            let keys = (item.partition_key.clone(), item.explicit_hash_key.clone());
            let item = Item { data, partition_key: keys.0, explicit_hash_key: keys.1 };
            if let Err(error) = self.add(item, memory.clone(), bulk).await {
                bulk.records.truncate(before);
                return Err(one_of_several(error, count, 0));
            }
        }
        Ok(Prepared::Records(count))
    }

    /// Adds the record of an item, in a turn of its own.
    async fn add(
        &self,
        item: Item<'_>,
        memory: ReservedMemory,
        bulk: &mut BulkRecords<'_>,
    ) -> Result<Prepared, BindingError> {
        self.next_turn(bulk.options).await?;
        self.add_now(item, memory, bulk).await
    }

    /// Adds the record of an item in the turn that its transform had.
    async fn add_now(
        &self,
        item: Item<'_>,
        memory: ReservedMemory,
        bulk: &mut BulkRecords<'_>,
    ) -> Result<Prepared, BindingError> {
        let record = self.record(item, memory, bulk.metadata, bulk.options).await?;
        bulk.records.push(record);
        Ok(Prepared::Records(1))
    }

    /// Before a program runs for another record: other tasks of this thread wait, and the time of the request may be over.
    async fn next_turn(&self, options: &RequestOptions) -> Result<(), BindingError> {
        if self.shaper.is_none() && !self.spec.runs_programs() {
            return Ok(());
        }
        tokio::task::yield_now().await;
        if Instant::now() < options.put.deadline {
            return Ok(());
        }
        let text =
            "the time of the request was over before the programs of the component ran: send fewer records at once";
        Err(BindingError::new(FailureKind::TimedOut, text))
    }

    /// Sends records whose transform failed, and returns their errors in the same order.
    pub(super) async fn send_dead_letters(&self, failed: Vec<(NewRecord, BindingError)>) -> Vec<BindingError> {
        let Some(dead_letter) = &self.dead_letter else { return failed.into_iter().map(|(_, error)| error).collect() };
        let until = Instant::now() + DEAD_LETTER_TIMEOUT;
        let sending =
            failed.into_iter().map(|(record, error)| async move { dead_letter.send(&record, error, until).await });
        futures_util::stream::iter(sending).buffered(MAX_OPEN_DEAD_LETTERS).collect().await
    }

    fn is_dead_letter(&self, failure: &TransformFailure) -> bool {
        failure.is_dead_letter && self.dead_letter.is_some()
    }

    /// The key of the request, or the constant one of the component: the others are chosen after the transform.
    fn known_key<'k>(&'k self, requested: Option<&'k str>) -> Option<&'k str> {
        known_key(&self.spec.partition_key, requested)
    }
}

pub(super) fn known_key<'k>(source: &'k KeySource, requested: Option<&'k str>) -> Option<&'k str> {
    match (requested, source) {
        (Some(key), _) => Some(key),
        (None, KeySource::Constant(key)) => Some(key.as_str()),
        (None, _) => None,
    }
}

/// Whether a single request may become so many records.
pub(super) fn check_several(options: &RequestOptions, count: usize) -> Result<(), BindingError> {
    if options.put.after.is_none() || count <= 1 {
        return Ok(());
    }
    let text = format!("`sequenceNumberForOrdering` is for a single record, and the transform made {count}");
    Err(BindingError::new(FailureKind::Caller, text))
}

/// The record as it was sent. An invalid key of the request is left out.
fn original(data: Bytes, key: Option<&str>) -> NewRecord {
    NewRecord { data, partition_key: key.and_then(|key| key.parse().ok()), explicit_hash_key: None }
}
