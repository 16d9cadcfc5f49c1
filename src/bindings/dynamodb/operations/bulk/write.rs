//! `bulkCreate` and `bulkDelete`: parsing, `BatchWriteItem`, and which entries of a call were written.

use super::super::super::codec::{item_identity, key_identity, wire_size};
use super::super::super::context::TableContext;
use super::super::super::etag::Etag;
use super::super::super::failure::{build_failed, in_element, invalid_request};
use super::super::super::operation::Access;
use super::super::super::request::Request;
use super::super::super::request_data::parse;
use super::super::super::response::{Element, bulk_response, capacity_units};
use super::super::super::shaped_item::{ShapedItem, shape};
use super::super::super::table_key::{check_etag_attribute, check_item, key_names};
use super::super::super::ttl;
use super::elements::{MAX_CALL_SIZE, Prepared, bulk_options, check_count, fault_at, parse_keys, split_valid};
use super::engine::{BatchCall, BulkOutput, Entry, Reply, run};
use super::schedule::{CallLimits, EntryKeys};
use crate::aws::Item;
use crate::domain::{BindingError, FailureKind, InvokeResponse};
use async_trait::async_trait;
use aws_sdk_dynamodb::types::{AttributeValue, DeleteRequest, PutRequest, WriteRequest};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::Instant;

const CREATE_FORM: &str = r#"{"items":[{…},…]}"#;
const DELETE_FORM: &str = r#"{"keys":[{…},…]}"#;
/// Request metadata that `BatchWriteItem` has no parameters for.
const SINGLE_WRITES_ONLY: [&str; 5] =
    ["conditionExpression", "etag", "concurrency", "returnValues", "returnValuesOnConditionCheckFailure"];
/// AWS takes this many entries in one call (API reference, `BatchWriteItem`).
const MAX_ENTRIES: usize = 25;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BulkCreateRequest<'t> {
    #[serde(borrow)]
    items: Vec<&'t RawValue>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BulkDeleteRequest<'t> {
    #[serde(borrow)]
    keys: Vec<&'t RawValue>,
}

type Writes = Vec<Prepared<WriteRequest>>;

/// Stores the items of `items`, each in place of any that has its key. Of two with one key the later one stays. Where
/// the component keeps versions, all get the same one (header `metadata.etag`).
///
/// # Errors
/// When `data` has another form, no items or too many. Failures of single items are in the response.
pub(in super::super::super) async fn create(
    cx: &TableContext,
    request: Request,
) -> Result<InvokeResponse, BindingError> {
    let (puts, version, _made) = parse_puts(cx, &request).await.inspect_err(|_| cx.count_refused(1))?;
    let mut response = write(cx, &request, puts).await?;
    response.metadata.extend(version.map(|version| ("etag".into(), version.new)));
    Ok(response)
}

/// The items to be stored, the version that they get, and what the transform made: its memory is reserved until that is
/// dropped.
async fn parse_puts(cx: &TableContext, request: &Request) -> Result<(Writes, Option<Etag>, Vec<Bytes>), BindingError> {
    let data: BulkCreateRequest<'_> = parse(&request.data, CREATE_FORM)?;
    check_count(cx, "items", data.items.len())?;
    check_metadata(request)?;
    let options = &cx.options;
    let version = Etag::read(&request.metadata, options.etag_attribute.as_deref())?;
    // Refuses a wrong `ttlInSeconds` once, not for each item.
    ttl::requested_expiry(&request.metadata, options.ttl.as_ref(), ttl::now())?;
    let schema = cx.find_key(request.deadline).await;
    if let Some(version) = &version {
        check_etag_attribute(schema, &version.attribute)?;
    }
    let to_put = |index: usize, text: &[u8]| {
        let mut item = request.codec.item(text).map_err(|fault| fault_at(fault, "items", index))?;
        ttl::set_expiry(&mut item, &request.metadata, options.ttl.as_ref(), ttl::now())?;
        if let Some(version) = &version {
            item.insert(version.attribute.clone(), AttributeValue::S(version.new.clone()));
        }
        check_item(schema, &item).map_err(|error| in_element("items", index, &error))?;
        put_request(item)
    };
    let (mut puts, mut made) = (Writes::with_capacity(data.items.len()), Vec::new());
    for (index, text) in data.items.iter().enumerate() {
        puts.push(match shaped(cx, request, text.get().as_bytes()).await {
            Ok(ShapedItem::Unchanged) => to_put(index, text.get().as_bytes()).map_err(Err),
            Ok(ShapedItem::Item(text)) => {
                let put = to_put(index, &text).map_err(Err);
                made.push(text);
                put
            }
            Ok(ShapedItem::LeftOut(why)) => Err(Ok(Element::LeftOut(why))),
            Err(error) => Err(Err(in_element("items", index, &error))),
        });
    }
    Ok((puts, version, made))
}

