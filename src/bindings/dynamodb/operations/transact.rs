//! `transact`: all of several writes or none (`TransactWriteItems`).

use super::super::codec::{ItemCodec, item_identity, key_identity, stored_size};
use super::super::context::TableContext;
use super::super::etag::set_version;
use super::super::expression::{Condition, with_condition};
use super::super::failure::{build_failed, in_element, invalid_request, too_large};
use super::super::options::Ttl;
use super::super::request::Request;
use super::super::request_data::{RawPlaceholders, parse, parse_condition, parse_key_and_condition};
use super::super::response::{capacity_header, capacity_units};
use super::super::table_key::{check_item, check_key, key_names};
use super::super::update_expression::{Update, parse_update};
use super::cancellation::{check_count, with_cancellation_reasons};
use crate::aws::Item;
use crate::domain::{BindingError, InvokeResponse};
use crate::resilience::Idempotency;
use aws_sdk_dynamodb::error::BuildError;
use aws_sdk_dynamodb::operation::transact_write_items::builders::TransactWriteItemsFluentBuilder;
use aws_sdk_dynamodb::types::{
    self, AttributeValue, ConditionCheck, ReturnValuesOnConditionCheckFailure, TransactWriteItem,
};
use md5::{Digest, Md5};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::HashMap;

const FORM: &str = r#"{"items":[{"put":{"item":{…},"condition"?:"…"}},{"update":{…}},{"delete":{"key":{…},"condition"?:"…"}},{"check":{"key":{…},"condition":"…"}}],"idempotencyKey"?:"…"}"#;
/// Request metadata that a transaction refuses, and what to do instead.
const REFUSED_METADATA: [(&str, &str); 5] = [
    ("ttlInSeconds", "a transaction must be identical when it is sent again: set the TTL attribute in the item"),
    ("conditionExpression", "give each item its own `condition`"),
    ("etag", "give each item its own `condition`"),
    ("concurrency", "give each item its own `condition`"),
    ("returnValues", "read the items afterwards"),
];
/// Bytes of all items of one transaction (AWS, "Service quotas": 4 MB).
const MAX_SIZE: usize = 4 * 1024 * 1024;
/// Characters of a `ClientRequestToken` (API reference, `TransactWriteItems`).
const MAX_TOKEN: usize = 36;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct TransactRequest<'t> {
    #[serde(borrow)]
    items: Vec<&'t RawValue>,
    idempotency_key: Option<String>,
}

/// One element of `items`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WriteRequest<'t> {
    #[serde(borrow)]
    put: Option<&'t RawValue>,
    #[serde(borrow)]
    update: Option<&'t RawValue>,
    #[serde(borrow)]
    delete: Option<&'t RawValue>,
    #[serde(borrow)]
    check: Option<&'t RawValue>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PutRequest<'t> {
    #[serde(borrow)]
    item: &'t RawValue,
    condition: Option<String>,
    #[serde(borrow)]
    names: Option<&'t RawValue>,
    #[serde(borrow)]
    values: Option<&'t RawValue>,
}

/// One write of a transaction.
#[derive(Debug, Clone, PartialEq)]
enum Write {
    Put(Item, Option<Condition>),
    Update(Update),
    Delete(Item, Option<Condition>),
    /// Writes nothing, but the condition must hold.
    Check(Item, Condition),
}

/// Makes the writes of `items` together or not at all.
///
/// It always has a token, so that it may be repeated after any outcome. Where the component keeps versions, each put and
/// each update gets a new one.
///
/// # Errors
/// When `data` has another form, is too large or has an item twice; `Conflict` with the detail `reasons` (JSON) when
/// conditions failed. The detail `idempotencyKey` is to be sent again with the same items.
pub(in super::super) async fn transact(cx: &TableContext, request: Request) -> Result<InvokeResponse, BindingError> {
    let data: TransactRequest<'_> = parse(&request.data, FORM).inspect_err(|_| cx.count_refused(1))?;
    let count = data.items.len();
    let (call, key) = prepare(cx, &request, &data).inspect_err(|_| cx.count_refused(count.max(1)))?;
    let attempt = || {
        let sent = cx.call("DynamoDB: TransactWriteItems", request.deadline, call.clone().send());
        let codec = &request.codec;
        async move { sent.await.map_err(|failure| with_cancellation_reasons(failure, codec)) }
    };
    let write = request.call("TransactWriteItems", Idempotency::Idempotent).writing(count);
    let spent = cx.runner.run(write, attempt).await.map_err(|error| error.with_detail("idempotencyKey", key))?;
    let units = capacity_units(spent.value.consumed_capacity.iter().flatten());
    Ok(InvokeResponse { metadata: capacity_header(units).into_iter().collect(), ..InvokeResponse::default() })
}

