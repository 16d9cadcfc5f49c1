//! `transact` and `transactGet`: all or nothing.

use super::bulk::{in_element, names};
use super::bulk_answer::{Element, shown};
use super::calls::{
    Check, Consistency, Get, LARGEST_TRANSACTION, MOST_IN_TRANSACTION, Spelling, TransactWrite, Transaction, Value,
};
use super::etag::give_version;
use super::keys::{check_item, check_key};
use super::options::Life;
use super::output::Output;
use super::projection::Projection;
use super::request::Request;
use super::shapes::{Behind, read_delete, read_key, read_put, read_shape, refused};
use super::update_shape::read_update;
use super::writes::{body, capacity_header};
use crate::domain::{BindingError, FailureKind, InvokeResponse};
use crate::resilience::Idempotency;
use md5::{Digest, Md5};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::fmt::Write as _;

const FORM: &str = r#"{"items":[{"put":{"item":{…},"condition"?:"…"}},{"update":{…}},{"delete":{"key":{…},"condition"?:"…"}},{"check":{"key":{…},"condition":"…"}}],"idempotencyKey"?:"…"}"#;
const GET_FORM: &str = r#"{"items":[{"key":{…},"projection"?:["…"],"names"?:{…}},…]}"#;
/// Request metadata that has no effect in a transaction, and what has.
const NOT_HERE: [(&str, &str); 5] = [
    ("ttlInSeconds", "the same transaction must be the same when it is sent again: set the attribute in the item"),
    ("conditionExpression", "give each item its own `condition`"),
    ("etag", "give each item its own `condition`"),
    ("concurrency", "give each item its own `condition`"),
    ("returnValues", "read the items afterwards"),
];
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
/// It always has a token, so that it may be repeated whatever became of an earlier attempt. Where the component keeps
/// versions, each put and each update gets a new one.
///
/// # Errors
/// When `data` has another form, holds too much or an item twice; `Conflict` with the detail `reasons` (JSON) when
/// conditions failed. The detail `idempotencyKey` is what to send again with the same items.
pub(super) async fn write(output: &Output, request: Request) -> Result<InvokeResponse, BindingError> {
    let (transaction, key) = prepared(output, &request)?;
    let attempt = || output.items.transact(&transaction, &request.spelling, request.deadline);
    let call = request.call("TransactWriteItems", Idempotency::Idempotent).writing(transaction.writes.len());
    let spent = output.attempts.run(call, attempt).await;
    let spent = spent.map_err(|error| error.with_detail("idempotencyKey", key))?;
    let metadata = capacity_header(spent.value).into_iter().collect();
    Ok(InvokeResponse { metadata, ..InvokeResponse::default() })
}

/// The transaction of a request with its idempotency key. If it is refused, so is each of its items.
fn prepared(output: &Output, request: &Request) -> Result<(Transaction, String), BindingError> {
    let shape: Shape<'_> = read_shape(&request.data, FORM).inspect_err(|_| output.refused(1))?;
    let count = shape.items.len();
    transaction(output, request, &shape).inspect_err(|_| output.refused(count.max(1)))
}

