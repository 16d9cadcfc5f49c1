//! Bulks on one table: many writes or reads, an answer for each.

use super::batch_calls::{ReadCalls, WriteCalls, write_identity};
use super::batch_schedule::{CallLimits, Keys};
use super::batches::{Carried, Entry, Pace, carry};
use super::identity::{item_identity, wire_size};
use super::items::{Consistency, Items};
use super::{Item, Placeholders};
use crate::domain::{BindingError, FailureKind};
use crate::resilience::Backoff;
use crate::telemetry::OutputMetrics;
use futures_util::future::BoxFuture;
use std::collections::HashMap;
use std::sync::atomic::AtomicUsize;
use tokio::time::Instant;

/// AWS takes this many entries in one `BatchWriteItem` (API reference, `BatchWriteItem`).
const MOST_WRITES: usize = 25;
/// AWS takes this many keys in one `BatchGetItem` (API reference, `BatchGetItem`).
const MOST_KEYS: usize = 100;
/// AWS takes 16 MB in one call of either; the rest is left for the frame of the request.
const MOST_BYTES: usize = 16 * 1024 * 1024 - 16 * 1024;
/// Each reply to a `BatchGetItem` may be 16 MB, so few are open at once.
const MOST_OPEN_READS: usize = 4;

/// One write of a bulk.
#[derive(Debug, Clone, PartialEq)]
pub enum BulkWrite {
    /// Stores an item in place of any that has its key.
    Put(Item),
    /// Deletes the item of a key, if there is one.
    Delete(Item),
}

/// What is read of each item.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BulkRead {
    /// A projection expression, which must keep the attributes of the key; without one the whole item.
    pub projection: Option<String>,
    /// Names behind the projection's placeholders.
    pub placeholders: Placeholders,
    /// How fresh the items are.
    pub consistency: Consistency,
    /// How many bytes of items (as JSON on the wire) may be answered.
    pub most_bytes: usize,
}

/// What a key led to.
#[derive(Debug, Clone, PartialEq)]
pub enum BulkFound {
    /// The item.
    Item(Item),
    /// No item has this key.
    Absent,
    /// The answer would have become larger than allowed.
    NoRoom,
}

/// How a bulk is carried out.
#[derive(Debug, Clone)]
pub struct BulkPace {
    /// Most calls open at once; at least 1.
    pub max_in_flight: usize,
    /// When every entry must have its answer.
    pub deadline: Instant,
    /// No repetition begins later.
    pub no_repeat_after: Instant,
    /// `maxRetries`: repetitions of one entry; `None` is no bound but the time.
    pub most_retries: Option<u32>,
    /// Waits before a repetition.
    pub backoff: Backoff,
    /// Drives jitter.
    pub seed: u64,
    /// Counts.
    pub metrics: OutputMetrics,
}

/// What became of a bulk.
#[derive(Debug)]
pub struct BulkOutcome<R> {
    /// For each entry, in the order given.
    pub entries: Vec<Result<R, BindingError>>,
    /// Capacity units used, where they were asked for.
    pub capacity: Option<f64>,
}

impl Items {
    /// Carries out writes, in calls of at most 25 entries and 16 MB that run side by side. Writes of one key keep the
    /// order given. Where `key_names` is `None` and there are puts, the calls run one after the other. What DynamoDB
    /// leaves is sent again after a wait; a call that it refuses is taken apart until the culprit stands alone.
    pub fn write_many<'a>(
        &'a self,
        writes: Vec<BulkWrite>,
        key_names: Option<Vec<String>>,
        pace: &'a BulkPace,
    ) -> BoxFuture<'a, BulkOutcome<()>> {
        Box::pin(async move {
            let has_puts = writes.iter().any(|write| matches!(write, BulkWrite::Put(_)));
            let keys = if has_puts && key_names.is_none() {
                Keys::Unknown
            } else {
                Keys::Known(writes.iter().map(|write| write_identity(write, key_names.as_deref())).collect())
            };
            let entry = |write: BulkWrite| {
                let (BulkWrite::Put(item) | BulkWrite::Delete(item)) = &write;
                // `{"DeleteRequest":{"Key":` and its end, with a comma.
                Entry { size: wire_size(item) + 32, value: write }
            };
            let entries: Vec<_> = writes.into_iter().map(entry).collect();
            let limits = CallLimits { entries: MOST_WRITES, bytes: MOST_BYTES, in_flight: pace.max_in_flight };
            let port = WriteCalls { items: self.clone(), key_names, until: pace.deadline };
            let Carried { entries, capacity } = carry(&port, &entries, &keys, &inner(pace, limits)).await;
            BulkOutcome { entries, capacity }
        })
    }

    /// Reads the items of keys, in calls of at most 100. A key that is asked for twice is read once. Items beyond
    /// `most_bytes` are not answered: [`BulkFound::NoRoom`].
    pub fn read_many<'a>(
        &'a self,
        keys: Vec<Item>,
        read: BulkRead,
        pace: &'a BulkPace,
    ) -> BoxFuture<'a, BulkOutcome<BulkFound>> {
        Box::pin(async move {
            let (distinct, places) = distinct(keys);
            let in_flight = pace.max_in_flight.min(MOST_OPEN_READS);
            let limits = CallLimits { entries: MOST_KEYS, bytes: MOST_BYTES, in_flight };
            let room = AtomicUsize::new(read.most_bytes);
            let port = ReadCalls { items: self.clone(), read, room, until: pace.deadline };
            // Reads have no order to keep and no key twice, so that each is a key of its own.
            let own_keys = Keys::Known((0..distinct.len()).map(|place| place.to_be_bytes().to_vec()).collect());
            let Carried { entries, capacity } = carry(&port, &distinct, &own_keys, &inner(pace, limits)).await;
            let entries = places.into_iter().map(|place| entries.get(place).cloned().unwrap_or_else(lost)).collect();
            BulkOutcome { entries, capacity }
        })
    }
}

fn inner(pace: &BulkPace, limits: CallLimits) -> Pace {
    Pace {
        limits,
        deadline: pace.deadline,
        no_repeat_after: pace.no_repeat_after.min(pace.deadline),
        most_retries: pace.most_retries,
        backoff: pace.backoff,
        seed: pace.seed,
        metrics: pace.metrics.clone(),
    }
}

/// The keys without repetitions, and for each key given its place among them.
fn distinct(keys: Vec<Item>) -> (Vec<Entry<Item>>, Vec<usize>) {
    let (mut entries, mut seen) = (Vec::with_capacity(keys.len()), HashMap::with_capacity(keys.len()));
    let place_of = |key: Item| {
        let next = entries.len();
        let place = *seen.entry(item_identity(&key)).or_insert(next);
        if place == next {
            entries.push(Entry { size: wire_size(&key) + 1, value: key });
        }
        place
    };
    let places = keys.into_iter().map(place_of).collect();
    (entries, places)
}

fn lost() -> Result<BulkFound, BindingError> {
    Err(BindingError::new(FailureKind::Permanent, "an answer was lost inside the sidecar, which is a defect of ours"))
}

#[cfg(test)]
mod tests {
    use super::super::item_from_json;
    use super::*;

    fn item(text: &str) -> Item {
        item_from_json(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_key_that_is_asked_for_twice_is_read_once() {
        let keys = [r#"{"id":1}"#, r#"{"id":2}"#, r#"{"id":1.0}"#].map(item).to_vec();
        let (entries, places) = distinct(keys);
        assert_eq!((entries.len(), places), (2, vec![0, 1, 0]));
    }
}