/// The call and its idempotency key.
fn prepare(
    cx: &TableContext,
    request: &Request,
    data: &TransactRequest<'_>,
) -> Result<(TransactWriteItemsFluentBuilder, String), BindingError> {
    let is_given = |key: &str| request.metadata.get(key).is_some_and(|text| (key, text) != ("ttlInSeconds", "-1"));
    if let Some((key, advice)) = REFUSED_METADATA.into_iter().find(|(key, _)| is_given(key)) {
        return Err(invalid_request(format!("the request metadata `{key}` has no effect in a transaction: {advice}")));
    }
    check_count(data.items.len())?;
    let schema = cx.keys.known();
    let to_write = |(index, text): (usize, &&RawValue)| {
        let write = parse_write(&request.codec, text).and_then(|write| match &write {
            Write::Put(item, _) => check_item(schema, item).map(|()| write),
            Write::Update(_) | Write::Delete(..) | Write::Check(..) => {
                check_key(schema, write.item_or_key()).map(|()| write)
            }
        });
        write.map_err(|error| in_element("items", index, &error))
    };
    let mut writes = data.items.iter().enumerate().map(to_write).collect::<Result<Vec<_>, _>>()?;
    let key = idempotency_key(data.idempotency_key.as_deref(), request.metadata.get("idempotencyKey"))?;
    let has_no_expiry = request.metadata.get("ttlInSeconds") == Some("-1");
    if let Some(ttl) = cx.options.ttl.as_ref().filter(|_| !has_no_expiry) {
        check_expiry(&writes, ttl)?;
    }
    if let Some(attribute) = &cx.options.etag_attribute {
        set_versions(&mut writes, attribute, &key)?;
    }
    check_duplicates_and_size(&writes, schema.map(key_names))?;
    let on_failure = request.on_condition_failure()?;
    let to_item = |write: Write| write.into_transact_item(&cx.table, on_failure.clone());
    let items = writes.into_iter().map(to_item).collect::<Result<Vec<_>, _>>().map_err(build_failed)?;
    let call = cx.client.transact_write_items().set_transact_items(Some(items)).client_request_token(token(&key));
    Ok((call.set_return_consumed_capacity(cx.consumed_capacity()), key))
}

fn parse_write(codec: &ItemCodec, text: &RawValue) -> Result<Write, BindingError> {
    let data: WriteRequest<'_> = parse(text.get().as_bytes(), FORM)?;
    match (data.put, data.update, data.delete, data.check) {
        (Some(put), None, None, None) => parse_put(codec, put),
        (None, Some(update), None, None) => parse_update(codec, update.get().as_bytes()).map(Write::Update),
        (None, None, Some(delete), None) => {
            let (key, condition) = parse_key_and_condition(codec, delete.get().as_bytes())?;
            Ok(Write::Delete(key, condition))
        }
        (None, None, None, Some(check)) => {
            let (key, condition) = parse_key_and_condition(codec, check.get().as_bytes())?;
            Ok(Write::Check(key, condition.ok_or_else(|| invalid_request("a `check` needs a `condition`"))?))
        }
        _ => Err(invalid_request("it must have exactly one of `put`, `update`, `delete` and `check`")),
    }
}

fn parse_put(codec: &ItemCodec, text: &RawValue) -> Result<Write, BindingError> {
    let form = r#"{"item":{…},"condition"?:"…","names"?:{…},"values"?:{…}}"#;
    let data: PutRequest<'_> = parse(text.get().as_bytes(), form)?;
    let placeholders = RawPlaceholders { names: data.names, values: data.values };
    Ok(Write::Put(codec.item_at("item", data.item)?, parse_condition(codec, data.condition, placeholders)?))
}

impl Write {
    /// The item of a put, the key of the others.
    const fn item_or_key(&self) -> &Item {
        match self {
            Self::Put(item, _) | Self::Delete(item, _) | Self::Check(item, _) => item,
            Self::Update(update) => &update.key,
        }
    }

    fn into_transact_item(
        self,
        table: &str,
        on_failure: Option<ReturnValuesOnConditionCheckFailure>,
    ) -> Result<TransactWriteItem, BuildError> {
        let write = TransactWriteItem::builder();
        Ok(match self {
            Self::Put(item, condition) => {
                let put = types::Put::builder().table_name(table).set_item(Some(item));
                let put = with_condition!(put, condition).set_return_values_on_condition_check_failure(on_failure);
                write.put(put.build()?)
            }
            Self::Update(update) => {
                let (names, values) = update.placeholders.into_parts();
                let update = types::Update::builder()
                    .table_name(table)
                    .set_key(Some(update.key))
                    .update_expression(update.expression)
                    .set_condition_expression(update.condition)
                    .set_expression_attribute_names(names)
                    .set_expression_attribute_values(values)
                    .set_return_values_on_condition_check_failure(on_failure);
                write.update(update.build()?)
            }
            Self::Delete(key, condition) => {
                let delete = types::Delete::builder().table_name(table).set_key(Some(key));
                let delete = with_condition!(delete, condition);
                write.delete(delete.set_return_values_on_condition_check_failure(on_failure).build()?)
            }
            Self::Check(key, condition) => {
                let check = ConditionCheck::builder().table_name(table).set_key(Some(key));
                let check = with_condition!(check, Some(condition));
                write.condition_check(check.set_return_values_on_condition_check_failure(on_failure).build()?)
            }
        }
        .build())
    }
}

