//! `BatchWriteItem` and `BatchGetItem` on one table: single calls, and what of a call was left.

use super::batches::{BatchPort, Effect, Reply};
use super::identity::{item_identity, key_identity, wire_size};
use super::items::{Consistency, Items};
use super::refusal::{Modelled, refused, throttling_of};
use super::transactions::unbuilt;
use super::{BulkFound, BulkRead, BulkWrite, Item};
use crate::domain::BindingError;
use async_trait::async_trait;
use aws_sdk_dynamodb::error::BuildError;
use aws_sdk_dynamodb::operation::batch_get_item::BatchGetItemError;
use aws_sdk_dynamodb::operation::batch_write_item::BatchWriteItemError;
use aws_sdk_dynamodb::types::{DeleteRequest, KeysAndAttributes, PutRequest, ThrottlingReason, WriteRequest};
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::time::Instant;

/// Puts and deletes.
#[derive(Debug)]
pub(super) struct WriteCalls {
    pub(super) items: Items,
    /// The table's key, where it is known.
    pub(super) key_names: Option<Vec<String>>,
    /// When each call must be answered.
    pub(super) until: Instant,
}

#[async_trait]
impl BatchPort<BulkWrite, ()> for WriteCalls {
    fn operation(&self) -> &'static str {
        "BatchWriteItem"
    }

    fn effect(&self) -> Effect {
        Effect::Writes
    }

    async fn call(&self, entries: &[&BulkWrite]) -> Result<Reply<()>, BindingError> {
        let requests = entries.iter().map(|write| write_request(write)).collect::<Result<Vec<_>, _>>();
        let requests = requests.map_err(|error| unbuilt("BatchWriteItem", error))?;
        let items = &self.items;
        let _place = items.place(self.until).await?;
        let call = items.client.batch_write_item().request_items(&items.table, requests);
        let answer = call.set_return_consumed_capacity(items.report()).send().await;
        let answer = answer.map_err(|error| refused("DynamoDB: BatchWriteItem", &items.table, error).error)?;
        let left: Vec<_> = answer.unprocessed_items.into_iter().flatten().flat_map(|(_, left)| left).collect();
        Ok(Reply {
            entries: taken(entries, &left, self.key_names.as_deref()),
            capacity: items.sum(answer.consumed_capacity),
        })
    }
}

fn write_request(write: &BulkWrite) -> Result<WriteRequest, BuildError> {
    let request = WriteRequest::builder();
    Ok(match write {
        BulkWrite::Put(item) => request.put_request(PutRequest::builder().set_item(Some(item.clone())).build()?),
        BulkWrite::Delete(key) => request.delete_request(DeleteRequest::builder().set_key(Some(key.clone())).build()?),
    }
    .build())
}

/// Which entries of a call were taken. If something that was left is none of them, the table spells it in a way that
/// we do not know; then all count as left, since to send them again does no harm.
pub(super) fn taken(entries: &[&BulkWrite], left: &[WriteRequest], key_names: Option<&[String]>) -> Vec<Option<()>> {
    let mut left: Vec<Vec<u8>> = left.iter().filter_map(|request| left_identity(request, key_names)).collect();
    let mut taken = Vec::with_capacity(entries.len());
    for write in entries {
        let own = write_identity(write, key_names);
        let place = left.iter().position(|left| *left == own);
        taken.push(place.is_none().then_some(()));
        place.map(|place| left.swap_remove(place));
    }
    if left.is_empty() { taken } else { vec![None; entries.len()] }
}

fn left_identity(request: &WriteRequest, key_names: Option<&[String]>) -> Option<Vec<u8>> {
    match (&request.put_request, &request.delete_request) {
        (Some(put), _) => Some(identity_of(&put.item, key_names)),
        (None, Some(delete)) => Some(item_identity(&delete.key)),
        (None, None) => None,
    }
}

/// Equal for writes of one key; where the key is not known, for writes of one item.
pub(super) fn write_identity(write: &BulkWrite, key_names: Option<&[String]>) -> Vec<u8> {
    match write {
        BulkWrite::Put(item) => identity_of(item, key_names),
        BulkWrite::Delete(key) => item_identity(key),
    }
}

fn identity_of(item: &Item, key_names: Option<&[String]>) -> Vec<u8> {
    let key = key_names.and_then(|names| key_identity(item, names.iter().map(String::as_str)));
    key.unwrap_or_else(|| item_identity(item))
}

/// Gets.
#[derive(Debug)]
pub(super) struct ReadCalls {
    pub(super) items: Items,
    pub(super) read: BulkRead,
    /// How many bytes of items may still be answered.
    pub(super) room: AtomicUsize,
    /// When each call must be answered.
    pub(super) until: Instant,
}