fn transaction(output: &Output, request: &Request, shape: &Shape<'_>) -> Result<(Transaction, String), BindingError> {
    let is_stated = |key: &str| request.metadata.get(key).is_some_and(|text| (key, text) != ("ttlInSeconds", "-1"));
    if let Some((key, advice)) = NOT_HERE.into_iter().find(|(key, _)| is_stated(key)) {
        return Err(refused(format!("the request metadata `{key}` has no effect in a transaction: {advice}")));
    }
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
    let mut writes = shape.items.iter().enumerate().map(read).collect::<Result<Vec<_>, _>>()?;
    let key = idempotency_key(shape.idempotency_key.as_deref(), request.metadata.get("idempotencyKey"))?;
    let is_endless = request.metadata.get("ttlInSeconds") == Some("-1");
    if let Some(life) = output.options.life.as_ref().filter(|_| !is_endless) {
        check_lives(&writes, life)?;
    }
    if let Some(attribute) = &output.options.etag_attribute {
        give_versions(&mut writes, attribute, &key)?;
    }
    let transaction = Transaction { writes, token: token(&key), on_refusal: request.on_refusal()? };
    check_whole(&transaction, schema.map(names).as_deref())?;
    Ok((transaction, key))
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

/// A life of the component's counts from now, so the same transaction would be another when it is sent again.
fn check_lives(writes: &[TransactWrite], life: &Life) -> Result<(), BindingError> {
    let lacks_end = |write: &TransactWrite| match write {
        TransactWrite::Put(put) => !put.item.contains_key(&life.attribute),
        TransactWrite::Update(_) | TransactWrite::Delete(_) | TransactWrite::Check(_) => false,
    };
    let place = life.seconds.and_then(|_| writes.iter().position(lacks_end));
    place.map_or(Ok(()), |place| {
        Err(refused(format!(
            "in `items[{place}]`: the component's `ttlInSeconds` has no effect in a transaction, which must be the \
             same when it is sent again: set `{}` in the item, or send the request metadata `ttlInSeconds: -1` for items \
             without end",
            life.attribute
        )))
    })
}

/// Gives each written item a new version, so that whoever holds the old one is refused. It follows from the key and the
/// item's place: the same transaction, sent again, must be the same.
fn give_versions(writes: &mut [TransactWrite], attribute: &str, key: &str) -> Result<(), BindingError> {
    for (place, write) in writes.iter_mut().enumerate() {
        let version = || Value::S(hash(&format!("{}:{key}{place}", key.len())));
        match write {
            TransactWrite::Put(put) => {
                put.item.insert(attribute.to_owned(), version());
            }
            TransactWrite::Update(update) => {
                give_version(update, attribute, version()).map_err(|error| in_element("items", place, &error))?
            }
            TransactWrite::Delete(_) | TransactWrite::Check(_) => {}
        }
    }
    Ok(())
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
        let text =
            format!("the items have {size} bytes together, DynamoDB takes {LARGEST_TRANSACTION} in one transaction");
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
    hash(key)
}

fn hash(text: &str) -> String {
    let digest = Md5::digest(text.as_bytes());
    let mut text = String::with_capacity(32);
    for byte in digest {
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
        items: Vec<&'t RawValue>,
    }
    let shape: Shape<'_> = read_shape(&request.data, GET_FORM)?;
    check_count(shape.items.len())?;
    let (schema, hidden) = (output.keys.known(), output.options.hidden());
    let needed: Vec<&str> = hidden.map(|life| life.attribute.as_str()).into_iter().collect();
    let mut gets = Vec::with_capacity(shape.items.len());
    let mut projections = Vec::with_capacity(shape.items.len());
    for (place, text) in shape.items.into_iter().enumerate() {
        let read = read_get(&request.spelling, text, &needed);
        let read = read.and_then(|(get, projection)| check_key(schema, &get.key).map(|()| (get, projection)));
        let (get, projection) = read.map_err(|error| in_element("items", place, &error))?;
        gets.push(get);
        projections.push(projection);
    }
    let attempt = || output.items.transact_get(&gets, request.deadline);
    let spent = output.attempts.run(request.call("TransactGetItems", Idempotency::Idempotent), attempt).await;
    let together = spent?.value;
    let mut texts: Vec<Option<Box<RawValue>>> = Vec::with_capacity(gets.len());
    for (item, projection) in together.items.into_iter().zip(&projections) {
        let element = item.map_or(Ok(Element::Absent), |item| shown(&request, hidden, projection, item))?;
        texts.push(match element {
            Element::Item(text) => Some(text),
            Element::Absent | Element::Done => None,
        });
    }
    let metadata = capacity_header(together.capacity).into_iter().collect();
    Ok(InvokeResponse { data: Some(body(&texts)?), metadata, ..InvokeResponse::default() })
}

fn read_get(spelling: &Spelling, text: &RawValue, needed: &[&str]) -> Result<(Get, Projection), BindingError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct One<'t> {
        #[serde(borrow)]
        key: &'t RawValue,
        #[serde(borrow)]
        projection: Option<&'t RawValue>,
        #[serde(borrow)]
        names: Option<&'t RawValue>,
    }
    let one: One<'_> = read_shape(text.get().as_bytes(), GET_FORM)?;
    let key = read_key(spelling, one.key)?;
    let mut placeholders = Behind { names: one.names, values: None }.read(spelling)?;
    let projection = Projection::read(one.projection, &placeholders, needed)?;
    placeholders.extend(projection.placeholders.clone());
    let get = Get { key, projection: projection.text.clone(), placeholders, consistency: Consistency::Strong };
    Ok((get, projection))
}

#[cfg(test)]
#[path = "tests/transact.rs"]
mod tests;