/// An expiry by the component's `ttlInSeconds` depends on the time, so the transaction would differ when it is sent
/// again.
fn check_expiry(writes: &[Write], ttl: &Ttl) -> Result<(), BindingError> {
    let lacks_expiry = |write: &Write| matches!(write, Write::Put(item, _) if !item.contains_key(&ttl.attribute));
    match ttl.default_seconds.and_then(|_| writes.iter().position(lacks_expiry)) {
        Some(index) => Err(invalid_request(format!(
            "in `items[{index}]`: the component's `ttlInSeconds` has no effect in a transaction, which must be the \
             same when it is sent again: set `{}` in the item, or send the request metadata `ttlInSeconds: -1` for items \
             without expiry",
            ttl.attribute
        ))),
        None => Ok(()),
    }
}

/// Gives each written item a new version, so that writers who expect the old one are refused. It is derived from the
/// idempotency key and the item's index: a transaction that is sent again must be identical.
fn set_versions(writes: &mut [Write], attribute: &str, key: &str) -> Result<(), BindingError> {
    for (index, write) in writes.iter_mut().enumerate() {
        let version = AttributeValue::S(hash(&format!("{}:{key}{index}", key.len())));
        match write {
            Write::Put(item, _) => {
                item.insert(attribute.to_owned(), version);
            }
            Write::Update(update) => {
                set_version(update, attribute, version).map_err(|error| in_element("items", index, &error))?;
            }
            Write::Delete(..) | Write::Check(..) => {}
        }
    }
    Ok(())
}

fn check_duplicates_and_size(writes: &[Write], key_names: Option<Vec<String>>) -> Result<(), BindingError> {
    if let Some((first, second)) = duplicates(writes, key_names) {
        return Err(invalid_request(format!(
            "`items[{first}]` and `items[{second}]` are for the same item, which DynamoDB refuses in one transaction: \
             join them into one"
        )));
    }
    // AWS counts items and keys by their stored size.
    let size: usize = writes.iter().map(|write| stored_size(write.item_or_key())).sum();
    if size > MAX_SIZE {
        let text = format!("the items have {size} bytes together, DynamoDB takes {MAX_SIZE} in one transaction");
        return Err(too_large(text, size, MAX_SIZE));
    }
    Ok(())
}

/// The first two writes for one item, by index. If the table's key is not known, it is taken from an update, a delete
/// or a check; without one of these, duplicates are not detected.
fn duplicates(writes: &[Write], key_names: Option<Vec<String>>) -> Option<(usize, usize)> {
    let key = || writes.iter().find(|write| !matches!(write, Write::Put(..)));
    let names = key_names.or_else(|| Some(key()?.item_or_key().keys().cloned().collect()))?;
    let mut seen = HashMap::with_capacity(writes.len());
    writes.iter().enumerate().find_map(|(index, write)| {
        let key = key_identity(write.item_or_key(), names.iter().map(String::as_str));
        let key = key.unwrap_or_else(|| item_identity(write.item_or_key()));
        seen.insert(key, index).map(|earlier| (earlier, index))
    })
}

/// The caller's key, or a new one.
fn idempotency_key(in_data: Option<&str>, in_metadata: Option<&str>) -> Result<String, BindingError> {
    match (in_data.filter(|key| !key.is_empty()), in_metadata) {
        (Some(one), Some(other)) if one != other => {
            Err(invalid_request("`idempotencyKey` is given in `data` and in the metadata, and they differ"))
        }
        (Some(key), _) | (None, Some(key)) => Ok(key.to_owned()),
        (None, None) => Ok(uuid::Uuid::new_v4().to_string()),
    }
}

/// A key as `ClientRequestToken`; one that is too long, or not printable ASCII, becomes its hash.
fn token(key: &str) -> String {
    let is_valid = key.len() <= MAX_TOKEN && key.bytes().all(|byte| byte.is_ascii_graphic());
    if is_valid { key.to_owned() } else { hash(key) }
}

fn hash(text: &str) -> String {
    format!("{:032x}", u128::from_be_bytes(Md5::digest(text.as_bytes()).into()))
}

#[cfg(test)]
#[path = "tests/transact.rs"]
mod tests;
