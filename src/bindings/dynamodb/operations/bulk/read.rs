//! `bulkGet`: parsing, `BatchGetItem`, and which keys of a call were read.

use super::super::super::codec::{item_identity, key_identity, wire_size};
use super::super::super::context::TableContext;
use super::super::super::failure::build_failed;
use super::super::super::operation::Access;
use super::super::super::request::Request;
use super::super::super::request_data::{RawPlaceholders, parse};
use super::super::super::response::{Element, bulk_response, capacity_units, lost_result};
use super::super::super::ttl;
use super::super::projection::Projection;
use super::elements::{MAX_CALL_SIZE, bulk_options, check_count, parse_keys, split_valid};
use super::engine::{BatchCall, BulkOutput, Entry, Reply, run};
use super::schedule::{CallLimits, EntryKeys};
use crate::aws::Item;
use crate::domain::{BindingError, FailureKind, InvokeResponse};
use async_trait::async_trait;
use aws_sdk_dynamodb::types::KeysAndAttributes;
use aws_sdk_dynamodb::types::builders::KeysAndAttributesBuilder;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::time::Instant;

const FORM: &str = r#"{"keys":[{…},…],"projection"?:["…"],"consistentRead"?:true,"names"?:{…}}"#;
/// AWS takes this many keys in one call (API reference, `BatchGetItem`).
const MAX_KEYS: usize = 100;
/// Each reply may have 16 MB, so only a few calls run side by side.
const MAX_IN_FLIGHT: usize = 4;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct BulkGetRequest<'t> {
    #[serde(borrow)]
    keys: Vec<&'t RawValue>,
    #[serde(borrow)]
    projection: Option<&'t RawValue>,
    consistent_read: Option<bool>,
    #[serde(borrow)]
    names: Option<&'t RawValue>,
}

/// What was found for a key.
#[derive(Debug, Clone, PartialEq)]
enum Lookup {
    Item(Item),
    NotFound,
    /// The response would have become larger than `maxResponseSize`.
    OverLimit,
}

/// Reads the items of `keys`: the response has the item, or null where it does not exist. A key that is given twice is
/// read once.
///
/// # Errors
/// When `data` has another form, no keys or too many. Failures of single keys are in the response.
pub(in super::super::super) async fn get(cx: &TableContext, request: Request) -> Result<InvokeResponse, BindingError> {
    let data: BulkGetRequest<'_> = parse(&request.data, FORM)?;
    check_count(cx, "keys", data.keys.len())?;
    let keys = parse_keys(cx, &request, &data.keys);
    let hidden = cx.options.hidden_by_ttl();
    // The key matches an item with its request; the TTL attribute decides whether it is visible.
    let key = keys.iter().find_map(|key| key.as_ref().ok());
    let names = key.into_iter().flat_map(|key| key.keys().map(String::as_str));
    let needed: Vec<&str> = names.chain(hidden.map(|ttl| ttl.attribute.as_str())).collect();
    let placeholders = RawPlaceholders { names: data.names, values: None }.parse(&request.codec)?;
    let mut projection = Projection::parse(data.projection, placeholders, &needed)?;
    let keys_and_attributes = KeysAndAttributes::builder()
        .set_projection_expression(projection.text.take())
        .set_expression_attribute_names(projection.take_names())
        .consistent_read(request.consistent_read(data.consistent_read, cx.options.consistent_read));
    let keys = keys.into_iter().map(|key| key.map_err(Err)).collect();
    let (indexes, keys, mut results) = split_valid(keys);
    let max_size = cx.options.max_response_size;
    let remaining = AtomicUsize::new(max_size);
    let call = ReadCall { cx, keys_and_attributes, remaining, deadline: request.deadline };
    let (lookups, capacity) = read(&call, &request, keys).await;
    for (index, lookup) in indexes.into_iter().zip(lookups) {
        results[index] = Some(lookup.and_then(|lookup| match lookup {
            Lookup::Item(mut item) if ttl::is_visible(&item, hidden) => {
                projection.trim(&mut item);
                request.item_json(&item).map(Element::Item)
            }
            Lookup::Item(_) | Lookup::NotFound => Ok(Element::NotFound),
            Lookup::OverLimit => Err(response_full(max_size)),
        }));
    }
    bulk_response(results, capacity)
}

fn response_full(limit: usize) -> BindingError {
    let text = format!(
        "the items before this one fill the response, which may have {limit} bytes (`maxResponseSize`): request fewer at \
         once"
    );
    BindingError::new(FailureKind::TooLarge, text).with_detail("limit", limit.to_string())
}

/// One result for each key, and the capacity units.
async fn read(
    call: &ReadCall<'_>,
    request: &Request,
    keys: Vec<Item>,
) -> (Vec<Result<Lookup, BindingError>>, Option<f64>) {
    let (distinct, indexes) = distinct(keys);
    let in_flight = call.cx.options.max_in_flight.min(MAX_IN_FLIGHT);
    let limits = CallLimits { entries: MAX_KEYS, bytes: MAX_CALL_SIZE, in_flight };
    // Reads have no order, and no key is there twice: any distinct bytes will do.
    let entry_keys = EntryKeys::Known((0..distinct.len()).map(|index| index.to_be_bytes().to_vec()).collect());
    let options = bulk_options(call.cx, request, limits);
    let BulkOutput { entries, capacity } = run(call, &distinct, &entry_keys, &options).await;
    let lost = || Err(lost_result());
    (indexes.into_iter().map(|index| entries.get(index).cloned().unwrap_or_else(lost)).collect(), capacity)
}

