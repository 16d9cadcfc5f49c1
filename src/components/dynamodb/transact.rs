//! `transact` and `transactGet`: all or nothing.

use super::bulk::{in_element, names};
use super::bulk_answer::{Element, shown, unwritable};
use super::keys::{check_item, check_key};
use super::output::Output;
use super::request::Request;
use super::shapes::{read_delete, read_key, read_put, read_shape, refused};
use super::update_shape::read_update;
use crate::aws::dynamodb::{
    Check, Consistency, Get, LARGEST_TRANSACTION, MOST_IN_TRANSACTION, Placeholders, Spelling, Transaction, TransactWrite,
};
use crate::domain::{BindingError, FailureKind, InvokeResponse};
use crate::resilience::Repeat;
use bytes::Bytes;
use md5::{Digest, Md5};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::fmt::Write as _;

const FORM: &str = r#"{"items":[{"put":{"item":{…},"condition"?:"…"}},{"update":{…}},{"delete":{"key":{…},"condition"?:"…"}},{"check":{"key":{…},"condition":"…"}}],"idempotencyKey"?:"…"}"#;
const GET_FORM: &str = r#"{"items":[{"key":{…}},…]}"#;
/// The longest `ClientRequestToken` (API reference, `TransactWriteItems`).
const LONGEST_TOKEN: usize = 36;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Shape<'t> {
    #[serde(borrow)]
    items: Vec<&'t RawValue>,
    idempotency_key: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct One<'t> {
    #[serde(borrow)]
    put: Option<&'t RawValue>,
    #[serde(borrow)]
    update: Option<&'t RawValue>,
    #[serde(borrow)]
    delete: Option<&'t RawValue>,
    #[serde(borrow)]
    check: Option<&'t RawValue>,
}

/// Carries out the writes of `items` together or not at all.
///
/// It always has a token, so that it may be repeated whatever became of an earlier attempt.
///
/// # Errors
/// When `data` has another form, holds too much or an item twice; `Conflict` with the detail `reasons` (JSON) when
/// conditions failed. The detail `idempotencyKey` is what to send again with the same items.
pub(super) async fn write(output: &Output, request: Request) -> Result<InvokeResponse, BindingError> {
    if request.metadata.get("ttlInSeconds").is_some() {
        let text = "`ttlInSeconds` has no effect in a transaction, whose items must be the same whenever it is sent \
                    again: set the attribute in the item";
        return Err(refused(text));
    }
    let shape: Shape<'_> = read_shape(&request.data, FORM)?;
    check_count(shape.items.len())?;
    let schema = output.keys.known();
    let read = |(place, text): (usize, &&RawValue)| {
        let write = read_write(&request.spelling, text).map_err(|error| in_element("items", place, &error))?;
        let checked = match &write {
            TransactWrite::Put(put) => check_item(schema, &put.item),
            TransactWrite::Update(_) | TransactWrite::Delete(_) | TransactWrite::Check(_) => {
                check_key(schema, write.subject())
            }
        };
        checked.map_err(|error| in_element("items", place, &error)).map(|()| write)
    };
    let writes = shape.items.iter().enumerate().map(read).collect::<Result<Vec<_>, _>>()?;
    let key = idempotency_key(shape.idempotency_key.as_deref(), request.metadata.get("idempotencyKey"))?;
    let transaction = Transaction { writes, token: token(&key), on_refusal: request.on_refusal()? };
    check_whole(&transaction, schema.map(names).as_deref())?;
    let attempt = || output.items.transact(&transaction, &request.spelling);
    let spent = output.attempts.run(request.call("TransactWriteItems", Repeat::Freely), attempt).await;
    let spent = spent.map_err(|error| error.with_detail("idempotencyKey", key))?;
    let metadata = spent.value.map(|units| ("consumedCapacity", units.to_string())).into_iter().collect();
    Ok(InvokeResponse { metadata, ..InvokeResponse::default() })
}

fn read_write(spelling: &Spelling, text: &RawValue) -> Result<TransactWrite, BindingError> {
    let one: One<'_> = read_shape(text.get().as_bytes(), FORM)?;
    match (one.put, one.update, one.delete, one.check) {
        (Some(put), None, None, None) => read_put(spelling, put).map(TransactWrite::Put),
        (None, Some(update), None, None) => read_update(spelling, update.get().as_bytes()).map(TransactWrite::Update),
        (None, None, Some(delete), None) => read_delete(spelling, delete.get().as_bytes()).map(TransactWrite::Delete),
        (None, None, None, Some(check)) => {
            let check = read_delete(spelling, check.get().as_bytes())?;
            let condition = check.condition.ok_or_else(|| refused("a `check` needs a `condition`"))?;
            Ok(TransactWrite::Check(Check { key: check.key, condition }))
        }
        _ => Err(refused("it must have exactly one of `put`, `update`, `delete` and `check`")),
    }
}