#[async_trait]
impl BatchPort<Item, BulkFound> for ReadCalls {
    fn operation(&self) -> &'static str {
        "BatchGetItem"
    }

    fn effect(&self) -> Effect {
        Effect::Reads
    }

    async fn call(&self, keys: &[&Item]) -> Result<Reply<BulkFound>, BindingError> {
        if self.room.load(Ordering::Relaxed) == 0 {
            return Ok(Reply { entries: keys.iter().map(|_| Some(BulkFound::NoRoom)).collect(), capacity: None });
        }
        let asked = KeysAndAttributes::builder()
            .set_keys(Some(keys.iter().map(|key| (*key).clone()).collect()))
            .set_projection_expression(self.read.projection.clone())
            .set_expression_attribute_names(self.read.placeholders.names())
            .consistent_read(self.read.consistency == Consistency::Strong)
            .build()
            .map_err(|error| unbuilt("BatchGetItem", error))?;
        let items = &self.items;
        let _place = items.place(self.until).await?;
        let call = items.client.batch_get_item().request_items(&items.table, asked);
        let answer = call.set_return_consumed_capacity(items.report()).send().await;
        let answer = answer.map_err(|error| refused("DynamoDB: BatchGetItem", &items.table, error).error)?;
        let capacity = items.sum(answer.consumed_capacity);
        let items = answer.responses.into_iter().flatten().flat_map(|(_, items)| items).collect();
        let left: Vec<_> = answer.unprocessed_keys.into_iter().flatten().flat_map(|(_, left)| left.keys).collect();
        let found = found(keys, items, &left);
        let entries = found.into_iter().map(|found| found.map(|item| self.admit(item))).collect();
        Ok(Reply { entries, capacity })
    }
}

impl ReadCalls {
    /// An item as it is answered, if there is room for it.
    fn admit(&self, item: Option<Item>) -> BulkFound {
        let Some(item) = item else { return BulkFound::Absent };
        let size = wire_size(&item);
        let taken = self.room.try_update(Ordering::Relaxed, Ordering::Relaxed, |room| room.checked_sub(size));
        match taken {
            Ok(_) => BulkFound::Item(item),
            Err(_) => {
                self.room.store(0, Ordering::Relaxed);
                BulkFound::NoRoom
            }
        }
    }
}

/// For each key the item, `Some(None)` where there is none, and `None` where the service did not look.
pub(super) fn found(keys: &[&Item], items: Vec<Item>, left: &[Item]) -> Vec<Option<Option<Item>>> {
    let left: Vec<Vec<u8>> = left.iter().map(item_identity).collect();
    // All keys of a table have the same names.
    let names: Vec<&str> = keys.first().map(|key| key.keys().map(String::as_str).collect()).unwrap_or_default();
    let by_key = |item: Item| Some((key_identity(&item, names.iter().copied())?, item));
    let mut items: HashMap<Vec<u8>, Item> = items.into_iter().filter_map(by_key).collect();
    let own = |key: &Item| key_identity(key, names.iter().copied()).unwrap_or_else(|| item_identity(key));
    keys.iter()
        .map(|key| match items.remove(&own(key)) {
            Some(item) => Some(Some(item)),
            None if left.contains(&item_identity(key)) => None,
            None => Some(None),
        })
        .collect()
}

impl Modelled for BatchWriteItemError {
    fn throttling(&self) -> &[ThrottlingReason] {
        throttling_of!(self)
    }
}

impl Modelled for BatchGetItemError {
    fn throttling(&self) -> &[ThrottlingReason] {
        throttling_of!(self)
    }
}

#[cfg(test)]
mod tests {
    use super::super::item_from_json;
    use super::*;

    fn item(text: &str) -> Item {
        item_from_json(text.as_bytes()).unwrap()
    }

    fn put(text: &str) -> BulkWrite {
        BulkWrite::Put(item(text))
    }

    #[test]
    fn what_was_left_is_found_by_value() {
        let writes = [put(r#"{"id":"a","n":1.50}"#), put(r#"{"id":"b"}"#), BulkWrite::Delete(item(r#"{"id":"c"}"#))];
        let entries: Vec<_> = writes.iter().collect();
        let left = |writes: &[BulkWrite]| writes.iter().map(|write| write_request(write).unwrap()).collect::<Vec<_>>();
        let names = ["id".to_owned()];
        for key_names in [None, Some(&names[..])] {
            let some = left(&[put(r#"{"n":1.5,"id":"a"}"#), BulkWrite::Delete(item(r#"{"id":"c"}"#))]);
            assert_eq!(taken(&entries, &some, key_names), [None, Some(()), None]);
            assert_eq!(taken(&entries, &[], key_names), [Some(()); 3]);
            assert_eq!(taken(&entries, &left(&[put(r#"{"id":"stranger"}"#)]), key_names), [None; 3]);
        }
    }

    #[test]
    fn items_are_matched_with_their_keys() {
        let keys = [item(r#"{"id":"a","at":1}"#), item(r#"{"id":"b","at":2.0}"#), item(r#"{"id":"c","at":3}"#)];
        let items = vec![item(r#"{"at":2,"id":"b","text":"x"}"#)];
        let found = found(&keys.iter().collect::<Vec<_>>(), items, &[item(r#"{"at":3.0,"id":"c"}"#)]);
        assert_eq!(found, [Some(None), Some(Some(item(r#"{"at":2,"id":"b","text":"x"}"#))), None]);
    }
}