/// The keys without duplicates, and for each given key its index among them.
fn distinct(keys: Vec<Item>) -> (Vec<Entry<Item>>, Vec<usize>) {
    let (mut entries, mut seen) = (Vec::with_capacity(keys.len()), HashMap::with_capacity(keys.len()));
    let index_of = |key: Item| {
        let next = entries.len();
        let index = *seen.entry(item_identity(&key)).or_insert(next);
        if index == next {
            entries.push(Entry { size: wire_size(&key) + 1, value: key });
        }
        index
    };
    let indexes = keys.into_iter().map(index_of).collect();
    (entries, indexes)
}

struct ReadCall<'c> {
    cx: &'c TableContext,
    /// All parameters but the keys.
    keys_and_attributes: KeysAndAttributesBuilder,
    /// Bytes of items that the response may still take.
    remaining: AtomicUsize,
    deadline: Instant,
}

#[async_trait]
impl BatchCall<Item, Lookup> for ReadCall<'_> {
    fn operation(&self) -> &'static str {
        "BatchGetItem"
    }

    fn access(&self) -> Access {
        Access::Read
    }

    async fn send(&self, keys: &[&Item]) -> Result<Reply<Lookup>, BindingError> {
        if self.remaining.load(Ordering::Relaxed) == 0 {
            return Ok(Reply { entries: vec![Some(Lookup::OverLimit); keys.len()], capacity: None });
        }
        let keys_and_attributes = self.keys_and_attributes.clone();
        let requested = keys_and_attributes.set_keys(Some(keys.iter().map(|key| (*key).clone()).collect())).build();
        let call = self.cx.client.batch_get_item().request_items(&self.cx.table, requested.map_err(build_failed)?);
        let call = call.set_return_consumed_capacity(self.cx.consumed_capacity());
        let output = self.cx.call("DynamoDB: BatchGetItem", self.deadline, call.send()).await?;
        let capacity = capacity_units(output.consumed_capacity.iter().flatten());
        let items = output.responses.into_iter().flatten().flat_map(|(_, items)| items).collect();
        let unprocessed: Vec<_> =
            output.unprocessed_keys.into_iter().flatten().flat_map(|(_, unprocessed)| unprocessed.keys).collect();
        let found = found(keys, items, &unprocessed);
        let entries = found.into_iter().map(|found| found.map(|item| self.limited(item))).collect();
        Ok(Reply { entries, capacity })
    }
}

impl ReadCall<'_> {
    /// Drops an item that does not fit into the response.
    fn limited(&self, item: Option<Item>) -> Lookup {
        let Some(item) = item else { return Lookup::NotFound };
        let size = wire_size(&item);
        let reserved = self.remaining.try_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(size));
        if reserved.is_ok() {
            return Lookup::Item(item);
        }
        self.remaining.store(0, Ordering::Relaxed);
        Lookup::OverLimit
    }
}

/// For each key the item, `Some(None)` where it does not exist, and `None` where DynamoDB left the key unprocessed.
fn found(keys: &[&Item], items: Vec<Item>, unprocessed: &[Item]) -> Vec<Option<Option<Item>>> {
    let unprocessed: Vec<Vec<u8>> = unprocessed.iter().map(item_identity).collect();
    // All keys of a table have the same names.
    let names: Vec<&str> = keys.first().map(|key| key.keys().map(String::as_str).collect()).unwrap_or_default();
    let by_key = |item: Item| Some((key_identity(&item, names.iter().copied())?, item));
    let mut items: HashMap<Vec<u8>, Item> = items.into_iter().filter_map(by_key).collect();
    let own = |key: &Item| key_identity(key, names.iter().copied()).unwrap_or_else(|| item_identity(key));
    keys.iter()
        .map(|key| match items.remove(&own(key)) {
            Some(item) => Some(Some(item)),
            None if unprocessed.contains(&item_identity(key)) => None,
            None => Some(None),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::super::codec::item_from_json;
    use super::*;

    fn item(text: &str) -> Item {
        item_from_json(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_key_that_is_given_twice_is_read_once() {
        let keys = [r#"{"id":1}"#, r#"{"id":2}"#, r#"{"id":1.0}"#].map(item).to_vec();
        let (entries, indexes) = distinct(keys);
        assert_eq!((entries.len(), indexes), (2, vec![0, 1, 0]));
    }

    #[test]
    fn items_are_matched_with_their_keys() {
        let keys = [item(r#"{"id":"a","at":1}"#), item(r#"{"id":"b","at":2.0}"#), item(r#"{"id":"c","at":3}"#)];
        let items = vec![item(r#"{"at":2,"id":"b","text":"x"}"#)];
        let found = found(&keys.iter().collect::<Vec<_>>(), items, &[item(r#"{"at":3.0,"id":"c"}"#)]);
        assert_eq!(found, [Some(None), Some(Some(item(r#"{"at":2,"id":"b","text":"x"}"#))), None]);
    }
}