fn check_count(count: usize) -> Result<(), BindingError> {
    if count == 0 {
        return Err(refused("`items` is empty: there is nothing to do"));
    }
    if count > MOST_IN_TRANSACTION {
        let text = format!("`items` has {count} elements, DynamoDB takes {MOST_IN_TRANSACTION} in one transaction");
        let error = BindingError::new(FailureKind::TooLarge, text);
        return Err(error.with_detail("size", count.to_string()).with_detail("limit", MOST_IN_TRANSACTION.to_string()));
    }
    Ok(())
}

fn check_whole(transaction: &Transaction, key_names: Option<&[String]>) -> Result<(), BindingError> {
    if let Some((one, other)) = transaction.doubles(key_names) {
        let text = format!(
            "`items[{one}]` and `items[{other}]` are for the same item, which DynamoDB refuses in one transaction: put \
             them together into one"
        );
        return Err(refused(text));
    }
    let size = transaction.size();
    if size > LARGEST_TRANSACTION {
        let text = format!("the items have {size} bytes together, DynamoDB takes {LARGEST_TRANSACTION} in one transaction");
        let error = BindingError::new(FailureKind::TooLarge, text);
        return Err(error.with_detail("size", size.to_string()).with_detail("limit", LARGEST_TRANSACTION.to_string()));
    }
    Ok(())
}

/// The caller's key, or a new one.
fn idempotency_key(in_data: Option<&str>, in_metadata: Option<&str>) -> Result<String, BindingError> {
    match (in_data.filter(|key| !key.is_empty()), in_metadata) {
        (Some(one), Some(other)) if one != other => {
            Err(refused("`idempotencyKey` is given in `data` and in the metadata, and they differ"))
        }
        (Some(key), _) | (None, Some(key)) => Ok(key.to_owned()),
        (None, None) => Ok(uuid::Uuid::new_v4().to_string()),
    }
}

/// A key as AWS takes it; one that is too long, or not plain, by its hash.
fn token(key: &str) -> String {
    if key.len() <= LONGEST_TOKEN && key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return key.to_owned();
    }
    let mut text = String::with_capacity(32);
    for byte in Md5::digest(key.as_bytes()) {
        let written = write!(text, "{byte:02x}");
        debug_assert!(written.is_ok(), "writing to a String does not fail");
    }
    text
}

/// Reads items as they are at one moment: the item, or null where there is none.
///
/// # Errors
/// When `data` has another form or asks for too much; as DynamoDB answered.
pub(super) async fn get(output: &Output, request: Request) -> Result<InvokeResponse, BindingError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Shape<'t> {
        #[serde(borrow)]
        items: Vec<One<'t>>,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct One<'t> {
        #[serde(borrow)]
        key: &'t RawValue,
    }
    let shape: Shape<'_> = read_shape(&request.data, GET_FORM)?;
    check_count(shape.items.len())?;
    let schema = output.keys.known();
    let read = |(place, one): (usize, &One<'_>)| {
        let key = read_key(&request.spelling, one.key).and_then(|key| check_key(schema, &key).map(|()| key));
        let key = key.map_err(|error| in_element("items", place, &error))?;
        let (projection, placeholders) = (None, Placeholders::default());
        Ok(Get { key, projection, placeholders, consistency: Consistency::Strong })
    };
    let gets = shape.items.iter().enumerate().map(read).collect::<Result<Vec<_>, BindingError>>()?;
    let attempt = || output.items.transact_get(&gets);
    let together = output.attempts.run(request.call("TransactGetItems", Repeat::Freely), attempt).await?.value;
    let mut texts: Vec<Option<Box<RawValue>>> = Vec::with_capacity(gets.len());
    for item in &together.items {
        texts.push(match item {
            Some(item) => match shown(&request, item)? {
                Element::Item(text) => Some(text),
                Element::Absent | Element::Done => None,
            },
            None => None,
        });
    }
    let data = serde_json::to_vec(&texts).map_err(unwritable)?;
    let metadata = together.capacity.map(|units| ("consumedCapacity", units.to_string())).into_iter().collect();
    Ok(InvokeResponse { data: Some(Bytes::from(data)), metadata, ..InvokeResponse::default() })
}

#[cfg(test)]
#[path = "transact_tests.rs"]
mod tests;
