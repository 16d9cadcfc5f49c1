//! Bulks on one table: many writes or reads, an answer for each.

use super::super::client::Connection;
use super::Item;
use super::batch_calls::{ReadCalls, Way, WriteCalls, write_identity};
use super::batch_schedule::{CallLimits, Keys};
use super::batches::{Carried, Entry, Pace, carry};
use super::identity::{item_identity, wire_size};
use crate::domain::{BindingError, FailureKind};
use crate::resilience::Backoff;
use crate::telemetry::OutputMetrics;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::ReturnConsumedCapacity;
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
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// A projection expression; without one the whole item.
    pub projection: Option<String>,
    /// The names that the projection uses.
    pub names: HashMap<String, String>,
    /// Whether the read sees all writes that were confirmed before it.
    pub is_consistent: bool,
}

/// What a key led to.
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
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
    /// Waits before a repetition.
    pub backoff: Backoff,
    /// Drives jitter.
    pub seed: u64,
    /// Whether the capacity used is to be told.
    pub capacity: CapacityReport,
    /// Counts.
    pub metrics: OutputMetrics,
}

/// Whether calls tell the capacity that they used (`returnConsumedCapacity`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CapacityReport {
    /// They do not.
    #[default]
    Off,
    /// They tell the sum.
    Total,
}

/// What became of a bulk.
#[derive(Debug)]
pub struct BulkOutcome<R> {
    /// For each entry, in the order given.
    pub entries: Vec<Result<R, BindingError>>,
    /// Capacity units used, where they were asked for.
    pub capacity: Option<f64>,
}

/// Carries out bulks on one table. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Bulks {
    connection: Connection,
    client: Client,
    table: String,
}

impl Bulks {
    /// For a table by name or ARN; nothing is contacted.
    #[must_use]
    pub fn new(connection: &Connection, table: String) -> Self {
        Self { connection: connection.clone(), client: connection.dynamodb(), table }
    }

    fn way(&self, capacity: CapacityReport) -> Way {
        let capacity = match capacity {
            CapacityReport::Off => ReturnConsumedCapacity::None,
            CapacityReport::Total => ReturnConsumedCapacity::Total,
        };
        Way { connection: self.connection.clone(), client: self.client.clone(), table: self.table.clone(), capacity }
    }

    /// Carries out writes, in calls of at most 25 entries and 16 MB that run side by side. Writes of one key keep the
    /// order given. Where `key_names` is `None` and there are puts, the calls run one after the other. What DynamoDB
    /// leaves is sent again after a wait; a call that it refuses is taken apart until the culprit stands alone.
    pub async fn write(
        &self,
        writes: Vec<BulkWrite>,
        key_names: Option<Vec<String>>,
        pace: &BulkPace,
    ) -> BulkOutcome<()> {
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
        let port = WriteCalls { way: self.way(pace.capacity), key_names };
        let Carried { entries, capacity } = carry(&port, &entries, &keys, &inner(pace, limits)).await;
        BulkOutcome { entries, capacity }
    }

    /// Reads the items of keys, in calls of at most 100. A key that is asked for twice is read once. Items beyond
    /// `most_bytes` (as JSON on the wire) are not answered: [`Found::NoRoom`].
    pub async fn read(
        &self,
        keys: Vec<Item>,
        selection: Selection,
        most_bytes: usize,
        pace: &BulkPace,
    ) -> BulkOutcome<Found> {
        let (distinct, places) = distinct(keys);
        let (selection, added) = with_key(selection, distinct.first().map(|entry: &Entry<Item>| &entry.value));
        let in_flight = pace.max_in_flight.min(MOST_OPEN_READS);
        let limits = CallLimits { entries: MOST_KEYS, bytes: MOST_BYTES, in_flight };
        let room = AtomicUsize::new(most_bytes);
        let port = ReadCalls { way: self.way(pace.capacity), selection, added, room };
        // Reads have no order to keep and no key twice, so that each is a key of its own.
        let own_keys = Keys::Known((0..distinct.len()).map(|place| place.to_be_bytes().to_vec()).collect());
        let Carried { entries, capacity } = carry(&port, &distinct, &own_keys, &inner(pace, limits)).await;
        let entries = places.into_iter().map(|place| entries.get(place).cloned().unwrap_or_else(lost)).collect();
        BulkOutcome { entries, capacity }
    }
}

fn inner(pace: &BulkPace, limits: CallLimits) -> Pace {
    let metrics = pace.metrics.clone();
    Pace { limits, deadline: pace.deadline, backoff: pace.backoff, seed: pace.seed, metrics }
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

/// Adds the key's attributes to a projection; items could not be told apart without. Gives those that nobody asked for.
fn with_key(mut selection: Selection, key: Option<&Item>) -> (Selection, Vec<String>) {
    let (Some(projection), Some(key)) = (selection.projection.take(), key) else { return (selection, Vec::new()) };
    let asked: Vec<&str> = projection.split(',').map(str::trim).collect();
    let is_asked = |name: &str| {
        asked.iter().any(|word| *word == name || selection.names.get(*word).is_some_and(|meant| meant == name))
    };
    let mut added: Vec<String> = key.keys().filter(|name| !is_asked(name)).cloned().collect();
    added.sort_unstable();
    let mut projection = projection.clone();
    for (number, name) in added.iter().enumerate() {
        let placeholder = format!("#bindd_key{number}");
        projection.push_str(", ");
        projection.push_str(&placeholder);
        selection.names.insert(placeholder, name.clone());
    }
    selection.projection = Some(projection);
    (selection, added)
}

fn lost() -> Result<Found, BindingError> {
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

    #[test]
    fn a_projection_gets_the_key_and_loses_it_again() {
        let selection = |projection: &str| Selection {
            projection: Some(projection.to_owned()),
            names: HashMap::from([("#n".to_owned(), "name".to_owned()), ("#i".to_owned(), "id".to_owned())]),
            is_consistent: false,
        };
        let key = item(r#"{"id":"1","at":2}"#);
        let (with, added) = with_key(selection("#n"), Some(&key));
        assert_eq!(with.projection.as_deref(), Some("#n, #bindd_key0, #bindd_key1"));
        assert_eq!((with.names["#bindd_key0"].as_str(), with.names["#bindd_key1"].as_str()), ("at", "id"));
        assert_eq!(added, ["at", "id"]);
        let (with, added) = with_key(selection("#n, #i, at"), Some(&key));
        assert_eq!((with.projection.as_deref(), added.len()), (Some("#n, #i, at"), 0));
    }
}