/// The item after the filter and the transform. `text` is a part of the data of the request.
async fn shaped(cx: &TableContext, request: &Request, text: &[u8]) -> Result<ShapedItem, BindingError> {
    let Some(shaper) = &cx.shaper else { return Ok(ShapedItem::Unchanged) };
    if Instant::now() >= request.deadline {
        let text = "the time of the request was over before the item was transformed: send fewer items at once";
        return Err(BindingError::new(FailureKind::TimedOut, text));
    }
    // A program may take a while, and other tasks of this thread wait.
    tokio::task::yield_now().await;
    Box::pin(shape(shaper, &request.data.slice_ref(text), &request.metadata)).await
}

/// Deletes the items of `keys`; one that does not exist is success too.
pub(in super::super::super) async fn delete(
    cx: &TableContext,
    request: Request,
) -> Result<InvokeResponse, BindingError> {
    let deletes = parse_deletes(cx, &request).inspect_err(|_| cx.count_refused(1))?;
    write(cx, &request, deletes).await
}

fn parse_deletes(cx: &TableContext, request: &Request) -> Result<Writes, BindingError> {
    let data: BulkDeleteRequest<'_> = parse(&request.data, DELETE_FORM)?;
    check_count(cx, "keys", data.keys.len())?;
    check_metadata(request)?;
    let keys = parse_keys(cx, request, &data.keys);
    Ok(keys.into_iter().map(|key| key.and_then(delete_request).map_err(Err)).collect())
}

/// Options that would be ignored are refused.
fn check_metadata(request: &Request) -> Result<(), BindingError> {
    match SINGLE_WRITES_ONLY.into_iter().find(|key| request.metadata.get(key).is_some()) {
        Some(key) => Err(invalid_request(format!(
            "the request metadata `{key}` has no effect on many items at once: send the items one by one, or as a \
             transaction"
        ))),
        None => Ok(()),
    }
}

fn put_request(item: Item) -> Result<WriteRequest, BindingError> {
    let put = PutRequest::builder().set_item(Some(item)).build().map_err(build_failed)?;
    Ok(WriteRequest::builder().put_request(put).build())
}

fn delete_request(key: Item) -> Result<WriteRequest, BindingError> {
    let delete = DeleteRequest::builder().set_key(Some(key)).build().map_err(build_failed)?;
    Ok(WriteRequest::builder().delete_request(delete).build())
}

/// Writes in calls of at most 25 entries and 16 MB that run side by side. Writes of one key keep the order of the request.
/// If there are puts and the table's key is not known, the calls run one after the other.
async fn write(cx: &TableContext, request: &Request, writes: Writes) -> Result<InvokeResponse, BindingError> {
    let (indexes, writes, mut results) = split_valid(writes);
    cx.count_refused(results.iter().filter(|result| matches!(result, Some(Err(_)))).count());
    let key_names = cx.keys.known().map(key_names);
    let has_puts = writes.iter().any(|write| write.put_request.is_some());
    let keys = if has_puts && key_names.is_none() {
        EntryKeys::Unknown
    } else {
        EntryKeys::Known(writes.iter().map(|write| identity(write, key_names.as_deref())).collect())
    };
    // `{"DeleteRequest":{"Key":` and its end, with a comma.
    let size = |write: &WriteRequest| item_or_key(write).map_or(0, wire_size) + 32;
    let entries: Vec<_> = writes.into_iter().map(|value| Entry { size: size(&value), value }).collect();
    let limits = CallLimits { entries: MAX_ENTRIES, bytes: MAX_CALL_SIZE, in_flight: cx.options.max_in_flight };
    let call = WriteCall { cx, key_names, deadline: request.deadline };
    let BulkOutput { entries, capacity } = run(&call, &entries, &keys, &bulk_options(cx, request, limits)).await;
    for (index, result) in indexes.into_iter().zip(entries) {
        results[index] = Some(result.map(|()| Element::Written));
    }
    bulk_response(results, capacity)
}

struct WriteCall<'c> {
    cx: &'c TableContext,
    /// The table's key, if it is known.
    key_names: Option<Vec<String>>,
    deadline: Instant,
}

#[async_trait]
impl BatchCall<WriteRequest, ()> for WriteCall<'_> {
    fn operation(&self) -> &'static str {
        "BatchWriteItem"
    }

    fn access(&self) -> Access {
        Access::Write
    }

    async fn send(&self, entries: &[&WriteRequest]) -> Result<Reply<()>, BindingError> {
        let requests = entries.iter().map(|write| (*write).clone()).collect();
        let call = self.cx.client.batch_write_item().request_items(&self.cx.table, requests);
        let call = call.set_return_consumed_capacity(self.cx.consumed_capacity());
        let output = self.cx.call("DynamoDB: BatchWriteItem", self.deadline, call.send()).await?;
        let unprocessed: Vec<_> = output.unprocessed_items.into_iter().flatten().flat_map(|(_, left)| left).collect();
        Ok(Reply {
            entries: written(entries, &unprocessed, self.key_names.as_deref()),
            capacity: capacity_units(output.consumed_capacity.iter().flatten()),
        })
    }
}

/// Which entries of a call were written. If DynamoDB returned an unprocessed item that matches none of them, all count as
/// unprocessed: to write them again does no harm.
fn written(entries: &[&WriteRequest], unprocessed: &[WriteRequest], key_names: Option<&[String]>) -> Vec<Option<()>> {
    let mut unprocessed: Vec<Vec<u8>> = unprocessed.iter().map(|request| identity(request, key_names)).collect();
    let mut written = Vec::with_capacity(entries.len());
    for write in entries {
        let own = identity(write, key_names);
        let index = unprocessed.iter().position(|unprocessed| *unprocessed == own);
        written.push(index.is_none().then_some(()));
        index.map(|index| unprocessed.swap_remove(index));
    }
    if unprocessed.is_empty() { written } else { vec![None; entries.len()] }
}

fn item_or_key(write: &WriteRequest) -> Option<&Item> {
    let key = || write.delete_request.as_ref().map(|delete| &delete.key);
    write.put_request.as_ref().map(|put| &put.item).or_else(key)
}

/// Equal for writes of one key; if the key is not known, for writes of one item.
fn identity(write: &WriteRequest, key_names: Option<&[String]>) -> Vec<u8> {
    let Some(item) = item_or_key(write) else { return Vec::new() };
    let names = key_names.filter(|_| write.put_request.is_some());
    let key = names.and_then(|names| key_identity(item, names.iter().map(String::as_str)));
    key.unwrap_or_else(|| item_identity(item))
}

#[cfg(test)]
mod tests {
    use super::super::super::super::codec::item_from_json;
    use super::*;

    fn item(text: &str) -> Item {
        item_from_json(text.as_bytes()).unwrap()
    }

    fn put(text: &str) -> WriteRequest {
        put_request(item(text)).unwrap()
    }

    fn delete(text: &str) -> WriteRequest {
        delete_request(item(text)).unwrap()
    }

    #[test]
    fn unprocessed_items_are_matched_by_value() {
        let writes = [put(r#"{"id":"a","n":1.50}"#), put(r#"{"id":"b"}"#), delete(r#"{"id":"c"}"#)];
        let entries: Vec<_> = writes.iter().collect();
        let names = ["id".to_owned()];
        for key_names in [None, Some(&names[..])] {
            let some = [put(r#"{"n":1.5,"id":"a"}"#), delete(r#"{"id":"c"}"#)];
            assert_eq!(written(&entries, &some, key_names), [None, Some(()), None]);
            assert_eq!(written(&entries, &[], key_names), [Some(()); 3]);
            assert_eq!(written(&entries, &[put(r#"{"id":"stranger"}"#)], key_names), [None; 3]);
        }
    }
}
